"""Sessions as JSON lines: a line for each session, and several for a session of many megabytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from agno_rt.cli.transfer.base import AT_ONCE, Outcome, Skipped, Store, check_owner, no_copies
from agno_rt.cli.transfer.lines import FORMAT, Line, encode_line
from agno_rt.errors import SessionConflict, UsageError
from agno_rt.media import check_content
from agno_rt.memory import Session, SessionInfo
from agno_rt.messages import Message
from agno_rt.names import check_name
from agno_rt.upkeep import CopyStore, SessionCopy

__all__ = ["SessionLine", "SessionTransfer", "session_line"]

PART_BYTES = 2**24
"""The bytes of messages after which a session goes on in another line."""


class SessionLine(Line, kw_only=True):
    """A session with the messages from number `first` on. `data` is the state and summary in the memory's format."""

    id: str
    messages: tuple[Message, ...] = ()
    user: str | None = None
    data: bytes = b""
    title: str = ""
    agent: str = ""
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    first: int = 1

    def check(self) -> None:
        """Raise `UsageError` for names and messages that cannot be stored."""
        check_name("the session's id", self.id)
        if self.user is not None:
            check_name("the user's name", self.user)
        if self.agent:
            check_name("the agent's name", self.agent)
        for message in self.messages:
            check_content(message.content)
        if self.version < 1 or self.first < 1:
            raise UsageError("version and first of a session are at least 1", hint="Export the session again.")

    def copy(self) -> SessionCopy:
        """Return the session for a `CopyStore`."""
        return SessionCopy(
            self.id,
            self.user,
            self.version,
            self.created_at,
            self.updated_at,
            self.title,
            self.agent,
            self.data,
            self.first - 1 + len(self.messages),
            self.first,
            self.messages,
        )


def session_line(session: Session, info: SessionInfo | None) -> bytes:
    """Return a whole session as a line, with the title, the agent and the times of `info`."""
    line = SessionLine(
        format=FORMAT,
        kind=SessionTransfer.kind,
        id=session.id,
        messages=tuple(session.messages),
        user=session.user,
        data=session.data,
        version=max(1, session.version),
    )
    if info is not None:
        line.title, line.agent, line.created_at, line.updated_at = (
            info.title,
            info.agent,
            info.created_at,
            info.updated_at,
        )
    return encode_line(line)


class SessionTransfer:
    """Moves sessions, see `Transfer`. `part_bytes` are the bytes of messages after which another line begins."""

    kind = "session"
    line = SessionLine

    def __init__(self, part_bytes: int = PART_BYTES) -> None:
        self._part_bytes = part_bytes

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[str]:
        """Return the ids of sessions."""
        from agno_rt.cli.open_memory import MANY, match_id

        if not isinstance(store, CopyStore):
            raise no_copies(store)
        if not ids and user is None:
            return await store.list_ids("sessions")
        infos = await store.sessions(user=user, limit=MANY)  # type: ignore[attr-defined]  # a MemoryBackend, too
        known = [info.id for info in infos]
        return list(dict.fromkeys(match_id("session", each, known) for each in ids)) if ids else known[::-1]

    async def export(self, store: Store, key: str, write: Callable[[bytes], object]) -> bool:
        """Write a session, in parts."""
        copy = await store.export_session(key, limit=AT_ONCE)
        if copy is None:
            return False
        part, size, number = list[Message](), 0, 0
        while True:
            for message in copy.messages:
                number += 1
                part.append(message)
                size += len(msgspec.json.encode(message))
                if size >= self._part_bytes and number < copy.total:
                    write(_encode_part(copy, part, number))
                    part, size = [], 0
            if not copy.messages or number >= copy.total:
                break
            copy = await store.export_session(key, after=number, limit=AT_ONCE)
            if copy is None:
                raise Skipped(f"session {key!r} was deleted meanwhile", hint="Its beginning is written; delete it.")
        write(_encode_part(copy, part, number))
        return True

    async def load(self, store: Store, line: SessionLine, user: str | None) -> Outcome:
        """Store a session, or the rest of a session that is there in part."""
        if not isinstance(store, CopyStore):
            raise no_copies(store)
        line.user = check_owner(line.user, user)
        end = line.first - 1 + len(line.messages)
        there = await store.export_session(line.id, limit=0)
        if there is None:
            if line.first != 1:
                raise Skipped(f"the beginning of session {line.id!r} is missing", hint="Import the whole file.")
            # A line from elsewhere need not have times.
            line.created_at = line.created_at or time.time()
            line.updated_at = line.updated_at or line.created_at
        elif there.user != line.user or not await _is_same(store, there, line):
            hint = "Delete it first, or give the session of the line another id."
            raise Skipped(f"another session has the id {line.id!r}", hint=hint)
        elif there.total >= end:
            return "same"
        else:
            if there.total < line.first - 1:
                raise Skipped(f"messages of session {line.id!r} are missing before", hint="Import the whole file.")
            if there.version > line.version:
                raise Skipped(f"session {line.id!r} has gone on otherwise", hint="Delete it first.")
            line.messages = line.messages[there.total - line.first + 1 :]
            line.first = there.total + 1
        try:
            await store.import_session(line.copy())
        except (SessionConflict, UsageError) as exc:
            raise Skipped(exc.message, hint=exc.hint) from exc
        return "stored"


async def _is_same(store: CopyStore, there: SessionCopy, line: SessionLine) -> bool:
    """Tell whether the line is of the stored session: by its time, or by the messages of a line without a time."""
    from agno_rt.cli.copy_memory import is_same_time

    if line.created_at:
        return is_same_time(there.created_at, line.created_at)
    shared = await store.export_session(line.id, after=line.first - 1, limit=len(line.messages))
    stored = shared.messages if shared else ()
    return msgspec.json.encode(stored) == msgspec.json.encode(line.messages[: len(stored)])


def _encode_part(copy: SessionCopy, messages: Sequence[Message], end: int) -> bytes:
    return encode_line(
        SessionLine(
            format=FORMAT,
            kind=SessionTransfer.kind,
            id=copy.id,
            messages=tuple(messages),
            user=copy.user,
            data=copy.data,
            title=copy.title,
            agent=copy.agent,
            version=copy.version,
            created_at=copy.created_at,
            updated_at=copy.updated_at,
            first=end - len(messages) + 1,
        )
    )
