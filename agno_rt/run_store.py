"""What is stored of a run so that it survives its process: its record, its journal, what waits for a person.

A memory backend that is also a `RunStore` keeps them. Knows nothing of how a run runs; what the entries of a journal
say is `_journal`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import BackendError, NotFound, UsageError
from agno_rt.messages import Message, ToolCall

__all__ = [
    "Appending",
    "Approval",
    "ApprovalConflict",
    "ApprovalKind",
    "ApprovalStatus",
    "Decision",
    "Entry",
    "EntryKind",
    "Resume",
    "RunChange",
    "RunConflict",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "unknown_approval",
    "unknown_run",
]

RunStatus: TypeAlias = Literal["running", "paused", "completed", "failed", "cancelled", "limited"]
EntryKind: TypeAlias = Literal["begun", "answered", "checked", "started", "called", "paused", "ended"]
ApprovalKind: TypeAlias = Literal["approval", "input", "external"]
ApprovalStatus: TypeAlias = Literal["pending", "approved", "denied", "answered", "expired"]


class RunConflict(BackendError):
    """Somebody else carries out the run, or it is over: nothing of what was asked was done."""

    code = "run_conflict"
    http_status = 409


class ApprovalConflict(UsageError):
    """The approval was decided already, or has expired: nothing was changed."""

    code = "approval_conflict"
    http_status = 409


@attrs.frozen
class RunRecord:
    """A run as it is stored, and as lists show it.

    `owner` names the process that carries it out; nobody does where it is `None`. `entries` is how many its journal
    has. `parent` is the run that it is within, `origin` the one that it was forked from. `input` is the text that it
    was asked, `content` its answer; `error` and `code` say why there is none. Times are seconds since the epoch.
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


@attrs.frozen
class Entry:
    """One step of a run's journal: `seq` counts from 0 without gaps, `body` is bytes that mean nothing to a backend."""

    seq: int
    kind: EntryKind
    body: bytes = b""


@attrs.frozen
class Approval:
    """Something that a paused run waits for, and what came of it.

    Attributes:
        id: its id
        run: the run that waits
        call: the tool call that it is about; its arguments as the model wrote them
        kind: `approval`: whether the call may be made; `input`: what only the user knows; `external`: the result of
            the call, from whoever carries it out
        agent: the agent's name
        session: the run's session
        user: whom the run is for; `Runtime.approve` and its like let nobody else decide, where they are told who does
        schema: for `input`, the JSON Schema of what is wanted
        status: `pending` until it is decided, once
        arguments: the arguments in place of the model's, where whoever approved changed them; for `input` and
            `external`, what was given, as JSON
        reason: why it is asked for; once it is denied, why
        by: who decided, where that was said
        created_at: seconds since the epoch
        expires_at: when it can be decided no longer; `None` for never
        decided_at: when it was decided
        turn: the turn that the call is of
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
    """What is decided of an approval; the fields are those of `Approval`."""

    status: Literal["approved", "denied", "answered"]
    arguments: str | None = None
    reason: str = ""
    by: str | None = None


@attrs.frozen
class Appending:
    """What the end of a run adds to its session, as `MemoryBackend.append` takes it."""

    session: str
    messages: Sequence[Message]
    version: int
    user: str | None = None
    data: bytes | None = None
    agent: str = ""


@attrs.frozen
class RunChange:
    """How a run that its owner lets go of stands: paused, or over. All of it is stored in one step, or nothing."""

    status: RunStatus
    content: str = ""
    error: str | None = None
    code: str | None = None
    entries: Sequence[Entry] = ()
    approvals: Sequence[Approval] = ()
    append: Appending | None = None


@attrs.frozen
class Resume:
    """In the place of a run's input: go on with a stored run. `Runtime.resume` is short for it.

    Attributes:
        run_id: the run
        force: take it over although it seems to be under way elsewhere
    """

    run_id: str
    force: bool = False


def unknown_run(run: str) -> NotFound:
    """The error for a run that is not stored; and for another user's, so that its id is not told to be one."""
    return NotFound("run", run, (), hint="Nothing is stored of it: look at the list of runs.")


def unknown_approval(approval: str) -> NotFound:
    """The error for an approval that is not stored; and for another user's."""
    return NotFound("approval", approval, (), hint="Nothing is stored of it: look at the list of approvals.")


@runtime_checkable
class RunStore(Protocol):
    """What a memory backend also implements that stores runs. Each method is atomic, and durable when it returns.

    What holds for the methods of a `MemoryBackend` holds for these. A run that nobody knows is `NotFound` everywhere.
    Lists are by user where one is named; all else is asked for by an id, and whoever asks for a user compares.
    """

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Store a new run with the beginning of its journal.

        Raises `RunConflict` where the id is taken, and what `check_name` raises for its names.
        """
        ...

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Add entries to the journal. Raises `RunConflict` unless `owner` owns the run, and for a gap in `seq`."""
        ...

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Let go of the run: its status, last entries and approvals, and what it adds to its session, in one step.

        Returns the session's new version, if something was appended. Raises `RunConflict` unless `owner` owns the run,
        and what `MemoryBackend.append` raises; then nothing is stored.
        """
        ...

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Make `owner` the owner, if `held_by` is it now, set the status to `running`, and return the record.

        Of two who claim at once, one wins; the other meets `RunConflict`, as does who claims a run that is completed.
        """
        ...

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """The record and the whole journal."""
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
        """List the runs changed last, newest first; of one status, session or user where that is named.

        With `unowned`, and no user, those that belong to nobody.
        """
        ...

    async def cancel_run(self, run: str) -> bool:
        """Ask whoever owns the run to cancel it; one that nobody owns is cancelled at once. Whether it was not over."""
        ...

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """Those of the runs whose cancellation was asked for; one that nobody knows is none of them."""
        ...

    async def delete_run(self, run: str) -> bool:
        """Forget the run, its journal and its approvals; whether there was one."""
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
        """List what waits for a person, or did, oldest first: of one run, status or user of its run where one is named.

        With `unowned`, and no user, those of runs that belong to nobody. One whose time is over reads as `expired`.
        """
        ...

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """Decide an approval, once, and return it. Raises `NotFound`, and `ApprovalConflict` for one that is decided or
        expired.
        """
        ...
