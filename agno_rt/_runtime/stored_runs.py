"""Takes over, steers, stops, forks and finishes the stored runs of a runtime, and decides their approvals.

Leaves opening the memory to the runtime, and questions about other processes to `owners`.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal
from weakref import WeakValueDictionary

import msgspec
import trio

from agno_rt._decide.check_agent import check_own_name
from agno_rt._decide.controls import (
    MESSAGE,
    STOP,
    SentMessages,
    StopAt,
    StopWish,
    When,
    check_signal_name,
    check_stop,
    user_messages,
)
from agno_rt._decide.input import Input
from agno_rt._decide.journal import Replay
from agno_rt._drive.approvals import check_decision, wrap_answer
from agno_rt._drive.busy import stop_for_other
from agno_rt._drive.execute import execute
from agno_rt._drive.inbox import Takeover
from agno_rt._drive.job import Asked, AskedBusy, AskedWithin, Job, Resolved, ResolvedAgent
from agno_rt._drive.news import News, signal_topic
from agno_rt._drive.scopes import AnyScope, RunScope, check_in_trio
from agno_rt._drive.steer import read_signals, request_stop, restore_inbox
from agno_rt._drive.write_journal import END_SECONDS, Journal, text_of_input
from agno_rt._runtime.completed import read_completed
from agno_rt._runtime.log_events import EventWriters
from agno_rt._runtime.make_fork import ForkChange, make_fork
from agno_rt._runtime.run_values import encode_value, run_of
from agno_rt._runtime.shared_store.await_requests import await_requests
from agno_rt._runtime.shared_store.lease_keeper import LeaseKeeper, lease_store
from agno_rt._runtime.shared_store.lost_runs import find_gone, set_aside
from agno_rt._runtime.shared_store.owners import process_of, runtime_of, seems_alive
from agno_rt._runtime.store_errors import backend_errors, load_run, no_store_error
from agno_rt.errors import AgnoError, BackendError, NotFound, RunCancelled, RunInterrupted, RunRolledBack, UsageError
from agno_rt.failures import must_pass
from agno_rt.memory import MemoryBackend
from agno_rt.result import RunResult
from agno_rt.run_store import (
    ASK,
    MOST_APPROVALS,
    REQUEST,
    Approval,
    Decision,
    LeaseLost,
    LeaseStore,
    Resume,
    RunConflict,
    RunRecord,
    RunStatus,
    RunStore,
    SignalStore,
)
from agno_rt.runnable import Runnable
from agno_rt.tools import Tool

__all__ = ["StoredRuns"]

WATCH_SECONDS = 1.0
"""Seconds between two looks into the store for what other processes ask of runs."""

_IN_PROCESS: WeakValueDictionary[str, StoredRuns] = WeakValueDictionary()
"""The stored runs of every runtime in this process, by the runtime's id; the only state that runtimes share.

Without it a runtime could not tell whether another one in its own, living process still carries out a run.
"""


class StoredRuns:
    """The stored runs of a runtime: its runnables by name, and the runs under way here, each with its cancellation.

    Args:
        memory: returns the runtime's memory backend, and opens it at the first call
        tools: opens a runnable's own toolkits, and returns its own tools by name
        takeovers: how often in a row a run may be taken over, see `Limits.takeovers`
    """

    def __init__(
        self,
        memory: Callable[[], MemoryBackend],
        tools: Callable[[Runnable], Awaitable[Mapping[str, Tool]]],
        takeovers: int | None,
    ) -> None:
        self._memory = memory
        self._tools = tools
        self._takeovers = takeovers
        self._lease = LeaseKeeper(self._give_up)
        self._events = EventWriters()
        self.added: dict[str, Runnable] = {}
        self.runnables: dict[str, Runnable] = {}
        # None for a run that is claimed and not yet carried out.
        self._live: dict[str, tuple[Job[Any], AnyScope] | None] = {}
        self._owed: dict[str, Callable[[], Awaitable[None]]] = {}
        self._paying = trio.Lock()
        self._watching: trio.CancelScope | None = None
        self._closing = False
        self._news = News()
        self.waking: trio.CancelScope | None = None
        self._known_store: tuple[MemoryBackend, RunStore] | None = None
        self._leases: LeaseStore | None = None
        _IN_PROCESS[runtime_of(self._lease.owner)] = self

    @property
    def store(self) -> RunStore:
        """The memory backend as a store of runs. Raises `UsageError` if the backend cannot store runs."""
        memory = self._memory()
        # Compared with the last one, because Python looks for each method of a protocol anew: a tenth of a short run.
        if self._known_store is None or self._known_store[0] is not memory:
            if not isinstance(memory, RunStore):
                raise no_store_error(memory)
            self._known_store, self._leases = (memory, memory), lease_store(memory)
        return self._known_store[1]

    def add(self, runnables: Iterable[Runnable]) -> None:
        """Make runnables known by their names, in place of earlier ones of the same names."""
        runnables = tuple(runnables)
        for runnable in runnables:
            check_own_name(runnable)
        self.added.update({runnable.name: runnable for runnable in runnables})
        self.runnables.update(self.added)

    async def runnable_of(self, run: str, user: str | None) -> Runnable:
        """Return the runnable of a stored run. Raises `NotFound` for an unknown run or runnable."""
        with backend_errors(run):
            record, _ = await load_run(self.store, run, user)
        runnable = self.runnables.get(record.agent)
        if runnable is None:
            hint = "Give it to resume(..., agent=...), or to Runtime.add(...)."
            raise NotFound("agent", record.agent, self.runnables, where="of a stored run", hint=hint)
        return runnable

    def attach(self, job: Job[Any], runnable: Runnable, journal: Journal | None) -> None:
        """Give the job the journal of a claimed run, or a new one, and remember the runnable by its name."""
        check_in_trio("a Runtime")  # before anything about the run is remembered
        check_own_name(runnable)
        self.runnables.setdefault(runnable.name, runnable)
        job.journal = self._new_journal(job) if journal is None else journal
        job.journal.is_within = isinstance(job.asked, AskedWithin)
        job.journal.wakes &= job.outer is None or (isinstance(job.asked, AskedWithin) and job.asked.may_sleep)
        if job.resolved.memory.events:
            self._events.add(job, job.journal.store)
        if journal is not None and journal.replay is not None:
            restore_inbox(job, journal.replay.steps, journal.signals)

    async def claim(self, resume: Resume, asked: Asked) -> Asked:
        """Take over a stored run, and return its session, user and journal.

        Raises `NotFound`, `RunConflict` for a completed run or a run under way, `UsageError` for a session.
        """
        if asked.session is not None and not isinstance(asked, AskedWithin):
            raise UsageError("a stored run has a session of its own", hint="Leave session= out to resume it.")
        with backend_errors(resume.run_id):
            journal = await self._claim(self.store, resume, asked.user)
        found = journal.record.session, journal.record.user, asked.deps, journal
        if isinstance(asked, AskedBusy):
            return AskedBusy(*found, busy=asked.busy)
        if not isinstance(asked, AskedWithin):
            return Asked(*found)
        # The same value: the flow around reads there when the run wakes.
        asked.session, asked.user, asked.journal = journal.record.session, journal.record.user, journal
        return asked

    async def find_within(
        self, asked: AskedWithin, runnable: Runnable, resolve: Callable[[Runnable], Resolved]
    ) -> RunResult | Resume | None:
        """Return the result of a run within a flow, a value to resume the run, or None for a new run."""
        assert asked.child is not None, "only a stored flow is resumed"
        with backend_errors(asked.child):
            try:
                record, entries = await self.store.load_run(asked.child)
            except NotFound:
                return None
            if record.status != "completed":
                return Resume(asked.child, asked.is_forced)
        await self._tools(runnable)
        return read_completed(record, entries, resolve(runnable))

    async def _claim(self, store: RunStore, resume: Resume, user: str | None) -> Journal:
        if resume.run_id in self._owed:
            await self._pay(resume.run_id)
        record, _ = await load_run(store, resume.run_id, user)
        if record.status == "completed":
            raise RunConflict(f"run {record.id!r} is completed", hint="Fork it to go on from one of its steps.")
        if record.code in (RunInterrupted.code, RunRolledBack.code):
            hint = "Fork it to go on from one of its steps; or run the agent again."
            raise RunConflict(f"run {record.id!r} is over: {record.error}", hint=hint)
        owner = self._lease.owner if self._leases is None else await self._lease.hold(self._leases)
        if record.id in self._live or (not resume.force and not await self._find_gone([record])):
            hint = "Wait for it, or cancel it; if its process is gone, resume it with force."
            raise RunConflict(f"run {record.id!r} is under way already, by {record.owner or 'this runtime'}", hint=hint)
        # Without a wait after the check: a second resume in this runtime must meet the conflict above.
        self._live[record.id] = None
        try:
            await store.claim_run(record.id, owner, held_by=record.owner)
            # Read again: the former owner may have written until the claim.
            record, entries = await store.load_run(record.id)
            signals = await store.signals(record.id) if isinstance(store, SignalStore) else ()
            approvals = await store.approvals(run=record.id, limit=MOST_APPROVALS)
            replay = Replay.of(record.id, entries)
        except BaseException:
            self.release(record.id)
            raise
        journal = self._journal(store, record)
        journal.owner = owner
        journal.replay, journal.seq, journal.begun, journal.forced = replay, len(entries), True, resume.force
        journal.first = replay.begun
        journal.signals = signals
        journal.decided = {(each.turn, each.call.id): each for each in approvals}
        if self._takeovers is not None and record.takeovers > self._takeovers and not resume.force:
            try:
                raise await set_aside(journal)
            finally:
                self.release(record.id)
        return journal

    def _new_journal(self, job: Job[Any]) -> Journal:
        record = RunRecord(
            job.run_id,
            job.agent,
            session=None if job.session is None else job.session.id,
            user=job.asked.user,
            parent=None if job.outer is None else job.outer.run_id,
            input=text_of_input(job.input),
            owner=self._lease.owner,
            request=REQUEST.get(),
        )
        return self._journal(self.store, record)

    def _journal(self, store: RunStore, record: RunRecord) -> Journal:
        gone, owe = functools.partial(self.release, record.id), functools.partial(self._owed.__setitem__, record.id)
        hold = None if self._leases is None else functools.partial(self._lease.hold, self._leases)
        return Journal(store, record, self._lease.owner, gone, owe, self._news, wakes=self.wakes, hold=hold)

    async def fork(self, run: str, user: str | None, change: ForkChange) -> str:
        """Store a run with the first entries of another, and what is changed; return its id. Raises as `make_fork`."""
        with backend_errors(run):
            return await make_fork(self.store, *await load_run(self.store, run, user), change)

    async def cancel(self, run: str, user: str | None) -> bool:
        """Cancel a run, here or by the store. Return False for an ended run. Raises `NotFound`."""
        if user is not None:
            await load_run(self.store, run, user)
        if self._cancel_here(run):
            return True
        with backend_errors(run):
            return await self.store.cancel_run(run)

    async def signal(self, run: str, name: str, value: Any, user: str | None) -> RunStatus:
        """Store a signal for a run, and return the run's status. Raises `NotFound`, `RunConflict`, `UsageError`."""
        check_signal_name(name)
        return await self._send_signal(run, name, (encode_value(value, needed=True) or "null").encode(), user)

    async def send(self, run: str, input: Input, when: When, user: str | None) -> RunStatus:
        """Store messages for a run, here delivered at once; return the run's status. Raises as `signal`."""
        sent = SentMessages(user_messages(input, when), when)
        status = await self._send_signal(run, MESSAGE, msgspec.json.encode(sent), user)
        live = self._live.get(run)
        if live is not None:
            await self._read_signals(*live)
        return status

    async def stop(self, run: str, at: StopAt, grace: float | None, user: str | None) -> bool:
        """Stop a run at a safe point, here or by the store. Return False for an ended run. Raises as `signal`."""
        check_stop(at, grace)
        if at == "now":
            return await self.cancel(run, user)
        if user is not None:
            with backend_errors(run):
                await load_run(self.store, run, user)
        if (live := self._live.get(run)) is not None:
            request_stop(*live, at, grace)
            return True
        try:
            status = await self._send_signal(run, STOP, msgspec.json.encode(StopWish(at, grace)), None)
        except RunConflict:
            return False
        # Nobody carries the run out, so it is at a safe point already.
        return status == "running" or await self.cancel(run, None)

    async def _send_signal(self, run: str, name: str, value: bytes, user: str | None) -> RunStatus:
        with backend_errors(run):
            store = self.store
            if not isinstance(store, SignalStore):
                hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
                raise UsageError(f"the memory backend {type(store).__name__} keeps no signals", hint=hint)
            if user is not None:
                await load_run(self.store, run, user)
            status = await store.send_signal(run, name, value)
            self._news.tell(signal_topic(run))
            return status

    @property
    def wakes(self) -> bool:
        """True while the runtime wakes runs."""
        return self.waking is not None

    def select_known(self, records: Iterable[RunRecord]) -> list[tuple[RunRecord, Runnable]]:
        """Return the runs that are not under way here, each with its runnable."""
        return [(each, self.runnables[each.agent]) for each in records if each.id not in self._live]

    async def find_stopped(self, records: Iterable[RunRecord]) -> set[str]:
        """Return the ids of the runs in `records` that are stored as `running` without a living owner."""
        running = [each for each in records if each.status == "running"]
        if not running:
            return set()
        with backend_errors(running[0].id):
            return await self._find_gone(running)

    async def approval(self, approval: str, user: str | None) -> Approval:
        """Return an approval by its id. Raises `NotFound`."""
        with backend_errors(run_of(approval)):
            return await self._approval(self.store, approval, user)

    async def decide(
        self,
        approval: str,
        status: Literal["approved", "denied", "answered"],
        value: Any = None,
        *,
        reason: str = "",
        by: str | None,
        user: str | None,
    ) -> Approval:
        """Decide an approval. Raises `NotFound`, `ApprovalConflict`, and `UsageError` for unfit arguments."""
        decision = Decision(status, encode_value(value, needed=status == "answered"), reason, by)
        with backend_errors(run_of(approval)):
            store = self.store
            found = await self._approval(store, approval, user)
            runnable = self.runnables.get(found.agent)
            # Only arguments and answers are compared with the tool: a plain decision opens nothing.
            tools = {} if runnable is None or decision.arguments is None else await self._tools(runnable)
            if found.call.name == ASK and ASK not in tools:
                decision = wrap_answer(decision)
            check_decision(tools.get(found.call.name), found, decision)
            decided = await store.decide(approval, decision)
            self._news.tell(approval)
            return decided

    async def _approval(self, store: RunStore, approval: str, user: str | None) -> Approval:
        known = await store.approvals(run=run_of(approval), user=user, limit=MOST_APPROVALS)
        found = next((each for each in known if each.id == approval), None)
        if found is None:
            raise NotFound("approval", approval, [each.id for each in known])
        return found

    async def execute(self, job: Job[Any], nursery: trio.Nursery | None) -> RunResult:
        """Carry out a stored run in the caller's task, within reach of `cancel`. Raises as the driver's `execute`."""
        assert job.journal is not None, "only stored runs come here"
        with trio.CancelScope() if job.resolved.__class__ is ResolvedAgent else RunScope() as scope:
            job.journal.scope = scope
            self.watch(job, scope, nursery)
            return await execute(job)
        hint = "Resume it to go on."
        error: AgnoError = job.journal.lost or RunCancelled(f"run {job.run_id!r} was cancelled", hint=hint)
        error.result = job.outcome
        raise error

    def watch(self, job: Job[Any], scope: AnyScope, nursery: trio.Nursery | None) -> None:
        """Note a run as under way here, in its scope: other processes may cancel and stop it, and send messages."""
        assert nursery is not None  # a runtime makes no job before it is open
        self._live[job.run_id] = job, scope
        if self._events.writers:
            self._events.start(nursery)
        if self._watching is None:
            # Set before the task begins, so that a second run does not start a second task.
            self._watching = trio.CancelScope()
            nursery.start_soon(self._watch_store, self.store, name="looks for requests to runs")

    def release(self, run: str) -> None:
        """Note a run as no longer under way here."""
        self._live.pop(run, None)
        if self._events.writers:
            self._events.end(run)
        if self._closing:
            self.close()

    def close(self) -> None:
        """Stop looking for cancellations when no run is under way, since the runtime waits for the watching task."""
        self._closing = True
        if self.waking is not None:
            self.waking.cancel()
        if not self._live:
            if self._watching is not None:
                self._watching.cancel()
            self._events.close()

    def _cancel_here(self, run: str) -> bool:
        """Cancel a run under way here. Return False for any other run."""
        live = self._live.get(run)
        if live is not None:
            live[1].cancel()
        return run in self._live

    async def _watch_store(self, store: RunStore) -> None:
        """Do what other processes ask of runs, and store owed ends, until neither runs nor ends are left."""
        assert self._watching is not None
        try:
            with self._watching:
                while self._live or self._owed:  # again: a run that begins while the nursery ends starts no second task
                    async with trio.open_nursery() as nursery:
                        if self._leases is not None:
                            nursery.start_soon(self._lease.keep, self._leases, name="renews the lease")
                        while self._live or self._owed:
                            await await_requests(store, list(self._live), WATCH_SECONDS)
                            await self._pay(*self._owed)
                            await self._look_into_store(store)
                        nursery.cancel_scope.cancel()
        finally:
            self._watching = None

    async def _look_into_store(self, store: RunStore) -> None:
        try:
            wanted = await store.cancels(list(self._live))
            counts = await store.count_signals(list(self._live)) if isinstance(store, SignalStore) else {}
        except BaseException as exc:
            if must_pass(exc):
                raise
            # The next look asks again; a run that writes to the broken store meanwhile gets the error.
            return
        for run in wanted:
            self._cancel_here(run)
        for run, count in counts.items():
            live = self._live.get(run)
            if live is not None and count > (0 if live[0].inbox is None else live[0].inbox.seen):
                await self._read_signals(*live)

    async def _read_signals(self, job: Job[Any], scope: AnyScope) -> None:
        """Let the run have its new messages and wishes. What cannot be read now is read later, at the end at last."""
        try:
            wish = await read_signals(job)
        except BaseException as exc:
            if must_pass(exc):
                raise
            return
        if wish is None or job.outcome is not None:
            return
        if isinstance(wish, StopWish):
            request_stop(job, scope, wish.at, wish.grace)
        elif job.session is not None:
            stop_for_other(job, job.session, Takeover(wish.by, wish.keeps))

    async def pay_all(self) -> None:
        """Try once more to store every owed end, for a bounded time and shielded; log last events; end the lease."""
        await self._events.flush_last()
        if self._owed:
            with trio.move_on_after(END_SECONDS, shield=True):
                await self._pay(*self._owed)
        await self._lease.release()

    async def _pay(self, *runs: str) -> None:
        """Store the owed ends of the runs. An end that cannot be stored yet stays owed."""
        async with self._paying:
            for run in runs:
                store_end = self._owed.get(run)
                if store_end is None:
                    continue
                try:
                    await store_end()
                except (NotFound, RunConflict):
                    pass  # the run was deleted, or taken over by force
                except BackendError:
                    continue
                self._owed.pop(run, None)

    def _give_up(self, owner: str) -> None:
        """End the runs of a former name of this runtime, whose lease was lost, and store nothing of them."""
        _IN_PROCESS[runtime_of(self._lease.owner)] = self
        for run, live in list(self._live.items()):
            journal = None if live is None else live[0].journal
            # A run that is about to begin takes the new name: the lease had ended while there was no run.
            if live is not None and journal is not None and journal.begun and journal.owner == owner:
                hint = "Another runtime goes on with it if it wakes runs; or resume it."
                journal.lost = LeaseLost(f"run {run!r} was given up: its lease could not be renewed", hint=hint)
                live[1].cancel()

    async def _find_gone(self, records: Iterable[RunRecord]) -> set[str]:
        return await find_gone(records, lease_store(self.store), self._is_alive)

    def _is_alive(self, run: str, owner: str) -> bool | None:
        """Return whether the owner carries out the run; None for a process that may be alive or on another host."""
        here = _IN_PROCESS.get(runtime_of(owner))
        if here is not None:
            return run in here._live
        # A garbage-collected runtime of this process carries out nothing, although the process lives.
        is_here = process_of(owner) == process_of(self._lease.owner)
        return False if is_here or not seems_alive(owner) else None
