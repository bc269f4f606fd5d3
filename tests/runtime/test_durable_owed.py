"""Runs that break off while the store is full: the process gives them up as soon as there is room."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import BackendError
from agno_rt.memory import MemoryPolicy
from agno_rt.run_store import Entry, RunChange
from agno_rt.testing import ScriptedModel
from tests.helpers import echo

JOURNAL = MemoryPolicy(journal=True)


class Full(InProcessMemory):
    """A store with a full disk while `full` is set."""

    full = False

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Fail while the disk is full."""
        self._fail_if_full()
        await super().write_run(run, entries, owner=owner)

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Fail while the disk is full."""
        self._fail_if_full()
        return await super().change_run(run, change, owner=owner)

    def _fail_if_full(self) -> None:
        if self.full:
            raise BackendError("the disk is full", hint="Make room.")


class TestOwed:
    """Runs whose end could not be stored in time."""

    @staticmethod
    async def fail(rt: Runtime, memory: Full, steps: Sequence[Any]) -> str:
        """Break off a run on a full disk, and return the run's id."""

        def fill(_: object) -> str:
            memory.full = True
            return "the answer"

        with pytest.raises(BackendError, match="full") as caught:
            await rt.run(Agent(ScriptedModel([*steps, fill]), "a", tools=[echo], memory=JOURNAL), "go", session="s")
        assert "could not be stored" in caught.value.__notes__[-1]
        return str(caught.value.result.run_id)

    @pytest.mark.parametrize("steps", [[], [ToolCall("c", "echo", '{"text": "x"}')]])
    async def test_are_let_go_once_there_is_room(
        self, steps: list[Any], autojump_clock: trio.testing.MockClock
    ) -> None:
        """A run cut off by a full disk loses its owner once room appears, while the process lives.

        The model's last answer is stored with the run's end, so the resumed run does not ask for another.
        """
        memory = Full()
        async with Runtime(memory=memory) as rt:
            run_id = await self.fail(rt, memory, steps)
            await trio.sleep(10)
            before, _ = await memory.load_run(run_id)
            memory.full = False
            await trio.sleep(2)
            after, _ = await memory.load_run(run_id)
            async with Runtime(memory=memory) as other:
                result = await other.resume(run_id, Agent(ScriptedModel([]), "a", tools=[echo], memory=JOURNAL))

        assert (before.status, before.owner is None) == ("running", False)
        assert (after.status, after.owner, after.code) == ("failed", None, "backend")
        assert result.content == "the answer"

    async def test_are_let_go_at_the_end(self) -> None:
        """A closing runtime gives up the run, if the disk has room by then."""
        memory = Full()
        async with Runtime(memory=memory) as rt:
            run_id = await self.fail(rt, memory, [])
            memory.full = False

        assert (await memory.load_run(run_id))[0].owner is None

    async def test_are_resumed_where_they_broke_off(self) -> None:
        """The same runtime can resume the run at once with the answer it has, and does not end the run twice."""
        memory = Full()
        async with Runtime(memory=memory) as rt:
            run_id = await self.fail(rt, memory, [])
            memory.full = False
            result = await rt.resume(run_id, Agent(ScriptedModel([]), "a", memory=JOURNAL))
            record, entries = await memory.load_run(run_id)

        assert result.content == "the answer"
        assert record.status == "completed"
        assert [entry.seq for entry in entries] == list(range(len(entries)))

    async def test_of_a_runtime_that_is_gone(self) -> None:
        """Another runtime of the process resumes the run, if the disk stays full until the first one closes."""
        memory = Full()
        async with Runtime(memory=memory) as rt:
            run_id = await self.fail(rt, memory, [])
        del rt
        memory.full = False
        gc.collect()
        async with Runtime(memory=memory) as other:
            result = await other.resume(run_id, Agent(ScriptedModel(["done"]), "a", memory=JOURNAL))

        assert result.content == "done"

    @pytest.mark.parametrize("meanwhile", ["deleted", "taken over"])
    async def test_that_somebody_else_has_seen_to(self, meanwhile: str, autojump_clock: trio.testing.MockClock) -> None:
        """A run deleted or taken over is not written again."""
        memory = Full()
        async with Runtime(memory=memory) as rt:
            run_id = await self.fail(rt, memory, [])
            memory.full = False
            if meanwhile == "deleted":
                await memory.delete_run(run_id)
            else:
                record, _ = await memory.load_run(run_id)
                await memory.claim_run(run_id, "somebody", held_by=record.owner)
            await trio.sleep(5)
            left = await memory.runs()

        assert [(each.status, each.owner) for each in left] == [("running", "somebody")] * (meanwhile != "deleted")
