"""Calls the function of a step: a sync function in a thread, within the time limit, and again after a failure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import trio

from agno_rt._decide.flow_paths import Place
from agno_rt._drive.tool_threads import Threads
from agno_rt.errors import AgnoError, DeadlineExceeded, Overloaded, StepFailed, StepUncertain, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.workflows.functions import StepFunction

__all__ = ["call_step_function", "uncertain_error"]


def uncertain_error(place: Place, run: str) -> StepUncertain:
    """Return the error for a step that had begun when the program ended."""
    hint = (
        "Look whether it took effect. To do it again, fork the run before the step and resume the fork; or declare "
        "@step(idempotent=True) if it may be done twice; or catch StepUncertain in the workflow."
    )
    problem = f"{place.path} of run {run!r} had begun when the program ended; nobody knows whether it was done"
    return StepUncertain(problem, path=place.path, hint=hint)


async def call_step_function(
    step: StepFunction[..., Any], path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], threads: Threads
) -> Any:
    """Call the function and return its value. Raises an `AgnoError` after the last attempt, with the path in the text.

    A wrong use of agno_rt is not tried again.
    """
    options = step.options
    for attempt in range(options.retries + 1):
        try:
            if options.timeout is None and step.is_async:
                return await step.function(*args, **kwargs)
            return await _call_in_time(step, path, functools.partial(step.function, *args, **kwargs), threads)
        except BaseException as exc:
            if must_pass(exc):
                raise
            # A thread left behind still runs the function; a retry would run the function twice at once.
            left = isinstance(exc, _TooSlow) and not step.is_async
            if isinstance(exc, UsageError) or left or attempt == options.retries:
                if isinstance(exc, AgnoError):
                    raise
                raise StepFailed(f"{path} failed: {named(exc)}", path=path) from exc
        await trio.sleep(options.backoff * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


class _TooSlow(DeadlineExceeded):
    """Raised for an attempt beyond the step's own time."""


async def _call_in_time(step: StepFunction[..., Any], path: str, call: Any, threads: Threads) -> Any:
    seconds = step.options.timeout
    if seconds is None:
        return await _call(step, path, call, threads)
    with trio.move_on_after(seconds):
        return await _call(step, path, call, threads)
    hint = "Raise @step(timeout=...) if it should take longer."
    raise _TooSlow(f"{path} took longer than {seconds:g} s", limit="timeout", hint=hint)


async def _call(step: StepFunction[..., Any], path: str, call: Any, threads: Threads) -> Any:
    if step.is_async:
        return await call()
    async with threads.places:
        if (refusal := threads.refusal(path)) is not None:
            raise Overloaded(refusal, limit="abandoned_threads")
        return await threads.run(path, call, _ignore_end)


def _ignore_end() -> None:
    """Do nothing at the end of a step's thread."""
