"""The messages sent to an agent's run under way: where they wait, and how the run takes them in."""

from __future__ import annotations

from agno_rt._decide.input import Input, as_messages
from agno_rt._decide.turns import Turns
from agno_rt._drive.call_hooks import guard_messages
from agno_rt._drive.job import Inbox, Job, ResolvedAgent, When
from agno_rt.errors import UsageError
from agno_rt.events import MessageReceived
from agno_rt.run_store import Resume, RunConflict

__all__ = ["put_message", "take_messages"]


def put_message(job: Job, input: Input, when: When) -> None:
    """Add the messages to the run's inbox.

    Raises `RunConflict` for a run that is over or paused, `UsageError` for a run of anything but an agent.
    """
    if when not in ("next", "end"):
        raise UsageError(f"when is {when!r}", hint="Give 'next' or 'end'.")
    if not isinstance(job.resolved, ResolvedAgent):
        hint = "Send the message to a run of an agent; a workflow waits for `flow.ask`."
        raise UsageError(f"the run of {job.agent or 'a runnable'} takes no messages", hint=hint)
    if isinstance(input, Resume):
        raise UsageError("a stored run was sent to a run", hint="Send text, media or messages.")
    messages = as_messages(input)
    if any(message.role != "user" for message in messages):
        raise UsageError("a message sent to a run is not a user's", hint="Send text, or messages with the role 'user'.")
    inbox, state = job.inbox, "asking" if job.turns is None else job.turns.state
    stopped = state in ("completed", "paused") and not (inbox is not None and inbox.goes_on)
    if job.outcome is not None or stopped:
        hint = "Resume the run first." if state == "paused" else "Start another run in the same session."
        raise RunConflict(f"run {job.run_id!r} is {'paused' if state == 'paused' else 'over'}", hint=hint)
    if inbox is None:
        inbox = job.inbox = Inbox()
    inbox.waiting.extend((when, message) for message in messages)


async def take_messages(job: Job, turns: Turns, inbox: Inbox) -> None:
    """Take in the messages for now: those for the next turn, or all of them after an answer.

    Guardrails of the input check the messages first. Raises `Blocked`, and `LimitExceeded` without a turn left.
    """
    ended = turns.state == "completed"
    taken = tuple(message for when, message in inbox.waiting if ended or when == "next")
    if not taken:
        return
    inbox.waiting = [each for each in inbox.waiting if not (ended or each[0] == "next")]
    inbox.goes_on = True
    try:
        if job.resolved.hooks is not None:
            taken = await guard_messages(job, job.resolved.hooks, taken)
        if job.journal is not None:
            await job.journal.received(taken)
        turns.received(taken)
    finally:
        inbox.goes_on = False
    if job.emitter is not None:
        for message in taken:
            job.emitter.post(MessageReceived(job.run_id, message.text, turns.turn + 1))
