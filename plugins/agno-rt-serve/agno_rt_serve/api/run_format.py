"""The format of this server's own API: runs and events as JSON. Pure: knows neither sockets nor trio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

from agno_rt import Runnable, RunResult, Tool, Toolkit, Usage, Workflow
from agno_rt.errors import UsageError, suggest
from agno_rt.events import Event, RunStarted, event_type
from agno_rt.messages import MediaKind, Part
from agno_rt.output import plain_value
from agno_rt_serve.api.parts import Accepts, Attached, make
from agno_rt_serve.errors import HttpError

if TYPE_CHECKING:
    from agno_rt.library import Citation

__all__ = [
    "InputPart",
    "LaunchOptions",
    "RunAnswer",
    "RunBody",
    "WebhookBody",
    "decode",
    "encode_answer",
    "encode_event",
    "input_of",
    "result_body",
    "server_sent_event",
    "state_of",
]

Resolve: TypeAlias = Callable[[str], Tool | Toolkit | str]


class TextPart(msgspec.Struct, tag="text", forbid_unknown_fields=True):
    text: str


class _Attached(msgspec.Struct, forbid_unknown_fields=True):
    data: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    name: str | None = None


class ImagePart(_Attached, tag="image"):
    pass


class AudioPart(_Attached, tag="audio"):
    pass


class VideoPart(_Attached, tag="video"):
    pass


class FilePart(_Attached, tag="file"):
    pass


InputPart: TypeAlias = TextPart | ImagePart | AudioPart | VideoPart | FilePart


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """An address to tell of the run's end, and the secret to sign with: `whsec_` and base64, or else the server's."""

    url: str
    secret: str = ""


Disconnect: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(cancel|detach(;grace=[0-9]{1,6}(\.[0-9]{1,3})?)?)$")]


class LaunchOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The way to carry out a run.

    `within` adds the events of runs within to the stream, such as those of a team's members. `background` answers 202
    as soon as the run is stored. `disconnect` is the fate of the run if the client leaves: `cancel`, `detach`, or
    `detach;grace=30` to cancel the run after 30 seconds without any client. `webhook` is told of the end.
    """

    within: bool = False
    background: bool = False
    disconnect: Disconnect | None = None
    webhook: WebhookBody | None = None


class RunBody(LaunchOptions, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /agents/{name}/runs`. `input` is text, or parts: texts and attachments.

    `busy` is the way of the run with a session in use, as of `Runtime.run`. `state` is the first state of a declared
    workflow.
    """

    input: str | list[InputPart]
    session: str | None = None
    user: str | None = None
    busy: Literal["enqueue", "reject", "interrupt", "rollback"] | None = None
    state: dict[str, Any] | None = None


class RunAnswer(msgspec.Struct):
    """A run that is over, or paused with `approvals` that wait for a person."""

    run_id: str
    status: str
    content: str
    reasoning: str
    output: Any
    session: str | None
    usage: Usage
    error: str | None = None
    approvals: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    citations: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


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


def result_body(
    result: RunResult, session: str | None, approvals: list[dict[str, Any]] | None, citations: Sequence[Citation]
) -> bytes:
    """Return the JSON of a run that ended with an answer, or of a paused run with the `approvals` it waits for.

    A run that searched knowledge has `citations`.
    """
    error = None if result.error is None else str(result.error)
    return _encoder.encode(
        RunAnswer(
            result.run_id,
            result.status,
            result.content,
            result.reasoning,
            result.output,
            session,
            result.usage,
            error,
            msgspec.UNSET if approvals is None else approvals,
            _describe_citations(citations) if citations else msgspec.UNSET,
        )
    )


def _describe_citations(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    from agno_rt.library import describe_citations  # few runs search knowledge

    return describe_citations(citations)


def server_sent_event(number: int, event: Event) -> bytes:
    """Return the event as a server-sent event: type, number and JSON."""
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event_type(event).encode("ascii"), number, _encoder.encode(event))


def server_sent_event_within(number: int | None, path: str, event: Event) -> bytes:
    """Return the event of a run within as a server-sent event, with the path of its run.

    The path of an event about a step is the step's: the path of the run, and the path within the run.
    """
    step = "" if isinstance(event, RunStarted) else getattr(event, "path", "")
    body = encode_event(event, {"path": f"{path}/{step}" if step else path})
    id_line = b"" if number is None else b"id: %d\n" % number
    return b"event: %b\n%bdata: %b\n\n" % (event_type(event).encode("ascii"), id_line, body)


def encode_event(event: Event, more: dict[str, Any]) -> bytes:
    """Return the JSON of the event, with more fields."""
    return _encoder.encode(msgspec.json.decode(_encoder.encode(event)) | more)


def encode_answer(answer: RunAnswer) -> bytes:
    """Return the JSON of an answer."""
    return _encoder.encode(answer)


_KINDS: dict[type[_Attached], MediaKind] = {
    ImagePart: "image",
    AudioPart: "audio",
    VideoPart: "video",
    FilePart: "file",
}


def _make_part(part: TextPart | _Attached, where: str, accepts: Accepts) -> Part:
    if isinstance(part, TextPart):
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
