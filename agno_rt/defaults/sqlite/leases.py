"""Leases in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from agno_rt.defaults.sqlite.rows import Listed
from agno_rt.defaults.sqlite.runs import read_records
from agno_rt.run_store import RunRecord

__all__ = ["find_leased", "find_lost", "release_lease", "renew_lease"]

KEPT_SECONDS = 3600.0
"""The time to keep an ended lease, so that an owner after a long stop finds the lease ended."""


def renew_lease(connection: sqlite3.Connection, owner: str, seconds: float, now: float) -> bool:
    """Take a lease or make it longer; return False for an ended lease."""
    query = (
        "INSERT INTO leases VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at"
        " WHERE expires_at > ?"
    )
    return connection.execute(query, (owner, now + seconds, now)).rowcount > 0


def release_lease(connection: sqlite3.Connection, owner: str, now: float) -> None:
    """End a lease, and forget leases that ended long ago."""
    connection.execute("DELETE FROM leases WHERE expires_at <= ?", (now - KEPT_SECONDS,))
    connection.execute("UPDATE leases SET expires_at = min(expires_at, ?) WHERE owner = ?", (now, owner))


def find_leased(connection: sqlite3.Connection, owners: Sequence[str], now: float) -> set[str]:
    """Return the owners with a lease."""
    asked = msgspec.json.encode(list(owners)).decode()
    query = "SELECT owner FROM leases WHERE expires_at > ? AND owner IN (SELECT value FROM json_each(?))"
    return {owner for (owner,) in connection.execute(query, (now, asked))}


def find_lost(connection: sqlite3.Connection, agents: Sequence[str], now: float, limit: int) -> Listed[RunRecord]:
    """List the running runs of the agents without a lease of the owner."""
    where = (
        "status = 'running' AND owner IS NOT NULL AND agent IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.owner = runs.owner AND expires_at > ?)"
        " AND NOT EXISTS (SELECT 1 FROM runs AS around WHERE around.id = runs.parent"
        " AND around.status IN ('running', 'paused'))"
        " ORDER BY updated_at, id LIMIT ?"
    )
    return read_records(connection, where, (msgspec.json.encode(list(agents)).decode(), now, limit))
