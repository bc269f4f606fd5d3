"""`PostgresMemory`: everything that agents remember, in PostgreSQL."""

from __future__ import annotations

import functools
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio

from agno_rt.defaults.rules import OVER, check_names
from agno_rt.facts import fact_text, fact_topics, known_user
from agno_rt.limits import LimitStatistics
from agno_rt.memory import DamagedWarning, Fact, Session, SessionInfo, first_words, session_title
from agno_rt.messages import Message
from agno_rt.run_store import (
    Approval,
    ApprovalStatus,
    Decision,
    Entry,
    Grant,
    Renewal,
    RunChange,
    RunRecord,
    RunStatus,
    Signal,
)
from agno_rt_postgres import approvals as _approvals
from agno_rt_postgres import cache as _cache
from agno_rt_postgres import events as _events
from agno_rt_postgres import facts as _facts
from agno_rt_postgres import grants as _grants
from agno_rt_postgres import leases as _leases
from agno_rt_postgres import runs as _runs
from agno_rt_postgres import sessions as _sessions
from agno_rt_postgres.approvals import Wanted
from agno_rt_postgres.cache import NewAnswer
from agno_rt_postgres.faults import FAILURES, Damaged, backend_error
from agno_rt_postgres.lanes import Item, Lanes
from agno_rt_postgres.listener import CALLS, EVENTS, Listener
from agno_rt_postgres.locks import SessionServerLocks
from agno_rt_postgres.pool import Pool
from agno_rt_postgres.rows import Listed
from agno_rt_postgres.runs import WantedRuns
from agno_rt_postgres.sessions import NewMessages, WantedSessions
from agno_rt_postgres.statements import Make, Operation
from agno_rt_postgres.transactions import Transactions
from agno_rt_postgres.upkeep import PostgresUpkeep
from agno_rt_postgres.urls import Settings

if TYPE_CHECKING:
    from agno_rt.context_providers.session_search import FoundMessage

__all__ = ["PostgresMemory"]

T = TypeVar("T")

BATCH = 256
"""The most operations in one transaction."""

LOOK_SECONDS = 2.0
"""The pause between two looks for new events where no notification comes: a pooler may swallow them."""


class PostgresMemory(PostgresUpkeep):
    """Sessions, runs, facts, cached answers and locks in a PostgreSQL database; the tables are made at the first use.

    A method returns when PostgreSQL has stored its data durably. Concurrent operations share transactions. Every
    failure of the database is a `BackendError`. `clock` gives the seconds since the epoch.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        # A float also from a clock of whole numbers: PostgreSQL is sent the bits.
        self._clock = lambda: float(clock())
        self._pool = Pool(settings)
        transactions = Transactions(self._pool)
        # Measured with a hundred writers, on two cores with a slow disk: two to four writing connections do the same
        # 3,000 appends a second (at best 4,200), and one a tenth less. A large write then holds up only its own.
        half = max(1, settings.pool // 2)
        self._writes = Lanes(half, BATCH, transactions.write)
        self._reads = Lanes(max(1, settings.pool - half), BATCH, transactions.read)
        self._locks = SessionServerLocks(self._pool)
        self._listener = Listener(self._pool, settings.schema)
        # Cached answers that were read since the last write: see `cache.py`.
        self._asked: dict[str, None] = {}
        self._prune_at = float("-inf")
        weakref.finalize(self, self._pool.close).atexit = False
        weakref.finalize(self, self._locks.close).atexit = False

    @property
    def lease_seconds(self) -> float:
        """See `LeaseStore.lease_seconds`."""
        return self.settings.lease

    async def check_ready(self) -> None:
        """Raise `BackendError` if the database cannot be used."""
        await self.sessions(limit=1)

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        return await self._read(lambda: _sessions.load_session(session, last))

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
        """See `MemoryBackend.append`."""
        new = self._new(session, messages, version, user, data, agent)
        return await self._write(lambda: _sessions.append_messages(new), f"session {session}")

    async def sessions(
        self,
        *,
        user: str | None = None,
        unowned: bool = False,
        query: str = "",
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> list[SessionInfo]:
        """See `MemoryBackend.sessions`."""
        wanted = WantedSessions(user, unowned, query, before, limit)
        return await self._list(lambda: _sessions.list_sessions(wanted))

    async def session_info(self, session: str) -> SessionInfo | None:
        """See `MemoryBackend.session_info`."""
        return await self._read(lambda: _sessions.read_session_info(session))

    async def search_sessions(self, words: str, *, user: str | None, limit: int = 10) -> list[FoundMessage]:
        """See `SessionSearch.search_sessions`."""
        from agno_rt.context_providers.session_search import scan_sessions  # few programs search
        from agno_rt.knowledge.words import query_words

        if not query_words(words):  # signs alone, which no index has
            return await scan_sessions(self, words, user=user, limit=limit)
        from agno_rt_postgres import session_words as _words

        if await self._read(lambda: _words.has_new_messages(user)):
            while await self._write_alone(lambda: _words.index_messages(user)):
                await trio.lowlevel.checkpoint()
        return await self._read(lambda: _words.find_messages(words, user, limit))

    async def rename(self, session: str, title: str) -> bool:
        """See `MemoryBackend.rename`."""
        given = session_title(title)
        return await self._write(lambda: _sessions.rename_session(session, given), f"session {session}")

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return await self._write(lambda: _sessions.delete_session(session), f"session {session}")

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """See `SessionLocks.lock_session`."""
        try:
            return await self._locks.lock(session, wait=wait)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc

    async def unlock_session(self, session: str) -> None:
        """See `SessionLocks.unlock_session`."""
        await self._locks.unlock(session)

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """See `RunStore.create_run`."""
        now = self._clock()
        await self._write(lambda: _runs.create_run(run, entries, now), f"run {run.id}")

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """See `RunStore.write_run`."""
        now = self._clock()
        await self._write(lambda: _runs.write_entries(run, entries, owner, now), f"run {run}")

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """See `RunStore.change_run`."""
        more, new, now = change.append, None, self._clock()
        keys = [f"run {run}"]
        if more is not None:
            new = self._new(more.session, more.messages, more.version, more.user, more.data, more.agent)
            keys.append(f"session {more.session}")
        approvals = *(each.id for each in change.approvals), *change.waits_for, *change.withdrawn
        keys += [f"approval {each}" for each in approvals]
        version = await self._write(lambda: _runs.change_run(run, change, new, owner, now), *keys)
        if change.status in OVER:
            await self._forget_old()
        return version

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """See `RunStore.claim_run`."""
        now = self._clock()
        return await self._write(lambda: _runs.claim_run(run, owner, held_by, now), f"run {run}")

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """See `RunStore.load_run`."""
        return await self._read(lambda: _runs.load_run(run))

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
        wanted = WantedRuns(status, session, user, unowned, before, limit)
        return await self._list(lambda: _runs.list_runs(wanted))

    async def runs_of_request(self, request: str, *, limit: int = 100) -> list[RunRecord]:
        """See `RunStore.runs_of_request`."""
        return await self._list(lambda: _runs.list_of_request(request, limit))

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """See `RunStore.runs_within`."""
        return await self._list(lambda: _runs.list_within(parents)) if parents else []

    async def cancel_run(self, run: str) -> bool:
        """See `RunStore.cancel_run`."""
        now = self._clock()
        return await self._write(lambda: _runs.cancel_run(run, now), f"run {run}")

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """See `RunStore.cancels`."""
        return await self._read(lambda: _runs.find_cancelled(runs)) if runs else set()

    async def send_signal(self, run: str, name: str, value: bytes) -> RunStatus:
        """See `SignalStore.send_signal`."""
        now = self._clock()
        return await self._write(lambda: _runs.send_signal(run, name, value, now), f"run {run}")

    async def signals(self, run: str, *, after: int = 0) -> list[Signal]:
        """See `SignalStore.signals`."""
        return await self._read(lambda: _runs.list_signals(run, after))

    async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
        """See `SignalStore.count_signals`."""
        return await self._read(lambda: _runs.count_signals(runs)) if runs else {}

    async def wait_requests(self, runs: Sequence[str], *, seconds: float) -> None:
        """See `RequestStore.wait_requests`."""
        async with self._listener.watch(CALLS, *runs) as watch:
            await self._listener.wait(watch, seconds)

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """See `FlowStore.add_approvals`."""
        now = self._clock()
        keys = [f"approval {each.id}" for each in approvals]
        await self._write(lambda: _runs.add_approvals(run, approvals, owner, now), f"run {run}", *keys)

    async def withdraw_approvals(self, approvals: Sequence[str]) -> None:
        """See `WithdrawStore.withdraw_approvals`."""
        # Each writer locks approvals in the same order, so that no two wait for each other.
        asked, now = sorted(set(approvals)), self._clock()
        if asked:
            keys = [f"approval {each}" for each in asked]
            await self._write(lambda: _approvals.withdraw_stored(asked, now), *keys)

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """See `FlowStore.renew_run`."""
        now = self._clock()
        await self._write_alone(lambda: _runs.renew_run(run, renewal, owner, now))

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """See `FlowStore.find_due`."""
        return await self._list(lambda: _runs.find_due(agents, before, limit))

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `FlowStore.prune_runs`."""
        prune = functools.partial(_runs.prune_runs, older_than, keep, self._clock(), dry_run=dry_run)
        return await (self._read if dry_run else self._write_alone)(prune)

    async def delete_run(self, run: str) -> bool:
        """See `RunStore.delete_run`."""
        return await self._write_alone(lambda: _runs.delete_run(run))

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
        wanted, now = Wanted(run, status, user, unowned, limit), self._clock()
        if run is None:
            return await self._list(lambda: _approvals.list_approvals(wanted, now))
        found, damaged = await self._read(lambda: _approvals.list_approvals(wanted, now))
        if damaged:  # a run must not go on without one of its decisions
            raise backend_error(self.settings.place, damaged[0])
        return found

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """See `RunStore.decide`."""
        now = self._clock()
        return await self._write(lambda: _approvals.decide_approval(approval, decision, now), f"approval {approval}")

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """See `LeaseStore.renew_lease`."""
        return await self._write(lambda: _leases.renew_lease(owner, seconds), f"lease {owner}")

    async def release_lease(self, owner: str) -> None:
        """See `LeaseStore.release_lease`."""
        await self._write(lambda: _leases.release_lease(owner), f"lease {owner}")

    async def find_leased(self, owners: Sequence[str]) -> set[str]:
        """See `LeaseStore.find_leased`."""
        return await self._read(lambda: _leases.find_leased(owners))

    async def find_lost(self, agents: Sequence[str], *, limit: int = 100) -> list[RunRecord]:
        """See `LeaseStore.find_lost`."""
        return await self._list(lambda: _leases.find_lost(agents, limit))

    async def log_events(self, run: str, events: Sequence[bytes], *, first: int, owner: str) -> None:
        """See `EventLog.log_events`."""
        await self._write(lambda: _events.log_events(run, events, first, owner), f"run {run}")

    async def load_events(self, run: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """See `EventLog.load_events`."""
        return await self._read(lambda: _events.list_events(run, after, limit))

    async def find_last_event(self, run: str) -> int:
        """See `EventLog.find_last_event`."""
        return (await self._read(lambda: _events.read_events_now(run))).last

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        """See `EventLog.wait_events`."""
        now = await self._read(lambda: _events.read_events_now(run))
        until = trio.current_time() + seconds
        if now.last > after or now.owner is None:
            return now.last > after
        async with self._listener.watch(EVENTS, run) as watch:
            while True:
                now = await self._read(lambda: _events.read_events_now(run))
                left = until - trio.current_time()
                if now.last > after or now.owner is None or left <= 0:
                    return now.last > after
                await self._listener.wait(watch, min(left, LOOK_SECONDS))

    async def add_grant(self, grant: Grant) -> None:
        """See `GrantStore.add_grant`."""
        check_names(grant.session, grant.user)
        now = self._clock()
        await self._write(lambda: _grants.add_grant(grant, now), f"grants {grant.tool}")

    async def grants(
        self, *, user: str | None = None, unowned: bool = False, tool: str | None = None, limit: int = 100
    ) -> list[Grant]:
        """See `GrantStore.grants`."""
        now = self._clock()
        return await self._list(lambda: _grants.list_grants(user, unowned, tool, limit, now))

    async def revoke_grant(self, grant: str) -> bool:
        """See `GrantStore.revoke_grant`."""
        return await self._write(lambda: _grants.revoke_grant(grant), f"grant {grant}")

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        now = self._clock()
        check_names(session, user)
        new = Fact("", known_user(user), fact_text(text), now, now, session, fact_topics(topics))
        return await self._write(lambda: _facts.remember_fact(new), f"facts {user}")

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        return await self._list(lambda: _facts.list_facts(user, query, limit))

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        kept, now = fact_text(text), self._clock()
        return await self._write(lambda: _facts.correct_fact(user, id, kept, now), f"facts {user}")

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        return await self._write(lambda: _facts.forget_facts(user, id), f"facts {user}")

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        now = self._clock()
        value = await self._read(lambda: _cache.read_answer(key, now))
        if value is not None:
            # The key moves to the end of the dictionary, so that the oldest note is dropped first.
            self._asked.pop(key, None)
            self._asked[key] = None
            if len(self._asked) > _cache.NOTED:
                del self._asked[next(iter(self._asked))]
        return value

    async def cache(self, key: str, value: bytes, *, seconds: float | None = None, size: int | None = None) -> None:
        """See `CacheStore.cache`."""
        now = self._clock()
        asked, self._asked = tuple(self._asked), {}
        new = NewAnswer(key, value, now, None if seconds is None else now + seconds, size, asked)
        await self._write(lambda: _cache.write_answer(new))

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        return await self._write(lambda: _cache.delete_answers(key))

    async def aclose(self) -> None:
        """Close the connections, and release the locks. Operations under way are finished first."""
        self._listener.close()
        await self._locks.release()
        self._pool.close()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return how many transactions are under way, and how many operations wait, of writers and of readers."""
        return tuple(
            LimitStatistics(f"{self.settings.place} {name}", lanes.number, *lanes.statistics())
            for name, lanes in (("writes", self._writes), ("reads", self._reads))
        )

    def _new(
        self,
        session: str,
        messages: Sequence[Message],
        version: int,
        user: str | None,
        data: bytes | None,
        agent: str,
    ) -> NewMessages:
        check_names(session, user)
        try:
            bodies = _sessions.encode_messages(messages)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc
        return NewMessages(session, bodies, version, user, data, self._clock(), agent, first_words(messages))

    async def _write(self, make: Make[T], *keys: str) -> T:
        return await self._ask(self._writes, Item(make, frozenset(keys)))

    async def _write_alone(self, make: Make[T]) -> T:
        return await self._ask(self._writes, Item(make, is_alone=True))

    async def _read(self, make: Make[T]) -> T:
        return await self._ask(self._reads, Item(make))

    async def _list(self, make: Callable[[], Operation[Listed[T]]]) -> list[T]:
        """Read a list, and warn of damaged rows, which are left out."""
        found, damaged = await self._read(make)
        self._warn(damaged)
        return found

    def _warn(self, damaged: Iterable[Damaged]) -> None:
        for each in damaged:
            error = backend_error(self.settings.place, each)
            warnings.warn(f"{error.message}\n{error.hint}", DamagedWarning, stacklevel=4)

    async def _ask(self, lanes: Lanes, item: Item) -> T:
        self._listener.tidy()
        try:
            value: T = await lanes.ask(item)
        except FAILURES as exc:
            raise backend_error(self.settings.place, exc) from exc
        return value
