"""Wakes tasks by NOTIFY, on one connection for all tasks. A notification only points to stored data.

A payload has less than 8,000 bytes (https://www.postgresql.org/docs/current/sql-notify.html), so the payload is an id.
Notifications may be lost with a connection; a waiting task looks at the store after each wake-up, after a new
connection, and from time to time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from agno_rt_postgres.connection import Connection, Lost, Refused
from agno_rt_postgres.pool import CannotConnect, Pool
from agno_rt_postgres.statements import Statement

__all__ = ["CALLS", "EVENTS", "Listener", "Watch", "notify"]

EVENTS, CALLS = "events", "calls"
"""The kinds of notifications: of new events, and of requests to a run: cancellations and signals."""

_NOTIFY = "SELECT pg_notify(current_schema(), $1)"
PAUSE_SECONDS = 0.5
"""The pause after a failed connection. Meanwhile the waiting tasks look at the store."""
REST_SECONDS = 10.0
"""The seconds for an open connection without a waiting task."""


def notify(kind: str, run: str) -> Statement:
    """Return the statement to wake the tasks that wait for the run, once the transaction is stored."""
    return Statement(_NOTIFY, (f"{kind} {run}",))


@attrs.define(eq=False)
class Watch:
    """A task's interest in a topic: `has_news` once something may have happened."""

    topics: frozenset[bytes]
    has_news: bool = False
    event: trio.Event = attrs.field(factory=trio.Event)

    def wake(self) -> None:
        """Let the task look."""
        self.has_news = True
        self.event.set()


class _Ears:
    """The connection and the waiting tasks of one trio run. One task reads for all."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.watches: set[Watch] = set()
        self.reader: Watch | None = None
        self.rests_since: float | None = None


class Listener:
    """Wakes tasks. There is no background task: one waiting task reads the notifications of all."""

    def __init__(self, pool: Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        self._ears: trio.lowlevel.RunVar[_Ears] = trio.lowlevel.RunVar("ears")

    @asynccontextmanager
    async def watch(self, kind: str, *runs: str) -> AsyncIterator[Watch]:
        """Listen for notifications on the runs. Look at the store within the block, then `wait`: nothing is missed.

        The first `wait` over a new connection returns at once: earlier notifications were not heard.
        """
        ears = self._find_ears()
        watch = Watch(frozenset(f"{kind} {run}".encode() for run in runs))
        ears.watches.add(watch)
        try:
            if ears.connection is None and ears.reader is None:
                await self._listen(ears, watch)
            ears.rests_since = None
            yield watch
        finally:
            ears.watches.discard(watch)
            if not ears.watches:
                ears.rests_since = trio.current_time()

    async def wait(self, watch: Watch, seconds: float) -> None:
        """Wait until something may have happened, or `seconds` are over."""
        ears = self._find_ears()
        try:
            with trio.move_on_after(seconds):
                while not watch.has_news:
                    if ears.reader is not None:
                        await watch.event.wait()
                    else:
                        ears.reader = watch
                        try:
                            await self._read(ears, watch)
                        finally:
                            ears.reader = None
                    if not watch.has_news:
                        _forget_news(watch)
        finally:
            _forget_news(watch)
            if ears.reader is None:  # also if this task was to read, and leaves instead
                _hand_on(ears, watch)

    def tidy(self) -> None:
        """Close a connection without readers: the server would keep the notifications for ever."""
        try:
            ears = self._ears.get()
        except LookupError:
            return
        if ears.rests_since is not None and trio.current_time() > ears.rests_since + REST_SECONDS:
            ears.rests_since = None
            self._drop(ears)

    def close(self) -> None:
        """Close the connection of this trio run."""
        try:
            ears = self._ears.get()
        except (LookupError, RuntimeError):
            return
        self._drop(ears)

    async def _read(self, ears: _Ears, own: Watch) -> None:
        while not own.has_news:
            connection = ears.connection
            if connection is None:
                await self._listen(ears, own)
                continue
            try:
                notes = set(await connection.notifications())
            except Lost:
                self._drop(ears)
                continue
            for watch in ears.watches:
                if not notes.isdisjoint(watch.topics):
                    watch.wake()

    async def _listen(self, ears: _Ears, own: Watch) -> None:
        """Open the connection. Every task looks at the store afterwards: earlier notifications were not heard."""
        ears.reader = own
        connection: Connection | None = None
        try:
            connection = await self._pool.open()
            await connection.exchange([Statement(f'LISTEN "{self._channel}"')], self._pool.seconds)
            ears.connection = connection
        except (Lost, Refused, CannotConnect):
            await trio.sleep(PAUSE_SECONDS)
        finally:
            ears.reader = None
            if connection is not None and ears.connection is not connection:
                connection.close()
            for watch in ears.watches:
                watch.wake()

    def _drop(self, ears: _Ears) -> None:
        connection, ears.connection = ears.connection, None
        if connection is not None:
            connection.close()

    def _find_ears(self) -> _Ears:
        try:
            return self._ears.get()
        except LookupError:
            ears = _Ears()
            self._ears.set(ears)
            return ears


def _forget_news(watch: Watch) -> None:
    watch.has_news = False
    watch.event = trio.Event()


def _hand_on(ears: _Ears, before: Watch) -> None:
    """Let another waiting task read."""
    following = next((each for each in ears.watches if each is not before and not each.has_news), None)
    if following is not None:
        following.event.set()
