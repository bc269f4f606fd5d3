"""Carries out calls to one tool: injected parameters, limits, retries, batches.

A tool's failure becomes a result for the model. A mistake of the run's caller is raised, and ends the run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from types import CoroutineType
from typing import Any

import trio

from agno_rt._decide.tool_results import Told, ToolPaused, ToolStopped, content_of, contents_of, failure
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import RunStopped, cause, deadline
from agno_rt._drive.tool_process import Failed, Processes, check_process, run_in_process
from agno_rt._drive.tool_progress import Progress
from agno_rt._drive.tool_threads import Threads
from agno_rt._schema.injection import asks_for_context, fill_in
from agno_rt.errors import DeadlineExceeded
from agno_rt.failures import must_pass, text_of
from agno_rt.limiter import Limiter
from agno_rt.messages import ToolCall
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Late", "call_in_time", "check_stopped", "invoke_tool"]

_HELD: ContextVar[tuple[tuple[Job, Limiter], ...]] = ContextVar("agno_rt_tool_places", default=())
"""The places held by calls around this one. A nested call waiting for such a place would wait forever."""


class Late(Failed):
    """Raised for a tool that took too long."""


def check_stopped(job: Job, exc: BaseException) -> None:
    """Raise `ToolStopped` if a call failed because a run within has stopped with the run."""
    if job.inbox is not None and job.inbox.stop is not None and isinstance(cause(exc), RunStopped):
        raise ToolStopped from exc


async def call_in_time(tool: Tool, arguments: dict[str, Any], seconds: float | None, stay: _Stay | None = None) -> Any:
    """Call the function in this process: in place, awaited, or in a thread. Raises `Late` after `seconds`.

    A function in a thread needs a `stay` with a place among the threads.
    """
    if tool.inline and not tool.is_async:
        value = tool.function(**arguments)
        return await value if type(value) is CoroutineType else value
    if seconds is None:
        return await _call_function(tool, arguments, stay)
    try:
        with deadline(seconds, "tool_timeout", f"the tool {tool.name}") as scope:
            return await _call_function(tool, arguments, stay)
    except DeadlineExceeded as exc:
        # The function may run agents, whose own deadlines are not this tool's.
        if not scope.cancelled_caught:
            raise
        left = "" if tool.is_async else ". It could not be stopped, and may still be running"
        raise Late(f"{tool.name} failed: {exc.message}{left}") from exc


async def _call_function(tool: Tool, arguments: dict[str, Any], stay: _Stay | None) -> Any:
    if tool.is_async:
        return await tool.function(**arguments)
    assert stay is not None
    return await stay.in_thread(tool, arguments)


async def invoke_tool(job: Job, tool: Tool, calls: Sequence[ToolCall]) -> list[Told]:
    """Carry out one call, or several calls to a batch tool; return the results for the model, in order.

    Raises `UsageError` for a mistake of the run's caller.
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
            if (refusal := _count_call(job, tool, call)) is None:
                decoded[at] = arguments
            else:
                told[at] = "failed", refusal
    if decoded:
        made = [calls[at] for at in decoded]
        outcomes = await _fill_and_call(job, tool, made, _join_arguments(tool, decoded.values()))
        told |= zip(decoded, outcomes, strict=True)
    return [told[at] for at in range(len(calls))]


def _count_call(job: Job, tool: Tool, call: ToolCall) -> str | None:
    """Count one more call, or return why the limit refuses the call. A call made again after a pause counts once."""
    limit = tool.limits.calls
    if limit is None or (job.journal is not None and job.turns is not None and job.journal.waited(job.turns, call)):
        return None
    called = job.called = job.called or {}
    made = called.get(tool.name, 0)
    if made >= limit:
        times = "once" if limit == 1 else f"{limit} times"
        return f"{tool.name} was not called: it may be called {times} in one run, and has been."
    called[tool.name] = made + 1
    return None


def _join_arguments(tool: Tool, decoded: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the arguments of the one call; for a batch tool, a list of all calls' values for each argument."""
    each = list(decoded)
    return {name: [arguments[name] for arguments in each] for name in each[0]} if tool.batch else each[0]


async def _fill_and_call(job: Job, tool: Tool, calls: Sequence[ToolCall], arguments: dict[str, Any]) -> list[Told]:
    """Call the function with its injected parameters filled in."""
    if tool.process:
        check_process(tool)
    if not tool.injected:
        return await _call_in_places(job, tool, arguments, len(calls))
    progress = context = None
    if asks_for_context(tool.injected):
        progress = Progress(job.emitter, calls)
        context = job.context()
        context.call = None if tool.batch else calls[0]
        context._within = job
        context._send, context._report = progress.send, progress.report
        if job.journal is not None:
            from agno_rt._drive.runs_within import RunsWithin  # stored runs alone need the module

            context._run = RunsWithin(job, calls, batch=tool.batch).run
    try:
        arguments |= fill_in(tool.name, tool.injected, job.asked.deps, job.state, context)
        return await _call_in_places(job, tool, arguments, len(calls))
    finally:
        if progress is not None:
            progress.close()


async def _call_in_places(job: Job, tool: Tool, arguments: dict[str, Any], count: int) -> list[Told]:
    """Call the function in a place among the tool's calls and, for a sync tool, a place among the threads.

    A place that a call around this run holds is not taken again.
    """
    threads = None if tool.is_async or tool.inline or tool.process else _get_threads(job)
    own = job.resolved.places.get(tool.name)
    bounds = (own, None if threads is None else threads.places)
    wanted = [limiter for limiter in bounds if limiter is not None and not _is_held_outside(job, limiter)]
    if (full := _try_places(wanted)) is not None and (
        refusal := await _wait_for_places(tool, wanted, full, job.resolved.limits.queue_timeout)
    ):
        return [("failed", refusal)] * count
    stay = _Stay(own if own in wanted else None, threads)
    held = _HELD.set((*_HELD.get(), *((job, limiter) for limiter in wanted))) if wanted else None
    try:
        if threads is not None and (refusal := threads.refusal(tool.name)):
            return [("failed", refusal)] * count
        return await _call_with_retries(job, tool, arguments, count, stay)
    finally:
        if held is not None:
            _HELD.reset(held)
        if threads is not None and threads.places in wanted:
            threads.places.release()
        stay.leave()


def _get_threads(job: Job) -> Threads:
    assert job.resolved.workers is not None
    return job.resolved.workers.threads


def _try_places(wanted: Sequence[Limiter]) -> Limiter | None:
    """Take a place of every limiter and return `None`; or take no place and return the first full limiter."""
    for at, limiter in enumerate(wanted):
        if not limiter.try_acquire():
            for taken in wanted[:at]:
                taken.release()
            return limiter
    return None


async def _wait_for_places(tool: Tool, wanted: Sequence[Limiter], full: Limiter, seconds: float | None) -> str | None:
    """Take a place of every limiter, waiting up to `seconds`; return why the call is refused after that."""
    what = f"one of the {full.total} threads" if full.name == "threads" else f"one of its {full.total} places"
    try:
        if seconds is None:
            await _take_places(wanted, full)
        else:
            with deadline(seconds, "queue_timeout", f"the wait for {what}"):
                await _take_places(wanted, full)
    except DeadlineExceeded as exc:
        return f"{tool.name} was not called: {exc.message}."
    return None


async def _take_places(wanted: Sequence[Limiter], full: Limiter | None) -> None:
    # No place is held while waiting: two calls that each hold one place and wait for the other would deadlock.
    while full is not None:
        taken = full
        await taken.acquire()
        full = _try_places([limiter for limiter in wanted if limiter is not taken])
        if full is not None:
            taken.release()


async def _call_with_retries(job: Job, tool: Tool, arguments: dict[str, Any], count: int, stay: _Stay) -> list[Told]:
    """Call the function, retry as the tool allows, and return the results of the last attempt."""
    attempts = 1
    while True:
        try:
            return await _call_once(job, tool, arguments, count, stay)
        except ToolPaused:
            raise
        except ToolArgumentError as exc:
            return [("failed", text_of(exc))] * count
        except _Unfit as exc:
            return [("failed", failure(tool.name, exc.reason))] * count
        except BaseException as exc:
            if must_pass(exc):
                raise
            check_stopped(job, exc)
            # A thread left behind still runs the function; a retry would run the function twice at once.
            left = isinstance(exc, Late) and not tool.is_async and not tool.process
            if attempts > tool.limits.retries or left:
                text = text_of(exc) if isinstance(exc, Failed) else failure(tool.name, exc)
                return [("failed", text if attempts == 1 else f"{text} ({attempts} attempts)")] * count
        attempts += 1
        await trio.lowlevel.checkpoint()


class _Unfit(Exception):
    """Raised for a result that cannot become content; a retry would not help."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


async def _call_once(job: Job, tool: Tool, arguments: dict[str, Any], count: int, stay: _Stay) -> list[Told]:
    seconds = min(filter(None, (tool.limits.timeout, job.resolved.limits.tool_timeout)), default=None)
    if tool.process:
        try:
            content = await run_in_process(tool, arguments, seconds, count if tool.batch else None, _get_processes(job))
        except DeadlineExceeded as exc:
            # Raised by the tool's own deadline only: an error of the function arrives as `Failed`.
            raise Late(f"{tool.name} failed: {exc.message}, and was killed") from exc
        return content if tool.batch else [("completed", content)]
    value = await call_in_time(tool, arguments, seconds, stay)
    if job.journal is not None and job.journal.paused_within:
        from agno_rt._drive.runs_within import check_pause  # as above

        check_pause(value, job.journal.paused_within)
    try:
        return contents_of(value, count, tool.name) if tool.batch else [("completed", content_of(value))]
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise _Unfit(exc) from exc


def _get_processes(job: Job) -> Processes | None:
    return None if job.resolved.workers is None else job.resolved.workers.processes


def _is_held_outside(job: Job, limiter: Limiter) -> bool:
    """Return whether a call around this run holds a place of the limiter."""
    holders = [holder for holder, held in _HELD.get() if held is limiter]
    outer = job.outer if holders else None
    while outer is not None:
        if outer in holders:
            return True
        outer = outer.outer
    return False


class _Stay:
    """A call's place among its tool's places, given back by its last user: the call, or the thread of the call."""

    __slots__ = ("_place", "_threads", "_users")

    def __init__(self, place: Limiter | None, threads: Threads | None) -> None:
        self._place = place
        self._threads = threads
        self._users = 1

    def leave(self) -> None:
        self._users -= 1
        if not self._users and self._place is not None:
            self._place.release()

    async def in_thread(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Call the function in a thread. The thread uses the place until it ends, even if left behind."""
        assert self._threads is not None
        self._users += 1
        return await self._threads.run(tool.name, functools.partial(tool.function, **arguments), self.leave)
