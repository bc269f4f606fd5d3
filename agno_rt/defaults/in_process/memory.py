"""Sessions, runs, facts and cached answers in this process, gone when it ends."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from agno_rt.defaults.in_process.bounds import (
    LIGHT_CHARACTERS,
    MEBIBYTE,
    MESSAGE_BYTES,
    MemoryBounds,
    no_room,
    size_beyond,
    warn_of_forgetting,
)
from agno_rt.defaults.in_process.sessions import StoredSession, summarize_session
from agno_rt.defaults.in_process.sharing import InProcessGrants, InProcessLeases
from agno_rt.defaults.in_process.store import InProcessCache, InProcessFacts
from agno_rt.defaults.in_process.upkeep import InProcessUpkeep
from agno_rt.defaults.rules import check_names, moved_on
from agno_rt.errors import AgnoError, BackendError
from agno_rt.limits import LimitStatistics
from agno_rt.memory import Session, SessionInfo, foreign_session, session_title
from agno_rt.messages import Message

__all__ = ["InProcessMemory", "MemoryBounds"]


_BOUNDS = MemoryBounds()
_COUNTED_TOGETHER = 64
"""Appends between two counts of what was added. Counting at each append would slow every run."""


def _refuse_append(session: str, stored: StoredSession, user: str | None, version: int) -> AgnoError:
    """Make the error for an append to another user's session, or to a session that has changed meanwhile."""
    if stored.user != user:
        return foreign_session(session, stored.user, user)
    return moved_on(session, stored.version, version)


class InProcessMemory(InProcessUpkeep):
    """Sessions, runs, facts and cached answers in dictionaries. Appending takes the same time at any length of session.

    No method but `wait_events` ever waits. `clock` gives the seconds since the epoch; `bounds` limit what is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, bounds: MemoryBounds = _BOUNDS) -> None:
        InProcessLeases.__init__(self, bounds)
        InProcessFacts.__init__(self, bounds)
        InProcessCache.__init__(self, bounds)
        InProcessGrants.__init__(self)
        self._bounds = bounds
        # The most recently used are at the end.
        self._sessions: OrderedDict[str, StoredSession] = OrderedDict()
        self._bytes = 0
        self._uncounted: list[StoredSession] = []
        self._appends = 0
        self._forgets_sessions = False
        self._clock = clock

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        stored = self._sessions.get(session)
        if stored is None:
            return Session(session)
        self._sessions.move_to_end(session)
        total = len(stored.messages)
        messages = stored.messages[0 if last is None else max(0, total - last) :]
        return Session(session, messages, stored.version, stored.user, total, stored.data)

    async def append(  # noqa: C901 - in one piece, as each run in a session pays for each call
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """See `MemoryBackend.append`."""
        stored = self._sessions.get(session)
        now = self._clock()
        if stored is None:
            check_names(session, user)
            stored = StoredSession(user, now, now)
        if stored.user != user or stored.version != version:
            raise _refuse_append(session, stored, user, version)
        beyond, at = 0, len(messages)
        while at:  # an index, because an iterator would be one more allocation for each run
            at -= 1
            message = messages[at]
            content = message.content
            light = type(content) is str and len(content) <= LIGHT_CHARACTERS
            if not light or message.tool_calls or message.reasoning or message.native is not None:
                beyond += size_beyond(message)
        if data is not None:
            beyond += len(data) - len(stored.data)
        if stored.is_full or (beyond and stored.beyond + beyond > self._bounds.size):
            raise self._no_room(session)
        stored.messages.extend(messages)
        stored.version += 1
        stored.updated_at = now
        if data is not None:
            stored.data = data
        if agent:
            stored.agent = agent
        if stored.version == 1:
            self._sessions[session] = stored
        else:
            self._sessions.move_to_end(session)
        self._appends += 1
        if stored.is_counted:
            stored.is_counted = False
            self._uncounted.append(stored)
        if beyond or stored.version == 1 or self._appends == _COUNTED_TOGETHER:
            self._count(stored, beyond)
        return stored.version

    async def sessions(
        self,
        *,
        user: str | None = None,
        unowned: bool = False,
        query: str = "",
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SessionInfo]:
        """See `MemoryBackend.sessions`."""
        asked, anyone = query.casefold(), user is None and not unowned
        found = (
            (stored.updated_at, session)
            for session, stored in self._sessions.items()
            if (anyone or stored.user == user)
            and (before is None or (stored.updated_at, session) < before)
            and (not asked or asked in stored.called().casefold())
        )
        # The dictionary has the order of uses, and a load is a use: the order of writes is made here.
        return [summarize_session(session, self._sessions[session]) for _, session in heapq.nlargest(limit, found)]

    async def session_info(self, session: str) -> SessionInfo | None:
        """See `MemoryBackend.session_info`."""
        stored = self._sessions.get(session)
        return None if stored is None else summarize_session(session, stored)

    async def rename(self, session: str, title: str) -> bool:
        """See `MemoryBackend.rename`."""
        stored = self._sessions.get(session)
        if stored is not None:
            stored.title = session_title(title)
        return stored is not None

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        stored = self._sessions.pop(session, None)
        if stored is None:
            return False
        self._forget(stored)
        return True

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of sessions, stored runs and facts, and the size of the sessions, each with its bound."""
        bounds = self._bounds
        return (
            LimitStatistics("sessions in memory:", bounds.sessions, len(self._sessions), 0),
            LimitStatistics("MiB of sessions in memory:", bounds.size // MEBIBYTE, self._bytes // MEBIBYTE, 0),
            LimitStatistics("stored runs in memory:", bounds.runs, len(self._runs), 0),
            LimitStatistics("facts in memory:", bounds.facts, self._facts, 0),
        )

    async def aclose(self) -> None:
        """Forget everything."""
        InProcessMemory.__init__(self, self._clock, bounds=self._bounds)

    def _count(self, stored: StoredSession, beyond: int) -> None:
        """Count the appends since the last call, and forget sessions until all bounds hold.

        The session of the last append is never forgotten.
        """
        stored.beyond += beyond
        self._bytes += beyond
        for appended in self._uncounted:
            new, appended.counted = len(appended.messages) - appended.counted, len(appended.messages)
            self._bytes += new * MESSAGE_BYTES
            appended.is_counted = True
            appended.is_full = appended.beyond + appended.counted * MESSAGE_BYTES > self._bounds.size
        self._uncounted.clear()
        self._appends = 0
        bounds, forgot = self._bounds, False
        while len(self._sessions) > max(1, bounds.sessions) or (self._bytes > bounds.size and len(self._sessions) > 1):
            self._forget(self._sessions.popitem(last=False)[1])
            forgot = True
        if forgot and not self._forgets_sessions:
            self._forgets_sessions = True
            bound = f"{bounds.sessions:,} sessions, {bounds.size // MEBIBYTE:,} MiB together"
            warn_of_forgetting("those used longest ago", bound)

    def _forget(self, stored: StoredSession) -> None:
        """Subtract the size of a session that was taken out."""
        self._bytes -= stored.beyond + stored.counted * MESSAGE_BYTES
        # The session may still be in `_uncounted`: leave nothing to count.
        stored.counted = len(stored.messages)

    def _no_room(self, session: str) -> BackendError:
        return no_room(f"more of session {session!r}", f"{self._bounds.size // MEBIBYTE:,} MiB of sessions together")
