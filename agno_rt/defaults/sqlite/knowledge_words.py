"""Searches by words in the index of an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from agno_rt.defaults.sqlite.knowledge_filter import Where
from agno_rt.defaults.sqlite.knowledge_rows import HIT, decode_hit
from agno_rt.defaults.sqlite.knowledge_stems import add_stems
from agno_rt.knowledge.documents import Hit
from agno_rt.knowledge.words import query_signs, query_words

__all__ = ["search_words"]

_FIRST = 100
"""The best chunks to look up first; if too few of them fit the filter, all chunks with a word are looked up."""

_POSTINGS = 2_000
"""The most chunks to rank, or a tenth of all chunks if that is more: commoner words are left out beside rarer words.

BM25 gives a word of half of all chunks almost no weight, and ranking takes about a microsecond a chunk.
"""


def search_words(connection: sqlite3.Connection, query: str, where: Where, limit: int) -> list[Hit]:
    """Return the chunks with words of the query, best first."""
    words = query_words(query)
    if not words:
        signs = query_signs(query)
        return _search_signs(connection, signs, where, limit) if signs else []
    wanted = list(dict.fromkeys(add_stems(words, query)))
    match = " OR ".join(f'"{word}"' for word in _choose_words(connection, wanted))
    rows = connection.execute(
        f"SELECT {HIT}, f.rank FROM (SELECT rowid, rank FROM knowledge_words WHERE knowledge_words MATCH ?"
        " ORDER BY rank LIMIT ?) AS f CROSS JOIN knowledge_chunks AS c ON c.id = f.rowid"
        f" CROSS JOIN knowledge_documents AS d ON d.id = c.document WHERE {where.sql} ORDER BY f.rank, c.id",
        (match, max(_FIRST, limit), *where.parameters),
    ).fetchall()
    if len(rows) < limit and where.sql != "1":
        rows = connection.execute(
            f"SELECT {HIT}, f.rank FROM knowledge_words AS f CROSS JOIN knowledge_chunks AS c ON c.id = f.rowid"
            " CROSS JOIN knowledge_documents AS d ON d.id = c.document"
            f" WHERE f.knowledge_words MATCH ? AND {where.sql} ORDER BY f.rank, c.id LIMIT ?",
            (match, *where.parameters, limit),
        ).fetchall()
    return [decode_hit(row[:-1], -row[-1], "words") for row in rows[:limit]]


def _choose_words(connection: sqlite3.Connection, words: Sequence[str]) -> Sequence[str]:
    """Return the rarest words, with at most `_POSTINGS` chunks together; at least one word."""
    (chunks,) = connection.execute("SELECT coalesce(max(id), 0) FROM knowledge_chunks").fetchone()
    most = max(_POSTINGS, chunks // 10)
    if chunks <= most:
        return words
    count = "SELECT count(*) FROM (SELECT 1 FROM knowledge_words WHERE knowledge_words MATCH ? LIMIT ?)"
    counts = {word: connection.execute(count, (f'"{word}"', most)).fetchone()[0] for word in words}
    chosen: list[str] = []
    together = 0
    for word in sorted(words, key=counts.__getitem__):
        together += counts[word]
        if chosen and together > most:
            break
        chosen.append(word)
    return chosen


def _search_signs(connection: sqlite3.Connection, signs: str, where: Where, limit: int) -> list[Hit]:
    """Return chunks with the signs: no index has signs, so all chunks are read."""
    rows = connection.execute(
        f"SELECT {HIT} FROM knowledge_chunks AS c JOIN knowledge_documents AS d ON d.id = c.document"
        f" WHERE instr(c.searched, ?) AND {where.sql} ORDER BY c.id LIMIT ?",
        (signs, *where.parameters, limit),
    )
    return [decode_hit(row, 1.0, "words") for row in rows]
