"""Sessions in Redis: a part of `RedisMemory`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from agno_rt.defaults.rules import check_names, moved_on
from agno_rt.errors import BackendError
from agno_rt.memory import Session, SessionInfo, first_words, foreign_session, session_title
from agno_rt.messages import Message
from agno_rt_redis.store import Damaged, Store, load_script, read_text

__all__ = ["RedisSessions", "encode_append", "encode_messages", "read_message", "refuse_append"]

PAGE = 500
"""Sessions to read at a time where the titles are searched."""

_SCRIPT = load_script("sessions")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


def encode_append(
    session: str,
    messages: Sequence[Message],
    version: int,
    user: str | None,
    data: bytes | None,
    agent: str,
) -> dict[str, Any]:
    """Return an append as the scripts take it. Raises `UsageError` for a name, `BackendError` for a message."""
    check_names(session, user)
    found: dict[str, Any] = {"session": session, "version": version, "agent": agent}
    found["messages"] = encode_messages(session, messages)
    if user is not None:
        found["user"] = user
    if data is not None:
        found["data"] = data
    return {**found, "first": first_words(messages)}


def encode_messages(session: str, messages: Sequence[Message]) -> list[bytes]:
    """Encode messages for storing. Raises `BackendError` for a message that JSON cannot carry."""
    try:
        return [_encode(message) for message in messages]
    except (msgspec.MsgspecError, UnicodeError, TypeError, OverflowError) as exc:
        hint = "A message has text that is not Unicode, or something that JSON cannot carry. Nothing was stored."
        raise BackendError(f"session {session!r}: {exc}", hint=hint) from exc


def refuse_append(answer: list[Any], session: str, version: int, user: str | None) -> NoReturn:
    """Raise the error of an append that was refused."""
    if answer[0] == b"foreign":
        raise foreign_session(session, None if answer[1] is None else "another", user)
    raise moved_on(session, int(answer[1]), version)


class RedisSessions(Store):
    """A `MemoryBackend` without runs."""

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        answer = await self._read(_SCRIPT, "load", session=session, last=last)
        _, (version, user, total, data), bodies, stored = answer
        if version is None:
            return Session(session)
        try:
            if int(total) != stored:
                raise Damaged(f"session {session!r} has {stored} messages, not {int(total)}: some are missing")
            messages = [read_message(session, body) for body in bodies]
            owner = read_text(user, f"the user of session {session!r}")
        except Damaged as exc:
            raise self._explain_damage(exc) from exc
        return Session(session, messages, int(version), owner, int(total), data or b"")

    async def append(
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
        new = encode_append(session, messages, version, user, data, agent)
        answer = await self._write(_SCRIPT, "append", ttl=self.address.sessions_older_than, **new)
        if answer[0] != b"ok":
            refuse_append(answer, session, version, user)
        return int(answer[1])

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
        asked, page = query.casefold(), PAGE if query else limit
        found: list[SessionInfo] = []
        if limit < 1:
            return []
        selected: dict[str, Any] = {"user": user, "unowned": unowned and user is None, "limit": page}
        more = 1
        while more and len(found) < limit:
            if before is not None:
                selected |= {"before": repr(before[0]), "before_id": before[1]}
            _, more, rows = await self._read(_SCRIPT, "list", **selected)
            if rows:
                before = float(rows[-1][1][3]), rows[-1][0].decode(errors="replace")
            read = self._read_all(rows, _read_info)
            found += [info for info in read if asked in info.title.casefold()]
        return found[:limit]

    async def session_info(self, session: str) -> SessionInfo | None:
        """See `MemoryBackend.session_info`."""
        _, found = await self._read(_SCRIPT, "info", session=session)
        try:
            return None if found[3] is None else _read_info((session.encode(), found))
        except Damaged as exc:
            raise self._explain_damage(exc) from exc

    async def rename(self, session: str, title: str) -> bool:
        """See `MemoryBackend.rename`."""
        return bool((await self._write(_SCRIPT, "rename", session=session, title=session_title(title)))[1])

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return bool((await self._write(_SCRIPT, "delete", session=session))[1])


def read_message(session: str, body: bytes) -> Message:
    """Return a stored message. Raises `Damaged`."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        raise Damaged(f"a message of session {session!r} cannot be read: {exc}") from exc


def _read_info(row: Any) -> SessionInfo:
    name, (user, total, created, updated, title, first, agent) = row
    what = f"session {name.decode(errors='backslashreplace')!r}"
    texts = [read_text(value, what) for value in (name, user, first if title is None else title, agent)]
    try:
        return SessionInfo(
            texts[0] or "", texts[1], int(total), float(created), float(updated), texts[2] or "", texts[3] or ""
        )
    except (TypeError, ValueError) as exc:
        raise Damaged(f"{what} cannot be read: {exc}") from exc
