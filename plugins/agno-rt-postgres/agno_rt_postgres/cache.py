"""Cached answers in PostgreSQL: each function is one operation.

The backend notes which answers were read, and writes the notes with the next answer: a write for each read would cost
more than the read. Notes of other processes are unknown until written, so their last uses may not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from agno_rt_postgres.statements import Done, Operation, Statement

__all__ = ["NOTED", "NewAnswer", "delete_answers", "read_answer", "write_answer"]

NOTED = 10_000
"""The most uses to note until the next write."""

_READ = "SELECT value, expires_at FROM cache WHERE entry = $1"
_USE = (
    "UPDATE cache SET used = nextval('uses') FROM (SELECT cache.entry FROM unnest($1::bytea[]) WITH ORDINALITY"
    " AS asked (entry, at) JOIN cache USING (entry) ORDER BY at) AS found WHERE cache.entry = found.entry"
)
_WRITE = (
    "INSERT INTO cache VALUES ($1, $2, $3, nextval('uses'))"
    " ON CONFLICT (entry) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at, used = excluded.used"
)
_SHRINK = "DELETE FROM cache WHERE entry IN (SELECT entry FROM cache ORDER BY used DESC OFFSET $1)"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('agno_rt cache ' || current_schema(), 0))"
"""One writer at a time: two that delete the same rows in different orders would wait for each other."""


@attrs.frozen
class NewAnswer:
    """A value to keep from `now` until `end`; `asked` are the keys read since the last write."""

    key: str
    value: bytes
    now: float
    end: float | None
    size: int | None
    asked: Sequence[str]


def read_answer(key: str, now: float) -> Operation[bytes | None]:
    """Return the value under the key, unless it has expired."""
    (rows,) = yield [Statement(_READ, (key.encode(),))]
    if not rows or (rows[0][1] is not None and now >= rows[0][1]):
        return Done(None)
    return Done(rows[0][0])


def write_answer(new: NewAnswer) -> Operation[None]:
    """Store the value, delete expired values, and reduce the table to the new value's `size`."""
    statements = [Statement(_LOCK), Statement("DELETE FROM cache WHERE expires_at <= $1", (new.now,), writes=True)]
    if new.asked:
        # The noted reads came before this write, in their order; the new value is the most recently used.
        statements.append(Statement(_USE, ([key.encode() for key in new.asked],), writes=True))
    statements.append(Statement(_WRITE, (new.key.encode(), new.value, new.end), writes=True))
    if new.size is not None:
        statements.append(Statement(_SHRINK, (new.size,), writes=True))
    return Done(None, statements)
    yield  # an operation, although it asks nothing


def delete_answers(key: str | None) -> Operation[int]:
    """Delete the value under the key, or all values; return how many."""
    where, params = ("", ()) if key is None else (" WHERE entry = $1", (key.encode(),))
    delete = f"WITH gone AS (DELETE FROM cache{where} RETURNING 1) SELECT count(*) FROM gone"
    _, (((count,)),) = yield [Statement(_LOCK), Statement(delete, params, writes=True)]
    return Done(count)
