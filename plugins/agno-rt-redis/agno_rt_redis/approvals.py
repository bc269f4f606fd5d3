"""Approvals in Redis: a part of `RedisMemory`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from agno_rt.defaults.rules import apply_decision, approval_of_another, as_read
from agno_rt.run_store import Approval, ApprovalStatus, Decision, RunConflict, unknown_approval
from agno_rt_redis.store import Damaged, Store, load_script, read_text

__all__ = ["RUNS", "RedisApprovals", "encode_approvals", "read_approval", "refuse_approval"]

RUNS = load_script("sessions", "approvals", "runs", "flows", "sharing")
"""The script for runs and everything that changes in one step with them."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Approval).decode
_decode_decision = msgspec.json.Decoder(tuple[str | None, str, str | None]).decode


def encode_approvals(approvals: Iterable[Approval]) -> list[dict[str, Any]]:
    """Return approvals in the form of the scripts."""
    return [_encode_approval(each) for each in approvals]


def _encode_approval(approval: Approval) -> dict[str, Any]:
    found = {"id": approval.id, "status": approval.status, "body": _encode(approval)}
    if approval.created_at:
        found["created"] = repr(approval.created_at)
    if approval.expires_at is not None:
        found["expires"] = repr(approval.expires_at)
    if approval.decided_at is not None:
        found["decided"] = repr(approval.decided_at)
        found["decision"] = _encode((approval.arguments, approval.reason, approval.by))
    return found


def read_approval(row: list[Any]) -> Approval:
    """Return the approval of a row. Raises `Damaged`."""
    name, run, status, body, created, expires, decided, decision = row
    what = f"approval {name.decode(errors='backslashreplace')!r}"
    try:
        made = attrs.evolve(
            _decode(body),
            run=read_text(run, what) or "",
            status=msgspec.convert(read_text(status, what), ApprovalStatus),
            created_at=float(created),
            expires_at=None if expires is None else float(expires),
        )
        if decided is None:
            return made
        arguments, reason, by = _decode_decision(decision)
        return attrs.evolve(made, decided_at=float(decided), arguments=arguments, reason=reason, by=by)
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError) as exc:
        raise Damaged(f"{what} cannot be read: {exc}") from exc


def refuse_approval(row: list[Any], run: str) -> RunConflict:
    """Return the error for an approval whose id another run has taken."""
    return approval_of_another(read_approval(row), run)


class RedisApprovals(Store):
    """The approvals of a `RunStore`."""

    async def approvals(
        self,
        *,
        run: str | None = None,
        status: ApprovalStatus | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[Approval]:
        """See `RunStore.approvals`."""
        asked = {"run": run, "status": status, "user": user, "unowned": unowned and user is None}
        found: list[Approval] = []
        start: bytes | None = b"-inf"
        while start is not None and len(found) < limit:
            answer = await self._read(RUNS, "approvals", **asked, limit=limit - len(found), **{"from": start})
            now, start, rows = float(answer[1]), answer[2], answer[3]
            if run is None:
                found += [as_read(each, now) for each in self._read_all(rows, read_approval)]
                continue
            try:  # a run must not go on without a decision
                found += [as_read(read_approval(row), now) for row in rows]
            except Damaged as exc:
                raise self._explain_damage(exc) from exc
        return found

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """See `RunStore.decide`."""
        body = _encode((decision.arguments, decision.reason, decision.by))
        answer = await self._write(RUNS, "decide", id=approval, status=decision.status, decision=body)
        if answer[0] == b"unknown":
            raise unknown_approval(approval)
        try:
            known = read_approval(answer[1])
        except Damaged as exc:
            raise self._explain_damage(exc) from exc
        return known if answer[0] == b"ok" else apply_decision(known, decision, float(answer[2]))
