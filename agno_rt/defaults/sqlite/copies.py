"""Copies into and out of the file of `SQLiteMemory`, sizes, and old sessions: each function is one operation."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Sequence

import attrs
import msgspec

from agno_rt.defaults.rules import check_names, copied_beside, new_record
from agno_rt.defaults.sqlite import approvals as _approvals
from agno_rt.defaults.sqlite import events as _events
from agno_rt.defaults.sqlite import runs as _runs
from agno_rt.defaults.sqlite import sessions as _sessions
from agno_rt.facts import fact_key
from agno_rt.memory import Fact, foreign_session, session_title
from agno_rt.upkeep import CopyKind, PartSize, RunCopy, SessionCopy, StoreSize

__all__ = ["export_session", "find_size", "import_facts", "import_run", "import_session", "list_ids", "prune_sessions"]

_IDS = {
    "sessions": "SELECT id FROM sessions ORDER BY updated_at, id",
    "facts": "SELECT DISTINCT user FROM facts",
    "runs": "SELECT id FROM runs ORDER BY updated_at, id",
}

_PARTS = {
    "sessions": "count(*), sum(length(data)), min(created_at), max(updated_at) FROM sessions",
    "messages": "count(*), sum(length(body)), NULL, NULL FROM messages",
    "runs": "count(*), sum(length(input) + length(content)), min(created_at), max(updated_at) FROM runs",
    "entries": "count(*), sum(length(body)), NULL, NULL FROM entries",
    "approvals": "count(*), sum(length(body)), NULL, NULL FROM approvals",
    "signals": "count(*), sum(length(value)), min(sent_at), max(sent_at) FROM signals",
    "events": "coalesce(sum(count), 0), sum(length(body)), NULL, NULL FROM events",
    "facts": "count(*), sum(length(text)), min(created_at), max(updated_at) FROM facts",
    "grants": "count(*), sum(length(body)), min(created_at), max(created_at) FROM grants",
    "cache": "count(*), sum(length(value)), NULL, NULL FROM cache",
}

_OWN_ID = re.compile(r"f(\d{1,15})")
"""An id of a fact from this backend: `f` and a number."""


def list_ids(connection: sqlite3.Connection, kind: CopyKind) -> list[str]:
    """Return the ids of a kind."""
    return [each for (each,) in connection.execute(_IDS[kind])]


def export_session(connection: sqlite3.Connection, session: str, after: int, limit: int) -> SessionCopy | None:
    """Return a session with some messages."""
    info = _sessions.read_session_info(connection, session)
    if info is None:
        return None
    version, data = connection.execute("SELECT version, data FROM sessions WHERE id = ?", (session,)).fetchone()
    messages = _sessions.read_range(connection, session, after, min(limit, max(0, info.messages - after)))
    times = info.created_at, info.updated_at
    return SessionCopy(
        session, info.user, version, *times, info.title, info.agent, data, info.messages, after + 1, messages
    )


def import_session(connection: sqlite3.Connection, copy: SessionCopy, bodies: Sequence[bytes]) -> None:
    """Add messages to a session, and store the fields unchanged."""
    check_names(copy.id, copy.user)
    found = connection.execute("SELECT user, total FROM sessions WHERE id = ?", (copy.id,)).fetchone()
    user, total = found or (copy.user, 0)
    if user != copy.user:
        raise foreign_session(copy.id, user, copy.user)
    if total != copy.first - 1 or (found is not None and copy.first == 1 and not copy.messages):
        raise copied_beside(copy, total)
    title = session_title(copy.title) or None
    fields = copy.version, copy.created_at, copy.updated_at, copy.data, zlib.crc32(copy.data), total + len(bodies)
    if found is None:
        connection.execute(
            "INSERT INTO sessions (id, user, version, created_at, updated_at, data, mark, seal, total, agent, title)"
            " VALUES (?, ?, ?, ?, ?, ?, random(), ?, ?, ?, ?)",
            (copy.id, copy.user, *fields, copy.agent, title),
        )
    else:
        connection.execute(
            "UPDATE sessions SET version = ?, created_at = ?, updated_at = ?, data = ?, seal = ?, total = ?,"
            " agent = ?, title = ? WHERE id = ?",
            (*fields, copy.agent, title, copy.id),
        )
    _sessions.add_messages(connection, copy.id, bodies, total)


def import_facts(connection: sqlite3.Connection, user: str, facts: Sequence[Fact]) -> int:
    """Store facts, the last changed first, and return how many were new."""
    new = []
    for fact in facts:
        key = fact_key(fact.text)
        known = "SELECT 1 FROM facts WHERE user = ? AND (id = ? OR sameness = ?)"
        if connection.execute(known, (user, fact.id, key)).fetchone() is None:
            new.append((fact, key))
    if not new:
        return 0
    # The numbers of steps go on after the ids, so that later facts get other ids.
    ids = [int(found[1]) for fact, _ in new if (found := _OWN_ID.fullmatch(fact.id)) is not None]
    row = connection.execute("SELECT steps FROM fact_users WHERE user = ?", (user,)).fetchone()
    first = max([0 if row is None else row[0], *ids]) + 1
    connection.execute(
        "INSERT INTO fact_users VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET steps = excluded.steps",
        (user, first + len(new)),
    )
    rows = [
        (user, fact.id, step, key, fact.text, msgspec.json.encode(fact.topics), fact.session, *times)
        for step, (fact, key) in enumerate(reversed(new), first)
        for times in [(fact.created_at, fact.updated_at)]
    ]
    connection.executemany(
        "INSERT INTO facts (user, id, step, sameness, text, topics, session, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return len(new)


def import_run(connection: sqlite3.Connection, copy: RunCopy, now: float) -> bool:
    """Store a run unchanged, in place of an older copy."""
    record = attrs.evolve(
        new_record(copy.record, now, len(copy.entries)), updated_at=copy.record.updated_at or copy.record.created_at
    )
    found = connection.execute("SELECT updated_at FROM runs WHERE id = ?", (record.id,)).fetchone()
    if found is not None and found[0] >= record.updated_at:
        return False
    approvals = [attrs.evolve(each, run=record.id) for each in copy.approvals]
    _approvals.select_new(connection, record.id, approvals, now)  # refuses another run's before anything is deleted
    connection.execute("DELETE FROM runs WHERE id = ?", (record.id,))
    _runs.add_run(connection, record, copy.entries)
    _approvals.add_approvals(connection, approvals)
    signals = [(record.id, each.seq, each.name, each.value, each.sent_at) for each in copy.signals]
    connection.executemany("INSERT INTO signals (run, seq, name, value, sent_at) VALUES (?, ?, ?, ?, ?)", signals)
    _events.add_events(connection, record.id, copy.events, 1, record.owner or "")
    return True


def find_size(connection: sqlite3.Connection) -> StoreSize:
    """Count the rows and bytes of each table."""
    parts = []
    for name, query in _PARTS.items():
        count, size, oldest, newest = connection.execute(f"SELECT {query}").fetchone()
        parts.append(PartSize(name, count, size or 0, oldest, newest))
    (pages,), (page,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return StoreSize(parts, pages * page)


def prune_sessions(
    connection: sqlite3.Connection, older_than: float | None, keep: int | None, now: float, *, dry_run: bool
) -> list[str]:
    """Forget old sessions, and return the ids."""
    conditions, values = [], []
    if older_than is not None:
        conditions.append("updated_at <= ?")
        values.append(now - older_than)
    if keep is not None:
        conditions.append("id NOT IN (SELECT id FROM sessions ORDER BY updated_at DESC, id DESC LIMIT ?)")
        values.append(keep)
    if not conditions:
        return []
    query = (
        f"SELECT id FROM sessions WHERE ({' OR '.join(conditions)})"
        " AND id NOT IN (SELECT session FROM runs WHERE status = 'running' AND session IS NOT NULL)"
        # In the words of an index, see `runs`.
        " AND id NOT IN"
        " (SELECT session FROM runs WHERE status = 'paused' AND status <> 'running' AND session IS NOT NULL)"
    )
    found = [session for (session,) in connection.execute(query, values)]
    if not dry_run:
        connection.executemany("DELETE FROM sessions WHERE id = ?", [(session,) for session in found])
    return found
