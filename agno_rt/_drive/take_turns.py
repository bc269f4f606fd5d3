"""Takes the turns of an agent's run: asks the model and calls tools, until `_decide.turns` says that the run stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agno_rt._decide.tool_results import ToolPaused
from agno_rt._decide.turns import Turns
from agno_rt._drive.ask_model import ask_in_turn, ask_model
from agno_rt._drive.call_tools import Result, call_found_tools, call_tools
from agno_rt._drive.job import AskedWithin, Job
from agno_rt._drive.scopes import deadline
from agno_rt.events import ApprovalAsked
from agno_rt.models import ModelRequest
from agno_rt.run_store import Approval

if TYPE_CHECKING:
    from agno_rt._drive.inbox import Inbox

__all__ = ["STOPS", "take_timed_turns", "take_turns"]


async def take_timed_turns(job: Job, turns: Turns) -> None:
    """Take the turns as `take_turns` does, each within the run's `turn_timeout`."""
    while turns.state not in STOPS:
        assert job.resolved.limits.turn_timeout is not None
        with deadline(job.resolved.limits.turn_timeout, "turn_timeout", f"turn {turns.turn + 1}"):
            await take_turns(job, turns, until=turns.turn + 1)


# A function more would cost each turn of each run a call.
async def take_turns(job: Job, turns: Turns, until: int | None = None) -> None:  # noqa: C901
    """Ask the model and call its tools, turn by turn, until the run has an answer or has taken `until` turns."""
    form = job.resolved.form
    ask = ask_model if job.emitter is None and job.resolved.hooks is None else ask_in_turn
    while turns.state not in STOPS and (until is None or turns.turn < until):
        if turns.state == "asking":
            if job.inbox is not None:
                await _take_messages(job, turns, job.inbox)
            turns.ask()
            # Read each time: `check_depth` may give a run a budget later, for a nested run too deep.
            if job.budget is not None:
                job.budget.check()
            response = await ask(job, _build_request(job, turns))
            response = response if form is None else form.received(response)
            if job.journal is not None:
                # An answer that nothing stands in the way of any more is stored with the end: a wait for the disk less.
                # Without variables, as each would cost all waiting runs some bytes.
                await job.journal.answered(
                    turns,
                    response,
                    is_last=form is None
                    and job.inbox is None
                    and job.resolved.hooks is None
                    and not response.tool_calls,
                )
            turns.answered(response)
            if job.budget is not None and turns.calls:
                job.budget.call(len(turns.calls))
        if turns.state == "calling":
            if job.inbox is not None:
                _check_halt(job, job.inbox)
            # Without a variable for the function: each waiting run would hold it.
            results = await (call_tools if job.resolved.index is None else call_found_tools)(job, turns.calls)
            if job.journal is None and job.inbox is None:
                turns.called(results)  # type: ignore[arg-type]  # without a journal no call waits for a person
            else:
                await _take_results(job, turns, results)
        elif turns.state == "checking":
            await _check_output(job, turns)
        if turns.state == "completed" and job.inbox is not None:
            await _take_messages(job, turns, job.inbox)


async def _take_messages(job: Job, turns: Turns, inbox: Inbox) -> None:
    from agno_rt._drive.steer import take_messages  # costs nothing for runs without messages

    await take_messages(job, turns, inbox)


def _check_halt(job: Job, inbox: Inbox) -> None:
    from agno_rt._drive.steer import check_halt  # as above

    check_halt(job, inbox)


def _check_calls(job: Job, turns: Turns, results: Sequence[Result]) -> None:
    from agno_rt._drive.steer import check_calls  # as above

    check_calls(job, turns, results)


STOPS = ("completed", "paused")
"""The states in which a run takes no more turns."""


async def _check_output(job: Job, turns: Turns) -> None:
    from agno_rt._drive.check_output import check_output  # costs nothing without checks

    reason = await check_output(job, turns)
    if job.journal is not None:
        await job.journal.checked(reason)
    turns.checked(reason)


async def _take_results(job: Job, turns: Turns, results: Sequence[Result]) -> None:
    """Go on with the results of all calls, or store the run as paused if a call waits for a person."""
    if job.inbox is not None:
        _check_calls(job, turns, results)
    journal = job.journal
    if journal is None:
        turns.called(results)  # type: ignore[arg-type]  # as above
        return
    if journal.paused_within:
        # After the last result was stored: when a paused run goes on, its result has the usage of all of the run.
        turns.usage = sum((result.usage for result, *_ in journal.paused_within.values()), turns.usage)
        journal.paused_within = None
    paused = [(call, each) for call, each in zip(turns.calls, results, strict=True) if isinstance(each, ToolPaused)]
    waiting = [made for call, each in paused for made in (call.id, *each.calls)]
    approvals = (each.approvals if isinstance(each, ToolPaused) else (each,) for each in results)
    # The calls of a batch wait for the same approvals.
    found = {each.id: each for several in approvals for each in several if isinstance(each, Approval)}
    journal.waiting = tuple(found.values())
    if not waiting and not journal.waiting:
        turns.called(results)  # type: ignore[arg-type]  # without a waiting call, all are messages
        return
    if job.session is not None:
        from agno_rt._drive.conversation import reserve_session  # loaded already

        await reserve_session(job)
    turns.pause()
    wakes_at = min((each.wakes_at for _, each in paused if each.wakes_at is not None), default=None)
    await journal.pause(None, wakes_at, calls=[(turns.turn, call) for call in waiting], counts=job.called)
    if isinstance(job.asked, AskedWithin):
        # A workflow around goes on with this run when the runs within its tools may.
        job.asked.wakes_at = wakes_at
        job.asked.signals = {run: seen for _, each in paused for run, seen in each.signals.items()}
    if job.emitter is not None:
        for each in journal.waiting:
            if each.run == job.run_id:
                job.emitter.post(ApprovalAsked(job.run_id, each.id, each.call, each.kind, each.reason))


def _build_request(job: Job, turns: Turns) -> ModelRequest:
    resolved = job.resolved
    request = ModelRequest(
        # With nothing before the input, reuse its tuple: a waiting run then holds no second tuple.
        tuple(turns.messages) if turns.own or turns.turn > 1 or job.inbox is not None else job.input,
        resolved.offered,
        resolved.settings.tool_choice if turns.turn == 1 else "auto",
        None,
        resolved.settings,
        turns.turn,
        job.asked.user,
    )
    profile = resolved.profile
    if profile.media is not None:
        from agno_rt.media import check_media, readable  # costs nothing for other models

        if turns.turn == 1:
            check_media(job.input, profile, resolved.model.name)
        request.messages = readable(request.messages, profile)
        check_media(request.messages, profile, resolved.model.name)
    return request if resolved.form is None else resolved.form.ask(request)
