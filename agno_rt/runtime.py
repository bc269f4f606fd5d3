"""The runtime: holds resources open while agents run, resolves the names in agents, and starts runs.

A runtime holds the plugin host, model clients, the memory backend, the limits and the nursery of background runs. The
runtimes of a process share only weak references, by which to know who carries out a run (`_runtime/stored_runs.py`).
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

import trio

from agno_rt._decide.budget import budget_of
from agno_rt._decide.check_agent import check_limits
from agno_rt._decide.input import Input, as_messages
from agno_rt._drive.busy import make_asked, refuse_if_busy
from agno_rt._drive.emitter import Emitter, EventBuffer
from agno_rt._drive.execute import execute
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import Asked, AskedBusy, AskedWithin, Busy, Job, Resolved, ResolvedAgent
from agno_rt._drive.map_inputs import CONCURRENCY, OnError, OnResult, check_map, map_runs
from agno_rt._drive.nesting import OUTER, check_depth, find_buffer, holds, note_call
from agno_rt._drive.scopes import check_in_trio, raise_cause
from agno_rt._runtime.check_parts import wrong_product_error
from agno_rt._runtime.closing import close_all
from agno_rt._runtime.observers import Observers
from agno_rt._runtime.opened import ToolkitsClosed
from agno_rt._runtime.resolve import Resolver
from agno_rt._runtime.retrieval.parts import RetrievalParts
from agno_rt._runtime.run_controls import RunControls
from agno_rt._runtime.sessions import Sessions
from agno_rt._runtime.toolkits import Toolkits, not_open_error
from agno_rt._runtime.user_facts import UserFacts
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.agent import Agent, limits_of
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import repr_of
from agno_rt.hookspecs import Observer
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.memory import MemoryBackend
from agno_rt.models import Model
from agno_rt.names import check_name
from agno_rt.plugins import PluginHost
from agno_rt.result import RunResult
from agno_rt.run_store import Resume
from agno_rt.runnable import Runnable, list_parts
from agno_rt.runs import STREAM_BUFFER, Run, RunStream, carry_out, stop
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from agno_rt._runtime.stored_runs import StoredRuns
    from agno_rt.tasktree import TaskTree

__all__ = ["Input", "Runtime"]


class Runtime(RunControls, RetrievalParts):
    """Runs agents, and holds resources open for them: `async with Runtime() as rt:`.

    Args:
        memory: a memory URL (`memory:`, `sqlite:///agents.db`) or a `MemoryBackend`; opened at the first use
        limits: the limits of all runs together and of each run, or a dict of limits
        plugins: the plugin host; by default every installed plugin can be used
        settings: the settings of each plugin by name, as in agno-rt.toml
        observers: callables for every event, or names of observing plugins
        origin: the file with these settings, for error messages

    Leaving the block waits for background runs; leaving by an error or a cancellation cancels them. Then the runtime
    closes toolkits, and the models and the memory of its own making; models and memory given to it stay open.
    """

    def __init__(
        self,
        *,
        memory: str | MemoryBackend = "memory:",
        limits: Limits | Mapping[str, Any] | None = None,
        plugins: PluginHost | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        observers: Sequence[Observer | str] = (),
        origin: str = "",
    ) -> None:
        if not isinstance(memory, str | MemoryBackend):
            raise UsageError(f"{memory!r} is not a memory", hint="Give a URL such as 'memory:', or a MemoryBackend.")
        self.limits = Limits() if limits is None else limits_of(limits)
        check_limits(self.limits)
        self.plugins = plugins or PluginHost()
        self.settings = settings or {}
        self._memory = memory
        self._backend: MemoryBackend | None = None
        self.origin = origin
        self._observers = Observers(self.plugins, observers)
        self._sessions = Sessions(lambda: self.memory)
        self._stored_runs: StoredRuns | None = None
        self._admission = Limiter("runs", self.limits.runs, self.limits.queue)
        self._model_calls = Limiter("model_calls", self.limits.model_calls)
        self._resolver = Resolver(self.plugins, self.settings, self, self.limits, self._model_calls)
        self._toolkits = Toolkits(self._resolver, self._observers.tell)
        # Runs started by tools have no place of their own: they would wait for the place of the run around them.
        self._within = Limiter("runs within runs", sys.maxsize)
        self._facts = UserFacts()
        self._background: WeakValueDictionary[str, Run[Any]] = WeakValueDictionary()
        self._nursery_manager: Any = None
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise UsageError("this runtime is open already", hint="Open a Runtime once; share it among tasks.")
        check_in_trio("a Runtime")
        try:
            with self._placing("observers"):
                self._observers.make(self)
        except BaseException as exc:
            await self._close(exc)
            raise
        await self._toolkits.enter()
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._nursery is not None
        if self._stored_runs is not None:
            self._stored_runs.close()
        self._stop_embedding()
        if exc is not None:
            # Shielded: a cancellation from outside must not replace the error that leaves the block.
            self._nursery.cancel_scope.cancel()
            self._nursery.cancel_scope.shield = True
        try:
            # Without the block's error, since the nursery would wrap the error in a group. Background runs keep theirs.
            await self._nursery_manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            raise_cause(group)
        finally:
            self._nursery = None
            try:
                if self._stored_runs is not None:
                    await self._stored_runs.pay_all()  # needs the memory, so before it is closed
                await self._close(exc)
            finally:
                await self._toolkits.leave()

    # Not `async`: each waiting run would hold a second coroutine, for the garbage collector to visit.
    def run(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> Coroutine[Any, Any, RunResult[OutputT]]:
        """Run the agent on the input and return the result.

        `input` is the user's text, a list of texts and media, or the messages of a conversation to answer. With a
        `session`, the session's history precedes the input, and the run appends its messages; runs on the same
        session follow one another. The agent runs for the `user`. A session belongs to the user of the first run, or to
        nobody; a run for anyone else raises `Forbidden`. `deps` is a value, or a tuple of values, which tools and hooks
        receive by type.

        Raises `UsageError`, before anything starts, for an agent that cannot run; `ModelError`, `LimitExceeded`,
        `BackendError` and the like, each with `.result`, for a run that ended without an answer.

        `busy` says what happens if another run has the session: `"enqueue"` waits, as without `busy`; `"reject"` raises
        `SessionBusy`; `"interrupt"` stops the runs before this one, whose finished steps stay in the session;
        `"rollback"` stops them, and nothing of them stays. A stopped run raises `RunInterrupted` or `RunRolledBack`. A
        run of this method without `busy` is stopped only between its model calls and tool calls, others at once.
        """
        asked = Asked(session, user, deps) if busy is None else make_asked(session, user, deps, busy, input)
        if type(input) is Resume:
            return self._execute(self._resumed(agent, input, asked, None, OUTER.get()))
        try:
            job = self._job(agent, input, asked, None, OUTER.get())
        except ToolkitsClosed:
            return self._execute(self._open_job(agent, input, asked, None, OUTER.get()))
        return execute(job) if job.journal is None else self._stored.execute(job, self._nursery)

    @asynccontextmanager
    async def stream(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> AsyncIterator[RunStream[OutputT]]:
        """Run the agent and receive the events as they happen: `async with rt.stream(...) as events: async for ...`.

        Leaving the block early cancels the run and waits for its end. `events.within()` has the events of the runs
        within, too, each with the path of its run.
        """
        buffer = EventBuffer(STREAM_BUFFER)
        asked = make_asked(session, user, deps, busy, input)
        run = self._spawn(await self._make_job(agent, input, asked, buffer, OUTER.get()), buffer)
        try:
            yield RunStream(run, buffer)
        finally:
            await stop(run)

    async def start(
        self,
        agent: Runnable[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
        busy: Busy | None = None,
    ) -> Run[OutputT]:
        """Start the run in the background, owned by this runtime, and return at once, or when its toolkits are open."""
        job = await self._make_job(agent, input, make_asked(session, user, deps, busy, input), None, None)
        return self._spawn(job, None)

    async def map(
        self,
        agent: Runnable[DepsT, OutputT],
        inputs: Iterable[Input],
        *,
        concurrency: int = CONCURRENCY,
        on_error: OnError = "raise",
        on_result: OnResult | None = None,
        deps: DepsT | None = None,
    ) -> list[RunResult[OutputT]]:
        """Run the agent on each input, at most `concurrency` at once, and return the results in the inputs' order.

        `inputs` may be a generator; the runtime takes an input when there is room for a run. `on_result(place, result)`
        is called at the end of each run, to show progress or to store the result. With `on_error="keep"` a failed run
        has a place among the results, with its `error`; by default the first failure cancels the other runs and is
        raised with a note of the input's place. Raises `UsageError` before the first run, and as `run`.
        """
        if self._nursery is None:
            raise not_open_error()
        check_map(concurrency, on_error)
        if isinstance(inputs, str):  # a sequence too: each of its characters would become an input
            raise UsageError("the inputs of a map are one string", hint="Give a list of inputs: [...].")
        self.check(agent)
        await self._open_tools(agent)
        return await map_runs(functools.partial(self.run, agent, deps=deps), inputs, concurrency, on_error, on_result)

    async def resume(
        self,
        run_id: str,
        agent: Runnable[DepsT, OutputT] | None = None,
        *,
        user: str | None = None,
        deps: DepsT | None = None,
        force: bool = False,
    ) -> RunResult[OutputT]:
        """Go on with a stored run after a crash, a deadline, a failure or an approval, and return the result.

        Finished model and tool calls are not made again. For a call that was under way and is not idempotent, the model
        is told that the outcome is unknown. Without an `agent`, the runtime looks for the run's agent by name among
        agents that were added, or have run here. To stream or `start` the run, pass `Resume(run_id)` as the input.

        The run goes on for its user. With a `user`, here and in the other methods with an id, a run of anyone else is
        `NotFound`, as if the run did not exist; without a `user`, users are not compared.

        Raises `NotFound`, `RunConflict` for a run under way (`force` takes the run over) or completed, and as `run`.
        """
        found = await self._stored.runnable_of(run_id, user) if agent is None else agent
        return await self.run(found, Resume(run_id, force), user=user, deps=deps)

    @property
    def memory(self) -> MemoryBackend:
        """The memory backend, made at the first use. Raises `UsageError` or `PluginError`."""
        if not isinstance(self._memory, str):
            return self._memory
        if self._backend is None:
            with self._placing("memory"):
                made = self.plugins.memory(self._memory, self.settings)
            if not isinstance(made, MemoryBackend):
                raise wrong_product_error(self._memory, made, "MemoryBackend")
            self._backend = made
        return self._backend

    def model(self, spec: str | Model) -> Model:
        """Return the model of a spec, made once, or a wrapper's copy here. Raises `UsageError` or `PluginError`."""
        return self._resolver.model(spec)

    def check(self, agent: Runnable) -> None:
        """Resolve all names in the agent, without running it or opening toolkits. Raises as a run would."""
        for part in list_parts(agent):
            with suppress(ToolkitsClosed):
                self._resolve(part)

    def tools(self, agent: Runnable) -> Mapping[str, Tool]:
        """Return the agent's tools by name, tools of plugins and toolkits included. Raises as a run would.

        A run may wait for a person if a tool `pauses`. Only agents have tools. For toolkits not open, see `open_tools`.
        """
        resolved = self._resolve(agent)
        return resolved.tools if isinstance(resolved, ResolvedAgent) else {}

    def _resolve(self, runnable: Runnable) -> Resolved:
        try:
            return self._resolver.resolve(runnable)
        except UsageError as exc:
            raise self._of_runnable(exc, runnable) from exc.__cause__

    async def open_tools(self, agent: Runnable) -> Mapping[str, Tool]:
        """Open the toolkits of the agent and of its parts, and return its own tools by name. Raises as a run would."""
        self.check(agent)
        for part in list_parts(agent):
            await self._open_tools(part)
        return await self._open_tools(agent)

    async def _open_tools(self, runnable: Runnable) -> Mapping[str, Tool]:
        if isinstance(runnable, Runnable) and not isinstance(runnable, Agent):
            return {}  # without resolving a team with all of its members
        return await self._toolkits.open_for(lambda: self.tools(runnable), lambda exc: self._of_runnable(exc, runnable))

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the state of the limits over all runs, then those of toolkits, tools, models, wrappers and memory."""
        backend = self._backend if isinstance(self._memory, str) else self._memory
        last = *self._list_retrieval_limits(), *getattr(backend, "statistics", tuple)()
        shared = self._admission.statistics(), self._model_calls.statistics(), *self._toolkits.statistics()
        return (*shared, *self._resolver.workers.threads.statistics(), *self._resolver.statistics(), *last)

    def tasks(self) -> TaskTree:
        """Return the runs and calls under way, each with waits and deadlines. Call this in the runtime's thread."""
        from agno_rt._watch.snapshot import task_tree  # costs nothing until somebody asks

        check_in_trio("a Runtime")
        return task_tree(self._model_calls, self.statistics(), self._resolver.workers.threads)

    def _job(
        self, runnable: Runnable, input: Input, asked: Asked, buffer: EventBuffer | None, outer: Job[Any] | None
    ) -> Job[Any]:
        if self._nursery is None:
            raise not_open_error()
        try:
            # Compared by class, and not by `_resolve`: each run of an agent would pay for another call.
            resolver = self._resolver
            resolved = resolver.resolve_agent(runnable) if type(runnable) is Agent else resolver.resolve(runnable)
        except UsageError as exc:
            raise self._of_runnable(exc, runnable) from exc.__cause__
        journal, around, checked, own = asked.journal, None, None, self._admission
        if outer is not None:
            around, checked = outer.budget, outer.input if input is outer.input else None
            if outer.outer is not None or self.limits.depth == 1:
                check_depth(outer, self.limits.depth)
            buffer = find_buffer(outer.emitter) if buffer is None and outer.emitter is not None else buffer
        if asked.user is not None:
            check_name("a user's name", asked.user)
        child = asked.child if asked.__class__ is AskedWithin else None
        run_id = child or (new_id() if journal is None else journal.record.id)
        heard = self._observers.heard
        emitter = Emitter(run_id, heard, buffer, self._observers.drop) if buffer is not None or heard else None
        # By position: keywords cost each run five allocations (`python -m benchmarks.gate`).
        job: Job[Any] = Job(
            run_id,
            runnable.name,
            resolved,
            asked,
            checked or as_messages(input) if journal is None else journal.input,
            getattr(runnable, "instructions", ""),
            own if outer is None or not (outer.admission is own or holds(outer, own)) else self._within,
            None if asked.session is None else self._sessions.access(asked.session, outer),
            emitter,
            outer,
            budget_of(resolved.limits, around) if resolved.is_bounded or around is not None else None,
            time.monotonic(),
        )
        memory = resolved.memory
        if memory.facts is not None and asked.user is not None:
            self._facts.give(job, memory.facts, self.memory)
        if memory.journal or resolved.pauses or journal is not None or child is not None:
            self._stored.attach(job, runnable, journal)
        if asked.__class__ is AskedBusy:
            refuse_if_busy(job)
        if outer is not None and outer.resolved.__class__ is ResolvedAgent:
            note_call(outer, job)
        return job

    async def run_within(self, runnable: Runnable, input: Input, asked: AskedWithin) -> RunResult:
        """Run a runnable within a flow, or a stored run's tool; go on with the run if an earlier process began it."""
        flow, begun = OUTER.get(), None
        assert flow is not None, "a flow's run is the outer run of the runs within"
        if asked.is_resumed:
            begun = await self._stored.find_within(asked, runnable, self._resolve)
        if isinstance(begun, RunResult):
            return begun
        job = None if begun is None else await self._resumed(runnable, begun, asked, None, flow)
        try:
            job = job or self._job(runnable, input, asked, None, flow)
        except ToolkitsClosed:
            job = await self._open_job(runnable, input, asked, None, flow)
        if flow.resolved.__class__ is ResolvedAgent:  # an agent's messages are its own
            return await (execute(job) if job.journal is None else self._stored.execute(job, self._nursery))
        inbox = flow.inbox
        assert inbox is not None, "a flow has an inbox from its beginning"
        inbox.within[job] = None
        if inbox.waiting or inbox.handed or inbox.stop is not None:
            inbox.enter(flow, job)
        try:
            return await (execute(job) if job.journal is None else self._stored.execute(job, self._nursery))
        finally:
            del inbox.within[job]
            if job.inbox is not None:
                inbox.leave(flow, job)

    async def start_within(
        self, runnable: Runnable, input: Input, asked: AskedWithin, outer: Job[Any]
    ) -> Run[Any] | RunResult:
        """Start a run in the background of another run, or go on with the run if an earlier process began it.

        Returns the result of a run that is completed already, and the handle of a run that goes on here.
        """
        given = input
        if asked.is_resumed:
            assert asked.child is not None, "only a stored run is resumed"
            if (going := self._background.get(asked.child)) is not None and going.result is None:
                return going
            known = await self._stored.find_within(asked, runnable, self._resolve)
            if isinstance(known, RunResult):
                return known
            given = known or input
        run: Run[Any] = self._spawn(await self._make_job(runnable, given, asked, None, outer), None)
        self._background[run.id] = run
        return run

    async def _execute(self, coming: Coroutine[Any, Any, Job[Any]]) -> RunResult:
        job = await coming
        return await (execute(job) if job.journal is None else self._stored.execute(job, self._nursery))

    async def _open_job(self, runnable: Runnable, *rest: Any) -> Job[Any]:
        await self._open_tools(runnable)
        return self._job(runnable, *rest)  # nothing waits in between, so no toolkit has closed

    async def _make_job(self, runnable: Runnable, input: Input, *rest: Any) -> Job[Any]:
        """Make the job of a run, or of a stored run to resume, and open the toolkits that it needs."""
        if type(input) is Resume:
            return await self._resumed(runnable, input, *rest)
        try:
            return self._job(runnable, input, *rest)
        except ToolkitsClosed:
            return await self._open_job(runnable, input, *rest)

    async def _resumed(self, agent: Runnable, resume: Resume, asked: Asked, *rest: Any) -> Job[Any]:
        """Claim a stored run and return the job. With an unusable agent, nothing is claimed."""
        self.check(agent)
        await self._open_tools(agent)
        asked = await self._stored.claim(resume, asked)
        try:
            return await self._open_job(agent, resume, asked, *rest)
        except BaseException:
            self._stored.release(resume.run_id)
            raise

    def _of_runnable(self, error: AgnoError, runnable: Runnable) -> AgnoError:
        """Return the error with the runnable as its place."""
        name, kind = getattr(runnable, "name", ""), getattr(runnable, "kind", "agent")
        return error.at(self._place(f"{kind} {repr_of(name)}" if name else ""))

    def _place(self, part: str) -> str:
        return ", ".join(filter(None, (self.origin, part)))

    @contextmanager
    def _placing(self, part: str) -> Iterator[None]:
        """Add the part of the runtime's configuration to a `UsageError` as its place."""
        try:
            yield
        except UsageError as exc:
            raise exc.at(self._place(part)) from exc.__cause__

    def _spawn(self, job: Job[Any], buffer: EventBuffer | None) -> Run[OutputT]:
        assert self._nursery is not None
        scope = trio.CancelScope()
        run = Run(job.run_id, job, scope)
        if job.journal is not None:
            self._stored.watch(job, scope, self._nursery)
        try:
            self._nursery.start_soon(carry_out, run, buffer, name=f"run {job.run_id} of {job.agent or 'an agent'}")
        except AttributeError:
            check_in_trio("a Runtime")  # outside trio, trio's own error only names a missing attribute
            raise
        return run

    async def _close(self, error: BaseException | None) -> None:
        """Close the things made by the runtime. A failure is raised, or becomes a note of the block's own `error`."""
        made = [*self._toolkits.release(), *self._resolver.release(), *self._release_retrieval(), self._backend]
        made += self._observers.release()
        self._backend = None
        self._sessions.clear()
        await close_all(made, error)
