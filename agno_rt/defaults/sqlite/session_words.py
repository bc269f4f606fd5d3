"""The search by words in the file of `SQLiteMemory`. The index is made at the first search, and grows with each search.

So storing a message costs nothing more, and a file without searches has no index. A trigger forgets deleted sessions.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import msgspec

from agno_rt.context_providers.session_search import READ_CHARACTERS, FoundMessage, query_terms, spaced_text
from agno_rt.messages import Message

__all__ = ["find_messages", "index_messages"]

INDEXED_AT_ONCE = 2_000
"""The messages that one operation adds to the index: other writes wait meanwhile."""

_TABLES = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS session_words USING fts5(words, tokenize = 'porter unicode61')",
    """CREATE TABLE IF NOT EXISTS session_words_rows (
        session TEXT NOT NULL, seq INTEGER NOT NULL, row INTEGER NOT NULL UNIQUE, PRIMARY KEY (session, seq)
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS session_words_ends (session TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER IF NOT EXISTS forget_session_words AFTER DELETE ON sessions BEGIN
        DELETE FROM session_words WHERE rowid IN (SELECT row FROM session_words_rows WHERE session = old.id);
        DELETE FROM session_words_rows WHERE session = old.id;
        DELETE FROM session_words_ends WHERE session = old.id;
    END""",
)
_NEW = """
    SELECT m.session, m.seq, m.body FROM sessions s
    LEFT JOIN session_words_ends e ON e.session = s.id
    JOIN messages m ON m.session = s.id AND m.seq > coalesce(e.seq, 0)
    WHERE s.user IS ? ORDER BY m.session, m.seq LIMIT ?
"""
# The messages themselves are read for the best ones alone.
_FIND = """
    WITH best AS (
        SELECT r.session, r.seq, s.updated_at, bm25(session_words) AS score FROM session_words w
        JOIN session_words_rows r ON r.row = w.rowid
        JOIN sessions s ON s.id = r.session
        WHERE session_words MATCH ? AND s.user IS ? ORDER BY score, s.updated_at DESC LIMIT ?
    )
    SELECT best.session, best.seq, best.updated_at, m.body FROM best
    JOIN messages m ON m.session = best.session AND m.seq = best.seq ORDER BY score, best.updated_at DESC
"""
_decode = msgspec.json.Decoder(Message).decode


def index_messages(connection: sqlite3.Connection, user: str | None) -> bool:
    """Add messages of the user's sessions to the index; return whether there may be more to add."""
    for statement in _TABLES:
        connection.execute(statement)
    new = connection.execute(_NEW, (user, INDEXED_AT_ONCE)).fetchall()
    (row,) = connection.execute("SELECT coalesce(max(row), 0) FROM session_words_rows").fetchone()
    ends: dict[str, int] = {}
    for session, seq, body in new:
        ends[session] = seq
        # A damaged message cannot be found; loading its session reports the damage.
        with suppress(msgspec.MsgspecError, UnicodeError, TypeError):
            message = _decode(body)
            if message.role in ("user", "assistant") and (text := message.text[:READ_CHARACTERS]):
                row += 1
                connection.execute("INSERT INTO session_words (rowid, words) VALUES (?, ?)", (row, spaced_text(text)))
                connection.execute("INSERT INTO session_words_rows VALUES (?, ?, ?)", (session, seq, row))
    connection.executemany("INSERT OR REPLACE INTO session_words_ends VALUES (?, ?)", ends.items())
    return len(new) == INDEXED_AT_ONCE


def find_messages(connection: sqlite3.Connection, words: str, user: str | None, limit: int) -> list[FoundMessage]:
    """Return the messages that fit the words best."""
    # Each word in quotes is literal; the characters of a word without spaces become a phrase.
    query = " OR ".join('"{}"'.format(" ".join(spaced_text(term).split())) for term in query_terms(words))
    found = []
    for session, seq, updated_at, body in connection.execute(_FIND, (query, user, limit)):
        message = _decode(body)
        found.append(FoundMessage(session, seq, message.role, message.text[:READ_CHARACTERS], updated_at))
    return found
