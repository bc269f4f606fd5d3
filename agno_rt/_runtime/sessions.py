"""The sessions in use in a runtime. Runs of the same session share a lock, and so follow one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from agno_rt._drive.job import Job
from agno_rt._drive.nesting import holds
from agno_rt._drive.session_access import SessionAccess
from agno_rt._runtime.kept import keep
from agno_rt.errors import UsageError
from agno_rt.memory import MemoryBackend
from agno_rt.names import check_name

__all__ = ["Sessions"]


class Sessions:
    """The sessions in use; `memory` returns the runtime's memory backend, and opens it at the first call."""

    def __init__(self, memory: Callable[[], MemoryBackend]) -> None:
        self._memory = memory
        # An access lives as long as any of its runs. `_recent` only spares making an access anew, so `keep` may drop
        # all references at any time.
        self._in_use: WeakValueDictionary[str, SessionAccess] = WeakValueDictionary()
        self._recent: dict[str, SessionAccess] = {}

    def access(self, session: str, outer: Job[Any] | None) -> SessionAccess:
        """Return the session for a run within `outer`. Raises `UsageError` if `outer` would wait for itself."""
        access = self._recent.get(session)
        if access is None:
            access = self._find(session)
        if outer is not None and holds(outer, access.lock):
            hint = "Give it a session of its own, or none; or start() it, and it follows this one."
            raise UsageError(f"session {session!r} is in use by the run that this one is within", hint=hint)
        return access

    def clear(self) -> None:
        """Forget all sessions, when the runtime closes its memory."""
        self._recent.clear()
        self._in_use.clear()

    def _find(self, session: str) -> SessionAccess:
        access = self._in_use.get(session)
        if access is None:
            check_name("a session's name", session)
            access = SessionAccess.of(session, self._memory())
            self._in_use[session] = access
        keep(self._recent, session, access)
        return access
