"""Carries out the run of a conducting runnable. Knows no kind of runnable."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec
import trio

from agno_rt._decide.flow_input import input_for_run
from agno_rt._decide.input import as_messages
from agno_rt._decide.journal import Replay
from agno_rt._decide.turns import Turns
from agno_rt._drive.inbox import Inbox, check_takeover
from agno_rt._drive.job import AskedWithin, Job, Resolved
from agno_rt._drive.scopes import FlowScope, NoScope, RunScope, ScopePart, cause
from agno_rt._drive.steer import list_acted_on, note_untaken, renew_signals, stopped_error
from agno_rt._drive.tool_threads import Workers
from agno_rt._drive.write_journal import Journal
from agno_rt._flow.live_flow import LiveFlow
from agno_rt._schema.json_values import check_numbers, hint_await
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, HookError
from agno_rt.failures import must_pass, named
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.run_store import MOST_APPROVALS, SignalsWaiting
from agno_rt.runnable import Again, Flow, Runnable, Stop

__all__ = ["ResolvedFlow", "conduct"]


class ResolvedFlow(Resolved, kw_only=True):
    """The resolved parts of a conducting runnable.

    `run` carries out the runs within, `start` those in the background. `read_output` reads their outputs from a
    journal, `read_answer` the runnable's own. `workers` has the threads of sync steps. `receive` chooses the runs
    within that get a message, by name; `None` for all under way.
    """

    conduct: Callable[[Flow, tuple[Message, ...]], Awaitable[Any]]
    run: Callable[[Runnable, Any, AskedWithin], Coroutine[Any, Any, RunResult]]
    start: Callable[[Runnable, Any, AskedWithin, Job[Any]], Coroutine[Any, Any, Any]]
    read_output: Callable[[Runnable, str, bytes], Any]
    workers: Workers
    code_version: int = 1  # type: ignore[misc]  # a class variable of the base, where no instance differs
    read_answer: Callable[[bytes], Any] = msgspec.json.decode
    receive: Callable[[Sequence[str], Sequence[Message]], Sequence[str]] | None = None


async def conduct(job: Job[ResolvedFlow], turns: Turns) -> None:
    """Call the runnable's `conduct`, and take in the answer; or store the pause of a flow that waits for people.

    Raises `RunStopped` for a flow that is asked to stop, once all of its branches have come to a safe point.
    """
    if turns.state == "completed":
        return None  # a message came at the end, for nobody
    # A flow that is not stored cannot pause, and only a run around or the holder of a `Run` can stop it.
    is_alone = job.journal is None and job.outer is None and job.inbox is None
    make_scope: Callable[[], FlowScope] = NoScope if is_alone else _choose_scope(job)
    inbox = _open_inbox(job)
    flow, usage = LiveFlow(job, turns, make_scope()), turns.usage
    _spend_earlier_usage(job, flow)
    while True:
        inbox.halt = flow.waits.stop
        if inbox.stop is not None:
            flow.waits.stop()
        answer = await _call_conduct(job, flow)
        if not flow.waits.is_paused and not flow.waits.is_stopped:  # careless code may have hidden the cancellation
            if isinstance(answer, Again):
                await _begin_again(job, turns, flow, answer)
                flow, usage = LiveFlow(job, turns, make_scope()), turns.usage
                continue
            _take_answer(job, turns, answer)
            if inbox.waiting:
                await note_untaken(job, inbox)
            return None
        if flow.waits.is_stopped:
            raise stopped_error(job)
        try:
            return await _pause(job, turns, flow)
        except SignalsWaiting:
            # A signal or a decision came between the flow's last look and its pause: go on from the journal, as a new
            # process would.
            assert job.journal is not None
            await _load_journal(job.run_id, job.journal)
            flow.paused.take_back_all()
            turns.usage, announced = usage, flow.questions.announced
            flow = LiveFlow(job, turns, make_scope(), counts_budget=False)
            flow.questions.announced = announced


def _choose_scope(job: Job[ResolvedFlow]) -> Callable[[], FlowScope]:
    """Return the function to make the scope in which the flow pauses or is stopped."""
    around = None if job.journal is None else job.journal.scope
    # With a session or a deadline, other scopes are open within the scope of the run.
    if isinstance(around, RunScope) and job.session is None and job.resolved.limits.run_timeout is None:
        return functools.partial(ScopePart, around)
    return trio.CancelScope


def _open_inbox(job: Job[ResolvedFlow]) -> Inbox:
    inbox = job.inbox = job.inbox or Inbox()
    if inbox.takeover is not None:
        check_takeover(job)  # by a run that came while this one opened its conversation
    return inbox


def _spend_earlier_usage(job: Job[ResolvedFlow], flow: LiveFlow) -> None:
    """Count the usage of the run's journals before this one."""
    journal = job.journal
    if journal is not None and journal.replay is not None and journal.replay.begun.usage is not None:
        flow.spend(journal.replay.begun.usage)


async def _call_conduct(job: Job[ResolvedFlow], flow: LiveFlow) -> Any:
    """Return the answer of the runnable's `conduct`; None if the flow paused. Raises one bare error."""
    try:
        return await flow.carry_out(job.resolved.conduct, job.input)
    except BaseException as exc:
        flow.record.note_end(exc)
        if flow.waits.is_paused:
            assert job.journal is not None, "only a stored flow pauses"
            job.journal.waiting = tuple(flow.questions.waiting)  # cancelled by the flow around as it was about to pause
        bare = cause(exc)  # the runnable's own nurseries put a single failure into a group
        if bare is exc and isinstance(exc, AgnoError):
            raise
        if must_pass(exc):
            raise
        if isinstance(bare, AgnoError):
            raise bare from bare.__cause__
        raise HookError(f"{job.agent or 'a runnable'} failed: {named(bare)}", hook="conduct") from bare
    finally:
        if flow.background is not None:
            await flow.background.close()


async def _load_journal(run: str, journal: Journal) -> None:
    """Read the journal and the approvals of a run that cannot pause yet, as a new process would."""
    _, entries = await journal.store.load_run(run)
    approvals = await journal.store.approvals(run=run, limit=MOST_APPROVALS)
    journal.replay, journal.waiting = Replay.of(run, entries), ()
    journal.decided = {(each.turn, each.call.id): each for each in approvals}


async def _begin_again(job: Job[ResolvedFlow], turns: Turns, flow: LiveFlow, answer: Again) -> None:
    """Give the run its next input, and a stored run its next journal. The messages of the run are the last input's."""
    await trio.lowlevel.checkpoint()  # in memory nothing waits, and a run may begin again for ever
    job.input = as_messages(input_for_run(answer.input))
    journal = job.journal
    if journal is not None:
        assert journal.first is not None, "the run has begun"
        generation, code_version = journal.first.generation + 1, job.resolved.code_version
        more = {"input": job.input, "usage": turns.usage, "generation": generation, "code_version": code_version}
        more["forked"] = 0
        taken = sorted({*flow.record.taken_signals, *await list_acted_on(job)})
        await journal.renew(msgspec.structs.replace(journal.first, **more), taken)
        await renew_signals(job)
    turns.begin(turns.messages[: turns.own], job.input)


def _take_answer(job: Job[ResolvedFlow], turns: Turns, answer: Any) -> None:
    if isinstance(answer, Stop):
        turns.conclude(answer.reason)
    elif isinstance(answer, RunResult):
        speaker = answer.messages[-1].name if answer.messages else None
        turns.conclude(answer.content, answer.output, answer.finish_reason, speaker)
        if job.journal is not None and answer.output is not None:
            job.journal.output = msgspec.Raw(_encode_answer(job.agent, answer.output).encode())
    elif answer is None or isinstance(answer, str):
        turns.conclude(answer or "")
    else:
        content = _encode_answer(job.agent, answer)
        if job.journal is not None:
            # Read again, so that a workflow around gets the same output now and after a restart.
            job.journal.output = msgspec.Raw(content.encode())
            answer = job.resolved.read_answer(content.encode())
        turns.conclude(content, answer)


async def _pause(job: Job[ResolvedFlow], turns: Turns, flow: LiveFlow) -> None:
    """Store the pause. Raises `SignalsWaiting` if the flow has not seen all of its signals."""
    assert job.journal is not None, "only a stored flow waits for people"
    ends = [] if flow.waits.wakes_at is None else [flow.waits.wakes_at]
    found = {each.id: each for each in flow.questions.waiting}
    for child in () if flow.background is None else flow.background.list_paused():
        # Nobody waits for the run yet, and yet it can be answered.
        found |= {each.id: each for each in child.approvals}
        ends += [] if child.wakes_at is None else [child.wakes_at]
    job.journal.waiting = waiting = tuple(found.values())
    wakes_at = min(ends, default=None)
    if await flow.questions.has_signal(dict(flow.questions.signals)):
        raise SignalsWaiting("a run within has a signal")
    await job.journal.pause(flow.signals.seen, wakes_at, waits_for=[each.id for each in waiting])
    turns.pause()
    if isinstance(job.asked, AskedWithin):
        own = {} if flow.signals.seen is None else {job.run_id: flow.signals.seen}
        job.asked.wakes_at, job.asked.signals = wakes_at, {**dict(flow.questions.signals), **own}
    for each in waiting:
        flow.questions.announce(each)


def _encode_answer(name: str, answer: object) -> str:
    try:
        text = msgspec.json.encode(answer, enc_hook=plain_value)
        if b"null" in text:  # as with steps: the usual value costs no call
            check_numbers(answer, plain_value)
        return text.decode()
    except (TypeError, ValueError) as exc:
        hint = hint_await(exc) or "Let its conduct return a text, a RunResult, or a value that JSON can carry."
        raise HookError(f"{name or 'a runnable'} returned {named(exc)}", hook="conduct", hint=hint) from exc
