"""Carries out calls to one tool, with all that a tool may ask for: what is injected, its limits, its retries, batches.

Whatever goes wrong in the tool is told to the model. What its caller alone can mend is raised, and ends the run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import trio

from agno_rt._inject import asks_for_context, fill_in
from agno_rt._job import Job
from agno_rt._limiter import Limiter
from agno_rt._process import Failed, check_process, run_in_process
from agno_rt._progress import Progress
from agno_rt._results import Told, content_of, contents_of, failure
from agno_rt._scopes import deadline
from agno_rt.errors import DeadlineExceeded
from agno_rt.failures import must_pass, text_of
from agno_rt.messages import ToolCall
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Late", "carry_out", "in_time"]

_HELD: ContextVar[tuple[tuple[Job, Limiter], ...]] = ContextVar("agno_rt_tool_places", default=())
"""The places of tools that the runs around this one hold: a call within such a call must not wait for it."""


class Late(Failed):
    """A tool that took too long."""


async def in_time(tool: Tool, arguments: dict[str, Any], seconds: float | None, place: _Place | None = None) -> Any:
    """Call the function where it belongs, in this process. Raises what it raises, and `Late` after so many seconds."""
    if tool.inline and not tool.is_async:
        return tool.function(**arguments)
    if seconds is None:
        return await _awaited(tool, arguments, place)
    try:
        with deadline(seconds, "tool_timeout", f"the tool {tool.name}") as scope:
            return await _awaited(tool, arguments, place)
    except DeadlineExceeded as exc:
        if not scope.cancelled_caught:
            raise
        left = "" if tool.is_async else ". It could not be stopped, and may still do what it was doing"
        raise Late(f"{tool.name} failed: {exc.message}{left}") from exc


async def _awaited(tool: Tool, arguments: dict[str, Any], place: _Place | None) -> Any:
    if tool.is_async:
        return await tool.function(**arguments)
    call = functools.partial(tool.function, **arguments)
    if place is not None:
        return await place.in_thread(call)
    # A thread cannot be stopped. Waiting for it would hold up the cancellation of the whole run, so it is left behind.
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


async def carry_out(job: Job, tool: Tool, calls: Sequence[ToolCall]) -> list[Told]:
    """What the model is told of calls to the tool: of one, or of several if it is a batch tool.

    Raises `UsageError` for what the run's caller has to mend.
    """
    told: dict[int, Told] = {}
    decoded: dict[int, dict[str, Any]] = {}
    for at, call in enumerate(calls):
        try:
            arguments = tool.decode(call.arguments)
        except ToolArgumentError as exc:
            told[at] = "failed", text_of(exc)
        except BaseException as exc:
            if must_pass(exc):
                raise
            told[at] = "failed", failure(tool.name, exc)
        else:
            if (refusal := _counted(job, tool)) is None:
                decoded[at] = arguments
            else:
                told[at] = "failed", refusal
    if decoded:
        made = [calls[at] for at in decoded]
        outcomes = await _filled(job, tool, made, _joined(tool, decoded.values()))
        told |= zip(decoded, outcomes, strict=True)
    return [told[at] for at in range(len(calls))]


def _counted(job: Job, tool: Tool) -> str | None:
    """Count one more call, or say why it is not made."""
    limit = tool.limits.calls
    if limit is None:
        return None
    called = job.called = job.called or {}
    made = called.get(tool.name, 0)
    if made >= limit:
        times = "once" if limit == 1 else f"{limit} times"
        return f"{tool.name} was not called: it may be called {times} in one run, and that has been done."
    called[tool.name] = made + 1
    return None


def _joined(tool: Tool, decoded: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The arguments of one call; for a batch tool those of all calls, in a list."""
    each = list(decoded)
    return {name: [arguments[name] for arguments in each] for name in each[0]} if tool.batch else each[0]


async def _filled(job: Job, tool: Tool, calls: Sequence[ToolCall], arguments: dict[str, Any]) -> list[Told]:
    """Call the function with what the run fills in."""
    if tool.process:
        check_process(tool)
    if not tool.injected:
        return await _placed(job, tool, arguments, len(calls))
    progress = context = None
    if asks_for_context(tool.injected):
        progress = Progress(job.emitter, calls)
        context = job.context()
        context.call = None if tool.batch else calls[0]
        context._send, context._report = progress.send, progress.report
    try:
        arguments |= fill_in(tool.name, tool.injected, job.deps, job.state, context)
        return await _placed(job, tool, arguments, len(calls))
    finally:
        if progress is not None:
            progress.close()


async def _placed(job: Job, tool: Tool, arguments: dict[str, Any], count: int) -> list[Told]:
    """Call the function in its place among the calls under way, if there are only so many."""
    limiter = job.places.get(tool.name)
    if limiter is None or _held(job, limiter):
        return await _attempted(job, tool, arguments, count, None)
    if not limiter.try_acquire() and (refusal := await _refused(tool, limiter, job.limits.queue_timeout)):
        return [("failed", refusal)] * count
    place = _Place(limiter)
    held = _HELD.set((*_HELD.get(), (job, limiter)))
    try:
        return await _attempted(job, tool, arguments, count, place)
    finally:
        _HELD.reset(held)
        place.leave()


async def _refused(tool: Tool, limiter: Limiter, seconds: float | None) -> str | None:
    """Wait for a place; why there is none, if the wait takes too long."""
    try:
        if seconds is None:
            await limiter.acquire()
        else:
            with deadline(seconds, "queue_timeout", f"the wait for one of its {limiter.total} places"):
                await limiter.acquire()
    except DeadlineExceeded as exc:
        return f"{tool.name} was not called: {exc.message}."
    return None


async def _attempted(job: Job, tool: Tool, arguments: dict[str, Any], count: int, place: _Place | None) -> list[Told]:
    """Try, and try again as often as the tool may be; then what came of it, or of the last attempt."""
    attempts = 1
    while True:
        try:
            return await _attempt(job, tool, arguments, count, place)
        except ToolArgumentError as exc:
            return [("failed", text_of(exc))] * count
        except _Unfit as exc:
            return [("failed", failure(tool.name, exc.reason))] * count
        except BaseException as exc:
            if must_pass(exc):
                raise
            # A thread that was left behind is still at it, and a second one beside it is not what anybody asked for.
            left = isinstance(exc, Late) and not tool.is_async and not tool.process
            if attempts > tool.limits.retries or left:
                text = text_of(exc) if isinstance(exc, Failed) else failure(tool.name, exc)
                return [("failed", text if attempts == 1 else f"{text} ({attempts} attempts)")] * count
        attempts += 1
        await trio.lowlevel.checkpoint()


class _Unfit(Exception):
    """A result that cannot be told, however often it is asked for."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


async def _attempt(job: Job, tool: Tool, arguments: dict[str, Any], count: int, place: _Place | None) -> list[Told]:
    seconds = min(filter(None, (tool.limits.timeout, job.limits.tool_timeout)), default=None)
    if tool.process:
        try:
            content = await run_in_process(tool, arguments, seconds, count if tool.batch else None, job.processes)
        except DeadlineExceeded as exc:
            # Nothing else in there raises one: what the function raises comes as `Failed`.
            raise Late(f"{tool.name} failed: {exc.message}, and was killed") from exc
        return content if tool.batch else [("completed", content)]
    value = await in_time(tool, arguments, seconds, place)
    try:
        return contents_of(value, count, tool.name) if tool.batch else [("completed", content_of(value))]
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise _Unfit(exc) from exc


def _held(job: Job, limiter: Limiter) -> bool:
    """Whether a call that this run is within holds a place of the limiter."""
    holders = [holder for holder, held in _HELD.get() if held is limiter]
    outer = job.outer if holders else None
    while outer is not None:
        if outer in holders:
            return True
        outer = outer.outer
    return False


class _Place:
    """A place among the calls under way, given back when the last who uses it has left: the call, or its thread."""

    __slots__ = ("_limiter", "_users")

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._users = 1

    def leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._limiter.release()

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Call it in a thread, which keeps the place until it has really ended, also where it is left behind."""
        token = trio.lowlevel.current_trio_token()
        # Whoever takes it decides whether the function is called: the thread when it begins, or else the cancellation.
        ticket = [True]

        def called() -> Any:
            try:
                ticket.pop()
            except IndexError:
                return None
            try:
                return call()
            finally:
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(self.leave)

        self._users += 1
        try:
            return await trio.to_thread.run_sync(called, abandon_on_cancel=True)
        finally:
            with suppress(IndexError):
                ticket.pop()
                self.leave()
