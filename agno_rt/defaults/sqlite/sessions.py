"""Sessions in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction."""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.rules import moved_on
from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.defaults.sqlite.rows import Listed, read_row, read_rows
from agno_rt.memory import Session, SessionInfo, first_words, foreign_session
from agno_rt.messages import Message

__all__ = [
    "NewMessages",
    "SessionReader",
    "WantedSessions",
    "add_messages",
    "append_messages",
    "delete_session",
    "encode_messages",
    "list_sessions",
    "read_range",
    "read_session_info",
    "rename_session",
]

KEPT_MESSAGES = 256
"""The last messages of a session that are kept decoded: more than most policies show the model."""
KEPT_BYTES = 32 * 2**20
"""The estimated bytes of the kept messages of all sessions."""
MESSAGE_BYTES = 200
"""The estimated bytes of a message beside its text."""

_TOTAL = "coalesce(total, (SELECT max(seq) FROM messages WHERE session = id), 0)"
"""The number of a session's messages: messages are numbered from 1, and never deleted one by one."""

_LOAD = f"SELECT version, user, data, mark, seal, {_TOTAL} FROM sessions WHERE id = ?"
_INFO = tuple(field.name for field in attrs.fields(SessionInfo))
_INFO_COLUMNS = f"id, user, {_TOTAL}, created_at, updated_at, title, agent"
_INFO_TEXTS = (0, 1, 5, 6)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


@attrs.frozen
class NewMessages:
    """An append to a session: `bodies` are the encoded messages, `at` is the time, `title` is for a new session."""

    session: str
    bodies: Sequence[bytes]
    version: int
    user: str | None
    data: bytes | None
    at: float
    agent: str
    title: str | None


@attrs.frozen
class WantedSessions:
    """The filters of a list of sessions: see `MemoryBackend.sessions`."""

    user: str | None
    unowned: bool
    query: str
    before: tuple[float, str] | None
    limit: int


def encode_messages(messages: Sequence[Message]) -> list[bytes]:
    """Encode messages for storing."""
    return [_encode(message) for message in messages]


def append_messages(connection: sqlite3.Connection, new: NewMessages) -> int:
    """Add the messages, and return the session's new version."""
    session, bodies = new.session, new.bodies
    row = connection.execute(f"SELECT version, {_TOTAL}, user FROM sessions WHERE id = ?", (session,)).fetchone()
    version, total, user = row or (0, 0, new.user)
    if user != new.user:
        raise foreign_session(session, user, new.user)
    if version != new.version:
        raise moved_on(session, version, new.version)
    version += 1
    if row is None:
        connection.execute(
            "INSERT INTO sessions (id, user, version, created_at, updated_at, data, mark, seal, total, agent, title)"
            " VALUES (?, ?, ?, ?, ?, coalesce(?, x''), random(), ?, ?, ?, ?)",
            (
                session,
                new.user,
                version,
                new.at,
                new.at,
                new.data,
                zlib.crc32(new.data or b""),
                len(bodies),
                new.agent,
                new.title,
            ),
        )
    elif new.data is None:
        connection.execute(
            "UPDATE sessions SET version = ?, updated_at = ?, total = ?, agent = coalesce(?, agent) WHERE id = ?",
            (version, new.at, total + len(bodies), new.agent or None, session),
        )
    else:
        connection.execute(
            "UPDATE sessions SET version = ?, updated_at = ?, total = ?, data = ?, seal = ?,"
            " agent = coalesce(?, agent) WHERE id = ?",
            (version, new.at, total + len(bodies), new.data, zlib.crc32(new.data), new.agent or None, session),
        )
    add_messages(connection, session, bodies, total)
    return int(version)


def add_messages(connection: sqlite3.Connection, session: str, bodies: Sequence[bytes], after: int) -> None:
    """Store encoded messages with the numbers above `after`."""
    rows = [(session, seq, body, zlib.crc32(body)) for seq, body in enumerate(bodies, after + 1)]
    connection.executemany("INSERT INTO messages (session, seq, body, seal) VALUES (?, ?, ?, ?)", rows)


def delete_session(connection: sqlite3.Connection, session: str) -> bool:
    """Forget the session."""
    return connection.execute("DELETE FROM sessions WHERE id = ?", (session,)).rowcount > 0


def rename_session(connection: sqlite3.Connection, session: str, title: str) -> bool:
    """Set the session's title; an empty title brings back its first words."""
    return connection.execute("UPDATE sessions SET title = ? WHERE id = ?", (title or None, session)).rowcount > 0


def list_sessions(connection: sqlite3.Connection, wanted: WantedSessions) -> Listed[SessionInfo]:
    """List the sessions changed last. An index keeps the cost the same for any number of sessions."""
    conditions: list[str] = []
    values: list[Any] = []
    if wanted.user is not None:
        conditions.append("user = ?")
        values.append(wanted.user)
    elif wanted.unowned:
        conditions.append("user IS NULL")
    if wanted.before is not None:
        # The id orders sessions of the same time, so that pages neither repeat nor skip a session.
        conditions.append("(updated_at, id) < (?, ?)")
        values += wanted.before
    if wanted.query:
        _offer_search(connection)
        # As bytes, because sqlite3 could not decode a damaged title for the function.
        conditions.append("title_has(id, CAST(title AS BLOB), ?)")
        values.append(wanted.query.casefold())
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT {_INFO_COLUMNS} FROM sessions{where} ORDER BY updated_at DESC, id DESC LIMIT ?"
    values.append(wanted.limit)
    return read_rows(
        lambda: connection.execute(query, values), lambda row: _decode_info(connection, row), "sessions", _INFO_TEXTS
    )


def read_session_info(connection: sqlite3.Connection, session: str) -> SessionInfo | None:
    """Return the session's entry in a list of sessions."""
    row = read_row(connection, f"SELECT {_INFO_COLUMNS} FROM sessions WHERE id = ?", session, "sessions")
    return None if row is None else _decode_info(connection, row)


_FIRST_MESSAGES = 20
"""The number of messages to search for the first words of a session."""


def _decode_info(connection: sqlite3.Connection, row: tuple[Any, ...]) -> SessionInfo:
    values = dict(zip(_INFO, row, strict=True))
    if values["title"] is None:
        values["title"] = _first_words(connection, row[0])
    try:
        return msgspec.convert(values, SessionInfo)
    except msgspec.ValidationError as exc:
        raise Damaged("sessions", f"session {row[0]!r}", exc) from exc


def _first_words(connection: sqlite3.Connection, session: object) -> str:
    """Return the first words of a session without a stored title: an older release began it, or it has no words yet.

    Damaged messages are skipped: loading the session reports them.
    """
    rows = connection.execute(
        "SELECT body FROM messages WHERE session = ? ORDER BY seq LIMIT ?", (session, _FIRST_MESSAGES)
    )
    for (body,) in rows:
        with suppress(msgspec.MsgspecError, UnicodeError, TypeError):
            if title := first_words((_decode(body),)):
                return title
    return ""


def _offer_search(connection: sqlite3.Connection) -> None:
    """Give queries the function `title_has`: SQLite itself ignores the case of ASCII letters only."""

    def title_has(session: object, title: bytes | None, query: str) -> bool:
        found = _first_words(connection, session) if title is None else title.decode(errors="replace")
        return query in found.casefold()

    connection.create_function("title_has", 3, title_has)


@attrs.define(eq=False)
class _Tail:
    """The last messages of a session, decoded, from the number `first` on, and the size of each."""

    mark: int
    first: int
    messages: list[Message]
    sizes: list[int]
    bytes: int = 0

    @property
    def end(self) -> int:
        """The number of the next message."""
        return self.first + len(self.messages)


class SessionReader:
    """Reads sessions, and keeps the last messages of recently read sessions, to read only new messages the next time.

    Messages of a session are only ever added, so kept messages stay valid as long as the session is the same. Each load
    asks the file for the session's `mark` and number of messages, since other processes may have written.
    """

    def __init__(self) -> None:
        self._tails: OrderedDict[str, _Tail] = OrderedDict()
        self._bytes = 0

    def load(self, connection: sqlite3.Connection, session: str, last: int | None) -> Session:
        """Return the session with its last messages."""
        row = read_row(connection, _LOAD, session, "sessions")
        if row is None:
            self._drop(session)
            return Session(session)
        version, user, data, mark, seal, total = row
        if not _is_sealed(data, seal):
            raise Damaged("sessions", f"the state and summary of session {session!r}", "their checksum is wrong")
        first = 1 if last is None else max(1, total - last + 1)
        messages = self._messages(connection, session, mark, (first, total)) if first <= total else []
        return Session(session, messages, version, user, total, data)

    def clear(self) -> None:
        """Drop all kept messages."""
        self._tails.clear()
        self._bytes = 0

    def _messages(
        self, connection: sqlite3.Connection, session: str, mark: int, wanted: tuple[int, int]
    ) -> list[Message]:
        """Return the messages of the wanted range, which ends with the session's last message."""
        first, total = wanted
        tail = self._drop(session)
        # Read everything again for another session of the same id, and where the kept messages begin too late.
        if tail is None or tail.mark != mark or not tail.first <= first <= tail.end <= total + 1:
            tail = _Tail(mark, first, [], [])
        if tail.end <= total:
            _read_new_messages(connection, session, tail)
            if tail.end <= total:
                raise Damaged("messages", f"message {tail.end} of session {session!r}", "it is missing")
        messages = tail.messages[first - tail.first :]
        self._keep(session, tail)
        return messages

    def _drop(self, session: str) -> _Tail | None:
        tail = self._tails.pop(session, None)
        if tail is not None:
            self._bytes -= tail.bytes
        return tail

    def _keep(self, session: str, tail: _Tail) -> None:
        over = len(tail.messages) - KEPT_MESSAGES
        if over > 0:
            tail.bytes -= sum(tail.sizes[:over])
            del tail.messages[:over], tail.sizes[:over]
            tail.first += over
        self._tails[session] = tail
        self._bytes += tail.bytes
        # The least recently read session is the first one, since each load puts its session at the end.
        while self._bytes > KEPT_BYTES:
            self._drop(next(iter(self._tails)))


def read_range(connection: sqlite3.Connection, session: str, after: int, count: int) -> list[Message]:
    """Return so many messages above a number. Raises `Damaged` if one cannot be read."""
    tail = _Tail(0, after + 1, [], [])
    _read_new_messages(connection, session, tail, count)
    if len(tail.messages) < count:
        raise Damaged("messages", f"message {tail.end} of session {session!r}", "it is missing")
    return tail.messages


def _read_new_messages(connection: sqlite3.Connection, session: str, tail: _Tail, count: int = -1) -> None:
    rows = connection.execute(
        "SELECT seq, body, seal FROM messages WHERE session = ? AND seq >= ? ORDER BY seq LIMIT ?",
        (session, tail.end, count),
    )
    for seq, body, seal in rows:
        if seq != tail.end:
            raise Damaged("messages", f"message {tail.end} of session {session!r}", "it is missing")
        if not _is_sealed(body, seal):
            raise Damaged("messages", f"message {seq} of session {session!r}", "its checksum is wrong")
        try:
            tail.messages.append(_decode(body))
        except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
            raise Damaged("messages", f"message {seq} of session {session!r}", exc) from exc
        tail.sizes.append(len(body) + MESSAGE_BYTES)
        tail.bytes += tail.sizes[-1]


def _is_sealed(body: object, seal: int | None) -> bool:
    """Return whether the bytes fit their checksum; rows of older versions have no checksum and always do."""
    return seal is None or (isinstance(body, bytes) and zlib.crc32(body) == seal)
