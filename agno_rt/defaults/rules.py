"""The rules for stored runs and approvals that both backends enforce, and their errors. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from agno_rt.errors import SessionConflict
from agno_rt.names import check_name
from agno_rt.run_store import (
    Approval,
    ApprovalConflict,
    Decision,
    Entry,
    Renewal,
    RunConflict,
    RunRecord,
    RunStatus,
    SignalsWaiting,
)

if TYPE_CHECKING:
    from agno_rt.upkeep import SessionCopy  # few programs copy a memory

__all__ = [
    "OVER",
    "apply_decision",
    "approval_of_another",
    "archive_record",
    "as_read",
    "check_claim",
    "check_decided",
    "check_logged",
    "check_names",
    "check_order",
    "check_owner",
    "check_signalled",
    "check_signals",
    "copied_beside",
    "count_takeovers",
    "moved_on",
    "new_record",
    "place_of",
    "renewed_record",
    "run_taken",
    "select_forgotten",
    "skip_logged",
    "withdraw",
]

OVER: frozenset[RunStatus] = frozenset(("completed", "failed", "cancelled", "limited"))
"""The statuses of finished runs: nobody goes on with one without being told to."""


_values_of = operator.attrgetter(*(field.name for field in attrs.fields(RunRecord)))


def moved_on(session: str, stored: int, version: int) -> SessionConflict:
    """Make the error for a session that has changed since it was read."""
    return SessionConflict(
        f"session {session!r} is at version {stored}, not {version}", hint="Load it again, and retry."
    )


def copied_beside(copy: SessionCopy, total: int) -> SessionConflict:
    """Make the error for messages that do not follow those of the session that is stored."""
    hint = "Somebody else wrote to the session; nothing was stored."
    return SessionConflict(f"session {copy.id!r} has {total:,} messages, not {copy.first - 1:,}", hint=hint)


def run_taken(run: str) -> RunConflict:
    """Make the error for a run id that is taken."""
    return RunConflict(f"a run {run!r} exists already", hint="Give each run an id of its own.")


def approval_of_another(approval: Approval, run: str) -> RunConflict:
    """Make the error for an approval id that another run has taken."""
    hint = "Give each approval an id of its own."
    return RunConflict(f"approval {approval.id!r} of run {run!r} exists already, in run {approval.run!r}", hint=hint)


def check_names(session: str | None, user: str | None) -> None:
    """Raise `UsageError` for names under which nothing new may be stored."""
    if session is not None:
        check_name("a session's name", session)
    if user is not None:
        check_name("a user's name", user)


def new_record(run: RunRecord, now: float, entries: int = 0) -> RunRecord:
    """Return the record of a new run, with times where it has none. Raises `UsageError` for a name in the record."""
    check_name.__wrapped__("a run's id", run.id)  # a new name each time, which would push others out of the cache
    if run.agent:
        check_name("an agent's name", run.agent)
    check_names(run.session, run.user)
    if run.request is not None:
        check_name.__wrapped__("a request's id", run.request)
    # Not by `attrs.evolve`, which takes longer than the rest of a short run.
    made = RunRecord(*_values_of(run))
    made.entries, made.created_at = entries, run.created_at or now
    made.updated_at = run.updated_at or max(made.created_at, now)
    return made


def place_of(record: RunRecord) -> tuple[float, str]:
    """Return the place of a run in a list: the later the time, the further ahead; the id orders runs of one time."""
    return record.updated_at, record.id


def check_owner(run: str, owned_by: str | None, owner: str) -> None:
    """Raise `RunConflict` unless `owner` owns the run."""
    if owned_by != owner:
        who = "nobody" if owned_by is None else repr(owned_by)
        hint = "Only its owner can go on with the run; nothing was stored."
        raise RunConflict(f"run {run!r} is owned by {who}, not by {owner!r}", hint=hint)


def check_order(run: str, stored: int, entries: Sequence[Entry]) -> None:
    """Raise `RunConflict` unless the entries follow the `stored` entries without a gap."""
    for at, entry in enumerate(entries, stored):
        if entry.seq != at:
            hint = "Somebody else wrote to its journal, or a step was left out; nothing was stored."
            raise RunConflict(f"the next entry of run {run!r} is {at}, not {entry.seq}", hint=hint)


def check_logged(run: str, owned_by: str | None, logged_by: str | None, owner: str) -> None:
    """Raise `RunConflict` unless `owner` may log events: it owns the run, or nobody does and it logged last."""
    if owned_by != owner and not (owned_by is None and logged_by == owner):
        check_owner(run, owned_by, owner)


def skip_logged(run: str, stored: int, logged_by: str | None, first: int, owner: str) -> int:
    """Return how many of the events from number `first` on are stored already. Raises `RunConflict` for a gap."""
    known = stored + 1 - first
    if first < 1 or known < 0 or (known > 0 and logged_by != owner):
        hint = "Somebody else wrote to its log, or an event was left out; nothing was stored."
        raise RunConflict(f"the next event of run {run!r} is {stored + 1}, not {first}", hint=hint)
    return known


def check_signals(run: str, stored: int, seen: int | None) -> None:
    """Raise `SignalsWaiting` if the run has not seen all of its signals."""
    if seen is not None and seen < stored:
        raise SignalsWaiting(f"run {run!r} has seen {seen} of {stored} signals", hint="Go on with the run.")


def check_decided(run: str, known: Iterable[Approval], now: float) -> None:
    """Raise `SignalsWaiting` for an approval without need to wait: decided or expired."""
    for approval in known:
        if (found := as_read(approval, now).status) != "pending":
            raise SignalsWaiting(f"approval {approval.id!r} of run {run!r} is {found}", hint="Go on with the run.")


def withdraw(approval: Approval, now: float) -> Approval:
    """Return a pending approval as expired, and any other approval unchanged."""
    return attrs.evolve(approval, expires_at=now) if as_read(approval, now).status == "pending" else approval


def archive_record(record: RunRecord, renewal: Renewal, entries: int, now: float) -> RunRecord:
    """Return the record of the run that keeps the journal before a renewal. Raises `UsageError` for its id."""
    check_name("a run's id", renewal.archive)
    return attrs.evolve(
        record,
        id=renewal.archive,
        status="completed",
        owner=None,
        cancel_requested=False,
        entries=entries,
        updated_at=now,
        continued_by=record.id,
    )


def renewed_record(record: RunRecord, renewal: Renewal, now: float) -> RunRecord:
    """Return the record of a run with its new journal."""
    return attrs.evolve(record, entries=1, input=renewal.input, updated_at=now, continues=renewal.archive, takeovers=0)


def select_forgotten(
    runs: Mapping[str, tuple[RunStatus, str | None, float]], oldest: float | None, keep: int | None
) -> list[str]:
    """Return the ids of the runs to forget: runs changed before `oldest`, and all but the first `keep`.

    `runs` has the status, the run around, and the time of the last change by id, the last changed first. Only
    outermost runs are counted and returned. A tree with an unfinished run stays.
    """
    tops: dict[str, str] = {}

    def find_top(run: str) -> str:
        path = []
        while run not in tops:
            path.append(run)
            around = runs[run][1]
            if around is None or around not in runs or around in path:
                break
            run = around
        top = tops.get(run, run)
        tops.update(dict.fromkeys(path, top))
        return top

    alive = {find_top(run) for run, (status, _, _) in runs.items() if status not in OVER}
    over = [run for run in runs if find_top(run) == run and run not in alive]
    return [
        run
        for at, run in enumerate(over)
        if (keep is not None and at >= keep) or (oldest is not None and runs[run][2] <= oldest)
    ]


def check_signalled(run: str, status: RunStatus, name: str) -> None:
    """Raise `RunConflict` for a signal to a completed run, and `UsageError` for a name that cannot be a name."""
    check_name("a signal's name", name)
    if status == "completed":
        raise RunConflict(f"run {run!r} is completed, and takes no signal", hint="Start a new run.")


def check_claim(run: str, status: RunStatus, owned_by: str | None, held_by: str | None) -> None:
    """Raise `RunConflict` for a completed run, and for a run that `held_by` does not own any more."""
    if status == "completed":
        raise RunConflict(f"run {run!r} is completed", hint="Fork it to go on from one of its steps.")
    if owned_by != held_by:
        now, then = ("nobody" if who is None else repr(who) for who in (owned_by, held_by))
        raise RunConflict(f"run {run!r} is owned by {now}, not by {then}", hint="Somebody else took the run over.")


def count_takeovers(record: RunRecord) -> int:
    """Return the number of takeovers of a run after a claim; a run that its owner has let go begins anew."""
    return 0 if record.owner is None else record.takeovers + 1


def as_read(approval: Approval, now: float) -> Approval:
    """Return the approval as of now: `expired` if it has waited for too long."""
    late = approval.status == "pending" and approval.expires_at is not None and now >= approval.expires_at
    return attrs.evolve(approval, status="expired") if late else approval


def apply_decision(approval: Approval, decision: Decision, now: float) -> Approval:
    """Return the approval with the decision. Raises `ApprovalConflict` for a decided or expired approval."""
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
