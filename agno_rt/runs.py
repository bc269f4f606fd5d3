"""Drives one run under trio: its place, its session, its turns, its end. What to do next is decided in `_turn`.

Knows no plugin and opens nothing: `Runtime` hands it a `Job`, in which everything that the agent named is resolved.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from typing import Generic, NoReturn, Self, final

import attrs
import trio

from agno_rt._decide.turns import Turns
from agno_rt._drive.ask_model import ask_model, ask_with_events, ask_with_hooks, wait_for_place
from agno_rt._drive.call_tools import call_tools
from agno_rt._drive.conversation import run_conversation
from agno_rt._drive.emitter import EventBuffer
from agno_rt._drive.fairness import UNTOUCHED, Share, use_share
from agno_rt._drive.job import OUTER, Job, RunResult
from agno_rt._drive.scopes import cause, check_in_trio, deadline, ended_as
from agno_rt._drive.write_journal import Journal
from agno_rt._schema.generics import OutputT
from agno_rt.errors import AgnoError, HookError, code_of
from agno_rt.events import ApprovalAsked, Event, RunEnded, RunStarted, Status
from agno_rt.failures import must_pass, named, set_attribute, text_of
from agno_rt.limits import LimitStatistics
from agno_rt.messages import Message
from agno_rt.models import ModelRequest
from agno_rt.run_store import Approval

__all__ = ["STREAM_BUFFER", "Run", "RunResult", "RunStream", "carry_out", "execute", "stop"]

STREAM_BUFFER = 256
"""Events that a stream holds for a reader that is behind; when it is full, the run waits."""


async def execute(job: Job) -> RunResult:
    """Carry out the job and return its result. A cancellation is noticed, and others may run, if not at every run.

    Where nothing in the run waits, as a model as a rule does, the task yields once it has had its share of such runs.

    Raises one of our errors, with the result so far as its `result`, when there is no answer; lets `trio.Cancelled`
    through. Either way the run's last event is sent exactly once, if its first one was.
    """
    turns = job.turns = Turns(job.limits.turns, job.form)
    try:
        task = trio.lowlevel.current_task()
    except RuntimeError:
        check_in_trio("a Runtime")
        raise
    outer = None
    if job.tools or job.form is not None or job.hooks is not None or type(job.instructions) is not str:
        # Only where there is code of the user's in the run, a tool or the like, can a run be within it.
        outer = OUTER.set(job)
    # trio clears this whenever the task is rescheduled, so it tells whether anything in the run has waited.
    share = task.custom_sleep_data
    if type(share) is not Share:
        share = task.custom_sleep_data = UNTOUCHED
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        if job.limits.run_timeout is None and job.admission.try_acquire():
            # In place, not by `_admitted`: a coroutine less to be held, and looked at by the collector, for each run.
            try:
                await _conversation(job, turns)
            finally:
                job.admission.release()
        else:
            await _admitted(job, turns)
        if task.custom_sleep_data is share and use_share(task, share, job.began):
            await trio.lowlevel.cancel_shielded_checkpoint()
    except BaseException as exc:
        # Whoever raised a group on the way, a tool, a model, a backend or our own nursery: this is where it ends.
        await _break_off(job, turns, exc, share)
    finally:
        if outer is not None:
            OUTER.reset(outer)
        if job.journal is not None:
            job.journal.gone()
    return _end(job, turns, "paused" if turns.state == "paused" else "completed", None)


def _end(job: Job, turns: Turns, status: Status, exc: BaseException | None) -> RunResult:
    error = None if status == "cancelled" else exc
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
    if isinstance(error, AgnoError):
        set_attribute(error, "result", result)
    if job.emitter is not None and job.emitter.started:
        code = None if error is None else code_of(error)
        text = None if error is None else text_of(error)
        job.emitter.post(RunEnded(job.run_id, status, result.content, result.usage, text, code))
    return result


def _end_of(exc: BaseException) -> BaseException:
    """Return what ended the run: one exception for a group, and none that would end the program too."""
    bare = cause(exc)
    # A StopAsyncIteration would be taken for the end of a stream's events.
    if must_pass(bare) or (isinstance(bare, Exception) and not isinstance(bare, StopAsyncIteration)):
        return bare
    # What is called for a run becomes an error where it is called; this holds for a place that was forgotten.
    error = HookError(f"code that the run called raised {named(bare)}", hook="")
    error.__cause__ = bare
    return error


async def _break_off(job: Job, turns: Turns, exc: BaseException, share: object) -> NoReturn:
    """Store and tell that the run ended without an answer, and raise what ended it."""
    task, bare = trio.lowlevel.current_task(), _end_of(exc)
    try:
        if task.custom_sleep_data is share and use_share(task, share, job.began):
            # A retry loop around runs that fail at once must not starve other tasks.
            await trio.lowlevel.cancel_shielded_checkpoint()
        if job.journal is not None:
            await job.journal.broken_off(ended_as(bare), turns.content, bare)
        _end(job, turns, ended_as(bare), bare)
        if bare is exc:
            raise exc
        raise bare from bare.__cause__
    finally:
        del bare, exc  # their tracebacks have this frame, which would keep the run until a collection


async def _admitted(job: Job, turns: Turns) -> None:
    """Wait for a place if there is none, and carry the run out, within its time limit if it has one."""
    with ExitStack() as limited:
        if job.limits.run_timeout is not None:
            limited.enter_context(deadline(job.limits.run_timeout, "run_timeout", "the run"))
        if not job.admission.try_acquire():
            await wait_for_place(job.admission, job.limits.queue_timeout)
        try:
            await _conversation(job, turns)
        finally:
            job.admission.release()


def _conversation(job: Job, turns: Turns) -> Awaitable[None]:
    """What an admitted run is: its turns, and around them a session, hooks and so on, where there are any."""
    if job.emitter is not None:
        job.emitter.start(_run_started(job))
    take_turns = _take_turns if job.limits.turn_timeout is None else _take_timed_turns
    text = job.instructions
    if type(text) is str and job.session is job.hooks is job.journal is None and job.policy.state is job.facts is None:
        turns.begin([Message("system", text)] if text else [], job.input)
        return take_turns(job, turns)
    return run_conversation(job, turns, functools.partial(take_turns, job, turns))


def _run_started(job: Job) -> RunStarted:
    asked = next((message.text for message in reversed(job.input) if message.role == "user"), "")
    session = None if job.session is None else job.session.id
    parent = None if job.outer is None else job.outer.run_id
    resumed = job.journal is not None and job.journal.replay is not None
    return RunStarted(job.run_id, job.agent, asked, session, job.user, parent, resumed)


async def _take_timed_turns(job: Job, turns: Turns) -> None:
    while turns.state not in _STOPS:
        assert job.limits.turn_timeout is not None
        with deadline(job.limits.turn_timeout, "turn_timeout", f"turn {turns.turn + 1}"):
            await _take_turns(job, turns, until=turns.turn + 1)


async def _take_turns(job: Job, turns: Turns, until: int | None = None) -> None:
    """Ask the model and call its tools, turn by turn, until there is an answer or so many turns are taken in all."""
    form, ask = job.form, ask_model if job.emitter is None else ask_with_events
    if job.hooks is not None:
        ask = ask_with_hooks
    while turns.state not in _STOPS and (until is None or turns.turn < until):
        if turns.state == "asking":
            turns.ask()
            # Not read once for all: a run gets a budget on the way where one within it was too deep.
            if job.budget is not None:
                job.budget.check()
            response = await ask(job, _request(job, turns))
            response = response if form is None else form.received(response)
            if job.journal is not None:
                await job.journal.answered(turns, response)
            turns.answered(response)
            if job.budget is not None and turns.calls:
                job.budget.call(len(turns.calls))
        if turns.state == "calling":
            results = await call_tools(job, turns.calls)
            if job.journal is None:
                turns.called(results)  # type: ignore[arg-type]  # without a journal no call waits for a person
            else:
                await _take_results(job, turns, results, job.journal)
        elif turns.state == "checking":
            await _check(job, turns)


_STOPS = ("completed", "paused")


async def _check(job: Job, turns: Turns) -> None:
    from agno_rt._drive.check_output import check_output  # for those who check

    reason = await check_output(job, turns)
    if job.journal is not None:
        await job.journal.checked(reason)
    turns.checked(reason)


async def _take_results(job: Job, turns: Turns, results: Sequence[Message | Approval], journal: Journal) -> None:
    """Go on with the results of all calls; or store that the run waits, where some of the calls wait for a person."""
    journal.waiting = tuple(each for each in results if isinstance(each, Approval))
    if not journal.waiting:
        turns.called(results)  # type: ignore[arg-type]  # they are messages, all of them
        return
    turns.pause()
    await journal.pause()
    if job.emitter is not None:
        for each in journal.waiting:
            job.emitter.post(ApprovalAsked(job.run_id, each.id, each.call, each.kind, each.reason))


def _request(job: Job, turns: Turns) -> ModelRequest:
    settings, form = job.settings, job.form
    request = ModelRequest(
        # Where nothing goes before the input, the input is all there is: a waiting run holds no second tuple of it.
        tuple(turns.messages) if turns.own or turns.turn > 1 else job.input,
        tuple(job.tools.values()) if job.tools else (),
        settings.tool_choice if turns.turn == 1 else "auto",
        None,
        settings,
        turns.turn,
        job.user,
    )
    if job.profile.media is not None:
        from agno_rt.media import check_media, readable  # for models that say what they take

        if turns.turn == 1:
            check_media(job.input, job.profile, job.model.name)
        request.messages = readable(request.messages, job.profile)
        check_media(request.messages, job.profile, job.model.name)
    return request if form is None else form.ask(request)


@final
@attrs.define(eq=False)
class Run(Generic[OutputT]):
    """A run under way in the background of a runtime, from `Runtime.start`."""

    id: str
    _job: Job
    _scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    _error: Exception | None = None
    _is_over: bool = False
    # Made for those who wait: most runs under way have nobody who does, and an event holds 300 bytes.
    _end: trio.Event | None = None

    @property
    def result(self) -> RunResult[OutputT] | None:
        """What came of it, once it is over."""
        return self._job.outcome

    def cancel(self) -> None:
        """Cancel the run; `wait` then returns its result so far, with status `cancelled`."""
        self._scope.cancel()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """How much of each of its budgets the run has spent: its turns, and those that its `Limits` bound."""
        turns, budget = self._job.turns, self._job.budget
        taken = LimitStatistics("turns", self._job.limits.turns, 0 if turns is None else turns.turn, 0)
        return (taken, *(() if budget is None else budget.statistics()))

    async def wait(self) -> RunResult[OutputT]:
        """Wait for the end and return the result. Raises the error of a run that ended without an answer."""
        await self._wait_for_end()
        if self._error is not None:
            raise self._error
        assert self._job.outcome is not None
        return self._job.outcome

    async def _wait_for_end(self) -> None:
        if self._is_over:
            await trio.lowlevel.checkpoint()
            return
        if self._end is None:
            self._end = trio.Event()
        await self._end.wait()


@final
@attrs.define(eq=False)
class RunStream(Generic[OutputT]):
    """The events of one run, in order, from `Runtime.stream`: iterate over it with `async for`.

    The last event is the run's `RunEnded`. Where it ended without an answer, the iteration then raises its error.
    """

    run: Run[OutputT]
    _buffer: EventBuffer

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def result(self) -> RunResult[OutputT] | None:
        """What came of the run, once its events are read to the end."""
        return self.run.result

    def cancel(self) -> None:
        """Cancel the run; its remaining events, up to `RunEnded`, still come."""
        self.run.cancel()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """How the run's budgets stand, and how far behind the reader is."""
        return (*self.run.statistics(), self._buffer.statistics())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._buffer.receive()
        if event is not None:
            return event
        await self.run.wait()
        raise StopAsyncIteration


async def carry_out(run: Run, buffer: EventBuffer | None = None) -> None:
    """The task of a background run: executes it, and keeps what it raises for whoever waits."""
    try:
        with run._scope:
            await execute(run._job)
    except Exception as exc:
        run._error = exc
    finally:
        run._is_over = True
        if run._end is not None:
            run._end.set()
        if buffer is not None:
            buffer.close()


async def stop(run: Run) -> None:
    """Cancel a background run and wait until it has unwound, whatever is being cancelled around the caller."""
    run.cancel()
    with trio.CancelScope(shield=True):
        await run._wait_for_end()
