"""Approvals in PostgreSQL: each function is one operation, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.rules import apply_decision, approval_of_another, as_read, withdraw
from agno_rt.run_store import Approval, ApprovalStatus, Decision, unknown_approval
from agno_rt_postgres.faults import Damaged
from agno_rt_postgres.rows import Listed, read_rows
from agno_rt_postgres.statements import Done, Operation, Row, Rows, Statement

__all__ = [
    "Wanted",
    "decide_approval",
    "hand_over",
    "insert_approvals",
    "list_approvals",
    "lock_approval",
    "read_known",
    "select_new",
    "withdraw_approvals",
    "withdraw_stored",
]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Approval).decode
_LOCK = "SELECT id, run, body FROM approvals WHERE id = $1 FOR UPDATE"
_INSERT = "INSERT INTO approvals (id, run, status, expires_at, body) VALUES ($1, $2, $3, $4, $5)"
_REWRITE = "UPDATE approvals SET run = $2, expires_at = $3, body = $4 WHERE id = $1"


def lock_approval(approval: str) -> Statement:
    """Return the statement that locks and reads an approval."""
    return Statement(_LOCK, (approval,), lock=f"approval {approval}")


def select_new(run: str, asked: Sequence[Approval], answers: Sequence[Rows], now: float) -> list[Approval]:
    """Return the approvals that are not stored yet, with run and time. Raises `RunConflict` for another run's id.

    `answers` are those to `lock_approval` for each.
    """
    found: dict[str, Approval] = {}
    for approval, rows in zip(asked, answers, strict=True):
        if rows and rows[0][1] != run:
            raise approval_of_another(attrs.evolve(approval, run=rows[0][1]), run)
        if not rows:
            found.setdefault(approval.id, attrs.evolve(approval, run=run, created_at=approval.created_at or now))
    return list(found.values())


def read_known(answers: Sequence[Rows]) -> list[Approval]:
    """Return the approvals of the answers to `lock_approval` that are stored."""
    return [_decode_approval(rows[0]) for rows in answers if rows]


def insert_approvals(asked: Sequence[Approval]) -> list[Statement]:
    """Return the statements that store new approvals."""
    rows = [(each.id, each.run, each.status, _find_end(each), _encode(each)) for each in asked]
    return [Statement(_INSERT, row, writes=True) for row in rows]


def withdraw_approvals(known: Sequence[Approval], now: float) -> list[Statement]:
    """Return the statements that let pending approvals expire."""
    return [_rewrite(withdraw(approval, now)) for approval in known]


def withdraw_stored(approvals: Sequence[str], now: float) -> Operation[None]:
    """Let the stored approvals with the ids expire, if pending."""
    answers = yield [lock_approval(approval) for approval in approvals]
    return Done(None, withdraw_approvals(read_known(answers), now))


def hand_over(rows: Rows, to: str, now: float) -> list[Statement]:
    """Return the statements that give the approvals to another run; pending approvals expire."""
    return [_rewrite(attrs.evolve(withdraw(_decode_approval(row), now), run=to)) for row in rows]


def _find_end(approval: Approval) -> float | None:
    return None if approval.expires_at is None else float(approval.expires_at)


def _rewrite(approval: Approval) -> Statement:
    values = approval.id, approval.run, _find_end(approval), _encode(approval)
    return Statement(_REWRITE, values, writes=True)


@attrs.frozen
class Wanted:
    """The filters of a list of approvals; None for all."""

    run: str | None
    status: ApprovalStatus | None
    user: str | None
    unowned: bool
    limit: int


def list_approvals(wanted: Wanted, now: float) -> Operation[Listed[Approval]]:
    """List approvals, oldest first."""
    terms: list[str] = []
    values: list[Any] = []

    def mark(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    status = wanted.status
    if wanted.run is not None:
        terms.append(f"run = {mark(wanted.run)}")
    if wanted.user is not None:
        terms.append(f'run IN (SELECT id FROM runs WHERE "user" = {mark(wanted.user)})')
    elif wanted.unowned:
        terms.append('run IN (SELECT id FROM runs WHERE "user" IS NULL)')
    if status is not None:
        terms.append(f"status = {mark('pending' if status == 'expired' else status)}")
    # An expired approval is still stored as pending: nobody writes when its time passes.
    if status == "expired":
        terms.append(f"expires_at <= {mark(now)}")
    elif status == "pending":
        terms.append(f"(expires_at IS NULL OR expires_at > {mark(now)})")
    where = f" WHERE {' AND '.join(terms)}" if terms else ""
    query = f"SELECT id, run, body FROM approvals{where} ORDER BY step LIMIT {mark(wanted.limit)}"
    (rows,) = yield [Statement(query, values)]
    return Done(read_rows(rows, lambda row: as_read(_decode_approval(row), now)))


def decide_approval(approval: str, decision: Decision, now: float) -> Operation[Approval]:
    """Store a decision, and return the approval."""
    (rows,) = yield [lock_approval(approval)]
    if not rows:
        raise unknown_approval(approval)
    made = apply_decision(_decode_approval(rows[0]), decision, now)
    update = "UPDATE approvals SET status = $2, body = $3 WHERE id = $1"
    return Done(made, [Statement(update, (approval, made.status, _encode(made)), writes=True)])


def _decode_approval(row: Row) -> Approval:
    approval, run, body = row
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise Damaged(f"approval {approval!r} of run {run!r}", exc) from exc
