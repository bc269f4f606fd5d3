"""Puts runs of several processes on one session in order: by a lock of the memory backend, or when they are stored.

Within one process the limiter of `SessionAccess` does. Knows storage only by the protocols in `memory`.
"""

from __future__ import annotations

from agno_rt._job import Job, SessionAccess
from agno_rt._scopes import deadline, named
from agno_rt.errors import AgnoError, BackendError, SessionConflict
from agno_rt.memory import Session, SessionLocks

__all__ = ["NESTED_SECONDS", "check_follows", "lock_session"]

NESTED_SECONDS = 60.0
"""How long a run within a run waits for another process, where no limit says so. The run around it holds a session,
for which that process may be waiting in turn: neither would ever go on."""


async def lock_session(job: Job, access: SessionAccess, locks: SessionLocks) -> bool:
    """Take the session's lock among processes; return whether it is held, and so must be given back.

    Raises `DeadlineExceeded` after `queue_timeout`, and `BackendError` where the backend fails.
    """
    seconds = job.limits.queue_timeout
    if seconds is None and _is_within_a_session(job):
        seconds = NESTED_SECONDS
    try:
        if await locks.lock_session(access.id, wait=False):
            return True
        if seconds is None:
            return await locks.lock_session(access.id, wait=True)
        with deadline(seconds, "queue_timeout", f"the wait for session {access.id!r}, which another process has,"):
            return await locks.lock_session(access.id, wait=True)
    except AgnoError:
        raise
    except Exception as exc:
        raise BackendError(f"the memory backend failed to lock session {access.id!r}: {named(exc)}") from exc


def check_follows(job: Job, read: Session, now: Session, data: bytes | None, conflict: SessionConflict) -> None:
    """Raise `SessionConflict` unless the run can be stored after those that others have added since it read.

    Its messages can: the history stays valid. A state that the run has changed cannot: it would undo what the others
    changed. A summary that the run has made is dropped, and made again.
    """
    state_changed = data is not None and job.policy.state is not None
    # A session that was deleted is not brought back; one that somebody else began is not written to.
    is_same = now.version >= read.version and now.user == (read.user if read.version else job.user)
    if is_same and not state_changed:
        return
    what = "its state was changed by" if is_same else "it was deleted, or begun by"
    raise SessionConflict(
        f"session {read.id!r} is not as the run read it: {what} another run meanwhile",
        hint="Nothing of this run was stored in it; its answer is the error's `.result`. Run it again.",
    ) from conflict


def _is_within_a_session(job: Job) -> bool:
    outer = job.outer
    while outer is not None:
        if outer.session is not None:
            return True
        outer = outer.outer
    return False
