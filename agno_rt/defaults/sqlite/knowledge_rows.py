"""The operations of knowledge on the tables, each called in a thread of the file, within a transaction."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agno_rt.defaults.sqlite.knowledge_filter import Where
from agno_rt.defaults.sqlite.knowledge_stems import add_stems
from agno_rt.errors import UsageError
from agno_rt.knowledge.copies import DocumentCopy
from agno_rt.knowledge.documents import Chunk, Document, DocumentInfo, Hit, Metadata
from agno_rt.knowledge.store import KnowledgeStatistics, PendingText
from agno_rt.knowledge.words import split_words

__all__ = [
    "HIT",
    "add_vectors",
    "decode_hit",
    "export_document",
    "list_documents",
    "list_pending",
    "put_document",
    "read_digests",
    "read_statistics",
    "remove_documents",
    "remove_vectors",
    "wrong_dimensions",
]

_TOGETHER = 500
"""The parameters of one statement: SQLite has a bound, at least 999."""

_INFO = "source, user, title, media_type, metadata, digest, chunks, characters, added_at"

HIT = 'c.id, c.number, c.start, c."end", c.headings, c.place, c.skip, c.searched, d.source, d.user, d.title, d.metadata'
"""The columns of a hit, from `knowledge_chunks AS c` and `knowledge_documents AS d`."""


def put_document(
    connection: sqlite3.Connection,
    document: Document,
    chunks: Sequence[Chunk],
    digest: str,
    user: str,
    now: float,
) -> None:
    """Store the document and its chunks in place of the user's document of the same source."""
    old = _find_documents(connection, [document.source], user)
    keys = _delete_chunks(connection, old)
    connection.execute("DELETE FROM knowledge_documents WHERE source = ? AND user = ?", (document.source, user))
    row = (
        document.source,
        user,
        document.title,
        document.media_type,
        msgspec.json.encode(document.metadata).decode(),
        digest,
        len(chunks),
        len(document.text),
        now,
    )
    columns = "source, user, title, media_type, metadata, digest, chunks, characters, added_at"
    added = connection.execute(f"INSERT INTO knowledge_documents ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", row)
    for chunk in chunks:
        _insert_chunk(connection, added.lastrowid, chunk)
    _delete_vectors(connection, keys)


def _insert_chunk(connection: sqlite3.Connection, document: int | None, chunk: Chunk) -> None:
    searched = chunk.searched_text
    words = " ".join(add_stems(split_words(searched), searched))
    added = connection.execute(
        'INSERT INTO knowledge_chunks (document, number, key, start, "end", headings, place, skip, searched, words)'
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            document,
            chunk.number,
            hashlib.sha256(searched.encode()).digest()[:16],
            chunk.start,
            chunk.end,
            msgspec.json.encode(chunk.headings).decode() if chunk.headings else "",
            chunk.place,
            len(searched) - len(chunk.text),
            searched,
            zlib.compress(words.encode(), 1),
        ),
    )
    connection.execute("INSERT INTO knowledge_words (rowid, words) VALUES (?, ?)", (added.lastrowid, words))


def remove_documents(connection: sqlite3.Connection, sources: Sequence[str], user: str) -> int:
    """Delete the user's documents of the sources; return the number of documents."""
    documents = _find_documents(connection, sources, user)
    keys = _delete_chunks(connection, documents)
    connection.executemany("DELETE FROM knowledge_documents WHERE id = ?", [(document,) for document in documents])
    _delete_vectors(connection, keys)
    return len(documents)


def read_digests(connection: sqlite3.Connection, sources: Sequence[str], user: str) -> dict[str, str]:
    """Return the digests of the user's documents by source."""
    found: dict[str, str] = {}
    for some, marks in _split(sources):
        query = f"SELECT source, digest FROM knowledge_documents WHERE user = ? AND source IN ({marks})"
        found.update(connection.execute(query, (user, *some)).fetchall())
    return found


def list_documents(
    connection: sqlite3.Connection, where: Where, after: tuple[str, str] | None, limit: int
) -> list[DocumentInfo]:
    """List documents by source and user."""
    onward = "" if after is None else " AND (d.source, d.user) > (?, ?)"
    rows = connection.execute(
        f"SELECT {_INFO} FROM knowledge_documents AS d WHERE {where.sql}{onward} ORDER BY d.source, d.user LIMIT ?",
        (*where.parameters, *(after or ()), limit),
    )
    return [_decode_info(row) for row in rows]


def export_document(connection: sqlite3.Connection, source: str, user: str) -> DocumentCopy | None:
    """Return the user's document of the source with all chunks."""
    query = f"SELECT id, {_INFO} FROM knowledge_documents WHERE source = ? AND user = ?"
    found = connection.execute(query, (source, user)).fetchone()
    if found is None:
        return None
    rows = connection.execute(
        'SELECT number, start, "end", headings, place, skip, searched FROM knowledge_chunks WHERE document = ?'
        " ORDER BY number",
        (found[0],),
    )
    return DocumentCopy(_decode_info(found[1:]), [_decode_chunk(source, *row) for row in rows])


def list_pending(connection: sqlite3.Connection, space: str, limit: int) -> list[PendingText]:
    """Return texts without a vector in the space, in the order of storing, each once."""
    rows = connection.execute(
        "SELECT hex(key), searched FROM knowledge_chunks AS c WHERE NOT EXISTS (SELECT 1 FROM knowledge_vectors AS v"
        " WHERE v.key = c.key AND v.space = (SELECT id FROM knowledge_spaces WHERE name = ?)) ORDER BY id LIMIT ?",
        (space, limit),
    )
    return [PendingText(key, text) for key, text in dict(rows.fetchall()).items()]


def add_vectors(connection: sqlite3.Connection, space: str, dimensions: int, vectors: Mapping[str, bytes]) -> int:
    """Store vectors by the keys of known texts; return the number of chunks."""
    known = connection.execute("SELECT id, dimensions FROM knowledge_spaces WHERE name = ?", (space,)).fetchone()
    if known is not None and known[1] != dimensions:
        raise wrong_dimensions(space, known[1], dimensions)
    done = 0
    for key, vector in vectors.items():
        raw = bytes.fromhex(key)
        (count,) = connection.execute("SELECT count(*) FROM knowledge_chunks WHERE key = ?", (raw,)).fetchone()
        if not count:
            continue
        if known is None:
            made = connection.execute(
                "INSERT INTO knowledge_spaces (name, dimensions) VALUES (?, ?)", (space, dimensions)
            )
            known = made.lastrowid, dimensions
        connection.execute(
            "INSERT OR REPLACE INTO knowledge_vectors (space, key, vector) VALUES (?, ?, ?)", (known[0], raw, vector)
        )
        done += count
    return done


def remove_vectors(connection: sqlite3.Connection, space: str) -> int:
    """Delete the space with its vectors; return the number of chunks that had one."""
    known = connection.execute("SELECT id FROM knowledge_spaces WHERE name = ?", (space,)).fetchone()
    if known is None:
        return 0
    query = "SELECT count(*) FROM knowledge_vectors AS v JOIN knowledge_chunks AS c ON c.key = v.key WHERE v.space = ?"
    (count,) = connection.execute(query, known).fetchone()
    connection.execute("DELETE FROM knowledge_vectors WHERE space = ?", known)
    connection.execute("DELETE FROM knowledge_spaces WHERE id = ?", known)
    connection.execute("UPDATE knowledge_schema SET removed = removed + 1")
    return int(count)


def wrong_dimensions(space: str, known: int, given: int) -> UsageError:
    """Return the error for a vector with other dimensions than the space."""
    hint = "Each embedder has a space of its own: name another space."
    return UsageError(f"a vector has {given} dimensions, and the vectors of {space} have {known}", hint=hint)


def read_statistics(connection: sqlite3.Connection) -> KnowledgeStatistics:
    """Return the number of rows, and the size of the file."""
    (documents,) = connection.execute("SELECT count(*) FROM knowledge_documents").fetchone()
    (chunks,) = connection.execute("SELECT count(*) FROM knowledge_chunks").fetchone()
    vectors = connection.execute(
        "SELECT s.name, count(*) FROM knowledge_spaces AS s JOIN knowledge_vectors AS v ON v.space = s.id"
        " JOIN knowledge_chunks AS c ON c.key = v.key GROUP BY s.id"
    ).fetchall()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return KnowledgeStatistics(documents, chunks, dict(vectors), pages * page)


def decode_hit(row: tuple[Any, ...], score: float, ranker: str) -> Hit:
    """Make a hit of the columns `HIT`."""
    source, user, title, metadata = row[8:]
    chunk = _decode_chunk(source, *row[1:8])
    return Hit(chunk, score, (ranker,), user or None, title, _decode_metadata(metadata))


def _decode_chunk(source: str, *row: Any) -> Chunk:
    number, start, end, headings, place, skip, searched = row
    above = msgspec.json.decode(headings, type=tuple[str, ...]) if headings else ()
    return Chunk(searched[skip:], source, number=number, start=start, end=end, headings=above, place=place)


def _decode_info(row: Sequence[Any]) -> DocumentInfo:
    source, user, title, media_type, metadata, *rest = row
    return DocumentInfo(source, user or None, title, media_type, _decode_metadata(metadata), *rest)


def _decode_metadata(metadata: str) -> Metadata:
    return msgspec.json.decode(metadata, type=dict[str, bool | int | float | str])


def _split(values: Sequence[str]) -> Iterable[tuple[Sequence[str], str]]:
    """Yield the values, each once, in groups for a statement each, with a mark for each value."""
    different = list(dict.fromkeys(values))
    for at in range(0, len(different), _TOGETHER):
        some = different[at : at + _TOGETHER]
        yield some, ", ".join("?" * len(some))


def _find_documents(connection: sqlite3.Connection, sources: Sequence[str], user: str) -> list[int]:
    found: list[int] = []
    for some, marks in _split(sources):
        query = f"SELECT id FROM knowledge_documents WHERE user = ? AND source IN ({marks})"
        found += [row[0] for row in connection.execute(query, (user, *some))]
    return found


def _delete_chunks(connection: sqlite3.Connection, documents: Iterable[int]) -> set[bytes]:
    """Delete the chunks and words of documents; return the keys of the texts."""
    keys: set[bytes] = set()
    for document in documents:
        query = "SELECT id, key, words FROM knowledge_chunks WHERE document = ?"
        for chunk, key, words in connection.execute(query, (document,)).fetchall():
            connection.execute(
                "INSERT INTO knowledge_words (knowledge_words, rowid, words) VALUES ('delete', ?, ?)",
                (chunk, zlib.decompress(words).decode()),
            )
            keys.add(key)
        connection.execute("DELETE FROM knowledge_chunks WHERE document = ?", (document,))
    return keys


def _delete_vectors(connection: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Delete the vectors of texts without a chunk."""
    gone = 0
    for key in keys:
        gone += connection.execute(
            "DELETE FROM knowledge_vectors WHERE key = ? AND NOT EXISTS (SELECT 1 FROM knowledge_chunks WHERE key = ?)",
            (key, key),
        ).rowcount
    if gone:  # readers with vectors in memory must drop some
        connection.execute("UPDATE knowledge_schema SET removed = removed + 1")
