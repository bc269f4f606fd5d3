"""A workflow declared as a list of nodes: parts at once, a loop, a state with reducers, and a person who decides.

The paused run is in a file, without a process; another runtime resumes the run. The models are scripted.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import attrs
import trio

from agno_rt import Agent, Ask, ModelRequest, Runtime, Workflow
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Condition, Goal, Judgement, Map, add


@attrs.define
class ReportState:
    """The state of one run. Each part has a copy; `add` joins what the parts added."""

    words: Annotated[int, add] = 0


def write(request: ModelRequest) -> str:
    """Write one part, as a model would."""
    return f"About {request.messages[-1].text}: ..."


def count_words(text: str, state: ReportState) -> str:
    """Count words, in a thread. The text and the state are recorded."""
    print("  counting")
    state.words += len(text.split())
    return text


def join(parts: list[str], state: ReportState) -> str:
    """Join the parts."""
    return "\n".join([*parts, f"({state.words} words)"])


def check_title(title: str) -> Judgement:
    """Check the title; the reason goes to the next attempt."""
    return Judgement(len(title) < 20, "It is too long.")


def publish(text: str) -> str:
    """Publish."""
    return f"published:\n{text}"


planner = Agent(ScriptedModel(['["nurseries", "cancel scopes"]']), "planner", output=list[str])
writer = Agent(ScriptedModel([write] * 10), "writer")
titler = Agent(ScriptedModel(["All that you must know of trio", "Trio"]), "titler")

report = Workflow(
    "report",
    [
        Goal(titler, check_title),
        planner,
        Map([writer, count_words], key=str, limit=4),
        join,
        Condition(Ask(bool, "Publish?"), publish),
    ],
    state=ReportState,
    description="Write a report, and ask before it is published.",
)


async def main() -> None:
    """Run until the question, answer it, and go on in a new runtime: nothing is asked or counted twice."""
    with tempfile.TemporaryDirectory() as folder:
        memory = f"sqlite:///{Path(folder) / 'report.db'}"
        async with Runtime(memory=memory) as runtime:
            result = await runtime.run(report, "trio")
            [question] = result.approvals
            print(f"{result.status}: {question.reason} at {question.call.id}")
        async with Runtime(memory=memory) as runtime:
            await runtime.answer(question.id, True)
            result = await runtime.resume(result.run_id, report)
        print(result.content)


if __name__ == "__main__":
    trio.run(main)
