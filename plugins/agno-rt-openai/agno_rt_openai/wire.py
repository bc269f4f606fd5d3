"""The wire format as pure functions: requests to bytes, answers and streams to responses.

Adds JSON and event streams to `agno_rt.wire.chat_completions`. Opens nothing, reads no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from agno_rt.events import Delta
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire import chat_completions
from agno_rt.wire.deltas import split_response
from agno_rt.wire.json_events import JsonEvents, read_lines
from agno_rt.wire.lenient_json import read_json, write_json
from agno_rt.wire.refusals import Peer, plain, reported

__all__ = ["ChatStream", "Dialect", "completion", "request_bytes"]


@attrs.frozen(kw_only=True)
class Dialect:
    """The server's variant of the format.

    `official` is OpenAI's own; `agno_rt.wire.chat_completions` explains `think_tags`, `reasoning_field` and
    `system_first`.
    """

    official: bool = False
    think_tags: chat_completions.ThinkTags = "off"
    reasoning_field: str = ""
    system_first: bool = False


def request_bytes(request: ModelRequest, model: str, dialect: Dialect, *, stream: bool) -> bytes:
    """Write the body of a request for a completion.

    Raises `UsageError` for media outside the format, and for values in `settings.extra` outside JSON.
    """
    asked = request if dialect.official else _make_portable(request)
    body = chat_completions.request_body(
        asked, model, reasoning_field=dialect.reasoning_field, system_first=dialect.system_first
    )
    if dialect.official and "max_tokens" in body and "max_tokens" not in request.settings.extra:
        # OpenAI's reasoning models refuse the old name; most other servers know only the old name.
        body.setdefault("max_completion_tokens", body.pop("max_tokens"))
    body.pop("stream", None)
    if stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
    return write_json(body, model)


def _make_portable(request: ModelRequest) -> ModelRequest:
    """Return the request in terms that llama.cpp's server accepts, too.

    The server ignores a choice that names a tool, so require the only tool instead. The server refuses a history with
    arguments other than a JSON object, and small models do write such arguments.
    """
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    messages = [_mend_calls(message) if message.tool_calls else message for message in request.messages]
    if named:
        return attrs.evolve(request, messages=messages, tools=named, tool_choice="required")
    return attrs.evolve(request, messages=messages)


def _mend_calls(message: Message) -> Message:
    return attrs.evolve(message, tool_calls=tuple(map(_mend_arguments, message.tool_calls)))


def _mend_arguments(call: ToolCall) -> ToolCall:
    try:
        if isinstance(msgspec.json.decode(call.arguments), dict):
            return call
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    # A server's own parser fails on half a character in the arguments, in every later request.
    arguments = read_json(call.arguments.encode("utf-8", "surrogatepass"))
    whole = (
        json.dumps(chat_completions.mend_value(arguments), ensure_ascii=False) if isinstance(arguments, dict) else "{}"
    )
    return attrs.evolve(call, arguments=whole)


def completion(
    body: bytes, peer: Peer, dialect: Dialect, content_type: str = "", names: Mapping[str, str] | None = None
) -> ModelResponse:
    """Return the response in a whole body, JSON or a stream. Raises `ModelError` for anything but a completion.

    `names` maps names of tools back (`chat_completions.tool_names`).
    """
    value = read_json(body)
    if value is None:
        stream = ChatStream(peer, dialect, names)
        for _ in (*stream.feed(read_lines(body, peer, content_type)), *stream.end()):
            pass
        return stream.response()
    try:
        return chat_completions.response(_check_object(value), dialect.think_tags, names or {})
    except chat_completions.ReportedError as exc:
        raise reported(peer, exc.error) from None
    except (ValueError, TypeError, ArithmeticError) as exc:
        # From None: the cause quotes the server literally, with secrets, and a traceback would show the cause.
        raise peer.error(f"answered with something other than a chat completion: {plain(str(exc), peer)}") from None


class ChatStream:
    """A streamed completion: `feed` bytes, then take the `response`. Raises `ModelError` for an invalid stream.

    `finished` is true after the finish reason; `done` is true after the end of the stream. JSON, or anything else but
    events, is collected until the end and read as a whole body.
    """

    def __init__(self, peer: Peer, dialect: Dialect, names: Mapping[str, str] | None = None) -> None:
        self._peer = peer
        self._dialect = dialect
        self._names = names or {}
        self._events = JsonEvents(peer)
        self._response = chat_completions.StreamedResponse(dialect.think_tags, self._names)
        self._whole: ModelResponse | None = None

    @property
    def finished(self) -> bool:
        """True after a chunk with the finish reason. Usage may still follow."""
        return self._response.finished

    @property
    def done(self) -> bool:
        """True after the end of the stream."""
        return self._events.done

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take in the next bytes and yield their deltas; deltas before a fault come before the error."""
        for value in self._events.feed(data):
            yield from self._take_chunk(value)
        self._check_done()

    def end(self) -> Iterator[Delta]:
        """End the stream: yield the deltas in the last bytes. Raises `ModelError` if the stream broke off."""
        if body := self._events.whole:
            yield from self._end_without_events(body)
            return
        for value in self._events.end():
            yield from self._take_chunk(value)
        self._check_done()
        if not (self.done or self.finished):
            problem = "broke off its stream before the answer was finished" if self._events.count else _EMPTY
            raise self._peer.error(problem, retryable=True)
        yield from self._response.end()

    def response(self) -> ModelResponse:
        """Return all chunks as one response."""
        if self._whole is not None:
            return self._whole
        try:
            return self._response.response()
        except ValueError as exc:
            raise self._peer.error(f"sent a stream that is not an answer: {exc}", retryable=True) from None

    def _check_done(self) -> None:
        if self.done and not self._events.count:
            raise self._peer.error(_EMPTY, retryable=True)

    def _end_without_events(self, body: bytes) -> Iterator[Delta]:
        if body.removeprefix(_BOM).lstrip()[:1] not in (b"{", b"[", b"<"):
            raise self._peer.error(f"{_EMPTY}: {plain(body, self._peer)!r}", retryable=True)
        self._whole = completion(body, self._peer, self._dialect, "", self._names)
        yield from split_response(self._whole)

    def _take_chunk(self, value: Any) -> Iterable[Delta]:
        try:
            return self._response.feed(_check_object(value))
        except chat_completions.ReportedError as exc:
            raise reported(self._peer, exc.error) from None
        except (ValueError, TypeError, ArithmeticError) as exc:
            said = plain(str(exc), self._peer)
            raise self._peer.error(f"sent a chunk that is not part of a chat completion: {said}") from None


_BOM = b"\xef\xbb\xbf"
_EMPTY = "ended its stream without any answer"


def _check_object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value
