"""Executes one run under trio, of whatever kind: its place, its conversation, its end and its last event.

Opens nothing: the runtime makes the `Job`, with all names resolved, and `Resolved.take` does the work in between.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import trio

from agno_rt._decide.turns import Turns
from agno_rt._drive.ask_model import wait_for_place
from agno_rt._drive.conversation import Opening, open_conversation, store_conversation
from agno_rt._drive.fairness import UNTOUCHED, Share, use_share
from agno_rt._drive.job import AskedBusy, AskedWithin, Job, ResolvedAgent
from agno_rt._drive.nesting import OUTER, session_patience
from agno_rt._drive.scopes import RunStopped, cause, check_in_trio, deadline, ended_as
from agno_rt.errors import AgnoError, HookError, RunInterrupted, code_of
from agno_rt.events import RunEnded, RunStarted, Status
from agno_rt.failures import must_pass, named, set_attribute, text_of
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.run_store import SignalsWaiting

if TYPE_CHECKING:
    from agno_rt._drive.session_access import SessionAccess
    from agno_rt._drive.session_order import SharedLock

__all__ = ["execute"]


async def execute(job: Job[Any]) -> RunResult:
    """Carry out the job and return its result. Always notices a cancellation, but is not always a checkpoint.

    If nothing in the run waits, the task yields only after its share of such runs.

    Raises an `AgnoError`, with the result so far as its `result`, for a run without an answer; lets `trio.Cancelled`
    pass. Either way the run's last event is sent exactly once, if the first event was.
    """
    resolved = job.resolved
    turns = job.turns = Turns(resolved.limits.turns, resolved.form)
    try:
        task = trio.lowlevel.current_task()
    except RuntimeError:
        check_in_trio("a Runtime")
        raise
    outer = None
    if resolved.nests or type(job.instructions) is not str:
        # Only user code, such as a tool, can start a run within the run. Other runs need not pay for the variable.
        outer = OUTER.set(job)
    # trio clears this field whenever it reschedules the task, so an unchanged field means no wait.
    share = task.custom_sleep_data
    if type(share) is not Share:
        share = task.custom_sleep_data = UNTOUCHED
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        if resolved.limits.run_timeout is None and job.admission.try_acquire():
            # The common path, in place of `_admit`: each run holds a coroutine less.
            try:
                await _start_conversation(job, turns)
            finally:
                job.admission.release()
        else:
            await _admit(job, turns)
        if task.custom_sleep_data is share and use_share(task, share, job.began):
            await trio.lowlevel.cancel_shielded_checkpoint()
    except BaseException as exc:
        # Exception groups of tools, models, backends and our own nurseries end here.
        await _break_off(job, turns, exc, share)
    finally:
        if outer is not None:
            OUTER.reset(outer)
        if job.journal is not None:
            job.journal.gone()
    return _record_end(job, turns, "paused" if turns.state == "paused" else "completed", None)


def _record_end(job: Job[Any], turns: Turns, status: Status, exc: BaseException | None) -> RunResult:
    error = None if status == "cancelled" and not isinstance(exc, RunInterrupted) else exc
    result = RunResult(
        job.run_id,
        status,
        turns.content,
        turns.output,
        turns.own_messages(),
        turns.usage,
        error,
        turns.finish_reason,
        turns.reasoning,
        job.state,
        () if job.journal is None else job.journal.waiting,
        job.began,
        time.monotonic(),
    )
    job.outcome = result
    if isinstance(exc, AgnoError):
        set_attribute(exc, "result", result)
    if job.emitter is not None and job.emitter.started:
        code = None if error is None else code_of(error)
        text = None if error is None else text_of(error)
        job.emitter.post(RunEnded(job.run_id, status, result.content, result.usage, text, code))
    return result


def _find_cause(exc: BaseException) -> BaseException:
    """Return the exception that ended the run: a single one for a group, a HookError for one that ends programs."""
    bare = cause(exc)
    # A StopAsyncIteration would look like the end of a stream's events.
    if must_pass(bare) or (isinstance(bare, Exception) and not isinstance(bare, StopAsyncIteration)):
        return bare
    # Exceptions of user code become errors where the code is called; here is the net for a forgotten place.
    error = HookError(f"code that the run called raised {named(bare)}", hook="")
    error.__cause__ = bare
    return error


def _ended_as(job: Job[Any], exc: BaseException) -> Status:
    """Return the status of the run, ended by the exception. A run stopped by another one was cancelled."""
    stopped = job.inbox is not None and job.inbox.takeover is not None and isinstance(exc, RunInterrupted)
    return "cancelled" if stopped else ended_as(exc)


async def _break_off(job: Job[Any], turns: Turns, exc: BaseException, share: object) -> NoReturn:
    """Store the end of a run without an answer, send the last event, and raise the exception."""
    task, bare = trio.lowlevel.current_task(), _find_cause(exc)
    ended = bare
    is_stopped = isinstance(bare, RunStopped) and bare.run == job.run_id
    status: Status = "cancelled" if is_stopped else _ended_as(job, bare)
    try:
        if task.custom_sleep_data is share and use_share(task, share, job.began):
            # A retry loop around runs that fail at once must not starve other tasks.
            await trio.lowlevel.cancel_shielded_checkpoint()
        if job.journal is not None:
            if job.journal.lost is not None:
                ended, status = job.journal.lost, "failed"  # the run was cancelled because others may take it over
            if job.journal.waiting and status == "cancelled":
                from agno_rt._drive.inbox import drop_approvals  # few runs are cancelled while they pause

                drop_approvals(job, job.journal.waiting)
            await job.journal.broken_off(status, turns.content, bare)
        _record_end(job, turns, status, ended)
        if bare is exc:
            raise exc
        raise bare from bare.__cause__
    finally:
        del bare, exc, ended  # breaks the cycle of traceback and frame, which would keep the run until a collection


async def _admit(job: Job[Any], turns: Turns) -> None:
    """Wait for a place, and carry the run out within its time limit."""
    limits = job.resolved.limits
    with ExitStack() as limited:
        if limits.run_timeout is not None:
            limited.enter_context(deadline(limits.run_timeout, "run_timeout", "the run"))
        if not job.admission.try_acquire():
            await wait_for_place(job.admission, limits.queue_timeout)
        try:
            await _start_conversation(job, turns)
        finally:
            job.admission.release()


def _start_conversation(job: Job[Any], turns: Turns) -> Awaitable[None]:
    """Return the rest of an admitted run: its conversation, or its turns alone if nothing surrounds them."""
    if job.emitter is not None:
        job.emitter.start(_make_started_event(job))
    text, resolved = job.instructions, job.resolved
    session: object = job.session
    if (
        session is job.journal is resolved.hooks is resolved.memory.state is job.facts is resolved.providers is None
        and type(text) is str
    ):
        turns.begin([Message("system", text)] if text else [], job.input)
        taken: Awaitable[None] = resolved.take(job, turns)
        return taken
    if session is not None and (
        job.asked.__class__ is AskedBusy or job.journal is not None or resolved.__class__ is not ResolvedAgent
    ):
        from agno_rt._drive.busy import converse_in_scope  # the plain run has no scope of its own, and stops later

        return converse_in_scope(job, turns, _converse)
    return _converse(job, turns)


async def _converse(job: Job[Any], turns: Turns) -> None:
    """Carry out the run between loading its conversation and storing what the run added.

    Runs on one session follow one another. A failed or cancelled run stores nothing in the session; a run interrupted
    by another run on the session stores what it has finished.
    """
    access, opening = job.session, None
    if access is not None and (job.asked.__class__ is AskedBusy or not access.lock.try_acquire()):
        await _take_session(job, access)
    try:
        if access is not None:
            access.holder = job
            if access.shared is not None:
                await _take_shared(job, access.shared, access)
        opening = await open_conversation(job, turns)
        while True:
            await job.resolved.take(job, turns)
            try:
                await store_conversation(job, turns, opening)
            except SignalsWaiting:
                await _take_late_messages(job, turns)
            else:
                return
    except BaseException:
        await _keep_finished(job, turns, opening)
        raise
    finally:
        if access is not None:
            if access.shared is not None:
                await access.shared.release(access.lock)
            else:
                access.lock.release()
            access.holder = None


# In functions of their own: a local variable more would cost each waiting run some bytes.
def _take_session(job: Job[Any], access: SessionAccess) -> Awaitable[None]:
    from agno_rt._drive.busy import take_session  # most sessions are free

    return take_session(job, access, job.resolved.limits.queue_timeout)


def _take_shared(job: Job[Any], shared: SharedLock, access: SessionAccess) -> Awaitable[None]:
    if job.asked.__class__ is not AskedBusy:
        return shared.acquire(session_patience(job))
    from agno_rt._drive.busy import take_shared  # already loaded, as the options were made there

    return take_shared(job, access)


async def _keep_finished(job: Job[Any], turns: Turns, opening: Opening | None) -> None:
    if job.inbox is not None and job.inbox.takeover is not None:
        from agno_rt._drive.busy import keep_finished

        exc = sys.exception()
        assert exc is not None, "called while the run is broken off"
        await keep_finished(job, turns, opening, exc)


def _take_late_messages(job: Job[Any], turns: Turns) -> Awaitable[None]:
    from agno_rt._drive.steer import take_late_messages  # few runs get a message, and few of those at the last moment

    return take_late_messages(job, turns)


def _make_started_event(job: Job[Any]) -> RunStarted:
    asked = next((message.text for message in reversed(job.input) if message.role == "user"), "")
    session = None if job.session is None else job.session.id
    parent = None if job.outer is None else job.outer.run_id
    resumed = job.journal is not None and job.journal.replay is not None
    path = job.asked.path if isinstance(job.asked, AskedWithin) else ""
    return RunStarted(job.run_id, job.agent, asked, session, job.asked.user, parent, resumed, path)
