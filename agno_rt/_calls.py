"""Carries out the tool calls of one turn under trio: in place, in threads, several in one bounded nursery.

Whatever goes wrong in a tool is told to the model, and the run goes on. Knows no model and no session.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import trio

from agno_rt._emit import Emitter
from agno_rt._scopes import deadline, ended_as, named
from agno_rt.errors import suggest
from agno_rt.events import Status, ToolEnded, ToolStarted
from agno_rt.limits import Limits
from agno_rt.messages import Message, ToolCall
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Calling", "call_tools"]


class Calling(Protocol):
    """What calls need of a run's job."""

    run_id: str
    tools: Mapping[str, Tool]
    limits: Limits
    emitter: Emitter | None


async def call_tools(job: Calling, calls: Sequence[ToolCall]) -> list[Message]:
    """The results of the calls, in their order: one call in place, several in one nursery, bounded."""
    if len(calls) == 1:
        return [await _call_tool(job, calls[0])]
    results: dict[int, Message] = {}
    pending = iter(enumerate(calls))

    async def work() -> None:
        # The workers share one iterator, so each call is taken once and no more than `tools` are under way.
        for at, call in pending:
            results[at] = await _call_tool(job, call)

    async with trio.open_nursery() as nursery:
        for _ in range(min(len(calls), job.limits.tools)):
            nursery.start_soon(work)
    return [results[at] for at in range(len(calls))]


async def _call_tool(job: Calling, call: ToolCall) -> Message:
    emitter = job.emitter
    if emitter is None:
        _, content = await _outcome(job, call)
        return Message("tool", content, (), call.id, call.name)
    await emitter.send(ToolStarted(job.run_id, call))
    try:
        status, content = await _outcome(job, call)
    except BaseException as exc:
        emitter.post(ToolEnded(job.run_id, call, ended_as(exc), ""))
        raise
    emitter.post(ToolEnded(job.run_id, call, status, content))
    return Message("tool", content, (), call.id, call.name)


async def _outcome(job: Calling, call: ToolCall) -> tuple[Status, str]:
    """What the model is told of the call. Whatever goes wrong in a tool is told too, and the run goes on."""
    tool = job.tools.get(call.name)
    if tool is None:
        return "failed", f"There is no tool {call.name!r}. {suggest('tool', call.name, job.tools)}"
    try:
        return "completed", await _invoke(tool, tool.decode(call.arguments), job.limits.tool_timeout)
    except ToolArgumentError as exc:
        return "failed", str(exc)
    except Exception as exc:
        return "failed", f"{call.name} failed: {named(exc)}"


async def _invoke(tool: Tool, arguments: dict[str, Any], seconds: float | None) -> str:
    if tool.inline and not tool.is_async:
        return _text(tool.function(**arguments))
    if seconds is None:
        return _text(await _awaited(tool, arguments))
    with deadline(seconds, "tool_timeout", f"the tool {tool.name}"):
        return _text(await _awaited(tool, arguments))


async def _awaited(tool: Tool, arguments: dict[str, Any]) -> Any:
    if tool.is_async:
        return await tool.function(**arguments)
    # A thread cannot be stopped. Waiting for it would hold up the cancellation of the whole run, so it is left behind.
    return await trio.to_thread.run_sync(functools.partial(tool.function, **arguments), abandon_on_cancel=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
