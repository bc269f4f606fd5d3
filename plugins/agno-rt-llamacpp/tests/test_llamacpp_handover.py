"""Chunks from a thread to a task: in order, with back-pressure, and with a quick leave."""

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
    """The handover from the task's view."""

    async def test_chunks_come_in_their_order(self) -> None:
        """All chunks arrive in order, then the end, then the call of `on_end`."""
        ended: list[str] = []

        def work(put: Put) -> None:
            for at in range(5 * AHEAD):
                put({"at": at})

        handover = Handover(work, lambda: ended.append("ended"))
        got = [chunk["at"] async for chunk in _read_all(handover)]

        assert got == list(range(5 * AHEAD))
        assert ended == ["ended"]

    async def test_the_thread_waits_for_the_task(self) -> None:
        """The thread is a few chunks ahead, never more."""
        put_so_far: list[int] = []

        def work(put: Put) -> None:
            for at in range(3 * AHEAD):
                put({"at": at})
                put_so_far.append(at)

        handover = Handover(work, lambda: None)
        await handover.next()
        await trio.sleep(0.05)
        ahead = len(put_so_far)
        assert [chunk["at"] async for chunk in _read_all(handover)][-1] == 3 * AHEAD - 1
        assert ahead <= AHEAD + 1

    async def test_what_the_work_raises(self) -> None:
        """An exception of the work comes after the earlier chunks."""

        def work(put: Put) -> None:
            put({"at": 0})
            raise KeyError("broken")

        handover = Handover(work, lambda: None)
        assert await handover.next() == {"at": 0}
        with pytest.raises(KeyError, match="broken"):
            await handover.next()

    async def test_a_task_that_leaves_stops_the_thread(self) -> None:
        """The next chunk ends the work, and the leaving task waits for the end."""
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
        """A cancelled task waits only a moment for the thread; `on_end` follows the real end."""
        go_on = threading.Event()
        ended = trio.Event()
        handover = Handover(lambda _put: _wait_for(go_on), ended.set)

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


def _wait_for(event: threading.Event) -> None:
    event.wait()


async def _read_all(handover: Handover) -> Any:
    while (chunk := await handover.next()) is not None:
        yield chunk
