"""The result of a run, as callers receive it. Knows nothing of how a run is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, final

import attrs

from agno_rt._schema.generics import OutputT
from agno_rt.events import Status
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_USAGE, FinishReason

if TYPE_CHECKING:
    # Few runs wait for an approval; the code making one imports the module.
    from agno_rt.run_store import Approval

__all__ = ["RunResult"]

# Typed as Any, because `None` is not a value of every output type.
_NO_OUTPUT: Any = None


@final
@attrs.define(eq=False, weakref_slot=False)
class RunResult(Generic[OutputT]):
    """The result of a run.

    `content` is the answer's text; `output` is the answer as the agent's output type, or `None` without a type and
    while the run is `paused`. `reasoning` is the model's thinking before the answer, if the model reports any.
    `messages` are the messages added by this run: the input, each response, each tool's result. `state` is the
    session's state after the run, if the agent has one. `approvals` are the approvals a `paused` run waits for. `error`
    is set if the status is `failed` or `limited`. `finish_reason` tells why the answer ended: `length` if cut off.
    """

    run_id: str
    status: Status
    content: str = ""
    output: OutputT = _NO_OUTPUT
    messages: tuple[Message, ...] = ()
    usage: Usage = NO_USAGE
    error: BaseException | None = None
    finish_reason: FinishReason = "stop"
    reasoning: str = ""
    state: Any = None
    approvals: tuple[Approval, ...] = ()
    # Two clock readings, as their difference would cost each run one more allocation.
    _began: float = attrs.field(default=0.0, repr=False)
    _ended: float = attrs.field(default=0.0, repr=False)

    @property
    def duration(self) -> float:
        """The seconds from the call until the end of the run; for a resumed run, since the resumption."""
        return self._ended - self._began

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls asked for by the model, in their order; the message with a call's `id` has the result."""
        return tuple(call for message in self.messages for call in message.tool_calls)
