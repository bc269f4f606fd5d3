"""The runtime: what is open while agents run. It resolves what an agent names and hands the run to its driver.

Holds the plugin host, model clients, the memory backend, the limits and the nursery of background runs. There may be
any number of runtimes; nothing is global.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

import trio

from agno_rt._decide.budget import budget_of
from agno_rt._decide.check_agent import check_limits
from agno_rt._decide.input import Input, as_messages
from agno_rt._drive.emitter import Emitter, EventBuffer
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import OUTER, Asked, Job, SessionAccess, check_depth, holds
from agno_rt._drive.map_inputs import CONCURRENCY, OnError, OnResult, check_map, map_runs
from agno_rt._drive.scopes import check_in_trio, is_loop_blocked, raise_cause
from agno_rt._drive.user_facts import UserFacts
from agno_rt._drive.write_journal import Journal
from agno_rt._runtime.closing import closed
from agno_rt._runtime.resolve import Resolver, keep
from agno_rt._runtime.stored_runs import StoredRuns
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.agent import Agent, limits_of
from agno_rt.errors import PluginError, UsageError
from agno_rt.failures import add_note, repr_of, text_of
from agno_rt.hookspecs import Observer
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.names import check_name
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Resume
from agno_rt.runs import STREAM_BUFFER, Run, RunResult, RunStream, carry_out, execute, stop
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from agno_rt.tasktree import TaskTree

__all__ = ["Input", "Runtime", "run"]


class Runtime(StoredRuns):
    """Runs agents, and holds what they need open while it is itself open: `async with Runtime() as rt:`.

    Args:
        memory: a memory URL (`memory:`, `sqlite:///agents.db`) or a `MemoryBackend`; opened at its first use
        limits: the limits of all runs together and of each run, or a dict of them
        plugins: the plugin host; by default every installed plugin can be asked for
        settings: each plugin's settings by the plugin's name, as in agno-rt.toml
        observers: callables that are given every event, or names of plugins that observe
        origin: the file that all this was written in, for error messages

    Leaving the block waits for background runs, unless it is left by an error or a cancellation: then they are
    cancelled. Afterwards the models and the memory that the runtime made are closed; what it was given is not.
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
            raise UsageError(f"{memory!r} is no memory", hint="Give a URL such as 'memory:', or a MemoryBackend.")
        self.limits = Limits() if limits is None else limits_of(limits)
        check_limits(self.limits)
        self.plugins = plugins or PluginHost()
        self.settings = settings or {}
        self._unbounded = budget_of(self.limits, None) is None
        self._memory = memory
        self._backend: MemoryBackend | None = None
        self._asked_observers = observers
        self.origin = origin
        self._observers: tuple[Observer, ...] = ()
        self._made: list[Any] = []
        self._resolver = Resolver(self.plugins, self.settings, self, self.limits)
        self._sessions: WeakValueDictionary[str, SessionAccess] = WeakValueDictionary()
        self._recent: dict[str, SessionAccess] = {}
        self._admission = Limiter("runs", self.limits.runs, self.limits.queue)
        self._model_calls = Limiter("model_calls", self.limits.model_calls)
        # A run that a tool makes is part of the run around it, whose place it would wait for in vain.
        self._within = Limiter("runs within runs", sys.maxsize)
        self._facts = UserFacts()
        self._nursery_manager: Any = None
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise UsageError("this runtime is open already", hint="Open a Runtime once; share it among tasks.")
        check_in_trio("a Runtime")
        with self._placing("observers"):
            await self._observe()
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._nursery is not None
        if self._durable is not None:
            self._durable.close()
        if exc is not None:
            # The block's error is on its way out, so a cancellation from outside must not take its place.
            self._nursery.cancel_scope.cancel()
            self._nursery.cancel_scope.shield = True
        try:
            # Background runs keep their errors, so the nursery has none of its own: the block's error stays bare.
            await self._nursery_manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            raise_cause(group)
        finally:
            self._nursery = None
            await self._pay_all()
            await self._close(exc)

    async def _observe(self) -> None:
        """Make the observers that are named. One that hears nothing is kept to be closed, and costs no run anything."""
        try:
            for asked in self._asked_observers:
                observer = self.plugins.observer(asked, self) if isinstance(asked, str) else asked
                if observer is not asked:
                    self._made.append(observer)
                if getattr(observer, "hears", True):
                    self._observers += (observer,)
        except BaseException as exc:
            await self._close(exc)
            raise

    # Not itself a coroutine, which each waiting run would hold, and the collector look at: it hands on its driver's.
    def run(
        self,
        agent: Agent[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
    ) -> Coroutine[Any, Any, RunResult[OutputT]]:
        """Run the agent on the input and return the result.

        `input` is the user's text, a list of texts and media, or the messages of a conversation to answer. With a
        `session`, its history goes before the input, and what the run adds is appended to it; runs on one session
        follow one another. `user` is whom the run is for; a session belongs to the user, or to none, for whom it began,
        and a run for another is `Forbidden`. `deps` is what tools and hooks may ask for by its type: one thing, or a
        tuple of several.

        Raises `UsageError` before anything starts for an agent that cannot run as it stands; `ModelError`,
        `LimitExceeded`, `BackendError` and their kind, each with `.result`, for a run that ended without an answer.
        """
        if type(input) is Resume:
            return self._run_resumed(agent, input, Asked(session, user, deps))
        job = self._job(agent, input, Asked(session, user, deps), None, OUTER.get())
        return execute(job) if job.journal is None else self._execute_stored(job, job.journal)

    @asynccontextmanager
    async def stream(
        self,
        agent: Agent[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
    ) -> AsyncIterator[RunStream[OutputT]]:
        """Run the agent and receive its events as they happen: `async with rt.stream(...) as events: async for ...`.

        Leaving the block early cancels the run and waits until it has unwound.
        """
        buffer = EventBuffer(STREAM_BUFFER)
        if type(input) is Resume:
            job = await self._resumed(agent, input, Asked(session, user, deps), buffer, OUTER.get())
        else:
            job = self._job(agent, input, Asked(session, user, deps), buffer, OUTER.get())
        run = self._spawn(job, buffer)
        try:
            yield RunStream(run, buffer)
        finally:
            await stop(run)

    async def start(
        self,
        agent: Agent[DepsT, OutputT],
        input: Input,
        *,
        session: str | None = None,
        user: str | None = None,
        deps: DepsT | None = None,
    ) -> Run[OutputT]:
        """Start the run in the background, owned by this runtime, and return at once."""
        if type(input) is Resume:
            job = await self._resumed(agent, input, Asked(session, user, deps), None, None)
        else:
            job = self._job(agent, input, Asked(session, user, deps), None, None)
        return self._spawn(job, None)

    async def map(
        self,
        agent: Agent[DepsT, OutputT],
        inputs: Iterable[Input],
        *,
        concurrency: int = CONCURRENCY,
        on_error: OnError = "raise",
        on_result: OnResult | None = None,
        deps: DepsT | None = None,
    ) -> list[RunResult[OutputT]]:
        """Run the agent on each input, at most `concurrency` at once, and return the results in the inputs' order.

        `inputs` may be a generator: an input is taken when there is room for its run. `on_result(place, result)` is
        called as each run ends, for a progress bar or to store what is there. With `on_error="keep"` a run that fails
        has its place among the results, with its `error`; by default the first failure cancels the other runs and is
        raised, with a note that names its input's place. Raises `UsageError` before the first run, and as `run`.
        """
        if self._nursery is None:
            raise _not_open()
        check_map(concurrency, on_error)
        # A string is a sequence of inputs of one character each, which nobody means.
        if isinstance(inputs, str):
            raise UsageError("the inputs of a map are one string", hint="Give a list of inputs: [...].")
        self.check(agent)
        run_one = functools.partial(self.run, agent, deps=deps)
        return await map_runs(run_one, inputs, concurrency, on_error, on_result)

    @property
    def memory(self) -> MemoryBackend:
        """The memory backend, made at its first use. Raises `UsageError` or `PluginError`."""
        if not isinstance(self._memory, str):
            return self._memory
        if self._backend is None:
            with self._placing("memory"):
                made = self.plugins.memory(self._memory, self.settings)
            if not isinstance(made, MemoryBackend):
                problem = f"what was made of {self._memory!r} is {type(made).__name__}, no MemoryBackend"
                raise PluginError(problem, plugin=self._memory.partition(":")[0])
            self._backend = made
        return self._backend

    def model(self, spec: str | Model) -> Model:
        """The model that a spec names, made at its first use and then shared; what a wrapper is in this runtime.

        Raises `UsageError` or `PluginError`.
        """
        return self._resolver.model(spec)

    def check(self, agent: Agent) -> None:
        """Resolve all that the agent names, without running it. Raises what a run would."""
        try:
            self._resolver.resolve(agent)
        except UsageError as exc:
            raise self._of_agent(exc, agent) from exc.__cause__

    def tools(self, agent: Agent) -> Mapping[str, Tool]:
        """Return the agent's tools by their names, those of plugins and toolkits too. Raises what a run would.

        A run of the agent may wait for a person where one of them `pauses`.
        """
        try:
            return self._resolver.resolve(agent).tools
        except UsageError as exc:
            raise self._of_agent(exc, agent) from exc.__cause__

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """How the limits over all runs stand now; and those of models, wrappers, tools and memory that have any."""
        backend = self._backend if isinstance(self._memory, str) else self._memory
        of_memory = getattr(backend, "statistics", tuple)
        return (
            self._admission.statistics(),
            self._model_calls.statistics(),
            *self._resolver.workers.threads.statistics(),
            *self._resolver.statistics(),
            *of_memory(),
        )

    def tasks(self) -> TaskTree:
        """What is under way now: runs, calls, who waits for what, and how long still. Call it in this thread."""
        from agno_rt._watch.snapshot import task_tree  # for those who ask

        check_in_trio("a Runtime")
        return task_tree(self._model_calls, self.statistics(), self._resolver.workers.threads)

    def _job(self, agent: Agent, input: Input, asked: Asked, buffer: EventBuffer | None, outer: Job | None) -> Job:
        if self._nursery is None:
            check_in_trio("a Runtime")
            raise _not_open()
        try:
            resolved = self._resolver.resolve(agent)
        except UsageError as exc:
            raise self._of_agent(exc, agent) from exc.__cause__
        if outer is not None:
            check_depth(outer, self.limits.depth)
        memory = resolved.memory
        limits = self.limits if resolved.limits is None else resolved.limits
        around = None if outer is None else outer.budget
        if asked.user is not None:
            check_name("a user's name", asked.user)
        run_id = new_id() if asked.journal is None else asked.journal.record.id
        emitter = None
        if buffer is not None or self._observers:
            emitter = Emitter(run_id, self._observers, buffer, self._observer_failed)
        job = Job(
            run_id,
            agent.name,
            resolved.model,
            agent.instructions,
            as_messages(input) if asked.journal is None else _asked_then(asked.journal),
            resolved.tools,
            resolved.settings,
            limits,
            self._admission if outer is None or not holds(outer, self._admission) else self._within,
            self._model_calls,
            asked.user,
            resolved.form,
            None if asked.session is None else self._access(asked.session, outer),
            emitter,
            resolved.profile,
            resolved.hooks,
            asked.deps,
            outer,
            None if around is None and limits is self.limits and self._unbounded else budget_of(limits, around),
            memory,
            resolved.summarizer,
            None,
            resolved.places,
            self._resolver.workers,
        )
        if memory.facts is not None and asked.user is not None:
            self._facts.give(job, memory.facts, self.memory)
        job.began = time.monotonic()
        if memory.journal or resolved.pauses or asked.journal is not None:
            self._keep(job, asked.journal, agent)
        return job

    async def _run_resumed(self, agent: Agent, resume: Resume, asked: Asked) -> RunResult:
        job = await self._resumed(agent, resume, asked, None, OUTER.get())
        assert job.journal is not None
        return await self._execute_stored(job, job.journal)

    async def _resumed(
        self, agent: Agent, resume: Resume, asked: Asked, buffer: EventBuffer | None, outer: Job | None
    ) -> Job:
        """The job of a stored run. For an agent that cannot run as it stands, none is claimed, or stays so."""
        self.check(agent)
        asked = await self._claimed(resume, asked)
        try:
            return self._job(agent, resume, asked, buffer, outer)
        except BaseException:
            self._stored.gone(resume.run_id)
            raise

    def _of_agent(self, error: UsageError, agent: Agent) -> UsageError:
        """Say of an error in what an agent names which agent it is."""
        return error.at(self._place(f"agent {repr_of(agent.name)}" if getattr(agent, "name", "") else ""))

    def _place(self, part: str) -> str:
        return ", ".join(filter(None, (self.origin, part)))

    @contextmanager
    def _placing(self, part: str) -> Iterator[None]:
        """Say of an error in the runtime's own configuration where that was written."""
        try:
            yield
        except UsageError as exc:
            raise exc.at(self._place(part)) from exc.__cause__

    def _access(self, session: str, outer: Job | None) -> SessionAccess:
        access = self._recent.get(session)
        if access is None:
            access = self._accessed(session)
        if outer is not None and holds(outer, access.lock):
            hint = "Give it a session of its own, or none; or start() it, and it follows this one."
            raise UsageError(f"session {session!r} is in use by the run that this one is within", hint=hint)
        return access

    def _accessed(self, session: str) -> SessionAccess:
        # All runs of a session share one, for as long as any of them has it. The recent ones are held only to be found
        # sooner, so that they may be forgotten whenever there are many.
        access = self._sessions.get(session)
        if access is None:
            check_name("a session's name", session)
            access = SessionAccess.of(session, self.memory)
            self._sessions[session] = access
        keep(self._recent, session, access)
        return access

    def _spawn(self, job: Job, buffer: EventBuffer | None) -> Run[OutputT]:
        assert self._nursery is not None
        run = Run(job.run_id, job)
        if job.journal is not None:
            self._watch(run.id, run.cancel)
        try:
            self._nursery.start_soon(carry_out, run, buffer, name=f"run {job.run_id} of {job.agent or 'an agent'}")
        except AttributeError:
            check_in_trio("a Runtime")  # trio itself says no more than that something is missing
            raise
        return run

    def _observer_failed(self, observer: Observer, exc: BaseException) -> None:
        self._observers = tuple(other for other in self._observers if other is not observer)
        self.plugins.observer_failed(observer, exc)

    async def _close(self, error: BaseException | None) -> None:
        """Close what was made. Something that cannot be closed is an error, or a note on the block's own `error`."""
        made = [*self._resolver.release(), self._backend, *self._made]
        self._backend, self._made, self._observers = None, [], ()
        self._recent.clear()
        self._sessions.clear()
        failures = [failure for thing in made if (failure := await closed(thing)) is not None]
        if failures and error is None:
            raise failures[0]
        for failure in failures:
            assert error is not None
            add_note(error, text_of(failure))


def _not_open() -> UsageError:
    return UsageError("this runtime is not open", hint="Use it inside `async with Runtime() as rt:`.")


def _asked_then(journal: Journal) -> tuple[Message, ...]:
    """What a stored run was asked when it began."""
    assert journal.replay is not None
    return journal.replay.begun.input


def run(
    agent: Agent[DepsT, OutputT],
    input: Input,
    *,
    session: str | None = None,
    user: str | None = None,
    deps: DepsT | None = None,
    **options: Any,
) -> RunResult[OutputT]:
    """Run an agent from synchronous code; `options` are those of `Runtime`. Opens a runtime for this one run.

    Raises as `Runtime.run` does, and `UsageError` when called from inside trio. Inside a running asyncio loop it warns
    with a `ResourceWarning`, since everything else in the loop waits meanwhile; not in a notebook, where nothing does.
    """
    if trio.lowlevel.in_trio_run():
        raise UsageError("run() was called inside trio", hint="There, `async with Runtime() as rt: await rt.run(...)`.")
    if is_loop_blocked():
        warnings.warn(
            "run() blocks the asyncio loop in which it was called until the run is over. There, use `async with "
            "agno_rt.from_asyncio.AsyncioRuntime() as rt: await rt.run(...)`.",
            ResourceWarning,
            stacklevel=2,
        )

    async def main() -> RunResult[OutputT]:
        async with Runtime(**options) as runtime:
            return await runtime.run(agent, input, session=session, user=user, deps=deps)

    return trio.run(main)
