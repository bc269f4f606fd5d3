"""Leases of processes in PostgreSQL, by the clock of the server: each function is one operation."""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt.run_store import RunRecord
from agno_rt_postgres.rows import Listed
from agno_rt_postgres.runs import read_records, select_records
from agno_rt_postgres.statements import Done, Operation, Statement

__all__ = ["find_leased", "find_lost", "release_lease", "renew_lease"]

KEPT_SECONDS = 3600
"""How long an ended lease is kept, so that an owner that was stopped meanwhile finds it ended."""

_NOW = "extract(epoch FROM clock_timestamp())::double precision"
_RENEW = (
    f"INSERT INTO leases VALUES ($1, {_NOW} + $2::double precision)"
    " ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at"
    f" WHERE leases.expires_at > {_NOW} RETURNING owner"
)
_FORGET = (
    "DELETE FROM leases WHERE owner IN"
    # Another process may do the same: two that wait for each other's rows would be a deadlock.
    f" (SELECT owner FROM leases WHERE expires_at <= {_NOW} - {KEPT_SECONDS} FOR UPDATE SKIP LOCKED)"
)
_RELEASE = f"UPDATE leases SET expires_at = least(expires_at, {_NOW}) WHERE owner = $1"
_LOST = (
    "status = 'running' AND owner IS NOT NULL AND agent = ANY($1)"
    f" AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.owner = runs.owner AND expires_at > {_NOW})"
    " AND NOT EXISTS (SELECT 1 FROM runs AS around WHERE around.id = runs.parent"
    " AND around.status IN ('running', 'paused'))"
    ' ORDER BY updated_at, id COLLATE "C" LIMIT $2'
)


def renew_lease(owner: str, seconds: float) -> Operation[bool]:
    """Take a lease or make it longer; return False for a lease that has ended."""
    (rows,) = yield [Statement(_RENEW, (owner, float(seconds)), writes=True, lock=f"lease {owner}")]
    return Done(bool(rows), [Statement(_FORGET, writes=True)])


def release_lease(owner: str) -> Operation[None]:
    """End a lease."""
    yield [Statement(_RELEASE, (owner,), writes=True, lock=f"lease {owner}")]
    return Done(None)


def find_leased(owners: Sequence[str]) -> Operation[set[str]]:
    """Return the owners with a lease."""
    query = f"SELECT owner FROM leases WHERE expires_at > {_NOW} AND owner = ANY($1)"
    (rows,) = yield [Statement(query, (list(owners),))]
    return Done({owner for (owner,) in rows})


def find_lost(agents: Sequence[str], limit: int) -> Operation[Listed[RunRecord]]:
    """List the running runs of the agents whose owner has no lease."""
    (rows,) = yield [select_records(_LOST, (list(agents), limit))]
    return Done(read_records(rows))
