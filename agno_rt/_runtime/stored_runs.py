"""What a runtime does with stored runs: resumes, forks and cancels them, and decides what they wait for.

The part of `Runtime` that is asked by the id of a run. It makes and carries out no run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import trio

from agno_rt._drive.job import Asked, Job, RunResult
from agno_rt._drive.scopes import check_in_trio
from agno_rt._drive.write_journal import Journal
from agno_rt._runtime.resolve import Resolver
from agno_rt._runtime.run_registry import Durable, decision, load_run, store_of
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.agent import Agent
from agno_rt.errors import AgnoError, BackendError, RunCancelled, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.memory import MemoryBackend
from agno_rt.names import check_name
from agno_rt.run_store import Approval, Decision, Resume, RunRecord, RunStore
from agno_rt.runs import execute

__all__ = ["StoredRuns"]


class StoredRuns:
    """See `Runtime`, whose base it is."""

    _resolver: Resolver
    _nursery: trio.Nursery | None
    _durable: Durable | None = None

    @property
    def memory(self) -> MemoryBackend:
        """See `Runtime.memory`."""
        raise NotImplementedError

    def run(
        self, agent: Agent[DepsT, OutputT], input: Any, *, user: str | None = None, deps: DepsT | None = None
    ) -> Coroutine[Any, Any, RunResult[OutputT]]:
        """See `Runtime.run`."""
        raise NotImplementedError

    def add(self, *agents: Agent) -> None:
        """Make agents known by their names, so that stored runs of theirs can be resumed."""
        for agent in agents:
            if agent.name:
                check_name("an agent's name", agent.name)
        self._stored.agents.update({agent.name: agent for agent in agents})

    async def resume(
        self,
        run_id: str,
        agent: Agent[DepsT, OutputT] | None = None,
        *,
        user: str | None = None,
        deps: DepsT | None = None,
        force: bool = False,
    ) -> RunResult[OutputT]:
        """Go on with a stored run, and return its result: after a crash, a deadline, a failure, or an approval.

        No model or tool call that had finished is made again; of a call that was under way and is not idempotent, the
        model is told that nobody knows what came of it. Without an `agent` it is one that was `add`ed, or has run here.
        To stream it, or start it in the background, pass `Resume(run_id)` as the input.

        The run goes on for the user for whom it began. Name the `user` who asks, here and in the other methods that
        take an id, and what belongs to another is `NotFound`, as if it were not there; else nobody is compared.

        Raises `NotFound`, `RunConflict` for a run that is under way (`force` takes it over) or completed, and as `run`.
        """
        resume = Resume(run_id, force)
        if agent is None:
            with _of_backend(run_id):
                record, _ = await load_run(self._store, run_id, user)
            agent = self._stored.agent(record.agent)
        return await self.run(agent, resume, user=user, deps=deps)

    async def fork(self, run_id: str, entries: int | None = None, *, user: str | None = None) -> str:
        """Store a new run that has the first so many entries of a run's journal, all of them for `None`.

        Returns its id, to be resumed; it belongs to the same user. Raises `NotFound`, and `UsageError` for an entry
        that there is not.
        """
        with _of_backend(run_id):
            return await self._stored.fork(self._store, run_id, entries, user)

    async def cancel(self, run_id: str, *, user: str | None = None) -> bool:
        """Cancel a stored run, wherever it is under way; whether it was not over yet. It can be resumed."""
        if user is not None:
            await load_run(self._store, run_id, user)
        if self._stored.cancel(run_id):
            return True
        with _of_backend(run_id):
            return await self._store.cancel_run(run_id)

    def is_stopped(self, record: RunRecord) -> bool:
        """Whether a stored run is `running` although its process is gone, so that it can be resumed."""
        return record.status == "running" and not self._stored.is_carried_out(record)

    async def approval(self, approval: str, *, user: str | None = None) -> Approval:
        """Return what a run waits for, or did, by its id. Raises `NotFound`."""
        with _of_backend(approval.partition(".")[0]):
            return await self._stored.approval(self._store, approval, user)

    async def approve(
        self, approval: str, arguments: Any = None, *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """Let a tool call be made that waits for it, with other `arguments` if they are given. Then resume its run.

        Raises `NotFound`, `ApprovalConflict` for one that is decided or expired, and `UsageError` for arguments that do
        not fit the tool.
        """
        return await self._decide(approval, decision("approved", arguments, by=by), user)

    async def deny(
        self, approval: str, reason: str = "", *, user: str | None = None, by: str | None = None
    ) -> Approval:
        """Refuse what waits, with a reason that the model is told. Then resume its run. Raises as `approve`."""
        return await self._decide(approval, decision("denied", reason=reason, by=by), user)

    async def answer(self, approval: str, value: Any, *, user: str | None = None, by: str | None = None) -> Approval:
        """Give what a tool wants of the user, or the result of one carried out elsewhere. Raises as `approve`."""
        return await self._decide(approval, decision("answered", value, by=by), user)

    async def _decide(self, approval: str, decided: Decision, user: str | None) -> Approval:
        with _of_backend(approval.partition(".")[0]):
            return await self._stored.decide(self._store, approval, decided, user)

    @property
    def _stored(self) -> Durable:
        if self._durable is None:
            self._durable = Durable(lambda agent: self._resolver.resolve(agent).tools)
        return self._durable

    @property
    def _store(self) -> RunStore:
        return store_of(self.memory)

    def _keep(self, job: Job, journal: Journal | None, agent: Agent) -> None:
        """Let the run be stored: under a new id, or as the one that it goes on with."""
        check_in_trio("a Runtime")  # before anything is noted of it
        if agent.name:
            check_name("an agent's name", agent.name)
        self._stored.agents.setdefault(agent.name, agent)
        if journal is None:
            journal = self._stored.begin(self._store, job)
        job.journal = journal

    async def _claimed(self, resume: Resume, asked: Asked) -> Asked:
        """What the stored run was asked, once it is ours to go on with."""
        if asked.session is not None:
            raise UsageError("a stored run has a session of its own", hint="Leave session= out to resume it.")
        with _of_backend(resume.run_id):
            journal = await self._stored.claim(self._store, resume, asked.user)
        return Asked(journal.record.session, journal.record.user, asked.deps, journal)

    async def _pay_all(self) -> None:
        """Store the ends of runs that could not be stored when they ended, before the memory is closed."""
        if self._durable is not None:
            await self._durable.pay_all()

    async def _execute_stored(self, job: Job, journal: Journal) -> RunResult:
        """Carry out a stored run in the caller's task, so that it can be cancelled by its id as well."""
        with trio.CancelScope() as scope:
            self._watch(job.run_id, scope.cancel)
            return await execute(job)
        error = RunCancelled(f"run {job.run_id!r} was cancelled", hint="Resume it to go on.")
        error.result = job.outcome
        raise error

    def _watch(self, run_id: str, cancel: Callable[[], None]) -> None:
        assert self._nursery is not None
        stored = self._stored
        stored.live(run_id, cancel)
        if stored.watching is None:
            # Set here, so that no other is started before this one has begun.
            stored.watching = trio.CancelScope()
            self._nursery.start_soon(stored.watch, self._store, name="looks for runs to cancel")


@contextmanager
def _of_backend(run: str) -> Iterator[None]:
    """Make a `BackendError` of anything else that a memory backend raises about the run."""
    check_in_trio("a Runtime")
    try:
        yield
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise BackendError(f"the memory backend failed on run {run!r}: {named(exc)}") from exc
