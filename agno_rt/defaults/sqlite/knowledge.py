"""Knowledge in an SQLite file: `sqlite:///kb.db`; or in memory, gone with the process: `memory:`.

Words are in an FTS5 index, ranked by BM25, with English words reduced to their stems. Vectors are compared exactly.
One thread writes, another searches by words, and a third by vectors.
"""

from __future__ import annotations

import functools
import math
import shlex
import sqlite3
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import trio

from agno_rt.defaults.sqlite import knowledge_rows as _rows
from agno_rt.defaults.sqlite.batches import Reading, Writing
from agno_rt.defaults.sqlite.faults import FAILURES, backend_error
from agno_rt.defaults.sqlite.file import BUSY_SECONDS, SQLiteFile
from agno_rt.defaults.sqlite.knowledge_file import MemoryFile, make_tables
from agno_rt.defaults.sqlite.knowledge_filter import Where, make_where
from agno_rt.defaults.sqlite.knowledge_vectors import VectorIndex
from agno_rt.defaults.sqlite.knowledge_words import search_words
from agno_rt.defaults.sqlite.options import NO_FILES
from agno_rt.defaults.sqlite.thread import BatchThread, ThreadEnded
from agno_rt.errors import UsageError
from agno_rt.knowledge.copies import DocumentCopy
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStatistics, PendingText
from agno_rt.names import check_name

__all__ = ["SQLiteKnowledge", "make_memory_knowledge", "make_sqlite_knowledge"]

T = TypeVar("T")

CLOSE_SECONDS = 5.0
"""The seconds for which `aclose` waits for pending work; the threads finish slower work on their own."""


class _LocalIndex:
    """The vector index of the calling thread: each opening of the file, in a thread, begins an empty index."""

    def __init__(self) -> None:
        self._local = threading.local()

    def clear(self) -> None:
        """Begin an empty index."""
        self._local.index = VectorIndex()

    def search(
        self, connection: sqlite3.Connection, vector: array[float], space: str, where: Where, limit: int
    ) -> list[Hit]:
        """See `VectorIndex.search`."""
        index: VectorIndex = self._local.index
        return index.search(connection, vector, space, where, limit)


class _Threads:
    """The threads of a store: made on demand, and again after a close."""

    def __init__(self, path: Path | None) -> None:
        self.index = _LocalIndex()
        self._path = path
        self._lock = threading.Lock()
        self._open: dict[str, BatchThread] = {}

    def get(self, name: str) -> BatchThread:
        """Return the thread for writes, for searches by words, or for searches by vectors."""
        # A database in memory has a single connection, and so a single thread.
        name = "writer" if self._path is None else name
        with self._lock:
            if name not in self._open:
                self._open[name] = self._make(name)
            return self._open[name]

    def stop(self) -> list[BatchThread]:
        """Let the threads end, and return them."""
        with self._lock:
            threads, self._open = list(self._open.values()), {}
        for thread in threads:
            thread.stop()
        return threads

    def _make(self, name: str) -> BatchThread:
        if self._path is None:
            return BatchThread("knowledge in memory", Writing(MemoryFile(), self.index.clear))
        file = SQLiteFile(self._path, BUSY_SECONDS, "full", make_tables)
        work = Writing(file) if name == "writer" else Reading(file, self.index.clear)
        return BatchThread(f"{name} of {self._path}", work)


class SQLiteKnowledge:
    """A `KnowledgeStore` in the SQLite file at `path`, made at the first use; in memory for None.

    `clock` gives the seconds since the epoch. Every failure of the file is a `BackendError`.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._threads = _Threads(path)
        # A store that nobody closes leaves no threads and no open file behind.
        weakref.finalize(self, self._threads.stop).atexit = False

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """See `KnowledgeStore.put`."""
        put = functools.partial(_rows.put_document, digest=digest, user=_check_user(user), now=self._clock())
        await self._ask("writer", put, document, tuple(chunks))

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """See `KnowledgeStore.digests`."""
        return await self._ask("words", _rows.read_digests, tuple(sources), user or "")

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """See `KnowledgeStore.remove`."""
        return await self._ask("writer", _rows.remove_documents, tuple(sources), user or "")

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """See `KnowledgeStore.documents`."""
        start = None if after is None else (after[0], after[1] or "")
        return await self._ask("words", _rows.list_documents, make_where(filter), start, limit)

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """See `DocumentCopyStore.export_document`."""
        return await self._ask("words", _rows.export_document, source, user or "")

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """See `KnowledgeStore.search_words`."""
        return await self._ask("words", search_words, query, make_where(filter), limit)

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """See `KnowledgeStore.search_vectors`."""
        return await self._ask(
            "vectors", self._threads.index.search, _make_unit(vector), space, make_where(filter), limit
        )

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """See `KnowledgeStore.pending`."""
        return await self._ask("words", _rows.list_pending, space, limit)

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """See `KnowledgeStore.add_vectors`."""
        if not vectors:
            return 0
        lengths = sorted({len(vector) for vector in vectors.values()})
        if len(lengths) > 1:
            raise _rows.wrong_dimensions(space, lengths[0], lengths[1])
        packed = {key: bytes(_make_unit(vector)) for key, vector in vectors.items()}
        return await self._ask("writer", _rows.add_vectors, space, lengths[0], packed)

    async def remove_vectors(self, space: str) -> int:
        """See `KnowledgeStore.remove_vectors`. The file keeps its size: the room is used again."""
        return await self._ask("writer", _rows.remove_vectors, space)

    async def statistics(self) -> KnowledgeStatistics:
        """See `KnowledgeStore.statistics`."""
        return await self._ask("words", _rows.read_statistics)

    async def aclose(self) -> None:
        """Finish pending writes, and close the file."""
        threads = self._threads.stop()
        # Shielded: a cancelled program still waits for its pending writes.
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            for thread in threads:
                await thread.stopped()
        await trio.lowlevel.checkpoint()

    async def _ask(self, thread: str, operation: Callable[..., T], *args: Any) -> T:
        while True:
            try:
                return await self._threads.get(thread).ask(operation, *args)
            except ThreadEnded:
                continue  # another trio run closed the store between these two calls
            except FAILURES as exc:
                raise backend_error(self.path or Path("knowledge in memory"), exc) from exc


def _check_user(user: str | None) -> str:
    return "" if user is None else check_name("a user's name", user)


def _make_unit(vector: Sequence[float]) -> array[float]:
    length = math.hypot(*vector)
    return array("f", vector if length in (0.0, 1.0) else [value / length for value in vector])


def make_memory_knowledge(url: str, settings: Mapping[str, Any]) -> SQLiteKnowledge:
    """Make a store in this process of the URL `memory:`."""
    return SQLiteKnowledge(None)


def make_sqlite_knowledge(url: str, settings: Mapping[str, Any]) -> SQLiteKnowledge:
    """Make the store of a URL such as `sqlite:///kb.db`. Raises `UsageError` for a URL without a file."""
    path = url.removeprefix("sqlite:///")
    # Without the three slashes, as in sqlite:a.db, nothing was removed from the URL.
    if path == url or path in NO_FILES or "?" in path:
        hint = "Write sqlite:///kb.db (relative) or sqlite:////var/lib/kb.db (absolute), without options; or memory:."
        raise UsageError(f"{url!r} names no file", hint=hint)
    folder = Path(path).parent
    if not folder.is_dir():
        raise UsageError(f"the folder of {url!r} does not exist", hint=f"Make it: mkdir -p {shlex.quote(str(folder))}")
    return SQLiteKnowledge(Path(path))
