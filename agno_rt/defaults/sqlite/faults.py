"""What goes wrong with an SQLite file, as errors that name the file, say what is to be done, and what of it is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from agno_rt.errors import BackendError

__all__ = ["FAILURES", "Damaged", "backend_error", "is_busy", "needs_opening_again"]

FAILURES = (sqlite3.Error, msgspec.MsgspecError, OSError, UnicodeError, OverflowError)
"""What an operation on the file raises where the file, or what is to be stored, is at fault."""

_FULL = "The disk is full, or has no room for this user; make room and try again. What was stored before is safe."
_REMEDIES = {
    "unable to open": "Check that its folder exists and that this user may write there.",
    "readonly": "Check that this user may write to it, to its -wal and -shm beside it, and to its folder; try again.",
    "locked": "Another process keeps it locked; stop that one, or try again. Nothing of this was stored.",
    "newer agno_rt": "Upgrade agno-rt, or use another file.",
    "not a database": "It is no SQLite file: name another.",
    "cannot be read": "This row is damaged, others can be read: delete what it belongs to, or restore the file.",
    "malformed": "It is damaged; restore it from a backup.",
    "full": _FULL,
    "disk I/O error": f"The disk failed, or the file may not grow. {_FULL}",
    "is gone": "It was deleted or moved under way: put it back, or restore it from a backup, and try again.",
    "no such table": "Another program changed it; restore it from a backup.",
}
"""What to do, by a piece of the message: SQLite's own, or one of ours."""

_KEPT = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR}
"""SQLite's codes for failures that leave a connection as good as it was."""


class Damaged(sqlite3.DatabaseError):
    """A row that cannot be read; the message says which."""

    def __init__(self, table: str, row: str, why: object) -> None:
        super().__init__(f"table {table}, {row}, cannot be read: {why}")


def backend_error(path: Path, exc: Exception) -> BackendError:
    """What is told of a failure of the file."""
    return BackendError(f"{path}: {exc}", hint=_remedy(exc))


def is_busy(exc: Exception) -> bool:
    """Whether somebody else kept the file locked for too long."""
    return isinstance(exc, sqlite3.OperationalError) and _code(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def needs_opening_again(exc: Exception) -> bool:
    """Whether the file may be well again when it is opened anew, and not before."""
    return isinstance(exc, sqlite3.Error) and _code(exc) not in (None, *_KEPT)


def _code(exc: sqlite3.Error) -> int | None:
    """SQLite's primary code; errors that are not SQLite's own have none."""
    code: int | None = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _remedy(exc: Exception) -> str:
    if isinstance(exc, UnicodeError):
        return "A text has a character that is no Unicode text; nothing of this was stored."
    if isinstance(exc, OSError):
        return _REMEDIES["unable to open"]
    if isinstance(exc, OverflowError):
        return "A number or a value is too large to be stored; nothing of this was stored."
    if isinstance(exc, msgspec.MsgspecError):
        return "What is stored is damaged; restore the file from a backup."
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in str(exc)), "")
