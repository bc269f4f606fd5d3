"""Sessions in PostgreSQL: each function is one operation, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.rules import moved_on
from agno_rt.memory import Session, SessionInfo, foreign_session
from agno_rt.messages import Message
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.rows import Listed, read_rows
from agno_rt_postgres.statements import Done, Operation, Row, Rows, Statement

__all__ = [
    "NewMessages",
    "WantedSessions",
    "add_bodies",
    "append_messages",
    "decode_messages",
    "delete_session",
    "encode_messages",
    "list_sessions",
    "load_session",
    "lock_session",
    "make_list",
    "place_messages",
    "read_session_info",
    "rename_session",
]

_LOCK = 'SELECT version, total, "user", words FROM sessions WHERE id = $1 FOR UPDATE'
_INSERT = (
    'INSERT INTO sessions (id, "user", version, total, created_at, updated_at, agent, words, title, search, data)'
    " VALUES ($1, $2, 1, $3, $4, $4, $5, $6, '', $7, $8)"
)
_UPDATE = (
    "UPDATE sessions SET version = $2::bigint, total = $3, updated_at = $4, agent = coalesce($5, agent),"
    " words = CASE WHEN words = '' THEN $6 ELSE words END,"
    " search = CASE WHEN words = '' AND title = '' THEN $7 ELSE search END, data = coalesce($8, data) WHERE id = $1"
)
_APPEND = f"""
WITH changed AS (
    {_UPDATE.replace("total = $3", "total = total + $3")}
    AND version = $2::bigint - 1 AND "user" IS NOT DISTINCT FROM $9 RETURNING total
), added AS (
    INSERT INTO messages SELECT $1, total - cardinality($10::bytea[]) + at, body
    FROM changed, unnest($10::bytea[]) WITH ORDINALITY AS new (body, at)
) SELECT count(*) FROM changed
"""
"""Appends in one step where the session is as expected, the usual case; otherwise does nothing."""
_ADD = (
    "INSERT INTO messages SELECT $1, $2::bigint + at, body FROM unnest($3::bytea[]) WITH ORDINALITY AS new (body, at)"
)
_ADD_ONE = "INSERT INTO messages VALUES ($1, $2, $3)"

_LOAD = 'SELECT version, "user", data, total FROM sessions WHERE id = $1'
_LAST = "SELECT seq, body FROM messages WHERE session = $1 ORDER BY seq DESC LIMIT $2"

_INFO = tuple(field.name for field in attrs.fields(SessionInfo))
_INFO_COLUMNS = (
    "id, \"user\", total, created_at, updated_at, CASE WHEN title = '' THEN words ELSE title END, agent FROM sessions"
)
PIECE_BYTES = 4 * 2**20
"""The bytes of messages to insert with one statement, about."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


@attrs.frozen
class NewMessages:
    """An append to a session: `bodies` are the encoded messages, `at` is the time, `words` the user's first words."""

    session: str
    bodies: Sequence[bytes]
    version: int
    user: str | None
    data: bytes | None
    at: float
    agent: str
    words: str


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


def lock_session(session: str) -> Statement:
    """Return the statement that locks a session; its row is for `place_messages`."""
    return Statement(_LOCK, (session,), lock=f"session {session}")


def append_messages(new: NewMessages) -> Operation[int]:
    """Add the messages, and return the session's new version."""
    if new.version and new.bodies and sum(map(len, new.bodies)) < PIECE_BYTES:
        values = *_list_changes(new, len(new.bodies)), new.user, new.bodies
        (((count,),),) = yield [Statement(_APPEND, values, lock=f"session {new.session}")]
        if count:
            return Done(new.version + 1)
    (rows,) = yield [lock_session(new.session)]
    return place_messages(rows, new)


def place_messages(rows: Rows, new: NewMessages) -> Done[int]:
    """Return the new version of the locked session, and the statements that add the messages.

    Raises `Forbidden` and `SessionConflict`.
    """
    version, total, user, _ = rows[0] if rows else (0, 0, new.user, "")
    if user != new.user:
        raise foreign_session(new.session, user, new.user)
    if version != new.version:
        raise moved_on(new.session, version, new.version)
    size = total + len(new.bodies)
    if rows:
        head = Statement(_UPDATE, _list_changes(new, size), writes=True)
    else:
        search = new.words.casefold()
        values = new.session, new.user, size, new.at, new.agent, new.words, search, new.data or b""
        head = Statement(_INSERT, values, writes=True)
    return Done(version + 1, [head, *add_bodies(new.session, new.bodies, total)])


def _list_changes(new: NewMessages, size: int) -> tuple[Any, ...]:
    """Return the parameters of `_UPDATE`. An agent without a name leaves the one before."""
    return (
        new.session,
        new.version + 1,
        size,
        new.at,
        new.agent or None,
        new.words,
        new.words.casefold(),
        new.data,
    )


def add_bodies(session: str, bodies: Sequence[bytes], total: int) -> list[Statement]:
    """Return the statements that add messages to a session of `total` messages."""
    if not bodies:
        return []
    if len(bodies) == 1:
        return [Statement(_ADD_ONE, (session, total + 1, bodies[0]), writes=True)]
    size = 0
    pieces: list[list[bytes]] = [[]]
    for body in bodies:
        # One statement has at most a gigabyte; some megabytes are as fast.
        if size > PIECE_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(body)
        size += len(body)
    found, at = [], total
    for piece in pieces:
        found.append(Statement(_ADD, (session, at, piece), writes=True))
        at += len(piece)
    return found


def load_session(session: str, last: int | None) -> Operation[Session]:
    """Return the session with its last messages."""
    head, found = yield [Statement(_LOAD, (session,)), Statement(_LAST, (session, last))]
    if not head:
        return Done(Session(session))
    version, user, data, total = head[0]
    wanted = total if last is None else min(last, total)
    messages = decode_messages(session, found[::-1], total - wanted + 1, wanted)
    return Done(Session(session, messages, version, user, total, data))


def decode_messages(session: str, rows: Rows, first: int, count: int) -> list[Message]:
    """Return the `count` messages from number `first` on. Raises `Damaged` for a message that is missing or broken."""
    messages = []
    for at, (seq, body) in enumerate(rows, first):
        if seq != at:
            raise Damaged(f"message {at} of session {session!r}", "it is missing")
        try:
            messages.append(_decode(body))
        except (msgspec.MsgspecError, UnicodeError) as exc:
            raise Damaged(f"message {seq} of session {session!r}", exc) from exc
    if len(messages) != count:
        raise Damaged(f"message {first + len(messages)} of session {session!r}", "it is missing")
    return messages


def delete_session(session: str) -> Operation[bool]:
    """Forget the session."""
    rows, _ = yield [
        lock_session(session),
        Statement("DELETE FROM sessions WHERE id = $1", (session,), writes=True),
    ]
    tables = "messages", "session_words"
    return Done(
        bool(rows), [Statement(f"DELETE FROM {table} WHERE session = $1", (session,), writes=True) for table in tables]
    )


def rename_session(session: str, title: str) -> Operation[bool]:
    """Set the session's title; an empty title brings back its first words."""
    (rows,) = yield [lock_session(session)]
    if not rows:
        return Done(False)
    words = rows[0][3]
    update = "UPDATE sessions SET title = $2, search = $3 WHERE id = $1"
    return Done(True, [Statement(update, (session, title, (title or words).casefold()), writes=True)])


def list_sessions(wanted: WantedSessions) -> Operation[Listed[SessionInfo]]:
    """List the sessions changed last. An index keeps the cost the same for any number of sessions."""
    (rows,) = yield [make_list(wanted)]
    return Done(read_rows(rows, _decode_info))


def make_list(wanted: WantedSessions) -> Statement:
    """Return the statement that lists sessions."""
    terms: list[str] = []
    values: list[Any] = []

    def mark(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    if wanted.user is not None:
        terms.append(f'"user" = {mark(wanted.user)}')
    elif wanted.unowned:
        terms.append('"user" IS NULL')
    if wanted.before is not None:
        # The id orders sessions of the same time, so that pages neither repeat nor skip a session.
        at, session = wanted.before
        terms.append(f"(updated_at, id) < ({mark(float(at))}, {mark(session)})")
    if wanted.query:
        terms.append(f"strpos(search, {mark(wanted.query.casefold())}) > 0")
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    query = f"SELECT {_INFO_COLUMNS}{where} ORDER BY updated_at DESC, id DESC LIMIT {mark(wanted.limit)}"
    return Statement(query, values)


def read_session_info(session: str) -> Operation[SessionInfo | None]:
    """Return the session's entry in a list of sessions."""
    (rows,) = yield [Statement(f"SELECT {_INFO_COLUMNS} WHERE id = $1", (session,))]
    return Done(_decode_info(rows[0]) if rows else None)


def _decode_info(row: Row) -> SessionInfo:
    return SessionInfo(*row)
