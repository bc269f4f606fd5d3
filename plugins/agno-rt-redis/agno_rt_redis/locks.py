"""Locks of sessions in Redis: a part of `RedisMemory`.

A lock is a key with a time to live, prolonged by the holder's process: the lock of a dead process is free after
`LOCK_SECONDS`. A process halted for longer loses the lock; the session's version then protects the work of others.
"""

from __future__ import annotations

import os
from contextlib import suppress

import attrs
import trio

from agno_rt.errors import BackendError
from agno_rt_redis.store import Store, load_script

__all__ = ["LOCK_SECONDS", "RedisLocks"]

LOCK_SECONDS = 10.0
"""How long a lock outlives its holder."""

FIRST_POLL, MOST_POLL = 0.002, 0.1
"""Seconds between two tries for a lock that another process holds; each pause is half as long again."""

_SCRIPT = load_script("locks")


@attrs.define(eq=False)
class _Line:
    """The callers for a lock in the process: one caller at a time asks the server, or holds the lock."""

    turn: trio.Semaphore = attrs.Factory(lambda: trio.Semaphore(1))
    callers: int = 0


@attrs.define(eq=False)
class _Locks:
    """The locks of a trio run: the lines by session, and the tokens of held locks."""

    lines: dict[str, _Line] = attrs.Factory(dict)
    held: dict[str, bytes] = attrs.Factory(dict)
    is_renewing: bool = False


class RedisLocks(Store):
    """A `SessionLocks`."""

    lock_seconds: float
    _locks: trio.lowlevel.RunVar[_Locks | None]

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """See `SessionLocks.lock_session`."""
        locks = self._known_locks()
        line = locks.lines.setdefault(session, _Line())
        if not wait and line.callers:
            return False
        line.callers += 1
        has_turn = is_held = False
        try:
            await line.turn.acquire()
            has_turn = True
            is_held = await self._take(locks, session, wait)
        finally:
            if not is_held:
                _leave(locks, session, has_turn)
        return is_held

    async def unlock_session(self, session: str) -> None:
        """See `SessionLocks.unlock_session`."""
        locks = self._known_locks()
        token = locks.held.pop(session, None)
        if token is not None:
            await self._release(session, token)
            _leave(locks, session, has_turn=True)

    async def _release_all(self) -> None:
        locks = self._locks.get()
        for session in [] if locks is None else list(locks.held):
            await self.unlock_session(session)

    def _known_locks(self) -> _Locks:
        locks = self._locks.get()
        if locks is None:
            locks = _Locks()
            self._locks.set(locks)
        return locks

    async def _take(self, locks: _Locks, session: str, wait: bool) -> bool:
        token, pause = os.urandom(12), FIRST_POLL
        taken = False
        try:
            while not taken:
                asked = {"session": session, "token": token, "ms": int(self.lock_seconds * 1000), "wait": wait}
                taken = (await self._write(_SCRIPT, "take", **asked))[0] == b"ok"
                if not taken and not wait:
                    return False
                if not taken:
                    await trio.sleep(pause)
                    pause = min(1.5 * pause, MOST_POLL)
        finally:
            if not taken and wait:  # perhaps as the next in line
                await self._release(session, token)
        locks.held[session] = token
        if not locks.is_renewing:
            locks.is_renewing = True
            trio.lowlevel.spawn_system_task(self._renew, locks, name=f"locks in {self.address}")
        return True

    async def _release(self, session: str, token: bytes) -> None:
        # If the server cannot be reached, the lock ends by itself.
        with trio.CancelScope(shield=True), suppress(BackendError):
            await self._write(_SCRIPT, "release", session=session, token=token)

    async def _renew(self, locks: _Locks) -> None:
        """Prolong the held locks as long as there are any."""
        try:
            while locks.held:
                await trio.sleep(self.lock_seconds / 3)
                if locks.held:
                    with suppress(BackendError):  # the next round tries again
                        await self._write(_SCRIPT, "renew", held=dict(locks.held), ms=int(self.lock_seconds * 1000))
        finally:
            locks.is_renewing = False


def _leave(locks: _Locks, session: str, has_turn: bool) -> None:
    line = locks.lines[session]
    if has_turn:
        line.turn.release()
    line.callers -= 1
    if not line.callers:
        del locks.lines[session]
