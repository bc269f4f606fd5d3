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

import attrs
import msgspec
import trio

from agno_rt.defaults import _sqlite_facts
from agno_rt.defaults._sqlite_cache import SQLiteCache
from agno_rt.defaults._sqlite_file import BUSY_SECONDS, SCHEMA_VERSION, open_file, remedy
from agno_rt.errors import BackendError, SessionConflict, UsageError
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.limits import LimitStatistics
from agno_rt.memory import Fact, Session, SessionInfo
from agno_rt.messages import Message
from agno_rt.user_memory import fact_text, fact_topics, known_user

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "SQLiteMemory"]

T = TypeVar("T")


class SQLiteMemory:
    """Sessions, facts and cached answers in the SQLite file at `path`, which is made at the first use.

    Every failure of the file is a `BackendError`. `clock` gives the seconds since the epoch; it is asked in trio's
    thread.
    """

    def __init__(
        self, path: Path, *, busy_seconds: float = BUSY_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._clock = clock
        self._cache = SQLiteCache()
        self._connection: sqlite3.Connection | None = None
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        return await self._in_thread(_load, session, last)

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
    ) -> int:
        """See `MemoryBackend.append`."""
        return await self._in_thread(_append, messages, _Append(session, version, user, data, self._clock()))

    async def sessions(self, *, user: str | None = None, limit: int = 100) -> list[SessionInfo]:
        """See `MemoryBackend.sessions`."""
        return await self._in_thread(_sessions, user, limit)

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return await self._in_thread(_delete, session)

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        now = self._clock()
        new = Fact("", known_user(user), fact_text(text), now, now, session, fact_topics(topics))
        return await self._in_thread(_sqlite_facts.remember, new)

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        return await self._in_thread(_sqlite_facts.facts, user, query, limit)

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        return await self._in_thread(_sqlite_facts.correct, user, id, fact_text(text), self._clock())

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        return await self._in_thread(_sqlite_facts.forget, user, id)

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        return await self._in_thread(self._cache.read, key, self._clock())

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        now = self._clock()
        times = (now, None if seconds is None else now + seconds)
        await self._in_thread(self._cache.write, key, value, times, size)

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        return await self._in_thread(self._cache.delete, key)

    async def aclose(self) -> None:
        """Close the file."""
        if self._connection is not None:
            await trio.to_thread.run_sync(self._connection.close, limiter=self._one_at_a_time)
            self._connection = None

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """How many operations on the file are under way, of the one that may be, and how many wait."""
        place = self._one_at_a_time.statistics()
        return (LimitStatistics(str(self.path), 1, place.borrowed_tokens, place.tasks_waiting),)

    async def _in_thread(self, operation: Callable[..., T], *args: Any) -> T:
        # Not abandoned when cancelled: an operation has happened or it has not, and the caller must know which.
        call = functools.partial(self._run, operation, *args)
        return await trio.to_thread.run_sync(call, limiter=self._one_at_a_time)

    def _run(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            if self._connection is None:
                self._connection = open_file(self.path, self._busy_seconds)
            with self._connection:
                return operation(self._connection, *args)
        except (sqlite3.Error, msgspec.MsgspecError, UnicodeError, OverflowError) as exc:
            raise BackendError(f"{self.path}: {exc}", hint=remedy(exc)) from exc


@attrs.frozen
class _Append:
    """An append to a session, but for its messages; `at` is when."""

    session: str
    version: int
    user: str | None
    data: bytes | None
    at: float


def _load(connection: sqlite3.Connection, session: str, last: int | None) -> Session:
    # One transaction, so that the version is that of the messages.
    connection.execute("BEGIN")
    row = connection.execute("SELECT version, user, data FROM sessions WHERE id = ?", (session,)).fetchone()
    if row is None:
        return Session(session)
    version, user, data = row
    newest_first = connection.execute(
        "SELECT body FROM messages WHERE session = ? ORDER BY seq DESC LIMIT ?", (session, -1 if last is None else last)
    ).fetchall()
    decode = msgspec.json.Decoder(Message).decode
    messages = [decode(body) for (body,) in reversed(newest_first)]
    return Session(session, messages, version, user, _total(connection, session), data)


def _append(connection: sqlite3.Connection, messages: Sequence[Message], asked: _Append) -> int:
    connection.execute("BEGIN IMMEDIATE")
    row = connection.execute("SELECT version FROM sessions WHERE id = ?", (asked.session,)).fetchone()
    stored = row[0] if row else 0
    if stored != asked.version:
        raise SessionConflict(
            f"session {asked.session!r} is at version {stored}, not {asked.version}", hint="Load it again, and retry."
        )
    connection.execute(
        "INSERT INTO sessions (id, user, version, created_at, updated_at, data)"
        " VALUES (?1, ?2, ?3, ?4, ?4, coalesce(?5, x''))"
        " ON CONFLICT (id) DO UPDATE SET version = ?3, updated_at = ?4, data = coalesce(?5, data)",
        (asked.session, asked.user, stored + 1, asked.at, asked.data),
    )
    rows = [
        (asked.session, seq, msgspec.json.encode(message))
        for seq, message in enumerate(messages, _total(connection, asked.session) + 1)
    ]
    connection.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
    return int(stored) + 1


def _total(connection: sqlite3.Connection, session: str) -> int:
    """How many messages the session has: they are numbered from 1, and none is ever taken out."""
    (total,) = connection.execute("SELECT max(seq) FROM messages WHERE session = ?", (session,)).fetchone()
    return total or 0


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


def _make(url: str, settings: Mapping[str, Any]) -> SQLiteMemory:
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        hint = "Write sqlite:///agents.db (relative) or sqlite:////var/lib/agents.db (absolute)."
        raise UsageError(f"{url!r} names no file", hint=hint)
    return SQLiteMemory(Path(path))


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `sqlite:///FILE`."""
    register("sqlite", _make, help="sessions and facts in an SQLite file")
