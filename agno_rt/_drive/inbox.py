"""What others ask of a run under way: messages to take in, and the wish to stop at a safe point.

A run looks into its inbox before each turn, between the model's answer and its tools, and after the last answer. A flow
hands on to the runs within, and has the safe points of its branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import trio

from agno_rt._decide.controls import (
    SentMessages,
    StopAt,
    StopWish,
    When,
    check_stop,
    name_message,
    read_control,
    user_messages,
)
from agno_rt._decide.input import Input
from agno_rt._decide.journal import Received
from agno_rt._decide.turns import Turns
from agno_rt._drive.call_hooks import guard_messages
from agno_rt._drive.ids import new_id
from agno_rt._drive.job import Job, ResolvedAgent
from agno_rt._drive.scopes import RunStopped
from agno_rt.errors import Blocked
from agno_rt.events import MessageReceived
from agno_rt.messages import Message
from agno_rt.run_store import RunConflict, Signal, SignalStore, SignalsWaiting

__all__ = [
    "Inbox",
    "check_halt",
    "note_untaken",
    "open_inbox",
    "put_message",
    "read_signals",
    "request_stop",
    "restore_inbox",
    "stopped_error",
    "take_late_messages",
    "take_messages",
]


class Link(msgspec.Struct, eq=False):
    """A flow that handed messages on: its job, the ids of the runs within, and whether its journal says so."""

    job: Job[Any]
    to: list[str]
    noted: bool = False


class Sent(msgspec.Struct, eq=False):
    """The messages of one `send`, on their way to a run's turns.

    `id` names them in journals, and is empty for messages to an agent that are in memory alone. `links` has the flows
    that handed them on, from the outermost.
    """

    when: When
    messages: tuple[Message, ...]
    id: str = ""
    links: tuple[Link, ...] = ()


class Inbox(msgspec.Struct, eq=False):
    """What others ask of a run under way: messages not taken in yet, in the order of arrival, and the wish to stop.

    `goes_on` is set while the run takes messages in after an answer: the run is not over then. `seen` counts the run's
    signals that were read from the store. In a flow, `within` has the runs under way, `handed` the messages that an
    earlier process handed on, by the run's id, and `halt` ends the flow once its branches have come to a safe point.
    """

    waiting: list[Sent] = []
    goes_on: bool = False
    seen: int = 0
    stop: StopAt | None = None
    within: list[Job[Any]] = []
    handed: dict[str, list[Sent]] = {}
    halt: Callable[[], None] | None = None

    def check_taken(self) -> None:
        """Raise `SignalsWaiting` if the run has messages to take in, other than those of a flow around."""
        if any(not sent.links for sent in self.waiting):
            raise SignalsWaiting("the run has messages to take in", hint="Go on with the run.")

    def drop(self, taken: Sequence[Sent]) -> None:
        """Take out messages that the run has taken in. Others may have come meanwhile."""
        self.waiting = [sent for sent in self.waiting if sent not in taken]

    def enter(self, flow: Job[Any], job: Job[Any]) -> None:
        """Hand the flow's waiting messages and its wish to stop on to a run within that begins."""
        waiting, self.waiting = self.waiting, []
        for sent in waiting:
            _hand_on(flow, sent, [job])
        taken: set[str] = set()
        if job.journal is not None and job.journal.replay is not None:
            taken.update(*(step.sent for step in job.journal.replay.steps if isinstance(step, Received)))
        for sent in self.handed.pop(job.run_id, ()):
            if sent.id not in taken:
                _deliver(job, sent)
        if self.stop is not None:
            _set_stop(job, self.stop)

    def leave(self, flow: Job[Any], job: Job[Any]) -> None:
        """Hand messages that a run within has not taken in on to others, or to the next run."""
        for sent in () if job.inbox is None else job.inbox.waiting:
            if sent.links:
                link = sent.links[-1]
                link.to.remove(job.run_id)
                if not link.to:
                    _deliver(flow, Sent(sent.when, sent.messages, sent.id, sent.links[:-1]))


def open_inbox(job: Job[Any]) -> Inbox:
    """Return the run's inbox, made at the first use."""
    if job.inbox is None:
        job.inbox = Inbox()
    return job.inbox


def put_message(job: Job[Any], input: Input, when: When) -> None:
    """Send the messages to the run, in memory alone. Raises `RunConflict` for a run that is over or paused."""
    messages = user_messages(input, when)
    if not _is_open(job):
        paused = job.turns is not None and job.turns.state == "paused"
        hint = "Resume the run first." if paused else "Start another run in the same session."
        raise RunConflict(f"run {job.run_id!r} is {'paused' if paused else 'over'}", hint=hint)
    is_agent = isinstance(job.resolved, ResolvedAgent)
    _deliver(job, Sent(when, messages, "" if is_agent else name_message(job.run_id, new_id())))


def request_stop(job: Job[Any], scope: trio.CancelScope, at: StopAt, grace: float | None) -> None:
    """Let the run stop at its next safe point, and cancel the run after `grace` seconds. Raises `UsageError`."""
    check_stop(at, grace)
    if at == "now":
        scope.cancel()
        return
    if grace is not None:
        # A run that is over by then has left the scope.
        scope.deadline = min(scope.deadline, trio.current_time() + grace)
    _set_stop(job, at)


async def read_signals(job: Job[Any]) -> StopWish | None:
    """Read the run's new signals, deliver the messages, and return the last wish to stop, if any."""
    assert job.journal is not None, "only stored runs have signals"
    store, inbox, wish = job.journal.store, open_inbox(job), None
    for signal in await store.signals(job.run_id, after=inbox.seen) if isinstance(store, SignalStore) else ():
        # Another task may have read the same signals meanwhile.
        if signal.seq > inbox.seen:
            inbox.seen = signal.seq
            asked = read_control(signal)
            if isinstance(asked, SentMessages):
                _deliver(job, _sent_by(job, signal, asked))
            elif asked is not None:
                wish = asked
    return wish


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
    """Raise `RunStopped` if the run is to stop between the model's answer and its tools."""
    if inbox.stop == "model":
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


def _is_open(job: Job[Any]) -> bool:
    """Return whether the run will look into its inbox once more."""
    if job.outcome is not None:
        return False
    goes_on = job.inbox is not None and job.inbox.goes_on
    return goes_on or job.turns is None or job.turns.state not in ("completed", "paused")


def _deliver(job: Job[Any], sent: Sent) -> None:
    """Put the messages into the inbox of an agent's run. A flow hands them on to each run under way within."""
    inbox = open_inbox(job)
    receivers = [each for each in inbox.within if _is_open(each)]
    if receivers:
        _hand_on(job, sent, receivers)
    else:
        inbox.waiting.append(sent)


def _hand_on(flow: Job[Any], sent: Sent, receivers: Sequence[Job[Any]]) -> None:
    link = Link(flow, [each.run_id for each in receivers])
    for each in receivers:
        _deliver(each, Sent(sent.when, sent.messages, sent.id, (*sent.links, link)))


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


def _set_stop(job: Job[Any], at: StopAt) -> None:
    inbox = open_inbox(job)
    inbox.stop = at
    for each in inbox.within:
        _set_stop(each, at)
    if inbox.halt is not None:
        inbox.halt()


def _sent_by(job: Job[Any], signal: Signal, asked: SentMessages) -> Sent:
    return Sent(asked.when, asked.messages, name_message(job.run_id, signal.seq))


def stopped_error(job: Job[Any]) -> RunStopped:
    """Return the error that ends the run at a safe point."""
    return RunStopped(f"run {job.run_id!r} was stopped", run=job.run_id, hint="Resume it to go on, if it is stored.")
