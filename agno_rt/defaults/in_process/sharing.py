"""Leases, event logs and standing approvals in this process: a part of `InProcessMemory`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice

import trio

from agno_rt.defaults.in_process.bounds import MemoryBounds
from agno_rt.defaults.in_process.runs import InProcessRuns, StoredRun, tell_of_run
from agno_rt.defaults.rules import OVER, check_logged, check_names, skip_logged
from agno_rt.run_store import MOST_GRANTS, Grant, RunRecord, too_many_grants

__all__ = ["InProcessEvents", "InProcessGrants", "InProcessLeases"]


class InProcessGrants:
    """A `GrantStore` in a dictionary."""

    _clock: Callable[[], float]

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}

    async def add_grant(self, grant: Grant) -> None:
        """See `GrantStore.add_grant`."""
        check_names(grant.session, grant.user)
        now = self._clock()
        self._grants = {
            each.id: each for each in self._grants.values() if each.expires_at is None or each.expires_at > now
        }
        same = sum(each.user == grant.user and each.tool == grant.tool for each in self._grants.values())
        if same >= MOST_GRANTS:
            raise too_many_grants(grant)
        self._grants[grant.id] = grant

    async def grants(
        self, *, user: str | None = None, unowned: bool = False, tool: str | None = None, limit: int = 100
    ) -> list[Grant]:
        """See `GrantStore.grants`."""
        now = self._clock()
        found = [
            each
            for each in self._grants.values()
            if (each.expires_at is None or each.expires_at > now)
            and (each.user == user or (user is None and not unowned))
            and (tool is None or each.tool == tool)
        ]
        found.sort(key=lambda each: (each.created_at, each.id), reverse=True)
        return found[:limit]

    async def revoke_grant(self, grant: str) -> bool:
        """See `GrantStore.revoke_grant`."""
        return self._grants.pop(grant, None) is not None


class InProcessLeases(InProcessRuns):
    """A `LeaseStore` in a dictionary. Runtimes take no leases: all of them are in this process."""

    lease_seconds = 0.0

    def __init__(self, bounds: MemoryBounds) -> None:
        InProcessRuns.__init__(self, bounds)
        self._leases: dict[str, float] = {}

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """See `LeaseStore.renew_lease`."""
        now = self._clock()
        if self._leases.get(owner, now + 1) <= now:
            return False
        self._leases[owner] = now + seconds
        return True

    async def release_lease(self, owner: str) -> None:
        """See `LeaseStore.release_lease`."""
        if owner in self._leases:
            self._leases[owner] = min(self._leases[owner], self._clock())

    async def find_leased(self, owners: Sequence[str]) -> set[str]:
        """See `LeaseStore.find_leased`."""
        return self._select_leased(owners)

    async def find_lost(self, agents: Sequence[str], *, limit: int = 100) -> list[RunRecord]:
        """See `LeaseStore.find_lost`."""
        leased = self._select_leased(self._leases)
        found = (
            stored.record
            for stored in self._runs.values()
            if stored.status == "running"
            and stored.owner is not None
            and stored.owner not in leased
            and stored.record.agent in agents
            and not self._is_unfinished(stored.record.parent)
        )
        return list(islice(found, limit))

    def _select_leased(self, owners: Collection[str]) -> set[str]:
        now = self._clock()
        return {owner for owner in owners if self._leases.get(owner, now) > now}

    def _is_unfinished(self, run: str | None) -> bool:
        stored = None if run is None else self._runs.get(run)
        return stored is not None and stored.status not in OVER


class InProcessEvents(InProcessRuns):
    """An `EventLog` in lists."""

    async def log_events(self, run: str, events: Sequence[bytes], *, first: int, owner: str) -> None:
        """See `EventLog.log_events`."""
        stored = self._run(run)
        check_logged(run, stored.owner, stored.writer, owner)
        known = skip_logged(run, len(stored.events or ()), stored.writer, first, owner)
        new = events[known:]
        size = sum(map(len, new))
        self._make_room_for_run(size)
        if stored.events is None:
            stored.events = []
        stored.events += new
        stored.writer = owner
        stored.size += size
        self._run_bytes += size
        tell_of_run(stored)

    async def load_events(self, run: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """See `EventLog.load_events`."""
        events = self._run(run).events or []
        return list(enumerate(events[after : after + limit], after + 1))

    async def find_last_event(self, run: str) -> int:
        """See `EventLog.find_last_event`."""
        return len(self._run(run).events or ())

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        """See `EventLog.wait_events`."""
        with trio.move_on_after(seconds):
            while not self._has_events(stored := self._run(run), after) and stored.owner is not None:
                if stored.news is None:
                    stored.news = trio.Event()
                await stored.news.wait()
        return self._has_events(self._run(run), after)

    def _has_events(self, stored: StoredRun, after: int) -> bool:
        return len(stored.events or ()) > after
