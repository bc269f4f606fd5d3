"""The wire format as pure functions: requests to bytes, answers and streams to responses.

Adds the transport to `agno_rt.wire.chat_completions`: JSON and event streams. `refusals` explains a server's refusals.
Opens nothing, reads no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

from agno_rt.errors import UsageError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire import chat_completions
from agno_rt_openai.lenient import read_json
from agno_rt_openai.refusals import Peer, kind_of, plain, reported
from agno_rt_openai.sse import MAX_EVENT_BYTES, EventParser

__all__ = ["ChatStream", "Dialect", "completion", "deltas", "request_bytes"]


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
    try:
        try:
            return msgspec.json.encode(body)
        except UnicodeEncodeError:
            # Half a surrogate pair, as in an undecodable file name, has no JSON encoding. Replace the half rather than
            # fail the run.
            return msgspec.json.encode(chat_completions.mend_value(body))
    except (TypeError, ValueError, RecursionError) as exc:
        hint = "Look for unusual objects in ModelSettings.extra."
        raise UsageError(f"the request to {model!r} cannot be written as JSON: {exc}", hint=hint) from exc


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
        return _read_unasked_stream(body, peer, dialect, content_type, names or {})
    try:
        return chat_completions.response(_check_object(value), dialect.think_tags, names or {})
    except chat_completions.ReportedError as exc:
        raise reported(peer, exc.error) from None
    except (ValueError, TypeError, ArithmeticError) as exc:
        # From None: the cause quotes the server literally, with secrets, and a traceback would show the cause.
        raise peer.error(f"answered with something other than a chat completion: {plain(str(exc), peer)}") from None


def _read_unasked_stream(
    body: bytes, peer: Peer, dialect: Dialect, content_type: str, names: Mapping[str, str]
) -> ModelResponse:
    """Return the response in a body that is not JSON: some servers always send events, or a JSON value in each line."""
    lines = [line for line in body.removeprefix(_BOM).splitlines() if line.strip()]
    if not lines or not (lines[0].startswith(_FIELDS) or (len(lines) > 1 and read_json(lines[0]) is not None)):
        kind = kind_of(body, content_type)
        hint = f"Is {peer.url} the right address? base_url is all of it before /chat/completions."
        raise peer.error(f"answered with {kind}, not with JSON: {plain(body, peer)!r}", hint=hint)
    if not lines[0].startswith(_FIELDS):
        body = b"".join(b"data: %b\n\n" % line for line in lines)
    stream = ChatStream(peer, dialect, names)
    for _ in (*stream.feed(body), *stream.end()):
        pass
    return stream.response()


_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""The starts of the lines of an event stream."""


def deltas(response: ModelResponse) -> Iterator[Delta]:
    """Yield a whole response as the deltas of a stream, for a server without streaming."""
    if response.reasoning:
        yield ReasoningDelta(response.reasoning)
    if response.content:
        yield TextDelta(response.content)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallDelta(index, call.id, call.name, call.arguments)


class ChatStream:
    """A streamed completion: `feed` bytes, then take the `response`. Raises `ModelError` for an invalid stream.

    `finished` is true after the finish reason; `done` is true after the end of the stream. JSON, or anything else but
    events, is collected until the end and read as a whole body.
    """

    def __init__(self, peer: Peer, dialect: Dialect, names: Mapping[str, str] | None = None) -> None:
        self.done = False
        self._peer = peer
        self._dialect = dialect
        self._names = names or {}
        self._parser = EventParser()
        self._response = chat_completions.StreamedResponse(dialect.think_tags, self._names)
        self._chunks = 0
        self._head = bytearray()
        self._is_events: bool | None = None
        self._whole: ModelResponse | None = None

    @property
    def finished(self) -> bool:
        """True after a chunk with the finish reason. Usage may still follow."""
        return self._response.finished

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take in the next bytes and yield their deltas; deltas before a fault come before the error."""
        if not self._is_events:
            # Keep the first bytes until they show whether the body is a stream of events.
            self._head += data
            if self._is_events is None:
                self._is_events = _begins_events(bytes(self._head))
            if not self._is_events:
                if len(self._head) > MAX_EVENT_BYTES:
                    raise self._peer.error(f"answered with more than {MAX_EVENT_BYTES} bytes that are not a stream")
                return
            data = bytes(self._head)
            self._head.clear()
        try:
            for payload in self._parser.feed(data):
                yield from self._take_payload(payload)
                if self.done:
                    return
        except ValueError as exc:
            raise self._peer.error(f"sent a stream that cannot be read: {exc}") from exc

    def end(self) -> Iterator[Delta]:
        """End the stream: yield the deltas in the last bytes. Raises `ModelError` if the stream broke off."""
        if self._head.strip():
            yield from self._end_without_events()
            return
        # A line cut off by the end is ignored here: the answer is unfinished then, and raises below.
        for line in [] if self.done else (self._parser.end() or b"").split(b"\n"):
            if _is_done(line) or read_json(line) is not None:
                yield from self._take_payload(line)
        if not self._chunks and not (self.done or self.finished):
            raise self._peer.error("ended its stream without any answer", retryable=True)
        if not (self.done or self.finished):
            raise self._peer.error("broke off its stream before the answer was finished", retryable=True)
        yield from self._response.end()

    def response(self) -> ModelResponse:
        """Return all chunks as one response."""
        if self._whole is not None:
            return self._whole
        try:
            return self._response.response()
        except ValueError as exc:
            raise self._peer.error(f"sent a stream that is not an answer: {exc}", retryable=True) from None

    def _end_without_events(self) -> Iterator[Delta]:
        body = bytes(self._head)
        begins = body.removeprefix(_BOM).lstrip()[:1]
        if begins not in (b"{", b"[", b"<"):
            said = plain(body, self._peer)
            raise self._peer.error(f"ended its stream without any answer: {said!r}", retryable=True)
        self._whole = completion(body, self._peer, self._dialect, "", self._names)
        yield from deltas(self._whole)

    def _take_payload(self, payload: bytes) -> Iterator[Delta]:
        if _is_done(payload):
            self.done = True
            if not self._chunks:
                raise self._peer.error("ended its stream without any answer", retryable=True)
            return
        if not payload.strip():
            return
        value = read_json(payload)
        if value is None:
            lines = payload.split(b"\n")
            if len(lines) > 1:
                # Some servers end an event with one line feed instead of two.
                for line in lines:
                    yield from self._take_payload(line)
                return
            raise self._peer.error(f"sent broken JSON in its stream: {plain(payload, self._peer)!r}")
        self._chunks += 1
        try:
            yield from self._response.feed(_check_object(value))
        except chat_completions.ReportedError as exc:
            raise reported(self._peer, exc.error) from None
        except (ValueError, TypeError, ArithmeticError) as exc:
            said = plain(str(exc), self._peer)
            raise self._peer.error(f"sent a chunk that is not part of a chat completion: {said}") from None


def _begins_events(head: bytes) -> bool | None:
    """Return True or False if the bytes do or do not begin a stream of events; `None` if more bytes are needed."""
    start = head.removeprefix(_BOM).lstrip(b" \t\r\n")
    if not start or _BOM.startswith(head):
        return None
    if any(start.startswith(field) for field in _FIELDS):
        return True
    return None if any(field.startswith(start) for field in _FIELDS) else False


def _is_done(payload: bytes) -> bool:
    return payload.strip().strip(b'"') == b"[DONE]"


def _check_object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if not isinstance(value, dict):
        raise ValueError(f"it is {type(value).__name__}, not an object")
    return value
