"""Failures of an SQLite file, as errors with the file, the remedy and the loss."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from agno_rt.errors import BackendError

__all__ = ["FAILURES", "Damaged", "backend_error", "is_busy", "needs_opening_again"]

FAILURES = (sqlite3.Error, msgspec.MsgspecError, OSError, UnicodeError, OverflowError)
"""The errors of operations for which the file, or the data to store, is at fault."""

_FULL = "The disk is full, or has no room for this user; make room and try again. What was stored before is safe."
_REMEDIES = {
    "unable to open": "Check that its folder exists and that this user may write there.",
    "readonly": "Check that this user may write to it, to its -wal and -shm beside it, and to its folder; try again.",
    "locked": "Another process keeps the file locked: stop that process, or try again. Nothing was stored.",
    "newer agno_rt": "Upgrade agno-rt, or use another file.",
    "not a database": "It is not an SQLite file: name another.",
    "cannot be read": "This row is damaged, others can be read: delete its session, run or fact, or restore the file.",
    "malformed": "It is damaged; restore it from a backup.",
    "full": _FULL,
    "disk I/O error": f"The disk failed, or the file may not grow. {_FULL}",
    "is gone": "It was deleted or moved while in use: put it back, or restore it from a backup, and try again.",
    "no such table": "Another program changed it; restore it from a backup.",
}
"""Remedies by a part of the message, SQLite's or ours."""

_KEPT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR}
"""SQLite's codes for failures that leave a connection usable."""


class Damaged(sqlite3.DatabaseError):
    """A row cannot be read; the message names the row."""

    def __init__(self, table: str, row: str, why: object) -> None:
        super().__init__(f"table {table}, {row}, cannot be read: {why}")


def backend_error(path: Path, exc: Exception) -> BackendError:
    """Make the error for a failure of the file."""
    return BackendError(f"{path}: {exc}", hint=_find_remedy(exc))


def is_busy(exc: Exception) -> bool:
    """Return whether another process kept the file locked for too long."""
    return isinstance(exc, sqlite3.OperationalError) and _primary_code(exc) in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def needs_opening_again(exc: Exception) -> bool:
    """Return whether only opening the file again may help."""
    return isinstance(exc, sqlite3.Error) and _primary_code(exc) not in (None, *_KEPT)


def _primary_code(exc: sqlite3.Error) -> int | None:
    """Return SQLite's primary code; None for an error that SQLite did not raise."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the low byte of an extended code is the primary code


def _find_remedy(exc: Exception) -> str:
    if isinstance(exc, UnicodeError):
        return "A text has a character that is not Unicode text, such as half of a surrogate pair. Nothing was stored."
    if isinstance(exc, OSError):
        return _REMEDIES["unable to open"]
    if isinstance(exc, OverflowError):
        return "A number or a value is too large for SQLite. Nothing was stored."
    if isinstance(exc, msgspec.MsgspecError):
        return "The stored data is damaged; restore the file from a backup."
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in str(exc)), "")
