"""Takes a step of a flow: finds its recorded value, or calls its function and records the value.

A sync function runs in a thread, within the time limit, and again after a failure. `flow` is the `LiveFlow`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import trio

from agno_rt._decide.flow_journal import digest_of
from agno_rt._decide.flow_paths import Place
from agno_rt._decide.journal import StepEnded
from agno_rt._drive.fairness import UNTOUCHED, Share, use_share
from agno_rt._drive.tool_threads import Threads
from agno_rt._flow.announce import announce
from agno_rt._flow.scope import Scope
from agno_rt.errors import AgnoError, DeadlineExceeded, Overloaded, StepFailed, StepUncertain, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.workflows.functions import SCOPE, StepFunction

__all__ = ["take_step"]


def _uncertain_error(place: Place, run: str) -> StepUncertain:
    """Return the error for a step that had begun when the program ended."""
    hint = (
        "Look whether it took effect. To do it again, fork the run before the step and resume the fork; or declare "
        "@step(idempotent=True) if it may be done twice; or catch StepUncertain in the workflow."
    )
    problem = f"{place.path} of run {run!r} had begun when the program ended; nobody knows whether it was done"
    return StepUncertain(problem, path=place.path, hint=hint)


async def take_step(
    flow: Any, scope: Scope, step: StepFunction[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call a step's function, or return its recorded value. The task yields after its share of such steps."""
    # As few calls as possible here: ten plain steps take as long as a few passes of trio's scheduler.
    record, task, began = flow.record, trio.lowlevel.current_task(), time.monotonic()
    if task is not scope.task:
        scope.check_task(step.name)
    place = scope.counter.take(step.name)
    if not record.is_new:
        record.check_place(place)
    if flow.waits.is_stopping:
        await flow.waits.wait_for_stop(scope)
    # Each time anew: a listener may come or go between two steps.
    call = _call_with_retries if flow.job.emitter is None else _call_announced
    share = task.custom_sleep_data
    if share.__class__ is not Share:
        share = task.custom_sleep_data = UNTOUCHED
    try:
        if not record.is_stored:
            return await call(flow, step, place, args, kwargs)
        digest, now = digest_of(args, kwargs), time.time()
        if (not record.is_new or scope.overdue is not None) and (
            done := _find_taken(flow, scope, step, place, digest)
        ) is not None:
            return step.read(bytes(done.value))
        if not step.options.idempotent:
            await record.begin(place, digest)
        try:
            value = await call(flow, step, place, args, kwargs)
            text = step.encode(value)
        except AgnoError as exc:
            await record.fail(place, digest, exc, began=now)
            raise
        # Read again, so that the workflow gets the same value now and after a restart.
        value = value if value.__class__ in step.exact else step.read(text)
        await record.end(place, digest, text, began=now)
        return value
    finally:
        if task.custom_sleep_data is share and use_share(task, share, began):
            await trio.lowlevel.cancel_shielded_checkpoint()


def _find_taken(flow: Any, scope: Scope, step: StepFunction[..., Any], place: Place, digest: str) -> StepEnded | None:
    """Return the recorded end of the step. Raises `StepUncertain` for a step that may have been done."""
    done: StepEnded | None = flow.find_step(place, digest, scope)
    if done is None and not step.options.idempotent and flow.record.begun(place) is not None:
        raise _uncertain_error(place, flow.run_id)
    return done


async def _call_announced(
    flow: Any, step: StepFunction[..., Any], place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call the step's function between its events, as `_call_with_retries` does."""
    call = functools.partial(_call_with_retries, flow, step, place, args, kwargs)
    return await announce(flow.job, flow.record, flow.waits, place, call)


async def _call_with_retries(
    flow: Any, step: StepFunction[..., Any], place: Place, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call the function and return its value. Raises an `AgnoError` after the last attempt, with the path in the text.

    A wrong use of agno_rt is not tried again.
    """
    options, attempt = step.options, 0
    # Inside of a step, other steps are plain functions: a recorded step would hide them from the next process.
    token = SCOPE.set(None)
    try:
        while True:
            try:
                if options.timeout is None and step.is_async:
                    return await step.function(*args, **kwargs)
                threads = flow.job.resolved.workers.threads
                return await _call_in_time(step, place.path, functools.partial(step.function, *args, **kwargs), threads)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                # A thread left behind still runs the function; a retry would run the function twice at once.
                left = isinstance(exc, _TooSlow) and not step.is_async
                if isinstance(exc, UsageError) or left or attempt == options.retries:
                    if isinstance(exc, AgnoError):
                        raise
                    raise StepFailed(f"{place.path} failed: {named(exc)}", path=place.path) from exc
            await trio.sleep(options.backoff * 2**attempt)
            attempt += 1
    finally:
        SCOPE.reset(token)


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
