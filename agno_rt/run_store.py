"""A run as stored to outlive its process: its record, its journal, and its approvals. Knows nothing of how a run runs.

A memory backend that is also a `RunStore` keeps these values. `_decide.journal` defines the contents of a journal's
entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import BackendError, NotFound, UsageError
from agno_rt.messages import Message, ToolCall

__all__ = [
    "ASK",
    "MOST_APPROVALS",
    "Appending",
    "Approval",
    "ApprovalConflict",
    "ApprovalKind",
    "ApprovalStatus",
    "Decision",
    "Entry",
    "EntryKind",
    "FlowStore",
    "Renewal",
    "Resume",
    "RunChange",
    "RunConflict",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "Signal",
    "SignalStore",
    "SignalsWaiting",
    "unknown_approval",
    "unknown_run",
]

RunStatus: TypeAlias = Literal["running", "paused", "completed", "failed", "cancelled", "limited"]
EntryKind: TypeAlias = Literal[
    "begun", "answered", "checked", "started", "called", "paused", "received", "ended", "step_begun", "step_ended"
]
ApprovalKind: TypeAlias = Literal["approval", "input", "external"]
ASK = "ask"
"""The name of the call in an approval that is a workflow's question."""

MOST_APPROVALS = 10_000
"""The most approvals of one run that are read."""

ApprovalStatus: TypeAlias = Literal["pending", "approved", "denied", "answered", "expired"]


class RunConflict(BackendError):
    """The run has another owner, or is over. Nothing was changed."""

    code = "run_conflict"
    http_status = 409


class SignalsWaiting(RunConflict):
    """The run cannot pause or end: a signal or a decision came that the run has not seen. Nothing was changed."""


class ApprovalConflict(UsageError):
    """The approval was decided already, or has expired. Nothing was changed."""

    code = "approval_conflict"
    http_status = 409


@attrs.frozen
class RunRecord:
    """A run as stored and as shown in lists.

    `owner` names the process that carries out the run, or is `None`. `entries` is the length of the journal. `parent`
    is the run around this run, `origin` the run that this run was forked from. `input` is the text of the question,
    `content` the answer; `error` and `code` explain a missing answer. `wakes_at` is the time at which a paused run goes
    on by itself. A workflow that went on with a new journal `continues` the run that keeps the journal before, which is
    `continued_by` the workflow's run. Times are seconds since the epoch.
    """

    id: str
    agent: str
    status: RunStatus = "running"
    session: str | None = None
    user: str | None = None
    parent: str | None = None
    origin: str | None = None
    input: str = ""
    content: str = ""
    error: str | None = None
    code: str | None = None
    owner: str | None = None
    cancel_requested: bool = False
    entries: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    wakes_at: float | None = None
    continues: str | None = None
    continued_by: str | None = None


@attrs.frozen
class Entry:
    """A step of a run's journal. `seq` counts from 0 without gaps; `body` is bytes without a meaning for a backend."""

    seq: int
    kind: EntryKind
    body: bytes = b""


@attrs.frozen
class Approval:
    """A decision that a paused run waits for, and its outcome.

    Attributes:
        id: the approval's id
        run: the run that waits
        call: the tool call in question, with the arguments as the model wrote them
        kind: `approval`: may the call be made; `input`: values that only the user knows; `external`: the result of the
            call, from the person or program that carries it out
        agent: the agent's name
        session: the run's session
        user: the run's user; `Runtime.approve` and the like refuse any other user, if told who decides
        schema: for `input`, the JSON Schema of the values
        status: `pending` until decided, once
        arguments: the arguments in place of the model's, if the person changed them; for `input` and `external`, the
            values given, as JSON
        reason: the reason for asking; after a denial, the reason for the denial
        by: the person who decided, if known
        created_at: seconds since the epoch
        expires_at: the time after which no decision is possible; `None` for never
        decided_at: the time of the decision
        turn: the turn of the call
    """

    id: str
    run: str
    call: ToolCall
    kind: ApprovalKind = "approval"
    agent: str = ""
    session: str | None = None
    user: str | None = None
    schema: Mapping[str, Any] | None = None
    status: ApprovalStatus = "pending"
    arguments: str | None = None
    reason: str = ""
    by: str | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    decided_at: float | None = None
    turn: int = 0


@attrs.frozen
class Decision:
    """A decision on an approval; the fields are as in `Approval`."""

    status: Literal["approved", "denied", "answered"]
    arguments: str | None = None
    reason: str = ""
    by: str | None = None


@attrs.frozen
class Appending:
    """An addition to the session at the end of a run, as arguments of `MemoryBackend.append`."""

    session: str
    messages: Sequence[Message]
    version: int
    user: str | None = None
    data: bytes | None = None
    agent: str = ""


@attrs.frozen
class RunChange:
    """The state of a run when its owner lets go: paused, or over. A store saves all of it in one step, or nothing.

    `signals` is the number of the run's signals that the run has seen, if it cannot go without them: a run that waits
    for signals pauses with it, a run that may get messages ends with it. `wakes_at` is the time at
    which a paused run goes on by itself. `waits_for` has the ids of stored approvals that the run waits for,
    `withdrawn` of those that nobody waits for any more: they expire if pending.
    """

    status: RunStatus
    content: str = ""
    error: str | None = None
    code: str | None = None
    entries: Sequence[Entry] = ()
    approvals: Sequence[Approval] = ()
    append: Appending | None = None
    signals: int | None = None
    wakes_at: float | None = None
    waits_for: Sequence[str] = ()
    withdrawn: Sequence[str] = ()


@attrs.frozen
class Renewal:
    """The end of a run's journal and the beginning of its next one, for `FlowStore.renew_run`.

    Attributes:
        archive: the id of the run that keeps the journal before
        last: the last entry of the journal before
        first: the first entry of the next journal, number 0
        input: the text of the next journal's input
        taken: the numbers of the signals that the run has taken
    """

    archive: str
    last: Entry
    first: Entry
    input: str = ""
    taken: Sequence[int] = ()


@attrs.frozen
class Signal:
    """A signal to a run: `seq` counts the run's signals from 1, `value` is JSON, `sent_at` seconds since the epoch."""

    run: str
    seq: int
    name: str
    value: bytes
    sent_at: float


@attrs.frozen
class Resume:
    """A value to pass as a run's input, to continue a stored run. `Runtime.resume` is short for it.

    Attributes:
        run_id: the run
        force: take over the run even if another process seems to carry it out
    """

    run_id: str
    force: bool = False


def unknown_run(run: str) -> NotFound:
    """Return the error for a run that is not stored; also for another user's run, to keep the id's existence secret."""
    return NotFound("run", run, (), hint="Look for its id in the list of runs.")


def unknown_approval(approval: str) -> NotFound:
    """Return the error for an approval that is not stored; also for another user's approval."""
    return NotFound("approval", approval, (), hint="Look for its id in the list of approvals.")


@runtime_checkable
class RunStore(Protocol):
    """The protocol of a memory backend that stores runs. Each method is atomic, and durable on return.

    The rules for the methods of a `MemoryBackend` apply here too. Every method raises `NotFound` for an unknown run.
    Only lists select by user; for anything found by id, the caller compares the user.
    """

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Store a new run with the beginning of its journal.

        Raises `RunConflict` if the id is taken, and the errors of `check_name` for the run's names.
        """
        ...

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Add entries to the journal. Raises `RunConflict` unless `owner` owns the run, and for a gap in `seq`."""
        ...

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Release the run: store its status, last entries, approvals and addition to its session, in one step.

        Returns the session's new version, if messages were appended. Raises `RunConflict` unless `owner` owns the run,
        and the errors of `MemoryBackend.append`; after an error nothing is stored.
        """
        ...

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Make `owner` the owner if `held_by` is the owner now, set the status to `running`, and return the record.

        Of two claims at once, one succeeds; the other raises `RunConflict`. So does a claim on a completed run.
        """
        ...

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """Return the record and the whole journal."""
        ...

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        session: str | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[RunRecord]:
        """List the runs changed last, newest first, of the status, session and user given.

        `unowned` without a user selects the runs that belong to nobody.
        """
        ...

    async def cancel_run(self, run: str) -> bool:
        """Ask the run's owner to cancel it, or cancel a run without an owner; return whether the run was not over."""
        ...

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """Return the ids in `runs` whose cancellation was requested; unknown ids are ignored."""
        ...

    async def delete_run(self, run: str) -> bool:
        """Forget the run, the runs within it, their journals and approvals; return whether the run existed.

        The runs that keep the run's earlier journals are forgotten too.
        """
        ...

    async def approvals(
        self,
        *,
        run: str | None = None,
        status: ApprovalStatus | None = None,
        user: str | None = None,
        unowned: bool = False,
        limit: int = 100,
    ) -> list[Approval]:
        """List approvals, pending and decided, oldest first, of the run, status and run's user given.

        `unowned` without a user selects approvals for runs that belong to nobody. An expired approval has status
        `expired`.
        """
        ...

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """Decide an approval, once, and return it.

        Raises `NotFound` for an unknown approval, and `ApprovalConflict` for an approval that is decided or expired.
        """
        ...


@runtime_checkable
class SignalStore(Protocol):
    """The protocol of a `RunStore` that keeps signals, for `Runtime.signal`, and for `send` and `stop`.

    Its `change_run` raises `SignalsWaiting`, and changes nothing, if `RunChange.signals` is less than the number of the
    run's signals.
    """

    async def send_signal(self, run: str, name: str, value: bytes) -> RunStatus:
        """Store a signal for the run, and return the run's status, in one step.

        Raises `NotFound` for an unknown run, and `RunConflict` for a completed run.
        """
        ...

    async def signals(self, run: str, *, after: int = 0) -> list[Signal]:
        """Return the run's signals with a `seq` above `after`, in order. Raises `NotFound` for an unknown run."""
        ...

    async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the number of signals of each of the runs that has any; unknown ids are ignored."""
        ...


@runtime_checkable
class FlowStore(SignalStore, Protocol):
    """The protocol of a `SignalStore` for workflows that live long.

    Its `change_run` raises `SignalsWaiting`, and changes nothing, for an approval in `RunChange.waits_for` that is not
    pending any more. Its `claim_run` clears `wakes_at`.
    """

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """Store approvals of a run under way, so that people can decide before the run pauses.

        Approvals that are stored already stay as they are. Raises `RunConflict` unless `owner` owns the run, and for
        the id of another run's approval.
        """
        ...

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """Give the run a new journal, in one step. The journal before moves to a new, completed run.

        The new run has the id `renewal.archive`, and takes along the run's approvals, which expire if pending, the runs
        within it, and the signals in `renewal.taken`. The other signals stay, and are numbered from 1 again. Raises
        `RunConflict` unless `owner` owns the run, for an id that is taken, and for a gap in `seq`.
        """
        ...

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """List the paused runs of the agents whose `wakes_at` is at most `before`, the earliest first."""
        ...

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """Forget runs that are over, as `delete_run` does, and return their ids; with `dry_run`, return the ids only.

        Forgotten are runs last changed `older_than` seconds ago or longer, and the least recently changed runs beyond
        the `keep` that changed last. Runs within others are not counted, and go with the runs around them. A run stays
        while it, or a run within it, is running or paused.
        """
        ...
