"""What happens in a run, as small values: the only way anything learns of it. Knows nothing of agents or trio.

A run sends `RunStarted` first and `RunEnded` last, exactly once each, however it ends. What starts in between ends
in between: a `ModelStarted` has its `ModelEnded`, a `ToolStarted` its `ToolEnded`. Deltas come from the model as it
writes. Events are msgspec Structs because a token stream makes them by the thousand; each carries its name in the
field `type` when encoded (`{"type": "text_delta", ...}`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt.messages import ToolCall, Usage

__all__ = [
    "ApprovalAsked",
    "Delta",
    "Event",
    "GuardTripped",
    "ModelEnded",
    "ModelStarted",
    "ReasoningDelta",
    "RunEnded",
    "RunStarted",
    "Status",
    "TextDelta",
    "ToolCallDelta",
    "ToolEnded",
    "ToolProgress",
    "ToolStarted",
    "TurnRestarted",
    "event_type",
    "stamped",
]

Status = Literal["completed", "failed", "cancelled", "paused", "limited"]


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


class _Event(msgspec.Struct, gc=False, tag_field="type", tag=_snake):
    pass


class TextDelta(_Event):
    """A piece of the answer's text, as the model wrote it."""

    text: str
    run_id: str = ""


class ReasoningDelta(_Event):
    """A piece of the model's reasoning, which is no part of the answer."""

    text: str
    run_id: str = ""


class ToolCallDelta(_Event):
    """A piece of a tool call: `index` tells calls of one response apart; `id` and `name` come with the first piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    run_id: str = ""


class TurnRestarted(_Event):
    """What was streamed of this turn so far is void: the model, or another one, is asked again. `reason` says why."""

    reason: str
    run_id: str = ""


class RunStarted(_Event):
    """A run began, or goes on where it is `resumed`.

    `parent` is the id of the run around it, for one that a tool or a hook made.
    """

    run_id: str
    agent: str
    input: str
    session: str | None = None
    user: str | None = None
    parent: str | None = None
    resumed: bool = False


class ModelStarted(_Event):
    """The model was asked; `turn` counts from 1, and is 0 for a call beside the turns, such as for a summary."""

    run_id: str
    model: str
    turn: int


class ModelEnded(_Event):
    """The model's turn is over, with its `usage`, or with the `error` that ended it."""

    run_id: str
    model: str
    turn: int
    status: Status
    usage: Usage
    error: str | None = None
    finish_reason: str | None = None


class ToolStarted(_Event):
    """A tool was called with `call.arguments`."""

    run_id: str
    call: ToolCall


class ToolProgress(_Event):
    """A tool that is under way says how far it is; `data` is whatever the tool sends, as JSON can carry it."""

    run_id: str
    call: ToolCall
    data: Any


class ToolEnded(_Event):
    """A tool call is over. `content` is what the model is told; `status` is `failed` where that is an error."""

    run_id: str
    call: ToolCall
    status: Status
    content: str


class GuardTripped(_Event):
    """A guardrail found something at `where` (`input`, `output`, ...) and blocked the run, or changed the text."""

    run_id: str
    guard: str
    where: str
    action: Literal["blocked", "changed"]
    reason: str


class ApprovalAsked(_Event):
    """The run waits for a person, about a tool call; `approval` is what is decided by its id. It pauses, and ends."""

    run_id: str
    approval: str
    call: ToolCall
    kind: Literal["approval", "input", "external"]
    reason: str = ""


class RunEnded(_Event):
    """The run is over: the last event of every run. `code` is the error's code where there was one."""

    run_id: str
    status: Status
    content: str
    usage: Usage
    error: str | None = None
    code: str | None = None


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | TurnRestarted
Event: TypeAlias = (
    Delta
    | RunStarted
    | ModelStarted
    | ModelEnded
    | ToolStarted
    | ToolProgress
    | ToolEnded
    | GuardTripped
    | ApprovalAsked
    | RunEnded
)


def event_type(event: Event) -> str:
    """The event's name on the wire: `text_delta` for a `TextDelta`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def stamped(delta: Delta, run_id: str) -> Delta:
    """The delta as an event of that run. One that belongs to a run already is copied: it may be shared."""
    if delta.run_id:
        return msgspec.structs.replace(delta, run_id=run_id)
    delta.run_id = run_id
    return delta
