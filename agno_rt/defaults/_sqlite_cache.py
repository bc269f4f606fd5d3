"""Cached answers in the file of `SQLiteMemory`: each method is one operation, within the caller's transaction."""

from __future__ import annotations

import sqlite3

__all__ = ["SQLiteCache"]

NOTED = 10_000
"""How many uses are noted until the next write, at most."""


class SQLiteCache:
    """The table of cached answers.

    Which were asked for is noted here and written with the next answer: to write at each reading would cost more than
    the reading. What another process has noted is not known, so that its last uses may count for nothing.
    """

    def __init__(self) -> None:
        self._asked: dict[str, None] = {}

    def read(self, connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
        """What is kept under the key, if its time has not passed."""
        row = connection.execute("SELECT value, expires_at FROM cache WHERE entry = ?", (key,)).fetchone()
        if row is None or (row[1] is not None and now >= row[1]):
            return None
        self._asked.pop(key, None)
        self._asked[key] = None
        if len(self._asked) > NOTED:
            del self._asked[next(iter(self._asked))]
        value: bytes = row[0]
        return value

    def write(
        self,
        connection: sqlite3.Connection,
        key: str,
        value: bytes,
        times: tuple[float, float | None],
        size: int | None,
    ) -> None:
        """Keep the value; `times` are now, and when its time has passed."""
        now, end = times
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM cache WHERE expires_at <= ?", (now,))
        (used,) = connection.execute("SELECT coalesce(max(used), 0) FROM cache").fetchone()
        uses = [(used + at, asked) for at, asked in enumerate(self._asked, 1)]
        connection.executemany("UPDATE cache SET used = ? WHERE entry = ?", uses)
        connection.execute(
            "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)",
            (key, value, end, used + len(uses) + 1),
        )
        if size is not None:
            connection.execute(
                "DELETE FROM cache WHERE entry IN (SELECT entry FROM cache ORDER BY used DESC LIMIT -1 OFFSET ?)",
                (size,),
            )
        self._asked.clear()

    def delete(self, connection: sqlite3.Connection, key: str | None) -> int:
        """Forget what is kept under the key, or everything."""
        connection.execute("BEGIN IMMEDIATE")
        if key is None:
            return connection.execute("DELETE FROM cache").rowcount
        return connection.execute("DELETE FROM cache WHERE entry = ?", (key,)).rowcount
