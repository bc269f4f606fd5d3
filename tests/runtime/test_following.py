"""The events of a stored run are followed by number, from any runtime on the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from agno_rt import Agent, Event, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import ModelError, NotFound, UsageError
from agno_rt.events import RunEnded, RunStarted, TextDelta, event_type
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import ScriptedModel

LOGGED = MemoryPolicy(journal=True, events=True)
LONG = 60.0


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """Make two backends on one store, as two processes have, or one backend in this process."""
    if request.param == "memory":
        return (memory := InProcessMemory()), memory
    return SQLiteMemory(tmp_path / "memory.db"), SQLiteMemory(tmp_path / "memory.db")


async def read(rt: Runtime, run: str, after: int = 0) -> list[tuple[int, Event]]:
    """Return all events of a run."""
    with trio.fail_after(LONG):
        async with rt.follow(run, after) as events:
            return [each async for each in events]


async def test_a_run_is_followed_while_it_runs(stores: tuple[Any, Any]) -> None:
    """Another runtime gets every event in order, as they happen, and the end; so does a late follower."""
    go = trio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        await go.wait()
        return "waited"

    model = ScriptedModel([[ToolCall("c1", "wait", "{}")], "one two three"])
    agent = Agent(model, "clerk", tools=[wait], memory=LOGGED)
    async with Runtime(memory=stores[0]) as rt, Runtime(memory=stores[1]) as other:
        seen: list[tuple[int, Event]] = []
        async with rt.stream(agent, "go") as stream:
            sent: list[Event] = []
            with trio.fail_after(LONG):
                while not sent or event_type(sent[-1]) != "tool_started":
                    sent.append(await stream.__anext__())
                async with other.follow(stream.run_id) as events:
                    async for number, event in events:
                        seen.append((number, event))
                        if event_type(event) == "tool_started":
                            go.set()
            sent += [event async for event in stream]
        late = await read(other, stream.run_id)
        rest = await read(other, stream.run_id, after=3)
    for store in stores:
        await store.aclose()

    assert [number for number, _ in seen] == list(range(1, len(sent) + 1))
    assert [event for _, event in seen] == sent
    assert isinstance(seen[-1][1], RunEnded)
    assert "".join(event.text for _, event in seen if isinstance(event, TextDelta)) == "one two three"
    assert late == seen
    assert rest == seen[3:]


async def test_a_resumed_run_goes_on_with_the_numbers(stores: tuple[Any, Any]) -> None:
    """The events of both parts of a run are in one log, without a gap."""
    agent = Agent(ScriptedModel([ModelError("down")]), "clerk", memory=LOGGED)
    async with Runtime(memory=stores[0]) as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(agent, "go")
        run = caught.value.result.run_id
        first = await read(rt, run)
    async with Runtime(memory=stores[1]) as rt:
        await rt.resume(run, attrs.evolve(agent, model=ScriptedModel(["done"])))
        both = await read(rt, run)
    for store in stores:
        await store.aclose()

    assert both[: len(first)] == first
    assert [number for number, _ in both] == list(range(1, len(both) + 1))
    begun = [event.resumed for _, event in both if isinstance(event, RunStarted)]
    ended = [event.status for _, event in both if isinstance(event, RunEnded)]
    assert (begun, ended) == ([False, True], ["failed", "completed"])


async def test_a_run_resumed_at_once_keeps_its_events(stores: tuple[Any, Any]) -> None:
    """The events of a pause are not lost if the run is resumed before they are stored."""

    @tool(approve=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    agent = Agent(ScriptedModel([[ToolCall("c1", "pay", "{}")], "done"]), "clerk", tools=[pay], memory=LOGGED)
    async with Runtime(memory=stores[0]) as rt:
        paused = await rt.run(agent, "go")
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id)
        events = await read(rt, paused.run_id)
    for store in stores:
        await store.aclose()

    assert [event.status for _, event in events if isinstance(event, RunEnded)] == ["paused", "completed"]
    assert [number for number, _ in events] == list(range(1, len(events) + 1))


class SlowLog(InProcessMemory):
    """A log that is slow to store the first end of a run, and slow to tell that no event is to come."""

    def __init__(self) -> None:
        super().__init__()
        self.ending, self.telling, self.go = trio.Event(), trio.Event(), trio.Event()
        self.is_slow_to_tell = False

    async def log_events(self, run: str, events: Any, *, first: int, owner: str) -> None:
        await super().log_events(run, events, first=first, owner=owner)
        if any(b"run_ended" in event for event in events) and not self.ending.is_set():
            self.ending.set()
            if not self.is_slow_to_tell:
                await self.go.wait()

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        has_more = await super().wait_events(run, after=after, seconds=seconds)
        if not has_more and self.is_slow_to_tell and not self.telling.is_set():
            self.telling.set()
            await self.go.wait()
        return has_more


async def test_a_run_resumed_while_its_pause_is_logged() -> None:
    """The last event of a run is logged if the run was resumed during the write of its pause."""
    store = SlowLog()

    @tool(approve=True)
    async def pay() -> str:
        """Pay."""
        store.go.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        return "paid"

    agent = Agent(ScriptedModel([[ToolCall("c1", "pay", "{}")], "done"]), "clerk", tools=[pay], memory=LOGGED)
    async with Runtime(memory=store) as rt:
        paused = await rt.run(agent, "go")
        with trio.fail_after(LONG):
            await store.ending.wait()
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id)
        events = await read(rt, paused.run_id)

    assert [event.status for _, event in events if isinstance(event, RunEnded)] == ["paused", "completed"]


async def test_a_run_resumed_while_its_follower_looks() -> None:
    """A follower who learns late of the end of a resumed run gets the events since the pause."""
    store = SlowLog()
    store.is_slow_to_tell = True

    @tool(approve=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    agent = Agent(ScriptedModel([[ToolCall("c1", "pay", "{}")], "done"]), "clerk", tools=[pay], memory=LOGGED)
    seen: list[tuple[int, Event]] = []
    async with Runtime(memory=store) as rt, trio.open_nursery() as nursery:
        paused = await rt.run(agent, "go")
        with trio.fail_after(LONG):
            await store.ending.wait()

            async def follow() -> None:
                seen.extend(await read(rt, paused.run_id))

            nursery.start_soon(follow)
            await store.telling.wait()
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id)
        store.go.set()

    assert [event.status for _, event in seen if isinstance(event, RunEnded)] == ["paused", "completed"]


async def test_a_last_event_that_is_logged_late(autojump_clock: trio.testing.MockClock) -> None:
    """A follower gets the last event of a run, though the disk takes seconds to store the event."""

    class SlowDisk(InProcessMemory):
        """A memory that takes long to log the end of a run."""

        async def log_events(self, run: str, events: Any, *, first: int, owner: str) -> None:
            ends = [event for event in events if b"run_ended" in event]
            if before := [event for event in events if event not in ends]:
                await super().log_events(run, before, first=first, owner=owner)
            await trio.sleep(5)
            await super().log_events(run, ends, first=first + len(before), owner=owner)

    async with Runtime(memory=SlowDisk()) as rt:
        result = await rt.run(Agent(ScriptedModel(["done"]), "clerk", memory=LOGGED), "go")
        events = await read(rt, result.run_id)

    assert isinstance(events[-1][1], RunEnded)


async def test_many_pieces_share_a_write(tmp_path: Path) -> None:
    """A long answer in pieces takes few rows of the file, and comes back whole."""
    text = " ".join(str(number) for number in range(2_000))
    store = SQLiteMemory(tmp_path / "memory.db")
    agent = Agent(ScriptedModel([text]), "clerk", memory=LOGGED)
    async with Runtime(memory=store) as rt:
        result = await rt.run(agent, "go")
        events = await read(rt, result.run_id)
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "memory.db")) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM events").fetchone()

    assert "".join(event.text for _, event in events if isinstance(event, TextDelta)) == text
    assert rows <= 10 + len(events) // 20


async def test_a_run_without_a_log(stores: tuple[Any, Any]) -> None:
    """A run that logs nothing has no events to follow; an unknown run, and another user's, is not found."""
    agent = Agent(ScriptedModel(["done"]), "clerk", memory=MemoryPolicy(journal=True))
    async with Runtime(memory=stores[0]) as rt:
        result = await rt.run(agent, "go", user="ann")
        assert await read(rt, result.run_id) == []
        for run, user in (("none", None), (result.run_id, "bob")):
            with pytest.raises(NotFound):
                async with rt.follow(run, user=user):
                    raise AssertionError("never here")
    for store in stores:
        await store.aclose()


async def test_a_memory_without_a_log() -> None:
    """Following, and logging, need an `EventLog`."""

    class Plain:
        """A backend that keeps runs, without a log."""

        def __init__(self) -> None:
            self._inner = InProcessMemory()

        def __getattr__(self, name: str) -> Any:
            if name in ("log_events", "load_events"):
                raise AttributeError(name)
            return getattr(self._inner, name)

    async with Runtime(memory=Plain()) as rt:
        with pytest.raises(UsageError, match="logs no events"):
            async with rt.follow("r"):
                raise AssertionError("never here")
