"""The chat completions format, as a server speaks it: an agent is the model. Pure: knows neither transport nor trio.

Reference: the OpenAI API reference, "Chat Completions", "Models" and "Error codes"; for `reasoning_content`, which it
does not have, DeepSeek's; for `video_url`, vLLM's. What a client may ask of a model but not of an agent (tools of its
own, several answers) is refused by name; sampling parameters are ignored, because an agent has its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agno_rt import Message, RunResult, Usage
from agno_rt.errors import NotFound
from agno_rt.events import Event, ModelStarted, ReasoningDelta, TextDelta, TurnRestarted
from agno_rt.messages import Content, Part, Role
from agno_rt_serve.errors import HttpError
from agno_rt_serve.parts import Accepts, Attached, make

__all__ = [
    "DONE",
    "ChatBody",
    "Chunks",
    "completion_body",
    "conversation",
    "decode",
    "error_body",
    "model_body",
    "models_body",
    "unknown_model",
]

DONE = b"data: [DONE]\n\n"


class _Url(msgspec.Struct):
    url: str


class _Audio(msgspec.Struct):
    data: str
    format: str = "wav"


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None
    video_url: _Url | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"


class ChatBody(msgspec.Struct):
    """What `POST /v1/chat/completions` is sent, as far as it matters here."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    n: int | None = None
    response_format: _Format | None = None
    modalities: list[str] | None = None
    user: str | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream is to end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


_decoder = msgspec.json.Decoder(ChatBody)
_encoder = msgspec.json.Encoder()
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def decode(body: bytes) -> ChatBody:
    """The body of a request for a completion. Raises `HttpError` 400 that names what is wrong or not supported."""
    try:
        chat = _decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _refused(f"the body is not a chat completion request: {exc}", _place(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _refused(f"the body is not valid JSON: {exc}", "") from exc
    _check_supported(chat)
    return chat


def conversation(chat: ChatBody, accepts: Accepts) -> list[Message]:
    """The messages to answer, text parts joined where there is nothing else.

    Raises `HttpError` 400 or 413 that names the part and what is wrong with it.
    """
    if not chat.messages:
        raise _refused("there are no messages to answer", "messages")
    return [_message(message, f"messages[{at}]", accepts) for at, message in enumerate(chat.messages)]


def completion_body(result: RunResult, model: str, created: int) -> bytes:
    """The completion, in one piece."""
    message = {"role": "assistant", "content": result.content, "refusal": None}
    if result.reasoning:
        message["reasoning_content"] = result.reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
    body = _envelope(result.run_id, "chat.completion", model, created)
    return _encoder.encode(body | {"choices": [choice], "usage": _usage(result.usage)})


class Chunks:
    """The completion in pieces: feed it the run's events, then ask for the `end`. Tool calls stay the agent's own.

    This format cannot take text back. When a turn begins anew, its text is held back as long as it says what was sent
    already, and then goes on from there; as soon as it says something else, the stream ends with an error.
    """

    def __init__(self, model: str, created: int, include_usage: bool) -> None:
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._run_id = ""
        self._said_before = False
        self._turn = ""
        self._again: str | None = None

    def feed(self, event: Event) -> bytes:
        """What the event adds to the stream, often nothing. The run's first event opens the stream.

        Raises `HttpError` where what was sent turns out not to be the answer.
        """
        match event:
            case TextDelta():
                return self._text(event.text)
            case ReasoningDelta():
                return self._chunk({"reasoning_content": event.text}) if event.text else b""
            case TurnRestarted() if self._turn:
                self._again = ""
            case ModelStarted():
                self._check_whole()
                self._said_before |= bool(self._turn)
                self._turn = ""
        if not self._run_id:
            self._run_id = event.run_id
            return self._chunk({"role": "assistant", "content": "", "refusal": None})
        return b""

    def end(self, result: RunResult) -> bytes:
        """The last pieces: what was not streamed, why it ended, the usage where it was asked for."""
        try:
            rest = self._rest(result.content)
        except HttpError as exc:
            return self.failed(exc)
        last = self._chunk({}, finish_reason=result.finish_reason)
        usage = self._data({"choices": [], "usage": _usage(result.usage)}) if self._include_usage else b""
        return rest + last + usage + DONE

    def failed(self, error: HttpError) -> bytes:
        """The last piece of a run that failed after the stream began."""
        return b"data: %b\n\n" % error_body(error)

    def _rest(self, content: str) -> bytes:
        if self._again is not None:
            # What came of the turn that began anew is in the content again, from its beginning.
            self._again = ""
        elif self._turn:
            return b""
        rest = self._text(content)
        self._check_whole()
        return rest

    def _text(self, text: str) -> bytes:
        if self._again is not None:
            text = self._repeated(text)
        if not text:
            return b""
        # The text of one turn is told apart from that of the turn before, between which tools were called.
        before = "\n\n" if self._said_before and not self._turn else ""
        self._turn += text
        return self._chunk({"content": before + text})

    def _repeated(self, text: str) -> str:
        """What is new in the text of a turn that began anew."""
        again = f"{self._again}{text}"
        if self._turn.startswith(again):
            self._again = again
            return ""
        if not again.startswith(self._turn):
            raise _taken_back()
        self._again = None
        return again[len(self._turn) :]

    def _check_whole(self) -> None:
        if self._again is not None and self._again != self._turn:
            raise _taken_back()
        self._again = None

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._data({"choices": [choice]} | ({"usage": None} if self._include_usage else {}))

    def _data(self, fields: dict[str, Any]) -> bytes:
        body = _envelope(self._run_id, "chat.completion.chunk", self._model, self._created) | fields
        return b"data: %b\n\n" % _encoder.encode(body)


def models_body(names: Iterable[str], created: int) -> bytes:
    """The list of agents, as models."""
    return _encoder.encode({"object": "list", "data": [_model(name, created) for name in names]})


def model_body(name: str, created: int) -> bytes:
    """One agent, as a model."""
    return _encoder.encode(_model(name, created))


def unknown_model(error: NotFound) -> HttpError:
    """An agent that is not there, as the clients of this API know it."""
    return HttpError(404, "model_not_found", error.message, error.hint)


def error_body(error: HttpError) -> bytes:
    """The error in the shape in which the clients of this API look for it."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    message = f"{error.message}. {error.hint}" if error.hint else error.message
    return _encoder.encode({"error": {"message": message, "type": kind, "code": error.code, "param": _param(error)}})


class _Refused(HttpError):
    def __init__(self, message: str, param: str, hint: str, status: int = 400) -> None:
        super().__init__(status, "invalid_request", message, hint)
        self.param = param


def _refused(message: str, param: str, hint: str = "") -> HttpError:
    return _Refused(message, param, hint)


def _taken_back() -> HttpError:
    hint = "Ask again; or ask without `stream`, and only the answer is sent."
    return HttpError(502, "taken_back", "the answer was begun anew after part of it had been streamed", hint)


def _param(error: HttpError) -> str | None:
    if isinstance(error, _Refused):
        return error.param or None
    return "model" if error.code == "model_not_found" else None


def _place(exc: msgspec.ValidationError) -> str:
    return str(exc).partition("`$.")[2].rstrip("`").replace("[...]", "[]")


def _check_supported(chat: ChatBody) -> None:
    if chat.tools or chat.functions:
        hint = "The agent has tools of its own; leave yours out."
        raise _refused("tools of the client are not supported", "tools" if chat.tools else "functions", hint)
    if chat.n is not None and chat.n != 1:
        raise _refused(f"n is {chat.n}; an agent gives one answer", "n")
    if chat.response_format is not None and chat.response_format.type != "text":
        hint = "Give the agent an output type instead."
        raise _refused(f"response_format {chat.response_format.type!r} is not supported", "response_format", hint)
    if chat.modalities and chat.modalities != ["text"]:
        raise _refused("the only modality is text", "modalities")


def _message(message: _Message, where: str, accepts: Accepts) -> Message:
    role = _ROLES.get(message.role)
    if role is None or message.tool_calls or message.function_call:
        what = f"has the role {message.role!r}" if role is None else "calls tools"
        hint = "Send messages of the roles system, developer, user and assistant, with text."
        raise _refused(f"{where} {what}, which is not supported", where, hint)
    content = _content(message.content, f"{where}.content", accepts)
    if role != "user" and not isinstance(content, str):
        raise _refused(f"{where} is the {role}'s and holds media", where, "Send media in messages of the user.")
    return Message(role, content, name=message.name)


def _content(content: str | list[_Part] | None, where: str, accepts: Accepts) -> Content:
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(_part(part, f"{where}[{at}]", accepts) for at, part in enumerate(content))
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else parts


def _part(part: _Part, where: str, accepts: Accepts) -> Part:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type in ("text", "refusal") and text is not None:
        return text
    attached = _attached(part)
    if attached is None:
        takes = "text, image_url, input_audio, file and video_url"
        raise _refused(f"{where} is of type {part.type!r}, or lacks what that holds", where, f"Supported: {takes}.")
    try:
        return make(attached, accepts)
    except HttpError as exc:
        raise _Refused(f"{where} {exc.message}", where, exc.hint, exc.status) from exc


def _attached(part: _Part) -> Attached | None:
    match part:
        case _Part(type="image_url", image_url=_Url(url=url) | str(url)):
            return Attached("image", url=url)
        case _Part(type="video_url", video_url=_Url(url=url) | str(url)):
            return Attached("video", url=url)
        case _Part(type="input_audio", input_audio=_Audio(data=data, format=format_)):
            return Attached("audio", data, media_type=f"audio/{format_}")
        case _Part(type="file", file=_File(file_data=str(data), filename=name)):
            by_url = data[:5].lower() == "data:"
            return Attached("file", None if by_url else data, data if by_url else None, name=name)
    return None


def _envelope(run_id: str, kind: str, model: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{run_id}", "object": kind, "created": created, "model": model}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "agno_rt"}
