"""The mode Tasks: a list with dependencies, run as they allow, made anew after a stall."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from agno_rt import Agent, Runtime, Team
from agno_rt.errors import LimitExceeded, ModelError, OutputError
from agno_rt.teams import Tasks
from agno_rt.testing import ScriptedModel
from tests.teams.members import echo, failing, requests_of, saying, slow


def plan(*tasks: tuple[str, str, str, list[str]]) -> str:
    """Return a list of tasks as a manager writes it."""
    return json.dumps([dict(zip(("id", "member", "task", "needs"), task, strict=True)) for task in tasks])


def told(request: Any) -> str:
    """Answer with the last message."""
    return str(request.messages[-1].text)


async def test_tasks_run_as_their_needs_allow(autojump_clock: Any) -> None:
    """Tasks without needs run together; a task with needs sees their results; the manager answers from all."""
    manager = saying(
        "manager", plan(("1", "a", "dig", []), ("2", "b", "saw", []), ("3", "c", "build", ["1", "2"])), told
    )
    c = echo("c")
    async with Runtime() as rt:
        result = await rt.run(Team([slow("a", 5), slow("b", 3), c], Tasks(manager)), "A house.")

    assert trio.current_time() == pytest.approx(5, abs=1)
    assert requests_of(c)[0].messages[-1].text == ("A house.\n\nYour task: build\n\nResult of 1:\na\n\nResult of 2:\nb")
    assert result.content.startswith("A house.\n\nResults:\n\n[1, a: dig]\na\n\n[2, b: saw]\nb\n\n[3, c: build]\n")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("[]", "the list is empty"),
        (plan(("1", "a", "x", []), ("1", "a", "y", [])), "two tasks have the same id"),
        (plan(("1", "a", "x", ["2"])), "needs '2', which is not in the list"),
        (plan(("1", "a", "x", ["2"]), ("2", "a", "y", ["1"])), "tasks need each other: 1, 2"),
        (plan(("1", "z", "x", [])), 'Invalid value "z"'),
    ],
)
async def test_a_list_that_cannot_be_done(wrong: str, reason: str) -> None:
    """A list with a fault goes back to the manager with the reason, and nobody works on it."""
    manager, a = saying("manager", wrong, plan(("1", "a", "x", [])), "done"), echo("a")
    async with Runtime() as rt:
        result = await rt.run(Team([a], Tasks(manager)), "go")
        with pytest.raises(OutputError):
            await rt.run(Team([a], Tasks(saying("m", wrong, wrong, wrong))), "go")

    assert result.content == "done"
    assert reason in requests_of(manager)[1].messages[-1].text
    assert len(requests_of(a)) == 1


async def test_a_stall_makes_a_new_list() -> None:
    """A failure that others need stalls the list: the manager sees what happened and makes a new list."""
    manager = saying(
        "manager",
        plan(("1", "a", "x", []), ("2", "f", "y", []), ("3", "a", "z", ["2"])),
        plan(("4", "a", "y instead", [])),
        told,
    )
    async with Runtime() as rt:
        result = await rt.run(Team([echo("a"), failing("f")], Tasks(manager), on_error="keep"), "go")

    again = requests_of(manager)[1].messages[-1].text
    assert "[2, f: y]\nfailed: no luck" in again
    assert "[3, a: z]\nnot done" in again
    assert "[1, a: x]\na(go\n\nYour task: x)" in result.content
    assert "[4, a: y instead]" in result.content


async def test_stalls_are_bounded() -> None:
    """After the last new list the run ends with the limit's name."""
    manager = Agent(ScriptedModel(lambda request: plan(("1", "f", "x", []))), "manager")
    async with Runtime() as rt:
        with pytest.raises(LimitExceeded, match="the tasks stalled, and the list was made anew once") as caught:
            await rt.run(Team([failing("f")], Tasks(manager, stalls=1), on_error="keep"), "go")

    assert caught.value.limit == "stalls"
    assert len(requests_of(manager)) == 2


async def test_a_failure_ends_the_tasks() -> None:
    """With `cancel` the first failure is the team's."""
    manager = saying("manager", plan(("1", "f", "x", []), ("2", "a", "y", [])))
    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no luck"):
            await rt.run(Team([failing("f"), echo("a")], Tasks(manager)), "go")
