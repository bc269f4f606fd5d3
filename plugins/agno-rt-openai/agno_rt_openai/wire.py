"""What goes over the wire, as pure functions: requests to bytes, answers and streams to responses, failures to errors.

Adds to `agno_rt.chat_format` what belongs to the transport: JSON, event streams, statuses, error bodies, Retry-After.
Opens nothing, reads no clock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http.client import responses as phrases
from typing import Any

import attrs
import msgspec

from agno_rt import chat_format
from agno_rt.errors import ModelError, UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt_openai.sse import EventParser

__all__ = ["ChatStream", "Dialect", "Peer", "completion", "deltas", "refusal", "request_bytes", "retry_after"]

MAX_TEXT = 500
"""How much of a server's own words goes into a message."""

_RETRYABLE = frozenset({408, 409, 425, 429})
_RETRYABLE_KINDS = frozenset({"overloaded_error", "rate_limit_error", "rate_limit_exceeded", "server_error"})
_NO_CREDIT = "insufficient_quota"
_SECRET_LENGTH = 8


@attrs.frozen(kw_only=True)
class Peer:
    """Who is asked, as errors name it: the model, whoever provides it, and where. `secrets` are cut out of errors."""

    name: str
    provider: str
    model: str
    url: str
    key_source: str = "nowhere"
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)

    def error(
        self,
        problem: str,
        *,
        hint: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> ModelError:
        """The error that says of this peer what the problem is."""
        return ModelError(
            self._without_secrets(f"{self.name} {problem}"),
            hint=self._without_secrets(hint),
            provider=self.provider,
            status=status,
            retryable=retryable,
            retry_after=retry_after,
        )

    def _without_secrets(self, text: str) -> str:
        # Servers quote what they refuse. Very short secrets are left: they would cut holes into plain words.
        for secret in self.secrets:
            if len(secret) >= _SECRET_LENGTH:
                text = text.replace(secret, "***")
        return text


@attrs.frozen(kw_only=True)
class Dialect:
    """What is particular about the format as a model's server speaks it.

    `official` is OpenAI's own; `think_tags` and `reasoning_field` are what they are for `agno_rt.chat_format`.
    """

    official: bool = False
    think_tags: chat_format.ThinkTags = "off"
    reasoning_field: str = ""


def request_bytes(request: ModelRequest, model: str, dialect: Dialect, *, stream: bool) -> bytes:
    """The body that asks for a completion.

    Raises `UsageError` for media that the format cannot carry, and where `settings.extra` holds what JSON cannot.
    """
    asked = request if dialect.official else _portable(request)
    body = chat_format.request_body(asked, model, reasoning_field=dialect.reasoning_field)
    if dialect.official and "max_tokens" in body and "max_tokens" not in request.settings.extra:
        # OpenAI's reasoning models refuse the old name, which is the only one that most other servers know.
        body.setdefault("max_completion_tokens", body.pop("max_tokens"))
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as exc:
        hint = "Look for unusual objects in ModelSettings.extra, and for half a surrogate pair in the messages."
        raise UsageError(f"the request to {model!r} cannot be written as JSON: {exc}", hint=hint) from exc


def _portable(request: ModelRequest) -> ModelRequest:
    """The request in terms that llama.cpp's server takes too, which knows less than OpenAI's.

    It ignores a choice that names a tool; to require the only tool there is says the same. And it refuses a history
    with arguments that are no JSON object, which a small model does write.
    """
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    messages = [_mended(message) if message.tool_calls else message for message in request.messages]
    if named:
        return attrs.evolve(request, messages=messages, tools=named, tool_choice="required")
    return attrs.evolve(request, messages=messages)


def _mended(message: Message) -> Message:
    return attrs.evolve(message, tool_calls=tuple(map(_with_object, message.tool_calls)))


def _with_object(call: ToolCall) -> ToolCall:
    arguments = _json(call.arguments.encode("utf-8", "replace"))
    return call if isinstance(arguments, dict) else attrs.evolve(call, arguments="{}")


def completion(body: bytes, peer: Peer, dialect: Dialect, content_type: str = "") -> ModelResponse:
    """The response in a whole body. Raises `ModelError` for anything that is no completion."""
    value = _json(body)
    if value is None:
        kind = _kind(body, content_type)
        hint = f"Is {peer.url} the right address? base_url is all of it before /chat/completions."
        raise peer.error(f"answered with {kind}, not with JSON: {_plain(body)!r}", hint=hint)
    _raise_error_in(value, peer)
    try:
        return chat_format.response(_object(value), dialect.think_tags)
    except (ValueError, TypeError, ArithmeticError) as exc:
        raise peer.error(f"answered with something that is no chat completion: {exc}") from exc


def deltas(response: ModelResponse) -> Iterator[Delta]:
    """A whole response as the deltas of a stream, for a server that does not stream."""
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


class ChatStream:
    """A streamed completion: `feed` it bytes, then take the `response`. Raises `ModelError` for what is no such stream.

    `finished` once the model has said all; `done` once the stream has.
    """

    def __init__(self, peer: Peer, dialect: Dialect) -> None:
        self.done = False
        self._peer = peer
        self._parser = EventParser()
        self._response = chat_format.StreamedResponse(dialect.think_tags)
        self._chunks = 0

    @property
    def finished(self) -> bool:
        """Whether a chunk gave the finish reason. Usage may still follow."""
        return self._response.finished

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take in the next bytes and yield what they bring, each delta before a later fault is found."""
        try:
            for payload in self._parser.feed(data):
                yield from self._take(payload)
                if self.done:
                    return
        except ValueError as exc:
            raise self._peer.error(f"sent a stream that cannot be read: {exc}") from exc

    def end(self) -> Iterator[Delta]:
        """The stream is over: yield what its last bytes bring. Raises `ModelError` where it broke off."""
        last = self._parser.end()
        if last is not None and not self.done and (last == b"[DONE]" or _json(last) is not None):
            yield from self._take(last)
        if not self._chunks and not (self.done or self.finished):
            raise self._peer.error("ended its stream without any answer", retryable=True)
        if not (self.done or self.finished):
            raise self._peer.error("broke off its stream before the answer was finished", retryable=True)
        yield from self._response.end()

    def response(self) -> ModelResponse:
        """All that came, as one response."""
        return self._response.response()

    def _take(self, payload: bytes) -> Iterator[Delta]:
        if payload.strip() == b"[DONE]":
            self.done = True
            if not self._chunks:
                raise self._peer.error("ended its stream without any answer", retryable=True)
            return
        if not payload.strip():
            return
        value = _json(payload)
        if value is None:
            raise self._peer.error(f"sent broken JSON in its stream: {_plain(payload)!r}")
        _raise_error_in(value, self._peer)
        self._chunks += 1
        try:
            yield from self._response.feed(_object(value))
        except (ValueError, TypeError, ArithmeticError) as exc:
            raise self._peer.error(f"sent a chunk that is no part of a chat completion: {exc}") from exc


def refusal(peer: Peer, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ModelError:
    """The error in an answer whose status is no success. `now` is the time in seconds since 1970."""
    text, kind = _error_text(body, headers.get("content-type", ""))
    no_credit = kind == _NO_CREDIT
    phrase = phrases.get(status, "")
    return peer.error(
        f"answered {status}{f' {phrase}' if phrase else ''}{f': {text}' if text else ''}",
        hint="The account has no credit left; waiting does not help." if no_credit else _hint(peer, status, headers),
        status=status,
        retryable=(status in _RETRYABLE or status >= 500) and not no_credit,
        retry_after=retry_after(headers, now),
    )


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The wait that the server asks for, in seconds from `now`; `None` where it asks for none that makes sense."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _hint(peer: Peer, status: int, headers: Mapping[str, str]) -> str:
    if status in (401, 403):
        if peer.key_source == "nowhere":
            return "No API key was sent. Name the variable that holds it: api_key_env."
        return f"Check the API key; it came from {peer.key_source}."
    if status == 404:
        return f"Check the model's name, {peer.model!r}, and base_url: the request went to {peer.url}."
    if 300 <= status < 400:
        return f"base_url leads on to {headers.get('location', 'another address')!r}. Write the final address there."
    return ""


def _raise_error_in(value: Any, peer: Peer) -> None:
    """An error may come with status 200, and in the middle of a stream."""
    error = value.get("error") if isinstance(value, dict) else None
    if not error:
        return
    text, kind = _described(error)
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    retryable = kind in _RETRYABLE_KINDS if status is None else status in _RETRYABLE or status >= 500
    raise peer.error(f"reported an error: {text}", status=status, retryable=retryable)


def _error_text(body: bytes, content_type: str) -> tuple[str, str]:
    """The server's own words and the error's kind, wherever it put them."""
    value = _json(body)
    if value is None:
        return (_plain(body), "") if _kind(body, content_type) != "a web page" else (_title(body), "")
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return _plain(body), ""
    for key in ("error", "message", "detail"):
        if value.get(key):
            return _described(value[key] if key != "message" else value)
    return _plain(body), ""


def _described(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return _plain(error if isinstance(error, str) else msgspec.json.encode(error)), ""
    text = error.get("message") or msgspec.json.encode(error)
    kind = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    return _plain(text if isinstance(text, str | bytes) else str(text)), kind if isinstance(kind, str) else ""


def _plain(text: str | bytes) -> str:
    """Some text of a server, made fit for one line of a message."""
    if isinstance(text, bytes):
        text = text[: MAX_TEXT * 8].decode("utf-8", "replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: MAX_TEXT * 8]).split())
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."


def _title(body: bytes) -> str:
    title = re.search(rb"<title[^>]{0,100}>([^<]{0,500})<", body[:20_000], re.IGNORECASE)
    return f"a web page, {_plain(title[1])!r}" if title else "a web page"


def _kind(body: bytes, content_type: str) -> str:
    if not body.strip():
        return "nothing"
    start = body[:200].lstrip().lower()
    return "a web page" if "html" in content_type or start.startswith((b"<!doctype", b"<html")) else "text"


def _json(body: bytes) -> Any:
    """The value, or `None` where it is no JSON (or null, which no answer is)."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
