"""The protocols of memory backends for stored runs, without knowledge of how a run runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agno_rt.run_store.records import (
    Approval,
    ApprovalStatus,
    Decision,
    Entry,
    Renewal,
    RunChange,
    RunRecord,
    RunStatus,
    Signal,
)

__all__ = ["FlowStore", "RequestStore", "RunStore", "SignalStore", "WithdrawStore"]


@runtime_checkable
class RunStore(Protocol):
    """The protocol of a memory backend for runs. Each method is atomic, and durable on return.

    The rules for the methods of a `MemoryBackend` apply here too. Every method raises `NotFound` for an unknown run.
    Only lists select by user; for anything found by id, the caller compares the user.
    """

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """Store a new run with the beginning of the journal.

        Raises `RunConflict` if the id is taken, and the errors of `check_name` for the run's names.
        """
        ...

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """Add entries to the journal. Raises `RunConflict` unless `owner` owns the run, and for a gap in `seq`."""
        ...

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """Release the run: store its status, last entries, approvals and addition to the session, in one step.

        Returns the session's new version, if messages were appended. Raises `RunConflict` unless `owner` owns the run,
        and the errors of `MemoryBackend.append`; after an error nothing is stored.
        """
        ...

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """Make `owner` the owner if `held_by` is the owner now, set the status to `running`, and return the record.

        A claim on a run that somebody owns is one takeover more; a claim on a run of nobody sets `takeovers` to 0.
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
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        """List the runs changed last, newest first, of the status, session and user given.

        Runs with the same time are in the descending order of their ids. `unowned` without a user selects the runs of
        nobody. `before` is the `(updated_at, id)` of a run after which the list continues.
        """
        ...

    async def runs_of_request(self, request: str, *, limit: int = 100) -> list[RunRecord]:
        """List the runs that began in the request, in the order of `runs`; none for an unknown request."""
        ...

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """List the runs whose `parent` is one of the runs, oldest first; unknown ids are ignored."""
        ...

    async def cancel_run(self, run: str) -> bool:
        """Ask the run's owner to cancel it, or cancel a run without an owner; return whether the run was not over."""
        ...

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """Return the ids in `runs` whose cancellation was requested; unknown ids are ignored."""
        ...

    async def delete_run(self, run: str) -> bool:
        """Forget the run and the runs within, with journals and approvals; return whether the run existed.

        The runs with the run's earlier journals are forgotten too.
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

        `unowned` without a user selects approvals for runs of nobody. An expired approval has status
        `expired`.
        """
        ...

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """Decide an approval, once, and return the approval.

        Raises `NotFound` for an unknown approval, and `ApprovalConflict` for a decided or expired approval.
        """
        ...


@runtime_checkable
class SignalStore(Protocol):
    """The protocol of a `RunStore` with signals, for `Runtime.signal`, and for `send` and `stop`.

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
        """Return the number of signals of each run with signals; unknown ids are ignored."""
        ...


@runtime_checkable
class FlowStore(SignalStore, Protocol):
    """The protocol of a `SignalStore` for long-lived workflows.

    The `change_run` raises `SignalsWaiting`, and changes nothing, for an approval in `RunChange.waits_for` that is not
    pending any more. Its `claim_run` clears `wakes_at`.
    """

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """Store approvals of a run under way, so that people can decide before the run pauses.

        Stored approvals do not change. Raises `RunConflict` unless `owner` owns the run, and for
        the id of another run's approval.
        """
        ...

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """Give the run a new journal, in one step. The journal before moves to a new, completed run.

        The new run has the id `renewal.archive`, and takes along the run's approvals, which expire if pending, the runs
        within it, and the signals in `renewal.taken`. The other signals stay, and are numbered from 1 again. The run
        itself has no takeovers then. Raises
        `RunConflict` unless `owner` owns the run, for an id that is taken, and for a gap in `seq`.
        """
        ...

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """List the paused runs of the agents whose `wakes_at` is at most `before`, the earliest first."""
        ...

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """Forget finished runs, as `delete_run` does, and return the ids; with `dry_run`, only return the ids.

        Forgotten are runs last changed `older_than` seconds ago or longer, and the least recently changed runs beyond
        the `keep` that changed last. Runs within others are not counted, and go with the runs around them. A run stays
        while it, or a run within it, is running or paused.
        """
        ...


@runtime_checkable
class RequestStore(RunStore, Protocol):
    """The protocol of a `RunStore` with word of requests to runs from other processes: cancellations and signals.

    A runtime looks into any store for requests once a second, and into a `RequestStore` at once.
    """

    async def wait_requests(self, runs: Sequence[str], *, seconds: float) -> None:
        """Wait until there may be a new request to one of the runs, for at most `seconds`.

        May return for no reason. An earlier request need not end the wait.
        """
        ...


@runtime_checkable
class WithdrawStore(Protocol):
    """The protocol of a `FlowStore` that withdraws questions of a run under way; else the run's end withdraws them."""

    async def withdraw_approvals(self, approvals: Sequence[str]) -> None:
        """Let pending approvals expire, for branches that were cancelled. Decided and unknown approvals stay."""
        ...
