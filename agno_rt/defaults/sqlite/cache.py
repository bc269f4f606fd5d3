"""Cached answers in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction.

The backend notes which answers were read, and writes the notes with the next answer: a write for each read would cost
more than the read. Notes of other processes are unknown until written, so their last uses may not count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import attrs

__all__ = ["NOTED", "NewAnswer", "delete_answers", "read_answer", "write_answer"]

NOTED = 10_000
"""The most uses to note until the next write."""


@attrs.frozen
class NewAnswer:
    """A value to keep from `now` until `end`; `asked` are the keys read since the last write."""

    key: str
    value: bytes
    now: float
    end: float | None
    size: int | None
    asked: Sequence[str]


def read_answer(connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
    """Return the value under the key, unless it has expired."""
    row = connection.execute("SELECT value, expires_at FROM cache WHERE entry = ?", (key,)).fetchone()
    if row is None or (row[1] is not None and now >= row[1]):
        return None
    value: bytes = row[0]
    return value


def write_answer(connection: sqlite3.Connection, new: NewAnswer) -> None:
    """Store the value, delete expired values, and reduce the table to the new value's `size`."""
    connection.execute("DELETE FROM cache WHERE expires_at <= ?", (new.now,))
    (used,) = connection.execute("SELECT coalesce(max(used), 0) FROM cache").fetchone()
    # The noted reads came before this write, in their order; the new value is the most recently used.
    uses = [(used + at, asked) for at, asked in enumerate(new.asked, 1)]
    connection.executemany("UPDATE cache SET used = ? WHERE entry = ?", uses)
    connection.execute(
        "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)", (new.key, new.value, new.end, used + len(uses) + 1)
    )
    if new.size is not None:
        connection.execute(
            "DELETE FROM cache WHERE entry IN (SELECT entry FROM cache ORDER BY used DESC LIMIT -1 OFFSET ?)",
            (new.size,),
        )


def delete_answers(connection: sqlite3.Connection, key: str | None) -> int:
    """Delete the value under the key, or all values; return how many."""
    if key is None:
        return connection.execute("DELETE FROM cache").rowcount
    return connection.execute("DELETE FROM cache WHERE entry = ?", (key,)).rowcount
