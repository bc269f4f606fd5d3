"""The events of one run, of the root or of a subagent, as AG-UI's: messages, reasoning, calls and steps. Pure.

Whatever is open is closed before the turn ends, so that no message or call of a run stays open when the run is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from agno_rt.events import (
    ApprovalAsked,
    CacheMissed,
    ContextCompacted,
    Emitted,
    Event,
    GuardTripped,
    MessageReceived,
    ModelEnded,
    ModelStarted,
    ReasoningDelta,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolEnded,
    ToolProgress,
    ToolStarted,
    TurnRestarted,
    event_type,
)
from agno_rt.messages import ToolCall
from agno_rt.run_store import ASK
from agno_rt_serve.api.ag_ui import events as sent
from agno_rt_serve.api.ag_ui.transcript import Transcript

__all__ = ["Speaker", "name_call"]

_NOT_MADE = "This call was not carried out."
MOST_TURNS = 500
"""The turns in which a call from before a pause is looked for."""


def name_call(run: str, turn: int, call: str) -> str:
    """Return the name of a call for the client: unique in a thread, as the ids of models are not."""
    return f"call_{hashlib.blake2b(f'{run}/{turn}/{call}'.encode(), digest_size=8).hexdigest()}"


class Speaker:
    """The events of one run: feed the run's events, then call `finish` once.

    `owner` is the subagent's id, or None for the run itself. Calls of the `streamed` tools are shown while the model
    writes them, and calls of other tools when they are made. The speakers of a stream share the transcript.
    """

    def __init__(
        self,
        run: str,
        transcript: Transcript,
        *,
        owner: str | None = None,
        name: str | None = None,
        streamed: Collection[str] = (),
    ) -> None:
        self.run = run
        self.turn = 0
        # In pieces: adding to a text copies it, which would make long answers slow.
        self._said: list[str] = []
        self._owner: str | UnsetType = UNSET if owner is None else owner
        self._author: str | UnsetType = UNSET if name is None else name
        self._transcript = transcript
        self._streamed = streamed
        # The open message and span of reasoning, the message that has the turn's calls, and all messages of the turn.
        self._message = self._thought = self._parent = ""
        self._of_turn: list[str] = []
        # Calls of the present turn by their place in the response, and those of all turns without a result.
        self._written: dict[int, str] = {}
        self._open: list[str] = []
        self._unanswered: list[str] = []
        self._steps: list[str] = []
        # The text of a turn that began anew, as far as it repeats what was sent; None in other turns.
        self._again: str | None = None

    @property
    def text(self) -> str:
        """The text of the present turn."""
        return "".join(self._said)

    def feed(self, event: Event) -> Iterator[sent.Sent]:
        """Make the events for one event of the run."""
        match event:
            case TextDelta():
                yield from self.say(event.text)
            case ReasoningDelta():
                yield from self._think(event.text)
            case ToolCallDelta():
                yield from self._write_call(event)
            case TurnRestarted():
                # Often the same comes again, as after a hook: nothing is taken back before something else comes.
                self._again = "" if self._of_turn else None
            case ModelStarted():
                yield from self._begin_turn(event.turn)
            case ModelEnded():
                yield from self._close()
            case ToolStarted() | ApprovalAsked():
                yield from self._announce(event.call)
            case ToolEnded(status="paused"):
                yield from self._announce(event.call)
            case ToolEnded():
                yield from self._announce(event.call)
                yield self._answer(self.name(event.call), event.content, event.status)
            case _:
                yield from self._feed_news(event)

    def _feed_news(self, event: Event) -> Iterator[sent.Sent]:
        match event:
            case ToolProgress():
                yield self._tell("tool_progress", {"toolCallId": self.name(event.call), "data": event.data})
            case StepStarted():
                self._steps.append(event.path)
                yield sent.StepStarted(step_name=event.path, subagent_run_id=self._owner)
            case StepEnded() if event.path in self._steps:
                yield from self._end_step(event)
            case Emitted():
                yield self._tell(event.name, event.value, path=event.path)
            case CacheMissed() | ContextCompacted() | GuardTripped() | MessageReceived():
                yield self._tell(event_type(event), _describe(event))

    def say(self, delta: str) -> Iterator[sent.Sent]:
        """Add text to the open message, or to a new message."""
        if self._again is not None:
            again = self._again + delta
            if self.text.startswith(again):
                self._again = again
                return
            delta = again.removeprefix(self.text) if again.startswith(self.text) else again
            if delta == again:
                yield from self.take_back()
            self._again = None
        if not delta:
            return
        yield from self._stop_thinking()
        if not self._message:
            yield from self._begin_message()
        self._said.append(delta)
        self._transcript.add_text(self._message, delta)
        yield sent.TextMessageContent(message_id=self._message, delta=delta, subagent_run_id=self._owner)

    def leave_call(self, call: ToolCall) -> Iterator[sent.Sent]:
        """Show a call that the client has to answer, unless it was shown while the model wrote it."""
        yield from self._announce(call)
        self._unanswered.remove(self.name(call))

    def finish(self, *, paused: bool) -> Iterator[sent.Sent]:
        """Close whatever is open. A call that was shown and not made gets a result that says so, unless it may come."""
        yield from self._settle_text()
        yield from self._close()
        for name in () if paused else self._unanswered[:]:
            yield self._answer(name, _NOT_MADE, "cancelled")
        for name in reversed(self._steps):
            yield sent.StepFinished(step_name=name, subagent_run_id=self._owner)
        self._steps.clear()

    def take_back(self) -> Iterator[sent.Sent]:
        """Void the messages of the present turn, if any were sent: the conversation is sent again without them."""
        yield from self._close()
        self._said = []
        if self._of_turn:
            self._transcript.drop(self._of_turn)
            self._of_turn = []
            self._parent = ""
            gone = set(self._written.values())
            self._unanswered = [each for each in self._unanswered if each not in gone]
            self._transcript.known -= gone
            yield sent.MessagesSnapshot(messages=self._transcript.render())
        self._written = {}
        self._again = None

    def _settle_text(self) -> Iterator[sent.Sent]:
        """Take back the text of a turn that began anew and said less."""
        again = self._again
        if again is not None and again != self.text:
            yield from self.take_back()
            yield from self.say(again)
        self._again = None

    def _begin_turn(self, turn: int) -> Iterator[sent.Sent]:
        yield from self._settle_text()
        yield from self._close()
        self.turn = turn or self.turn
        self._said, self._parent = [], ""
        self._of_turn, self._written = [], {}

    def _begin_message(self) -> Iterator[sent.Sent]:
        self._message = self._parent = self._transcript.make_id()
        self._of_turn.append(self._message)
        self._transcript.begin(self._message, "assistant", self._own)
        yield sent.TextMessageStart(
            message_id=self._message, role="assistant", name=self._author, subagent_run_id=self._owner
        )

    def _end_message(self) -> Iterator[sent.Sent]:
        if self._message:
            yield sent.TextMessageEnd(message_id=self._message, subagent_run_id=self._owner)
            self._message = ""

    def _think(self, delta: str) -> Iterator[sent.Sent]:
        if not delta or self._again is not None:
            return
        yield from self._end_message()
        if not self._thought:
            self._thought = self._transcript.make_id()
            self._of_turn.append(self._thought)
            self._transcript.begin(self._thought, "reasoning", self._own)
            yield sent.ReasoningStart(message_id=self._thought, subagent_run_id=self._owner)
            yield sent.ReasoningMessageStart(message_id=self._thought, role="reasoning", subagent_run_id=self._owner)
        self._transcript.add_text(self._thought, delta)
        yield sent.ReasoningMessageContent(message_id=self._thought, delta=delta, subagent_run_id=self._owner)

    def _stop_thinking(self) -> Iterator[sent.Sent]:
        if self._thought:
            yield sent.ReasoningMessageEnd(message_id=self._thought, subagent_run_id=self._owner)
            yield sent.ReasoningEnd(message_id=self._thought, subagent_run_id=self._owner)
            self._thought = ""

    def _write_call(self, piece: ToolCallDelta) -> Iterator[sent.Sent]:
        """Show a piece of a call, if the call has an id and its tool is `streamed`."""
        if self._again is not None:
            return  # the call is shown once it is made, unless it is the same
        name = self._written.get(piece.index)
        if name is None:
            if not piece.id or piece.name not in self._streamed:
                return
            name = self._written[piece.index] = name_call(self.run, self.turn, piece.id)
            yield from self._start_call(name, piece.name)
        if piece.arguments:
            yield self._add_arguments(name, piece.arguments)

    def _announce(self, call: ToolCall) -> Iterator[sent.Sent]:
        """Show a call whole, unless the client has it, or it is a workflow's question."""
        if call.name == ASK:
            return
        name = self.name(call)
        if name in self._written.values() and self._transcript.arguments(name) != call.arguments:
            # The turn began anew, with other arguments, or a hook has changed them.
            yield from self.take_back()
        yield from self._settle_text()
        if name in self._transcript.known:
            return
        yield from self._start_call(name, call.name)
        if call.arguments:
            yield self._add_arguments(name, call.arguments)
        yield from self._end_call(name)

    def name(self, call: ToolCall) -> str:
        """Return the call's name for the client. A resumed run makes calls of a turn that began before its pause."""
        if not self.turn and self._transcript.known:
            named = {turn: name_call(self.run, turn, call.id) for turn in range(MOST_TURNS, 0, -1)}
            self.turn = next((turn for turn, name in named.items() if name in self._transcript.known), 0)
        return name_call(self.run, self.turn, call.id)

    def _start_call(self, name: str, tool: str) -> Iterator[sent.Sent]:
        yield from self._stop_thinking()
        if not self._parent:
            # A call belongs to a message, and a turn of calls alone has none.
            yield from self._begin_message()
        yield from self._end_message()
        self._open.append(name)
        self._unanswered.append(name)
        self._transcript.add_call(self._parent, name, tool)
        yield sent.ToolCallStart(
            tool_call_id=name, tool_call_name=tool, parent_message_id=self._parent, subagent_run_id=self._owner
        )

    def _add_arguments(self, name: str, delta: str) -> sent.Sent:
        self._transcript.add_arguments(name, delta)
        return sent.ToolCallArgs(tool_call_id=name, delta=delta, subagent_run_id=self._owner)

    def _end_call(self, name: str) -> Iterator[sent.Sent]:
        self._open.remove(name)
        yield sent.ToolCallEnd(tool_call_id=name, subagent_run_id=self._owner)

    def _answer(self, name: str, content: str, status: str) -> sent.Sent:
        if name in self._unanswered:
            self._unanswered.remove(name)
        message = self._transcript.make_id()
        self._transcript.begin(message, "tool", self._own, toolCallId=name)
        self._transcript.add_text(message, content)
        about: dict[str, Any] | UnsetType = UNSET if status == "completed" else {"agno_rt": {"status": status}}
        return sent.ToolCallResult(
            message_id=message,
            tool_call_id=name,
            content=content,
            role="tool",
            subagent_run_id=self._owner,
            metadata=about,
        )

    def _end_step(self, event: StepEnded) -> Iterator[sent.Sent]:
        self._steps.remove(event.path)
        about = {"status": event.status} | ({} if event.error is None else {"error": event.error})
        metadata: dict[str, Any] | UnsetType = UNSET if event.status == "completed" else {"agno_rt": about}
        yield sent.StepFinished(step_name=event.path, subagent_run_id=self._owner, metadata=metadata)

    def _tell(self, name: str, value: Any, **about: str) -> sent.Sent:
        metadata: dict[str, Any] | UnsetType = {"agno_rt": about} if about else UNSET
        return sent.Custom(name=name, value=value, subagent_run_id=self._owner, metadata=metadata)

    def _close(self) -> Iterator[sent.Sent]:
        """End the open message, reasoning and calls."""
        yield from self._stop_thinking()
        yield from self._end_message()
        for name in self._open[:]:
            yield from self._end_call(name)

    @property
    def _own(self) -> str | None:
        return None if isinstance(self._owner, UnsetType) else self._owner


def _describe(event: Event) -> Any:
    """Return the event's fields, less the run's id and the type."""
    made: dict[str, Any] = msgspec.to_builtins(event)
    return {name: value for name, value in made.items() if name not in ("run_id", "type")}
