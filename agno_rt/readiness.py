"""Checks before the first run whether agents can answer: weights, keys, documents, memory.

A model, a tool or a memory backend may have a method `check_ready()`. The method takes no arguments, is quick, asks no
other machine and changes nothing. The method raises the error of a run, returns a line to show at start ("12
documents in docs"), or returns `None`. A coroutine function is awaited; any other runs in a worker thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from typing import Any, Literal

import attrs
import trio

from agno_rt._drive.job import ResolvedAgent
from agno_rt._runtime.opened import ToolkitsClosed
from agno_rt._runtime.warm import list_models
from agno_rt.agent import Agent
from agno_rt.errors import AgnoError
from agno_rt.failures import must_pass, named
from agno_rt.models import NO_SETTINGS
from agno_rt.runnable import Runnable, list_parts
from agno_rt.runtime import Runtime
from agno_rt.tools import Toolkit, ToolSearch

__all__ = ["Finding", "FindingLevel", "check_ready"]

FindingLevel = Literal["note", "warning", "error"]


@attrs.frozen
class Finding:
    """A fact about agents, found before they ran.

    Attributes:
        level: `note` for information; `warning` for something missing, such as documents or a lasting memory; `error`
            for a problem with which every run of the agents fails, and for a memory that cannot be used
        message: the fact
        hint: the remedy
        agents: the names of the agents concerned; empty for all agents
    """

    level: FindingLevel
    message: str
    hint: str = ""
    agents: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{', '.join(self.agents)}: {self.message}" if self.agents else self.message


async def check_ready(
    runtime: Runtime, *agents: Runnable, memory: bool = True, toolkits: bool = False
) -> list[Finding]:
    """Check whether the agents can answer now, and whether the runtime's memory opens, without asking a model.

    A finding on several agents is returned once, with all their names. `memory=False` skips the memory. With
    `toolkits`, the agents' toolkits are opened, which may take time and ask other machines; otherwise the tools of a
    toolkit that is not open are not checked. Raises nothing: a check that fails is a finding, too.
    """
    places: dict[Finding, tuple[str, ...]] = {}
    # Shared models and tools are checked once. Knowing them by id is safe, since the runtime keeps them alive.
    asked: dict[int, Finding | None] = {}
    for agent in agents:
        name = agent.name or "agent"
        for finding in await _check_runnable(runtime, agent, asked, toolkits):
            names = places.get(finding, ())
            places[finding] = names if name in names else (*names, name)
    found = [attrs.evolve(finding, agents=names) for finding, names in places.items()]
    of_memory = await _check_memory(runtime) if memory else None
    return found if of_memory is None else [*found, of_memory]


async def _check_runnable(
    runtime: Runtime, runnable: Runnable, asked: dict[int, Finding | None], toolkits: bool
) -> list[Finding]:
    try:
        runtime.check(runnable)
        if toolkits:
            await runtime.open_tools(runnable)
    except AgnoError as exc:
        return [Finding("error", exc.message, exc.hint)]
    findings: dict[Finding, None] = {}
    for part in list_parts(runnable):
        if isinstance(part, Agent):
            findings |= dict.fromkeys(await _check_agent(runtime, part, asked))
    return list(findings)


async def _check_agent(runtime: Runtime, agent: Agent, asked: dict[int, Finding | None]) -> list[Finding]:
    resolved = _resolve_open_parts(runtime, agent)
    models = list(list_models(resolved))
    parts = [*models, *resolved.tools.values(), *(resolved.providers or ())]
    for part in parts:
        if id(part) not in asked:
            asked[id(part)] = await _check_part(part, "error" if part in models else "warning")
    found = [finding for part in parts if (finding := asked[id(part)]) is not None]
    return [*found, _FORGETS] if resolved.pauses and runtime._memory == "memory:" else found


def _resolve_open_parts(runtime: Runtime, agent: Agent) -> ResolvedAgent:
    """Resolve a checked agent; without its toolkits that are not open."""
    try:
        return runtime._resolver.resolve_agent(agent)
    except ToolkitsClosed as exc:
        closed = {*exc.toolkits, *exc.toolkits.values()}
    # The settings may choose a tool of these toolkits.

    def leave_out(tools: Sequence[Any]) -> list[Any]:
        left = [entry for entry in tools if not (isinstance(entry, Toolkit | str) and entry in closed)]
        return [ToolSearch(leave_out(entry.tools)) if isinstance(entry, ToolSearch) else entry for entry in left]

    tools = leave_out(agent.tools)
    return runtime._resolver.resolve_agent(attrs.evolve(agent, tools=tools, settings=NO_SETTINGS))


async def _check_memory(runtime: Runtime) -> Finding | None:
    try:
        return await _check_part(runtime.memory, "error")
    except AgnoError as exc:
        return Finding("error", exc.message, exc.hint)


async def _check_part(part: Any, level: FindingLevel) -> Finding | None:
    """Return the finding of a part's own check, if any; `level` is for a part not ready to run."""
    check = getattr(part, "check_ready", None)
    if check is None:
        return None
    try:
        if inspect.iscoroutinefunction(check):
            note = await check()
        else:
            note = await trio.to_thread.run_sync(check)
            note = await note if isinstance(note, Awaitable) else note
    except AgnoError as exc:
        return Finding(level, exc.message, exc.hint)
    except BaseException as exc:
        if must_pass(exc):
            raise
        called = getattr(part, "name", type(part).__name__)
        return Finding("warning", f"the check of {called} failed: {named(exc)}", _REPORT)
    return Finding("note", note) if note else None


_REPORT = "Report this to its author; the check keeps no run from starting."
_FORGETS = Finding(
    "warning",
    "runs wait for a person's decision, and the memory 'memory:' forgets them when this process ends",
    'Set memory = "sqlite:///agents.db" in [runtime] of agno-rt.toml.',
)
