"""The run as a state machine: a response or tool results in, the next state out. No await, no trio, no clock, no I/O.

Everything that decides how a run goes on is here; `runs.py` does what the state says. `TRANSITIONS` is the whole law:
a step that it does not list is a bug in the driver and raises `KeyError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec

from agno_rt.errors import LimitExceeded, OutputError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_USAGE, FinishReason, ModelResponse

if TYPE_CHECKING:
    from agno_rt._decide.output_form import OutputForm

__all__ = ["TRANSITIONS", "State", "Turns"]

State = Literal["asking", "calling", "checking", "paused", "completed"]
Step = Literal["calls", "answer", "unchecked", "unfit", "results", "pause", "passed", "refused"]

TRANSITIONS: dict[tuple[State, Step], State] = {
    ("asking", "calls"): "calling",
    ("asking", "answer"): "completed",
    ("asking", "unchecked"): "checking",
    ("asking", "unfit"): "asking",
    ("calling", "results"): "asking",
    ("calling", "pause"): "paused",
    ("checking", "passed"): "completed",
    ("checking", "refused"): "asking",
}


_HALF = ("calling", "paused")
_NONE_YET: Any = ()


class Turns(msgspec.Struct, eq=False, gc=False):
    """The turns of one run. `messages` is the whole conversation so far; those from `own` on are this run's.

    `begin` gives it the conversation. In state `asking` the driver calls `ask`, asks the model, and hands its response
    to `answered`; in state `calling` it carries out `calls` and hands their messages to `called`; in state `checking`
    it hands the reason why `output` will not do, or nothing, to `checked`; in `completed` and `paused` it stops.

    The garbage collector does not look at it: nothing that it holds leads back to it, and there is one for each run.
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
    unfit: int = 0
    reason: str = ""

    def begin(self, before: list[Message], own: Sequence[Message]) -> None:
        """Take in the conversation: what was there before, and this run's input. `before` is taken over, not copied."""
        self.own = len(before)
        before.extend(own)
        self.messages = before

    def ask(self) -> None:
        """Begin a turn. Raises `LimitExceeded` when the run has had all its turns."""
        if self.turn >= self.max_turns:
            unfit = f" Its last answer did not fit: {self.reason}" if self.reason else ""
            raise LimitExceeded(
                f"the run took all of its {self.max_turns} turns without an answer",
                limit="turns",
                hint=f"Raise Limits(turns=...), or see in .result.messages what the model keeps calling.{unfit}",
            )
        self.turn += 1

    def answered(self, response: ModelResponse) -> None:
        """Take in the model's response. Raises `OutputError` after too many that do not fit the output type."""
        usage = response.usage
        self.usage = usage if self.usage is NO_USAGE else self.usage + usage
        if response.tool_calls:
            self.calls = calls = _with_ids(response.tool_calls, self.turn)
            self.messages.append(Message("assistant", response.content, tuple(calls), None, None, response.reasoning))
            self.state = TRANSITIONS[self.state, "calls"]
            return
        self.content = response.content
        self.reasoning = response.reasoning
        self.finish_reason = response.finish_reason
        if self.form is None:
            self.messages.append(Message("assistant", response.content, (), None, None, response.reasoning))
            self.state = TRANSITIONS[self.state, "answer"]
        else:
            self._read(response, self.form)

    def called(self, results: Sequence[Message]) -> None:
        """Take in the results of `calls`, in their order."""
        self.messages.extend(results)
        self.calls = ()
        self.state = TRANSITIONS[self.state, "results"]

    def pause(self) -> None:
        """Some of the calls wait for a person: the run stops here, and goes on elsewhere from its journal."""
        self._step("pause")

    def checked(self, reason: str | None) -> None:
        """Take in what the output's check says: why the answer will not do, or nothing. Raises as `answered` does."""
        if reason is None:
            self._step("passed")
        else:
            self._correct(reason, "refused")

    def own_messages(self) -> tuple[Message, ...]:
        """What this run added to the conversation, less a call that has no result: history stays valid."""
        messages = self.messages[self.own :] if self.own else self.messages
        return tuple(messages[:-1] if self.state in _HALF else messages)

    def _step(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _read(self, response: ModelResponse, form: OutputForm) -> None:
        from agno_rt._decide.output_form import Misfit  # there already: the form is from there

        try:
            self.content, self.output = form.read(response.content)
            if response.finish_reason == "length" and _may_be_cut(self.content, response.content, self.output):
                raise Misfit(f"{self.content[:20]} may be the beginning of a longer number")
        except Misfit as exc:
            self.messages.append(Message("assistant", response.content, (), None, None, response.reasoning))
            self._correct(str(exc), "unfit", exc)
            return
        self.messages.append(Message("assistant", self.content, (), None, None, response.reasoning))
        self._step("answer" if form.check is None else "unchecked")

    def _correct(self, reason: str, step: Step, exc: Exception | None = None) -> None:
        """Tell the model why its answer will not do, if it has an attempt left."""
        assert self.form is not None
        self.unfit += 1
        self.reason = reason
        cut = self.finish_reason == "length"
        if self.unfit >= self.form.attempts:
            attempts = "1 attempt" if self.unfit == 1 else f"{self.unfit} attempts"
            raise OutputError(
                f"the model's answer does not fit the output type: {reason}",
                hint=f"It had {attempts}; .result.messages has each."
                + (" The last was cut off: raise max_tokens." if cut else ""),
            ) from exc
        self.messages.append(self.form.correction(reason, cut=cut))
        self._step(step)


def _may_be_cut(content: str, written: str, output: Any) -> bool:
    """Whether an answer that ran out of tokens ends in a number; other JSON that is whole says itself where it ends."""
    return not isinstance(output, str) and content[-1:].isdigit() and written.rstrip().endswith(content)


def _with_ids(calls: Sequence[ToolCall], turn: int) -> Sequence[ToolCall]:
    """The calls, each with an id of its own: results find their calls by it, and not every model keeps to that."""
    if len(calls) == 1 and calls[0].id:
        return calls
    ids = {call.id for call in calls if call.id}
    if len(ids) == len(calls):
        return calls
    return [attrs.evolve(call, id=f"call_{turn}_{at}") for at, call in enumerate(calls)]
