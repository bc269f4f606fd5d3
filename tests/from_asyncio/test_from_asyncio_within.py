"""Streams in asyncio with the events of runs within, and streams whose run is steered and stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agno_rt import Agent, Flow, ModelRequest, Team, ToolCall, tool, workflow
from agno_rt.errors import UsageError
from agno_rt.events import RunEnded, RunStarted, ToolStarted
from agno_rt.from_asyncio import AsyncioRuntime, to_asyncio
from agno_rt.teams import Sequence
from agno_rt.testing import ScriptedModel
from tests.asyncio_helpers import in_asyncio

pytestmark = pytest.mark.no_orphans


def make_team() -> Team:
    """Return a team of two members, one after the other."""
    return Team([Agent(ScriptedModel([name] * 9), name) for name in ("one", "two")], Sequence(), name="pair")


@in_asyncio
async def test_the_runs_within() -> None:
    """Each event comes with its path; the stream itself has the events of the run alone."""
    async with AsyncioRuntime() as rt:
        async with rt.stream(make_team(), "go") as events:
            seen = [(path, event) async for path, event in events.within()]
            assert events.result is not None
            assert events.result.content == "two"
        async with rt.stream(make_team(), "go") as events:
            own = [event async for event in events]
    started = [path for path, event in seen if isinstance(event, RunStarted)]
    ended = [path for path, event in seen if isinstance(event, RunEnded)]
    assert (started, ended) == (["", "one#1", "two#1"], ["one#1", "two#1", ""])
    assert {event.run_id for event in own} == {events.run_id}


@in_asyncio
async def test_many_events_within() -> None:
    """A reader with the runs within gets all events, in order, of more runs than cross over ahead of it."""
    child = Agent(ScriptedModel(["x"] * 200), "child")

    @workflow(memory={"journal": False})
    async def flow_of(flow: Flow) -> None:
        for _ in range(100):
            await flow.run(child, "go")

    async with AsyncioRuntime() as rt, rt.stream(flow_of, "go") as events:
        started = [path async for path, event in events.within() if isinstance(event, RunStarted)]
    assert started == ["", *(f"child#{number}" for number in range(1, 101))]


@in_asyncio
async def test_within_comes_first() -> None:
    """Once an event is read, the events of runs within are gone, and asking for them is refused."""
    async with AsyncioRuntime() as rt, rt.stream(make_team(), "go") as events:
        await anext(events)
        with pytest.raises(UsageError, match="are read already"):
            events.within()


@in_asyncio
async def test_send_and_stop() -> None:
    """A message is in the model's next request, and a stop ends the run after the tool."""
    goes = asyncio.Event()

    @tool
    @to_asyncio
    async def work() -> str:
        """Work."""
        await goes.wait()
        return "worked"

    seen: list[Any] = []

    def answer(request: ModelRequest) -> ToolCall:
        seen.append([message.text for message in request.messages if message.role == "user"])
        return ToolCall(str(request.turn), "work")

    async with (
        AsyncioRuntime() as rt,
        rt.stream(Agent(ScriptedModel([answer] * 9), "worker", tools=[work]), "go") as run,
    ):
        async for event in run:
            if isinstance(event, ToolStarted) and not goes.is_set():
                await run.send("and hurry")
                goes.set()
            elif isinstance(event, ToolStarted):
                await run.stop()
                break
        last = [event async for event in run][-1]
    assert isinstance(last, RunEnded)
    assert last.status == "cancelled"
    assert seen[:2] == [["go"], ["go", "and hurry"]]
