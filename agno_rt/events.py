"""What happens in a run, as small values: the only way anything learns of it. Knows nothing of agents or trio.

A run sends `RunStarted` first and `RunEnded` last, exactly once each, however it ends. What starts in between ends
in between: a `ModelStarted` has its `ModelEnded`, a `ToolStarted` its `ToolEnded`. Deltas come from the model as it
writes. Events are msgspec Structs because a token stream makes them by the thousand; each carries its name in the
field `type` when encoded (`{"type": "text_delta", ...}`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from agno_rt.messages import ToolCall, Usage

__all__ = [
    "Delta",
    "Event",
    "ModelEnded",
    "ModelStarted",
    "ReasoningDelta",
    "RunEnded",
    "RunStarted",
    "Status",
    "TextDelta",
    "ToolCallDelta",
    "ToolEnded",
    "ToolStarted",
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


class RunStarted(_Event):
    """A run began."""

    run_id: str
    agent: str
    input: str
    session: str | None = None
    user: str | None = None


class ModelStarted(_Event):
    """The model was asked; `turn` counts from 1."""

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


class ToolStarted(_Event):
    """A tool was called with `call.arguments`."""

    run_id: str
    call: ToolCall


class ToolEnded(_Event):
    """A tool call is over. `content` is what the model is told; `status` is `failed` where that is an error."""

    run_id: str
    call: ToolCall
    status: Status
    content: str


class RunEnded(_Event):
    """The run is over: the last event of every run. `code` is the error's code where there was one."""

    run_id: str
    status: Status
    content: str
    usage: Usage
    error: str | None = None
    code: str | None = None


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
Event: TypeAlias = Delta | RunStarted | ModelStarted | ModelEnded | ToolStarted | ToolEnded | RunEnded


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
