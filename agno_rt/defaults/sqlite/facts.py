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

__all__ = ["correct", "facts", "forget", "remember"]

_FACT = "SELECT id, user, text, created_at, updated_at, session, topics FROM facts WHERE user = ?"


def remember(connection: sqlite3.Connection, new: Fact) -> Fact:
    """Keep the fact, whose id is made here, unless one that says the same is there."""
    key = fact_key(new.text)
    row = connection.execute(f"{_FACT} AND sameness = ?", (new.user, key)).fetchone()
    if row is not None:
        return _fact(row)
    (count,) = connection.execute("SELECT count(*) FROM facts WHERE user = ?", (new.user,)).fetchone()
    if count >= MAX_FACTS:
        raise too_many_facts(new.user)
    step = _step(connection, new.user)
    kept, topics = attrs.evolve(new, id=f"f{step}"), msgspec.json.encode(new.topics)
    connection.execute(
        "INSERT INTO facts (user, id, step, sameness, text, topics, session, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (kept.user, kept.id, step, key, kept.text, topics, kept.session, kept.created_at, kept.updated_at),
    )
    return kept


def facts(connection: sqlite3.Connection, user: str, query: str | None, limit: int) -> Listed[Fact]:
    """The user's facts, newest first, or those that fit the query."""
    newest_first = f"{_FACT} ORDER BY step DESC LIMIT ?"
    asked = (user, limit if query is None else -1)
    found, damaged = read_rows(lambda: connection.execute(newest_first, asked), _fact, "facts", (0, 1, 2, 5))
    return found if query is None else ranked(found, query, limit), damaged


def correct(connection: sqlite3.Connection, user: str, id: str, text: str, now: float) -> Fact:
    """Put the text in place of the fact's."""
    row = connection.execute(f"{_FACT} AND id = ?", (user, id)).fetchone()
    if row is None:
        raise unknown_fact(id, _ids(connection, user))
    key = fact_key(text)
    same = connection.execute("SELECT id FROM facts WHERE user = ? AND sameness = ?", (user, key)).fetchone()
    if same is not None and same[0] != id:
        raise duplicate_fact(id, same[0])
    connection.execute(
        "UPDATE facts SET step = ?, sameness = ?, text = ?, updated_at = ? WHERE user = ? AND id = ?",
        (_step(connection, user), key, text, now, user, id),
    )
    return attrs.evolve(_fact(row), text=text, updated_at=now)


def forget(connection: sqlite3.Connection, user: str, id: str | None) -> int:
    """Forget the fact, or all that there is of the user."""
    if id is None:
        forgotten = connection.execute("DELETE FROM facts WHERE user = ?", (user,)).rowcount
        connection.execute("DELETE FROM fact_users WHERE user = ?", (user,))
        return forgotten
    if not connection.execute("DELETE FROM facts WHERE user = ? AND id = ?", (user, id)).rowcount:
        raise unknown_fact(id, _ids(connection, user))
    return 1


def _step(connection: sqlite3.Connection, user: str) -> int:
    """Counts what happens to a user's facts: the source of ids, and of their order, which no clock disturbs."""
    connection.execute(
        "INSERT INTO fact_users VALUES (?, 1) ON CONFLICT (user) DO UPDATE SET steps = steps + 1", (user,)
    )
    (steps,) = connection.execute("SELECT steps FROM fact_users WHERE user = ?", (user,)).fetchone()
    return int(steps)


def _ids(connection: sqlite3.Connection, user: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT id FROM facts WHERE user = ?", (user,))]


def _fact(row: tuple[Any, ...]) -> Fact:
    fact_id, user, text, created_at, updated_at, session, topics = row
    try:
        kept = msgspec.json.decode(topics, type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        raise Damaged("facts", f"fact {fact_id!r} of user {user!r}", exc) from exc
    return Fact(fact_id, user, text, created_at, updated_at, session, kept)
