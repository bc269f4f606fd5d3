"""Memory in an SQLite file: `sqlite:///agents.db` (relative) or `sqlite:////var/lib/agents.db` (absolute).

One connection, used by one worker thread at a time, so that trio's thread never waits for the disk. Write-ahead
logging with `synchronous=FULL`: an append that returned has reached the disk. Several processes may share a file.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from agno_rt.errors import BackendError, SessionConflict, UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.memory import Session, SessionInfo
from agno_rt.messages import Message

__all__ = ["SQLiteMemory"]

T = TypeVar("T")

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
"""How long a write waits for another process that is writing, unless told otherwise."""
BUSY_POLL_SECONDS = 0.005

_SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, user TEXT, version INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_update ON sessions (updated_at);
CREATE TABLE messages (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;
"""


_REMEDIES = {
    "unable to open": "Check that its folder exists and that this user may write there.",
    "readonly": "Check that this user may write to it and to its folder.",
    "locked": "Another process keeps it locked; stop that one, or try again.",
    "newer agno_rt": "Upgrade agno-rt, or use another file.",
    "not a database": "It is no SQLite file: name another.",
    "malformed": "It is damaged; restore it from a backup.",
    "full": "The disk is full; make room and try again. Nothing that was stored is lost.",
}
"""What to do, by a piece of SQLite's own message."""


class SQLiteMemory:
    """Sessions in the SQLite file at `path`, which is made at the first use. Every error is a `BackendError`."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        return await self._in_thread(_load, session, last)

    async def append(self, session: str, messages: Sequence[Message], *, version: int, user: str | None = None) -> int:
        """See `MemoryBackend.append`."""
        return await self._in_thread(_append, session, messages, version, user)

    async def sessions(self, *, user: str | None = None, limit: int = 100) -> list[SessionInfo]:
        """See `MemoryBackend.sessions`."""
        return await self._in_thread(_sessions, user, limit)

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return await self._in_thread(_delete, session)

    async def aclose(self) -> None:
        """Close the file."""
        if self._connection is not None:
            await trio.to_thread.run_sync(self._connection.close, limiter=self._one_at_a_time)
            self._connection = None

    async def _in_thread(self, operation: Callable[..., T], *args: Any) -> T:
        # Not abandoned when cancelled: an operation has happened or it has not, and the caller must know which.
        call = functools.partial(self._run, operation, *args)
        return await trio.to_thread.run_sync(call, limiter=self._one_at_a_time)

    def _run(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            if self._connection is None:
                self._connection = _open(self.path, self._busy_seconds)
            with self._connection:
                return operation(self._connection, *args)
        except (sqlite3.Error, msgspec.MsgspecError, UnicodeError, OverflowError) as exc:
            raise BackendError(f"{self.path}: {exc}", hint=_remedy(exc)) from exc


def _open(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _use_write_ahead_log(connection, time.monotonic() + busy_seconds)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    # SQLite's own busy timeout does not cover this one statement: of several processes that make a file together,
    # those that come second are refused at once (https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY").
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
        time.sleep(BUSY_POLL_SECONDS)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"it was written by a newer agno_rt (schema {version}, here {SCHEMA_VERSION})")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _load(connection: sqlite3.Connection, session: str, last: int | None) -> Session:
    # One transaction, so that the version is that of the messages.
    connection.execute("BEGIN")
    row = connection.execute("SELECT version, user FROM sessions WHERE id = ?", (session,)).fetchone()
    if row is None:
        return Session(session)
    newest_first = connection.execute(
        "SELECT body FROM messages WHERE session = ? ORDER BY seq DESC LIMIT ?", (session, -1 if last is None else last)
    ).fetchall()
    decode = msgspec.json.Decoder(Message).decode
    return Session(session, [decode(body) for (body,) in reversed(newest_first)], row[0], row[1])


def _append(
    connection: sqlite3.Connection, session: str, messages: Sequence[Message], version: int, user: str | None
) -> int:
    now = time.time()
    connection.execute("BEGIN IMMEDIATE")
    row = connection.execute("SELECT version FROM sessions WHERE id = ?", (session,)).fetchone()
    stored = row[0] if row else 0
    if stored != version:
        raise SessionConflict(
            f"session {session!r} is at version {stored}, not {version}", hint="Load it again, and retry."
        )
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at",
        (session, user, version + 1, now, now),
    )
    last = connection.execute("SELECT max(seq) FROM messages WHERE session = ?", (session,)).fetchone()[0] or 0
    rows = [(session, seq, msgspec.json.encode(message)) for seq, message in enumerate(messages, last + 1)]
    connection.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
    return version + 1


def _sessions(connection: sqlite3.Connection, user: str | None, limit: int) -> list[SessionInfo]:
    rows = connection.execute(
        "SELECT id, user, (SELECT count(*) FROM messages WHERE session = id), created_at, updated_at FROM sessions"
        " WHERE ? IS NULL OR user = ? ORDER BY updated_at DESC LIMIT ?",
        (user, user, limit),
    )
    return [SessionInfo(*row) for row in rows]


def _delete(connection: sqlite3.Connection, session: str) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    return connection.execute("DELETE FROM sessions WHERE id = ?", (session,)).rowcount > 0


def _remedy(exc: Exception) -> str:
    if isinstance(exc, UnicodeError):
        return "A message has a character that is no Unicode text; nothing of this append was stored."
    if isinstance(exc, msgspec.MsgspecError):
        return "A stored message is damaged; restore the file from a backup."
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in str(exc)), "")


def _make(url: str, settings: Mapping[str, Any]) -> SQLiteMemory:
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        hint = "Write sqlite:///agents.db (relative) or sqlite:////var/lib/agents.db (absolute)."
        raise UsageError(f"{url!r} names no file", hint=hint)
    return SQLiteMemory(Path(path))


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `sqlite:///FILE`."""
    register("sqlite", _make, help="sessions in an SQLite file")
