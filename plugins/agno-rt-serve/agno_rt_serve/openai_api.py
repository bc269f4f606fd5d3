"""The chat completions format, as a server speaks it: an agent is the model. Pure: knows neither transport nor trio.

Reference: the OpenAI API reference, "Chat Completions", "Models" and "Error codes". What a client may ask of a model
but not of an agent (tools of its own, images, several answers) is refused by name; sampling parameters are ignored,
because an agent has its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from agno_rt import Message, RunResult, Usage
from agno_rt.errors import NotFound
from agno_rt.events import Event, ModelStarted, TextDelta
from agno_rt.messages import Role
from agno_rt_serve.errors import HttpError

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


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None


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


def conversation(chat: ChatBody) -> list[Message]:
    """The messages to answer, their text parts joined. Raises `HttpError` 400 naming the part that is not text."""
    if not chat.messages:
        raise _refused("there are no messages to answer", "messages")
    return [_message(message, f"messages[{at}]") for at, message in enumerate(chat.messages)]


def completion_body(result: RunResult, model: str, created: int) -> bytes:
    """The completion, in one piece."""
    message = {"role": "assistant", "content": result.content, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
    body = _envelope(result.run_id, "chat.completion", model, created)
    return _encoder.encode(body | {"choices": [choice], "usage": _usage(result.usage)})


class Chunks:
    """The completion in pieces: feed it the run's events, then ask for the `end`. Tool calls stay the agent's own."""

    def __init__(self, model: str, created: int, include_usage: bool) -> None:
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._run_id = ""
        self._said_before = False
        self._said_in_turn = False

    def feed(self, event: Event) -> bytes:
        """What the event adds to the stream, often nothing. The run's first event opens the stream."""
        if isinstance(event, TextDelta):
            return self._text(event.text)
        if isinstance(event, ModelStarted):
            self._said_before |= self._said_in_turn
            self._said_in_turn = False
        if not self._run_id:
            self._run_id = event.run_id
            return self._chunk({"role": "assistant", "content": "", "refusal": None})
        return b""

    def end(self, result: RunResult) -> bytes:
        """The last pieces: what was not streamed, why it ended, the usage where it was asked for."""
        rest = b"" if self._said_in_turn else self._text(result.content)
        last = self._chunk({}, finish_reason=result.finish_reason)
        usage = self._data({"choices": [], "usage": _usage(result.usage)}) if self._include_usage else b""
        return rest + last + usage + DONE

    def failed(self, error: HttpError) -> bytes:
        """The last piece of a run that failed after the stream began."""
        return b"data: %b\n\n" % error_body(error)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        # The text of one turn is told apart from that of the turn before, between which tools were called.
        before = "\n\n" if self._said_before and not self._said_in_turn else ""
        self._said_in_turn = True
        return self._chunk({"content": before + text})

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
    def __init__(self, message: str, param: str, hint: str) -> None:
        super().__init__(400, "invalid_request", message, hint)
        self.param = param


def _refused(message: str, param: str, hint: str = "") -> HttpError:
    return _Refused(message, param, hint)


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


def _message(message: _Message, where: str) -> Message:
    role = _ROLES.get(message.role)
    if role is None or message.tool_calls or message.function_call:
        what = f"has the role {message.role!r}" if role is None else "calls tools"
        hint = "Send messages of the roles system, developer, user and assistant, with text."
        raise _refused(f"{where} {what}, which is not supported", where, hint)
    return Message(role, _text(message.content, f"{where}.content"), name=message.name)


def _text(content: str | list[_Part] | None, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_part(part, f"{where}[{at}]") for at, part in enumerate(content))


def _part(part: _Part, where: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type not in ("text", "refusal") or text is None:
        raise _refused(f"{where} is of type {part.type!r}; only text is supported", where)
    return text


def _envelope(run_id: str, kind: str, model: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{run_id}", "object": kind, "created": created, "model": model}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "agno_rt"}
