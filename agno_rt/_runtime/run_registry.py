"""Stored runs of one runtime: who goes on with which, and how they are cancelled from elsewhere. Opens nothing."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from weakref import WeakValueDictionary

import attrs
import msgspec
import trio

from agno_rt._decide.journal import Replay
from agno_rt._drive.approvals import check_decision
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import Job
from agno_rt._drive.write_journal import END_SECONDS, Journal
from agno_rt._runtime.owners import new_owner, process_of, runtime_of, seems_alive
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.agent import Agent
from agno_rt.errors import BackendError, NotFound, UsageError
from agno_rt.failures import must_pass
from agno_rt.run_store import (
    Approval,
    Decision,
    Entry,
    Resume,
    RunConflict,
    RunRecord,
    RunStore,
    unknown_run,
)
from agno_rt.tools import Tool

__all__ = ["Durable", "decision", "load_run", "store_of"]

WATCH_SECONDS = 1.0
"""How often the store is asked whether somebody wants a run cancelled."""

MOST_APPROVALS = 10_000
"""How many approvals of one run are looked at."""

_RUNTIMES: WeakValueDictionary[str, Durable] = WeakValueDictionary()
"""Those of this process: a run that a living process owns may still be nobody's."""


def store_of(memory: object) -> RunStore:
    """The memory backend as a store of runs. Raises `UsageError` for one that stores none."""
    if isinstance(memory, RunStore):
        return memory
    hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
    raise UsageError(f"the memory backend {type(memory).__name__} stores no runs", hint=hint)


async def load_run(store: RunStore, run: str, user: str | None) -> tuple[RunRecord, list[Entry]]:
    """The record and the journal of a run. Raises `NotFound` where a user is named, and it belongs to another."""
    record, entries = await store.load_run(run)
    if user is not None and record.user != user:
        raise unknown_run(run)
    return record, entries


class Durable:
    """What a runtime knows of stored runs: agents by name, and how to cancel each run that it carries out."""

    def __init__(self, tools: Callable[[Agent], Mapping[str, Tool]]) -> None:
        self._tools = tools
        self.owner = new_owner()
        self.agents: dict[str, Agent] = {}
        self._live: dict[str, Callable[[], None]] = {}
        self._owed: dict[str, Callable[[], Awaitable[None]]] = {}
        self._paying = trio.Lock()
        self.watching: trio.CancelScope | None = None
        self._closing = False
        _RUNTIMES[runtime_of(self.owner)] = self

    def agent(self, name: str) -> Agent:
        """The agent of a stored run. Raises `NotFound` for one that this runtime has not seen."""
        agent = self.agents.get(name)
        if agent is None:
            hint = "Give it to resume(..., agent=...), or to Runtime.add(...)."
            raise NotFound("agent", name, self.agents, where="of a stored run", hint=hint)
        return agent

    async def claim(self, store: RunStore, resume: Resume, user: str | None) -> Journal:
        """Take over a stored run that nobody carries out. Raises `NotFound`, else `RunConflict`."""
        if resume.run_id in self._owed:
            await self.pay(resume.run_id)
        record, _ = await load_run(store, resume.run_id, user)
        if record.status == "completed":
            raise RunConflict(f"run {record.id!r} is completed", hint="Fork it to go on from one of its steps.")
        if record.id in self._live or (not resume.force and self.is_carried_out(record)):
            hint = f"Wait for it, or cancel it; if {record.owner} is gone, resume it with force."
            raise RunConflict(f"run {record.id!r} is under way already, by {record.owner}", hint=hint)
        self.live(record.id, _nothing)
        try:
            await store.claim_run(record.id, self.owner, held_by=record.owner)
            # Read again: until now, whoever had it may have written.
            record, entries = await store.load_run(record.id)
            approvals = await store.approvals(run=record.id, limit=MOST_APPROVALS)
            replay = Replay.of(record.id, entries)
        except BaseException:
            self.gone(record.id)
            raise
        journal = self.journal(store, record)
        journal.replay, journal.seq, journal.begun = replay, len(entries), True
        journal.decided = {(each.turn, each.call.id): each for each in approvals}
        return journal

    def journal(self, store: RunStore, record: RunRecord) -> Journal:
        """The journal of a run, to be written here."""
        gone, owe = functools.partial(self.gone, record.id), functools.partial(self._owed.__setitem__, record.id)
        return Journal(store, record, self.owner, gone, owe)

    def begin(self, store: RunStore, job: Job) -> Journal:
        """The journal of a run that is new."""
        asked = next((message.text for message in reversed(job.input) if message.role == "user"), "")
        session = None if job.session is None else job.session.id
        parent = None if job.outer is None else job.outer.run_id
        record = RunRecord(
            job.run_id, job.agent, session=session, user=job.user, parent=parent, input=asked, owner=self.owner
        )
        return self.journal(store, record)

    async def approval(self, store: RunStore, approval: str, user: str | None) -> Approval:
        """Find an approval by its id, which begins with its run's. Raises `NotFound`."""
        known = await store.approvals(run=approval.partition(".")[0], user=user, limit=MOST_APPROVALS)
        found = next((each for each in known if each.id == approval), None)
        if found is None:
            raise NotFound("approval", approval, [each.id for each in known])
        return found

    async def decide(self, store: RunStore, approval: str, decided: Decision, user: str | None) -> Approval:
        """Decide an approval. Raises `NotFound`, `ApprovalConflict`, and `UsageError` for what does not fit it."""
        found = await self.approval(store, approval, user)
        agent = self.agents.get(found.agent)
        tools = {} if agent is None else self._tools(agent)
        check_decision(tools.get(found.call.name), found, decided)
        return await store.decide(approval, decided)

    async def fork(self, store: RunStore, run: str, entries: int | None, user: str | None) -> str:
        """Store a run with the first entries of another, and return its id. Raises `UsageError` for no such place."""
        record, all_entries = await load_run(store, run, user)
        taken = all_entries if entries is None else all_entries[:entries]
        if not taken or (entries is not None and not 0 < entries <= len(all_entries)):
            hint = f"Give a number from 1 to {len(all_entries)}: it has so many."
            raise UsageError(f"run {run!r} cannot be forked at entry {entries}", hint=hint)
        while taken and taken[-1].kind in ("paused", "ended"):
            taken = taken[:-1]
        made = attrs.evolve(
            record,
            id=new_id(),
            status="paused",
            origin=record.id,
            content="",
            error=None,
            code=None,
            owner=None,
            cancel_requested=False,
            entries=0,
            created_at=0.0,
            updated_at=0.0,
        )
        await store.create_run(made, taken)
        return made.id

    def live(self, run: str, cancel: Callable[[], None]) -> None:
        """The run is under way here, and can be cancelled so."""
        self._live[run] = cancel

    def gone(self, run: str) -> None:
        """The run is no longer under way here."""
        self._live.pop(run, None)
        if self._closing:
            self.close()

    def close(self) -> None:
        """Look for cancellations no longer than there are runs under way: nobody should wait for that alone."""
        self._closing = True
        if not self._live and self.watching is not None:
            self.watching.cancel()

    def cancel(self, run: str) -> bool:
        """Cancel a run that is under way here; whether it is."""
        cancel = self._live.get(run)
        if cancel is not None:
            cancel()
        return cancel is not None

    async def watch(self, store: RunStore) -> None:
        """Cancel what somebody elsewhere wants cancelled, and store ends that are owed, as long as there are any."""
        with self._watch():
            while self._live or self._owed:
                await trio.sleep(WATCH_SECONDS)
                await self.pay(*self._owed)
                try:
                    wanted = await store.cancels(list(self._live))
                except BaseException as exc:
                    if must_pass(exc):
                        raise
                    # A store that cannot be asked now is asked again; who writes to it meanwhile is told why.
                    continue
                for run in wanted:
                    self.cancel(run)

    async def pay(self, *runs: str) -> None:
        """Store the ends of the runs, where they are owed. What cannot be stored still is owed further on."""
        async with self._paying:
            for run in runs:
                store_end = self._owed.get(run)
                if store_end is None:
                    continue
                try:
                    await store_end()
                except (NotFound, RunConflict):
                    pass  # deleted, or taken over by force
                except BackendError:
                    continue
                self._owed.pop(run, None)

    async def pay_all(self) -> None:
        """Store all that is owed, once more and for a bounded time, whatever is being cancelled."""
        if self._owed:
            with trio.move_on_after(END_SECONDS, shield=True):
                await self.pay(*self._owed)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        assert self.watching is not None
        try:
            with self.watching:
                yield
        finally:
            self.watching = None

    def is_carried_out(self, record: RunRecord) -> bool:
        """Whether the run is under way, as far as can be seen from here: a process on another host is taken to live."""
        if record.owner is None:
            return False
        here = _RUNTIMES.get(runtime_of(record.owner))
        if here is not None:
            return record.id in here._live
        # A runtime of this process that is there no more carries out nothing, though the process lives.
        return process_of(record.owner) != process_of(self.owner) and seems_alive(record.owner)


def decision(
    status: Literal["approved", "denied", "answered"], value: Any = None, *, reason: str = "", by: str | None = None
) -> Decision:
    """The decision of a caller who has values, no JSON. Raises `UsageError` for a value that JSON cannot carry."""
    try:
        arguments = (
            None
            if value is None and status != "answered"
            else msgspec.json.encode(value, enc_hook=plain_value).decode()
        )
    except (TypeError, ValueError) as exc:
        raise UsageError(f"what was given cannot be stored: {exc}", hint="Give what JSON can carry.") from exc
    return Decision(status, arguments, reason, by)


def _nothing() -> None:
    """It cannot be cancelled yet."""
