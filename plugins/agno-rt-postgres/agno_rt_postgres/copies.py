"""Copies into and out of PostgreSQL, its size, and old sessions: each function is one operation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from agno_rt.defaults.rules import check_names, copied_beside, new_record
from agno_rt.memory import Fact, foreign_session, session_title
from agno_rt.upkeep import CopyKind, PartSize, RunCopy, SessionCopy, StoreSize
from agno_rt_postgres.approvals import insert_approvals, lock_approval, select_new
from agno_rt_postgres.events import insert_events
from agno_rt_postgres.facts import digest_fact, insert_fact
from agno_rt_postgres.runs import insert_run, insert_signal, lock_run
from agno_rt_postgres.sessions import add_bodies, decode_messages, lock_session
from agno_rt_postgres.statements import Done, Operation, Statement

__all__ = ["export_session", "find_size", "import_facts", "import_run", "import_session", "list_ids", "prune_sessions"]

_IDS = {
    "sessions": "SELECT id FROM sessions ORDER BY updated_at, id",
    "facts": 'SELECT DISTINCT "user" FROM facts',
    "runs": 'SELECT id FROM runs ORDER BY updated_at, id COLLATE "C"',
}
_SIZE = "coalesce(sum(length({})), 0)::bigint"
_NO_TIMES = "NULL::double precision, NULL::double precision"
_PARTS = {
    "sessions": f"count(*), {_SIZE.format('data')}, min(created_at), max(updated_at) FROM sessions",
    "messages": f"count(*), {_SIZE.format('body')}, {_NO_TIMES} FROM messages",
    "runs": f"count(*), {_SIZE.format('input || content')}, min(created_at), max(updated_at) FROM runs",
    "entries": f"count(*), {_SIZE.format('body')}, {_NO_TIMES} FROM entries",
    "approvals": f"count(*), {_SIZE.format('body')}, {_NO_TIMES} FROM approvals",
    "signals": f"count(*), {_SIZE.format('value')}, min(sent_at), max(sent_at) FROM signals",
    "events": f"coalesce(sum(count), 0)::bigint, {_SIZE.format('body')}, {_NO_TIMES} FROM events",
    "facts": f"count(*), {_SIZE.format('text')}, min(created_at), max(updated_at) FROM facts",
    "grants": f"count(*), {_SIZE.format('body')}, min(created_at), max(created_at) FROM grants",
    "cache": f"count(*), {_SIZE.format('value')}, {_NO_TIMES} FROM cache",
}
_WHOLE = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'm')"
)

_EXPORT = (
    "SELECT \"user\", version, created_at, updated_at, CASE WHEN title = '' THEN words ELSE title END, agent, data,"
    " total FROM sessions WHERE id = $1"
)
_RANGE = "SELECT seq, body FROM messages WHERE session = $1 AND seq > $2 ORDER BY seq LIMIT $3"
_INSERT = (
    'INSERT INTO sessions (id, "user", version, created_at, updated_at, data, total, agent, words, title, search)'
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10)"
)
_UPDATE = (
    "UPDATE sessions SET version = $2, created_at = $3, updated_at = $4, data = $5, total = $6, agent = $7,"
    " title = $8, search = $9 WHERE id = $1"
)
_OWN_ID = re.compile(r"f(\d{1,15})")
"""An id that this backend gives to facts: `f` and a number."""


def list_ids(kind: CopyKind) -> Operation[list[str]]:
    """Return the ids of a kind."""
    (rows,) = yield [Statement(_IDS[kind])]
    return Done([each for (each,) in rows])


def export_session(session: str, after: int, limit: int) -> Operation[SessionCopy | None]:
    """Return a session with some of its messages."""
    head, rows = yield [Statement(_EXPORT, (session,)), Statement(_RANGE, (session, after, limit))]
    if not head:
        return Done(None)
    user, version, made, changed, title, agent, data, total = head[0]
    wanted = min(limit, max(0, total - after))
    messages = decode_messages(session, rows, after + 1, wanted)
    copy = SessionCopy(session, user, version, made, changed, title, agent, data, total, after + 1, messages)
    return Done(copy)


def import_session(copy: SessionCopy, bodies: Sequence[bytes]) -> Operation[None]:
    """Add messages to a session, and store its fields as they are."""
    check_names(copy.id, copy.user)
    (rows,) = yield [lock_session(copy.id)]
    _, total, user, _ = rows[0] if rows else (0, 0, copy.user, "")
    if user != copy.user:
        raise foreign_session(copy.id, user, copy.user)
    if total != copy.first - 1 or (rows and copy.first == 1 and not copy.messages):
        raise copied_beside(copy, total)
    title = session_title(copy.title)
    fields = copy.version, float(copy.created_at), float(copy.updated_at), copy.data, total + len(bodies)
    named = *fields, copy.agent, title, title.casefold()
    head = Statement(_UPDATE, (copy.id, *named)) if rows else Statement(_INSERT, (copy.id, copy.user, *named))
    return Done(None, [attrs.evolve(head, writes=True), *add_bodies(copy.id, bodies, total)])


def import_facts(user: str, facts: Sequence[Fact]) -> Operation[int]:
    """Store facts, the last changed first, and return how many were new."""
    if not facts:
        return Done(0)
    steps, known = yield [
        Statement('SELECT steps FROM fact_users WHERE "user" = $1 FOR UPDATE', (user,), lock=f"facts {user}"),
        Statement('SELECT id, sameness FROM facts WHERE "user" = $1', (user,)),
    ]
    ids, digests = {row[0] for row in known}, {row[1] for row in known}
    new: list[Fact] = []
    for fact in facts:
        digest = digest_fact(fact.text)
        if fact.id not in ids and digest not in digests:
            new.append(attrs.evolve(fact, user=user))
            ids.add(fact.id)
            digests.add(digest)
    if not new:
        return Done(0)
    # The numbers of steps go on after the ids, so that no later fact gets one of them.
    given = [int(found[1]) for fact in new if (found := _OWN_ID.fullmatch(fact.id)) is not None]
    first = max([steps[0][0] if steps else 0, *given]) + 1
    count = Statement(
        'INSERT INTO fact_users VALUES ($1, $2) ON CONFLICT ("user") DO UPDATE SET steps = excluded.steps',
        (user, first + len(new)),
        writes=True,
    )
    return Done(len(new), [count, *(insert_fact(fact, step) for step, fact in enumerate(reversed(new), first))])


def import_run(copy: RunCopy, now: float) -> Operation[bool]:
    """Store a run as it is, in place of an older copy."""
    record = attrs.evolve(
        new_record(copy.record, now, len(copy.entries)), updated_at=copy.record.updated_at or copy.record.created_at
    )
    run = record.id
    approvals = [attrs.evolve(each, run=run) for each in copy.approvals]
    _, found, *known = yield [
        lock_run(run),
        Statement("SELECT updated_at FROM runs WHERE id = $1", (run,)),
        *(lock_approval(each.id) for each in approvals),
    ]
    if found and found[0][0] >= record.updated_at:
        return Done(False)
    select_new(run, approvals, known, now)  # refuses another run's approval
    tables = ("runs WHERE id", "entries WHERE run", "events WHERE run")
    return Done(
        True,
        [
            *(Statement(f"DELETE FROM {table} = $1", (run,), writes=True) for table in tables),
            *insert_run(record, copy.entries),
            *insert_approvals(approvals),
            *(insert_signal(attrs.evolve(each, run=run)) for each in copy.signals),
            *insert_events(run, copy.events, 1, record.owner or ""),
        ],
    )


def find_size() -> Operation[StoreSize]:
    """Count the rows and bytes of each table."""
    *found, whole = yield [*(Statement(f"SELECT {query}") for query in _PARTS.values()), Statement(_WHOLE)]
    parts = [PartSize(name, *row) for name, (row,) in zip(_PARTS, found, strict=True)]
    return Done(StoreSize(parts, whole[0][0]))


def prune_sessions(older_than: float | None, keep: int | None, now: float, *, dry_run: bool) -> Operation[list[str]]:
    """Forget old sessions, and return their ids."""
    conditions: list[str] = []
    values: list[Any] = []
    if older_than is not None:
        values.append(now - older_than)
        conditions.append(f"updated_at <= ${len(values)}")
    if keep is not None:
        values.append(keep)
        kept = f"SELECT id FROM sessions ORDER BY updated_at DESC, id DESC LIMIT ${len(values)}"
        conditions.append(f"id NOT IN ({kept})")
    if not conditions:
        return Done([])
    query = (
        f"SELECT id FROM sessions WHERE ({' OR '.join(conditions)})"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE session = sessions.id AND status = 'running')"
        # In the words of an index, see `runs`.
        " AND NOT EXISTS"
        " (SELECT 1 FROM runs WHERE session = sessions.id AND status = 'paused' AND status <> 'running')"
    )
    (rows,) = yield [Statement(query if dry_run else f"{query} FOR UPDATE", values)]
    found = [session for (session,) in rows]
    if dry_run or not found:
        return Done(found)
    tables = ("sessions WHERE id", "messages WHERE session", "session_words WHERE session")
    return Done(found, [Statement(f"DELETE FROM {table} = ANY($1)", (found,), writes=True) for table in tables])
