"""The rows of the user's own project: what a run of each agent costs beside its model, and what its memory costs.

Each agent runs with a model in its model's place that answers at once: no model is asked, no tool is called. Nothing is
written into the project's memory, unless that is asked for: then into sessions of their own, deleted afterwards.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import attrs
import trio

from agno_rt._drive.ids import new_id
from agno_rt.agent import Agent, memory_of
from agno_rt.cli.benching.answers import made_up
from agno_rt.cli.benching.models import Instant
from agno_rt.cli.benching.rows import Case, Effort, Figure, Measured, Unmeasured, in_batches, middle
from agno_rt.cli.report import notice
from agno_rt.measuring import Times, checkpoints, python_calls, ratio, seconds
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message
from agno_rt.models import profile_of
from agno_rt.project import Project
from agno_rt.run_store import RunStore
from agno_rt.runtime import Runtime

__all__ = ["agent_cases", "memory_cases"]

PREFIX = "agno-rt-bench-"
"""How the sessions begin that are written with `--sessions`."""

PATIENCE = 3.0
"""How many seconds the first run of an agent may take, and how many the deletion of what was written."""

ROUND = 0.002
"""How many seconds a round is to take, where one run does not take longer."""

MOST = 50
"""How many runs a round has at most."""

INPUT = "hello"


class Opened:
    """The project's runtime, opened when the first row needs it; where that fails, every row that needs it fails."""

    def __init__(self, project: Project, stack: AsyncExitStack, *, lasting: bool) -> None:
        self._project = project
        self._stack = stack
        self._lasting = lasting
        self._runtime: Runtime | None = None

    async def runtime(self) -> Runtime:
        """The runtime, open. Raises what opening it raises."""
        if self._runtime is None:
            project = self._project if self._lasting else _forgetful(self._project)
            self._runtime = await self._stack.enter_async_context(project.runtime())
        return self._runtime


def agent_cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    """What a run of each agent costs beside its model; the stack closes what is opened for it."""
    opened = Opened(project, stack, lasting=False)
    what = "a run of it, beside its model"
    return [
        Case(f"agent:{name}", "agents", what, partial(_agent, opened, project, agent))
        for name, agent in project.agents.items()
    ]


def memory_cases(project: Project, stack: AsyncExitStack) -> list[Case]:
    """What the project's memory adds: a message, and a run of each agent in a session. They write into it."""
    opened = Opened(project, stack, lasting=True)
    # Of a URL only this is shown: the rest may hold a password.
    where = f"the memory {project.config.runtime.memory.partition(':')[0]}:"
    what = f"a run of it in a session, in {where}"
    return [
        Case("append", "memory", f"add a message to a session, in {where}", partial(_append, opened)),
        *(
            Case(f"session:{name}", "memory", what, partial(_in_session, opened, project, agent))
            for name, agent in project.agents.items()
        ),
    ]


async def _agent(opened: Opened, project: Project, agent: Agent, effort: Effort) -> Measured:
    runtime = await opened.runtime()
    stand_in, note = _stand_in(runtime, agent)

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(stand_in, INPUT)

    with _silence():
        times, rounds = await _pace(runs, effort)
        microseconds = 1e6 * await seconds(runs, times, rounds)
        calls = await middle(lambda: python_calls(runs))
        also = (Figure(microseconds, "µs"), Figure(calls, "Python calls"))
        found = await in_batches(effort, lambda: ratio(runs, checkpoints, times, rounds), "checkpoints", also)
    return attrs.evolve(found, note="; ".join(filter(None, (note, _dropped(runtime, project)))))


async def _in_session(opened: Opened, project: Project, agent: Agent, effort: Effort) -> Measured:
    runtime = await opened.runtime()
    stand_in, note = _stand_in(runtime, agent)
    async with _session(runtime.memory) as session:

        async def runs(times: int) -> None:
            for _ in range(times):
                await runtime.run(stand_in, INPUT, session=session)

        with _silence():
            found = await _in_microseconds(runs, effort)
    return attrs.evolve(found, note="; ".join(filter(None, (note, _dropped(runtime, project)))))


async def _append(opened: Opened, effort: Effort) -> Measured:
    memory = (await opened.runtime()).memory
    message, version = (Message("user", INPUT),), 0
    async with _session(memory) as session:

        async def append(times: int) -> None:
            nonlocal version
            for _ in range(times):
                version = await memory.append(session, message, version=version)

        return await _in_microseconds(append, effort)


async def _in_microseconds(body: Times, effort: Effort) -> Measured:
    times, rounds = await _pace(body, effort)

    async def once() -> float:
        return 1e6 * await seconds(body, times, rounds)

    return await in_batches(effort, once, "µs")


async def _pace(body: Times, effort: Effort) -> tuple[int, int]:
    """How often a round is to do it, and how many rounds there are to be: fewer for what is slow.

    Raises `Unmeasured` for what does not end in time.
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


def _stand_in(runtime: Runtime, agent: Agent) -> tuple[Agent, str]:
    """The agent with a model that answers at once; and what else is not as it was. Raises what a run of it would."""
    runtime.check(agent)
    profile = profile_of(runtime.model(agent.model))
    hooks = [entry for entry in agent.hooks if not _asks_a_model(runtime, entry)]
    left_out = len(agent.hooks) - len(hooks)
    memory = memory_of(agent.memory)
    if memory.summary is not None:
        memory = attrs.evolve(memory, summary=attrs.evolve(memory.summary, model=None))
    model = Instant(made_up(agent.output), profile)
    note = f"without {left_out} of its {len(agent.hooks)} hooks, since a model would be asked" if left_out else ""
    return attrs.evolve(agent, model=model, hooks=hooks, memory=memory), note


def _asks_a_model(runtime: Runtime, entry: Any) -> bool:
    made = runtime.plugins.guardrail(entry, runtime.settings) if isinstance(entry, str) else entry
    return hasattr(made, "bound") or hasattr(getattr(made, "rail", None), "bound")


def _forgetful(project: Project) -> Project:
    """The project with a memory that is gone when the process ends: stored runs must not be found among the user's."""
    runtime = attrs.evolve(project.config.runtime, memory="memory:")
    return attrs.evolve(project, config=attrs.evolve(project.config, runtime=runtime))


def _dropped(runtime: Runtime, project: Project) -> str:
    """What has to be said of observers that raised, and were heard of no more."""
    names = [name for name in project.config.runtime.observers if name in runtime.plugins.failures]
    return f"the observer {', '.join(names)} failed" if names else ""


@asynccontextmanager
async def _session(memory: MemoryBackend) -> AsyncIterator[str]:
    """A session of our own in the user's memory. It goes, with its stored runs, whatever ends the block."""
    session = f"{PREFIX}{new_id()}"
    try:
        yield session
    finally:
        gone = False
        try:
            with trio.move_on_after(PATIENCE, shield=True):
                await _delete(memory, session)
                gone = True
        finally:
            if not gone:
                notice(f"A session could not be deleted. Do it later: agno-rt sessions delete {session}")


async def _delete(memory: MemoryBackend, session: str) -> None:
    if isinstance(memory, RunStore):
        for run in await memory.runs(session=session, limit=1_000_000):
            await memory.delete_run(run.id)
    await memory.delete(session)


@contextmanager
def _silence() -> Iterator[None]:
    """Whatever hooks and observers print in the block goes nowhere: it would drown the table."""
    _flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        _flush()
        os.close(nowhere)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
