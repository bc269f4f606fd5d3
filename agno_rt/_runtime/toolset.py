"""The tools of an agent as its runs see them: all by name, those in each request, and an index of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from agno_rt._runtime.check_parts import name_tools
from agno_rt.agent import Agent, memory_of
from agno_rt.limiter import Limiter
from agno_rt.providers import ContextProvider
from agno_rt.runnable import Runnable, list_parts
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from agno_rt._decide.tool_index import ToolIndex

__all__ = ["NO_TOOLS", "Toolset", "has_pausing_part", "make_toolset"]


class Toolset(msgspec.Struct, eq=False):
    """The tools of an agent by name, and the limiters of bounded tools.

    `offered` are the tools in each request; the others are in the `index`. `pauses` and `starts` tell whether a tool
    may pause its run, or starts background runs. `context` has the context providers that come with tools.
    """

    tools: Mapping[str, Tool]
    offered: tuple[Tool, ...] = ()
    index: ToolIndex | None = None
    places: Mapping[str, Limiter] = {}
    pauses: bool = False
    starts: bool = False
    context: tuple[ContextProvider, ...] = ()


def make_toolset(tools: Sequence[Tool], hidden: Sequence[Tool]) -> Toolset:
    """Return the toolset, without limiters. Raises `UsageError` for two tools of a name."""
    if not hidden:
        by_name = name_tools(tools)
        offered, index = tuple(by_name.values()), None
    else:
        from agno_rt._decide.tool_index import ToolIndex  # few agents search their tools

        index = ToolIndex(hidden)
        offered = (*name_tools(tools).values(), *index.tools)
        by_name = name_tools([*offered, *hidden])
    pauses = any(tool.pauses for tool in by_name.values())
    starts = any(hasattr(tool.function, "reopen") for tool in by_name.values())
    marked = [tool.function.provider for tool in by_name.values() if hasattr(tool.function, "provider")]
    return Toolset(by_name, offered, index, pauses=pauses, starts=starts, context=tuple(dict.fromkeys(marked)))


NO_TOOLS = Toolset({})


def has_pausing_part(runnable: Runnable, may_pause: Callable[[Agent], bool]) -> bool:
    """Return whether a run within the runnable's may wait for a person: `may_pause` says so of an agent with tools.

    A stored flow within may ask people, too.
    """
    others = False
    for part in runnable.parts():
        if part.__class__ is not Agent:
            others = True
        elif part.tools and may_pause(part):  # without a call for each plain member of a large team
            return True
    return others and any(
        bool(part.tools) and may_pause(part)
        if isinstance(part, Agent)
        else part is not runnable and memory_of(part.memory).journal
        for part in list_parts(runnable)
    )
