"""Memory in an SQLite file: `sqlite:///agents.db` (relative) or `sqlite:////var/lib/agents.db` (absolute).

Write-ahead logging with `synchronous=FULL`: a method returns when its data has reached the disk.
`sqlite:///agents.db?synchronous=normal` waits less for the disk: its data survives the death of the process, too, but
the last writes may be lost when the power fails. Several processes may share a file.

`sqlite:///agents.db?keep=1000&older_than=30d` forgets finished runs: all but the last 1,000, and runs 30 days old.
`sessions_keep` and `sessions_older_than` do the same for sessions. `lease=15s` is how long a runtime's lease lasts:
when a process on another host is gone, its runs can be taken over after that time.
"""

from __future__ import annotations

import functools
import os
import shlex
import sqlite3
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from agno_rt.defaults.rules import OVER, check_names
from agno_rt.defaults.sqlite import approvals as _approvals
from agno_rt.defaults.sqlite import cache as _cache
from agno_rt.defaults.sqlite import events as _events
from agno_rt.defaults.sqlite import facts as _facts
from agno_rt.defaults.sqlite import grants as _grants
from agno_rt.defaults.sqlite import leases as _leases
from agno_rt.defaults.sqlite import runs as _runs
from agno_rt.defaults.sqlite import sessions as _sessions
from agno_rt.defaults.sqlite.approvals import Wanted
from agno_rt.defaults.sqlite.cache import NewAnswer
from agno_rt.defaults.sqlite.faults import FAILURES, backend_error
from agno_rt.defaults.sqlite.file import BUSY_SECONDS, SCHEMA_VERSION, SQLiteFile, Synchronous
from agno_rt.defaults.sqlite.locks import SessionFileLocks
from agno_rt.defaults.sqlite.options import NO_FILES, parse_options
from agno_rt.defaults.sqlite.rows import Listed
from agno_rt.defaults.sqlite.runs import WantedRuns
from agno_rt.defaults.sqlite.sessions import NewMessages, WantedSessions, encode_messages
from agno_rt.defaults.sqlite.threads import FileThreads
from agno_rt.defaults.sqlite.upkeep import SQLiteUpkeep
from agno_rt.errors import BackendError, UsageError
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
from agno_rt.upkeep.bounds import KEEP_ALL, Retention, forget_old

if TYPE_CHECKING:
    from agno_rt.context_providers.session_search import FoundMessage

T = TypeVar("T")
__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "Retention", "SQLiteMemory", "make_sqlite_memory"]

PRUNE_SECONDS = 60.0
"""Seconds between two looks for old runs, in a file with a retention: each reads the whole list of runs."""

LEASE_SECONDS = 15.0
"""The length of a runtime's lease in a file. On the host of a process that died, others learn of it at once."""

FIRST_LOOK_SECONDS, LOOK_SECONDS = 0.01, 0.2
"""The shortest and the longest pause between two looks for new events."""

CLOSE_SECONDS = 5.0
"""The seconds for which `aclose` waits for pending work; the threads finish slower work on their own."""


class SQLiteMemory(SQLiteUpkeep):
    """Sessions, runs, facts and cached answers in the SQLite file at `path`, which is created at the first use.

    One thread stores concurrent writes together, in one transaction; another thread reads meanwhile. `busy_seconds` is
    how long to wait for other processes that write. Every failure of the file is a `BackendError`. `clock` gives the
    seconds since the epoch; it is called in trio's thread. The memory forgets the old finished runs
    and the old sessions that `keeps` leaves out; see `prune_runs` and `prune_sessions`.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        clock: Callable[[], float] = time.time,
        synchronous: Synchronous = "full",
        keeps: Retention = KEEP_ALL,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.path = path
        self._clock = clock
        self.lease_seconds = lease_seconds
        self._retention = keeps
        self._prune_at = 0.0
        # Cached answers that were read since the last write: see `cache.py`.
        self._asked: dict[str, None] = {}
        self._file = SQLiteFile(path, busy_seconds, synchronous)
        self._threads = FileThreads(path, busy_seconds, synchronous)
        self._locks = SessionFileLocks(path)
        # A memory that nobody closes leaves no threads and no open file behind.
        weakref.finalize(self, self._threads.stop).atexit = False
        weakref.finalize(self, self._locks.close).atexit = False

    async def check_ready(self) -> None:
        """Raise `BackendError` for an unusable file. A missing file is not created."""
        folder = self.path.absolute().parent
        if self.path.exists():
            await self.sessions(limit=1)
        elif not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise backend_error(self.path, sqlite3.OperationalError("unable to open database file"))

    async def load(self, session: str, last: int | None = None) -> Session:
        """See `MemoryBackend.load`."""
        try:
            return await self._threads.load(session, last)
        except FAILURES as exc:
            raise backend_error(self.path, exc) from exc

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
        made = await self._write(_sessions.append_messages, new)
        if self._retention is not KEEP_ALL:
            await self._forget_old()
        return made

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
        return await self._list(_sessions.list_sessions, WantedSessions(user, unowned, query, before, limit))

    async def session_info(self, session: str) -> SessionInfo | None:
        """See `MemoryBackend.session_info`."""
        return await self._read(_sessions.read_session_info, session)

    async def search_sessions(self, words: str, *, user: str | None, limit: int = 10) -> list[FoundMessage]:
        """See `SessionSearch.search_sessions`."""
        from agno_rt.context_providers.session_search import query_terms, scan_sessions  # few programs search

        if not query_terms(words):  # signs alone, which no index has
            return await scan_sessions(self, words, user=user, limit=limit)
        from agno_rt.defaults.sqlite.session_words import find_messages, index_messages

        try:
            while await self._write(index_messages, user):
                pass
        except BackendError:  # a file that cannot be written can still be read
            return await scan_sessions(self, words, user=user, limit=limit)
        return await self._read(find_messages, words, user, limit)

    async def rename(self, session: str, title: str) -> bool:
        """See `MemoryBackend.rename`."""
        return await self._write(_sessions.rename_session, session, session_title(title))

    async def delete(self, session: str) -> bool:
        """See `MemoryBackend.delete`."""
        return await self._write(_sessions.delete_session, session)

    async def lock_session(self, session: str, *, wait: bool) -> bool:
        """See `SessionLocks.lock_session`."""
        return await self._locks.lock(session, wait=wait)

    async def unlock_session(self, session: str) -> None:
        """See `SessionLocks.unlock_session`."""
        self._locks.unlock(session)

    async def create_run(self, run: RunRecord, entries: Sequence[Entry] = ()) -> None:
        """See `RunStore.create_run`."""
        await self._write(_runs.create_run, run, tuple(entries), self._clock())

    async def write_run(self, run: str, entries: Sequence[Entry], *, owner: str) -> None:
        """See `RunStore.write_run`."""
        await self._write(_runs.write_entries, run, tuple(entries), owner, self._clock())

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        """See `RunStore.change_run`."""
        more = change.append
        new = None
        if more is not None:
            new = self._new(more.session, more.messages, more.version, more.user, more.data, more.agent)
        version = await self._write(_runs.change_run, run, change, new, owner, self._clock())
        if change.status in OVER:
            await self._forget_old()
        return version

    async def _forget_old(self) -> None:
        """Forget old runs and sessions, from time to time."""
        keeps = self._retention
        if keeps is KEEP_ALL or self._clock() < self._prune_at:
            return
        self._prune_at = self._clock() + PRUNE_SECONDS
        with suppress(BackendError):  # what was written is stored; the next look tries again
            await forget_old(self, keeps)

    async def claim_run(self, run: str, owner: str, *, held_by: str | None) -> RunRecord:
        """See `RunStore.claim_run`."""
        return await self._write(_runs.claim_run, run, owner, held_by, self._clock())

    async def load_run(self, run: str) -> tuple[RunRecord, list[Entry]]:
        """See `RunStore.load_run`."""
        return await self._read(_runs.load_run, run)

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
        return await self._list(_runs.list_runs, WantedRuns(status, session, user, unowned, before, limit))

    async def runs_of_request(self, request: str, *, limit: int = 100) -> list[RunRecord]:
        """See `RunStore.runs_of_request`."""
        return await self._list(_runs.list_of_request, request, limit)

    async def runs_within(self, parents: Sequence[str]) -> list[RunRecord]:
        """See `RunStore.runs_within`."""
        return await self._list(_runs.list_within, tuple(parents))

    async def cancel_run(self, run: str) -> bool:
        """See `RunStore.cancel_run`."""
        return await self._write(_runs.cancel_run, run, self._clock())

    async def cancels(self, runs: Sequence[str]) -> set[str]:
        """See `RunStore.cancels`."""
        return await self._read(_runs.find_cancelled, tuple(runs))

    async def send_signal(self, run: str, name: str, value: bytes) -> RunStatus:
        """See `SignalStore.send_signal`."""
        return await self._write(_runs.send_signal, run, name, value, self._clock())

    async def signals(self, run: str, *, after: int = 0) -> list[Signal]:
        """See `SignalStore.signals`."""
        return await self._read(_runs.list_signals, run, after)

    async def add_approvals(self, run: str, approvals: Sequence[Approval], *, owner: str) -> None:
        """See `FlowStore.add_approvals`."""
        await self._write(_runs.add_approvals, run, tuple(approvals), owner, self._clock())

    async def withdraw_approvals(self, approvals: Sequence[str]) -> None:
        """See `WithdrawStore.withdraw_approvals`."""
        await self._write(_approvals.withdraw_approvals, tuple(approvals), self._clock())

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        """See `FlowStore.renew_run`."""
        await self._write(_runs.renew_run, run, renewal, owner, self._clock())

    async def find_due(self, agents: Sequence[str], *, before: float, limit: int = 100) -> list[RunRecord]:
        """See `FlowStore.find_due`."""
        return await self._list(_runs.find_due, tuple(agents), before, limit)

    async def prune_runs(
        self, *, older_than: float | None = None, keep: int | None = None, dry_run: bool = False
    ) -> list[str]:
        """See `FlowStore.prune_runs`."""
        prune = functools.partial(_runs.prune_runs, dry_run=dry_run)
        return await (self._read if dry_run else self._write)(prune, older_than, keep, self._clock())

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """See `LeaseStore.renew_lease`."""
        return await self._write(_leases.renew_lease, owner, seconds, self._clock())

    async def release_lease(self, owner: str) -> None:
        """See `LeaseStore.release_lease`."""
        await self._write(_leases.release_lease, owner, self._clock())

    async def find_leased(self, owners: Sequence[str]) -> set[str]:
        """See `LeaseStore.find_leased`."""
        return await self._read(_leases.find_leased, tuple(owners), self._clock())

    async def find_lost(self, agents: Sequence[str], *, limit: int = 100) -> list[RunRecord]:
        """See `LeaseStore.find_lost`."""
        return await self._list(_leases.find_lost, tuple(agents), self._clock(), limit)

    async def log_events(self, run: str, events: Sequence[bytes], *, first: int, owner: str) -> None:
        """See `EventLog.log_events`."""
        await self._write(_events.log_events, run, tuple(events), first, owner)

    async def load_events(self, run: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """See `EventLog.load_events`."""
        return await self._read(_events.list_events, run, after, limit)

    async def find_last_event(self, run: str) -> int:
        """See `EventLog.find_last_event`."""
        return (await self._read(_events.read_events_now, run)).last

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        """See `EventLog.wait_events`. Looks into the file from time to time, less and less often."""
        now, pause, ends = (
            await self._read(_events.read_events_now, run),
            FIRST_LOOK_SECONDS,
            trio.current_time() + seconds,
        )
        while now.last <= after and now.owner is not None and trio.current_time() < ends:
            await trio.sleep(min(pause, ends - trio.current_time()))
            pause = min(2 * pause, LOOK_SECONDS)
            now = await self._read(_events.read_events_now, run)
        return now.last > after

    async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
        """See `SignalStore.count_signals`."""
        return await self._read(_runs.count_signals, tuple(runs))

    async def delete_run(self, run: str) -> bool:
        """See `RunStore.delete_run`."""
        return await self._write(_runs.delete_run, run)

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
        asked = Wanted(run, status, user, unowned, limit), self._clock()
        if run is None:
            return await self._list(_approvals.list_approvals, *asked)
        found, damaged = await self._read(_approvals.list_approvals, *asked)
        if damaged:  # a run must not go on without one of its decisions
            raise backend_error(self.path, damaged[0])
        return found

    async def decide(self, approval: str, decision: Decision) -> Approval:
        """See `RunStore.decide`."""
        return await self._write(_approvals.decide_approval, approval, decision, self._clock())

    async def add_grant(self, grant: Grant) -> None:
        """See `GrantStore.add_grant`."""
        check_names(grant.session, grant.user)
        await self._write(_grants.add_grant, grant, self._clock())

    async def grants(
        self, *, user: str | None = None, unowned: bool = False, tool: str | None = None, limit: int = 100
    ) -> list[Grant]:
        """See `GrantStore.grants`."""
        return await self._list(_grants.list_grants, _grants.WantedGrants(user, unowned, tool, limit), self._clock())

    async def revoke_grant(self, grant: str) -> bool:
        """See `GrantStore.revoke_grant`."""
        return await self._write(_grants.revoke_grant, grant)

    async def remember(self, user: str, text: str, *, session: str | None = None, topics: Sequence[str] = ()) -> Fact:
        """See `FactStore.remember`."""
        now = self._clock()
        check_names(session, user)
        new = Fact("", known_user(user), fact_text(text), now, now, session, fact_topics(topics))
        return await self._write(_facts.remember_fact, new)

    async def facts(self, user: str, *, query: str | None = None, limit: int = 100) -> list[Fact]:
        """See `FactStore.facts`."""
        return await self._list(_facts.list_facts, user, query, limit)

    async def correct(self, user: str, id: str, text: str) -> Fact:
        """See `FactStore.correct`."""
        return await self._write(_facts.correct_fact, user, id, fact_text(text), self._clock())

    async def forget(self, user: str, id: str | None = None) -> int:
        """See `FactStore.forget`."""
        return await self._write(_facts.forget_facts, user, id)

    async def cached(self, key: str) -> bytes | None:
        """See `CacheStore.cached`."""
        value = await self._read(_cache.read_answer, key, self._clock())
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
        await self._write(_cache.write_answer, new)

    async def uncache(self, key: str | None = None) -> int:
        """See `CacheStore.uncache`."""
        return await self._write(_cache.delete_answers, key)

    async def aclose(self) -> None:
        """Finish pending writes, and close the files."""
        self._locks.close()
        # Shielded: a cancelled program still waits for its pending writes.
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._threads.close()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return whether a write is under way, and how many writes wait."""
        at_work, waiting = self._threads.statistics()
        return (LimitStatistics(str(self.path), 1, at_work, waiting),)

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
        title = None if version else first_words(messages) or None
        try:
            return NewMessages(session, encode_messages(messages), version, user, data, self._clock(), agent, title)
        except FAILURES as exc:
            raise backend_error(self.path, exc) from exc

    async def _write(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            return await self._threads.write(operation, *args)
        except FAILURES as exc:
            raise backend_error(self.path, exc) from exc

    async def _read(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            return await self._threads.read(operation, *args)
        except FAILURES as exc:
            raise backend_error(self.path, exc) from exc

    async def _list(self, operation: Callable[..., Listed[T]], *args: Any) -> list[T]:
        """Read a list, and warn of damaged rows, which are left out."""
        found, damaged = await self._read(operation, *args)
        for each in damaged:
            error = backend_error(self.path, each)
            warnings.warn(f"{error.message}\n{error.hint}", DamagedWarning, stacklevel=3)
        return found


def make_sqlite_memory(url: str) -> SQLiteMemory:
    """Make the memory of a URL. Raises `UsageError` for a URL without a file, and for a missing folder."""
    path, _, options = url.removeprefix("sqlite:///").partition("?")
    # Without the three slashes, as in sqlite:a.db, nothing was removed from the URL.
    if url.partition("?")[0] == path or path in NO_FILES:
        hint = (
            "Write sqlite:///agents.db (relative) or sqlite:////var/lib/agents.db (absolute); or memory: for a memory "
            "that ends with the process."
        )
        raise UsageError(f"{url!r} names no file", hint=hint)
    folder = Path(path).parent
    if not folder.is_dir():
        raise UsageError(f"the folder of {url!r} does not exist", hint=f"Make it: mkdir -p {shlex.quote(str(folder))}")
    return SQLiteMemory(Path(path), **parse_options(url, options))
