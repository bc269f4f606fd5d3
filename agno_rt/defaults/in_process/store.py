"""Runs, facts and cached answers in this process, gone when it ends: the parts of `InProcessMemory` beside sessions.

No method awaits before its work is done, so each method is atomic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import attrs

from agno_rt.defaults.in_process.bounds import MEBIBYTE, MemoryBounds, no_room, warn_of_forgetting
from agno_rt.defaults.rules import (
    OVER,
    apply_decision,
    approval_of_another,
    as_read,
    check_claim,
    check_names,
    check_order,
    check_owner,
    check_signalled,
    check_signals,
    new_record,
    run_taken,
)
from agno_rt.facts import (
    MAX_FACTS,
    duplicate_fact,
    fact_key,
    fact_text,
    fact_topics,
    known_user,
    ranked,
    too_many_facts,
    unknown_fact,
)
from agno_rt.memory import Fact
from agno_rt.messages import Message
from agno_rt.run_store import (
    Approval,
    ApprovalStatus,
    Decision,
    Entry,
    RunChange,
    RunRecord,
    RunStatus,
    Signal,
    unknown_approval,
    unknown_run,
)

__all__ = ["InProcessCache", "InProcessFacts", "InProcessRuns"]


@attrs.define(eq=False)
class _User:
    """The facts about one user by id, the most recently changed last; and the ids by fact key."""

    facts: dict[str, Fact] = attrs.Factory(dict)
    ids: dict[str, str] = attrs.Factory(dict)
    made: int = 0


class InProcessFacts:
    """A `FactStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        self._users: dict[str, _User] = {}
        self._facts = 0
        self._most_facts = bounds.facts

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        user, text, topics = known_user(user), fact_text(text), fact_topics(topics)
        check_names(session, user)
        known = self._users.get(user) or _User()
        key = fact_key(text)
        if key in known.ids:
            return known.facts[known.ids[key]]
        if len(known.facts) >= MAX_FACTS:
            raise too_many_facts(user)
        if self._facts >= self._most_facts:
            raise no_room("another fact", f"{self._most_facts:,} facts about all users together")
        self._facts += 1
        # Never counted down, so that the id of a forgotten fact is not used again.
        known.made += 1
        now = self._clock()
        fact = Fact(f"f{known.made}", user, text, now, now, session, topics)
        known.facts[fact.id], known.ids[key] = fact, fact.id
        self._users[user] = known
        return fact

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        known = self._users.get(user)
        newest_first = [] if known is None else list(known.facts.values())[::-1]
        return newest_first[:limit] if query is None else ranked(newest_first, query, limit)

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        text, known = fact_text(text), self._users.get(user) or _User()
        if id not in known.facts:
            raise unknown_fact(id, known.facts)
        key = fact_key(text)
        if known.ids.get(key, id) != id:
            raise duplicate_fact(id, known.ids[key])
        old = known.facts.pop(id)
        del known.ids[fact_key(old.text)]
        fact = attrs.evolve(old, text=text, updated_at=self._clock())
        known.facts[id], known.ids[key] = fact, id
        return fact

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        if id is None:
            known = self._users.pop(user, None)
            forgotten = 0 if known is None else len(known.facts)
            self._facts -= forgotten
            return forgotten
        known = self._users.get(user) or _User()
        if id not in known.facts:
            raise unknown_fact(id, known.facts)
        del known.ids[fact_key(known.facts.pop(id).text)]
        self._facts -= 1
        return 1


class InProcessCache:
    """A `CacheStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        # The most recently read are at the end: a dictionary keeps the order of insertion.
        self._cached: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()
        self._cached_bytes = 0
        self._cache_bounds = bounds

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        entry = self._cached.get(key)
        if entry is None:
            return None
        if entry[1] is not None and self._clock() >= entry[1]:
            self._uncache(key)
            return None
        self._cached.move_to_end(key)
        return entry[0]

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        self._uncache(key)
        self._cached[key] = value, None if seconds is None else self._clock() + seconds
        self._cached_bytes += len(value)
        most = self._cache_bounds.cached if size is None else min(size, self._cache_bounds.cached)
        # A value beyond the whole size is dropped at once: a cache may forget anything.
        while len(self._cached) > most or self._cached_bytes > self._cache_bounds.size:
            self._uncache(next(iter(self._cached)))

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        if key is not None:
            return self._uncache(key)
        count, self._cached_bytes = len(self._cached), 0
        self._cached.clear()
        return count

    def _uncache(self, key: str) -> int:
        entry = self._cached.pop(key, None)
        if entry is None:
            return 0
        self._cached_bytes -= len(entry[0])
        return 1


class _Run:
    """A run, its journal and its signals; `size` is the bytes of its entries and signals.

    `owner` and `status` are the record's. Other changes are applied when somebody reads the record: a copy of the
    record for each step of a workflow would take longer than the rest of the step.
    """

    __slots__ = ("_record", "changes", "entries", "id", "owner", "signals", "size", "status")

    changes: dict[str, Any]
    _record: RunRecord

    def __init__(self, record: RunRecord, entries: list[Entry], size: int) -> None:
        self.id = record.id
        self.entries = entries
        self.size = size
        self.signals: list[Signal] = []
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
        self._record, self.owner, self.status, self.changes = record, record.owner, record.status, {}


class InProcessRuns:
    """A `RunStore` in dictionaries."""

    _clock: Callable[[], float]

    def __init__(self, bounds: MemoryBounds) -> None:
        # The most recently changed are at the end. A plain dict would search for its first key after many removals.
        self._runs: OrderedDict[str, _Run] = OrderedDict()
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
        size = _count_bytes(entries)
        self._make_room_for_run(size, runs=1)
        record = new_record(run, self._clock(), len(entries))
        self._runs[run.id] = _Run(record, list(entries), size)
        self._run_bytes += size

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """See `RunStore.write_run`."""
        stored = self._run_owned_by(run, owner)
        check_order(run, len(stored.entries), entries)
        size = _count_bytes(entries)
        self._make_room_for_run(size)
        self._add(stored, entries, size)

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """See `RunStore.change_run`."""
        stored, version = self._run_owned_by(run, owner), None
        check_order(run, len(stored.entries), change.entries)
        check_signals(run, len(stored.signals), change.signals)
        for approval in change.approvals:
            known = self._approvals.get(approval.id)
            if known is not None and known.run != run:
                raise approval_of_another(known, run)
        size = _count_bytes(change.entries)
        self._make_room_for_run(size)
        if (more := change.append) is not None:
            version = await self.append(
                more.session, more.messages, version=more.version, user=more.user, data=more.data, agent=more.agent
            )
        # From here on nothing is refused: the append was the last step that may raise.
        now = self._clock()
        for approval in change.approvals:
            made = attrs.evolve(approval, run=run, created_at=approval.created_at or now)
            # An approval that is stored again keeps the decision made in between.
            self._approvals.setdefault(approval.id, made)
        self._add(stored, change.entries, size)
        self._change(
            stored, status=change.status, content=change.content, error=change.error, code=change.code, owner=None
        )
        return version

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """See `RunStore.claim_run`."""
        stored = self._run(run)
        check_claim(run, stored.status, stored.owner, held_by)
        self._change(stored, status="running", owner=owner, error=None, code=None, cancel_requested=False)
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
        limit: int = 100,
    ) -> list[RunRecord]:
        """See `RunStore.runs`."""
        found = (
            record
            for record in (stored.record for stored in reversed(self._runs.values()))
            if (status is None or record.status == status)
            and (session is None or record.session == session)
            and ((user is None and not unowned) or record.user == user)
        )
        return list(islice(found, limit))

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

    async def delete_run(self, run: str) -> bool:
        """See `RunStore.delete_run`."""
        for approval in [each for each in self._approvals.values() if each.run == run]:
            del self._approvals[approval.id]
        stored = self._runs.pop(run, None)
        if stored is None:
            return False
        self._run_bytes -= stored.size
        return True

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

    def _make_room_for_run(self, size: int, *, runs: int = 0) -> None:
        """Forget finished runs until `runs` more runs of `size` bytes fit. Raises `BackendError` if they cannot."""
        bounds = self._run_bounds
        if len(self._runs) + runs <= bounds.runs and self._run_bytes + size <= bounds.size:
            return
        bound = f"{bounds.runs:,} stored runs, {bounds.size // MEBIBYTE:,} MiB of journals"
        while len(self._runs) + runs > bounds.runs or self._run_bytes + size > bounds.size:
            # The least recently changed first: `_add` and `_change` move each changed run to the end.
            over = next((run for run, stored in self._runs.items() if stored.status in OVER), None)
            if over is None:
                raise no_room("another step of a run", f"{bound}, and none of these is over")
            self._run_bytes -= self._runs.pop(over).size
            for approval in [each for each in self._approvals.values() if each.run == over]:
                del self._approvals[approval.id]
            if not self._forgets_runs:
                self._forgets_runs = True
                warn_of_forgetting("those that are over and were changed longest ago", bound)

    def _run(self, run: str) -> _Run:
        stored = self._runs.get(run)
        if stored is None:
            raise unknown_run(run)
        return stored

    def _run_owned_by(self, run: str, owner: str) -> _Run:
        stored = self._run(run)
        if stored.owner != owner:
            check_owner(run, stored.owner, owner)
        return stored

    def _add(self, stored: _Run, entries: Sequence[Entry], size: int) -> None:
        """Add entries of `size` bytes, and move the run to the end of the order of changes."""
        stored.entries += entries
        stored.size += size
        self._run_bytes += size
        stored.changes["updated_at"] = self._clock()
        self._runs.move_to_end(stored.id)

    def _change(self, stored: _Run, **changes: Any) -> None:
        """Change the record, and move the run to the end of the order of changes."""
        stored.owner, stored.status = changes.get("owner", stored.owner), changes.get("status", stored.status)
        stored.changes.update(changes, updated_at=self._clock())
        self._runs.move_to_end(stored.id)


def _count_bytes(entries: Sequence[Entry]) -> int:
    return sum([len(entry.body) for entry in entries])
