"""The format of this server's own API: runs and events as JSON. Pure: knows neither sockets nor trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from agno_rt import Runnable, RunResult, Tool, Toolkit, Usage, Workflow
from agno_rt.errors import UsageError, suggest
from agno_rt.events import Event, event_type
from agno_rt.messages import MediaKind, Part
from agno_rt.output import plain_value
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

__all__ = ["InputPart", "RunBody", "decode", "input_of", "result_body", "server_sent_event", "state_of"]

Resolve: TypeAlias = Callable[[str], Tool | Toolkit | str]


class _Text(msgspec.Struct, tag="text", forbid_unknown_fields=True):
    text: str


class _Attached(msgspec.Struct, forbid_unknown_fields=True):
    data: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    name: str | None = None


class _Image(_Attached, tag="image"):
    pass


class _Audio(_Attached, tag="audio"):
    pass


class _Video(_Attached, tag="video"):
    pass


class _File(_Attached, tag="file"):
    pass


InputPart: TypeAlias = _Text | _Image | _Audio | _Video | _File


class RunBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /agents/{name}/runs`. `input` is text, or parts: texts and attachments.

    `within` adds the events of runs within to the stream, such as those of a team's members.
    `busy` is the way of the run with a session in use, as of `Runtime.run`. `state` is the first state of a declared
    workflow.
    """

    input: str | list[InputPart]
    session: str | None = None
    user: str | None = None
    within: bool = False
    busy: Literal["enqueue", "reject", "interrupt", "rollback"] | None = None
    state: dict[str, Any] | None = None


class _RunAnswer(msgspec.Struct):
    run_id: str
    status: str
    content: str
    reasoning: str
    output: Any
    session: str | None
    usage: Usage
    error: str | None = None
    approvals: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


_encoder = msgspec.json.Encoder(enc_hook=plain_value)
_run_decoder = msgspec.json.Decoder(RunBody)


def decode(body: bytes) -> RunBody:
    """Return the body of a run's request. Raises `HttpError` 400 that names the fault."""
    try:
        return _run_decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise HttpError(
            400, "invalid_body", f"the body does not describe a run: {exc}", _choose_hint(str(exc))
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        hint = 'Send an object such as {"input": "Hello"}.'
        raise HttpError(400, "invalid_json", f"the body is not valid JSON: {exc}", hint) from exc


def state_of(given: dict[str, Any] | None, agent: Runnable) -> Any:
    """Return the first state of a run. Raises `HttpError` 400 for a runnable without one, and for an unfit state."""
    if given is None:
        return None
    try:
        if not isinstance(agent, Workflow):
            hint = "Leave `state` out: agents, teams and workflows in code have no declared state."
            raise UsageError(f"{agent.name!r} has no state to begin with", hint=hint)
        return agent.read_state(msgspec.json.encode(given))
    except UsageError as exc:
        raise HttpError(400, "invalid_body", exc.message, exc.hint) from exc


def input_of(given: str | list[InputPart], accepts: Accepts) -> str | list[Part]:
    """Return the input of a body to run on. Raises `HttpError` 400 or 413 that names the part and the fault."""
    if isinstance(given, str):
        return given
    if not given:
        raise HttpError(400, "invalid_body", "the input has no parts", f"{_INPUT} {_PARTS}")
    return [_make_part(part, f"input[{at}]", accepts) for at, part in enumerate(given)]


def result_body(result: RunResult, session: str | None, approvals: list[dict[str, Any]] | None) -> bytes:
    """Return the JSON of a run that ended with an answer, or of a paused run with the `approvals` it waits for."""
    error = None if result.error is None else str(result.error)
    return _encoder.encode(
        _RunAnswer(
            result.run_id,
            result.status,
            result.content,
            result.reasoning,
            result.output,
            session,
            result.usage,
            error,
            msgspec.UNSET if approvals is None else approvals,
        )
    )


def server_sent_event(number: int, event: Event) -> bytes:
    """Return the event as a server-sent event: type, number and JSON."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event_type(event).encode("ascii"), number, _encoder.encode(event))


def server_sent_event_within(number: int, path: str, event: Event) -> bytes:
    """Return the event of a run within as a server-sent event, with the path of its run."""
    body = msgspec.json.decode(_encoder.encode(event)) | {"path": path}
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event_type(event).encode("ascii"), number, _encoder.encode(body))


_KINDS: dict[type[_Attached], MediaKind] = {_Image: "image", _Audio: "audio", _Video: "video", _File: "file"}


def _make_part(part: _Text | _Attached, where: str, accepts: Accepts) -> Part:
    if isinstance(part, _Text):
        return part.text
    attached = Attached(_KINDS[type(part)], part.data, part.url, part.media_type, part.name)
    try:
        return make(attached, accepts)
    except HttpError as exc:
        raise HttpError(exc.status, exc.code, f"{where}: {exc.message}", exc.hint) from exc


_INPUT = (
    'It takes {"input": text or parts, "session": text or null, "user": text or null, "busy": "enqueue", "reject", '
    '"interrupt", "rollback" or null}.'
)
_PARTS = (
    'A part is {"type": "text", "text": ...}, or of type image, audio, video or file with "data" in base64 or "url", '
    'and perhaps "media_type" and "name".'
)


def _choose_hint(problem: str) -> str:
    in_part = "`$.input[" in problem
    _, found, rest = problem.partition("unknown field `")
    if found:
        known = (*_Attached.__struct_fields__, "text", "type") if in_part else RunBody.__struct_fields__
        return suggest("key", rest.partition("`")[0], known)
    return _PARTS if in_part else _INPUT
