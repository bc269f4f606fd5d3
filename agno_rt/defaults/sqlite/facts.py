"""Facts about users in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.defaults.sqlite.rows import Listed, read_rows
from agno_rt.facts import MAX_FACTS, duplicate_fact, fact_key, ranked, too_many_facts, unknown_fact
from agno_rt.memory import Fact

__all__ = ["correct_fact", "forget_facts", "list_facts", "remember_fact"]

_FACT = "SELECT id, user, text, created_at, updated_at, session, topics FROM facts WHERE user = ?"


def remember_fact(connection: sqlite3.Connection, new: Fact) -> Fact:
    """Store the fact under a new id, or return the stored fact of the same meaning."""
    key = fact_key(new.text)
    row = connection.execute(f"{_FACT} AND sameness = ?", (new.user, key)).fetchone()
    if row is not None:
        return _decode_fact(row)
    (count,) = connection.execute("SELECT count(*) FROM facts WHERE user = ?", (new.user,)).fetchone()
    if count >= MAX_FACTS:
        raise too_many_facts(new.user)
    step = _next_step(connection, new.user)
    kept, topics = attrs.evolve(new, id=f"f{step}"), msgspec.json.encode(new.topics)
    connection.execute(
        "INSERT INTO facts (user, id, step, sameness, text, topics, session, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (kept.user, kept.id, step, key, kept.text, topics, kept.session, kept.created_at, kept.updated_at),
    )
    return kept


def list_facts(connection: sqlite3.Connection, user: str, query: str | None, limit: int) -> Listed[Fact]:
    """List the user's facts, newest first, or the facts that fit the query."""
    newest_first = f"{_FACT} ORDER BY step DESC LIMIT ?"
    # A query ranks all facts, without a limit (-1); the limit applies after the ranking.
    asked = (user, limit if query is None else -1)
    found, damaged = read_rows(lambda: connection.execute(newest_first, asked), _decode_fact, "facts", (0, 1, 2, 5))
    return found if query is None else ranked(found, query, limit), damaged


def correct_fact(connection: sqlite3.Connection, user: str, id: str, text: str, now: float) -> Fact:
    """Replace the text of the fact."""
    row = connection.execute(f"{_FACT} AND id = ?", (user, id)).fetchone()
    if row is None:
        raise unknown_fact(id, _list_ids(connection, user))
    key = fact_key(text)
    same = connection.execute("SELECT id FROM facts WHERE user = ? AND sameness = ?", (user, key)).fetchone()
    if same is not None and same[0] != id:
        raise duplicate_fact(id, same[0])
    connection.execute(
        "UPDATE facts SET step = ?, sameness = ?, text = ?, updated_at = ? WHERE user = ? AND id = ?",
        (_next_step(connection, user), key, text, now, user, id),
    )
    return attrs.evolve(_decode_fact(row), text=text, updated_at=now)


def forget_facts(connection: sqlite3.Connection, user: str, id: str | None) -> int:
    """Delete the fact, or all facts of the user; return how many."""
    if id is None:
        forgotten = connection.execute("DELETE FROM facts WHERE user = ?", (user,)).rowcount
        # After the last fact, not even the name of the user stays in the file.
        connection.execute("DELETE FROM fact_users WHERE user = ?", (user,))
        return forgotten
    if not connection.execute("DELETE FROM facts WHERE user = ? AND id = ?", (user, id)).rowcount:
        raise unknown_fact(id, _list_ids(connection, user))
    return 1


def _next_step(connection: sqlite3.Connection, user: str) -> int:
    """Count a change of the user's facts: the source of ids, and of an order that does not depend on a clock."""
    connection.execute(
        "INSERT INTO fact_users VALUES (?, 1) ON CONFLICT (user) DO UPDATE SET steps = steps + 1", (user,)
    )
    (steps,) = connection.execute("SELECT steps FROM fact_users WHERE user = ?", (user,)).fetchone()
    return int(steps)


def _list_ids(connection: sqlite3.Connection, user: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT id FROM facts WHERE user = ?", (user,))]


def _decode_fact(row: tuple[Any, ...]) -> Fact:
    fact_id, user, text, created_at, updated_at, session, topics = row
    try:
        kept = msgspec.json.decode(topics, type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        raise Damaged("facts", f"fact {fact_id!r} of user {user!r}", exc) from exc
    return Fact(fact_id, user, text, created_at, updated_at, session, kept)
