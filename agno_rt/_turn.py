"""The run as a state machine: a response or tool results in, the next state out. No await, no trio, no clock, no I/O.

Everything that decides how a run goes on is here; `runs.py` does what the state says. `TRANSITIONS` is the whole law:
a step that it does not list is a bug in the driver and raises `KeyError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import msgspec

from agno_rt.errors import LimitExceeded, OutputError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_USAGE, FinishReason, ModelResponse

__all__ = ["OUTPUT_ATTEMPTS", "TRANSITIONS", "State", "Turns"]

State = Literal["asking", "calling", "completed"]
Step = Literal["calls", "answer", "unfit", "results"]

TRANSITIONS: dict[tuple[State, Step], State] = {
    ("asking", "calls"): "calling",
    ("asking", "answer"): "completed",
    ("asking", "unfit"): "asking",
    ("calling", "results"): "asking",
}

OUTPUT_ATTEMPTS = 3
"""How often a model may answer before an answer that does not fit the output type ends the run."""


class Turns(msgspec.Struct, eq=False):
    """The turns of one run. `messages` is the whole conversation so far; those from `own` on are this run's.

    `begin` gives it the conversation. In state `asking` the driver calls `ask`, asks the model, and hands its response
    to `answered`; in state `calling` it carries out `calls` and hands their messages to `called`; in state `completed`
    it stops.
    """

    max_turns: int
    output_type: Any = None
    messages: list[Message] = []
    own: int = 0
    state: State = "asking"
    turn: int = 0
    usage: Usage = NO_USAGE
    calls: Sequence[ToolCall] = ()
    content: str = ""
    output: Any = None
    finish_reason: FinishReason = "stop"
    unfit: int = 0

    def begin(self, before: list[Message], own: Sequence[Message]) -> None:
        """Take in the conversation: what was there before, and this run's input. `before` is taken over, not copied."""
        self.own = len(before)
        before.extend(own)
        self.messages = before

    def ask(self) -> None:
        """Begin a turn. Raises `LimitExceeded` when the run has had all its turns."""
        if self.turn >= self.max_turns:
            raise LimitExceeded(
                f"the run took all of its {self.max_turns} turns without an answer",
                limit="turns",
                hint="Raise Limits(turns=...), or see in .result.messages what the model keeps calling.",
            )
        self.turn += 1

    def answered(self, response: ModelResponse) -> None:
        """Take in the model's response. Raises `OutputError` after too many that do not fit the output type."""
        self.usage = response.usage if self.turn == 1 else self.usage + response.usage
        if response.tool_calls:
            self.calls = _with_ids(response.tool_calls, self.turn)
            self.messages.append(Message("assistant", response.content, tuple(self.calls)))
            self._step("calls")
            return
        self.content = response.content
        self.finish_reason = response.finish_reason
        self.messages.append(Message("assistant", response.content))
        self._step("answer" if self.output_type is None or self._fits(response) else "unfit")

    def called(self, results: Sequence[Message]) -> None:
        """Take in the results of `calls`, in their order."""
        self.messages.extend(results)
        self.calls = ()
        self._step("results")

    def own_messages(self) -> tuple[Message, ...]:
        """What this run added to the conversation, less a call that has no result: history stays valid."""
        own = self.messages[self.own :]
        if self.state == "calling":
            own.pop()
        return tuple(own)

    def _step(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _fits(self, response: ModelResponse) -> bool:
        try:
            self.output = msgspec.json.decode(response.content, type=self.output_type)
        except Exception as exc:  # the type's own code runs here too, and whatever it raises is a misfit
            self._correct(exc, response)
            return False
        return True

    def _correct(self, exc: Exception, response: ModelResponse) -> None:
        self.unfit += 1
        if self.unfit >= OUTPUT_ATTEMPTS:
            cut = " It was cut off: raise max_tokens." if response.finish_reason == "length" else ""
            raise OutputError(
                f"the model's answer does not fit the output type: {exc}",
                hint=f"It had {self.unfit} attempts, which are in .result.messages.{cut}",
            ) from exc
        self.messages.append(
            Message("user", f"That does not fit the required JSON: {exc}. Answer again, with JSON alone.")
        )


def _with_ids(calls: Sequence[ToolCall], turn: int) -> Sequence[ToolCall]:
    """The calls, each with an id of its own: results find their calls by it, and not every model keeps to that."""
    ids = {call.id for call in calls if call.id}
    if len(ids) == len(calls):
        return calls
    return [attrs.evolve(call, id=f"call_{turn}_{at}") for at, call in enumerate(calls)]
