"""The two threads of a file, a writer and a reader: made on demand, and again after a close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from agno_rt.defaults.sqlite.batches import Reading, Writing
from agno_rt.defaults.sqlite.file import SQLiteFile, Synchronous
from agno_rt.defaults.sqlite.sessions import SessionReader
from agno_rt.defaults.sqlite.thread import BatchThread, ThreadEnded
from agno_rt.memory import Session

__all__ = ["FileThreads"]

T = TypeVar("T")


class _Pair:
    """The threads of a file from its opening to its closing."""

    def __init__(self, file: SQLiteFile) -> None:
        self.sessions = SessionReader()
        self.writer = BatchThread(f"writer of {file.path}", Writing(file))
        self.reader = BatchThread(f"reader of {file.path}", Reading(file, self.sessions.clear))

    def stop(self) -> None:
        """Let both threads end."""
        self.writer.stop()
        self.reader.stop()


class FileThreads:
    """Reads and writes for `SQLiteMemory`, each in the batches of its own thread."""

    def __init__(self, path: Path, busy_seconds: float, synchronous: Synchronous) -> None:
        self._file = (path, busy_seconds, synchronous)
        self._lock = threading.Lock()
        self._open: _Pair | None = None

    async def write(self, operation: Callable[..., T], *args: Any) -> T:
        """Call the operation with the writing connection."""
        while True:
            try:
                return await self._pair().writer.ask(operation, *args)
            except ThreadEnded:
                continue  # another trio run closed the file between these two calls

    async def read(self, operation: Callable[..., T], *args: Any) -> T:
        """Call the operation with the reading connection."""
        while True:
            try:
                return await self._pair().reader.ask(operation, *args)
            except ThreadEnded:
                continue

    async def load(self, session: str, last: int | None) -> Session:
        """Read a session."""
        while True:
            pair = self._pair()
            try:
                return await pair.reader.ask(pair.sessions.load, session, last)
            except ThreadEnded:
                continue

    def statistics(self) -> tuple[int, int]:
        """Return whether a batch is being written, as 0 or 1, and how many writes wait."""
        pair = self._open
        return (0, 0) if pair is None else pair.writer.statistics()

    def stop(self) -> _Pair | None:
        """Tell the threads to end, without waiting."""
        with self._lock:
            pair, self._open = self._open, None
        if pair is not None:
            pair.stop()
        return pair

    async def close(self) -> None:
        """Finish all pending requests, and close the file."""
        pair = self.stop()
        if pair is not None:
            await pair.writer.stopped()
            await pair.reader.stopped()
        await trio.lowlevel.checkpoint()

    def _pair(self) -> _Pair:
        # Without the lock in the usual case. Another thread may make the pair first, hence the second look.
        pair = self._open
        if pair is None:
            with self._lock:
                pair = self._open
                if pair is None:
                    pair = self._open = _Pair(SQLiteFile(*self._file))
        return pair
