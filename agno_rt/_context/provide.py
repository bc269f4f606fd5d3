"""Asks an agent's context providers for the texts and tools of one run. Knows the protocol, no single provider."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence

import msgspec

from agno_rt._drive.job import Job
from agno_rt.errors import AgnoError, HookError, UsageError
from agno_rt.failures import must_pass, named, repr_of
from agno_rt.messages import Message
from agno_rt.providers import Context, ContextProvider
from agno_rt.tools import Tool, Toolkit
from agno_rt.tools import tool as as_tool

__all__ = ["ask_providers"]


async def ask_providers(job: Job, seen: Sequence[Message] | None = None) -> str:
    """Give the run the instructions and tools of the providers, and return the notes.

    `seen` has the messages of a resumed run, with known texts: only the tools count. Raises `HookError` for a failing
    provider, and `UsageError` for an unusable context.
    """
    assert job.resolved.providers is not None
    given = [(provider, await _ask_provider(job, provider, seen)) for provider in job.resolved.providers]
    tools: dict[str, Tool] = {}
    for provider, each in given:
        _collect_tools(job, provider, each, tools)
    add_tools(job, tools)
    if seen is not None:
        return ""
    assert isinstance(job.instructions, str), "the instructions are rendered before"
    texts = (job.instructions, *(each.instructions.strip("\n") for _, each in given))
    job.instructions = "\n\n".join(filter(None, texts))
    return "\n\n".join(filter(None, (each.notes.strip("\n") for _, each in given)))


async def _ask_provider(job: Job, provider: ContextProvider, seen: Sequence[Message] | None) -> Context:
    resumed = None if seen is None else getattr(provider, "resumed", None)
    try:
        if resumed is not None:
            resumed(job.context(), seen)
        given = await provider.provide(job.context())
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise HookError(f"the context provider {provider.name} failed: {named(exc)}", hook=provider.name) from exc
    if given is None:
        return _NOTHING
    if not isinstance(given, Context) or type(given.instructions) is not str or type(given.notes) is not str:
        hint = "Return Context(instructions=..., notes=..., tools=[...]) with texts, or None."
        raise UsageError(f"the context provider {provider.name} returned {repr_of(given)}, not a Context", hint=hint)
    return given


_NOTHING = Context()


def _collect_tools(job: Job, provider: ContextProvider, given: Context, tools: dict[str, Tool]) -> None:
    """Add the tools of a context. Raises `UsageError` for a taken name, and for anything but tools."""
    for entry in given.tools:
        for tool in _make_tools(provider, entry):
            if tool.name in job.resolved.tools or tool.name in tools:
                hint = "Give one of them another name: @tool(name=...)."
                problem = f"the tool {tool.name!r} of the context provider {provider.name} has the name of another tool"
                raise UsageError(problem, hint=hint)
            tools[tool.name] = tool


def _make_tools(provider: ContextProvider, entry: object) -> tuple[Tool, ...]:
    if isinstance(entry, Toolkit) and entry.open is None:
        return tuple(entry.tools)
    if isinstance(entry, Toolkit):
        hint = "Name the toolkit in the agent's tools: the runtime opens it before the run."
        raise UsageError(f"the context provider {provider.name} gave a toolkit to open, {entry.name!r}", hint=hint)
    if isinstance(entry, type) or not callable(entry):
        hint = "Give tools and functions."
        raise UsageError(f"{repr_of(entry)} among the tools of the context provider {provider.name}", hint=hint)
    return (entry if isinstance(entry, Tool) else as_tool(entry),)


def add_tools(job: Job, tools: dict[str, Tool]) -> None:
    """Give the run more tools, after its own.

    Raises `UsageError` if a tool may pause the run, and the run is not stored.
    """
    if not tools:
        return
    resolved, workers = job.resolved, job.resolved.workers
    for tool in tools.values():
        if tool.pauses and job.journal is None:
            hint = "Store the runs: MemoryPolicy(journal=True)."
            raise UsageError(f"the tool {tool.name!r} may wait for a person, and the run is not stored", hint=hint)
        if tool.process and workers is not None:
            workers.admit(tool)
    places = resolved.places
    bounded = [tool for tool in tools.values() if tool.limits.concurrency is not None]
    if bounded and workers is not None:
        # A chain, since the run's own mapping also holds the toolkits that the run uses.
        places = ChainMap(workers.places_of(bounded), places)  # type: ignore[arg-type]  # only read
    # A copy for this run: other runs of the agent have other tools.
    known, offered = {**resolved.tools, **tools}, (*resolved.offered, *tools.values())
    job.resolved = msgspec.structs.replace(resolved, tools=known, offered=offered, places=places, nests=True)
