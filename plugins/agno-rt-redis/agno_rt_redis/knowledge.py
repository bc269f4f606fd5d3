"""Knowledge in a Redis server: documents by user and source, searched by words and, from Redis 8 on, by vectors.

Words are found by the plugin's own index, so that every Redis has the same words in every script. Vectors are in
the server's vector sets. A document is put in parts, and seen with the last part.
"""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio

from agno_rt.errors import BackendError, UsageError
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
from agno_rt.knowledge.store import list_values
from agno_rt.knowledge.words import query_signs, query_words, split_words
from agno_rt.names import check_name
from agno_rt_redis.address import Address
from agno_rt_redis.packing import pack_list
from agno_rt_redis.store import Damaged, Store, load_script

__all__ = ["EXACT", "RedisKnowledge"]

EXACT = 20_000
"""The vectors of a space that are compared one by one; beyond, the server's graph answers."""

AT_ONCE = 100
"""Chunks in one call."""

_SCRIPT = load_script("knowledge")
_ENDED = "\0"  # orders a source before longer sources, and the document for everyone before the users' documents
_encode = msgspec.json.Encoder().encode
_decode_metadata = msgspec.json.Decoder(dict[str, bool | int | float | str]).decode
_decode_chunk = msgspec.json.Decoder(tuple[str, str, int, int, int, tuple[str, ...], str]).decode


class RedisKnowledge(Store):
    """A `KnowledgeStore` in the server at the address. More than `exact` vectors are searched by the server's graph."""

    def __init__(self, address: Address, *, exact: int = EXACT) -> None:
        super().__init__(address)
        self._exact = exact
        self._warned = False

    async def put(
        self, document: Document, chunks: Sequence[Chunk], *, digest: str = "", user: str | None = None
    ) -> None:
        """See `KnowledgeStore.put`."""
        if user is not None:
            check_name("the user of a document", user)
        await trio.lowlevel.checkpoint_if_cancelled()
        staged = [_encode_chunk(chunk) for chunk in chunks]
        # From here on the put is finished. The parts of a killed process are cleaned up after an hour.
        with trio.CancelScope(shield=True):
            doc = int((await self._write(_SCRIPT, "begin"))[1])
            for at in range(0, len(staged), AT_ONCE):
                await self._write(_SCRIPT, "stage", doc=doc, chunks=staged[at : at + AT_ONCE])
            fields: dict[str, str | bytes] = {
                "source": document.source,
                "title": document.title,
                "media_type": document.media_type,
                "metadata": _encode(document.metadata),
                "digest": digest,
                "chunks": str(len(staged)),
                "characters": str(len(document.text)),
                "length": str(sum(chunk["length"] for chunk in staged)),
            }
            if user is not None:
                fields["user"] = user
            await self._write(
                _SCRIPT,
                "publish",
                doc=doc,
                member=_name_member(document.source, user),
                fields=[part for pair in fields.items() for part in pair],
                metadata=[part for name, value in document.metadata.items() for part in (name, _stand_for(value))],
                chunks=len(staged),
                length=int(fields["length"]),
            )
            await self._clean()

    async def digests(self, sources: Sequence[str], *, user: str | None = None) -> dict[str, str]:
        """See `KnowledgeStore.digests`."""
        found: dict[str, str] = {}
        for at in range(0, len(sources), 1000):
            some = sources[at : at + 1000]
            answer = await self._read(_SCRIPT, "digests", members=[_name_member(each, user) for each in some])
            known = zip(some, answer[1], strict=True)
            found.update({source: digest.decode() for source, digest in known if digest is not None})
        return found

    async def remove(self, sources: Sequence[str], *, user: str | None = None) -> int:
        """See `KnowledgeStore.remove`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            answer = await self._write(_SCRIPT, "remove", members=[_name_member(each, user) for each in sources])
            await self._clean()
        return int(answer[1])

    async def documents(
        self, filter: Filter = EVERYTHING, *, after: tuple[str, str | None] | None = None, limit: int = 100
    ) -> list[DocumentInfo]:
        """See `KnowledgeStore.documents`."""
        start: bytes | str | None = "-" if after is None else f"({_name_member(*after)}"
        found: list[DocumentInfo] = []
        while start is not None and len(found) < limit:
            asked = {"only": _encode_filter(filter), "limit": limit - len(found), "from": start}
            _, start, rows = await self._read(_SCRIPT, "documents", **asked)
            found += self._read_all(rows, _read_info)
        return found

    async def export_document(self, source: str, *, user: str | None = None) -> DocumentCopy | None:
        """See `DocumentCopyStore.export_document`."""
        chunks: list[Chunk] = []
        version: bytes | None = None
        while True:
            asked = {"member": _name_member(source, user), "from": len(chunks)}
            answer = await self._read(_SCRIPT, "document", **asked)
            if answer[0] != b"ok":
                return None
            if version not in (None, answer[1]):
                chunks, version = [], None  # another version was put meanwhile: begin again
                continue
            version = answer[1]
            try:
                info = _read_info(answer[2])
                chunks += [_read_chunk(body) for body in answer[3]]
            except Damaged as exc:
                raise self._explain_damage(exc) from exc
            if not answer[3] or len(chunks) >= info.chunks:
                return DocumentCopy(info, chunks)

    async def search_words(self, query: str, filter: Filter = EVERYTHING, *, limit: int = 10) -> list[Hit]:
        """See `KnowledgeStore.search_words`."""
        words, only = list(query_words(query)), _encode_filter(filter)
        if words:
            _, rows = await self._read(_SCRIPT, "words", words=words, only=only, limit=limit)
            return self._read_all(rows, lambda row: _read_hit(row, "words"))
        signs, found, at = query_signs(query), list[Hit](), 0
        read = 1 if signs else 0
        while read and len(found) < limit:
            _, read, rows = await self._read(_SCRIPT, "chunks", only=only, **{"from": at})
            at += read
            hits = self._read_all(rows, lambda row: _read_hit(row, "words"))
            found += [hit for hit in hits if signs in hit.chunk.searched_text]
        return found[:limit]

    async def search_vectors(
        self, vector: Sequence[float], space: str, filter: Filter = EVERYTHING, *, limit: int = 10
    ) -> list[Hit]:
        """See `KnowledgeStore.search_vectors`. Finds nothing in a server without vector sets."""
        if not await self._has_vectors():
            return []
        asked = {"vector": _encode_vector(vector), "dimensions": len(vector), "exact": self._exact, "limit": limit}
        answer = await self._read(_SCRIPT, "vectors", space=space, only=_encode_filter(filter), **asked)
        if answer[0] == b"dimensions":
            raise _wrong_dimensions(space, len(vector), int(answer[1]))
        return self._read_all(answer[1], lambda row: _read_hit(row, "vectors"))

    async def pending(self, space: str, *, limit: int = 100) -> list[PendingText]:
        """See `KnowledgeStore.pending`. Names nothing in a server without vector sets, and warns once."""
        if not await self._has_vectors():
            return []
        _, rows = await self._write(_SCRIPT, "pending", space=space, limit=limit)
        return self._read_all(rows, lambda row: PendingText(row[0].decode(), _read_chunk(row[1]).searched_text))

    async def add_vectors(self, space: str, vectors: Mapping[str, Sequence[float]]) -> int:
        """See `KnowledgeStore.add_vectors`."""
        sizes = {len(vector) for vector in vectors.values()}
        if len(sizes) > 1:
            raise _wrong_dimensions(space, max(sizes), min(sizes))
        if not await self._has_vectors():
            hint = "Use Redis 8 or newer. Words are searched without it."
            raise BackendError(f"{self.address} has no vector sets", hint=hint)
        count, pairs = 0, list(vectors.items())
        for at in range(0, len(pairs), AT_ONCE):
            some = pairs[at : at + AT_ONCE]
            given = [_encode_vector(vector) for _, vector in some]
            asked = {"ids": [name for name, _ in some], "vectors": given, "dimensions": len(some[0][1])}
            answer = await self._write(_SCRIPT, "add_vectors", space=space, **asked)
            if answer[0] == b"dimensions":
                raise _wrong_dimensions(space, len(some[0][1]), int(answer[1]))
            count += int(answer[1])
        return count

    async def remove_vectors(self, space: str) -> int:
        """See `KnowledgeStore.remove_vectors`."""
        return int((await self._write(_SCRIPT, "remove_vectors", space=space))[1])

    async def statistics(self) -> KnowledgeStatistics:
        """See `KnowledgeStore.statistics`."""
        _, documents, chunks, spaces = await self._read(_SCRIPT, "statistics")
        return KnowledgeStatistics(documents, chunks, {name.decode(): count for name, count in spaces if count})

    async def check_ready(self) -> str:
        """Return a line on the server. Raises `BackendError` for a server out of reach."""
        size = await self.statistics()
        kind = "words and vectors" if await self._has_vectors() else "words; vectors need Redis 8"
        return f"knowledge at {self.address}: {size.documents:,} documents, {kind}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._close_link()

    async def _clean(self) -> None:
        """Clean up old documents. What is left after an error, the next put or removal cleans up."""
        try:
            while (await self._write(_SCRIPT, "clean"))[1]:
                pass
        except BackendError as exc:
            warnings.warn(f"old parts of documents are still there: {exc}", RuntimeWarning, stacklevel=3)

    async def _has_vectors(self) -> bool:
        link = self._link()
        if link.has_vectors is None:
            link.has_vectors = bool((await link.call(b"COMMAND", b"INFO", b"VADD"))[0])
            if not link.has_vectors and not self._warned:
                self._warned = True
                text = f"{self.address} has no vector sets: knowledge is searched by words alone. Use Redis 8 or newer."
                warnings.warn(text, RuntimeWarning, stacklevel=3)
        return link.has_vectors


def _name_member(source: str, user: str | None) -> str:
    return f"{source}{_ENDED}{user or ''}"


def _stand_for(value: str | float | bool) -> str:
    """Return a text in place of a value, the same for equal values. Numbers never equal texts or truth values."""
    if isinstance(value, bool):
        return f"b{value:d}"
    if isinstance(value, str):
        return f"t{value}"
    return f"n{int(value)}" if value == int(value) else f"n{value!r}"


def _encode_filter(only: Filter) -> dict[str, Any]:
    metadata = {name: [_stand_for(value) for value in list_values(wanted)] for name, wanted in only.metadata.items()}
    found = {"shared": only.shared, "all_users": only.all_users, "metadata": metadata, "prefix": only.prefix}
    return found if only.user is None else {**found, "user": only.user}


def _encode_chunk(chunk: Chunk) -> dict[str, Any]:
    counts = Counter(split_words(chunk.searched_text))
    fields = chunk.text, chunk.source, chunk.number, chunk.start, chunk.end, chunk.headings, chunk.place
    words = pack_list([part for pair in counts.items() for part in pair])
    return {"number": chunk.number, "body": _encode(fields), "words": words, "length": counts.total()}


def _encode_vector(vector: Sequence[float]) -> bytes:
    return array("f", vector).tobytes()


def _wrong_dimensions(space: str, given: int, known: int) -> UsageError:
    hint = "Name another space for another embedder."
    return UsageError(f"a vector of {space} has {given} dimensions, and others have {known}", hint=hint)


def _read_chunk(body: bytes) -> Chunk:
    try:
        text, source, number, start, end, headings, place = _decode_chunk(body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Damaged(f"a chunk of a document cannot be read: {exc}") from exc
    return Chunk(text, source, number=number, start=start, end=end, headings=headings, place=place)


def _read_info(row: list[Any]) -> DocumentInfo:
    source, user, title, media_type, metadata, digest, chunks, characters, added = row
    try:
        texts = [each.decode() for each in (source, title, media_type, digest)]
        owner = None if user is None else user.decode()
        sizes = int(chunks), int(characters), float(added)
        return DocumentInfo(texts[0], owner, texts[1], texts[2], _decode_metadata(metadata), texts[3], *sizes)
    except (msgspec.MsgspecError, UnicodeError, AttributeError, TypeError, ValueError) as exc:
        raise Damaged(f"document {source!r} cannot be read: {exc}") from exc


def _read_hit(row: list[Any], ranker: str) -> Hit:
    body, score, info = row
    found = _read_info(info)
    return Hit(_read_chunk(body), float(score), (ranker,), found.user, found.title, found.metadata)
