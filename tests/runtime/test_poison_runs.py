"""Runs whose processes die again and again are set aside; runs of dead processes are found on any host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Limits, Runtime
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.memory import MemoryPolicy
from agno_rt.run_store import RunChange, RunConflict, RunRecord, RunSetAside
from agno_rt.testing import KillPoint, ScriptedModel

TWICE = Limits(takeovers=2)


def make_agent(*replies: Any) -> Agent[Any]:
    """Return an agent with a journal."""
    return Agent(ScriptedModel(list(replies)), "clerk", memory=MemoryPolicy(journal=True))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteMemory]:
    """Return a store that hosts could share."""
    memory = SQLiteMemory(tmp_path / "memory.db")
    yield memory
    await memory.aclose()


async def lose_run(store: SQLiteMemory, *hosts: str) -> str:
    """Begin a run, and let one host after the other take the run over and die; return its id."""
    point = KillPoint()
    point.arm(2)  # lease, run
    # A lease so long is not renewed meanwhile, which would count as a write, too.
    first = SQLiteMemory(store.path, lease_seconds=3_600)
    with point:
        async with Runtime(memory=point.memory(first)) as rt:
            await rt.run(make_agent("lost"), "go")
    await first.aclose()
    assert point.killed
    [record] = await store.runs(status="running")
    owner = record.owner
    for host in hosts:
        next_owner = f"{host}/7/1/runtime"
        await store.claim_run(record.id, next_owner, held_by=owner)
        owner = next_owner
    return record.id


async def wait_for(store: SQLiteMemory, run: str, status: str) -> RunRecord:
    """Wait until the run has the status, and return the record."""
    with trio.fail_after(60):
        while True:
            record, _ = await store.load_run(run)
            if record.status == status:
                return record
            await trio.sleep(0.01)


async def test_a_run_within_the_bound_goes_on(store: SQLiteMemory) -> None:
    """The last takeover that is allowed carries the run out, and the number of takeovers stays with the run."""
    run = await lose_run(store, "one")
    async with Runtime(memory=store, limits=TWICE) as rt:
        rt.add(make_agent("done"))
        rt.wake_runs()
        record = await wait_for(store, run, "completed")

    assert (record.content, record.takeovers) == ("done", 2)


async def test_a_run_beyond_the_bound_is_set_aside(store: SQLiteMemory) -> None:
    """One takeover more ends the run as failed with an error that says so; no model is asked, and nobody takes over."""
    run = await lose_run(store, "one", "two")

    async def take_over() -> RunRecord:
        async with Runtime(memory=store, limits=TWICE) as rt:
            rt.add(make_agent())
            rt.wake_runs()
            return await wait_for(store, run, "failed")

    with pytest.warns(RuntimeWarning, match="was set aside: its processes died 3 times"):
        record = await take_over()
    _, entries = await store.load_run(run)
    lost = await store.find_lost(["clerk"])

    assert (record.code, record.owner, record.takeovers) == ("run_set_aside", None, 3)
    assert f"run {run!r} was set aside: its processes died 3 times in a row" in str(record.error)
    assert [entry.kind for entry in entries] == ["begun", "ended"]
    assert lost == []


async def test_a_run_that_was_set_aside_can_be_resumed(store: SQLiteMemory) -> None:
    """Resuming a lost run beyond the bound sets it aside, too; resuming that one tries again, and counts anew."""
    run = await lose_run(store, "one", "two")
    async with Runtime(memory=store, limits=TWICE) as rt:
        with pytest.raises(RunSetAside, match="set aside") as caught:
            await rt.resume(run, make_agent())
        assert await rt.find_stopped(await store.runs()) == set()
        result = await rt.resume(run, make_agent("done"))
    record, _ = await store.load_run(run)

    assert isinstance(caught.value, RunConflict)
    assert f"agno-rt runs show {run}" in caught.value.hint
    assert (result.content, record.takeovers) == ("done", 0)


@pytest.mark.parametrize("limits", [Limits(takeovers=None), Limits()])
async def test_the_bound_is_a_setting(store: SQLiteMemory, limits: Limits) -> None:
    """Without a bound, and below the default of five, a run is taken over."""
    run = await lose_run(store, "one", "two", "three", "four")
    async with Runtime(memory=store, limits=limits) as rt:
        assert (await rt.resume(run, make_agent("done"))).content == "done"


async def test_force_passes_the_bound(store: SQLiteMemory) -> None:
    """A person may force a run that would be set aside."""
    run = await lose_run(store, "one", "two")
    async with Runtime(memory=store, limits=TWICE) as rt:
        result = await rt.resume(run, make_agent("done"), force=True)

    assert result.content == "done"


async def test_stopped_runs_are_told_by_lease(store: SQLiteMemory) -> None:
    """A run of another host is stopped when that host has no lease; one question serves any number of runs."""
    for run, owner in (("alive", "a/1/1/x"), ("gone", "b/1/1/y"), ("never", "c/1/1/z"), ("nobody", None)):
        await store.create_run(RunRecord(run, "clerk", owner=owner))
    await store.renew_lease("a/1/1/x", seconds=3_600)
    await store.renew_lease("b/1/1/y", seconds=0)
    await store.create_run(RunRecord("paused", "clerk", owner="b/1/1/y"))
    await store.change_run("paused", RunChange("paused"), owner="b/1/1/y")
    async with Runtime(memory=store) as rt:
        assert await rt.find_stopped(await store.runs()) == {"gone", "never", "nobody"}
        assert await rt.find_stopped([]) == set()
        await store.release_lease("a/1/1/x")
        assert "alive" in await rt.find_stopped(await store.runs())


async def test_a_run_under_way_here_is_not_stopped(store: SQLiteMemory) -> None:
    """A run that another runtime of this process carries out is not stopped."""
    begun, go = trio.Event(), trio.Event()

    async def wait(_: object) -> str:
        begun.set()
        await go.wait()
        return "done"

    async with Runtime(memory=store) as one, Runtime(memory=store) as two:
        await one.start(make_agent(wait), "go")
        await begun.wait()
        found = [await rt.find_stopped(await store.runs()) for rt in (one, two)]
        go.set()

    assert found == [set(), set()]


async def test_without_leases_a_process_elsewhere_lives() -> None:
    """In memory, where runtimes take no leases, a run of another host is not stopped."""
    memory = InProcessMemory()
    await memory.create_run(RunRecord("r", "clerk", owner="another-host/7/1/x"))
    async with Runtime(memory=memory) as rt:
        assert await rt.find_stopped(await memory.runs()) == set()
