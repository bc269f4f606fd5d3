"""`memory:` has bounds: the oldest entries are forgotten with a warning, or new ones are refused."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agno_rt import Agent, Message, Runtime, ToolCall
from agno_rt.defaults.memory import InProcessMemory, MemoryBounds
from agno_rt.errors import BackendError
from agno_rt.media import image
from agno_rt.messages import Content
from agno_rt.run_store import Approval, Entry, RunChange, RunRecord, RunStatus
from agno_rt.testing import ScriptedModel

MEBIBYTE = 2**20
LARGE = "x" * 100_000


@contextmanager
def expect_forgetting() -> Iterator[None]:
    """Expect a single warning about forgotten entries."""
    with pytest.warns(RuntimeWarning, match=r"memory: keeps .* are forgotten\..*sqlite:///") as told:
        yield
    assert len(told) == 1


async def list_session_ids(memory: InProcessMemory) -> set[str]:
    """Return the ids of the stored sessions."""
    return {info.id for info in await memory.sessions(limit=1_000)}


class TestSessions:
    """Bounds of conversations."""

    async def test_those_used_longest_ago_are_forgotten(self) -> None:
        """Beyond the bound, the sessions with the oldest write or read are forgotten."""
        memory = InProcessMemory(bounds=MemoryBounds(sessions=3))
        for session in "abc":
            await memory.append(session, [Message("user", "hi")], version=0)
        await memory.append("a", [Message("user", "more")], version=1)
        await memory.load("b")
        with expect_forgetting():
            await memory.append("d", [Message("user", "hi")], version=0)
            first = await list_session_ids(memory)
            await memory.append("e", [Message("user", "hi")], version=0)

        assert first == {"a", "b", "d"}
        assert await list_session_ids(memory) == {"b", "d", "e"}
        assert (await memory.load("a")).version == 0

    @pytest.mark.parametrize(
        "message",
        [
            Message("user", LARGE),
            Message("user", "\N{SNOWMAN}" * 40_000),
            Message("user", ("look", LARGE)),
            Message("user", ("look", image(b"\x89PNG\r\n\x1a\n" + bytes(100_000)))),
            Message("assistant", "", (ToolCall("c", "write", LARGE),)),
            Message("assistant", "ok", (), None, None, LARGE),
        ],
        ids=["text", "other letters", "parts", "media", "calls", "reasoning"],
    )
    async def test_large_messages(self, message: Message) -> None:
        """All large parts of messages count: the sessions stay within the bound, and the newest session stays."""
        memory = InProcessMemory(bounds=MemoryBounds(size=MEBIBYTE))
        with expect_forgetting():
            for number in range(40):
                await memory.append(str(number), [message], version=0)
        left = await list_session_ids(memory)

        assert 5 <= len(left) <= 11
        assert left == {str(number) for number in range(40 - len(left), 40)}

    async def test_many_small_messages(self) -> None:
        """Small messages and states count too, soon after their append."""
        memory = InProcessMemory(bounds=MemoryBounds(size=MEBIBYTE))
        with expect_forgetting():
            for session in "abcdefgh" * 100:
                version = (await memory.load(session)).version
                await memory.append(session, [Message("user", "hi")] * 5, version=version)
        left = sum(info.messages for info in await memory.sessions())

        assert 500 < left < 1_500

    @pytest.mark.parametrize("content", [LARGE, ("look", LARGE)])
    async def test_one_that_is_too_large_by_itself(self, content: Content) -> None:
        """A session near the whole bound refuses more, and keeps its messages; the run's answer is not lost."""
        memory = InProcessMemory(bounds=MemoryBounds(size=MEBIBYTE))
        await memory.append("other", [Message("user", "hi")], version=0)
        async with Runtime(memory=memory) as rt:
            ask = functools.partial(rt.run, Agent(ScriptedModel(lambda request: "ok")), [Message("user", content)])
            for _ in range(10):
                await ask(session="s")
            with pytest.raises(BackendError, match="no room for more of session 's'") as caught:
                await ask(session="s")
            stored = await memory.load("s")

        assert caught.value.result.content == "ok"
        assert "sqlite:///" in caught.value.hint
        assert stored.total == 20

    async def test_one_of_many_small_messages(self) -> None:
        """A session of many small messages refuses more at the bound."""
        memory = InProcessMemory(bounds=MemoryBounds(size=MEBIBYTE))

        async def grow() -> None:
            for version in range(10_000):
                await memory.append("s", [Message("user", "hi")], version=version)

        with pytest.raises(BackendError, match="no room"):
            await grow()
        assert (await memory.load("s", 0)).total < 1_200

    async def test_what_is_deleted_makes_room(self) -> None:
        """A deleted session no longer counts."""
        memory = InProcessMemory(bounds=MemoryBounds(sessions=10, size=MEBIBYTE))
        for _ in range(50):
            await memory.append("s", [Message("user", LARGE)] * 5, version=0, data=LARGE.encode())
            assert await memory.delete("s")
        await memory.append("s", [Message("user", "hi")], version=0)

        assert [limit.in_use for limit in memory.statistics()] == [1, 0, 0, 0]

    async def test_a_runtime_tells_how_much_there_is(self) -> None:
        """The runtime's limits include the memory in use, and its bounds."""
        async with Runtime() as rt:
            await rt.run(Agent(ScriptedModel(["ok"])), "hi", session="s")
            found = {limit.name: limit for limit in rt.statistics()}

        assert (found["sessions in memory:"].in_use, found["sessions in memory:"].total) == (1, 10_000)
        assert found["MiB of sessions in memory:"].total == 256


class TestRuns:
    """Bounds of stored runs and their journals."""

    @staticmethod
    async def add(memory: InProcessMemory, run: str, status: RunStatus, size: int = 10) -> None:
        """Store a run with the status."""
        await memory.create_run(RunRecord(run, "agent", owner="me"), [Entry(0, "begun", bytes(size))])
        if status != "running":
            asked = [Approval(f"of {run}", run, ToolCall("c", "pay"))] if status == "paused" else []
            await memory.change_run(run, RunChange(status, approvals=asked), owner="me")

    @pytest.mark.parametrize("bounds", [MemoryBounds(runs=3), MemoryBounds(size=35)])
    async def test_those_that_are_over_are_forgotten(self, bounds: MemoryBounds) -> None:
        """Beyond the bounds, ended runs are forgotten, the longest unchanged first."""
        memory = InProcessMemory(bounds=bounds)
        await self.add(memory, "under way", "running")
        await self.add(memory, "one", "completed")
        await self.add(memory, "two", "failed")
        with expect_forgetting():
            await self.add(memory, "three", "paused")
            await self.add(memory, "four", "completed")

        assert {run.id for run in await memory.runs()} == {"under way", "three", "four"}
        assert [approval.run for approval in await memory.approvals()] == ["three"]

    @pytest.mark.parametrize("status", ["running", "paused"])
    async def test_those_that_are_not_over_stay(self, status: RunStatus) -> None:
        """A new run or a step beyond the bound is refused while no run has ended."""
        memory = InProcessMemory(bounds=MemoryBounds(runs=2, size=100))
        await self.add(memory, "one", status)
        await self.add(memory, "two", "running")
        with pytest.raises(BackendError, match="no room") as caught:
            await self.add(memory, "three", "running")
        with pytest.raises(BackendError, match="no room"):
            await memory.write_run("two", [Entry(1, "called", bytes(100))], owner="me")
        _, entries = await memory.load_run("two")
        await memory.delete_run("one")
        await self.add(memory, "three", "running")

        assert "sqlite:///" in caught.value.hint
        assert len(entries) == 1
        assert {run.id for run in await memory.runs()} == {"two", "three"}


async def test_facts() -> None:
    """Facts are never forgotten: beyond the bound over all users, a new fact is refused."""
    memory = InProcessMemory(bounds=MemoryBounds(facts=3))
    facts = [await memory.remember(user, "likes tea") for user in ("ann", "bob", "cid")]
    with pytest.raises(BackendError, match="no room for another fact"):
        await memory.remember("dan", "likes tea")
    assert await memory.remember("ann", "likes tea") == facts[0]
    await memory.forget("ann", facts[0].id)
    await memory.remember("dan", "likes tea")
    await memory.forget("dan")
    await memory.remember("eve", "likes tea")

    assert memory.statistics()[-1].in_use == 3


@pytest.mark.parametrize("bounds", [MemoryBounds(cached=3), MemoryBounds(size=35)])
async def test_cached_answers(bounds: MemoryBounds) -> None:
    """Beyond the bound, the least recently used answers are forgotten without a warning."""
    memory = InProcessMemory(bounds=bounds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key in "abc":
            await memory.cache(key, bytes(10))
        await memory.cached("a")
        await memory.cache("d", bytes(10))
        await memory.cache("d", bytes(10))
        left = [key for key in "abcd" if await memory.cached(key) is not None]
        await memory.uncache("c")
        await memory.cache("e", bytes(10))

    assert left == ["a", "c", "d"]
    assert [key for key in "ade" if await memory.cached(key) is None] == []
