"""Helpers for tests of tool calls below the level of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt._decide.hooks import Hooks
from agno_rt._decide.turns import Turns
from agno_rt._drive.call_tools import call_tools
from agno_rt._drive.emitter import Emitter, EventBuffer
from agno_rt._drive.job import Asked, Job, ResolvedAgent
from agno_rt._drive.take_turns import take_turns
from agno_rt._drive.tool_threads import Workers
from agno_rt.events import Event
from agno_rt.limiter import Limiter
from agno_rt.limits import Limits
from agno_rt.messages import Content, Message, ToolCall
from agno_rt.testing import ScriptedModel
from agno_rt.tools import Tool


def job_of(
    *tools: Tool,
    limits: Limits | None = None,
    hooks: Hooks | None = None,
    user: str | None = None,
    deps: Any = None,
    **more: Any,
) -> Job:
    """Return a job with these tools, and with places for the bounded ones."""
    places = {
        tool.name: Limiter(f"tool {tool.name!r}", tool.limits.concurrency)
        for tool in tools
        if tool.limits.concurrency is not None
    }
    limits, workers = limits or Limits(), Workers(limits or Limits())
    resolved = ResolvedAgent(
        take_turns,
        limits,
        Limiter("model_calls", 10),
        hooks=hooks,
        model=ScriptedModel([]),
        tools={tool.name: tool for tool in tools},
        places=places,
        workers=workers,
    )
    job = Job("run", "agent", resolved, Asked(user=user, deps=deps), (), "", Limiter("runs", 10), turns=Turns(10))
    return msgspec.structs.replace(job, **more)


def listening(events: list[Event], buffer: EventBuffer | None = None) -> Emitter:
    """Make an emitter that appends events to the list. A failing observer fails the test."""

    def failed(observer: object, exc: BaseException) -> None:
        raise exc

    return Emitter("run", (events.append,), buffer, failed)


def calls_of(name: str, *arguments: str) -> list[ToolCall]:
    """Make calls of one tool."""
    return [ToolCall(f"{name} {at}", name, text) for at, text in enumerate(arguments)]


async def told_of(job: Job, calls: Sequence[ToolCall]) -> list[Content]:
    """Call the tools and return the contents of the results, in the order of the calls."""
    results = await call_tools(job, calls)
    messages = [each for each in results if isinstance(each, Message)]
    assert [(message.role, message.tool_call_id, message.name) for message in messages] == [
        ("tool", call.id, call.name) for call in calls
    ]
    return [message.content for message in messages]
