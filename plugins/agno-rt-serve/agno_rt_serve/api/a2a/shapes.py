"""The values of A2A on the wire, named as in protobuf's JSON. Pure.

Requests ignore unknown fields, as the specification asks. Answers leave out fields without a value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

__all__ = [
    "TERMINAL",
    "A2AArtifact",
    "A2AMessage",
    "A2APart",
    "A2AStatus",
    "A2ATask",
    "ArtifactUpdate",
    "CancelRequest",
    "ConfigRequest",
    "ConfigsRequest",
    "GetRequest",
    "ListRequest",
    "PushAuthentication",
    "PushConfig",
    "PushConfigs",
    "SendConfiguration",
    "SendRequest",
    "State",
    "StatusUpdate",
    "StreamAnswer",
    "SubscribeRequest",
    "TaskPage",
    "write_time",
]

State: TypeAlias = Literal[
    "TASK_STATE_UNSPECIFIED",
    "TASK_STATE_SUBMITTED",
    "TASK_STATE_WORKING",
    "TASK_STATE_COMPLETED",
    "TASK_STATE_FAILED",
    "TASK_STATE_CANCELED",
    "TASK_STATE_INPUT_REQUIRED",
    "TASK_STATE_REJECTED",
    "TASK_STATE_AUTH_REQUIRED",
]

TERMINAL: frozenset[State] = frozenset(
    {"TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED"}
)
"""The states of a task that is over."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)] | None


class _Wire(msgspec.Struct, rename="camel", omit_defaults=True):
    pass


class A2APart(_Wire):
    """A part of a message or artifact: `text`, a file as `raw` bytes in base64 or by `url`, or `data` of any form."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Any = msgspec.UNSET
    metadata: dict[str, Any] | None = None
    filename: str | None = None
    media_type: str | None = None


class A2AMessage(_Wire):
    """A message of a client, or of an agent."""

    message_id: Annotated[str, msgspec.Meta(min_length=1)]
    role: Literal["ROLE_USER", "ROLE_AGENT"]
    parts: Annotated[list[A2APart], msgspec.Meta(min_length=1)]
    context_id: str | None = None
    task_id: str | None = None
    metadata: dict[str, Any] | None = None
    extensions: list[str] | None = None
    reference_task_ids: list[str] | None = None


class A2AStatus(_Wire):
    """The state of a task, perhaps with a message, since the time."""

    state: State
    message: A2AMessage | None = None
    timestamp: str = ""


class A2AArtifact(_Wire):
    """A result of a task."""

    artifact_id: str
    parts: list[A2APart]
    name: str = ""


class A2ATask(_Wire):
    """A task: a stored run. `context_id` is the run's session."""

    id: str
    context_id: str
    status: A2AStatus
    artifacts: list[A2AArtifact] | None = None
    history: list[A2AMessage] | None = None
    metadata: dict[str, Any] | None = None


class StatusUpdate(_Wire):
    """Word of a new state of a task."""

    task_id: str
    context_id: str
    status: A2AStatus
    metadata: dict[str, Any] | None = None


class ArtifactUpdate(_Wire):
    """A piece of an artifact: appended to the pieces before, or in place of all of them."""

    task_id: str
    context_id: str
    artifact: A2AArtifact
    append: bool = False
    last_chunk: bool = False
    metadata: dict[str, Any] | None = None


class StreamAnswer(_Wire):
    """An element of a stream; one field is set."""

    task: A2ATask | None = None
    message: A2AMessage | None = None
    status_update: StatusUpdate | None = None
    artifact_update: ArtifactUpdate | None = None


class PushAuthentication(_Wire):
    """The header `Authorization` of push notifications."""

    scheme: str
    credentials: str = ""


class PushConfig(_Wire):
    """An address to notify of a task's states."""

    url: str
    id: str = ""
    task_id: str = ""
    token: str = ""
    authentication: PushAuthentication | None = None
    tenant: str | None = None


class PushConfigs(_Wire):
    """The addresses to notify of a task's states."""

    configs: list[PushConfig]
    next_page_token: str = ""


class SendConfiguration(_Wire):
    """The way to answer a message."""

    accepted_output_modes: list[str] | None = None
    task_push_notification_config: PushConfig | None = None
    history_length: _Count = None
    return_immediately: bool | None = False


class SendRequest(_Wire):
    """A message to begin a task, or for the task that the message names."""

    message: A2AMessage
    configuration: SendConfiguration | None = None
    metadata: dict[str, Any] | None = None
    tenant: str | None = None


class GetRequest(_Wire):
    """A task to show."""

    id: str
    history_length: _Count = None
    tenant: str | None = None


class ListRequest(_Wire):
    """Tasks to list: of a context, in a state, changed since a time."""

    context_id: str | None = None
    status: State | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    page_token: str | None = None
    history_length: _Count = None
    status_timestamp_after: datetime | None = None
    include_artifacts: bool | None = False
    tenant: str | None = None


class TaskPage(msgspec.Struct, rename="camel"):
    """A page of tasks. `next_page_token` is the `page_token` of the next page, empty for the last page."""

    tasks: list[A2ATask]
    next_page_token: str
    page_size: int
    total_size: int


class CancelRequest(_Wire):
    """A task to cancel."""

    id: str
    metadata: dict[str, Any] | None = None
    tenant: str | None = None


class SubscribeRequest(_Wire):
    """A task to follow."""

    id: str
    tenant: str | None = None


class ConfigRequest(_Wire):
    """An address to show or to forget, by its id and its task's."""

    task_id: str
    id: str
    tenant: str | None = None


class ConfigsRequest(_Wire):
    """A task whose addresses to list. All of them are on one page."""

    task_id: str
    page_size: int | None = None
    page_token: str | None = None
    tenant: str | None = None


def write_time(at: float) -> str:
    """Return the time as text, in UTC and with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
