"""Answers in the messages format as pure functions: bodies and streams of events to responses. Opens nothing.

Reference: Anthropic's API reference, "Create a Message", and its guides "Streaming messages", "Thinking", "Stop
reasons and fallback" and "Errors". The versioning policy lets new events, blocks and pieces appear at any time, so
unknown ones are passed over. Unknown blocks still go back to the service with the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, Native, ToolCall, Usage
from agno_rt.models import FinishReason, ModelRequest, ModelResponse
from agno_rt.wire.chat_completions import mend_value
from agno_rt.wire.json_events import JsonEvents, read_lines
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.native import seal_native
from agno_rt.wire.refusals import Peer, plain, reported
from agno_rt_anthropic.wire import SERVICE, Sealed

__all__ = ["MessageStream", "Reading", "continue_request", "join_responses", "read_error", "read_message"]

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status of each kind of error, which an error in the middle of a stream has no other way to say."""

_REASONS: dict[str, tuple[FinishReason, bool]] = {
    "end_turn": ("stop", False),
    "stop_sequence": ("stop", True),
    "max_tokens": ("length", False),
    "model_context_window_exceeded": ("length", True),
    "pause_turn": ("length", True),
    "tool_use": ("tool_calls", False),
    "refusal": ("content_filter", True),
}
"""By the service's word: the finish reason, and whether the word says more."""

_MOST_TOKENS = 2**53
_SPLIT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@attrs.frozen(kw_only=True)
class Reading:
    """The context for reading an answer: the sender, the model, and the tools' own names by those that were sent."""

    peer: Peer
    model: str = ""
    service: str = SERVICE
    names: Mapping[str, str] = attrs.field(factory=dict)


def read_error(error: Any) -> tuple[Any, str]:
    """Return the words and the kind of an error object, for `Peer`."""
    if not isinstance(error, dict):
        return "", ""
    kind = error.get("type")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    text = error.get("message", "")
    return (f"{text} ({code})" if text and isinstance(code, str) else text), kind if isinstance(kind, str) else ""


def _report(event: Mapping[str, Any], peer: Peer) -> ModelError:
    """Make the error of an error event or an error body with status 200."""
    error = event.get("error")
    if isinstance(error, dict) and (status := _STATUSES.get(str(error.get("type")))):
        error = {**error, "status": status}
    if isinstance(number := event.get("request_id"), str) and not peer.request_id:
        peer = attrs.evolve(peer, request_id=number)
    return reported(peer, {"error": error})


def read_message(body: bytes, reading: Reading, content_type: str = "") -> ModelResponse:
    """Return the response in a whole body, JSON or a stream. Raises `ModelError` for anything but a message."""
    value = read_json(body)
    if value is None:
        stream = MessageStream(reading)
        for _ in (*stream.feed(read_lines(body, reading.peer, content_type)), *stream.end()):
            pass
        return stream.response()
    return _MessageReader(reading).read_whole(value)


class MessageStream:
    """A streamed message: `feed` bytes, call `end`, then take the `response`. Raises `ModelError` for a bad stream.

    `finished` is true after the stop reason; `done` is true after the event for the end.
    """

    __slots__ = ("_events", "_peer", "_reader", "_whole", "done")

    def __init__(self, reading: Reading) -> None:
        self.done = False
        self._peer = reading.peer
        self._events = JsonEvents(reading.peer)
        self._reader = _MessageReader(reading)
        self._whole: ModelResponse | None = None

    @property
    def finished(self) -> bool:
        """True after the event with the stop reason. The event for the end may still follow."""
        return self._reader.stop_reason is not None

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take in the next bytes and yield their deltas; deltas before a fault come before the error."""
        for value in self._events.feed(data):
            yield from self._take(value)
            if self.done:
                return

    def end(self) -> Iterator[Delta]:
        """End the stream: yield the deltas in the last bytes. Raises `ModelError` if the stream broke off."""
        if whole := self._events.whole:
            value = read_json(whole)
            if value is None:
                said = plain(whole, self._peer)
                raise self._peer.error(f"ended its stream without any answer: {said!r}", retryable=True)
            yield from self._reader.take_whole(value)
            return
        for value in () if self.done else self._events.end():
            yield from self._take(value)
        if not self.finished:
            what = (
                "broke off its stream before the answer was finished"
                if self._events.count
                else "ended its stream without any answer"
            )
            raise self._peer.error(what, retryable=True)
        yield from self._reader.end()

    def response(self) -> ModelResponse:
        """Return the whole response."""
        return self._reader.response()

    def _take(self, value: Any) -> Iterator[Delta]:
        if not isinstance(value, dict):
            raise self._peer.error(f"sent an event that is not an object: {plain(str(value), self._peer)!r}")
        type_ = value.get("type")
        reader = self._reader
        try:
            if type_ == "content_block_delta":
                # A stream has thousands of these.
                delta = reader.add_piece(value["index"], value["delta"])
                if delta is not None:
                    yield delta
            elif type_ in _HANDLERS:
                yield from _HANDLERS[type_](reader, value)
            elif type_ == "message_stop":
                self.done = True
            elif type_ == "error" or "error" in value:
                raise _report(value, self._peer)
        except (KeyError, ValueError, TypeError, AttributeError) as exc:
            said = plain(f"{type(exc).__name__}: {exc}", self._peer)
            # From None: the cause quotes the server literally, with secrets, and a traceback would show the cause.
            raise self._peer.error(f"sent the event {type_!r} in a form that cannot be read: {said}") from None


@attrs.define(eq=False)
class _Block:
    """A block of an answer that is still arriving. `number` counts calls from 0."""

    start: dict[str, Any]
    kind: str
    number: int = -1
    pieces: list[str] = attrs.field(factory=list)
    signature: list[str] = attrs.field(factory=list)
    citations: list[Any] = attrs.field(factory=list)

    def finish(self) -> dict[str, Any]:
        """Return the whole block as the service would have sent it without a stream."""
        said = "".join(self.pieces)
        match self.kind:
            case "text":
                cited = [*(self.start.get("citations") or ()), *self.citations]
                return {**self.start, "text": said, **({"citations": cited} if cited else {})}
            case "thinking":
                signature = str(self.start.get("signature") or "") + "".join(self.signature)
                return {**self.start, "thinking": said, "signature": signature}
            case "tool_use" | "server_tool_use" if said.strip():
                return {**self.start, "input": msgspec.Raw(said.encode())}
        return self.start

    @property
    def arguments(self) -> str:
        """The arguments of a call as JSON text: the pieces, or else the input with which the block began."""
        said = "".join(self.pieces)
        if said.strip():
            return said
        given = self.start.get("input")
        return msgspec.json.encode(given).decode() if given else "{}"


class _MessageReader:
    """Puts a message together from blocks and pieces of blocks, whole or streamed."""

    def __init__(self, reading: Reading) -> None:
        self.stop_reason: str | None = None
        self._reading = reading
        self._blocks: dict[Any, _Block] = {}
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._calls = 0
        self._gap = False
        self._thought_gap = False
        self._usage: dict[str, Any] = {}
        self._refusal = ""
        # A piece of an unknown kind belongs to its block, which is therefore incomplete here.
        self._is_complete = True

    def read_whole(self, value: Any) -> ModelResponse:
        """Return the response in a message that came in one piece."""
        for _ in self.take_whole(value):
            pass
        return self.response()

    def take_whole(self, value: Any) -> Iterator[Delta]:
        """Take in a message that came in one piece, and yield the message as deltas."""
        peer = self._reading.peer
        if isinstance(value, dict) and (value.get("type") == "error" or "error" in value):
            raise _report(value, peer)
        try:
            content = value["content"]
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            for index, block in enumerate(content):
                yield from self.start_block(index, block)
                yield from self.stop_block(index)
            self.start_message(value)
            self.take_end(value, value.get("usage"))
            yield from self.end()
        except (KeyError, ValueError, TypeError, AttributeError) as exc:
            said = plain(f"{type(exc).__name__}: {exc}", peer)
            raise peer.error(f"answered with something other than a message: {said}") from None

    def start_message(self, message: Mapping[str, Any]) -> Iterable[Delta]:
        """Take in the event for the start: the first counts."""
        usage = message.get("usage")
        self._usage = dict(usage) if isinstance(usage, dict) else {}
        return ()

    def take_end(self, end: Mapping[str, Any], usage: Any) -> Iterable[Delta]:
        """Take in the event for the end: the stop reason and the last counts."""
        reason = end.get("stop_reason")
        if reason is not None:
            self.stop_reason = str(reason)
        details = end.get("stop_details")
        if isinstance(details, dict) and isinstance(said := details.get("explanation"), str):
            self._refusal = said
        if isinstance(usage, dict):
            # The parts of the input belong together: parts of two events would count the cached part twice.
            if any(_read_count(usage.get(name)) for name in _SPLIT):
                self._usage = {name: count for name, count in self._usage.items() if name not in _SPLIT}
                self._usage |= usage
            else:
                self._usage |= {name: count for name, count in usage.items() if name not in _SPLIT}
        return ()

    def start_block(self, index: Any, start: Any) -> Iterator[Delta]:
        """Begin a block, and yield the deltas in its start."""
        kind = start["type"]
        if type(index) is not int:
            raise ValueError(f"the index of a block is {index!r}")
        block = self._blocks[index] = _Block(start, kind)
        if kind == "text":
            if text := start.get("text"):
                yield self._add_text(block, text)
        elif kind == "thinking":
            self._thought_gap = bool(self._thoughts)
            if thought := start.get("thinking"):
                yield self._add_thought(block, thought)
        elif kind == "tool_use":
            block.number = self._calls
            self._calls += 1
            name = _check_text(start["name"])
            yield ToolCallDelta(block.number, self._find_id(block), self._reading.names.get(name, mend_value(name)))
        if kind != "text":
            self._gap = bool(self._text)

    def add_piece(self, index: Any, piece: Mapping[str, Any]) -> Delta | None:
        """Add a piece to its block, and return its delta."""
        block = self._blocks[index]
        type_ = piece["type"]
        if type_ == "text_delta":
            return self._add_text(block, piece["text"])
        if type_ == "input_json_delta":
            text = _check_text(piece["partial_json"])
            block.pieces.append(text)
            shown = text if text.isascii() else mend_value(text)
            return ToolCallDelta(block.number, "", "", shown) if text and block.kind == "tool_use" else None
        if type_ == "thinking_delta":
            return self._add_thought(block, piece["thinking"])
        if type_ == "signature_delta":
            block.signature.append(_check_text(piece["signature"]))
        elif type_ == "citations_delta":
            block.citations.append(piece["citation"])
        else:
            self._is_complete = False
        return None

    def stop_block(self, index: Any) -> Iterator[Delta]:
        """End a block. A call without any piece of arguments yields its whole arguments now."""
        block = self._blocks[index]
        if block.kind == "tool_use" and not "".join(block.pieces).strip():
            yield ToolCallDelta(block.number, "", "", block.arguments)

    def end(self) -> Iterator[Delta]:
        """End the message. A refusal without any text is explained in the service's words."""
        if self.stop_reason == "refusal" and self._refusal and not "".join(self._text).strip():
            self._text = [self._refusal]
            yield TextDelta(self._refusal)

    def response(self) -> ModelResponse:
        """Return the whole message as a response."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        content = mend_value("".join(self._text))
        calls = tuple(self._build_call(block) for block in blocks if block.kind == "tool_use")
        reason, says_more = _REASONS.get(self.stop_reason or "", ("stop", True))
        if reason == "tool_calls" and not calls:
            reason, says_more = "stop", True
        elif calls and reason == "stop":
            reason = "tool_calls"
        return ModelResponse(
            content,
            calls,
            mend_value("".join(self._thoughts)),
            _build_usage(self._usage),
            reason,
            self._seal(blocks, content, calls),
            self._reading.peer.request_id,
            (self.stop_reason or "") if says_more else "",
        )

    def _seal(self, blocks: Sequence[_Block], content: str, calls: Sequence[ToolCall]) -> Native | None:
        """Seal the blocks to the answer if a plain message could not say the same: the signed, and the interleaved."""
        kinds = [block.kind for block in blocks]
        plain_kinds = sorted(kinds, key=("text", "tool_use").index) if {"text", "tool_use"}.issuperset(kinds) else None
        cited = any(block.citations or block.start.get("citations") for block in blocks)
        if not self._is_complete or (plain_kinds == kinds and kinds.count("text") < 2 and not cited):
            return None
        whole = [block.finish() for block in blocks if block.kind != "text" or "".join(block.pieces).strip()]
        try:
            data = msgspec.json.encode(whole)
            # Arguments that are not JSON would make every later request invalid.
            msgspec.json.decode(data)
        except (UnicodeEncodeError, msgspec.DecodeError):
            return None
        sealed = msgspec.json.encode(Sealed(self._reading.model, msgspec.Raw(data)))
        return seal_native(self._reading.service, sealed, content, calls)

    def _add_text(self, block: _Block, text: Any) -> TextDelta:
        block.pieces.append(_check_text(text))
        if not text.isascii():
            text = mend_value(text)
        if self._gap and text.strip():
            # Texts around a call or a search are paragraphs of their own.
            self._gap = False
            text = f"\n\n{text}"
        self._text.append(text)
        return TextDelta(text)

    def _add_thought(self, block: _Block, thought: Any) -> ReasoningDelta:
        block.pieces.append(_check_text(thought))
        if not thought.isascii():
            thought = mend_value(thought)
        if self._thought_gap:
            self._thought_gap = False
            thought = f"\n\n{thought}"
        self._thoughts.append(thought)
        return ReasoningDelta(thought)

    def _build_call(self, block: _Block) -> ToolCall:
        name = block.start["name"]
        return ToolCall(
            self._find_id(block), self._reading.names.get(name, mend_value(name)), mend_value(block.arguments)
        )

    def _find_id(self, block: _Block) -> str:
        id_ = block.start.get("id")
        return mend_value(id_) if isinstance(id_, str) and id_ else f"call_{block.number}"


_HANDLERS: Mapping[Any, Callable[[_MessageReader, Mapping[str, Any]], Iterable[Delta]]] = {
    "message_start": lambda reader, event: reader.start_message(event["message"]),
    "content_block_start": lambda reader, event: reader.start_block(event["index"], event["content_block"]),
    "content_block_stop": lambda reader, event: reader.stop_block(event["index"]),
    "message_delta": lambda reader, event: reader.take_end(event["delta"], event.get("usage")),
}
"""By the type of an event, the work of taking the event in."""


def _check_text(text: Any) -> str:
    if type(text) is not str:
        raise ValueError(f"a text is {type(text).__name__}")
    return text


def _read_count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < _MOST_TOKENS else 0


def _build_usage(usage: Mapping[str, Any]) -> Usage:
    """Return the counts: the format counts cached input beside `input_tokens`, and thinking within the output."""
    fresh, read, written = (_read_count(usage.get(name)) for name in _SPLIT)
    output = _read_count(usage.get("output_tokens"))
    details = usage.get("output_tokens_details")
    thought = _read_count(details.get("thinking_tokens")) if isinstance(details, dict) else 0
    return Usage(fresh + read + written, output, min(thought, output), cached_tokens=read, cache_write_tokens=written)


def continue_request(request: ModelRequest, paused: ModelResponse) -> ModelRequest:
    """Return the request that continues a paused answer: the same, with the answer so far at the end."""
    answer = Message("assistant", paused.content, tuple(paused.tool_calls), native=paused.native)
    return attrs.evolve(request, messages=(*request.messages, answer))


def join_responses(paused: ModelResponse, rest: ModelResponse, reading: Reading) -> ModelResponse:
    """Join a paused answer and its continuation into one response, with the blocks of both."""
    content = paused.content + rest.content
    calls = (*paused.tool_calls, *rest.tool_calls)
    native = None
    if paused.native is not None:
        sent = {own: name for name, own in reading.names.items()}
        blocks = [*_open_seal(paused, sent), *_open_seal(rest, sent)]
        sealed = Sealed(reading.model, msgspec.Raw(msgspec.json.encode(blocks)))
        native = seal_native(reading.service, msgspec.json.encode(sealed), content, calls)
    return attrs.evolve(
        rest,
        content=content,
        tool_calls=calls,
        reasoning=paused.reasoning + rest.reasoning,
        usage=paused.usage + rest.usage,
        native=native,
    )


def _open_seal(response: ModelResponse, sent: Mapping[str, str]) -> list[msgspec.Raw]:
    """Return the blocks of a response, each as its own bytes; a plain response has at most a text and calls.

    `sent` has the names of tools that were sent in place of their own.
    """
    if response.native is not None:
        sealed = msgspec.json.decode(response.native.data, type=Sealed)
        return msgspec.json.decode(sealed.content, type=list[msgspec.Raw])
    blocks: list[dict[str, Any]] = [{"type": "text", "text": response.content}] if response.content.strip() else []
    for call in response.tool_calls:
        given = read_json(call.arguments.encode("utf-8", "surrogatepass")) or {}
        blocks.append({"type": "tool_use", "id": call.id, "name": sent.get(call.name, call.name), "input": given})
    return [msgspec.Raw(msgspec.json.encode(block)) for block in blocks]
