"""Hands the chunks of an answer from a thread to the task that asked for them, which may leave before the thread does.

llama.cpp tells of an answer when there is something to tell: while it holds text back, for a stop sequence or for a
character that is not whole, it calls nobody, and cannot be stopped. A task that is cancelled waits a moment for its
thread, and no longer.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import trio

__all__ = ["Handover"]

AHEAD = 16
"""Chunks that the thread may be ahead of the task; then it waits, and decoding with it."""
POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
"""How long a cancelled task waits for its thread, which usually ends within a token."""


class _Left(Exception):
    """Nobody waits for the answer any more."""


class Handover:
    """Runs `work` in a thread, and gives out what it puts: `next` until that is `None`, or `leave`.

    `on_end` is called, on trio's thread, when the work has really ended, whoever has left by then.
    """

    def __init__(self, work: Callable[[Callable[[Mapping[str, Any]], None]], None], on_end: Callable[[], None]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._chunks: deque[Mapping[str, Any]] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._news = trio.Event()
        # trio's own `outcome.Outcome`, once there is one.
        self._outcome: Any = None
        self._left = False
        self._on_end = on_end
        trio.lowlevel.start_thread_soon(functools.partial(work, self._put), self._deliver, "llamacpp")

    async def next(self) -> Mapping[str, Any] | None:
        """The next chunk, or `None` at the end. Raises what the work raised."""
        while True:
            if self._chunks:
                self._room.release()
                return self._chunks.popleft()
            if self._outcome is not None:
                self._outcome.unwrap()
                return None
            self._news = trio.Event()
            await self._news.wait()

    async def leave(self) -> None:
        """Have the work stopped, and wait for that, but not for long."""
        self._left = True
        with trio.move_on_after(GRACE_SECONDS, shield=True):
            while self._outcome is None:
                self._news = trio.Event()
                await self._news.wait()

    def _put(self, chunk: Mapping[str, Any]) -> None:
        """Take a chunk from the thread, which waits here while the task is behind."""
        has_room = False
        while not has_room and not self._left:
            has_room = self._room.acquire(timeout=POLL_SECONDS)
        if self._left:
            raise _Left
        self._chunks.append(chunk)
        try:
            # The event is looked up over there: the task may have made another one by then.
            self._token.run_sync_soon(self._tell)
        except trio.RunFinishedError:
            raise _Left from None

    def _tell(self) -> None:
        self._news.set()

    def _deliver(self, result: Any) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._end, result)

    def _end(self, result: Any) -> None:
        self._outcome = result
        self._news.set()
        self._on_end()
