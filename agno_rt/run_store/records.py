"""The values of a stored run: record, journal, signals and approvals, and the errors of stores.

`_decide.journal` defines the contents of a journal's entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

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
    "LeaseLost",
    "Renewal",
    "Resume",
    "RunChange",
    "RunConflict",
    "RunRecord",
    "RunSetAside",
    "RunStatus",
    "Signal",
    "SignalsWaiting",
    "unknown_approval",
    "unknown_run",
]

RunStatus: TypeAlias = Literal["running", "paused", "completed", "failed", "cancelled", "limited"]
EntryKind: TypeAlias = Literal[
    "begun",
    "answered",
    "checked",
    "reviewed",
    "started",
    "called",
    "paused",
    "received",
    "ended",
    "step_begun",
    "step_ended",
]
ApprovalKind: TypeAlias = Literal["approval", "input", "external"]
ASK = "ask"
"""The name of the call in an approval that is a workflow's question."""

MOST_APPROVALS = 10_000
"""The most approvals to read of a run."""

ApprovalStatus: TypeAlias = Literal["pending", "approved", "denied", "answered", "expired"]


class RunConflict(BackendError):
    """The run has another owner, or is over. Nothing was changed."""

    code = "run_conflict"
    http_status = 409


class LeaseLost(RunConflict):
    """The runtime could not renew the lease in time, and gave the run up. Another runtime may go on with the run."""

    code = "lease_lost"


class RunSetAside(RunConflict):
    """The processes of the run have died again and again, so the run has failed. You can resume the run."""

    code = "run_set_aside"


class SignalsWaiting(RunConflict):
    """The run cannot pause or end: the run has not seen a signal or a decision. Nothing was changed."""


class ApprovalConflict(UsageError):
    """The approval was decided already, or has expired. Nothing was changed."""

    code = "approval_conflict"
    http_status = 409


@attrs.define
class RunRecord:
    """A run as stored and as shown in lists. Read-only by convention: each stored run makes one.

    `owner` names the process at work on the run, or is `None`. `entries` is the length of the journal. `parent`
    is the run around this run, `origin` the run before a fork. `input` is the text of the question,
    `content` the answer; `error` and `code` explain a missing answer. `wakes_at` is the time for a paused run to go
    on by itself. A workflow that went on with a new journal `continues` the run that keeps the journal before, which is
    `continued_by` the workflow's run. `takeovers` counts how often in a row an owner took the run over from another one
    that had not let go. `request` is the id of the request in which the run began, see `REQUEST`. Times are seconds
    since the epoch.
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
    takeovers: int = 0
    request: str | None = None


@attrs.define
class Entry:
    """A step of a run's journal. `seq` counts from 0 without gaps; `body` is bytes without a meaning for a backend.

    Read-only by convention, as `RunRecord`.
    """

    seq: int
    kind: EntryKind
    body: bytes = b""


@attrs.frozen
class Approval:
    """A decision for a waiting run, and the outcome.

    Attributes:
        id: the approval's id
        run: the waiting run
        call: the tool call in question, with the arguments as the model wrote them
        kind: `approval`: may the call be made; `input`: values from the user; `external`: the result of the
            call, from a person or program
        agent: the agent's name
        session: the run's session
        user: the run's user; `Runtime.approve` and the like refuse any other user, if given
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
        definition: a digest of the tool's definition, for standing approvals; empty for a call that needs a person
            each time
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
    definition: str = ""


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


@attrs.define
class RunChange:
    """The state of a run when the owner lets go: paused, or over. A store saves all parts in one step, or nothing.

    `signals` is the number of signals seen by the run, if the run cannot go without: a run pauses with the number when
    waiting for signals, and ends with the number if messages may come. `wakes_at` is the time for a paused run to go on
    by itself. `waits_for` has the ids of the stored approvals in question, `withdrawn` the ids of approvals without
    anybody waiting any more: withdrawn approvals expire if pending.
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
    """The end of a run's journal and the beginning of the next journal, for `FlowStore.renew_run`.

    Attributes:
        archive: the id of the run for the journal before
        last: the last entry of the journal before
        first: the first entry of the next journal, number 0
        input: the text of the next journal's input
        taken: the numbers of the signals taken by the run
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
    """A value to pass as a run's input, to continue a stored run. `Runtime.resume` does the same.

    Attributes:
        run_id: the run
        force: take over the run even if another process seems to carry it out
    """

    run_id: str
    force: bool = False


def unknown_run(run: str) -> NotFound:
    """Return the error for an unknown run; also for another user's run, to keep the id's existence secret."""
    return NotFound("run", run, (), hint="Look for its id in the list of runs.")


def unknown_approval(approval: str) -> NotFound:
    """Return the error for an unknown approval; also for another user's approval."""
    return NotFound("approval", approval, (), hint="Look for its id in the list of approvals.")
