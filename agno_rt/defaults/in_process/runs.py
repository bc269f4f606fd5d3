"""Runs in this process, gone when it ends: a part of `InProcessMemory`.

No method awaits before its work is done, so each method is atomic.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import attrs
import trio

from agno_rt.defaults.in_process.bounds import MEBIBYTE, MemoryBounds, no_room, warn_of_forgetting
from agno_rt.defaults.rules import (
    OVER,
    apply_decision,
    approval_of_another,
    archive_record,
    as_read,
    check_claim,
    check_decided,
    check_order,
    check_owner,
    check_signalled,
    check_signals,
    count_takeovers,
    new_record,
    place_of,
    renewed_record,
    run_taken,
    select_forgotten,
    withdraw,
)
from agno_rt.messages import Message
from agno_rt.run_store import (
    Approval,
    ApprovalStatus,
    Decision,
    Entry,
    Renewal,
    RunChange,
    RunRecord,
    RunStatus,
    Signal,
    unknown_approval,
    unknown_run,
)

__all__ = ["InProcessRuns", "StoredRun", "count_bytes", "tell_of_run"]


class StoredRun:
    """A run, its journal, its signals and its events; `size` is the bytes of its entries, signals and events.

    `owner` and `status` are the record's. Other changes are applied when somebody reads the record: a copy of the
    record for each step of a workflow would take longer than the rest of the step.
    """

    __slots__ = (
        "_record",
        "changes",
        "entries",
        "events",
        "id",
        "news",
        "owner",
        "signals",
        "size",
        "status",
        "writer",
    )

    changes: dict[str, Any]
    _record: RunRecord

    def __init__(self, record: RunRecord, entries: list[Entry], size: int) -> None:
        self.id = record.id
        self.entries = entries
        self.size = size
        self.signals: list[Signal] = []
        # Few runs log events: `writer` is the owner that did last, and `news` is there while somebody waits.
        self.events: list[bytes] | None = None
        self.writer: str | None = None
        self.news: trio.Event | None = None
        self.record = record

    @property
    def record(self) -> RunRecord:
        """The record as it is now."""
        if self.changes:
            self._record = attrs.evolve(self._record, entries=len(self.entries), **self.changes)
            self.changes = {}
        return self._record

    @record.setter
    def record(self, record: RunRecord) -> None:
        """Replace the record."""
        self._record, self.owner, self.status, self.changes = record, record.owner, record.status, {}


class InProcessRuns:
    """A `RunStore` in dictionaries."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        # The most recently changed are at the end. A plain dict would search for its first key after many removals.
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
        self._run_bytes = 0
        self._run_bounds = bounds
        self._forgets_runs = False
        self._approvals: dict[str, Approval] = {}

    async def append(
        self,
        session: str,
        messages: Sequence[Message],
        *,
        version: int,
        user: str | None = None,
        data: bytes | None = None,
        agent: str = "",
    ) -> int:
        """See `MemoryBackend.append`; implementations must not wait, so that `change_run` stays atomic."""
        raise NotImplementedError

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """See `RunStore.create_run`."""
        if run.id in self._runs:
            raise run_taken(run.id)
        check_order(run.id, 0, entries)
        size = count_bytes(entries)
        self._make_room_for_run(size, runs=1)
        self._runs[run.id] = StoredRun(new_record(run, self._clock(), len(entries)), list(entries), size)
        self._run_bytes += size

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """See `RunStore.write_run`."""
        stored = self._runs.get(run)
        if stored is None or stored.owner != owner:
            stored = self._run_owned_by(run, owner)  # raises
        # In one loop and without further calls: a workflow writes each of its steps.
        at, size = len(stored.entries), 0
        for entry in entries:
            if entry.seq != at:
                check_order(run, len(stored.entries), entries)  # raises
            at += 1
            size += len(entry.body)
        if self._run_bytes + size > self._run_bounds.size or len(self._runs) > self._run_bounds.runs:
            self._make_room_for_run(size)
        stored.entries += entries
        stored.size += size
        self._run_bytes += size
        stored.changes["updated_at"] = self._clock()
        self._runs.move_to_end(run)

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """See `RunStore.change_run`."""
        stored, version = self._run_owned_by(run, owner), None
        check_order(run, len(stored.entries), change.entries)
        check_signals(run, len(stored.signals), change.signals)
        if change.approvals:
            self._select_known(run, change.approvals)
        if change.waits_for:
            waits_for = [self._approvals[each] for each in change.waits_for if each in self._approvals]
            check_decided(run, waits_for, self._clock())
        size = count_bytes(change.entries)
        self._make_room_for_run(size)
        if (more := change.append) is not None:
            version = await self.append(
                more.session, more.messages, version=more.version, user=more.user, data=more.data, agent=more.agent
            )
        # From here on nothing is refused: the append was the last step that may raise.
        if change.approvals:
            self._add_approvals(run, change.approvals)
        if change.withdrawn:
            self._withdraw(change.withdrawn)
        stored.entries += change.entries
        stored.size += size
        self._run_bytes += size
        self._change(
            stored,
            status=change.status,
            content=change.content,
            error=change.error,
            code=change.code,
            owner=None,
            wakes_at=change.wakes_at,
        )
        return version

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """See `RunStore.claim_run`."""
        stored = self._run(run)
        check_claim(run, stored.status, stored.owner, held_by)
        self._change(
            stored,
            status="running",
            owner=owner,
            error=None,
            code=None,
            cancel_requested=False,
            wakes_at=None,
            takeovers=count_takeovers(stored.record),
        )
        return stored.record

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """See `RunStore.load_run`."""
        stored = self._run(run)
        return stored.record, list(stored.entries)

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
        """See `RunStore.runs`."""
        found = [
            record
            for record in (stored.record for stored in self._runs.values())
            if (status is None or record.status == status)
            and (session is None or record.session == session)
            and ((user is None and not unowned) or record.user == user)
            and (before is None or place_of(record) < before)
        ]
        return heapq.nlargest(limit, found, key=place_of)

    async def runs_of_request(self, request: str, *, limit: int = 100) -> list[RunRecord]:
        """See `RunStore.runs_of_request`."""
        found = [stored.record for stored in self._runs.values() if stored.record.request == request]
        return heapq.nlargest(limit, found, key=place_of)

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """See `RunStore.runs_within`."""
        asked = frozenset(parents)
        found = [stored.record for stored in self._runs.values() if stored.record.parent in asked]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    async def cancel_run(self, run: str) -> bool:
        """See `RunStore.cancel_run`."""
        stored = self._run(run)
        if stored.status in OVER:
            return False
        # Nobody is there to cancel a run without an owner, so it is over at once.
        ended: dict[str, Any] = {"status": "cancelled"} if stored.owner is None else {}
        self._change(stored, cancel_requested=True, **ended)
        return True

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """See `RunStore.cancels`."""
        return {run for run in runs if run in self._runs and self._runs[run].record.cancel_requested}

    async def send_signal(self, run: str, name: str, value: bytes) -> RunStatus:
        """See `SignalStore.send_signal`."""
        stored = self._run(run)
        check_signalled(run, stored.status, name)
        self._make_room_for_run(len(value))
        stored.signals.append(Signal(run, len(stored.signals) + 1, name, value, self._clock()))
        stored.size += len(value)
        self._run_bytes += len(value)
        return stored.status

    async def signals(self, run: str, *, after: int = 0) -> list[Signal]:
        """See `SignalStore.signals`."""
        return self._run(run).signals[after:]

    async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
        """See `SignalStore.count_signals`."""
        found = {run: len(self._runs[run].signals) for run in runs if run in self._runs}
        return {run: count for run, count in found.items() if count}

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """See `FlowStore.add_approvals`."""
        self._run_owned_by(run, owner)
        self._select_known(run, approvals)
        self._add_approvals(run, approvals)

    async def withdraw_approvals(self, approvals: Sequence[str]) -> None:
        """See `WithdrawStore.withdraw_approvals`."""
        self._withdraw(approvals)

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """See `FlowStore.renew_run`."""
        stored, now = self._run_owned_by(run, owner), self._clock()
        check_order(run, len(stored.entries), [renewal.last])
        check_order(run, 0, [renewal.first])
        if renewal.archive in self._runs:
            raise run_taken(renewal.archive)
        before = [*stored.entries, renewal.last]
        archive = StoredRun(archive_record(stored.record, renewal, len(before), now), before, 0)
        archive.signals = [each for each in stored.signals if each.seq in renewal.taken]
        left = [each for each in stored.signals if each.seq not in renewal.taken]
        self._make_room_for_run(count_bytes([renewal.last, renewal.first]), runs=1)
        self._withdraw([each.id for each in self._approvals.values() if each.run == run])
        self._hand_over(run, renewal.archive)
        stored.entries = [renewal.first]
        stored.signals = [attrs.evolve(each, seq=seq) for seq, each in enumerate(left, 1)]
        stored.record = renewed_record(stored.record, renewal, now)
        for each in (archive, stored):
            each.size = count_bytes(each.entries) + sum(len(signal.value) for signal in each.signals)
            each.size += sum(map(len, each.events or ()))
            self._runs.pop(each.record.id, None)
            self._runs[each.record.id] = each
        self._run_bytes += count_bytes([renewal.last, renewal.first])

    def _hand_over(self, run: str, archive: str) -> None:
        """Move the approvals of a run and the runs within it to the run that keeps its journal."""
        for approval in [each for each in self._approvals.values() if each.run == run]:
            self._approvals[approval.id] = attrs.evolve(approval, run=archive)
        for other in self._runs.values():
            if other.record.parent == run:
                other.record = attrs.evolve(other.record, parent=archive)
            if other.record.continued_by == run:
                other.record = attrs.evolve(other.record, continued_by=archive)

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """See `FlowStore.find_due`."""
        due = [
            (record.wakes_at, record)
            for record in (stored.record for stored in self._runs.values())
            if record.status == "paused"
            and record.wakes_at is not None
            and record.wakes_at <= before
            and record.agent in agents
        ]
        return [record for _, record in sorted(due, key=lambda each: each[0])[:limit]]

    async def delete_run(self, run: str) -> bool:
        """See `RunStore.delete_run`."""
        if run not in self._runs:
            return False
        self._forget_runs(_list_tree(run, self._list_within()))
        return True

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `FlowStore.prune_runs`."""
        records = sorted((stored.record for stored in self._runs.values()), key=place_of, reverse=True)
        known = {each.id: (each.status, each.parent, each.updated_at) for each in records}
        oldest = None if older_than is None else self._clock() - older_than
        found = select_forgotten(known, oldest, keep)
        if not dry_run:
            within = self._list_within()
            self._forget_runs({each for run in found for each in _list_tree(run, within)})
        return found

    def _list_within(self) -> dict[str, list[str]]:
        """Return the ids of the runs to delete with each run: those within it, and those with its earlier journals."""
        within: dict[str, list[str]] = {}
        for run, stored in self._runs.items():
            around = stored.record.continued_by or stored.record.parent
            if around is not None:
                within.setdefault(around, []).append(run)
        return within

    def _forget_runs(self, runs: Collection[str]) -> None:
        for run in runs:
            forgotten = self._runs.pop(run)
            self._run_bytes -= forgotten.size
            tell_of_run(forgotten)
        for approval in [each for each in self._approvals.values() if each.run in runs]:
            del self._approvals[approval.id]

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
        now, anyone = self._clock(), user is None and not unowned
        found = [
            as_read(each, now)
            for each in self._approvals.values()
            if (run is None or each.run == run) and (anyone or self._runs[each.run].record.user == user)
        ]
        return [each for each in found if status is None or each.status == status][:limit]

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """See `RunStore.decide`."""
        known = self._approvals.get(approval)
        if known is None:
            raise unknown_approval(approval)
        self._approvals[approval] = made = apply_decision(known, decision, self._clock())
        return made

    def _select_known(self, run: str, approvals: Sequence[Approval]) -> list[Approval]:
        """Return those of the approvals that are stored. Raises `RunConflict` for the id of another run's."""
        found = [known for each in approvals if (known := self._approvals.get(each.id)) is not None]
        for known in found:
            if known.run != run:
                raise approval_of_another(known, run)
        return found

    def _add_approvals(self, run: str, approvals: Sequence[Approval]) -> None:
        now = self._clock()
        for approval in approvals:
            made = attrs.evolve(approval, run=run, created_at=approval.created_at or now)
            # An approval that is stored again keeps the decision made in between.
            self._approvals.setdefault(approval.id, made)

    def _withdraw(self, approvals: Sequence[str]) -> None:
        for each in approvals:
            if each in self._approvals:
                self._approvals[each] = withdraw(self._approvals[each], self._clock())

    def _make_room_for_run(self, size: int, *, runs: int = 0) -> None:
        """Forget finished runs until `runs` more runs of `size` bytes fit. Raises `BackendError` if they cannot."""
        bounds = self._run_bounds
        if len(self._runs) + runs <= bounds.runs and self._run_bytes + size <= bounds.size:
            return
        bound = f"{bounds.runs:,} stored runs, {bounds.size // MEBIBYTE:,} MiB of journals"
        while len(self._runs) + runs > bounds.runs or self._run_bytes + size > bounds.size:
            # The least recently changed first: `write_run` and `_change` move each changed run to the end.
            over = next((run for run, stored in self._runs.items() if stored.status in OVER), None)
            if over is None:
                raise no_room("another step of a run", f"{bound}, and none of these is over")
            self._forget_runs([over])
            if not self._forgets_runs:
                self._forgets_runs = True
                warn_of_forgetting("those that are over and were changed longest ago", bound)

    def _run(self, run: str) -> StoredRun:
        stored = self._runs.get(run)
        if stored is None:
            raise unknown_run(run)
        return stored

    def _run_owned_by(self, run: str, owner: str) -> StoredRun:
        stored = self._run(run)
        if stored.owner != owner:
            check_owner(run, stored.owner, owner)
        return stored

    def _change(self, stored: StoredRun, **changes: Any) -> None:
        """Change the record, and move the run to the end of the order of changes."""
        stored.owner, stored.status = changes.get("owner", stored.owner), changes.get("status", stored.status)
        stored.changes.update(changes, updated_at=self._clock())
        self._runs.move_to_end(stored.id)
        if stored.news is not None:
            tell_of_run(stored)


def tell_of_run(stored: StoredRun) -> None:
    """Wake whoever waits for the run's events: it has new ones, or its owner has changed."""
    if stored.news is not None:
        stored.news.set()
        stored.news = None


def count_bytes(entries: Sequence[Entry]) -> int:
    """Return the size of the entries' bodies."""
    size = 0
    for entry in entries:  # a generator would be a call for each
        size += len(entry.body)
    return size


def _list_tree(run: str, within: Mapping[str, Sequence[str]]) -> list[str]:
    tree = [run]
    for each in tree:
        tree += within.get(each, ())
    return tree
