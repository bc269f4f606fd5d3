"""Cached answers in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction.

Which were asked for is noted by whoever asks, and written with the next answer: to write at each reading would cost
more than the reading. What another process has noted is not known, so that its last uses may count for nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import attrs

__all__ = ["NOTED", "NewAnswer", "delete", "read", "write"]

NOTED = 10_000
"""How many uses are noted until the next write, at most."""


@attrs.frozen
class NewAnswer:
    """A value to keep: its times are now, and when it is over; `asked` are the keys used since the last one."""

    key: str
    value: bytes
    now: float
    end: float | None
    size: int | None
    asked: Sequence[str]


def read(connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
    """What is kept under the key, if its time has not passed."""
    row = connection.execute("SELECT value, expires_at FROM cache WHERE entry = ?", (key,)).fetchone()
    if row is None or (row[1] is not None and now >= row[1]):
        return None
    value: bytes = row[0]
    return value


def write(connection: sqlite3.Connection, new: NewAnswer) -> None:
    """Keep the value."""
    connection.execute("DELETE FROM cache WHERE expires_at <= ?", (new.now,))
    (used,) = connection.execute("SELECT coalesce(max(used), 0) FROM cache").fetchone()
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


def delete(connection: sqlite3.Connection, key: str | None) -> int:
    """Forget what is kept under the key, or everything."""
    if key is None:
        return connection.execute("DELETE FROM cache").rowcount
    return connection.execute("DELETE FROM cache WHERE entry = ?", (key,)).rowcount
