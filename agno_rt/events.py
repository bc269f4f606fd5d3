"""The events of a run, as small values: the only source of news about a run. Knows nothing of agents or trio.

A run sends `RunStarted` first and `RunEnded` last, exactly once each, however it ends. Each step that starts also ends
in between: a `ModelStarted` has its `ModelEnded`, a `ToolStarted` its `ToolEnded`, a `StepStarted` its `StepEnded`.
Deltas arrive as the model writes.
Events are msgspec Structs because a token stream makes thousands of them. An encoded event carries its name in the
field `type` (`{"type": "text_delta", ...}`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt.messages import ToolCall, Usage

__all__ = [
    "ApprovalAsked",
    "ApprovalReviewed",
    "CacheMissed",
    "ContextCompacted",
    "Delta",
    "Emitted",
    "Event",
    "GuardTripped",
    "MessageReceived",
    "ModelEnded",
    "ModelStarted",
    "ReasoningDelta",
    "RunEnded",
    "RunStarted",
    "Status",
    "StepEnded",
    "StepStarted",
    "TextDelta",
    "ToolCallDelta",
    "ToolEnded",
    "ToolProgress",
    "ToolStarted",
    "ToolkitChanged",
    "TurnRestarted",
    "event_type",
    "stamped",
]

Status = Literal["completed", "failed", "cancelled", "paused", "limited"]


def _to_snake_case(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


# An event holds no reference cycle, and each object that the garbage collector tracks costs a stream time.
class _Event(msgspec.Struct, gc=False, tag_field="type", tag=_to_snake_case):
    pass


class TextDelta(_Event):
    """A piece of the answer's text, as the model wrote it."""

    text: str
    run_id: str = ""


class ReasoningDelta(_Event):
    """A piece of the model's reasoning, which does not belong to the answer."""

    text: str
    run_id: str = ""


class ToolCallDelta(_Event):
    """A piece of a tool call. `index` identifies the call in its response; only the first piece has `id` and `name`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    run_id: str = ""


class TurnRestarted(_Event):
    """Everything streamed so far in this turn is void: the same or another model is asked again. `reason` says why."""

    reason: str
    run_id: str = ""


class RunStarted(_Event):
    """A run began, or continues if `resumed`.

    `parent` is the id of the run around it, for a run made by a tool, a hook or a workflow; `path` is its place in the
    workflow.
    """

    run_id: str
    agent: str
    input: str
    session: str | None = None
    user: str | None = None
    parent: str | None = None
    resumed: bool = False
    path: str = ""


class ModelStarted(_Event):
    """The model was asked. `model` is empty if a hook answers in the model's place.

    `turn` counts from 1, and is 0 for a call outside the turns, such as a summary.
    """

    run_id: str
    model: str
    turn: int


class ModelEnded(_Event):
    """The model's turn is over, with its `usage`, or with the `error` that ended the turn.

    `request_id` is the provider's name for the request, and `raw_finish_reason` the provider's word for the end of the
    answer, if `finish_reason` does not say the same; each is empty if unknown.
    """

    run_id: str
    model: str
    turn: int
    status: Status
    usage: Usage
    error: str | None = None
    finish_reason: str | None = None
    request_id: str = ""
    raw_finish_reason: str = ""


class CacheMissed(_Event):
    """The provider's cache had much less of a request's beginning than of the last request: the input cost more.

    The last request is the run's. For a run's first request it is that of the session's last run with listeners in the
    same runtime, by the same agent and model. `before` counts the tokens that the provider had cached, `cached` those
    that it still found. Either the beginning of the request has changed (instructions, tools, a trimmed history), or
    the cache's time is over.
    """

    run_id: str
    model: str
    turn: int
    before: int
    cached: int


class ContextCompacted(_Event):
    """The older part of the conversation was replaced by a summary for the model; the transcript keeps every message.

    `before` and `after` are the tokens of the conversation with the system message, as estimated; `messages` is the
    number of messages that the model no longer sees. `turn` is the turn that follows, and 0 at the start of a run.
    """

    run_id: str
    turn: int
    before: int
    after: int
    messages: int


class ToolStarted(_Event):
    """A tool was called with `call.arguments`."""

    run_id: str
    call: ToolCall


class ToolProgress(_Event):
    """A running tool reports its progress. `data` is any value from the tool that JSON can carry."""

    run_id: str
    call: ToolCall
    data: Any


class ToolEnded(_Event):
    """A tool call is over. `content` is the result for the model; `status` is `failed` if the result is an error."""

    run_id: str
    call: ToolCall
    status: Status
    content: str


class StepStarted(_Event):
    """A step or a wait of a workflow began, at `path`. Runs within have their own `RunStarted`, with their path."""

    run_id: str
    path: str


class StepEnded(_Event):
    """A step or a wait of a workflow is over; it is `paused` if its branch waits for a person, or for a signal."""

    run_id: str
    path: str
    status: Status
    error: str | None = None


class GuardTripped(_Event):
    """A guardrail found a problem at `where` (`input`, `output`, ...) and blocked the run, or changed the text."""

    run_id: str
    guard: str
    where: str
    action: Literal["blocked", "changed"]
    reason: str


class ApprovalAsked(_Event):
    """The run needs a person's decision about a tool call, by the id `approval`, and pauses without one."""

    run_id: str
    approval: str
    call: ToolCall
    kind: Literal["approval", "input", "external"]
    reason: str = ""


class ApprovalReviewed(_Event):
    """A tool call that asks for approval was reviewed in the person's place, by a hook or a standing approval.

    `approved` is false if the call is left to a person. `by` names the hook, or is `grant`, with the id of the standing
    approval in `grant`.
    """

    run_id: str
    call: ToolCall
    approved: bool
    by: str
    reason: str = ""
    grant: str = ""


class Emitted(_Event):
    """A workflow told something of its own, by `Flow.emit`: a `value` that JSON can carry, from the branch `path`."""

    run_id: str
    path: str
    name: str
    value: Any = None


class MessageReceived(_Event):
    """A message was sent to the run under way, and the request of the next turn has the message."""

    run_id: str
    text: str
    turn: int


class ToolkitChanged(_Event):
    """The connection of a toolkit was opened, lost or closed, or its tools changed. Belongs to no run.

    A `lost` connection is opened again by its toolkit, after `retry_in` seconds if they are known. A `failed`
    connection could not be opened, or is given up: the next run with the toolkit tries again. A `closed` connection
    made room for another; the end of the runtime is not told. `error` has the reason, `tools` the number of tools after
    `opened` and `changed`. Only observers hear of toolkits, and `run_id` is empty.
    """

    toolkit: str
    state: Literal["opened", "changed", "lost", "failed", "closed"]
    tools: int = 0
    error: str | None = None
    retry_in: float | None = None
    run_id: str = ""


class RunEnded(_Event):
    """The run is over: the last event of every run. `code` is the error's code, if there was an error."""

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
    | CacheMissed
    | ContextCompacted
    | ToolStarted
    | ToolProgress
    | ToolEnded
    | StepStarted
    | StepEnded
    | GuardTripped
    | ApprovalAsked
    | ApprovalReviewed
    | Emitted
    | MessageReceived
    | ToolkitChanged
    | RunEnded
)


def event_type(event: Event) -> str:
    """Return the event's name on the wire: `text_delta` for a `TextDelta`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def stamped(delta: Delta, run_id: str) -> Delta:
    """Return the delta as an event of the run. A delta that already has a run is copied, since others may share it."""
    if delta.run_id:
        return msgspec.structs.replace(delta, run_id=run_id)
    delta.run_id = run_id
    return delta
