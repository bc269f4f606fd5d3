"""Takes the turns of an agent's run: asks the model and calls tools, until `_decide.turns` says that the run stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agno_rt._decide.turns import Turns
from agno_rt._drive.ask_model import ask_in_turn, ask_model
from agno_rt._drive.call_tools import call_tools
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import deadline
from agno_rt.events import ApprovalAsked
from agno_rt.messages import Message
from agno_rt.models import ModelRequest
from agno_rt.run_store import Approval

if TYPE_CHECKING:
    from agno_rt._drive.inbox import Inbox
    from agno_rt._drive.write_journal import Journal  # stored runs alone need the module

__all__ = ["take_timed_turns", "take_turns"]


async def take_timed_turns(job: Job, turns: Turns) -> None:
    """Take the turns as `take_turns` does, each within the run's `turn_timeout`."""
    while turns.state not in _STOPS:
        assert job.resolved.limits.turn_timeout is not None
        with deadline(job.resolved.limits.turn_timeout, "turn_timeout", f"turn {turns.turn + 1}"):
            await take_turns(job, turns, until=turns.turn + 1)


# A function more would cost each turn of each run a call.
async def take_turns(job: Job, turns: Turns, until: int | None = None) -> None:  # noqa: C901
    """Ask the model and call its tools, turn by turn, until the run has an answer or has taken `until` turns."""
    form = job.resolved.form
    ask = ask_model if job.emitter is None and job.resolved.hooks is None else ask_in_turn
    while turns.state not in _STOPS and (until is None or turns.turn < until):
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
                await job.journal.answered(turns, response)
            turns.answered(response)
            if job.budget is not None and turns.calls:
                job.budget.call(len(turns.calls))
        if turns.state == "calling":
            if job.inbox is not None:
                _check_halt(job, job.inbox)
            results = await call_tools(job, turns.calls)
            if job.journal is None:
                turns.called(results)  # type: ignore[arg-type]  # without a journal no call waits for a person
            else:
                await _take_results(job, turns, results, job.journal)
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
    resolved = job.resolved
    request = ModelRequest(
        # With nothing before the input, reuse its tuple: a waiting run then holds no second tuple.
        tuple(turns.messages) if turns.own or turns.turn > 1 or job.inbox is not None else job.input,
        tuple(resolved.tools.values()) if resolved.tools else (),
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
