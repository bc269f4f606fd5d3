"""Tests of a stored workflow in the caller's task: its pause ends the workflow's function, and not the run around."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agno_rt import Ask, Flow, Runtime, workflow
from agno_rt.errors import RunCancelled
from agno_rt.run_store import RunRecord, RunStore


class Leaving:
    """A workflow that asks a question, and takes a while to leave when it pauses. `leaves` tells that it does."""

    def __init__(self) -> None:
        self.leaves, self.goes = trio.Event(), trio.Event()
        self.calls = 0

        @workflow
        async def leaving(flow: Flow) -> str:
            """Ask, and leave slowly."""
            self.calls += 1
            try:
                return str(await flow.ask(Ask(str, "Who?")))
            finally:
                self.leaves.set()
                with trio.CancelScope(shield=True):
                    await self.goes.wait()

        self.workflow = leaving


def store_of(rt: Runtime) -> RunStore:
    """Return the store of the runtime's runs."""
    assert isinstance(rt.memory, RunStore)
    return rt.memory


async def list_runs(rt: Runtime) -> list[RunRecord]:
    """Return the stored runs."""
    return await store_of(rt).runs()


async def run_until_it_leaves(rt: Runtime, leaving: Leaving, nursery: trio.Nursery) -> tuple[str, list[Any]]:
    """Begin the run; return its id once it leaves, and the list that gets its result or its error."""
    ended: list[Any] = []

    async def run() -> None:
        try:
            ended.append(await rt.run(leaving.workflow, "go"))
        except RunCancelled as exc:
            ended.append(exc)

    nursery.start_soon(run)
    await leaving.leaves.wait()
    [run_found] = await list_runs(rt)
    return run_found.id, ended


async def test_an_answer_while_it_leaves() -> None:
    """The run goes on from its journal in the same call of `run`."""
    leaving = Leaving()
    async with Runtime() as rt, trio.open_nursery() as nursery:
        _, ended = await run_until_it_leaves(rt, leaving, nursery)
        [approval] = await store_of(rt).approvals()
        await rt.answer(approval.id, "me")
        leaving.goes.set()
    assert [each.content for each in ended] == ["me"]
    assert leaving.calls == 2


async def test_a_cancellation_while_it_leaves() -> None:
    """The run is cancelled, and does not pause; it can be resumed."""
    leaving = Leaving()
    async with Runtime() as rt:
        async with trio.open_nursery() as nursery:
            run, ended = await run_until_it_leaves(rt, leaving, nursery)
            assert await rt.cancel(run)
            leaving.goes.set()
        assert [type(each) for each in ended] == [RunCancelled]
        assert [each.status for each in await list_runs(rt)] == ["cancelled"]
        assert (await rt.resume(run)).status == "paused"


async def test_a_caller_that_gives_up_while_it_leaves() -> None:
    """The cancellation of the caller ends the run, and not only the workflow's function."""
    leaving = Leaving()
    async with Runtime() as rt:
        async with trio.open_nursery() as nursery:
            _, ended = await run_until_it_leaves(rt, leaving, nursery)
            nursery.cancel_scope.cancel()
            leaving.goes.set()
        assert ended == []
        assert [each.status for each in await list_runs(rt)] == ["cancelled"]


async def test_a_function_that_answers_all_the_same() -> None:
    """A run whose function catches the cancellation of its pause is paused, and that is stored."""

    @workflow
    async def stubborn(flow: Flow) -> str:
        """Ask, and answer without an answer."""
        try:
            return str(await flow.ask(Ask(str, "Who?")))
        except trio.Cancelled:
            return "nobody"

    async with Runtime() as rt:
        assert (await rt.run(stubborn, "go")).status == "paused"
        assert [each.status for each in await list_runs(rt)] == ["paused"]


async def test_a_failure_while_it_leaves() -> None:
    """A failure of the function that comes with the cancellation of its pause ends the run."""

    @workflow
    async def failing(flow: Flow) -> str:
        """Ask, and fail."""
        try:
            return str(await flow.ask(Ask(str, "Who?")))
        finally:
            raise LookupError("lost")

    async with Runtime() as rt:
        with pytest.raises(Exception, match="lost"):
            await rt.run(failing, "go")
        assert [each.status for each in await list_runs(rt)] == ["failed"]
