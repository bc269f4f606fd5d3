"""Chunks on their way from a thread to a task: in their order, with back-pressure, and left behind in good time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
import trio.testing
from agno_rt_llamacpp.handover import AHEAD, Handover

Put = Callable[[Mapping[str, Any]], None]


class TestHandover:
    """What a task gets of the work in a thread."""

    async def test_chunks_come_in_their_order(self) -> None:
        """All of them, however many; then the end is told, and that the work has ended."""
        ended: list[str] = []

        def work(put: Put) -> None:
            for at in range(5 * AHEAD):
                put({"at": at})

        handover = Handover(work, lambda: ended.append("ended"))
        got = [chunk["at"] async for chunk in _all(handover)]

        assert got == list(range(5 * AHEAD))
        assert ended == ["ended"]

    async def test_the_thread_waits_for_the_task(self) -> None:
        """It is some chunks ahead, and no more."""
        put_so_far: list[int] = []

        def work(put: Put) -> None:
            for at in range(3 * AHEAD):
                put({"at": at})
                put_so_far.append(at)

        handover = Handover(work, lambda: None)
        await handover.next()
        await trio.sleep(0.05)
        ahead = len(put_so_far)
        assert [chunk["at"] async for chunk in _all(handover)][-1] == 3 * AHEAD - 1
        assert ahead <= AHEAD + 1

    async def test_what_the_work_raises(self) -> None:
        """It comes behind the chunks that were put before it."""

        def work(put: Put) -> None:
            put({"at": 0})
            raise KeyError("broken")

        handover = Handover(work, lambda: None)
        assert await handover.next() == {"at": 0}
        with pytest.raises(KeyError, match="broken"):
            await handover.next()

    async def test_a_task_that_leaves_stops_the_thread(self) -> None:
        """The next chunk that is put ends the work, and whoever left has waited for that."""
        put_so_far: list[int] = []
        ended: list[str] = []

        def work(put: Put) -> None:
            while True:
                put({})
                put_so_far.append(1)

        handover = Handover(work, lambda: ended.append("ended"))
        await handover.next()
        await handover.leave()

        assert ended == ["ended"]

    async def test_a_thread_that_says_nothing_is_left_behind(self, autojump_clock: trio.testing.MockClock) -> None:
        """A cancelled task does not wait for it longer than a moment; that it has ended is told when it has."""
        go_on = threading.Event()
        ended = trio.Event()
        handover = Handover(lambda _put: _wait(go_on), ended.set)

        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await handover.next()
            finally:
                await handover.leave()

        assert scope.cancelled_caught
        assert not ended.is_set()
        autojump_clock.autojump_threshold = float("inf")
        go_on.set()
        await ended.wait()


def _wait(event: threading.Event) -> None:
    event.wait()


async def _all(handover: Handover) -> Any:
    while (chunk := await handover.next()) is not None:
        yield chunk
