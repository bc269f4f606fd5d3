"""The run as a state machine: a response or tool results in, the next state out. No await, no trio, no clock, no I/O.

Every decision about the course of a run is made here, and `_drive.take_turns` acts on the state. `TRANSITIONS` lists
all allowed steps; any other step is a bug in the driver and raises `KeyError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec

from agno_rt.errors import LimitExceeded, OutputError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_USAGE, FinishReason, ModelResponse

if TYPE_CHECKING:
    from agno_rt._decide.output_form import OutputForm

__all__ = ["TRANSITIONS", "State", "Turns", "View"]

State = Literal["asking", "calling", "checking", "paused", "completed"]
Step = Literal["calls", "answer", "unchecked", "unfit", "results", "pause", "passed", "refused", "message"]

TRANSITIONS: dict[tuple[State, Step], State] = {
    ("asking", "calls"): "calling",
    ("asking", "answer"): "completed",
    ("asking", "unchecked"): "checking",
    ("asking", "unfit"): "asking",
    ("asking", "pause"): "paused",
    ("calling", "results"): "asking",
    ("calling", "pause"): "paused",
    ("checking", "passed"): "completed",
    ("checking", "refused"): "asking",
    ("asking", "message"): "asking",
    ("completed", "message"): "asking",
}


_HALF = ("calling", "paused")
"""The states with calls in the last message, and without their results."""
_NONE_REFUSED = 0, ""
"""No answer refused yet: their number, and the reason for the last. In one field, as few runs refuse any."""
_NONE_YET: Any = ()
"""Stands for the messages until `begin` sets them: an empty list for each `Turns` would be thrown away."""


class View(msgspec.Struct, eq=False):
    """The difference between a run's messages and those that the model sees.

    `notes` is set for a message of context providers just before the input, `pinned` is the number of input messages.
    `earlier` has the own messages after the input that a summary has replaced. `replaced` is set after the first
    compaction of the run; `fresh` has the summary and the cut of the last one, until the journal has them. `whole` has
    the messages with large results, by the identity of their previews.
    """

    notes: bool = False
    pinned: int = 1
    earlier: list[Message] = []
    replaced: bool = False
    whole: dict[int, Message] = {}
    fresh: tuple[str, int] | None = None

    def restore(self, messages: list[Message]) -> list[Message]:
        """Return the run's own messages as they were, from those that the model sees."""
        if self.earlier:
            messages = [*messages[: self.pinned], *self.earlier, *messages[self.pinned :]]
        return [self.whole.get(id(message), message) for message in messages] if self.whole else messages

    def take_fresh(self) -> tuple[str, int] | None:
        """Return the last compaction if the journal does not have it yet."""
        fresh, self.fresh = self.fresh, None
        return fresh


class Turns(msgspec.Struct, eq=False, gc=False):
    """The turns of one run. `messages` is the whole conversation so far; `messages[own:]` are the run's own.

    `begin` sets the conversation. In state `asking` the driver calls `ask`, asks the model, and hands the response to
    `answered`. In `calling` the driver makes `calls` and hands their messages to `called`. In `checking` the driver
    checks `output` and hands the reason for a refusal, or `None`, to `checked`. In `completed` and `paused` it stops.

    `view` is set if the model sees other messages than these.

    `gc=False` is safe, because no value in the fields leads back to the `Turns`, and saves time in each run.
    """

    max_turns: int
    form: OutputForm | None = None
    messages: list[Message] = _NONE_YET
    own: int = 0
    state: State = "asking"
    turn: int = 0
    usage: Usage = NO_USAGE
    calls: Sequence[ToolCall] = ()
    content: str = ""
    reasoning: str = ""
    output: Any = None
    finish_reason: FinishReason = "stop"
    refused: tuple[int, str] = _NONE_REFUSED
    view: View | None = None

    def begin(self, before: list[Message], own: Sequence[Message]) -> None:
        """Set the conversation: the messages before, and this run's input. `before` is taken over, not copied."""
        self.own = len(before)
        before.extend(own)
        self.messages = before

    def ask(self) -> None:
        """Begin a turn. Raises `LimitExceeded` if the run has no turn left."""
        if self.turn >= self.max_turns:
            _, reason = self.refused
            unfit = f" Its last answer did not fit: {reason}" if reason else ""
            raise LimitExceeded(
                f"the run took all of its {self.max_turns} turns without an answer",
                limit="turns",
                hint=f"Raise Limits(turns=...), or see in .result.messages which tools the model keeps calling.{unfit}",
            )
        self.turn += 1

    def answered(self, response: ModelResponse) -> None:
        """Take in the model's response. Raises `OutputError` after too many answers that do not fit the output type."""
        usage = response.usage
        self.usage = usage if self.usage is NO_USAGE else self.usage + usage
        if response.tool_calls:
            self.calls = calls = _with_ids(response.tool_calls, self.turn)
            self.messages.append(
                Message("assistant", response.content, tuple(calls), None, None, response.reasoning, response.native)
            )
            self.state = TRANSITIONS[self.state, "calls"]
            return
        self.content = response.content
        self.reasoning = response.reasoning
        self.finish_reason = response.finish_reason
        if self.form is None:
            self.messages.append(
                Message("assistant", response.content, (), None, None, response.reasoning, response.native)
            )
            self.state = TRANSITIONS[self.state, "answer"]
        else:
            self._read(response, self.form)

    def called(self, results: Sequence[Message]) -> None:
        """Take in the results of `calls`, in their order."""
        self.messages.extend(results)
        self.calls = ()
        self.state = TRANSITIONS[self.state, "results"]

    def received(self, messages: Sequence[Message]) -> None:
        """Take in messages that were sent to the run under way; a run with an answer goes on.

        Raises `LimitExceeded` if the run has no turn left to answer them.
        """
        if self.turn >= self.max_turns:
            hint = "Raise Limits(turns=...), or send the message as the input of another run in the session."
            problem = f"a message was sent to the run, which has taken all of its {self.max_turns} turns"
            raise LimitExceeded(problem, limit="turns", hint=hint)
        self.messages.extend(messages)
        self._step("message")

    def interrupted(self, finished: Mapping[int, Message]) -> None:
        """Take in the results of `calls` by place for a run that is stopped, so that each call has a result."""
        if self.state == "calling":
            self.called([finished.get(at) or _tell_interrupted(call) for at, call in enumerate(self.calls)])

    def pause(self) -> None:
        """Stop, because calls or questions wait for a person. The run goes on later, from its journal."""
        self._step("pause")

    def conclude(
        self, content: str, output: Any = None, finish_reason: FinishReason = "stop", speaker: str | None = None
    ) -> None:
        """Take in the answer of a run that asked no model by itself; `speaker` is the message's name."""
        self.content, self.output, self.finish_reason = content, output, finish_reason
        self.messages.append(Message("assistant", content, name=speaker))
        self._step("answer")

    def checked(self, reason: str | None) -> None:
        """Take in the reason why the output's check refused the answer, or `None`. Raises as `answered` does."""
        if reason is None:
            self._step("passed")
        else:
            self._correct(reason, "refused")

    def own_messages(self) -> tuple[Message, ...]:
        """Return this run's messages, except calls without a result: providers refuse a history with such calls."""
        messages = self.messages[self.own :] if self.own else self.messages
        if self.view is not None:
            messages = self.view.restore(messages)
        return tuple(messages[:-1] if self.state in _HALF and messages[-1].tool_calls else messages)

    def _step(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _read(self, response: ModelResponse, form: OutputForm) -> None:
        from agno_rt._decide.output_form import Misfit  # already loaded, as the form was made there

        try:
            self.content, self.output = form.read(response.content)
            if response.finish_reason == "length" and _may_be_cut(self.content, response.content, self.output):
                raise Misfit(f"{self.content[:20]} may be the beginning of a longer number")
        except Misfit as exc:
            self.messages.append(
                Message("assistant", response.content, (), None, None, response.reasoning, response.native)
            )
            self._correct(str(exc), "unfit", exc)
            return
        self.messages.append(Message("assistant", self.content, (), None, None, response.reasoning, response.native))
        self._step("answer" if form.check is None else "unchecked")

    def _correct(self, reason: str, step: Step, exc: Exception | None = None) -> None:
        """Tell the model why its answer is refused. Raises `OutputError` if no attempt is left."""
        assert self.form is not None
        unfit = self.refused[0] + 1
        self.refused = unfit, reason
        cut = self.finish_reason == "length"
        if unfit >= self.form.attempts:
            attempts = "1 attempt" if unfit == 1 else f"{unfit} attempts"
            raise OutputError(
                f"the model's answer does not fit the output type: {reason}",
                hint=f"The model had {attempts}; see .result.messages."
                + (" Its last answer was cut off: raise max_tokens." if cut else ""),
            ) from exc
        self.messages.append(self.form.correction(reason, cut=cut))
        self._step(step)


def _tell_interrupted(call: ToolCall) -> Message:
    text = "It is not known whether this was done: the run was interrupted while it was under way."
    return Message("tool", text, (), call.id, call.name)


def _may_be_cut(content: str, written: str, output: Any) -> bool:
    """Tell if an answer out of tokens ends in a number, which may go on; other JSON marks its end."""
    return not isinstance(output, str) and content[-1:].isdigit() and written.rstrip().endswith(content)


def _with_ids(calls: Sequence[ToolCall], turn: int) -> Sequence[ToolCall]:
    """Return the calls with unique ids, so that results find their calls; some models leave ids out or repeat them."""
    if len(calls) == 1 and calls[0].id:
        return calls
    ids = {call.id for call in calls if call.id}
    if len(ids) == len(calls):
        return calls
    return [attrs.evolve(call, id=f"call_{turn}_{at}") for at, call in enumerate(calls)]
