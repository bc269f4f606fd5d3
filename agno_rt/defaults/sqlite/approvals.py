"""Approvals in the file of `SQLiteMemory`: each function is one operation, within a batch's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.rules import apply_decision, approval_of_another, as_read, withdraw
from agno_rt.defaults.sqlite.faults import Damaged
from agno_rt.defaults.sqlite.rows import Listed, read_rows
from agno_rt.run_store import Approval, ApprovalStatus, Decision, unknown_approval

__all__ = [
    "Wanted",
    "add_approvals",
    "decide_approval",
    "hand_over",
    "list_approvals",
    "select_known",
    "select_new",
    "withdraw_approvals",
]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Approval).decode


def select_new(connection: sqlite3.Connection, run: str, asked: Sequence[Approval], now: float) -> list[Approval]:
    """Return the approvals that are not stored yet, with run and time. Raises `RunConflict` for another run's id."""
    found = []
    for approval in asked:
        row = connection.execute("SELECT run FROM approvals WHERE id = ?", (approval.id,)).fetchone()
        if row is None:
            found.append(attrs.evolve(approval, run=run, created_at=approval.created_at or now))
        elif row[0] != run:
            raise approval_of_another(attrs.evolve(approval, run=row[0]), run)
    return found


def select_known(connection: sqlite3.Connection, asked: Sequence[str]) -> list[Approval]:
    """Return the stored approvals of the ids; unknown ids are ignored."""
    rows = (connection.execute("SELECT id, run, body FROM approvals WHERE id = ?", (one,)).fetchone() for one in asked)
    return [_decode_approval(row) for row in rows if row is not None]


def add_approvals(connection: sqlite3.Connection, asked: Sequence[Approval]) -> None:
    """Store new approvals."""
    rows = [(each.id, each.run, each.status, each.expires_at, _encode(each)) for each in asked]
    connection.executemany("INSERT INTO approvals (id, run, status, expires_at, body) VALUES (?, ?, ?, ?, ?)", rows)


def withdraw_approvals(connection: sqlite3.Connection, asked: Sequence[str], now: float) -> None:
    """Let pending approvals expire."""
    for approval in select_known(connection, asked):
        _rewrite(connection, withdraw(approval, now))


def hand_over(connection: sqlite3.Connection, run: str, to: str, now: float) -> None:
    """Give the approvals of a run to another run; pending approvals expire."""
    for row in connection.execute("SELECT id, run, body FROM approvals WHERE run = ?", (run,)).fetchall():
        _rewrite(connection, attrs.evolve(withdraw(_decode_approval(row), now), run=to))


def _rewrite(connection: sqlite3.Connection, approval: Approval) -> None:
    values = approval.run, approval.expires_at, _encode(approval), approval.id
    connection.execute("UPDATE approvals SET run = ?, expires_at = ?, body = ? WHERE id = ?", values)


@attrs.frozen
class Wanted:
    """The filters of a list of approvals; None for all."""

    run: str | None
    status: ApprovalStatus | None
    user: str | None
    unowned: bool
    limit: int


def list_approvals(connection: sqlite3.Connection, wanted: Wanted, now: float) -> Listed[Approval]:
    """List approvals, oldest first."""
    terms: list[str] = []
    values: list[Any] = []
    status = wanted.status
    if wanted.run is not None:
        terms.append("run = ?")
        values.append(wanted.run)
    if wanted.user is not None:
        terms.append("run IN (SELECT id FROM runs WHERE user = ?)")
        values.append(wanted.user)
    elif wanted.unowned:
        terms.append("run IN (SELECT id FROM runs WHERE user IS NULL)")
    if status is not None:
        terms.append("status = ?")
        values.append("pending" if status == "expired" else status)
    if status in ("pending", "expired"):
        # An expired approval is still stored as pending: nobody writes when its time passes.
        terms.append("expires_at <= ?" if status == "expired" else "(expires_at IS NULL OR expires_at > ?)")
        values.append(now)
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    query = f"SELECT id, run, body FROM approvals{where} ORDER BY step LIMIT ?"
    return read_rows(
        lambda: connection.execute(query, (*values, wanted.limit)),
        lambda row: as_read(_decode_approval(row), now),
        "approvals",
        (0, 1),
    )


def decide_approval(connection: sqlite3.Connection, approval: str, decision: Decision, now: float) -> Approval:
    """Store a decision, and return the approval."""
    row = connection.execute("SELECT id, run, body FROM approvals WHERE id = ?", (approval,)).fetchone()
    if row is None:
        raise unknown_approval(approval)
    made = apply_decision(_decode_approval(row), decision, now)
    connection.execute("UPDATE approvals SET status = ?, body = ? WHERE id = ?", (made.status, _encode(made), approval))
    return made


def _decode_approval(row: tuple[Any, ...]) -> Approval:
    approval, run, body = row
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError, TypeError) as exc:
        raise Damaged("approvals", f"approval {approval!r} of run {run!r}", exc) from exc
