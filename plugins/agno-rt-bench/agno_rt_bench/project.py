"""The rows of the user's project: the cost of each agent's run beside its model, and of the project's memory.

A stand-in replaces each agent's model and answers at once: no model is asked, no tool is called. Only the rows of the
memory write to the memory, into sessions of their own, deleted afterwards.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import attrs
import trio

from agno_rt.agent import Agent, memory_of
from agno_rt.cli.report import notice
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message
from agno_rt.models import profile_of
from agno_rt.project import Project
from agno_rt.run_store import RunStore
from agno_rt.runtime import Runtime
from agno_rt.testing.measuring import Times, checkpoints, python_calls, ratio, seconds
from agno_rt_bench.answers import make_up_answer
from agno_rt_bench.models import Instant
from agno_rt_bench.rows import Case, Effort, Figure, Measured, Unmeasured, measure_in_batches, take_middle

__all__ = ["agent_cases", "memory_cases"]

PREFIX = "agno-rt-bench-"
"""The beginning of the ids of sessions written by `--sessions`."""

PATIENCE = 3.0
"""Seconds for an agent's first runs, and for the deletion of a session."""

ROUND = 0.002
"""Seconds of a round, unless a single run takes longer."""

MOST = 50
"""The most runs in a round."""

INPUT = "hello"


class Opened:
    """The project's runtime, opened for the first row that needs a runtime. An error of opening fails the rows."""

    def __init__(self, project: Project, stack: AsyncExitStack, *, lasting: bool) -> None:
        self._project = project
        self._stack = stack
        self._lasting = lasting
        self._runtime: Runtime | None = None

    async def runtime(self) -> Runtime:
        """Return the open runtime. Raises any error of opening."""
        if self._runtime is None:
            project = self._project if self._lasting else _without_storage(self._project)
            self._runtime = await self._stack.enter_async_context(project.runtime())
        return self._runtime


def agent_cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    """Return a row for each agent: a run, beside its model. The stack closes the runtime."""
    opened = Opened(project, stack, lasting=False)
    what = "a run of it, beside its model"
    return [
        Case(f"agent:{name}", "agents", what, partial(_measure_agent, opened, project, agent))
        for name, agent in project.agents.items()
    ]


def memory_cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    """Return the rows that write into the project's memory: a message, and a run of each agent in a session."""
    opened = Opened(project, stack, lasting=True)
    # Show only the scheme of the URL: the rest may contain a password.
    where = f"the memory {project.config.runtime.memory.partition(':')[0]}:"
    what = f"a run of it in a session, in {where}"
    return [
        Case("append", "memory", f"add a message to a session, in {where}", partial(_measure_stored_append, opened)),
        *(
            Case(f"session:{name}", "memory", what, partial(_measure_in_session, opened, project, agent))
            for name, agent in project.agents.items()
        ),
    ]


async def _measure_agent(opened: Opened, project: Project, agent: Agent, effort: Effort) -> Measured:
    runtime = await opened.runtime()
    stand_in, note = await _make_stand_in(runtime, agent)

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(stand_in, INPUT)

    with _silence_output():
        times, rounds = await _find_pace(runs, effort)
        microseconds = 1e6 * await seconds(runs, times, rounds)
        calls = await take_middle(lambda: python_calls(runs))
        also = (Figure(microseconds, "µs"), Figure(calls, "Python calls"))
        found = await measure_in_batches(effort, lambda: ratio(runs, checkpoints, times, rounds), "checkpoints", also)
    return attrs.evolve(found, note="; ".join(filter(None, (note, _describe_failed_observers(runtime, project)))))


async def _measure_in_session(opened: Opened, project: Project, agent: Agent, effort: Effort) -> Measured:
    runtime = await opened.runtime()
    stand_in, note = await _make_stand_in(runtime, agent)
    async with _open_session(runtime.memory) as session:

        async def runs(times: int) -> None:
            for _ in range(times):
                await runtime.run(stand_in, INPUT, session=session)

        with _silence_output():
            found = await _measure_in_microseconds(runs, effort)
    return attrs.evolve(found, note="; ".join(filter(None, (note, _describe_failed_observers(runtime, project)))))


async def _measure_stored_append(opened: Opened, effort: Effort) -> Measured:
    memory = (await opened.runtime()).memory
    message, version = (Message("user", INPUT),), 0
    async with _open_session(memory) as session:

        async def append(times: int) -> None:
            nonlocal version
            for _ in range(times):
                version = await memory.append(session, message, version=version)

        return await _measure_in_microseconds(append, effort)


async def _measure_in_microseconds(body: Times, effort: Effort) -> Measured:
    times, rounds = await _find_pace(body, effort)

    async def once() -> float:
        return 1e6 * await seconds(body, times, rounds)

    return await measure_in_batches(effort, once, "µs")


async def _find_pace(body: Times, effort: Effort) -> tuple[int, int]:
    """Return the repetitions in a round and the number of rounds: fewer for a slow body.

    Raises `Unmeasured` for a body that takes longer than `PATIENCE`.
    """
    took = 0.0
    with trio.move_on_after(PATIENCE) as scope:
        await body(1)
        start = time.perf_counter()
        await body(1)
        took = time.perf_counter() - start
    if scope.cancelled_caught:
        raise Unmeasured(f"a run did not end within {PATIENCE:.0f} s")
    times = min(MOST, max(1, int(ROUND / max(took, 1e-6))))
    return times, max(1, min(5 * effort.rounds, int(50 * effort.rounds * ROUND / max(took * times, 1e-6))))


async def _make_stand_in(runtime: Runtime, agent: Agent) -> tuple[Agent, str]:
    """Return the agent with a model that answers at once, and a note on omitted hooks.

    Raises the errors of a run of the agent, and `Unmeasured` if no answer fits the output type.
    """
    runtime.check(agent)
    profile = profile_of(runtime.model(agent.model))
    hooks = [entry for entry in agent.hooks if not _asks_model(runtime, entry)]
    left_out = len(agent.hooks) - len(hooks)
    memory = memory_of(agent.memory)
    if memory.summary is not None:
        memory = attrs.evolve(memory, summary=attrs.evolve(memory.summary, model=None))
    model = Instant(await make_up_answer(agent.output), profile)
    note = f"without {left_out} of its {len(agent.hooks)} hooks, since a model would be asked" if left_out else ""
    return attrs.evolve(agent, model=model, hooks=hooks, memory=memory), note


def _asks_model(runtime: Runtime, entry: Any) -> bool:
    made = runtime.plugins.guardrail(entry, runtime.settings) if isinstance(entry, str) else entry
    return hasattr(made, "bound") or hasattr(getattr(made, "rail", None), "bound")


def _without_storage(project: Project) -> Project:
    """Return the project with a memory in process, so that no stored run shows up among the user's runs."""
    runtime = attrs.evolve(project.config.runtime, memory="memory:")
    return attrs.evolve(project, config=attrs.evolve(project.config, runtime=runtime))


def _describe_failed_observers(runtime: Runtime, project: Project) -> str:
    """Return a note with the names of failed observers, which stopped listening; empty without a failure."""
    names = [name for name in project.config.runtime.observers if name in runtime.plugins.failures]
    return f"the observer {', '.join(names)} failed" if names else ""


@asynccontextmanager
async def _open_session(memory: MemoryBackend) -> AsyncIterator[str]:
    """Yield the id of a new session in the user's memory. The session and its runs are deleted, even after Ctrl-C."""
    session = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        yield session
    finally:
        gone = False
        try:
            with trio.move_on_after(PATIENCE, shield=True):
                await _delete_session(memory, session)
                gone = True
        finally:
            if not gone:
                notice(f"A session could not be deleted. Do it later: agno-rt sessions delete {session}")


async def _delete_session(memory: MemoryBackend, session: str) -> None:
    if isinstance(memory, RunStore):
        for run in await memory.runs(session=session, limit=1_000_000):
            await memory.delete_run(run.id)
    await memory.delete(session)


@contextmanager
def _silence_output() -> Iterator[None]:
    """Discard the output of hooks and observers in the block: the output would drown the table."""
    _flush_streams()
    # Redirect the file descriptors, because hooks may also print from C code or from child processes.
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        _flush_streams()
        os.close(nowhere)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
