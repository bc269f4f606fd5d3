"""Facts about users in PostgreSQL: each function is one operation."""

from __future__ import annotations

import hashlib

import attrs
import msgspec

from agno_rt.facts import MAX_FACTS, duplicate_fact, fact_key, ranked, too_many_facts, unknown_fact
from agno_rt.memory import Fact
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.rows import Listed, read_rows
from agno_rt_postgres.statements import Done, Operation, Row, Statement

__all__ = ["correct_fact", "digest_fact", "forget_facts", "insert_fact", "list_facts", "remember_fact"]

_FACT = 'SELECT id, "user", text, created_at, updated_at, session, topics FROM facts WHERE "user" = $1'
_STEP = (
    'INSERT INTO fact_users VALUES ($1, 1) ON CONFLICT ("user") DO UPDATE SET steps = fact_users.steps + 1'
    " RETURNING steps"
)
"""Counts a change of the user's facts, and locks them: the source of ids, and of an order without a clock."""
_INSERT = (
    'INSERT INTO facts ("user", id, step, sameness, text, topics, session, created_at, updated_at)'
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
_UPDATE = 'UPDATE facts SET step = $3, sameness = $4, text = $5, updated_at = $6 WHERE "user" = $1 AND id = $2'


def remember_fact(new: Fact) -> Operation[Fact]:
    """Store the fact under a new id, or return the stored fact of the same meaning."""
    key = digest_fact(new.text)
    # The lock comes first: what is read after it does not change until the end.
    ((((step,)),), same, (((count,)),)) = yield [
        Statement(_STEP, (new.user,), writes=True, lock=f"facts {new.user}"),
        Statement(f"{_FACT} AND sameness = $2", (new.user, key)),
        Statement('SELECT count(*) FROM facts WHERE "user" = $1', (new.user,)),
    ]
    if same:
        return Done(_decode_fact(same[0]))
    if count >= MAX_FACTS:
        raise too_many_facts(new.user)
    kept = attrs.evolve(new, id=f"f{step}")
    return Done(kept, [insert_fact(kept, step)])


def insert_fact(fact: Fact, step: int) -> Statement:
    """Return the statement that stores a new fact."""
    topics, times = msgspec.json.encode(fact.topics), (float(fact.created_at), float(fact.updated_at))
    values = fact.user, fact.id, step, digest_fact(fact.text), fact.text, topics, fact.session, *times
    return Statement(_INSERT, values, writes=True)


def list_facts(user: str, query: str | None, limit: int) -> Operation[Listed[Fact]]:
    """List the user's facts, newest first, or the facts that fit the query."""
    # A query ranks all facts; the limit applies after the ranking.
    (rows,) = yield [Statement(f"{_FACT} ORDER BY step DESC LIMIT $2", (user, limit if query is None else None))]
    found, damaged = read_rows(rows, _decode_fact)
    return Done((found if query is None else ranked(found, query, limit), damaged))


def correct_fact(user: str, id: str, text: str, now: float) -> Operation[Fact]:
    """Replace the text of the fact."""
    key = digest_fact(text)
    _, known, same = yield [
        _lock_facts(user),
        Statement(_FACT, (user,)),
        Statement('SELECT id FROM facts WHERE "user" = $1 AND sameness = $2', (user, key)),
    ]
    fact = next((row for row in known if row[0] == id), None)
    if fact is None:
        raise unknown_fact(id, [row[0] for row in known])
    if same and same[0][0] != id:
        raise duplicate_fact(id, same[0][0])
    (((step,),),) = yield [Statement(_STEP, (user,), writes=True)]
    changed = attrs.evolve(_decode_fact(fact), text=text, updated_at=now)
    return Done(changed, [Statement(_UPDATE, (user, id, step, key, text, now), writes=True)])


def forget_facts(user: str, id: str | None) -> Operation[int]:
    """Delete the fact, or all facts of the user; return how many."""
    if id is None:
        _, gone = yield [
            _lock_facts(user),
            Statement('DELETE FROM facts WHERE "user" = $1 RETURNING id', (user,), writes=True),
        ]
        # After the last fact, not even the name of the user stays in the database.
        return Done(len(gone), [Statement('DELETE FROM fact_users WHERE "user" = $1', (user,), writes=True)])
    _, known = yield [_lock_facts(user), Statement('SELECT id FROM facts WHERE "user" = $1', (user,))]
    if (id,) not in known:
        raise unknown_fact(id, [row[0] for row in known])
    return Done(1, [Statement('DELETE FROM facts WHERE "user" = $1 AND id = $2', (user, id), writes=True)])


def _lock_facts(user: str) -> Statement:
    query = 'SELECT steps FROM fact_users WHERE "user" = $1 FOR UPDATE'
    return Statement(query, (user,), lock=f"facts {user}")


def digest_fact(text: str) -> bytes:
    """Return what equal facts share, short enough for an index whatever the text is."""
    return hashlib.blake2b(fact_key(text).encode(), digest_size=16).digest()


def _decode_fact(row: Row) -> Fact:
    fact_id, user, text, created_at, updated_at, session, topics = row
    try:
        kept = msgspec.json.decode(topics, type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Damaged(f"fact {fact_id!r} of user {user!r}", exc) from exc
    return Fact(fact_id, user, text, created_at, updated_at, session, kept)
