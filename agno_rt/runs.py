"""Drives a run under trio: place, session, turns and end. The next step is decided by `_decide.turns`.

Knows no plugin and opens nothing: `Runtime` makes the `Job`, with all names in the agent resolved.
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
"""The most events that a stream holds for a slow reader; then the run waits."""


async def execute(job: Job) -> RunResult:
    """Carry out the job and return its result. Always notices a cancellation, but is not always a checkpoint.

    If nothing in the run waits, the task yields only after its share of such runs.

    Raises an `AgnoError`, with the result so far as its `result`, for a run without an answer; lets `trio.Cancelled`
    pass. Either way the run's last event is sent exactly once, if the first event was.
    """
    turns = job.turns = Turns(job.limits.turns, job.form)
    try:
        task = trio.lowlevel.current_task()
    except RuntimeError:
        check_in_trio("a Runtime")
        raise
    outer = None
    if job.tools or job.form is not None or job.hooks is not None or type(job.instructions) is not str:
        # Only user code, such as a tool, can start a run within the run. Other runs need not pay for the variable.
        outer = OUTER.set(job)
    # trio clears this field whenever it reschedules the task, so an unchanged field means no wait.
    share = task.custom_sleep_data
    if type(share) is not Share:
        share = task.custom_sleep_data = UNTOUCHED
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        if job.limits.run_timeout is None and job.admission.try_acquire():
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


def _record_end(job: Job, turns: Turns, status: Status, exc: BaseException | None) -> RunResult:
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


async def _break_off(job: Job, turns: Turns, exc: BaseException, share: object) -> NoReturn:
    """Store the end of a run without an answer, send the last event, and raise the exception."""
    task, bare = trio.lowlevel.current_task(), _find_cause(exc)
    try:
        if task.custom_sleep_data is share and use_share(task, share, job.began):
            # A retry loop around runs that fail at once must not starve other tasks.
            await trio.lowlevel.cancel_shielded_checkpoint()
        if job.journal is not None:
            await job.journal.broken_off(ended_as(bare), turns.content, bare)
        _record_end(job, turns, ended_as(bare), bare)
        if bare is exc:
            raise exc
        raise bare from bare.__cause__
    finally:
        del bare, exc  # breaks the cycle of traceback and frame, which would keep the run until a collection


async def _admit(job: Job, turns: Turns) -> None:
    """Wait for a place, and carry the run out within its time limit."""
    with ExitStack() as limited:
        if job.limits.run_timeout is not None:
            limited.enter_context(deadline(job.limits.run_timeout, "run_timeout", "the run"))
        if not job.admission.try_acquire():
            await wait_for_place(job.admission, job.limits.queue_timeout)
        try:
            await _start_conversation(job, turns)
        finally:
            job.admission.release()


def _start_conversation(job: Job, turns: Turns) -> Awaitable[None]:
    """Return the turns of an admitted run, within its session, hooks and journal, if any."""
    if job.emitter is not None:
        job.emitter.start(_make_started_event(job))
    take_turns = _take_turns if job.limits.turn_timeout is None else _take_timed_turns
    text = job.instructions
    if type(text) is str and job.session is job.hooks is job.journal is None and job.policy.state is job.facts is None:
        turns.begin([Message("system", text)] if text else [], job.input)
        return take_turns(job, turns)
    return run_conversation(job, turns, functools.partial(take_turns, job, turns))


def _make_started_event(job: Job) -> RunStarted:
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
    """Ask the model and call its tools, turn by turn, until the run has an answer or has taken `until` turns."""
    form, ask = job.form, ask_model if job.emitter is None else ask_with_events
    if job.hooks is not None:
        ask = ask_with_hooks
    while turns.state not in _STOPS and (until is None or turns.turn < until):
        if turns.state == "asking":
            turns.ask()
            # Read each time: `check_depth` may give a run a budget later, for a nested run too deep.
            if job.budget is not None:
                job.budget.check()
            response = await ask(job, _build_request(job, turns))
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
            await _check_output(job, turns)


_STOPS = ("completed", "paused")


async def _check_output(job: Job, turns: Turns) -> None:
    from agno_rt._drive.check_output import check_output  # costs nothing without checks

    reason = await check_output(job, turns)
    if job.journal is not None:
        await job.journal.checked(reason)
    turns.checked(reason)


async def _take_results(job: Job, turns: Turns, results: Sequence[Message | Approval], journal: Journal) -> None:
    """Go on with the results of all calls, or store the run as paused if a call waits for a person."""
    journal.waiting = tuple(each for each in results if isinstance(each, Approval))
    if not journal.waiting:
        turns.called(results)  # type: ignore[arg-type]  # without a waiting call, all are messages
        return
    turns.pause()
    await journal.pause()
    if job.emitter is not None:
        for each in journal.waiting:
            job.emitter.post(ApprovalAsked(job.run_id, each.id, each.call, each.kind, each.reason))


def _build_request(job: Job, turns: Turns) -> ModelRequest:
    settings, form = job.settings, job.form
    request = ModelRequest(
        # With nothing before the input, reuse its tuple: a waiting run then holds no second tuple.
        tuple(turns.messages) if turns.own or turns.turn > 1 else job.input,
        tuple(job.tools.values()) if job.tools else (),
        settings.tool_choice if turns.turn == 1 else "auto",
        None,
        settings,
        turns.turn,
        job.user,
    )
    if job.profile.media is not None:
        from agno_rt.media import check_media, readable  # costs nothing for other models

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
    # Made by the first `wait`: nobody waits for most runs, and an event takes 300 bytes.
    _end: trio.Event | None = None

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or `None` while the run is under way."""
        return self._job.outcome

    def cancel(self) -> None:
        """Cancel the run; `wait` then returns its result so far, with status `cancelled`."""
        self._scope.cancel()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return how much the run has spent of its turns and of each bounded budget."""
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
    """The events of one run in order, from `Runtime.stream`, for `async for`.

    The last event is the run's `RunEnded`. If the run ended without an answer, the iteration then raises its error.
    """

    run: Run[OutputT]
    _buffer: EventBuffer

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def result(self) -> RunResult[OutputT] | None:
        """The result, or `None` while the run is under way."""
        return self.run.result

    def cancel(self) -> None:
        """Cancel the run; its remaining events, up to `RunEnded`, still come."""
        self.run.cancel()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the present state of the run's budgets, and of the buffer with the events not yet read."""
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
    """Execute a background run, and keep its error for `Run.wait`."""
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
    """Cancel a background run and wait for its end, shielded from cancellation of the caller."""
    run.cancel()
    with trio.CancelScope(shield=True):
        await run._wait_for_end()
