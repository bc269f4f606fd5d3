"""The rules for stored runs and approvals that both backends keep, and what they say to who breaks one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from agno_rt.errors import SessionConflict
from agno_rt.names import check_name
from agno_rt.run_store import Approval, ApprovalConflict, Decision, Entry, RunConflict, RunRecord, RunStatus

__all__ = [
    "OVER",
    "approval_of_another",
    "as_read",
    "check_claim",
    "check_names",
    "check_order",
    "check_owner",
    "decided",
    "moved_on",
    "new_record",
    "run_taken",
]

OVER: frozenset[RunStatus] = frozenset(("completed", "failed", "cancelled", "limited"))
"""How a run stands that nobody is to go on with unless he is told to."""


def moved_on(session: str, stored: int, version: int) -> SessionConflict:
    """The session is not at the version that was read."""
    return SessionConflict(
        f"session {session!r} is at version {stored}, not {version}", hint="Load it again, and retry."
    )


def run_taken(run: str) -> RunConflict:
    """The id is another run's."""
    return RunConflict(f"there is a run {run!r} already", hint="Give each run an id of its own.")


def approval_of_another(approval: Approval, run: str) -> RunConflict:
    """The id is that of what another run waits for."""
    hint = "Give each approval an id of its own."
    return RunConflict(f"approval {approval.id!r} of run {approval.run!r} is there already, of run {run!r}", hint=hint)


def check_names(session: str | None, user: str | None) -> None:
    """Raise `UsageError` for a name under which nothing new is stored."""
    if session is not None:
        check_name("a session's name", session)
    if user is not None:
        check_name("a user's name", user)


def new_record(run: RunRecord, now: float) -> RunRecord:
    """The record of a run that is made now, unless it says when it was. Raises `UsageError` for a name in it."""
    check_name("a run's id", run.id)
    if run.agent:
        check_name("an agent's name", run.agent)
    check_names(run.session, run.user)
    made = run.created_at or now
    return attrs.evolve(run, entries=0, created_at=made, updated_at=run.updated_at or max(made, now))


def check_owner(run: str, owned_by: str | None, owner: str) -> None:
    """Raise `RunConflict` unless `owner` owns the run."""
    if owned_by != owner:
        who = "nobody" if owned_by is None else repr(owned_by)
        hint = "Whoever owns it goes on with it; nothing of this was stored."
        raise RunConflict(f"run {run!r} is owned by {who}, not by {owner!r}", hint=hint)


def check_order(run: str, stored: int, entries: Sequence[Entry]) -> None:
    """Raise `RunConflict` unless the entries follow on those `stored`, without a gap."""
    for at, entry in enumerate(entries, stored):
        if entry.seq != at:
            hint = "Somebody else wrote to its journal, or a step was left out; nothing of this was stored."
            raise RunConflict(f"the next entry of run {run!r} is {at}, not {entry.seq}", hint=hint)


def check_claim(run: str, status: RunStatus, owned_by: str | None, held_by: str | None) -> None:
    """Raise `RunConflict` for a run that is completed, or is not held by whom it is to be taken from."""
    if status == "completed":
        raise RunConflict(f"run {run!r} is completed", hint="Fork it to go on from one of its steps.")
    if owned_by != held_by:
        now, then = ("nobody" if who is None else repr(who) for who in (owned_by, held_by))
        raise RunConflict(f"run {run!r} is owned by {now}, not by {then}", hint="Somebody else took it over.")


def as_read(approval: Approval, now: float) -> Approval:
    """The approval as it reads now: `expired` where it waited for too long."""
    late = approval.status == "pending" and approval.expires_at is not None and now >= approval.expires_at
    return attrs.evolve(approval, status="expired") if late else approval


def decided(approval: Approval, decision: Decision, now: float) -> Approval:
    """The approval with the decision in it. Raises `ApprovalConflict` for one that is decided or expired."""
    approval = as_read(approval, now)
    what = f"approval {approval.id!r} of {approval.call.name} in run {approval.run!r}"
    if approval.status == "expired":
        raise ApprovalConflict(f"{what} has expired", hint="Resume the run: the model is told that nobody decided.")
    if approval.status != "pending":
        by = "" if approval.by is None else f" by {approval.by}"
        raise ApprovalConflict(
            f"{what} is {approval.status} already{by}", hint="An approval can be decided once. Load the list again."
        )
    return attrs.evolve(
        approval,
        status=decision.status,
        arguments=decision.arguments,
        reason=decision.reason,
        by=decision.by,
        decided_at=now,
    )
