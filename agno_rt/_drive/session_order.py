"""Orders runs of several processes on one session: by a lock of the memory backend, or when the runs are stored.

Within one process the limiter of `SessionAccess` orders them. Knows storage only by the protocols in `memory`.
"""

from __future__ import annotations

import warnings

import msgspec
import trio

from agno_rt._drive.scopes import deadline
from agno_rt.errors import AgnoError, BackendError, SessionConflict
from agno_rt.failures import must_pass, named
from agno_rt.limiter import Limiter
from agno_rt.memory import Session, SessionLocks

__all__ = ["SharedLock", "check_follows"]

TRY_SECONDS = 0.25
"""Seconds after which a session's lock counts as taken: a backend may have to ask a server."""

UNLOCK_SECONDS = 5.0
"""Seconds that a backend may take to unlock a session."""


class SharedLock(msgspec.Struct, eq=False):
    """A session's lock among processes. A run takes the session's limiter, then this lock, and releases both."""

    id: str
    locks: SessionLocks
    is_held: bool = False

    async def acquire(self, seconds: float | None) -> None:
        """Take the lock, if the backend supports locks.

        Raises `DeadlineExceeded` after `seconds`, and `BackendError` if the backend fails.
        """
        try:
            # Without waiting first: the usual lock is free, and needs no deadline.
            self.is_held = await self.locks.lock_session(self.id, wait=False)
            if self.is_held:
                return
            if seconds is None:
                self.is_held = await self.locks.lock_session(self.id, wait=True)
                return
            with deadline(seconds, "queue_timeout", f"the wait for session {self.id!r}, which another process has,"):
                self.is_held = await self.locks.lock_session(self.id, wait=True)
        except AgnoError:
            raise
        except BaseException as exc:
            if must_pass(exc):
                raise
            raise BackendError(f"the memory backend failed to lock session {self.id!r}: {named(exc)}") from exc

    async def try_acquire(self) -> bool:
        """Take the lock, and return whether this process may go on: it has the lock, or the backend has no locks.

        Raises `BackendError` if the backend fails.
        """
        with trio.move_on_after(TRY_SECONDS):
            await self.acquire(None)
            return True
        return False

    async def release(self, limiter: Limiter) -> None:
        """Release the session for other processes, if locked, and then for the next run of this process.

        Cancellation does not prevent the release, and its time is bounded. The run is already stored, so a failure is
        only a warning.
        """
        try:
            if self.is_held:
                with trio.move_on_after(UNLOCK_SECONDS, shield=True):
                    await self.locks.unlock_session(self.id)
        except BaseException as exc:
            if must_pass(exc):
                raise
            warnings.warn(
                f"the memory backend failed to unlock session {self.id!r}: {named(exc)}", RuntimeWarning, stacklevel=2
            )
        finally:
            self.is_held = False
            limiter.release()


def check_follows(
    read: Session, now: Session, conflict: SessionConflict, *, state_changed: bool, attempts: int
) -> None:
    """Raise `SessionConflict` unless a run can be stored after runs that others added since this run read the session.

    Messages can be stored: the history stays valid. A changed state cannot: storing the state would undo the changes of
    the other runs. `attempts` is the number of tries left.
    """
    if now.version < read.version:
        why = "it was deleted"  # a deleted session is not brought back
    elif state_changed:
        why = "another run changed its state"
    elif not attempts:
        why = "other runs keep writing to it"
    else:
        return
    raise SessionConflict(
        f"session {read.id!r} changed after the run read it: {why}",
        hint="Nothing of this run was stored in the session; the answer is the error's `.result`. Run it again.",
    ) from conflict
