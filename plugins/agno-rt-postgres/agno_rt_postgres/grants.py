"""Standing approvals in PostgreSQL: each function is one operation."""

from __future__ import annotations

from typing import Any

import msgspec

from agno_rt.run_store import MOST_GRANTS, Grant, too_many_grants
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.rows import Listed, read_rows
from agno_rt_postgres.statements import Done, Operation, Row, Statement

__all__ = ["add_grant", "list_grants", "revoke_grant"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Grant).decode


def add_grant(grant: Grant, now: float) -> Operation[None]:
    """Store a new grant, and forget the user's ended ones of the tool."""
    of = 'tool = $1 AND "user" IS NOT DISTINCT FROM $2'
    forget = Statement(
        f"DELETE FROM grants WHERE {of} AND expires_at <= $3", (grant.tool, grant.user, now), writes=True
    )
    _, (((count,)),) = yield [forget, Statement(f"SELECT count(*) FROM grants WHERE {of}", (grant.tool, grant.user))]
    if count >= MOST_GRANTS:
        raise too_many_grants(grant)
    ends = None if grant.expires_at is None else float(grant.expires_at)
    row = grant.id, grant.tool, grant.user, float(grant.created_at), ends, _encode(grant)
    insert = 'INSERT INTO grants (id, tool, "user", created_at, expires_at, body) VALUES ($1, $2, $3, $4, $5, $6)'
    return Done(None, [Statement(insert, row, writes=True)])


def list_grants(user: str | None, unowned: bool, tool: str | None, limit: int, now: float) -> Operation[Listed[Grant]]:
    """List grants, newest first."""
    terms, values = ["(expires_at IS NULL OR expires_at > $1)"], list[Any]([now])
    if tool is not None:
        values.append(tool)
        terms.append(f"tool = ${len(values)}")
    if user is not None or unowned:
        values.append(user)
        terms.append(f'"user" IS NOT DISTINCT FROM ${len(values)}')
    values.append(limit)
    where = " AND ".join(terms)
    query = f"SELECT id, body FROM grants WHERE {where} ORDER BY created_at DESC, id DESC LIMIT ${len(values)}"
    (rows,) = yield [Statement(query, values)]
    return Done(read_rows(rows, _decode_grant))


def revoke_grant(grant: str) -> Operation[bool]:
    """Forget a grant; return whether there was such a grant."""
    (gone,) = yield [Statement("DELETE FROM grants WHERE id = $1 RETURNING id", (grant,), writes=True)]
    return Done(bool(gone))


def _decode_grant(row: Row) -> Grant:
    grant, body = row
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Damaged(f"standing approval {grant!r}", exc) from exc
