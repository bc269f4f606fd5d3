"""A run with the runs within as a stream of AG-UI's events, from RUN_STARTED to RUN_FINISHED or RUN_ERROR. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any
from uuid import uuid4

import attrs
from msgspec import UNSET, UnsetType

from agno_rt import RunResult, Usage
from agno_rt.events import Event, RunEnded, RunStarted
from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval
from agno_rt_serve.api.ag_ui import events as sent
from agno_rt_serve.api.ag_ui.asked import RunAgentInput
from agno_rt_serve.api.ag_ui.interrupts import make_interrupt, make_waiting
from agno_rt_serve.api.ag_ui.speaker import Speaker, name_call
from agno_rt_serve.api.ag_ui.state import StateWatch
from agno_rt_serve.api.ag_ui.transcript import Transcript
from agno_rt_serve.errors import HttpError

__all__ = ["AgUiStream", "Shared", "render_refusal"]


@attrs.frozen
class Shared:
    """The parts of a stream that its routes know: the watched state, the tools, and the calls of the client's tools.

    `streamed` are the names of the tools whose calls are shown while the model writes them. `list_calls` returns the
    calls that the client has to answer, once the run is over. `find_parameters` returns the JSON Schema of the tool
    that an approval is about. `answered` are the approvals for which the run has waited.
    """

    state: StateWatch
    streamed: Collection[str] = ()
    list_calls: Callable[[], Sequence[ToolCall]] = tuple
    find_parameters: Callable[[Approval], Any] = lambda approval: None
    answered: Sequence[Approval] = ()


class AgUiStream:
    """The events of a run: feed the run's events, with the paths of runs within, then call `end` once."""

    def __init__(self, asked: RunAgentInput, shared: Shared, make_id: Callable[[], str] | None = None) -> None:
        self._asked = asked
        self._shared = shared
        self._transcript = Transcript(asked.messages, make_id or (lambda: str(uuid4())))
        self._transcript.known |= {name_call(each.run, each.turn, each.call.id) for each in shared.answered}
        self._root: Speaker | None = None
        # The runs within that are under way, by their ids, and the names that were given to all of them.
        self._within: dict[str, Speaker] = {}
        self._subagents: dict[str, str] = {}

    def feed(self, event: Event) -> bytes:
        """Return the bytes that an event of the run itself adds to the stream."""
        return sent.encode(*self._feed(event))

    def feed_within(self, path: str, event: Event) -> bytes:
        """Return the bytes that an event of a run within adds."""
        return sent.encode(*self._feed_within(path, event))

    def end(self, end: RunResult | HttpError) -> bytes:
        """Return the last events."""
        if isinstance(end, HttpError):
            return sent.encode(*self._fail(end))
        return sent.encode(*self._finish(end))

    def _feed(self, event: Event) -> Iterator[sent.Sent]:
        if isinstance(event, RunStarted):
            yield self._begin(event.run_id)
        if self._root is not None:
            yield from self._root.feed(event)
        yield from self._shared.state.tell()

    def _begin(self, run: str) -> sent.Sent:
        self._root = Speaker(run, self._transcript, streamed=self._shared.streamed)
        return _start_run(self._asked, {"agno_rt": {"run": run}})

    def _feed_within(self, path: str, event: Event) -> Iterator[sent.Sent]:
        run = event.run_id
        if isinstance(event, RunStarted):
            # A run within that goes on after a pause in this stream has a second part, and needs a name of its own.
            name = run if run not in self._subagents else f"{run}-{len(self._subagents)}"
            self._subagents[run] = name
            self._within[run] = Speaker(run, self._transcript, owner=name, name=event.agent)
            above: str | UnsetType = self._subagents.get(event.parent or "", UNSET)
            about = {"agno_rt": {"path": path}}
            yield sent.SubagentStarted(
                subagent_run_id=name, name=event.agent, parent_subagent_run_id=above, metadata=about
            )
        elif (speaker := self._within.get(run)) is None:
            return
        elif isinstance(event, RunEnded):
            yield from self._end_within(speaker, event)
        else:
            yield from speaker.feed(event)

    def _end_within(self, speaker: Speaker, event: RunEnded) -> Iterator[sent.Sent]:
        name, is_paused = self._subagents[speaker.run], event.status == "paused"
        del self._within[speaker.run]
        if event.status == "completed" and event.content != speaker.text:
            yield from speaker.take_back()
            yield from speaker.say(event.content)
        yield from speaker.finish(paused=is_paused)
        if event.status in ("completed", "paused"):
            outcome = sent.SubagentOutcome(type="suspended" if is_paused else "success")
            yield sent.SubagentFinished(subagent_run_id=name, outcome=outcome)
        else:
            message = event.error or f"the run was {event.status}"
            yield sent.SubagentError(subagent_run_id=name, message=message, code=event.code or event.status)

    def _finish(self, end: RunResult) -> Iterator[sent.Sent]:
        root, is_paused = self._root, end.status == "paused"
        if root is None:
            yield self._begin(end.run_id)
            root = self._root
        assert root is not None
        yield from self._close_within(end.status)
        calls = list(self._shared.list_calls())
        if not is_paused and not calls and end.content != root.text:
            # The model did not stream, a hook has changed the answer, or the answer is that of a run within.
            yield from root.take_back()
            yield from root.say(end.content)
        for call in calls:
            yield from root.leave_call(call)
        yield from root.finish(paused=is_paused)
        self._shared.state.look(end.state)
        if is_paused:
            # As the protocol asks: a client may rebuild both from an interrupted run.
            yield from self._shared.state.tell_whole()
            yield sent.MessagesSnapshot(messages=self._transcript.render())
        else:
            yield from self._shared.state.tell()
        yield self._make_finish(end, [root.name(call) for call in calls])

    def _make_finish(self, end: RunResult, pending: list[str]) -> sent.Sent:
        if end.status == "paused":
            outcome = sent.Outcome(type="interrupt", interrupts=self._list_interrupts(end))
        else:
            outcome = sent.Outcome(type="success", pending_tool_call_ids=pending or UNSET)
        about: dict[str, Any] = {"run": end.run_id}
        if end.usage.cost:
            about["cost"] = end.usage.cost
        return sent.RunFinished(
            thread_id=self._asked.thread_id,
            run_id=self._asked.run_id,
            outcome=outcome,
            result=UNSET if end.output is None else end.output,
            usage=UNSET if not end.usage.total_tokens else [_count_tokens(end.usage)],
            metadata={"agno_rt": about},
        )

    def _list_interrupts(self, end: RunResult) -> list[sent.Interrupt]:
        find = self._shared.find_parameters
        found = [make_interrupt(each, find(each), self._subagents.get(each.run)) for each in end.approvals]
        return found or [make_waiting(end.run_id)]

    def _close_within(self, status: str) -> Iterator[sent.Sent]:
        """End the runs within that did not say how they ended."""
        for run, speaker in list(self._within.items())[::-1]:
            del self._within[run]
            yield from speaker.finish(paused=False)
            outcome = sent.SubagentOutcome(type="suspended" if status == "paused" else "success")
            yield sent.SubagentFinished(subagent_run_id=self._subagents[run], outcome=outcome)

    def _fail(self, error: HttpError) -> Iterator[sent.Sent]:
        if self._root is None:
            yield _start_run(self._asked)
        else:
            yield from self._close_within("cancelled")
            yield from self._root.finish(paused=False)
        yield from self._shared.state.tell()
        if error.code == "cancelled":
            outcome = sent.Outcome(type="cancelled")
            yield sent.RunFinished(thread_id=self._asked.thread_id, run_id=self._asked.run_id, outcome=outcome)
        else:
            yield _make_error(error)


def render_refusal(asked: RunAgentInput, error: HttpError) -> bytes:
    """Return the stream of a run that could not begin: the protocol wants an event for it."""
    return sent.encode(_start_run(asked), _make_error(error))


def _start_run(asked: RunAgentInput, metadata: dict[str, Any] | UnsetType = UNSET) -> sent.Sent:
    return sent.RunStarted(
        thread_id=asked.thread_id,
        run_id=asked.run_id,
        protocol_version=sent.PROTOCOL,
        parent_run_id=asked.parent_run_id or UNSET,
        metadata=metadata,
    )


def _make_error(error: HttpError) -> sent.Sent:
    message = f"{error.message}. {error.hint}" if error.hint else error.message
    return sent.RunError(message=message, code=error.code)


def _count_tokens(usage: Usage) -> sent.TokenUsage:
    return sent.TokenUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cached_input_tokens=usage.cached_tokens,
        cache_write_input_tokens=usage.cache_write_tokens,
    )
