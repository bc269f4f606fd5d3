"""The records of documents and chunks, and conditions for them. Pure.

A record's document is not the text, but what `$contains` looks for: Chroma compares letters exactly and knows no words.
It has the source as hexadecimal digits, so that a prefix of it can be asked for; each word of the text once, folded;
and the number of each sign.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import BackendError
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit, Value, stored_text
from agno_rt.knowledge.store import Filter, list_values
from agno_rt.knowledge.words import split_words

__all__ = [
    "ChunkKey",
    "Record",
    "join_conditions",
    "make_conditions",
    "make_info",
    "make_pointer",
    "name_document",
    "rank_chunks",
    "read_chunk",
    "read_info",
    "record_chunk",
    "record_vector",
    "score_words",
    "with_signs",
    "with_source",
    "with_word",
]

_encode = msgspec.json.Encoder().encode
_decode_info = msgspec.json.Decoder(DocumentInfo).decode
_decode_chunk = msgspec.json.Decoder(tuple[str, int, int, tuple[str, ...], str]).decode
_SATURATION = 1.2
_BY_LENGTH = 0.75


@attrs.frozen
class Record:
    """A record of a collection."""

    id: str
    document: str
    metadata: Mapping[str, Value]


@attrs.frozen
class ChunkKey:
    """The identity of a chunk, as its record's id: the document's version, the chunk's number, its count of words."""

    version: str
    number: int
    words: int

    @classmethod
    def read(cls, text: str) -> ChunkKey:
        """Read an id."""
        version, number, words = text.split(".")
        return cls(version, int(number), int(words))

    def __str__(self) -> str:
        return f"{self.version}.{self.number}.{self.words}"


def name_document(source: str, user: str | None) -> str:
    """Return the id of a document's record, the same for each version."""
    return f"d-{hashlib.sha256(_encode((source, user))).hexdigest()[:40]}"


def make_info(document: Document, user: str | None, digest: str, chunks: int, now: float) -> DocumentInfo:
    """Return the information on a document of so many chunks, put now."""
    return DocumentInfo(
        document.source,
        user,
        document.title,
        document.media_type,
        dict(document.metadata),
        digest,
        chunks,
        len(document.text),
        now,
    )


def make_pointer(info: DocumentInfo, version: str) -> Record:
    """Return the record of a document: it makes the version the visible one."""
    metadata = {**_make_facets(info), "k": "document", "v": version, "i": _encode(info).decode()}
    return Record(name_document(info.source, info.user), _write_source(info.source), metadata)


def record_chunk(chunk: Chunk, info: DocumentInfo, version: str) -> Record:
    """Return the record of a chunk."""
    searched = chunk.searched_text
    words = list(split_words(searched))
    signs = sorted({sign for sign in searched if _is_sign(sign)})
    lines = _write_source(info.source), f" {' '.join(dict.fromkeys(words))} ", f" {' '.join(map(_name_sign, signs))} "
    body = _encode((chunk.text, chunk.start, chunk.end, chunk.headings, chunk.place)).decode()
    metadata = {**_make_facets(info), "d": name_document(info.source, info.user), "v": version, "b": body}
    return Record(str(ChunkKey(version, chunk.number, len(words))), "\n".join(lines), metadata)


def record_vector(key: ChunkKey, info: DocumentInfo) -> Record:
    """Return the record of a chunk's vector: what searches are restricted by."""
    return Record(str(key), _write_source(info.source), {**_make_facets(info), "v": key.version})


def read_info(metadata: Mapping[str, Any]) -> DocumentInfo:
    """Return the information of a document's record. Raises `BackendError` for a damaged record."""
    try:
        return _decode_info(metadata["i"])
    except (msgspec.MsgspecError, KeyError, TypeError) as exc:
        raise BackendError(f"a document's record cannot be read: {exc}", hint="Add the document again.") from exc


def read_chunk(key: ChunkKey, source: str, metadata: Mapping[str, Any]) -> Chunk:
    """Return the chunk of a record. Raises `BackendError` for a damaged record."""
    try:
        text, start, end, headings, place = _decode_chunk(metadata["b"])
    except (msgspec.MsgspecError, KeyError, TypeError) as exc:
        raise BackendError(f"a chunk of {source!r} cannot be read: {exc}", hint="Add the document again.") from exc
    return Chunk(text, source, number=key.number, start=start, end=end, headings=headings, place=place)


def make_conditions(only: Filter) -> list[dict[str, Any]] | None:
    """Return the conditions on records that the filter sets, without its prefix; None if nothing can fit."""
    found: list[dict[str, Any]] = []
    if not only.all_users:
        users = ([""] if only.shared else []) + ([] if only.user is None else [only.user])
        if not users:
            return None
        found.append({"u": {"$in": users}})
    for name, wanted in only.metadata.items():
        values = [_stand_for(value) for value in list_values(wanted)]
        if not values:  # Chroma refuses an empty list
            return None
        found.append({f"m.{name}": {"$in": values}})
    return found


def join_conditions(*conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return one condition for all of them; None without any."""
    if len(conditions) < 2:
        return dict(conditions[0]) if conditions else None
    return {"$and": list(conditions)}


def with_source(prefix: str) -> dict[str, str]:
    """Return the condition for records of sources that begin so."""
    return {"$contains": _write_source(prefix)}


def with_word(word: str) -> dict[str, str]:
    """Return the condition for chunks with the word."""
    return {"$contains": f" {word} "}


def with_signs(signs: str) -> list[dict[str, str]]:
    """Return conditions for chunks with each of the signs, wherever they stand."""
    return [{"$contains": f" {_name_sign(sign)} "} for sign in sorted(set(signs)) if _is_sign(sign)]


def score_words(found: Mapping[str, Sequence[str]], total: int) -> list[str]:
    """Return the ids of chunks, best first, by the words they have: the ids of chunks with a word, by word.

    A rarer word counts more, and a shorter chunk comes first, as in BM25 for words that stand once in each chunk.
    """
    scores: dict[str, float] = {}
    for ids in found.values():
        weight = _weigh(len(ids), total)
        for each in ids:
            scores[each] = scores.get(each, 0.0) + weight
    lengths = {each: int(each.rpartition(".")[2]) for each in scores}
    average = max(1.0, sum(lengths.values()) / max(1, len(lengths)))
    ranked = {each: score * _damp(1, lengths[each], average) for each, score in scores.items()}
    return sorted(ranked, key=lambda each: (-ranked[each], each))


def rank_chunks(hits: Iterable[Hit], counts: Mapping[str, int], total: int) -> list[Hit]:
    """Return the hits with their scores by BM25, best first. `counts` has the number of chunks with each word.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), with k1 = 1.2 and b = 0.75; the average
    length is that of the hits.
    """
    read = [(hit, Counter(split_words(hit.chunk.searched_text))) for hit in hits]
    average = max(1.0, sum(words.total() for _, words in read) / max(1, len(read)))
    scored = [
        attrs.evolve(
            hit,
            score=sum(
                _weigh(count, total) * _damp(words[word], words.total(), average)
                for word, count in counts.items()
                if word in words
            ),
        )
        for hit, words in read
    ]
    return sorted(scored, key=lambda hit: -hit.score)


def _weigh(count: int, total: int) -> float:
    return math.log(1 + max(total - count + 0.5, 0.5) / (count + 0.5))


def _damp(count: int, length: int, average: float) -> float:
    norm = _SATURATION * (1 - _BY_LENGTH + _BY_LENGTH * length / average)
    return count * (_SATURATION + 1) / (count + norm)


def _make_facets(info: DocumentInfo) -> dict[str, Value]:
    facets: dict[str, Value] = {f"m.{name}": _stand_for(value) for name, value in info.metadata.items()}
    return {**facets, "u": info.user or ""}


def _stand_for(value: Value) -> str:
    """Return a text in place of a value, the same for equal values. Numbers never equal texts or truth values."""
    if isinstance(value, bool):
        return f"b{value:d}"
    if isinstance(value, str):
        return f"t{stored_text(value)}"
    return f"n{int(value)}" if value == int(value) else f"n{value!r}"


def _write_source(source: str) -> str:
    # A prefix is a person's text, and may have half of a surrogate pair.
    return f"source:{source.encode('utf-8', 'surrogatepass').hex()}"


def _is_sign(sign: str) -> bool:
    return not sign.isspace() and next(split_words(sign), None) is None


def _name_sign(sign: str) -> str:
    # Words are folded letters and digits without `+`, so that no word is like the name of a sign.
    return f"U+{ord(sign):X}"
