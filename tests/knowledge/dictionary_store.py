"""The smallest knowledge store that passes the contract: dictionaries, and a count of words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import trio

from agno_rt.errors import UsageError
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit
from agno_rt.knowledge.store import EVERYTHING, Filter, KnowledgeStatistics, PendingText
from agno_rt.knowledge.words import query_signs, query_words, split_words
from agno_rt.names import check_name

Key = tuple[str, str | None]


class DictionaryStore:
    """A `KnowledgeStore` in dictionaries. No method waits in the middle of its work, so each is atomic."""

    def __init__(self) -> None:
        self._documents: dict[Key, tuple[DocumentInfo, tuple[Chunk, ...]]] = {}
        self._vectors: dict[str, dict[str, Sequence[float]]] = {}

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """See `KnowledgeStore.put`."""
        await trio.lowlevel.checkpoint()
        if user is not None:
            check_name("a user's name", user)
        made = DocumentInfo(
            document.source,
            user,
            document.title,
            document.media_type,
            document.metadata,
            digest,
            len(chunks),
            len(document.text),
            time.time(),
        )
        self._documents.pop((document.source, user), None)
        self._documents[document.source, user] = made, tuple(chunks)
        self._forget_vectors()

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """See `KnowledgeStore.digests`."""
        await trio.lowlevel.checkpoint()
        return {
            source: self._documents[source, user][0].digest for source in sources if (source, user) in self._documents
        }

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """See `KnowledgeStore.remove`."""
        await trio.lowlevel.checkpoint()
        removed = sum(self._documents.pop((source, user), None) is not None for source in sources)
        self._forget_vectors()
        return removed

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """See `KnowledgeStore.documents`."""
        await trio.lowlevel.checkpoint()
        start = None if after is None else (after[0], after[1] or "")
        found = sorted((source, user or "") for source, user in self._documents)
        infos = [
            self._documents[source, user or None][0]
            for source, user in found
            if start is None or (source, user) > start
        ]
        return [info for info in infos if filter.fits(info.source, info.user, info.metadata)][:limit]

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """See `KnowledgeStore.search_words`."""
        await trio.lowlevel.checkpoint()
        words, signs = query_words(query), query_signs(query)
        having = [(info, chunk, set(split_words(chunk.searched_text))) for info, chunk in self._chunks(filter)]
        weights = {word: math.log(1 + len(having) / (1 + sum(word in had for *_, had in having))) for word in words}
        hits = [
            _make_hit(info, chunk, score, "words")
            for info, chunk, had in having
            if (score := sum(weights[word] for word in words if word in had)) > 0
            or (signs and signs in chunk.searched_text)
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """See `KnowledgeStore.search_vectors`."""
        await trio.lowlevel.checkpoint()
        vectors = self._vectors.get(space, {})
        _check_dimensions(space, [vector, *vectors.values()])
        hits = [
            _make_hit(info, chunk, _cosine(vector, vectors[chunk.searched_text]), "vectors")
            for info, chunk in self._chunks(filter)
            if chunk.searched_text in vectors
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """See `KnowledgeStore.pending`."""
        await trio.lowlevel.checkpoint()
        texts = dict.fromkeys(chunk.searched_text for _, chunk in self._chunks(EVERYTHING))
        waiting = [text for text in texts if text not in self._vectors.get(space, {})]
        return [PendingText(text, text) for text in waiting[:limit]]

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """See `KnowledgeStore.add_vectors`."""
        await trio.lowlevel.checkpoint()
        known = self._vectors.get(space, {})
        _check_dimensions(space, [*vectors.values(), *known.values()])
        texts = [chunk.searched_text for _, chunk in self._chunks(EVERYTHING)]
        self._vectors[space] = known | {text: vectors[text] for text in texts if text in vectors}
        return sum(text in vectors for text in texts)

    async def remove_vectors(self, space: str) -> int:
        """See `KnowledgeStore.remove_vectors`."""
        await trio.lowlevel.checkpoint()
        gone = self._vectors.pop(space, {})
        return sum(chunk.searched_text in gone for _, chunk in self._chunks(EVERYTHING))

    async def statistics(self) -> KnowledgeStatistics:
        """See `KnowledgeStore.statistics`."""
        await trio.lowlevel.checkpoint()
        chunks = list(self._chunks(EVERYTHING))
        counts = {
            space: sum(chunk.searched_text in vectors for _, chunk in chunks)
            for space, vectors in self._vectors.items()
        }
        return KnowledgeStatistics(
            len(self._documents), len(chunks), {space: count for space, count in counts.items() if count}
        )

    async def aclose(self) -> None:
        """See `KnowledgeStore.aclose`."""
        await trio.lowlevel.checkpoint()

    def _chunks(self, filter: Filter) -> Iterator[tuple[DocumentInfo, Chunk]]:
        for info, chunks in self._documents.values():
            if filter.fits(info.source, info.user, info.metadata):
                yield from ((info, chunk) for chunk in chunks)

    def _forget_vectors(self) -> None:
        texts = {chunk.searched_text for _, chunk in self._chunks(EVERYTHING)}
        for space, vectors in self._vectors.items():
            self._vectors[space] = {text: vector for text, vector in vectors.items() if text in texts}


def _make_hit(info: DocumentInfo, chunk: Chunk, score: float, ranker: str) -> Hit:
    return Hit(chunk, score, (ranker,), info.user, info.title, info.metadata)


def _check_dimensions(space: str, vectors: Sequence[Sequence[float]]) -> None:
    if len({len(vector) for vector in vectors}) > 1:
        raise UsageError(f"vectors of {space} have different dimensions", hint="Name another space.")


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))
