"""Carries out the run of a conducting runnable. Knows no kind of runnable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from agno_rt._decide.journal import Replay
from agno_rt._decide.turns import Turns
from agno_rt._drive.inbox import Inbox
from agno_rt._drive.job import AskedWithin, Job, Resolved
from agno_rt._drive.scopes import cause
from agno_rt._drive.steer import note_untaken, stopped_error
from agno_rt._drive.tool_threads import Workers
from agno_rt._flow.live_flow import LiveFlow
from agno_rt._schema.pydantic_types import plain_value
from agno_rt.errors import AgnoError, HookError
from agno_rt.events import ApprovalAsked
from agno_rt.failures import must_pass, named
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.run_store import SignalsWaiting
from agno_rt.runnable import Flow, Runnable, Stop

__all__ = ["ResolvedFlow", "conduct"]


class ResolvedFlow(Resolved, kw_only=True):
    """The resolved parts of a conducting runnable.

    `run` carries out the runs within, `read_output` reads their outputs from a journal, `read_answer` the runnable's
    own. `workers` has the threads of sync steps.
    """

    conduct: Callable[[Flow, tuple[Message, ...]], Awaitable[Any]]
    run: Callable[[Runnable, Any, AskedWithin], Coroutine[Any, Any, RunResult]]
    read_output: Callable[[Runnable, str, bytes], Any]
    workers: Workers
    code_version: int = 1  # type: ignore[misc]  # a class variable of the base, where no instance differs
    read_answer: Callable[[bytes], Any] = msgspec.json.decode


async def conduct(job: Job[ResolvedFlow], turns: Turns) -> None:
    """Call the runnable's `conduct`, and take in the answer; or store the pause of a flow that waits for people.

    Raises `RunStopped` for a flow that is asked to stop, once all of its branches have come to a safe point.
    """
    if turns.state == "completed":
        return None  # a message came at the end, for nobody
    inbox = job.inbox = job.inbox or Inbox()
    flow, usage = LiveFlow(job, turns), turns.usage
    while True:
        inbox.halt = flow.waits.stop
        if inbox.stop is not None:
            flow.waits.stop()
        answer = await _call_conduct(job, flow)
        if not flow.waits.scope.cancelled_caught:
            _take_answer(job, turns, answer)
            if inbox.waiting:
                await note_untaken(job, inbox)
            return None
        if flow.waits.is_stopped:
            raise stopped_error(job)
        try:
            return await _pause(job, turns, flow)
        except SignalsWaiting:
            # A signal came between the flow's last look and its pause: go on from the journal, as a new process would.
            assert job.journal is not None
            _, entries = await job.journal.store.load_run(job.run_id)
            job.journal.replay, job.journal.waiting = Replay.of(job.run_id, entries), ()
            turns.usage = usage
            flow = LiveFlow(job, turns, counts_budget=False)


async def _call_conduct(job: Job[ResolvedFlow], flow: LiveFlow) -> Any:
    """Return the answer of the runnable's `conduct`; None if the flow paused. Raises one bare error."""
    try:
        return await flow.carry_out(job.resolved.conduct, job.input)
    except BaseException as exc:
        flow.record.note_end(exc)
        bare = cause(exc)  # the runnable's own nurseries put a single failure into a group
        if bare is exc and isinstance(exc, AgnoError):
            raise
        if must_pass(exc):
            raise
        if isinstance(bare, AgnoError):
            raise bare from bare.__cause__
        raise HookError(f"{job.agent or 'a runnable'} failed: {named(bare)}", hook="conduct") from bare


def _take_answer(job: Job[ResolvedFlow], turns: Turns, answer: Any) -> None:
    if isinstance(answer, Stop):
        turns.conclude(answer.reason)
    elif isinstance(answer, RunResult):
        speaker = answer.messages[-1].name if answer.messages else None
        turns.conclude(answer.content, answer.output, answer.finish_reason, speaker)
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
    job.journal.waiting = waiting = tuple(flow.questions.waiting)
    await job.journal.pause(flow.signals.seen)
    turns.pause()
    if job.emitter is not None:
        for each in waiting:
            if each.run == job.run_id:
                job.emitter.post(ApprovalAsked(job.run_id, each.id, each.call, each.kind, each.reason))


def _encode_answer(name: str, answer: object) -> str:
    try:
        return msgspec.json.encode(answer, enc_hook=plain_value).decode()
    except (TypeError, ValueError) as exc:
        hint = "Let its conduct return a text, a RunResult, or a value that JSON can carry."
        raise HookError(f"{name or 'a runnable'} returned {named(exc)}", hook="conduct", hint=hint) from exc
