"""Knowledge in PostgreSQL with pgvector: documents, found by words and by vectors.

Words are ranked by how rare they are, English words by their stems. Vectors of any number of dimensions are compared
exactly.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from agno_rt.knowledge.copies import DocumentCopy
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStatistics, PendingText
from agno_rt.names import check_name
from agno_rt_postgres.faults import FAILURES, backend_error
from agno_rt_postgres.knowledge import rows as _rows
from agno_rt_postgres.lanes import Item, Lanes
from agno_rt_postgres.pool import Pool
from agno_rt_postgres.statements import Make
from agno_rt_postgres.transactions import Transactions
from agno_rt_postgres.urls import Settings

__all__ = ["PostgresKnowledge"]

T = TypeVar("T")

BATCH = 64
"""The most operations in one transaction."""


class PostgresKnowledge:
    """A `KnowledgeStore` in a PostgreSQL database with the extension pgvector; the tables are made at the first use.

    Every failure of the database is a `BackendError`. `clock` gives the seconds since the epoch.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        tables = f"{__name__}.migrations"
        self.settings = settings = attrs.evolve(settings, schema=f"{settings.schema}_knowledge", tables=tables)
        self._clock = clock
        self._pool = Pool(settings)
        transactions = Transactions(self._pool)
        half = max(1, settings.pool // 2)
        self._writes = Lanes(half, BATCH, transactions.write)
        # One at a time in each connection: a long search does not hold up the others.
        self._reads = Lanes(half, 1, transactions.read)
        weakref.finalize(self, self._pool.close).atexit = False

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """See `KnowledgeStore.put`."""
        owner, now, kept = _check_user(user), float(self._clock()), tuple(chunks)
        await self._write(
            lambda: _rows.put_document(document, kept, digest, owner, now), f"document {document.source} {owner}"
        )

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """See `KnowledgeStore.digests`."""
        return await self._read(lambda: _rows.read_digests(sources, user or ""))

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """See `KnowledgeStore.remove`."""
        keys = [f"document {source} {user or ''}" for source in sources]
        return await self._write(lambda: _rows.remove_documents(sources, user or ""), *keys)

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """See `KnowledgeStore.documents`."""
        start = None if after is None else (after[0], after[1] or "")
        return await self._read(lambda: _rows.list_documents(filter, start, limit))

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """See `DocumentCopyStore.export_document`."""
        return await self._read(lambda: _rows.export_document(source, user or ""))

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """See `KnowledgeStore.search_words`."""
        return await self._read(lambda: _rows.find_by_words(query, filter, limit))

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """See `KnowledgeStore.search_vectors`."""
        return await self._read(lambda: _rows.find_by_vector(vector, space, filter, limit))

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """See `KnowledgeStore.pending`."""
        return await self._read(lambda: _rows.list_pending(space, limit))

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """See `KnowledgeStore.add_vectors`."""
        if not vectors:
            return 0
        lengths = sorted({len(vector) for vector in vectors.values()})
        if len(lengths) > 1:
            raise _rows.wrong_dimensions(space, lengths[0], lengths[1])
        return await self._write(lambda: _rows.add_vectors(space, lengths[0], vectors), f"space {space}")

    async def remove_vectors(self, space: str) -> int:
        """See `KnowledgeStore.remove_vectors`."""
        return await self._write(lambda: _rows.remove_vectors(space), f"space {space}")

    async def statistics(self) -> KnowledgeStatistics:
        """See `KnowledgeStore.statistics`."""
        return await self._read(_rows.read_statistics)

    async def aclose(self) -> None:
        """Close the connections."""
        self._pool.close()

    async def _write(self, make: Make[T], *keys: str) -> T:
        return await self._ask(self._writes, Item(make, frozenset(keys)))

    async def _read(self, make: Make[T]) -> T:
        return await self._ask(self._reads, Item(make))

    async def _ask(self, lanes: Lanes, item: Item) -> T:
        try:
            value: T = await lanes.ask(item)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc
        return value


def _check_user(user: str | None) -> str:
    return "" if user is None else check_name("a user's name", user)
