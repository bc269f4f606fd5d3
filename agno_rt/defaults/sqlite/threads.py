"""The two threads of one file: one writes, one reads. Made when they are needed, and anew after they were closed."""

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
    """The threads from one opening of the file to its closing."""

    def __init__(self, file: SQLiteFile) -> None:
        self.sessions = SessionReader()
        self.writer = BatchThread(f"writer of {file.path}", Writing(file))
        self.reader = BatchThread(f"reader of {file.path}", Reading(file, self.sessions.clear))

    def stop(self) -> None:
        """Let both end."""
        self.writer.stop()
        self.reader.stop()


class FileThreads:
    """Reads and writes for `SQLiteMemory`, each in the batches of its own thread."""

    def __init__(self, path: Path, busy_seconds: float, synchronous: Synchronous) -> None:
        self._file = (path, busy_seconds, synchronous)
        self._lock = threading.Lock()
        self._open: _Pair | None = None

    async def write(self, operation: Callable[..., T], *args: Any) -> T:
        """Have the operation called with the connection that writes."""
        while True:
            try:
                return await self._pair().writer.ask(operation, *args)
            except ThreadEnded:
                continue  # closed by somebody in another trio run, at this very moment

    async def read(self, operation: Callable[..., T], *args: Any) -> T:
        """Have the operation called with the connection that reads."""
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
        """Whether a batch is being written, as 0 or 1, and how many writes wait."""
        pair = self._open
        return (0, 0) if pair is None else pair.writer.statistics()

    def stop(self) -> _Pair | None:
        """Let the threads end, without waiting for them."""
        with self._lock:
            pair, self._open = self._open, None
        if pair is not None:
            pair.stop()
        return pair

    async def close(self) -> None:
        """Have everything done that was asked for, and the file closed."""
        pair = self.stop()
        if pair is not None:
            await pair.writer.stopped()
            await pair.reader.stopped()
        await trio.lowlevel.checkpoint()

    def _pair(self) -> _Pair:
        pair = self._open
        if pair is None:
            with self._lock:
                pair = self._open
                if pair is None:
                    pair = self._open = _Pair(SQLiteFile(*self._file))
        return pair
