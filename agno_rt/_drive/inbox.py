"""The inbox of a run under way: messages not taken in yet, and the wish to stop. A flow hands both on to runs within.

Another run on the session may stop the run, too, and take its place: a `Takeover`.

Jobs are `Any` here, since a job has an inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agno_rt._decide.controls import StopAt, When
from agno_rt._decide.journal import Received
from agno_rt.errors import AgnoError, HookError, RunInterrupted, RunRolledBack
from agno_rt.failures import must_pass, named
from agno_rt.messages import Message
from agno_rt.run_store import Approval, SignalsWaiting

__all__ = [
    "Inbox",
    "Link",
    "Sent",
    "Takeover",
    "check_takeover",
    "deliver",
    "drop_approvals",
    "is_open",
    "open_inbox",
    "set_stop",
    "takeover_error",
]


class Link(msgspec.Struct, eq=False):
    """A flow that handed messages on: its job, the ids of the runs within, and whether its journal says so."""

    job: Any
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


class Takeover(msgspec.Struct, eq=False):
    """The request to stop a run for the run `by` on the same session; with `keeps` the finished steps are stored.

    `finished` has the results of tool calls of the last turn by place, `error` is the stopped run's error.
    """

    by: str
    keeps: bool
    finished: Mapping[int, Any] = {}
    error: RunInterrupted | None = None


class Inbox(msgspec.Struct, eq=False):
    """The requests to a run under way: messages not taken in yet, in the order of arrival, and the wish to stop.

    `goes_on` is set while the run takes messages in after an answer: the run is not over then. `seen` counts the run's
    signals that were read from the store. In a flow, the keys of `within` are the runs under way, `handed` has the
    messages that an earlier process handed on, by the run's id, and `halt` ends the flow once its branches have come to
    a safe point.
    `takeover` is set if another run on the session stops this run, `children` for a run that may start others in the
    background. An agent's run has the runs under way that its tools have started in `called`: they stop with it.
    `dropped` has the ids of approvals for which cancelled branches of a flow have waited, also within.
    """

    waiting: list[Sent] = []
    goes_on: bool = False
    seen: int = 0
    stop: StopAt | None = None
    within: dict[Any, None] = {}
    handed: dict[str, list[Sent]] = {}
    halt: Callable[[], None] | None = None
    takeover: Takeover | None = None
    children: Any = None
    called: list[Any] = []
    dropped: list[str] = []

    def check_taken(self) -> None:
        """Raise `SignalsWaiting` if the run has messages to take in, other than those of a flow around."""
        if any(not sent.links for sent in self.waiting):
            raise SignalsWaiting("the run has messages to take in", hint="Go on with the run.")

    def drop(self, taken: Sequence[Sent]) -> None:
        """Take out messages that the run has taken in. Others may have come meanwhile."""
        self.waiting = [sent for sent in self.waiting if sent not in taken]

    def enter(self, flow: Any, job: Any) -> None:
        """Hand the flow's waiting messages and its wish to stop on to a run within that begins."""
        waiting, self.waiting = self.waiting, []
        for sent in waiting:
            if _choose_receivers(flow, sent, [job]):
                _hand_on(flow, sent, [job])
            else:
                self.waiting.append(sent)
        taken: set[str] = set()
        if job.journal is not None and job.journal.replay is not None:
            taken.update(*(step.sent for step in job.journal.replay.steps if isinstance(step, Received)))
        for sent in self.handed.pop(job.run_id, ()):
            if sent.id not in taken:
                deliver(job, sent)
        if self.stop is not None:
            set_stop(job, self.stop)

    def call(self, job: Any) -> None:
        """Note a run that a tool of the agent's run has started. After a stop of the agent's run it stops, too."""
        self.called = [each for each in self.called if each.outcome is None]
        self.called.append(job)
        if self.stop is not None:
            set_stop(job, self.stop)

    def leave(self, flow: Any, job: Any) -> None:
        """Hand messages that a run within has not taken in on to others, or to the next run."""
        for sent in () if job.inbox is None else job.inbox.waiting:
            if sent.links:
                link = sent.links[-1]
                link.to.remove(job.run_id)
                if not link.to:
                    deliver(flow, Sent(sent.when, sent.messages, sent.id, sent.links[:-1]))


def open_inbox(job: Any) -> Inbox:
    """Return the run's inbox, made at the first use."""
    inbox: Inbox | None = job.inbox
    if inbox is None:
        inbox = job.inbox = Inbox()
    return inbox


def is_open(job: Any) -> bool:
    """Return whether the run will look into its inbox once more."""
    if job.outcome is not None:
        return False
    goes_on = job.inbox is not None and job.inbox.goes_on
    return goes_on or job.turns is None or job.turns.state not in ("completed", "paused")


def deliver(job: Any, sent: Sent) -> None:
    """Put the messages into the inbox of an agent's run. A flow hands them on to each run under way within."""
    inbox = open_inbox(job)
    receivers = _choose_receivers(job, sent, [each for each in inbox.within if is_open(each)])
    if receivers:
        _hand_on(job, sent, receivers)
    else:
        inbox.waiting.append(sent)


def _choose_receivers(flow: Any, sent: Sent, at_work: list[Any]) -> list[Any]:
    """Return the runs within that get the messages. Raises `HookError` for a mode that fails to choose."""
    choose = getattr(flow.resolved, "receive", None)
    if choose is None or not at_work:
        return at_work
    try:
        names = choose(tuple(each.agent for each in at_work), sent.messages)
        return [each for each in at_work if each.agent in names]
    except BaseException as exc:
        if must_pass(exc) or isinstance(exc, AgnoError):
            raise
        problem = f"the mode of team {flow.agent!r} failed to choose who gets a message: {named(exc)}"
        raise HookError(problem, hook="receive", hint="Let Mode.receive return names.") from exc


def _hand_on(flow: Any, sent: Sent, receivers: Sequence[Any]) -> None:
    link = Link(flow, [each.run_id for each in receivers])
    for each in receivers:
        deliver(each, Sent(sent.when, sent.messages, sent.id, (*sent.links, link)))


def set_stop(job: Any, at: StopAt) -> None:
    """Note the wish to stop, in a flow also for the runs within."""
    inbox = open_inbox(job)
    inbox.stop = at
    for each in (*inbox.within, *inbox.called):
        if each.outcome is None:
            set_stop(each, at)
    if inbox.halt is not None:
        inbox.halt()


def drop_approvals(job: Any, approvals: Sequence[Approval]) -> None:
    """Note the approvals of a cancelled branch for the flow, and the flows around, one of which may have cancelled it.

    The flow withdraws them if it goes on.
    """
    while job is not None:
        if job.inbox is not None:
            job.inbox.dropped = [*job.inbox.dropped, *(each.id for each in approvals)]
        job = job.outer


def check_takeover(job: Any, *, keeps: bool = True) -> None:
    """Raise the error of a run stopped by another run. Without `keeps`, only for a rollback."""
    takeover = None if job.inbox is None else job.inbox.takeover
    if takeover is not None and (keeps or not takeover.keeps):
        raise takeover_error(job)


def takeover_error(job: Any) -> RunInterrupted:
    """Return the error of a run stopped by another run, the same at each call."""
    takeover: Takeover | None = job.inbox.takeover
    assert takeover is not None, "the run was stopped by another run"
    if takeover.error is None:
        name = "" if job.session is None else job.session.id
        verb, kind = ("interrupted", RunInterrupted) if takeover.keeps else ("rolled back", RunRolledBack)
        left = "The finished steps are" if takeover.keeps else "Nothing of the run is"
        takeover.error = kind(
            f"run {job.run_id!r} was {verb} by run {takeover.by!r} on session {name!r}",
            hint=f"{left} in the session. Fork the run to go on from one of its steps, if the run is stored.",
        )
    return takeover.error
