"""Standing approvals in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.defaults.sqlite.rows import Listed, read_rows
from agno_rt.run_store import MOST_GRANTS, Grant, too_many_grants

__all__ = ["WantedGrants", "add_grant", "list_grants", "revoke_grant"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Grant).decode


@attrs.frozen
class WantedGrants:
    """The filters of a list of grants; None for all."""

    user: str | None
    unowned: bool
    tool: str | None
    limit: int


def add_grant(connection: sqlite3.Connection, grant: Grant, now: float) -> None:
    """Store a new grant, and forget the ended ones."""
    connection.execute("DELETE FROM grants WHERE expires_at <= ?", (now,))
    query = "SELECT count(*) FROM grants WHERE tool = ? AND user IS ?"
    (count,) = connection.execute(query, (grant.tool, grant.user)).fetchone()
    if count >= MOST_GRANTS:
        raise too_many_grants(grant)
    row = grant.id, grant.tool, grant.user, grant.created_at, grant.expires_at, _encode(grant)
    connection.execute("INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?)", row)


def list_grants(connection: sqlite3.Connection, wanted: WantedGrants, now: float) -> Listed[Grant]:
    """List grants, newest first."""
    terms: list[str] = ["(expires_at IS NULL OR expires_at > ?)"]
    asked: list[Any] = [now]
    if wanted.tool is not None:
        terms.append("tool = ?")
        asked.append(wanted.tool)
    if wanted.user is not None or wanted.unowned:
        terms.append("user IS ?")
        asked.append(wanted.user)
    query = f"SELECT id, body FROM grants WHERE {' AND '.join(terms)} ORDER BY created_at DESC, id DESC LIMIT ?"
    return read_rows(lambda: connection.execute(query, (*asked, wanted.limit)), _decode_grant, "grants", (0,))


def revoke_grant(connection: sqlite3.Connection, grant: str) -> bool:
    """Forget a grant; return whether there was such a grant."""
    return connection.execute("DELETE FROM grants WHERE id = ?", (grant,)).rowcount > 0


def _decode_grant(row: tuple[Any, ...]) -> Grant:
    grant, body = row
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        raise Damaged("grants", f"standing approval {grant!r}", exc) from exc
