"""`agno-rt run --state`: a declared workflow begins with a state from the shell."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Agno = Callable[..., subprocess.CompletedProcess[str]]

FLOW = """
import attrs
from agno_rt import State, Workflow

@attrs.define
class Plan:
    count: int = 1
    notes: list[str] = attrs.field(factory=list)

def tell(text: str, state: State[Plan]) -> str:
    return f"{text} {state.count} {','.join(state.notes)}"

plan = Workflow("plan", [tell], state=Plan)
"""


def test_a_run_begins_with_the_state(agno: Agno, project: Path) -> None:
    """Fields that are left out have their defaults; an unfit state and a runnable without one are refused."""
    (project / "flow.py").write_text(FLOW)
    done = agno("run", "flow.py:plan", "go", "--state", '{"notes": ["a"]}')
    wrong = agno("run", "flow.py:plan", "go", "--state", '{"count": "many"}')
    broken = agno("run", "flow.py:plan", "go", "--state", "count=2")
    agent = agno("run", "agents.py:echo", "go", "--state", "{}")

    assert (done.returncode, done.stdout) == (0, "go 1 a\n"), done.stderr
    assert (wrong.returncode, broken.returncode) == (2, 2)
    assert "the given state does not fit Plan: Expected `int`, got `str`" in wrong.stderr
    assert "the given state does not fit Plan" in broken.stderr
    assert agent.returncode == 2
    assert "has no state to begin with" in agent.stderr
