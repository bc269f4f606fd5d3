"""Copies, sizes and old sessions: a part of `InProcessMemory`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from agno_rt.defaults.in_process.bounds import MEBIBYTE, MemoryBounds, no_room, size_beyond
from agno_rt.defaults.in_process.runs import StoredRun, count_bytes
from agno_rt.defaults.in_process.sessions import StoredSession
from agno_rt.defaults.in_process.sharing import InProcessEvents, InProcessGrants, InProcessLeases
from agno_rt.defaults.in_process.store import InProcessCache, InProcessFacts
from agno_rt.defaults.rules import OVER, check_names, check_order, copied_beside, new_record
from agno_rt.facts import known_user
from agno_rt.memory import Fact, foreign_session, session_title

if TYPE_CHECKING:
    from agno_rt.upkeep import CopyKind, PartSize, RunCopy, SessionCopy, StoreSize  # few programs copy a memory

__all__ = ["InProcessUpkeep"]


class InProcessUpkeep(InProcessLeases, InProcessEvents, InProcessFacts, InProcessCache, InProcessGrants):
    """A `CopyStore`, a `SizedStore` and `SessionPruning`."""

    _clock: Callable[[], float]
    _sessions: OrderedDict[str, StoredSession]
    _bounds: MemoryBounds
    _uncounted: list[StoredSession]

    def _count(self, stored: StoredSession, beyond: int) -> None:
        raise NotImplementedError

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        raise NotImplementedError

    async def list_ids(self, kind: CopyKind) -> list[str]:
        """See `CopyStore.list_ids`."""
        if kind == "sessions":
            return sorted(self._sessions, key=lambda session: (self._sessions[session].updated_at, session))
        return list(self._runs) if kind == "runs" else [user for user, known in self._users.items() if known.facts]

    async def export_session(self, session: str, *, after: int = 0, limit: int = 1000) -> SessionCopy | None:
        """See `CopyStore.export_session`."""
        from agno_rt.upkeep import SessionCopy

        stored = self._sessions.get(session)
        if stored is None:
            return None
        fields = stored.user, stored.version, stored.created_at, stored.updated_at, stored.called(), stored.agent
        messages = stored.messages[after : after + limit]
        return SessionCopy(session, *fields, stored.data, len(stored.messages), after + 1, messages)

    async def import_session(self, copy: SessionCopy) -> None:
        """See `CopyStore.import_session`."""
        check_names(copy.id, copy.user)
        stored = self._sessions.get(copy.id)
        total = 0 if stored is None else len(stored.messages)
        if stored is not None and stored.user != copy.user:
            raise foreign_session(copy.id, stored.user, copy.user)
        if total != copy.first - 1 or (stored is not None and copy.first == 1 and not copy.messages):
            raise copied_beside(copy, total)
        known = StoredSession(copy.user, 0.0, 0.0) if stored is None else stored
        beyond = sum(map(size_beyond, copy.messages)) + len(copy.data) - len(known.data)
        if known.is_full or known.beyond + beyond > self._bounds.size:
            raise no_room(f"more of session {copy.id!r}", f"{self._bounds.size // MEBIBYTE:,} MiB of sessions together")
        known.messages.extend(copy.messages)
        known.version, known.created_at, known.updated_at = copy.version, copy.created_at, copy.updated_at
        known.title, known.agent, known.data = session_title(copy.title), copy.agent, copy.data
        self._sessions[copy.id] = known
        self._sessions.move_to_end(copy.id)
        if known.is_counted:
            known.is_counted = False
            self._uncounted.append(known)
        self._count(known, beyond)

    async def import_facts(self, user: str, facts: Sequence[Fact]) -> int:
        """See `CopyStore.import_facts`."""
        return self._import_facts(known_user(user), facts)

    async def import_run(self, copy: RunCopy) -> bool:
        """See `CopyStore.import_run`."""
        record, now = copy.record, self._clock()
        made = new_record(record, now, len(copy.entries))
        made = attrs.evolve(made, updated_at=record.updated_at or record.created_at)
        known = self._runs.get(record.id)
        if known is not None and known.record.updated_at >= made.updated_at:
            return False
        check_order(record.id, 0, copy.entries)
        self._select_known(record.id, copy.approvals)
        size = count_bytes(copy.entries) + sum(len(each.value) for each in copy.signals) + sum(map(len, copy.events))
        self._make_room_for_run(size, runs=1)
        if known is not None:
            self._forget_runs([record.id])
        stored = StoredRun(made, list(copy.entries), size)
        stored.signals = [attrs.evolve(each, run=record.id) for each in copy.signals]
        stored.events, stored.writer = list(copy.events) or None, record.owner
        self._runs[record.id] = stored
        self._run_bytes += size
        self._add_approvals(record.id, copy.approvals)
        return True

    async def find_size(self) -> StoreSize:
        """See `SizedStore.find_size`. Bytes are counted for runs alone: the bytes of sessions are estimates."""
        from agno_rt.upkeep import PartSize, StoreSize

        sessions, runs = self._sessions.values(), [(each, each.record) for each in self._runs.values()]
        facts = [fact for known in self._users.values() for fact in known.facts.values()]
        signals = [signal for run, _ in runs for signal in run.signals]
        return StoreSize(
            [
                _size_up("sessions", [(each.created_at, each.updated_at) for each in sessions]),
                PartSize("messages", sum(len(each.messages) for each in sessions)),
                _size_up("runs", [(record.created_at, record.updated_at) for _, record in runs]),
                PartSize("entries", sum(len(run.entries) for run, _ in runs), _sum_entries(run for run, _ in runs)),
                PartSize("approvals", len(self._approvals)),
                _size_up("signals", [(each.sent_at, each.sent_at) for each in signals]),
                PartSize("events", sum(len(run.events or ()) for run, _ in runs)),
                _size_up("facts", [(fact.created_at, fact.updated_at) for fact in facts]),
                _size_up("grants", [(each.created_at, each.created_at) for each in self._grants.values()]),
                PartSize("cache", len(self._cached), self._cached_bytes),
            ]
        )

    async def prune_sessions(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `SessionPruning.prune_sessions`."""
        in_use = {stored.record.session for stored in self._runs.values() if stored.status not in OVER}
        newest_first = (await self.list_ids("sessions"))[::-1]
        oldest = None if older_than is None else self._clock() - older_than
        found = [
            session
            for at, session in enumerate(newest_first)
            if session not in in_use
            and (
                (keep is not None and at >= keep)
                or (oldest is not None and self._sessions[session].updated_at <= oldest)
            )
        ]
        for session in () if dry_run else found:
            await self.delete(session)
        return found


def _size_up(name: str, times: Sequence[tuple[float, float]]) -> PartSize:
    from agno_rt.upkeep import PartSize

    oldest = min((made for made, _ in times), default=None)
    return PartSize(name, len(times), None, oldest, max((changed for _, changed in times), default=None))


def _sum_entries(runs: Iterable[StoredRun]) -> int:
    return sum(count_bytes(run.entries) for run in runs)
