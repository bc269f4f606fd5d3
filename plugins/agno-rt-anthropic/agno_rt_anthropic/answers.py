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

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Message, Native, ToolCall, Usage
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.wire.blocks import Paragraphs, Reasons, check_text, encode_blocks, read_count, settle_reason
from agno_rt.wire.chat_completions import ReportedError, mend_value
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.native import seal_native
from agno_rt_anthropic.wire import SERVICE, Sealed

__all__ = ["PAUSES", "MessagesFormat", "continue_request", "join_responses", "read_error"]

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

_REASONS: Reasons = {
    "end_turn": ("stop", False),
    "stop_sequence": ("stop", True),
    "max_tokens": ("length", False),
    "model_context_window_exceeded": ("length", True),
    "pause_turn": ("length", True),
    "compaction": ("length", True),
    "tool_use": ("tool_calls", False),
    "refusal": ("content_filter", True),
}
"""By the service's word, the finish reason."""

PAUSES = ("pause_turn", "compaction")
"""The service's words for an answer that goes on when it is sent back."""

_SPLIT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@attrs.frozen(kw_only=True)
class MessagesFormat:
    """The format of messages, for `agno_rt.wire.answers`; seals blocks that only the service can read to the answer.

    model    the model's name
    service  the name under which answers are sealed
    names    the tools' own names, by the names that were sent
    """

    model: str = ""
    service: str = SERVICE
    names: Mapping[str, str] = attrs.field(factory=dict)
    noun: str = "message"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole body. Raises `ValueError` and `ReportedError`."""
        pieces = _Pieces(self)
        pieces.take_whole(body)
        return pieces.response()

    def begin(self) -> _Pieces:
        """Return an empty response for the events of a stream."""
        return _Pieces(self)


def read_error(error: Any) -> tuple[Any, str]:
    """Return the words and the kind of an error object, for `Peer`."""
    if not isinstance(error, dict):
        return "", ""
    kind = error.get("type")
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    text = error.get("message", "")
    return (f"{text} ({code})" if text and isinstance(code, str) else text), kind if isinstance(kind, str) else ""


def _report(event: Mapping[str, Any]) -> ReportedError:
    """Make the error of an error event or an error body with status 200."""
    error = event.get("error")
    if isinstance(error, dict) and (status := _STATUSES.get(str(error.get("type")))):
        error = {**error, "status": status}
    return ReportedError(f"the answer broke off with an error: {error}", error)


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
            case "compaction" if self.signature:
                return {**self.start, "signature": "".join(self.signature)}
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


class _Pieces:
    """A message that arrives in events, or whole; `finished` is true after the stop reason."""

    def __init__(self, format_: MessagesFormat) -> None:
        self.finished = False
        self._format = format_
        self._stop_reason = ""
        self._blocks: dict[int, _Block] = {}
        self._text = Paragraphs()
        self._thoughts = Paragraphs()
        self._calls = 0
        self._usage: dict[str, Any] = {}
        self._refusal = ""
        # A piece of an unknown kind belongs to its block, which is therefore incomplete here.
        self._is_complete = True

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take in an event and return its deltas. Raises `ValueError` for a malformed event, and `ReportedError`."""
        type_ = event.get("type")
        try:
            if type_ == "content_block_delta":
                # A stream has thousands of these.
                delta = self.add_piece(event["index"], event["delta"])
                return [] if delta is None else [delta]
            if type_ in _HANDLERS:
                return list(_HANDLERS[type_](self, event))
        except (KeyError, ValueError, TypeError, AttributeError) as exc:
            raise ValueError(f"the event {type_!r}: {type(exc).__name__}: {exc}") from None
        if type_ == "error" or "error" in event:
            raise _report(event)
        return []

    def take_whole(self, message: Mapping[str, Any]) -> None:
        """Take in a message that came in one piece. Raises `ValueError` for anything else, and `ReportedError`."""
        if message.get("type") == "error" or "error" in message:
            raise _report(message)
        try:
            content = message["content"]
            for index, block in enumerate([{"type": "text", "text": content}] if isinstance(content, str) else content):
                for _ in (*self.start_block(index, block), *self.stop_block(index)):
                    pass
            self.start_message(message)
            self.take_end(message, message.get("usage"))
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"{type(exc).__name__}: {exc}") from None
        self.end()

    def start_message(self, message: Mapping[str, Any]) -> Iterable[Delta]:
        """Take in the event for the start: the first counts."""
        usage = message.get("usage")
        self._usage = dict(usage) if isinstance(usage, dict) else {}
        return ()

    def take_end(self, end: Mapping[str, Any], usage: Any) -> Iterable[Delta]:
        """Take in the event for the end: the stop reason and the last counts."""
        reason = end.get("stop_reason")
        if reason is not None:
            self.finished = True
            self._stop_reason = str(reason)
        details = end.get("stop_details")
        if isinstance(details, dict) and isinstance(said := details.get("explanation"), str):
            self._refusal = said
        if isinstance(usage, dict):
            # The parts of the input belong together: parts of two events would count the cached part twice.
            if any(read_count(usage.get(name)) for name in _SPLIT):
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
            self._thoughts.begin()
            if thought := start.get("thinking"):
                yield self._add_thought(block, thought)
        elif kind == "tool_use":
            block.number = self._calls
            self._calls += 1
            name = check_text(start["name"])
            yield ToolCallDelta(block.number, self._find_id(block), self._format.names.get(name, mend_value(name)))
        if kind != "text":
            self._text.begin()

    def add_piece(self, index: Any, piece: Mapping[str, Any]) -> Delta | None:
        """Add a piece to its block, and return its delta."""
        block = self._blocks[index]
        type_ = piece["type"]
        if type_ == "text_delta":
            return self._add_text(block, piece["text"])
        if type_ == "input_json_delta":
            text = check_text(piece["partial_json"])
            block.pieces.append(text)
            shown = text if text.isascii() else mend_value(text)
            return ToolCallDelta(block.number, "", "", shown) if text and block.kind == "tool_use" else None
        if type_ == "thinking_delta":
            return self._add_thought(block, piece["thinking"])
        if type_ == "signature_delta":
            block.signature.append(check_text(piece["signature"]))
        elif type_ == "citations_delta":
            block.citations.append(piece["citation"])
        elif type_ == "compaction_delta":
            # The summary of a long conversation comes in one piece. Without it the service would compact again.
            told = {name: piece[name] for name in ("content", "encrypted_content") if piece.get(name) is not None}
            block.start = {**block.start, **told}
        else:
            self._is_complete = False
        return None

    def stop_block(self, index: Any) -> Iterator[Delta]:
        """End a block. A call without any piece of arguments yields its whole arguments now."""
        block = self._blocks[index]
        if block.kind == "tool_use" and not "".join(block.pieces).strip():
            yield ToolCallDelta(block.number, "", "", block.arguments)

    def end(self) -> list[Delta]:
        """End the message. A refusal without any text is explained in the service's words."""
        if self._stop_reason != "refusal" or not self._refusal or self._text:
            return []
        self._text = Paragraphs()
        return [TextDelta(self._text.add(self._refusal))]

    def response(self) -> ModelResponse:
        """Return the whole message as a response."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        content = self._text.text
        calls = tuple(self._build_call(block) for block in blocks if block.kind == "tool_use")
        reason, word = settle_reason(self._stop_reason, _REASONS, has_calls=bool(calls))
        return ModelResponse(
            content,
            calls,
            self._thoughts.text,
            _build_usage(self._usage),
            reason,
            self._seal(blocks, content, calls),
            raw_finish_reason=word,
        )

    def _seal(self, blocks: Sequence[_Block], content: str, calls: Sequence[ToolCall]) -> Native | None:
        """Seal the blocks to the answer if a plain message could not say the same: the signed, and the interleaved."""
        kinds = [block.kind for block in blocks]
        plain_kinds = sorted(kinds, key=("text", "tool_use").index) if {"text", "tool_use"}.issuperset(kinds) else None
        cited = any(block.citations or block.start.get("citations") for block in blocks)
        if not self._is_complete or (plain_kinds == kinds and kinds.count("text") < 2 and not cited):
            return None
        whole = [block.finish() for block in blocks if block.kind != "text" or "".join(block.pieces).strip()]
        data = encode_blocks(whole)
        if data is None:
            return None
        sealed = msgspec.json.encode(Sealed(self._format.model, data))
        return seal_native(self._format.service, sealed, content, calls)

    def _add_text(self, block: _Block, text: Any) -> TextDelta:
        block.pieces.append(check_text(text))
        return TextDelta(self._text.add(text))

    def _add_thought(self, block: _Block, thought: Any) -> ReasoningDelta:
        block.pieces.append(check_text(thought))
        return ReasoningDelta(self._thoughts.add(thought))

    def _build_call(self, block: _Block) -> ToolCall:
        name = block.start["name"]
        return ToolCall(
            self._find_id(block), self._format.names.get(name, mend_value(name)), mend_value(block.arguments)
        )

    def _find_id(self, block: _Block) -> str:
        id_ = block.start.get("id")
        return mend_value(id_) if isinstance(id_, str) and id_ else f"call_{block.number}"


_HANDLERS: Mapping[Any, Callable[[_Pieces, Mapping[str, Any]], Iterable[Delta]]] = {
    "message_start": lambda pieces, event: pieces.start_message(event["message"]),
    "content_block_start": lambda pieces, event: pieces.start_block(event["index"], event["content_block"]),
    "content_block_stop": lambda pieces, event: pieces.stop_block(event["index"]),
    "message_delta": lambda pieces, event: pieces.take_end(event["delta"], event.get("usage")),
}
"""By the type of an event, the work of taking the event in."""


def _build_usage(usage: Mapping[str, Any]) -> Usage:
    """Return the counts: the format counts cached input beside `input_tokens`, and thinking within the output.

    Compactions, which are paid for, are counted apart.
    """
    rounds = usage.get("iterations")
    compactions = [each for each in rounds if _is_compaction(each)] if isinstance(rounds, list) else []
    names = (*_SPLIT, "output_tokens")
    fresh, read, written, output = (sum(read_count(each.get(name)) for each in (usage, *compactions)) for name in names)
    details = usage.get("output_tokens_details")
    thought = read_count(details.get("thinking_tokens")) if isinstance(details, dict) else 0
    return Usage(fresh + read + written, output, min(thought, output), cached_tokens=read, cache_write_tokens=written)


def _is_compaction(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "compaction"


def continue_request(request: ModelRequest, paused: ModelResponse) -> ModelRequest:
    """Return the request that continues a paused answer: the same, with the answer so far at the end."""
    answer = Message("assistant", paused.content, tuple(paused.tool_calls), native=paused.native)
    return attrs.evolve(request, messages=(*request.messages, answer))


def join_responses(paused: ModelResponse, rest: ModelResponse, format_: MessagesFormat) -> ModelResponse:
    """Join a paused answer and its continuation into one response, with the blocks of both."""
    content = paused.content + rest.content
    calls = (*paused.tool_calls, *rest.tool_calls)
    native = None
    if paused.native is not None:
        sent = {own: name for name, own in format_.names.items()}
        blocks = [*_open_seal(paused, sent), *_open_seal(rest, sent)]
        sealed = Sealed(format_.model, msgspec.Raw(msgspec.json.encode(blocks)))
        native = seal_native(format_.service, msgspec.json.encode(sealed), content, calls)
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
