"""The sessions of AgentOS as sessions of the server's memory, with a note of AgentOS's own fields."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from agno_rt.memory import MemoryBackend, Session, SessionInfo
from agno_rt.run_store import RunStore
from agno_rt_serve.api.agentos.shapes import Failure, Note, OSSession, OSSummary, render_run
from agno_rt_serve.auth.caller import Reach, caller_of, reach_of
from agno_rt_serve.http.asgi import Scope

__all__ = ["Found", "KeptSessions", "reach_all"]

_PAGE = 1000
_MOST_RUNS = 1000


class _Notes(msgspec.Struct, omit_defaults=True):
    agentos: Note | None = None


@attrs.frozen
class Found:
    """A session with entry, contents and note."""

    info: SessionInfo
    session: Session
    note: Note
    summary: OSSummary | None


class KeptSessions:
    """Finds, lists and changes sessions."""

    def __init__(self, memory: MemoryBackend) -> None:
        self._memory = memory

    async def find(self, id: str, reach: Reach, last: int | None = 0) -> Found:
        """Return the session with the last messages. Raises `Failure` 404."""
        info = await self._memory.session_info(id)
        if info is None or not reach.has(info.user):
            raise Failure(404, "SESSION_NOT_FOUND", "session not found")
        session = await self._memory.load(id, last)
        note, summary = _read_note(session.data)
        return Found(info, session, note, note.summary or summary)

    async def create(self, id: str, user: str | None, agent: str, name: str, note: Note) -> None:
        """Begin a session without messages."""
        data = _write_note(b"", note)
        await self._memory.append(id, [], version=0, user=user, data=data, agent=agent)
        if name:
            await self._memory.rename(id, name)

    async def change(self, found: Found, note: Note, agent: str = "") -> None:
        """Replace the session's note, and the agent if given. Raises `SessionConflict` if a run came between."""
        session = found.session
        data = _write_note(session.data, note)
        await self._memory.append(
            session.id, [], version=session.version, user=session.user, data=data, agent=agent or found.info.agent
        )

    async def rename(self, id: str, name: str) -> None:
        """Give the session a title."""
        await self._memory.rename(id, name)

    async def delete(self, id: str) -> bool:
        """Forget the session."""
        return await self._memory.delete(id)

    async def list(self, reach: Reach) -> list[SessionInfo]:
        """Return the entries of all sessions within reach, last written first."""
        listed: list[SessionInfo] = []
        before = None
        while True:
            page = await self._memory.sessions(user=reach.user, unowned=reach.unowned, before=before, limit=_PAGE)
            listed += page
            if len(page) < _PAGE:
                return listed
            before = (page[-1].updated_at, page[-1].id)

    async def show(self, found: Found) -> OSSession:
        """Return the session in the form of AgentOS, with the stored runs."""
        info, note, runs = found.info, found.note, []
        if isinstance(self._memory, RunStore):
            records = await self._memory.runs(session=info.id, limit=_MOST_RUNS)
            runs = [render_run(each) for each in reversed(records) if each.parent is None]
        return OSSession(
            session_id=info.id,
            agent_id=info.agent,
            user_id=info.user or "",
            team_id=note.team_id,
            workflow_id=note.workflow_id,
            name=info.title,
            metadata=note.metadata,
            state=note.state,
            run_count=len(runs),
            created_at=int(info.created_at),
            updated_at=int(info.updated_at),
            summary=found.summary,
            runs=runs,
        )


def reach_all(scope: Scope, said: str | None = None) -> Reach:
    """Return the owners within reach. AgentOS's clients ask for a session by id alone.

    A caller with the scope for all users reaches everyone's sessions; any other caller only the caller's own.
    """
    if not said and caller_of(scope).scopes.for_users:
        return Reach(None, everyone=True)
    return reach_of(scope, said or None)


def _read_note(data: bytes) -> tuple[Note, OSSummary | None]:
    """Return AgentOS's note of a session's data, and the kernel's own summary."""
    if not data:
        return Note(), None
    kept: dict[str, Any] = msgspec.json.decode(data)
    notes = msgspec.convert(kept.get("note") or {}, _Notes)
    own = kept.get("summary")
    return notes.agentos or Note(), None if own is None else OSSummary(own["text"])


def _write_note(data: bytes, note: Note) -> bytes:
    """Return the data with another note, in the kernel's own format, 1."""
    kept: dict[str, Any] = msgspec.json.decode(data) if data else {"format": 1}
    kept["note"] = {**(kept.get("note") or {}), "agentos": note}
    return msgspec.json.encode(kept)
