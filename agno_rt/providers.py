"""Sources of context for runs: the protocol of providers, and the context they give. Knows nothing of how runs run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.context import RunContext
from agno_rt.tools import Tool, Toolkit

__all__ = ["Context", "ContextProvider"]

ProvidedTools: TypeAlias = Sequence[Tool | Toolkit | Callable[..., Any]]


@attrs.frozen
class Context:
    """The part of a run's context from a `ContextProvider`: texts for the model, and tools for this run.

    Attributes:
        instructions: text that is the same in each run, such as a catalogue or the rules of a project. The text is in
            the system message, after the agent's instructions: the beginning of the request, which model providers
            cache. A text that differs from the last run's costs the whole cached beginning
        notes: text for this run alone, such as passages that fit the input. The model sees the notes in a message of
            their own, just before the input, so that everything before stays cached. The session does not store notes
        tools: tools for this run, after the agent's own; toolkits too, except toolkits with `open`. A model provider
            caches the tools as well, so give the same tools in the same order where you can
    """

    instructions: str = ""
    notes: str = ""
    tools: ProvidedTools = ()


@runtime_checkable
class ContextProvider(Protocol):
    """A source of context for runs, named in an agent's `MemoryPolicy(context=[...])`.

    A provider that gives only tools is a toolset, chosen for each run. A provider is asked once for each run, after the
    hooks have seen the input. Any number of runs share a provider, at the same time too. When a stored run goes on
    after a crash or a pause, the provider is asked again for its tools alone: the model keeps the texts that it has
    seen.

    Optional members:

    - `def bound(self, runtime)`: returns a copy for a runtime, to use the runtime's models (`runtime.model(spec)`) and
      its memory backend (`runtime.memory`)
    - `def resumed(self, context, messages)`: called before `provide` when a stored run goes on, with the messages of
      the run so far; the first is the notes of all providers, if there were any
    - `check_ready()`: raises an error if the provider cannot work, or returns a line to show at start (see `readiness`)
    """

    @property
    def name(self) -> str:
        """The name in errors."""
        ...

    async def provide(self, context: RunContext) -> Context | None:
        """Return the context for the run; `None` for nothing.

        An exception other than an `AgnoError` ends the run as a `HookError`.
        """
        ...
