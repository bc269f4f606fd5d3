"""A goal: an agent writes a function again and again until the tests pass, at most four times.

The check is a recorded step. Its reason goes to the agent with the next attempt.
"""

from typing import Any

from agno_rt import Agent, Workflow, run
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Goal, Judgement

attempts = [
    "def double(n): return n + n +",
    "def double(n): return n + 2",
    "def double(n): return 2 * n",
]
coder = Agent(ScriptedModel(attempts), "coder", "Write a Python function `double(n)`. Answer with code alone.")


def check(code: str) -> Judgement:
    """Run the tests. Do this in a sandbox for code of a real model."""
    scope: dict[str, Any] = {}
    try:
        exec(code, scope)
    except SyntaxError as error:
        return Judgement(False, f"It does not compile: {error.msg}.")
    found = scope["double"](21)
    print(f"  double(21) is {found}")
    return Judgement(found == 42, f"double(21) is {found}, and must be 42.")


task = Workflow("task", [Goal(coder, check, at_most=4)])

if __name__ == "__main__":
    print(run(task, "Double a number.").content)
