"""The events of AG-UI 1.0 as values, and their form on the wire: JSON in server-sent events. Pure."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agno_rt.output import plain_value

__all__ = [
    "PROTOCOL",
    "Custom",
    "Interrupt",
    "MessagesSnapshot",
    "Outcome",
    "PatchOperation",
    "ReasoningEnd",
    "ReasoningMessageContent",
    "ReasoningMessageEnd",
    "ReasoningMessageStart",
    "ReasoningStart",
    "RunError",
    "RunFinished",
    "RunStarted",
    "Sent",
    "StateDelta",
    "StateSnapshot",
    "StepFinished",
    "StepStarted",
    "SubagentError",
    "SubagentFinished",
    "SubagentOutcome",
    "SubagentStarted",
    "TextMessageContent",
    "TextMessageEnd",
    "TextMessageStart",
    "TokenUsage",
    "ToolCallArgs",
    "ToolCallEnd",
    "ToolCallResult",
    "ToolCallStart",
    "encode",
]

PROTOCOL = "1.0"
"""The version of the protocol that the events have."""


def _to_type(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


class _Base(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    pass


class Sent(_Base, tag_field="type", tag=_to_type):
    """An event. `metadata` has what the protocol has no field for, under the key `agno_rt`."""

    metadata: dict[str, Any] | UnsetType = UNSET


class _Owned(Sent, kw_only=True):
    """An event of the run itself, or of the subagent with this id."""

    subagent_run_id: str | UnsetType = UNSET


class RunStarted(Sent, kw_only=True):
    """The run began. `run_id` is the client's name for it."""

    thread_id: str
    run_id: str
    protocol_version: str
    parent_run_id: str | UnsetType = UNSET


class Interrupt(_Base, kw_only=True):
    """A decision or an answer that the run waits for; `response_schema` is that of the payload to send back."""

    id: str
    reason: str
    message: str | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    response_schema: dict[str, Any] | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    subagent_run_id: str | UnsetType = UNSET


class Outcome(_Base, kw_only=True):
    """The outcome of a run that did not fail. Only an interrupt has `interrupts`, only a success has pending calls."""

    type: Literal["success", "interrupt", "cancelled"]
    interrupts: list[Interrupt] | UnsetType = UNSET
    pending_tool_call_ids: list[str] | UnsetType = UNSET


class TokenUsage(_Base, kw_only=True):
    """The tokens of a run; each part is within its total."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    reasoning_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class RunFinished(Sent, kw_only=True):
    """The run is over, or waits for a person."""

    thread_id: str
    run_id: str
    outcome: Outcome
    result: Any = UNSET
    usage: list[TokenUsage] | UnsetType = UNSET


class RunError(Sent, kw_only=True):
    """The run failed."""

    message: str
    code: str | UnsetType = UNSET


class TextMessageStart(_Owned, kw_only=True):
    """A message begins."""

    message_id: str
    role: Literal["assistant"]
    name: str | UnsetType = UNSET


class TextMessageContent(_Owned, kw_only=True):
    """A piece of a message."""

    message_id: str
    delta: str


class TextMessageEnd(_Owned, kw_only=True):
    """A message is complete."""

    message_id: str


class ReasoningStart(_Owned, kw_only=True):
    """A span of reasoning begins."""

    message_id: str


class ReasoningMessageStart(_Owned, kw_only=True):
    """A message of reasoning begins."""

    message_id: str
    role: Literal["reasoning"]


class ReasoningMessageContent(_Owned, kw_only=True):
    """A piece of reasoning."""

    message_id: str
    delta: str


class ReasoningMessageEnd(_Owned, kw_only=True):
    """A message of reasoning is complete."""

    message_id: str


class ReasoningEnd(_Owned, kw_only=True):
    """A span of reasoning is over."""

    message_id: str


class ToolCallStart(_Owned, kw_only=True):
    """A call begins, in the message `parent_message_id`, which was sent before."""

    tool_call_id: str
    tool_call_name: str
    parent_message_id: str | UnsetType = UNSET


class ToolCallArgs(_Owned, kw_only=True):
    """A piece of a call's arguments."""

    tool_call_id: str
    delta: str


class ToolCallEnd(_Owned, kw_only=True):
    """The arguments of a call are complete."""

    tool_call_id: str


class ToolCallResult(_Owned, kw_only=True):
    """The result of a call, as a message of its own."""

    message_id: str
    tool_call_id: str
    content: str
    role: Literal["tool"]


class StepStarted(_Owned, kw_only=True):
    """A step of a workflow began."""

    step_name: str


class StepFinished(_Owned, kw_only=True):
    """A step of a workflow is over."""

    step_name: str


class StateSnapshot(_Owned, kw_only=True):
    """The whole state of the session."""

    snapshot: Any


class PatchOperation(_Base, kw_only=True):
    """A change of the state, as in JSON Patch (RFC 6902)."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: Any = UNSET


class StateDelta(_Owned, kw_only=True):
    """Changes of the state since the last snapshot or delta."""

    delta: list[PatchOperation]


class MessagesSnapshot(Sent, kw_only=True):
    """The whole conversation, as it stands."""

    messages: list[Any]


class Custom(_Owned, kw_only=True):
    """News that the protocol has no event for."""

    name: str
    value: Any


class SubagentStarted(Sent, kw_only=True):
    """A run within the run began: of a team's member, a step of a workflow, or a tool."""

    subagent_run_id: str
    name: str
    parent_subagent_run_id: str | UnsetType = UNSET


class SubagentOutcome(_Base, kw_only=True):
    """The outcome of a run within."""

    type: Literal["success", "suspended"]


class SubagentFinished(Sent, kw_only=True):
    """A run within is over, or waits for a person."""

    subagent_run_id: str
    outcome: SubagentOutcome


class SubagentError(Sent, kw_only=True):
    """A run within failed."""

    subagent_run_id: str
    message: str
    code: str | UnsetType = UNSET


_encoder = msgspec.json.Encoder(enc_hook=plain_value)


def encode(*events: Sent) -> bytes:
    """Return the events as server-sent events."""
    return b"".join(b"data: %b\n\n" % _encoder.encode(event) for event in events)
