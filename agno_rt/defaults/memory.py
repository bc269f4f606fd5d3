"""Memory in this process, gone when it ends: `memory:`. Each runtime has its own."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from agno_rt.defaults._in_process import InProcessCache, InProcessFacts, InProcessRuns
from agno_rt.defaults._stored import check_names, moved_on
from agno_rt.hookspecs import Register, hookimpl
from agno_rt.memory import Session, SessionInfo, foreign_session
from agno_rt.messages import Message

__all__ = ["InProcessMemory"]


@attrs.define(eq=False)
class _Stored:
    user: str | None
    created_at: float
    updated_at: float
    version: int = 0
    messages: list[Message] = attrs.Factory(list)
    data: bytes = b""


class InProcessMemory(InProcessRuns, InProcessFacts, InProcessCache):
    """Sessions, runs, facts and cached answers in dictionaries. Appending costs the same however long the session is.

    Nothing here ever waits. `clock` gives the seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        InProcessRuns.__init__(self)
        InProcessFacts.__init__(self)
        InProcessCache.__init__(self)
        self._sessions: dict[str, _Stored] = {}
        self._clock = clock

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        stored = self._sessions.get(session)
        if stored is None:
            return Session(session)
        total = len(stored.messages)
        messages = stored.messages[0 if last is None else max(0, total - last) :]
        return Session(session, messages, stored.version, stored.user, total, stored.data)

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
        stored = self._sessions.get(session)
        now = self._clock()
        if stored is None:
            check_names(session, user)
            stored = _Stored(user, now, now)
        if stored.user != user:
            raise foreign_session(session, stored.user, user)
        if stored.version != version:
            raise moved_on(session, stored.version, version)
        stored.messages.extend(messages)
        stored.version += 1
        stored.updated_at = now
        if data is not None:
            stored.data = data
        self._sessions[session] = stored
        return stored.version

    async def sessions(self, *, user: str | None = None, limit: int = 100) -> list[SessionInfo]:
        """See `MemoryBackend.sessions`."""
        asked = (item for item in self._sessions.items() if user is None or item[1].user == user)
        latest = heapq.nlargest(limit, asked, key=lambda item: item[1].updated_at)
        return [
            SessionInfo(session, stored.user, len(stored.messages), stored.created_at, stored.updated_at)
            for session, stored in latest
        ]

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return self._sessions.pop(session, None) is not None

    async def aclose(self) -> None:
        """Forget everything."""
        self._sessions.clear()
        self._runs.clear()
        self._approvals.clear()
        self._users.clear()
        self._cached.clear()


def _make(url: str, settings: Mapping[str, Any]) -> InProcessMemory:
    return InProcessMemory()


@hookimpl
def agno_rt_register_memory(register: Register) -> None:
    """Offer `memory:`."""
    register("memory", _make, help="sessions, runs and facts in this process, gone when it ends")
