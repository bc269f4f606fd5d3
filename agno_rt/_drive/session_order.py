"""Puts runs of several processes on one session in order: by a lock of the memory backend, or when they are stored.

Within one process the limiter of `SessionAccess` does. Knows storage only by the protocols in `memory`.
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

UNLOCK_SECONDS = 5.0
"""How long a backend may take to give a session back."""


class SharedLock(msgspec.Struct, eq=False):
    """A session's lock among processes. A run that has the session's limiter takes it, and gives back both."""

    id: str
    locks: SessionLocks
    is_held: bool = False

    async def acquire(self, seconds: float | None) -> None:
        """Take the lock, where the backend can lock at all.

        Raises `DeadlineExceeded` after so many seconds, and `BackendError` where the backend fails.
        """
        try:
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

    async def release(self, limiter: Limiter) -> None:
        """Give the session back to other processes, if they were kept from it, and then to the next run of this one.

        That happens whatever is being cancelled, in a bounded time. The run is stored by now: a failure is a warning.
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
    """Raise `SessionConflict` unless a run can be stored after those that others have added since it read the session.

    Its messages can: the history stays valid. A state that the run has changed cannot: it would undo what the others
    changed. `attempts` is how often it may still be tried.
    """
    if now.version < read.version:
        why = "it was deleted"  # and is not brought back
    elif state_changed:
        why = "another run changed its state"
    elif not attempts:
        why = "others write to it all the time"
    else:
        return
    raise SessionConflict(
        f"session {read.id!r} is not as the run read it: {why}",
        hint="Nothing of this run was stored in it; its answer is the error's `.result`. Run it again.",
    ) from conflict
