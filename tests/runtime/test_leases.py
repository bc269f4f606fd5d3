"""Runs in a shared store belong to a runtime by a lease: taken over when it has ended, given up in time, fenced off."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
import trio
import trio.testing

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import UsageError
from agno_rt.events import Event, RunEnded, RunStarted
from agno_rt.memory import MemoryPolicy
from agno_rt.plugins import PluginHost
from agno_rt.run_store import LeaseLost, LeaseStore, RunConflict
from agno_rt.testing import KillPoint, ScriptedModel
from agno_rt.upkeep import RunCopy

ELSEWHERE = "another-host/7/1/runtime"
LEASE = 2.0
JOURNAL = MemoryPolicy(journal=True)
CALLS = [ToolCall("c1", "note", "{}")]


class Clerk:
    """An agent that notes each call of its tool; the tool waits for `go` once it has noted the call."""

    def __init__(self, *, waits: bool = False) -> None:
        self.calls: list[str] = []
        self.begun, self.go = trio.Event(), trio.Event()
        if not waits:
            self.go.set()

        @tool
        async def note() -> str:
            """Note the call."""
            self.calls.append("note")
            self.begun.set()
            await self.go.wait()
            return "noted"

        self.agent = Agent(ScriptedModel([CALLS, "done"]), "clerk", tools=[note], memory=JOURNAL)

    def again(self, *replies: Any) -> Agent:
        """Return the agent with other answers of its model."""
        return attrs.evolve(self.agent, model=ScriptedModel(list(replies)))


async def lose_run(path: Path, clerk: Clerk) -> str:
    """Kill a run of the clerk after its first call, as if another host had begun it; return its id."""
    # A lease so long is not renewed meanwhile, which would count as a write, too.
    store = SQLiteMemory(path, lease_seconds=3_600)
    at = 6  # lease, lock of the session, run, answer, begin of the call, its result
    point = KillPoint()
    point.arm(at)
    with point:
        async with Runtime(memory=point.memory(store)) as rt:
            await rt.run(clerk.agent, "go", session="s")
    assert point.killed
    [record] = await store.runs(status="running")
    _, entries = await store.load_run(record.id)
    moved = attrs.evolve(record, owner=ELSEWHERE, updated_at=record.updated_at + 1)
    assert [entry.kind for entry in entries] == ["begun", "answered", "started", "called"]
    assert await store.import_run(RunCopy(moved, entries))
    await store.aclose()
    return str(record.id)


async def wait_for(store: Any, run: str, status: str) -> None:
    """Wait until the run has the status."""
    while (await store.load_run(run))[0].status != status:  # noqa: ASYNC110 - the store tells nobody
        await trio.sleep(0.01)


async def test_a_lost_run_is_taken_over(tmp_path: Path) -> None:
    """A run of another host goes on when that host's lease has ended, and no finished call is made again."""
    store = SQLiteMemory(tmp_path / "memory.db")
    clerk = Clerk()
    run = await lose_run(store.path, clerk)
    await store.renew_lease(ELSEWHERE, seconds=3_600)
    async with Runtime(memory=store) as rt:
        rt.add(clerk.again("done"))
        with pytest.raises(RunConflict, match="under way"):
            await rt.resume(run)
        rt.wake_runs()
        assert (await store.load_run(run))[0].owner == ELSEWHERE
        await store.release_lease(ELSEWHERE)
        with trio.fail_after(60):
            await wait_for(store, run, "completed")
        session = await store.load("s")
    await store.aclose()

    assert clerk.calls == ["note"]
    assert [message.text for message in session.messages] == ["go", "", "noted", "done"]


async def test_a_lost_run_can_be_resumed_by_hand(tmp_path: Path) -> None:
    """Without a lease, the run of another host needs no force."""
    store = SQLiteMemory(tmp_path / "memory.db")
    clerk = Clerk()
    run = await lose_run(store.path, clerk)
    async with Runtime(memory=store) as rt:
        result = await rt.resume(run, clerk.again("done"))
        leased = await store.find_leased([ELSEWHERE])
    await store.aclose()

    assert (result.content, clerk.calls, leased) == ("done", ["note"], set())


async def test_one_of_many_gets_a_lost_run(tmp_path: Path) -> None:
    """Of several runtimes that wake runs, one takes a lost run over, and the tool is called once."""
    stores = [SQLiteMemory(tmp_path / "memory.db") for _ in range(3)]
    clerk = Clerk()
    run = await lose_run(stores[0].path, clerk)
    async with Runtime(memory=stores[0]) as one, Runtime(memory=stores[1]) as two, Runtime(memory=stores[2]) as three:
        for rt in (one, two, three):
            rt.add(clerk.again("done"))
            rt.wake_runs()
        with trio.fail_after(60):
            await wait_for(stores[0], run, "completed")
    for store in stores:
        await store.aclose()

    assert clerk.calls == ["note"]


async def test_gives_up_what_others_may_take(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """If the lease cannot be renewed in time, the run is cancelled with an error, stores nothing, and goes on later."""
    path = tmp_path / "memory.db"
    store = SQLiteMemory(path, clock=trio.current_time, lease_seconds=LEASE, busy_seconds=0.02)
    clerk = Clerk(waits=True)
    async with Runtime(memory=store) as rt:
        run = await rt.start(clerk.agent, "go", session="s")
        await clerk.begun.wait()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another process holds the file's lock
            mock_clock.jump(0.9 * LEASE)
            with pytest.raises(LeaseLost, match="lease") as caught:
                await run.wait()
        record, entries = await store.load_run(run.id)
        assert (record.status, (await store.load("s")).version) == ("running", 0)
        clerk.go.set()
        assert not await store.find_lost(["clerk"])
        mock_clock.jump(LEASE)
        assert await store.find_lost(["clerk"])
        result = await rt.resume(run.id, clerk.again("done"))
    await store.aclose()

    assert run.result is not None
    assert (run.result.status, caught.value.code, result.content) == ("failed", "lease_lost", "done")
    assert [entry.kind for entry in entries] == ["begun", "answered", "started"]
    assert clerk.calls == ["note"]  # the model is told that the outcome of the call is unknown


async def test_a_lost_lease_is_not_told_as_the_end(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """Followers hear nothing of a run that is given up, which goes on elsewhere; they hear of its end there alone."""
    path = tmp_path / "memory.db"
    store = SQLiteMemory(path, clock=trio.current_time, lease_seconds=LEASE, busy_seconds=0.02)
    clerk = Clerk(waits=True)
    agent = attrs.evolve(clerk.agent, memory=MemoryPolicy(journal=True, events=True))
    async with Runtime(memory=store) as rt:
        run = await rt.start(agent, "go")
        await clerk.begun.wait()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another process holds the file's lock
            mock_clock.jump(0.9 * LEASE)
            with pytest.raises(LeaseLost):
                await run.wait()
        mock_clock.jump(LEASE)
        await rt.resume(run.id, attrs.evolve(agent, model=ScriptedModel(["done"])))
    events = [msgspec.json.decode(body, type=Event) for _, body in await store.load_events(run.id)]
    await store.aclose()

    assert [event.status for event in events if isinstance(event, RunEnded)] == ["completed"]
    assert [event.resumed for event in events if isinstance(event, RunStarted)] == [False, True]


class Renewed(SQLiteMemory):
    """A file that tells of each renewal of a lease."""

    renewed = trio.Event()

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """Renew, and tell."""
        is_leased = await super().renew_lease(owner, seconds=seconds)
        self.renewed.set()
        return is_leased


async def test_a_lease_is_renewed(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """A run that takes longer than a lease keeps its owner, which has no lease after the runtime's end."""
    store = Renewed(tmp_path / "memory.db", clock=trio.current_time, lease_seconds=LEASE)
    clerk = Clerk(waits=True)
    async with Runtime(memory=store) as rt:
        run = await rt.start(clerk.agent, "go")
        await clerk.begun.wait()
        record, _ = await store.load_run(run.id)
        for _ in range(10):
            store.renewed = trio.Event()
            mock_clock.jump(LEASE / 3)
            await store.renewed.wait()
            assert await store.find_leased([str(record.owner)]) == {record.owner}
            assert await store.find_lost(["clerk"]) == []
        clerk.go.set()
        assert (await run.wait()).content == "done"
    assert await store.find_leased([str(record.owner)]) == set()
    await store.aclose()


def test_a_runtime_that_is_opened_again(tmp_path: Path) -> None:
    """A runtime that is opened again, in another trio run, takes a lease of another name for its next run."""
    store = SQLiteMemory(tmp_path / "memory.db")
    rt = Runtime(memory=store)
    owners = []

    async def run_once() -> None:
        clerk = Clerk(waits=True)
        async with rt:
            run = await rt.start(clerk.agent, "go")
            await clerk.begun.wait()
            owner = (await store.load_run(run.id))[0].owner
            assert await store.find_leased([str(owner)]) == {owner}
            clerk.go.set()
            assert (await run.wait()).content == "done"
        owners.append(owner)

    for _ in range(3):
        trio.run(run_once)
    trio.run(store.aclose)

    assert len(set(owners)) == 3


async def test_a_fenced_off_owner_stores_nothing(tmp_path: Path) -> None:
    """A run that another has taken over ends with a conflict, and neither its journal nor its session changes."""
    store = SQLiteMemory(tmp_path / "memory.db")
    clerk = Clerk(waits=True)
    async with Runtime(memory=store) as rt:
        run = await rt.start(clerk.agent, "go", session="s")
        await clerk.begun.wait()
        record, entries = await store.load_run(run.id)
        await store.claim_run(run.id, ELSEWHERE, held_by=record.owner)
        clerk.go.set()
        with pytest.raises(RunConflict, match="another-host") as caught:
            await run.wait()
        after = await store.load_run(run.id)
        session = await store.load("s")
    await store.aclose()

    assert (after[0].owner, after[0].status, after[1]) == (ELSEWHERE, "running", entries)
    assert session.version == 0
    assert "could not be stored" not in str(getattr(caught.value, "__notes__", []))


async def test_runs_in_one_process_need_no_lease() -> None:
    """In memory, no lease is taken."""
    memory = InProcessMemory()
    clerk = Clerk()
    async with Runtime(memory=memory) as rt:
        assert (await rt.run(clerk.agent, "go")).content == "done"

    assert isinstance(memory, LeaseStore)
    assert memory.lease_seconds == 0


def test_the_length_of_a_lease_is_an_option(tmp_path: Path) -> None:
    """A URL says how long a lease lasts; a wrong value is an error."""
    host = PluginHost()
    url = f"sqlite:///{tmp_path}/memory.db"

    assert host.memory(f"{url}?lease=5s", {}).lease_seconds == 5
    assert host.memory(url, {}).lease_seconds == 15
    with pytest.raises(UsageError, match="lease"):
        host.memory(f"{url}?lease=soon", {})


async def test_a_run_after_a_pause_is_not_given_up(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """The lease ends while a runtime has no run; the next run takes another lease, and is not lost with the first."""
    store = SQLiteMemory(tmp_path / "memory.db", clock=trio.current_time, lease_seconds=LEASE)
    agent = Agent(ScriptedModel(["done"] * 4), "a", memory=JOURNAL)
    async with Runtime(memory=store) as rt:
        ends = []
        for _ in range(4):
            ends.append((await rt.run(agent, "go")).status)
            mock_clock.jump(3 * LEASE)
    await store.aclose()

    assert ends == ["completed"] * 4
