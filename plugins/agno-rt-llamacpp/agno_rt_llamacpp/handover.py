"""The handover of chunks from a thread to the task, which may leave before the thread ends.

llama.cpp calls back only with new text. While holding text back, for a stop sequence or for an incomplete character,
llama.cpp cannot be stopped. So a cancelled task waits a moment for the thread, and then leaves.
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
"""Chunks that the thread may be ahead of the task; then the thread waits, and with the thread the decoding."""
POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
"""Seconds that a cancelled task waits for the thread; a thread usually ends within a token."""


class _Left(Exception):
    """The task does not wait for the answer any more."""


class Handover:
    """A run of `work` in a thread. `next` returns the chunks in order, and `None` at the end; `leave` stops early.

    `on_end` is called on trio's thread after the real end of the work, even if the task left earlier.
    """

    def __init__(self, work: Callable[[Callable[[Mapping[str, Any]], None]], None], on_end: Callable[[], None]) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._chunks: deque[Mapping[str, Any]] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._news = trio.Event()
        # A trio `outcome.Outcome` after the end of the work.
        self._outcome: Any = None
        self._left = False
        self._on_end = on_end
        trio.lowlevel.start_thread_soon(functools.partial(work, self._put_chunk), self._deliver_outcome, "llamacpp")

    async def next(self) -> Mapping[str, Any] | None:
        """Return the next chunk, or `None` at the end. Raises the exceptions of the work."""
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
        """Stop the work, and wait up to `GRACE_SECONDS` for the end."""
        self._left = True
        with trio.move_on_after(GRACE_SECONDS, shield=True):
            while self._outcome is None:
                self._news = trio.Event()
                await self._news.wait()

    def _put_chunk(self, chunk: Mapping[str, Any]) -> None:
        """Add a chunk from the thread. Blocks the thread while the task is `AHEAD` chunks behind."""
        has_room = False
        while not has_room and not self._left:
            has_room = self._room.acquire(timeout=POLL_SECONDS)
        if self._left:
            raise _Left
        self._chunks.append(chunk)
        try:
            # Look up the event in trio's thread: the task may have replaced the event by then.
            self._token.run_sync_soon(self._wake_task)
        except trio.RunFinishedError:
            raise _Left from None

    def _wake_task(self) -> None:
        self._news.set()

    def _deliver_outcome(self, result: Any) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._set_outcome, result)

    def _set_outcome(self, result: Any) -> None:
        self._outcome = result
        self._news.set()
        self._on_end()
