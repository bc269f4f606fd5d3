"""The amounts spent by callers, in a file beside the keys.

SQLite's file is shared by the workers of one machine, and outlives a restart. Several machines count separately.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from pathlib import Path

import attrs

from agno_rt_serve import log
from agno_rt_serve.auth.rates import Spend
from agno_rt_serve.errors import HttpError

__all__ = ["Ledger", "Purse"]

_TABLE = "CREATE TABLE IF NOT EXISTS spent (key TEXT, window INTEGER, amount REAL, PRIMARY KEY (key, window))"
_ADD = "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (key, window) DO UPDATE SET amount = amount + excluded.amount"
# Seconds to wait for another worker's write of one row. Short, because the event loop waits too.
_PATIENCE = 0.5


class Ledger:
    """Amounts by key and window, kept in the file. Without a path, amounts are kept in the process."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None

    def spent(self, key: str, window: int) -> float:
        """Return the amount of the key in the window."""
        row = self._connect().execute("SELECT amount FROM spent WHERE key = ? AND window = ?", (key, window)).fetchone()
        return 0.0 if row is None else float(row[0])

    def add(self, key: str, window: int, amount: float) -> None:
        """Add to the amount of the key in the window, and forget the key's older windows."""
        connection = self._connect()
        connection.execute(_ADD, (key, window, amount))
        connection.execute("DELETE FROM spent WHERE key = ? AND window < ?", (key, window))

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connect(self) -> sqlite3.Connection:
        if self._open is None:
            if self._path is not None:
                # Make a private file before SQLite opens the file.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
            place = ":memory:" if self._path is None else str(self._path)
            opened = sqlite3.connect(place, timeout=_PATIENCE, isolation_level=None)
            opened.execute("PRAGMA journal_mode = WAL")
            # A power failure may lose the last amounts: no run waits for the disk because of a limit.
            opened.execute("PRAGMA synchronous = OFF")
            opened.execute(_TABLE)
            self._open = opened
        return self._open


@attrs.frozen
class Purse:
    """The money of a caller: the limit, and the ledger with the amounts."""

    key: str
    limit: Spend
    ledger: Ledger

    def check(self) -> None:
        """Raise `HttpError` 429 if the window's amount is spent, 503 if the amounts cannot be read."""
        now = time.time()
        try:
            spent = self.ledger.spent(self.key, self.limit.window(now))
        except (sqlite3.Error, OSError) as exc:
            log.write("error", "the amounts spent cannot be read", error=str(exc))
            raise HttpError(
                503, "backend", "the server cannot read what was spent", "Send it again.", ((b"retry-after", b"1"),)
            ) from exc
        if spent >= self.limit.amount:
            wait = self.limit.wait(now)
            hint = f"The limit is {self.limit.amount:g} in {self.limit.seconds} s. Wait, or ask for a higher limit."
            retry = ((b"retry-after", b"%d" % math.ceil(wait)),)
            raise HttpError(429, "spend_exceeded", "this key has spent its amount for now", hint, retry)

    def add(self, cost: float) -> None:
        """Count the cost of an ended run. If storing fails, the cost is logged."""
        try:
            self.ledger.add(self.key, self.limit.window(time.time()), cost)
        except (sqlite3.Error, OSError) as exc:
            log.write("error", "a cost was not counted", key=self.key, cost=cost, error=str(exc))
