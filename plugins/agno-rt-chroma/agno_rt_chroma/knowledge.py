"""Knowledge in a Chroma server: documents by user and source, searched by words and by vectors.

Chroma finds records with a text and the nearest vectors; the rest is made here of it. A document's version is written
first and then made visible (see `versions`), and words are ranked by BM25 over the chunks that have them.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import trio

from agno_rt.errors import AgnoError, BackendError, UsageError
from agno_rt.knowledge import (
    EVERYTHING,
    Chunk,
    Document,
    DocumentCopy,
    DocumentInfo,
    Filter,
    Hit,
    KnowledgeStatistics,
    PendingText,
)
from agno_rt.knowledge.words import query_signs, query_words
from agno_rt.names import check_name
from agno_rt_chroma import records as _records
from agno_rt_chroma.address import Address
from agno_rt_chroma.collections import Collections, Found, Space
from agno_rt_chroma.records import ChunkKey
from agno_rt_chroma.versions import Versions, make_version
from agno_rt_chroma.wire import Refused, Wire

__all__ = ["ChromaKnowledge"]

MOST_OF_A_WORD = 20_000
"""The chunks of a word that a search reads; a word that more chunks have says little."""

_PAGE = 200
_REFUSED = 400


class ChromaKnowledge:
    """A `KnowledgeStore` in the database at the address. Every failure of the server is a `BackendError`.

    `wire` sends the requests, for tests.
    """

    def __init__(self, address: Address, wire: Wire | None = None) -> None:
        self.address = address
        self._wire = wire or Wire(address)
        self._collections = Collections(self._wire, address.prefix)
        self._versions = Versions(self._collections)

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """See `KnowledgeStore.put`."""
        if user is not None:
            check_name("the user of a document", user)
        await trio.lowlevel.checkpoint_if_cancelled()
        now = time.time()
        version, info = make_version(now), _records.make_info(document, user, digest, len(chunks), now)
        pointer = _records.make_pointer(info, version)
        # From here on the put is finished. What a killed process leaves is deleted after an hour.
        with trio.CancelScope(shield=True):
            await self._versions.stage(version, [pointer.id])
            await self._collections.chunks.put(_records.record_chunk(chunk, info, version) for chunk in chunks)
            await self._collections.documents.put([pointer])
            await self._clean(version, [pointer.id])

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """See `KnowledgeStore.digests`."""
        ids = list(dict.fromkeys(_records.name_document(source, user) for source in sources))
        infos = [_records.read_info(each.metadata) for each in await self._get_documents(ids)]
        return {info.source: info.digest for info in infos}

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """See `KnowledgeStore.remove`. Of more than 5,000 documents, the server may show a part as removed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        ids = list(dict.fromkeys(_records.name_document(source, user) for source in sources))
        with trio.CancelScope(shield=True):
            there = [each.id for each in await self._get_documents(ids)]
            if there:
                mark = make_version(time.time())
                await self._versions.stage(mark, there)
                await self._collections.documents.delete(ids=there)
                await self._clean(mark, there)
        return len(there)

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """See `KnowledgeStore.documents`. Reads all documents that fit: Chroma knows no order."""
        start = None if after is None else (after[0], after[1] or "")
        infos = [_records.read_info(each.metadata) for each in await self._find_documents(filter)]
        infos = [info for info in infos if filter.fits(info.source, info.user, info.metadata)]
        infos.sort(key=_order_document)
        return [info for info in infos if start is None or _order_document(info) > start][:limit]

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """See `DocumentCopyStore.export_document`."""
        name = _records.name_document(source, user)
        while True:
            pointers = await self._get_documents([name])
            if not pointers:
                return None
            info, version = _records.read_info(pointers[0].metadata), pointers[0].metadata["v"]
            chunks: list[Chunk] = []
            for at in range(0, info.chunks, _PAGE):
                found = await self._collections.chunks.get(where={"v": version}, metadata=True, limit=_PAGE, offset=at)
                chunks += [_records.read_chunk(ChunkKey.read(each.id), source, each.metadata) for each in found]
            if len(chunks) == info.chunks:
                return DocumentCopy(info, sorted(chunks, key=lambda chunk: chunk.number))
            if await self._get_documents([name]) == pointers:
                raise BackendError(f"chunks of {source!r} are missing", hint="Add the document again.")

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """See `KnowledgeStore.search_words`."""
        words, signs = query_words(query), query_signs(query)
        if words:
            total = await self._collections.chunks.count()
            found = await self._find_words(words, filter)
            # Ids say which words a chunk has, and how long it is; only the best are read, and ranked by counts.
            ranked = _records.score_words(found, total)
            hits = await self._read_hits(ranked, filter, 2 * limit + 20, "words")
            return _records.rank_chunks(hits, {word: len(ids) for word, ids in found.items()}, total)[:limit]
        wanted = _records.with_signs(signs)
        if not wanted:
            return []
        ids = await self._find_chunks(filter, wanted)
        return await self._read_hits(ids, filter, limit, "words", signs=signs)

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """See `KnowledgeStore.search_vectors`. The server's graph answers: nearly exact, and not promised to be."""
        conditions = _records.make_conditions(filter)
        known = await self._collections.find_space(space)
        if conditions is None or known is None:
            return []
        if known.dimensions not in (None, len(vector)):
            raise _wrong_dimensions(space, len(vector), known.dimensions)
        where = _records.join_conditions(*conditions)
        having = _records.with_source(filter.prefix) if filter.prefix else None
        count = limit + 10
        while True:
            try:
                found = await self._collections.find_nearest(known, vector, count, where, having)
            except Refused as exc:
                raise _explain_refusal(exc, space, len(vector)) from exc
            scores = dict(found)
            hits = await self._read_hits(list(scores), filter, limit, "vectors", scores=scores)
            # Hidden versions may fill the answer for the moment before they are deleted.
            if len(hits) == limit or len(found) < count:
                return hits
            count *= 4

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """See `KnowledgeStore.pending`."""
        known = await self._collections.find_space(space)
        where = None if known is None else {_name_mark(space): {"$ne": known.id}}
        texts: list[PendingText] = []
        at, size = 0, min(_PAGE, limit)
        while len(texts) < limit:
            found = await self._collections.chunks.get(where=where, metadata=True, limit=size, offset=at)
            keys = [ChunkKey.read(each.id) for each in found]
            live = await self._find_live({key.version for key in keys}, EVERYTHING)
            for key, each in sorted(zip(keys, found, strict=True), key=lambda pair: (pair[0].version, pair[0].number)):
                if key.version in live:
                    chunk = _records.read_chunk(key, live[key.version].source, each.metadata)
                    texts.append(PendingText(str(key), chunk.searched_text))
            if len(found) < size:
                break
            at += len(found)
        return texts[:limit]

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """See `KnowledgeStore.add_vectors`."""
        if not vectors:
            return 0
        sizes = {len(vector) for vector in vectors.values()}
        if len(sizes) > 1:
            raise _wrong_dimensions(space, max(sizes), min(sizes))
        await trio.lowlevel.checkpoint_if_cancelled()
        (size,) = sizes
        there = await self._find_there(vectors)
        if not there:
            return 0
        with trio.CancelScope(shield=True):
            known = await self._collections.make_space(space)
            if known.dimensions not in (None, size):
                raise _wrong_dimensions(space, size, known.dimensions)
            rows = [_records.record_vector(key, info) for key, info in there.items()]
            try:
                await self._collections.put_vectors(known, rows, [vectors[row.id] for row in rows])
            except Refused as exc:
                raise _explain_refusal(exc, space, size) from exc
            await self._collections.chunks.mark([row.id for row in rows], {_name_mark(space): known.id})
            # A version may have been replaced meanwhile, and its vectors deleted before these were written.
            left = await self._find_there([row.id for row in rows])
            gone = sorted({key.version for key in there.keys() - left.keys()})
            if gone:
                await self._collections.delete_vectors(known, {"v": {"$in": gone}})
        return len(left)

    async def remove_vectors(self, space: str) -> int:
        """See `KnowledgeStore.remove_vectors`."""
        count = (await self.statistics()).vectors.get(space, 0)
        with trio.CancelScope(shield=True):
            # Marks of chunks name the collection, and so mean nothing without it.
            await self._collections.drop_space(space)
        return count

    async def statistics(self) -> KnowledgeStatistics:
        """See `KnowledgeStore.statistics`."""
        spaces = await self._collections.list_spaces()
        if await self._versions.is_clean():
            documents = await self._collections.documents.count()
            chunks = await self._collections.chunks.count()
            vectors = {space.name: await self._collections.count_vectors(space) for space in spaces}
        else:
            pointers = await self._find_documents(EVERYTHING)
            infos = {each.metadata["v"]: _records.read_info(each.metadata) for each in pointers}
            documents, chunks = len(infos), sum(info.chunks for info in infos.values())
            vectors = {space.name: await self._count_live(space, infos) for space in spaces}
        return KnowledgeStatistics(documents, chunks, {name: count for name, count in vectors.items() if count})

    async def check_ready(self) -> str:
        """Return a line on the server. Raises `BackendError` for a server out of reach."""
        size = await self.statistics()
        return f"knowledge at {self.address}: {size.documents:,} documents"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _clean(self, version: str, documents: Sequence[str]) -> None:
        """Delete hidden versions. What is left after an error, a later put deletes."""
        try:
            await self._versions.leave(version, documents)
            await self._versions.clean(version, documents)
        except BackendError as exc:
            warnings.warn(f"old parts of documents are still there: {exc}", RuntimeWarning, stacklevel=3)

    async def _get_documents(self, ids: Sequence[str]) -> list[Found]:
        return await self._collections.documents.get(ids, metadata=True) if ids else []

    async def _find_documents(self, filter: Filter) -> list[Found]:
        conditions = _records.make_conditions(filter)
        if conditions is None:
            return []
        where = _records.join_conditions({"k": "document"}, *conditions)
        having = _records.with_source(filter.prefix) if filter.prefix else None
        return await self._collections.documents.get(where=where, having=having, metadata=True)

    async def _find_words(self, words: Sequence[str], filter: Filter) -> dict[str, list[str]]:
        """Return the ids of chunks with each word. A word's request does not wait for the others."""
        found: dict[str, list[str]] = {}
        failures: list[AgnoError] = []

        async def find(word: str) -> None:
            try:
                found[word] = await self._find_chunks(filter, [_records.with_word(word)], limit=MOST_OF_A_WORD)
            except AgnoError as exc:
                failures.append(exc)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for word in words:
                nursery.start_soon(find, word)
        if failures:
            raise failures[0]
        return {word: found[word] for word in words}

    async def _find_chunks(
        self, filter: Filter, wanted: Sequence[Mapping[str, str]], limit: int | None = None
    ) -> list[str]:
        """Return the ids of chunks whose documents have all that is wanted, in the order of storing."""
        conditions = _records.make_conditions(filter)
        if conditions is None:
            return []
        having = _records.join_conditions(*wanted, *([_records.with_source(filter.prefix)] if filter.prefix else []))
        where = _records.join_conditions(*conditions)
        return [each.id for each in await self._collections.chunks.get(where=where, having=having, limit=limit)]

    async def _find_live(self, versions: set[str], filter: Filter) -> dict[str, DocumentInfo]:
        """Return the documents, by version, of those versions that are visible and fit the filter."""
        if not versions:
            return {}
        found = await self._collections.documents.get(
            where={"$and": [{"k": "document"}, {"v": {"$in": sorted(versions)}}]}, metadata=True
        )
        infos = {each.metadata["v"]: _records.read_info(each.metadata) for each in found}
        return {version: info for version, info in infos.items() if filter.fits(info.source, info.user, info.metadata)}

    async def _read_hits(
        self,
        ids: Sequence[str],
        filter: Filter,
        limit: int,
        ranker: str,
        *,
        scores: Mapping[str, float] | None = None,
        signs: str = "",
    ) -> list[Hit]:
        """Return the hits for the first ids that are of visible versions, fit the filter and contain the signs."""
        hits: list[Hit] = []
        for at in range(0, len(ids), _PAGE):
            keys = {each: ChunkKey.read(each) for each in ids[at : at + _PAGE]}
            live = await self._find_live({key.version for key in keys.values()}, filter)
            fitting = [each for each, key in keys.items() if key.version in live]
            wanted = fitting if signs else fitting[: limit - len(hits)]
            read = await self._collections.chunks.get(wanted, metadata=True) if wanted else []
            bodies = {each.id: each.metadata for each in read}
            for each in wanted:
                if each in bodies:  # otherwise deleted meanwhile
                    info = live[keys[each].version]
                    chunk = _records.read_chunk(keys[each], info.source, bodies[each])
                    score = 1.0 if scores is None else scores[each]
                    if signs in chunk.searched_text:
                        hits.append(Hit(chunk, score, (ranker,), info.user, info.title, info.metadata))
            if len(hits) >= limit:
                break
        return hits[:limit]

    async def _find_there(self, keys: Iterable[str]) -> dict[ChunkKey, DocumentInfo]:
        """Return the documents of those chunks that are of visible versions."""
        known = [ChunkKey.read(each) for each in keys if each.count(".") == 2]
        live = await self._find_live({key.version for key in known}, EVERYTHING)
        return {key: live[key.version] for key in known if key.version in live}

    async def _count_live(self, space: Space, infos: Mapping[str, DocumentInfo]) -> int:
        ids = await self._collections.list_vectors(space)
        return sum(ChunkKey.read(each).version in infos for each in ids)


def _order_document(info: DocumentInfo) -> tuple[str, str]:
    return info.source, info.user or ""


def _name_mark(space: str) -> str:
    return f"e.{space}"


def _wrong_dimensions(space: str, given: int, known: Any) -> UsageError:
    hint = "Name another space for another embedder."
    return UsageError(f"a vector of {space} has {given} dimensions, and others have {known}", hint=hint)


def _explain_refusal(error: Refused, space: str, given: int) -> Exception:
    if error.status == _REFUSED and "dimension" in error.message:
        return _wrong_dimensions(space, given, "another number")
    return error
