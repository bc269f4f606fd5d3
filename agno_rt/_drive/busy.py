"""Runs on a session in use: a new run waits, is refused, or stops the runs before, by the choice of the caller.

A stopped run raises at the next safe point, or at once if the run is within a scope of its own. Then the run stores the
finished steps, or nothing, and gives the session up. Runs of other processes are asked by signals, if they are stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec
import trio

from agno_rt._decide.controls import TAKEOVER, TakeoverWish
from agno_rt._decide.turns import Turns
from agno_rt._drive.ask_model import wait_for_place
from agno_rt._drive.conversation import Opening, store_conversation
from agno_rt._drive.inbox import Takeover, check_takeover, open_inbox, takeover_error
from agno_rt._drive.job import Asked, AskedBusy, Busy, Job
from agno_rt._drive.nesting import session_patience
from agno_rt._drive.scopes import ended_as
from agno_rt._drive.session_access import Crowd, SessionAccess
from agno_rt.errors import AgnoError, NotFound, RunInterrupted, SessionBusy, UsageError
from agno_rt.failures import add_note, must_pass, named, text_of
from agno_rt.run_store import Resume, RunConflict, RunStore, SignalStore

__all__ = [
    "converse_in_scope",
    "keep_finished",
    "make_asked",
    "refuse_if_busy",
    "stop_for_other",
    "take_session",
    "take_shared",
]

STORE_SECONDS = 5.0
"""Seconds to store the finished steps of a stopped run."""


def make_asked(session: str | None, user: str | None, deps: Any, busy: Busy | None, input: Any) -> Asked:
    """Return the options of a run that other runs on the session may stop at once.

    Raises `UsageError` for an unknown `busy`, and for a `busy` without a session.
    """
    if busy is not None and busy not in get_args(Busy):
        known = ", ".join(repr(each) for each in get_args(Busy))
        raise UsageError(f"busy is {busy!r}", hint=f"Give one of {known}.")
    if session is None and not isinstance(input, Resume):
        if busy is not None:
            raise UsageError("busy was given without a session", hint="Give session=..., or leave busy out.")
        return Asked(session, user, deps)
    return AskedBusy(session, user, deps, busy=busy or "enqueue")


def refuse_if_busy(job: Job[Any]) -> None:
    """Raise `SessionBusy` if the job must not wait for the session, and another run has the session."""
    access = job.session
    if access is not None and _policy_of(job) == "reject" and (found := _find_others(access)):
        raise _busy_error(job, access, found[0])


async def take_session(job: Job[Any], access: SessionAccess, seconds: float | None) -> None:
    """Take the session's place among the runs of this runtime, in order of arrival.

    Raises `SessionBusy` for a run that must not wait, `DeadlineExceeded` after `seconds`.
    """
    policy = _policy_of(job)
    refuse_if_busy(job)
    for other in _find_others(access) if policy in ("interrupt", "rollback") else ():
        # A stranger's run stops nothing, and is refused when reading the session.
        if other.asked.user == job.asked.user:
            stop_for_other(other, access, Takeover(job.run_id, policy == "interrupt"))
    if access.lock.try_acquire():
        return
    waiting = _open_crowd(access).waiting
    waiting.append(job)
    try:
        await wait_for_place(access.lock, seconds)
    finally:
        waiting.remove(job)
    try:
        check_takeover(job, keeps=False)
    except BaseException:
        access.lock.release()
        raise


async def take_shared(job: Job[Any], access: SessionAccess) -> None:
    """Take the session's place among the processes, for a run that holds the place in this one.

    Raises `SessionBusy` for a run that must not wait, `DeadlineExceeded` as `SharedLock.acquire`.
    """
    assert access.shared is not None, "the backend locks sessions"
    policy, seconds = _policy_of(job), session_patience(job)
    if policy == "enqueue" or await access.shared.try_acquire():
        if not access.shared.is_held:
            await access.shared.acquire(seconds)
        return
    others = await _find_elsewhere(job, access)
    if policy == "reject":
        run = next(iter(others), None)
        by = "a run of another process" if run is None else f"run {run!r} of another process"
        hint = "Try again when that run is over; or give busy='enqueue' to wait, or busy='interrupt' to stop that run."
        raise SessionBusy(f"session {access.id!r} is in use by {by}", session=access.id, run=run, hint=hint)
    wish = msgspec.json.encode(TakeoverWish(job.run_id, policy == "interrupt"))
    for run in others:
        with suppress(NotFound, RunConflict):  # the run has ended meanwhile
            if isinstance(access.memory, SignalStore):
                await access.memory.send_signal(run, TAKEOVER, wish)
            elif isinstance(access.memory, RunStore):
                await access.memory.cancel_run(run)
    await access.shared.acquire(seconds)


async def _find_elsewhere(job: Job[Any], access: SessionAccess) -> list[str]:
    """Return the ids of the stored runs under way on the session. A stranger's run is left out."""
    if not isinstance(access.memory, RunStore):
        return []
    # Runs of this process that come later are not stored before they have the session.
    found = await access.memory.runs(session=access.id, status="running")
    return [each.id for each in found if each.user == job.asked.user and each.id != job.run_id]


async def converse_in_scope(
    job: Job[Any], turns: Turns, converse: Callable[[Job[Any], Turns], Awaitable[None]]
) -> None:
    """Carry out a run's conversation in a scope, for other runs on the session to cancel."""
    access = job.session
    assert access is not None, "only a run with a session is stopped by others"
    with trio.CancelScope() as scope:
        scopes = _open_crowd(access).scopes
        scopes[job.run_id] = scope
        try:
            await converse(job, turns)
            return
        finally:
            del scopes[job.run_id]
    # A cancellation of the caller comes first.
    await trio.lowlevel.checkpoint_if_cancelled()
    raise takeover_error(job)


async def keep_finished(job: Job[Any], turns: Turns, opening: Opening | None, exc: BaseException) -> None:
    """Store the finished steps of a run if `exc` is an interruption. A failure to store becomes a note."""
    takeover = None if job.inbox is None else job.inbox.takeover
    if takeover is None or not takeover.keeps or opening is None:
        return
    if ended_as(exc) != "cancelled" and not isinstance(exc, RunInterrupted):
        return  # the run failed by itself
    turns.interrupted(takeover.finished)
    error = takeover_error(job)
    try:
        with trio.move_on_after(STORE_SECONDS, shield=True):
            await store_conversation(job, turns, opening, error)
            return
        why = f"it took longer than {STORE_SECONDS:g} s"
    except BaseException as failure:
        if must_pass(failure):
            raise
        why = text_of(failure) if isinstance(failure, AgnoError) else named(failure)
    add_note(error, f"The finished steps could not be stored in the session: {why}")


def _policy_of(job: Job[Any]) -> Busy:
    return job.asked.busy if isinstance(job.asked, AskedBusy) else "enqueue"


def _find_others(access: SessionAccess) -> list[Job[Any]]:
    waiting = () if access.crowd is None else access.crowd.waiting
    return [*waiting] if access.holder is None else [access.holder, *waiting]


def _open_crowd(access: SessionAccess) -> Crowd:
    if access.crowd is None:
        access.crowd = Crowd()
    return access.crowd


def stop_for_other(job: Job[Any], access: SessionAccess, takeover: Takeover) -> None:
    """Ask a run to stop. Of two requests the first counts, but a rollback overrules an interruption not yet begun."""
    inbox = open_inbox(job)
    known = inbox.takeover
    if known is None or (known.keeps and known.error is None and not takeover.keeps):
        inbox.takeover = takeover
    scope = None if access.crowd is None else access.crowd.scopes.get(job.run_id)
    # Before the turns begin, an interrupted run goes on: the session has not seen the input yet.
    if scope is not None and (job.has_begun or not takeover.keeps):
        scope.cancel()


def _busy_error(job: Job[Any], access: SessionAccess, other: Job[Any]) -> SessionBusy:
    # The id of a stranger's run is not shown.
    run = other.run_id if other.asked.user == job.asked.user else None
    by = "another run" if run is None else f"run {run!r}"
    hint = "Try again when that run is over; or give busy='enqueue' to wait, or busy='interrupt' to stop that run."
    return SessionBusy(f"session {access.id!r} is in use by {by}", session=access.id, run=run, hint=hint)
