"""Steers runs under way: puts messages and wishes to stop into inboxes, and acts on them at a run's safe points.

A run looks into its inbox before each turn, between the model's answer and the tools, and after the last answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import trio

from agno_rt._decide.controls import (
    SentMessages,
    StopAt,
    StopWish,
    TakeoverWish,
    When,
    check_stop,
    name_message,
    read_control,
    user_messages,
)
from agno_rt._decide.input import Input
from agno_rt._decide.journal import Received
from agno_rt._decide.tool_results import ToolStopped
from agno_rt._decide.turns import Turns
from agno_rt._drive.call_hooks import guard_messages
from agno_rt._drive.ids import new_id
from agno_rt._drive.inbox import Inbox, Link, Sent, check_takeover, deliver, is_open, open_inbox, set_stop
from agno_rt._drive.job import Job, ResolvedAgent
from agno_rt._drive.scopes import AnyScope, RunStopped
from agno_rt.errors import Blocked
from agno_rt.events import MessageReceived
from agno_rt.messages import Message
from agno_rt.run_store import RunConflict, Signal, SignalStore

__all__ = [
    "check_calls",
    "check_halt",
    "note_untaken",
    "put_message",
    "read_signals",
    "request_stop",
    "restore_inbox",
    "stopped_error",
    "take_late_messages",
    "take_messages",
]


def put_message(job: Job[Any], input: Input, when: When) -> None:
    """Send the messages to the run, in memory alone. Raises `RunConflict` for a run that is over or paused."""
    messages = user_messages(input, when)
    if not is_open(job):
        paused = job.turns is not None and job.turns.state == "paused"
        hint = "Resume the run first." if paused else "Start another run in the same session."
        raise RunConflict(f"run {job.run_id!r} is {'paused' if paused else 'over'}", hint=hint)
    is_agent = isinstance(job.resolved, ResolvedAgent)
    deliver(job, Sent(when, messages, "" if is_agent else name_message(job.run_id, new_id())))


def request_stop(job: Job[Any], scope: AnyScope, at: StopAt, grace: float | None) -> None:
    """Let the run stop at its next safe point, and cancel the run after `grace` seconds. Raises `UsageError`."""
    check_stop(at, grace)
    if at == "now":
        scope.cancel()
        return
    if grace is not None:
        # A run that is over by then has left the scope.
        scope.deadline = min(scope.deadline, trio.current_time() + grace)
    set_stop(job, at)


async def read_signals(job: Job[Any]) -> StopWish | TakeoverWish | None:
    """Read the run's new signals, deliver the messages, and return the last wish to stop, if any."""
    assert job.journal is not None, "only stored runs have signals"
    journal, inbox = job.journal, open_inbox(job)
    wish: StopWish | TakeoverWish | None = None
    if not isinstance(store := journal.store, SignalStore):
        return None
    while True:
        first = journal.first
        signals = await store.signals(job.run_id, after=inbox.seen)
        if journal.first is first:
            break  # else the run has a new journal meanwhile, which numbers the signals anew
    for signal in signals:
        # Another task may have read the same signals meanwhile.
        if signal.seq > inbox.seen:
            inbox.seen = signal.seq
            asked = read_control(signal)
            if isinstance(asked, SentMessages):
                deliver(job, _sent_by(job, signal, asked))
            elif asked is not None:
                wish = asked
    return wish


async def list_acted_on(job: Job[Any]) -> list[int]:
    """Return the numbers of the signals with messages and wishes that the run has acted on."""
    inbox, store = job.inbox, None if job.journal is None else job.journal.store
    if inbox is None or not inbox.seen or not isinstance(store, SignalStore):
        return []
    signals = await store.signals(job.run_id)
    # After the wait, in which messages may have come.
    waiting = {sent.id for sent in inbox.waiting}
    return [
        signal.seq
        for signal in signals
        if signal.seq <= inbox.seen
        and read_control(signal) is not None
        and name_message(job.run_id, signal.seq) not in waiting
    ]


async def renew_signals(job: Job[Any]) -> None:
    """Read the run's messages anew, since a new journal numbers signals from 1. Keep messages sent in memory."""
    inbox, store = job.inbox, None if job.journal is None else job.journal.store
    if inbox is None or not inbox.seen or not isinstance(store, SignalStore):
        return
    prefix = name_message(job.run_id, "")
    is_stored = [sent.id.removeprefix(prefix).isdecimal() for sent in inbox.waiting]
    inbox.waiting = [sent for sent, stored in zip(inbox.waiting, is_stored, strict=True) if not stored]
    inbox.seen = 0
    # At once: by the runtime's next look, the last run within may have begun.
    for signal in await store.signals(job.run_id):
        asked = read_control(signal)
        if signal.seq > inbox.seen:
            if asked is not None and not isinstance(asked, SentMessages):
                return  # a new wish to stop needs the run's scope, and waits for the runtime's next look
            inbox.seen = signal.seq
            if asked is not None:
                deliver(job, _sent_by(job, signal, asked))


def restore_inbox(job: Job[Any], steps: Iterable[Any], signals: Sequence[Signal]) -> None:
    """Put the messages that an earlier process did not take in into the inbox. Earlier wishes to stop are void."""
    known: dict[str, Received] = {}
    for step in steps:
        if isinstance(step, Received):
            known.update(dict.fromkeys(step.sent, step))
    if not signals and not known:
        return
    inbox = open_inbox(job)
    for signal in signals:
        inbox.seen = signal.seq
        asked = read_control(signal)
        if isinstance(asked, SentMessages) and name_message(job.run_id, signal.seq) not in known:
            inbox.waiting.append(_sent_by(job, signal, asked))
    for name, entry in known.items():
        link = Link(job, list(entry.to or ()), noted=True)
        for run in link.to:
            inbox.handed.setdefault(run, []).append(Sent("next", entry.messages, name, (link,)))


async def take_messages(job: Job, turns: Turns, inbox: Inbox) -> None:
    """Take in the messages for now: those for the next turn, or all of them after an answer. Then stop, if asked to.

    Guardrails of the input check the messages first. Raises `Blocked`, `LimitExceeded` without a turn left, and
    `RunStopped`.
    """
    ended = turns.state == "completed"
    if inbox.takeover is not None:
        check_takeover(job, keeps=not ended)  # an interrupted run that has its answer is whole
    if ended and inbox.children is not None:
        inbox.goes_on = True
        try:
            inbox.waiting += [Sent("end", (message,)) for message in await inbox.children.settle(turns)]
        finally:
            inbox.goes_on = False
    taken = [sent for sent in inbox.waiting if ended or sent.when == "next"]
    if taken:
        inbox.goes_on = True
        try:
            await _take(job, turns, inbox, taken)
        finally:
            inbox.goes_on = False
    if turns.state == "asking" and inbox.stop is not None:
        raise stopped_error(job)


def check_halt(job: Job, inbox: Inbox) -> None:
    """Raise `RunStopped` if the run is to stop between the model's answer and its tools, or the error of a rollback."""
    if inbox.takeover is not None:
        check_takeover(job, keeps=False)
    if inbox.stop == "model":
        raise stopped_error(job)


def check_calls(job: Job, turns: Turns, results: Sequence[Any]) -> None:
    """Raise `RunStopped` if runs within calls have stopped with the run: a resumed run makes these calls again."""
    cut = [call.id for call, each in zip(turns.calls, results, strict=True) if isinstance(each, ToolStopped)]
    if cut:
        if job.journal is not None:
            job.journal.cut = tuple((turns.turn, call) for call in cut)
        raise stopped_error(job)


async def take_late_messages(job: Job[Any], turns: Turns) -> None:
    """Take in messages that were stored while the run was about to end: an agent goes on then. Raises as the turns."""
    await read_signals(job)  # a wish to stop comes too late: the run has its answer
    inbox = open_inbox(job)
    if isinstance(job.resolved, ResolvedAgent):
        await take_messages(job, turns, inbox)
    else:
        await note_untaken(job, inbox)


async def note_untaken(job: Job[Any], inbox: Inbox) -> None:
    """Store the messages to a flow that no run within took in, before the flow ends."""
    # Messages from a flow around go back to that flow, for the next run there.
    left = [sent for sent in inbox.waiting if not sent.links]
    inbox.waiting = [sent for sent in inbox.waiting if sent.links]
    for sent in left:
        if job.journal is not None:
            await job.journal.received(sent.messages, (sent.id,), to=())


async def _take(job: Job, turns: Turns, inbox: Inbox, taken: Sequence[Sent]) -> None:
    messages: tuple[Message, ...] = tuple(message for sent in taken for message in sent.messages)
    names = tuple(sent.id for sent in taken if sent.id)
    # The flows around first: a message that only they know of comes again when this run is resumed.
    for sent in taken:
        for link in sent.links:
            if link.job.journal is not None and not link.noted:
                await link.job.journal.received(sent.messages, (sent.id,), to=tuple(link.to))
                link.noted = True
    try:
        passed = messages if job.resolved.hooks is None else await guard_messages(job, job.resolved.hooks, messages)
    except Blocked:
        if job.journal is not None and names:
            await job.journal.received(messages, names, to=())  # else the message would block a resumed run again
        inbox.drop(taken)
        raise
    if job.journal is not None:
        await job.journal.received(passed, names)
    inbox.drop(taken)  # not before: a run that is cancelled until here leaves its messages to others
    turns.received(passed)
    if job.emitter is not None:
        for message in passed:
            job.emitter.post(MessageReceived(job.run_id, message.text, turns.turn + 1))


def _sent_by(job: Job[Any], signal: Signal, asked: SentMessages) -> Sent:
    return Sent(asked.when, asked.messages, name_message(job.run_id, signal.seq))


def stopped_error(job: Job[Any]) -> RunStopped:
    """Return the error that ends the run at a safe point."""
    return RunStopped(f"run {job.run_id!r} was stopped", run=job.run_id, hint="Resume it to go on, if it is stored.")
