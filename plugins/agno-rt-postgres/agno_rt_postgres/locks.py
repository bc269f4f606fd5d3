"""Locks of sessions among processes: advisory locks of PostgreSQL on one connection, lost with the process.

See https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS. A lost connection loses its locks:
runs on such a session are then stored one after the other, as without locks.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from agno_rt_postgres.connection import Connection, Lost, Refused
from agno_rt_postgres.pool import CannotConnect, Pool
from agno_rt_postgres.statements import Statement

__all__ = ["SessionServerLocks"]

FIRST_POLL_SECONDS = 0.002
MOST_POLL_SECONDS = 0.1
"""How long to sleep between two tries: a wait in the server would occupy the connection of all locks."""

_KEY = "hashtextextended(current_schema() || ' session ' || $1, 0)"
_TRY = f"SELECT pg_try_advisory_lock({_KEY})"
_UNLOCK = f"SELECT pg_advisory_unlock({_KEY})"


class SessionServerLocks:
    """The locks of one backend. Trio runs in several threads must not share it at the same time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._using: trio.lowlevel.RunVar[trio.Lock] = trio.lowlevel.RunVar("lock")

    async def lock(self, session: str, *, wait: bool) -> bool:
        """Take the session's lock. Return False for a taken lock without `wait`."""
        pause = FIRST_POLL_SECONDS
        while True:
            # A connection may take a held lock again, and two callers of this object may not.
            if session not in self._held and await self._try(session):
                return True
            if not wait:
                return False
            await trio.sleep(pause)
            pause = min(1.5 * pause, MOST_POLL_SECONDS)

    async def unlock(self, session: str) -> None:
        """Release the session's lock."""
        if session not in self._held:
            return
        self._held.discard(session)
        with trio.CancelScope(shield=True), suppress(Lost, Refused, CannotConnect):
            async with self._lock():
                if self._connection is not None and self._connection.is_open:
                    await self._connection.exchange([Statement(_UNLOCK, (session,))], self._pool.seconds)

    async def release(self) -> None:
        """Release all locks, and close their connection."""
        # The server notices a closed connection later, and others want the locks now.
        for session in tuple(self._held):
            await self.unlock(session)
        self.close()

    def close(self) -> None:
        """Close the connection, which ends all locks."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            connection.close()

    async def _try(self, session: str) -> bool:
        self._held.add(session)  # from here on, for others of this process
        taken = False
        try:
            with trio.CancelScope(shield=True):
                async with self._lock():
                    taken = await self._try_once(session)
        finally:
            if not taken:
                self._held.discard(session)
        return taken

    async def _try_once(self, session: str) -> bool:
        for attempt in range(2):
            if self._connection is None or self._connection.has_ended():
                self._connection = await self._pool.open()
            try:
                (((taken,),),) = await self._connection.exchange([Statement(_TRY, (session,))], self._pool.seconds)
                return bool(taken)
            except Lost:
                if attempt:
                    raise
        raise AssertionError

    def _lock(self) -> trio.Lock:
        try:
            return self._using.get()
        except LookupError:
            lock = trio.Lock()
            self._using.set(lock)
            return lock
