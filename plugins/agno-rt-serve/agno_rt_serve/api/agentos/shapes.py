"""The bodies, answers and errors of AgentOS. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from agno_rt import Message, Usage
from agno_rt.run_store import RunRecord
from agno_rt_serve.errors import HttpError

__all__ = [
    "Failure",
    "Note",
    "OSDone",
    "OSHistory",
    "OSMedia",
    "OSNewSession",
    "OSProblem",
    "OSRun",
    "OSRunBody",
    "OSRunContext",
    "OSScheduled",
    "OSSession",
    "OSSessionUpdate",
    "OSSummarised",
    "OSSummary",
    "OSTargets",
    "OSUsage",
    "error_shape",
    "list_media",
    "render_message",
    "render_run",
    "render_usage",
]


class OSNewSession(msgspec.Struct):
    """The body of a new session."""

    agent_id: str
    user_id: str = ""
    team_id: str = ""
    workflow_id: str = ""
    name: str = ""
    metadata: dict[str, Any] | None = None


class OSSessionUpdate(msgspec.Struct):
    """The fields of a session to change; missing fields stay."""

    name: str = ""
    metadata: dict[str, Any] | None = None
    state: dict[str, Any] | None = None


class OSTargets(msgspec.Struct):
    """The targets of a session; missing targets stay."""

    agent_id: str = ""
    team_id: str = ""
    workflow_id: str = ""
    user_id: str = ""


class OSSummary(msgspec.Struct):
    """A summary of a session; `created_at` is a time of RFC 3339."""

    content: str
    run_count: int = 0
    total_tokens: int = 0
    created_at: str = ""


class Note(msgspec.Struct, omit_defaults=True):
    """The fields of a session for AgentOS alone."""

    team_id: str = ""
    workflow_id: str = ""
    metadata: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    summary: OSSummary | None = None


class OSRun(msgspec.Struct, omit_defaults=True):
    """A stored run of a session."""

    run_id: str
    status: str
    started_at: int = 0
    completed_at: int = 0
    cancellation_reason: str = ""


class OSSession(msgspec.Struct, omit_defaults=True):
    """A session. Times are whole seconds since the epoch."""

    session_id: str
    run_count: int = msgspec.field(default_factory=int)
    created_at: int = msgspec.field(default_factory=int)
    updated_at: int = msgspec.field(default_factory=int)
    agent_id: str = ""
    user_id: str = ""
    team_id: str = ""
    workflow_id: str = ""
    name: str = ""
    metadata: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    summary: OSSummary | None = None
    runs: list[OSRun] | None = None


class OSRunContext(msgspec.Struct):
    """The context of a run, as sent by a client."""

    run_id: str = ""
    parent_run_id: str = ""
    session_id: str = ""
    user_id: str = ""
    workflow_id: str = ""
    team_id: str = ""
    metadata: dict[str, Any] | None = None


class OSMedia(msgspec.Struct):
    """An attachment of a run, by URL."""

    type: str
    url: str = ""
    path: str = ""
    content_type: str = ""
    name: str = ""
    metadata: dict[str, Any] | None = None


class OSRunBody(msgspec.Struct):
    """The body of a run."""

    input: str = ""
    session_id: str = ""
    stream: bool = False
    media: list[OSMedia] | OSMedia | None = None
    run_context: OSRunContext | None = None


class OSUsage(msgspec.Struct):
    """The tokens of a run."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int = 0


class OSProblem(msgspec.Struct):
    """The body of an error."""

    error: str
    status: Literal["error"] = "error"
    message: str = ""
    code: str = ""


class Failure(HttpError):
    """An error of AgentOS: a `code` in capitals, an `error` in a few words, and a `message`."""

    def __init__(self, status: int, code: str, error: str, message: str = "") -> None:
        super().__init__(status, code, error, message)


_CODES = {
    400: "INVALID_REQUEST",
    404: "NOT_FOUND",
    415: "INVALID_REQUEST",
    409: "CONFLICT",
}


def error_shape(error: HttpError) -> bytes:
    """Return the JSON of an error."""
    if isinstance(error, Failure):
        return msgspec.json.encode(OSProblem(error.message, message=error.hint, code=error.code))
    code = "CANCELLED" if error.code == "cancelled" else _CODES.get(error.status, "EXECUTION_ERROR")
    if error.run_id or error.status >= 500:
        told = f"{error.message}. {error.hint}".rstrip(". ")
        return msgspec.json.encode(OSProblem("agent execution failed", message=told, code=code))
    return msgspec.json.encode(OSProblem(error.message, message=error.hint, code=code))


def render_usage(usage: Usage) -> OSUsage:
    """Return the tokens of a run."""
    return OSUsage(usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.reasoning_tokens)


def render_run(record: RunRecord) -> OSRun:
    """Return a stored run, with AgentOS's words for waiting and failed runs."""
    is_over = record.status not in ("running", "paused")
    status = {"paused": "running", "failed": "error", "limited": "error"}.get(record.status, record.status)
    ended = int(record.updated_at) if is_over else 0
    reason = record.error or "" if record.status == "cancelled" else ""
    return OSRun(record.id, status, int(record.created_at), ended, reason)


def render_message(message: Message, at: int, session: str) -> dict[str, Any]:
    """Return a message of a session; the id is the place."""
    made: dict[str, Any] = {"id": f"{session}-{at}", "role": message.role, "content": message.text}
    if message.name:
        made["name"] = message.name
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.reasoning:
        made["reasoning_content"] = {"content": message.reasoning}
    return made


class OSDone(msgspec.Struct):
    """Word of a thing done."""

    message: str


class OSScheduled(msgspec.Struct):
    """Word of a summary under way."""

    session_id: str
    status: str = "scheduled"


class OSSummarised(msgspec.Struct):
    """The summary of a session."""

    summary: OSSummary | None


class OSHistory(msgspec.Struct, omit_defaults=True):
    """The messages and the stored runs of a session."""

    session_id: str
    messages: list[dict[str, Any]] = msgspec.field(default_factory=list)
    stream_events: bool = msgspec.field(default_factory=bool)
    runs: list[OSRun] = msgspec.field(default_factory=list)
    summary: OSSummary | None = None


def list_media(given: list[OSMedia] | OSMedia | None) -> Iterable[OSMedia]:
    """Return the attachments of a body as a list."""
    return [given] if isinstance(given, OSMedia) else given or []
