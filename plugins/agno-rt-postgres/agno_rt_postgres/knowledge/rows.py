"""Knowledge in PostgreSQL: each function is one operation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agno_rt.errors import UsageError
from agno_rt.knowledge.copies import DocumentCopy
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit, Metadata
from agno_rt.knowledge.store import Filter, KnowledgeStatistics, PendingText, list_values
from agno_rt.knowledge.words import query_signs, query_words, split_words
from agno_rt_postgres.statements import Done, Operation, Row, Statement

__all__ = [
    "add_vectors",
    "export_document",
    "find_by_vector",
    "find_by_words",
    "list_documents",
    "list_pending",
    "put_document",
    "read_digests",
    "read_statistics",
    "remove_documents",
    "remove_vectors",
    "wrong_dimensions",
]

_INFO = 'source, "user", title, media_type, metadata, digest, d.chunks, characters, added_at'
_HIT = 'c.number, c.start, c.stop, c.headings, c.place, c.skip, c.searched, d.source, d."user", d.title, d.metadata'
_FROM = "FROM chunks AS c JOIN documents AS d ON d.id = c.document"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' document ' || $1 || chr(10) || $2, 0))"
"""Puts of one source follow one another, also where there is no row to lock yet."""
_STEM = "coalesce((ts_lexize('stem', {0}))[1], {0})"
_INSERT_DOCUMENT = (
    'INSERT INTO documents (source, "user", title, media_type, metadata, facets, digest, chunks, characters, added_at)'
    " VALUES ($1, $2, $3, $4, $5::text, $5::text::jsonb, $6, $7, $8, $9) RETURNING id"
)
_INSERT_CHUNK = (
    "INSERT INTO chunks (document, number, key, start, stop, headings, place, skip, searched, words)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,"
    f" array_to_tsvector(ARRAY(SELECT DISTINCT {_STEM.format('word')} FROM unnest($10::text[]) AS word)))"
)
_DROP_VECTORS = "DELETE FROM vectors AS v WHERE key = ANY($1) AND NOT EXISTS (SELECT 1 FROM chunks WHERE key = v.key)"
_PENDING = (
    "SELECT key, min(searched) FROM chunks AS c WHERE NOT EXISTS (SELECT 1 FROM vectors AS v JOIN spaces AS s"
    " ON s.id = v.space WHERE v.key = c.key AND s.name = $1) GROUP BY key ORDER BY min(id) LIMIT $2"
)
_COUNT_WORDS = (
    f"SELECT word, {_STEM.format('word')}, (SELECT count(*) FROM chunks WHERE words @@"
    f" quote_literal({_STEM.format('word')})::tsquery) FROM unnest($1::text[]) AS word"
)


def put_document(document: Document, chunks: Sequence[Chunk], digest: str, user: str, now: float) -> Operation[None]:
    """Store the document and its chunks in place of the user's document of the same source."""
    source = document.source
    _, old = yield [
        Statement(_LOCK, (source, user), lock=f"document {source} {user}"),
        Statement(
            "SELECT c.key FROM chunks AS c JOIN documents AS d ON d.id = c.document"
            ' WHERE d.source = $1 AND d."user" = $2',
            (source, user),
        ),
    ]
    metadata = msgspec.json.encode(document.metadata).decode()
    row = source, user, document.title, document.media_type, metadata, digest, len(chunks), len(document.text), now
    delete = Statement('DELETE FROM documents WHERE source = $1 AND "user" = $2', (source, user), writes=True)
    _, (((added,),)) = yield [delete, Statement(_INSERT_DOCUMENT, row, writes=True)]
    keys = list(dict.fromkeys(key for (key,) in old))
    statements = [_insert_chunk(added, chunk) for chunk in chunks]
    if keys:
        statements.append(Statement(_DROP_VECTORS, (keys,), writes=True))
    return Done(None, statements)


def _insert_chunk(document: int, chunk: Chunk) -> Statement:
    searched = chunk.searched_text
    values = (
        document,
        chunk.number,
        hashlib.sha256(searched.encode()).digest()[:16],
        chunk.start,
        chunk.end,
        msgspec.json.encode(chunk.headings).decode(),
        chunk.place,
        len(searched) - len(chunk.text),
        searched,
        list(dict.fromkeys(split_words(searched))),
    )
    return Statement(_INSERT_CHUNK, values, writes=True)


def remove_documents(sources: Sequence[str], user: str) -> Operation[int]:
    """Delete the user's documents with these sources; return how many there were."""
    where = 'source = ANY($1) AND "user" = $2'
    asked = list(dict.fromkeys(sources)), user
    _, old = yield [
        Statement(f"SELECT id FROM documents WHERE {where} ORDER BY id FOR UPDATE", asked),
        Statement(f"SELECT DISTINCT c.key {_FROM} WHERE {where}", asked),
    ]
    (gone,) = yield [Statement(f"DELETE FROM documents WHERE {where} RETURNING id", asked, writes=True)]
    keys = [key for (key,) in old]
    return Done(len(gone), [Statement(_DROP_VECTORS, (keys,), writes=True)] if keys else [])


def read_digests(sources: Sequence[str], user: str) -> Operation[dict[str, str]]:
    """Return the digests of the user's documents by source."""
    query = 'SELECT source, digest FROM documents WHERE source = ANY($1) AND "user" = $2'
    (rows,) = yield [Statement(query, (list(sources), user))]
    return Done(dict(rows))


def list_documents(filter: Filter, after: tuple[str, str] | None, limit: int) -> Operation[list[DocumentInfo]]:
    """List documents by source and user."""
    values: list[Any] = []
    where = _make_where(filter, values)
    if after is not None:
        values += after
        where += f' AND (source, "user") > (${len(values) - 1}, ${len(values)})'
    values.append(limit)
    (rows,) = yield [
        Statement(
            f'SELECT {_INFO} FROM documents AS d WHERE {where} ORDER BY source, "user" LIMIT ${len(values)}',
            values,
        )
    ]
    return Done([_decode_info(row) for row in rows])


def export_document(source: str, user: str) -> Operation[DocumentCopy | None]:
    """Return the user's document of the source with all chunks."""
    # One statement, so that the chunks are of the document's version.
    columns = "c.number, c.start, c.stop, c.headings, c.place, c.skip, c.searched"
    (rows,) = yield [
        Statement(
            f"SELECT {_INFO}, {columns} FROM documents AS d LEFT JOIN chunks AS c ON c.document = d.id"
            ' WHERE source = $1 AND "user" = $2 ORDER BY c.number',
            (source, user),
        )
    ]
    if not rows:
        return Done(None)
    chunks = [_decode_chunk(source, row[9:]) for row in rows if row[9] is not None]
    return Done(DocumentCopy(_decode_info(rows[0][:9]), chunks))


def find_by_words(query: str, filter: Filter, limit: int) -> Operation[list[Hit]]:
    """Return the chunks with words of the query, or with its signs, best first."""
    words, signs = query_words(query), query_signs(query)
    if not words and not signs:
        return Done([])
    values: list[Any] = []
    where = _make_where(filter, values)
    if not words:
        values += (signs, limit)
        sign = f"strpos(c.searched, ${len(values) - 1}) > 0"
        text = f"SELECT 1.0::float8, {_HIT} {_FROM} WHERE {where} AND {sign} ORDER BY c.id LIMIT ${len(values)}"
        (rows,) = yield [Statement(text, values)]
        return Done([_decode_hit(row, "words") for row in rows])
    counted, (((total,),)) = yield [
        Statement(_COUNT_WORDS, (list(words),)),
        Statement("SELECT count(*) FROM chunks"),
    ]
    # A word counts more if fewer chunks have it: the inverse document frequency, as in BM25.
    weights = {stem: math.log(1 + (total - count + 0.5) / (count + 0.5)) for _, stem, count in counted if count}
    if not weights:
        return Done([])
    quoted = ["'" + stem.replace("\\", "\\\\").replace("'", "''") + "'" for stem in weights]
    values += (" | ".join(quoted), limit)
    either, most = f"${len(values) - 1}::text::tsquery", f"${len(values)}"
    parts = []
    for quote, weight in zip(quoted, weights.values(), strict=True):
        values += (quote, weight)
        parts.append(f"(c.words @@ ${len(values) - 1}::text::tsquery)::int * ${len(values)}::float8")
    text = (
        f"SELECT {' + '.join(parts)} AS score, {_HIT} {_FROM} WHERE {where} AND c.words @@ {either}"
        f" ORDER BY score DESC, length(c.searched), c.id LIMIT {most}"
    )
    (rows,) = yield [Statement(text, values)]
    return Done([_decode_hit(row, "words") for row in rows])


def find_by_vector(vector: Sequence[float], space: str, filter: Filter, limit: int) -> Operation[list[Hit]]:
    """Return the chunks whose vectors are nearest by cosine. The search is exact."""
    (known,) = yield [Statement("SELECT id, dimensions FROM spaces WHERE name = $1", (space,))]
    if not known:
        return Done([])
    number, dimensions = known[0]
    if dimensions != len(vector):
        raise wrong_dimensions(space, dimensions, len(vector))
    values: list[Any] = [_write_vector(vector), number]
    where = _make_where(filter, values)
    values.append(limit)
    distance = "v.vector OPERATOR(public.<=>) $1::text::public.vector"
    text = (
        f"SELECT 1 - ({distance}), {_HIT} {_FROM} JOIN vectors AS v ON v.key = c.key AND v.space = $2"
        f" WHERE {where} ORDER BY {distance}, c.id LIMIT ${len(values)}"
    )
    (rows,) = yield [Statement(text, values)]
    return Done([_decode_hit(row, "vectors") for row in rows])


def list_pending(space: str, limit: int) -> Operation[list[PendingText]]:
    """Return texts without a vector in the space, in the order in which they were stored, each once."""
    (rows,) = yield [Statement(_PENDING, (space, limit))]
    return Done([PendingText(key.hex(), text) for key, text in rows])


def add_vectors(space: str, dimensions: int, vectors: Mapping[str, Sequence[float]]) -> Operation[int]:
    """Store vectors by the keys of texts that are there; return the number of their chunks."""
    keys = [bytes.fromhex(key) for key in vectors]
    known, counted = yield [
        Statement("SELECT id, dimensions FROM spaces WHERE name = $1 FOR UPDATE", (space,), lock=f"space {space}"),
        Statement("SELECT key, count(*) FROM chunks WHERE key = ANY($1) GROUP BY key", (keys,)),
    ]
    if known and known[0][1] != dimensions:
        raise wrong_dimensions(space, known[0][1], dimensions)
    if not counted:
        return Done(0)
    if not known:
        insert = "INSERT INTO spaces (name, dimensions) VALUES ($1, $2) RETURNING id, dimensions"
        (known,) = yield [Statement(insert, (space, dimensions), writes=True)]
    upsert = (
        "INSERT INTO vectors VALUES ($1, $2, $3::text::public.vector)"
        " ON CONFLICT (space, key) DO UPDATE SET vector = excluded.vector"
    )
    rows = [(known[0][0], key, _write_vector(vectors[key.hex()])) for key, _ in counted]
    return Done(sum(count for _, count in counted), [Statement(upsert, row, writes=True) for row in rows])


def remove_vectors(space: str) -> Operation[int]:
    """Delete the space with its vectors; return the number of chunks that had one."""
    count = (
        "SELECT count(*) FROM spaces AS s JOIN vectors AS v ON v.space = s.id JOIN chunks AS c ON c.key = v.key"
        " WHERE s.name = $1"
    )
    _, (((chunks,),)) = yield [
        Statement("SELECT id FROM spaces WHERE name = $1 FOR UPDATE", (space,), lock=f"space {space}"),
        Statement(count, (space,)),
    ]
    vectors = "DELETE FROM vectors USING spaces AS s WHERE vectors.space = s.id AND s.name = $1"
    return Done(
        chunks,
        [
            Statement(vectors, (space,), writes=True),
            Statement("DELETE FROM spaces WHERE name = $1", (space,), writes=True),
        ],
    )


def wrong_dimensions(space: str, known: int, given: int) -> UsageError:
    """Return the error for a vector that does not fit its space."""
    hint = "Each embedder has a space of its own: name another space."
    return UsageError(f"a vector has {given} dimensions, and the vectors of {space} have {known}", hint=hint)


def read_statistics() -> Operation[KnowledgeStatistics]:
    """Return the number of rows, and the size of the tables."""
    documents, chunks, vectors, size = yield [
        Statement("SELECT count(*) FROM documents"),
        Statement("SELECT count(*) FROM chunks"),
        Statement(
            "SELECT s.name, count(*) FROM spaces AS s JOIN vectors AS v ON v.space = s.id JOIN chunks AS c"
            " ON c.key = v.key GROUP BY s.name"
        ),
        Statement(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c"
            " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        ),
    ]
    return Done(KnowledgeStatistics(documents[0][0], chunks[0][0], dict(vectors), size[0][0]))


def _make_where(filter: Filter, values: list[Any]) -> str:
    """Return the condition for the documents that the filter considers, and add its parameters to `values`."""
    parts: list[str] = ["true"]

    def mark(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    if not filter.all_users:
        users = ([""] if filter.shared else []) + ([] if filter.user is None else [filter.user])
        parts.append(f'd."user" = ANY({mark(users)}::text[])')
    if filter.prefix:
        parts.append(f"starts_with(d.source, {mark(filter.prefix)})")
    for key, wanted in filter.metadata.items():
        fits = [{key: value} for value in list_values(wanted)]
        either = [f"d.facets @> {mark(msgspec.json.encode(each).decode())}::text::jsonb" for each in fits]
        parts.append(f"({' OR '.join(either) or 'false'})")
    return " AND ".join(parts)


def _write_vector(vector: Sequence[float]) -> str:
    return f"[{','.join(map(repr, map(float, vector)))}]"


def _decode_hit(row: Row, ranker: str) -> Hit:
    score, (source, user, title, metadata) = row[0], row[8:]
    chunk = _decode_chunk(source, row[1:8])
    return Hit(chunk, score, (ranker,), user or None, title, _decode_metadata(metadata))


def _decode_chunk(source: str, row: Row) -> Chunk:
    number, start, end, headings, place, skip, searched = row
    above = msgspec.json.decode(headings, type=tuple[str, ...])
    return Chunk(searched[skip:], source, number=number, start=start, end=end, headings=above, place=place)


def _decode_info(row: Row) -> DocumentInfo:
    source, user, title, media_type, metadata, *rest = row
    return DocumentInfo(source, user or None, title, media_type, _decode_metadata(metadata), *rest)


def _decode_metadata(metadata: str) -> Metadata:
    return msgspec.json.decode(metadata, type=dict[str, bool | int | float | str])
