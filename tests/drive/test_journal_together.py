"""Entries of a run that wait for a slow store: written together, in order, and without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agno_rt import Flow, Runtime, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError
from agno_rt.run_store import Entry


class SlowMemory(InProcessMemory):
    """A memory whose journals take a second to write to. Fails at the write number `fails`."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__()
        self.writes: list[int] = []
        self.fails = fails

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Write the entries, slowly."""
        await trio.sleep(1)
        self.writes.append(len(entries))
        if len(self.writes) == self.fails:
            raise OSError("no disk")
        await super().write_run(run, entries, owner=owner)


@step(idempotent=True)
async def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


@workflow(name="branches")
async def branches(flow: Flow) -> list[int]:
    """Take twenty steps at once."""
    async with flow.group() as group:
        for number in range(20):
            group.start(double, number)
    return group.results


async def test_branches_are_written_together(autojump_clock: MockClock) -> None:
    """Twenty branches take two writes: of the first to come, and of all that came meanwhile."""
    memory = SlowMemory()
    async with Runtime(memory=memory) as rt:
        run = await rt.start(branches, "go")
        result = await run.wait()
        _, entries = await memory.load_run(run.id)
    assert result.output == [2 * number for number in range(20)]
    assert memory.writes == [1, 19]
    assert [each.seq for each in entries] == list(range(22))


async def test_a_branch_that_is_cancelled_while_it_waits(autojump_clock: MockClock) -> None:
    """Branches that are cancelled while they wait, or write for the others, leave no gap and take nobody along."""
    memory, scopes = SlowMemory(), [trio.CancelScope() for _ in range(4)]

    @workflow(name="cancelled")
    async def cancelled(flow: Flow) -> int:
        async def take(number: int) -> None:
            with scopes[number]:
                await double(number)

        async def cancel() -> None:
            await trio.sleep(0.5)
            scopes[2].cancel()
            await trio.sleep(0.75)  # now the others are written together
            scopes[3].cancel()

        async with flow.group() as group:
            for number in range(4):
                group.start(take, number)
            group.start(cancel)
        return await double(9)

    async with Runtime(memory=memory) as rt:
        run = await rt.start(cancelled, "go")
        assert (await run.wait()).output == 18
        _, entries = await memory.load_run(run.id)
    assert [each.seq for each in entries] == list(range(len(entries)))
    paths = [each.body.decode() for each in entries if each.kind == "step_ended"]
    taken = [number for number in range(4) if any(f'"group#1/{number}/' in path for path in paths)]
    # Trio begins the branches in any order: a cancelled one may be the one that writes for all, and the rest try again.
    assert {0, 1} <= set(taken)
    assert sum(memory.writes) == len(paths)


async def test_a_write_that_fails(autojump_clock: MockClock) -> None:
    """Everybody whose entry was in the failed write learns of the failure; the resumed run takes these steps again."""
    memory = SlowMemory(fails=2)
    async with Runtime(memory=memory) as rt:
        run: Any = await rt.start(branches, "go")
        with pytest.raises(BackendError, match="no disk"):
            await run.wait()
        result = await rt.resume(run.id, branches)
    assert result.output == [2 * number for number in range(20)]
    assert memory.writes == [1, 19, 1, 18]
