"""Answers of Converse as pure functions: bodies and events of a stream to responses. Opens nothing.

Reference: Amazon Bedrock's API reference, "Converse", "ConverseStream", "ConverseStreamOutput", "ContentBlockDelta",
"ReasoningContentBlock" and "TokenUsage". Unknown events and blocks are passed over.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.messages import Native, ToolCall, Usage
from agno_rt.models import ModelResponse
from agno_rt.wire.blocks import Paragraphs, Reasons, check_text, encode_blocks, read_count, settle_reason
from agno_rt.wire.chat_completions import mend_value
from agno_rt.wire.native import seal_native
from agno_rt_bedrock.wire import SERVICE, Sealed

__all__ = ["MALFORMED", "ConverseFormat", "read_error"]

MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
"""Stop reasons of answers that cannot be used."""

_REASONS: Reasons = {
    "end_turn": ("stop", False),
    "stop_sequence": ("stop", True),
    "max_tokens": ("length", False),
    "model_context_window_exceeded": ("length", True),
    "tool_use": ("tool_calls", False),
    "guardrail_intervened": ("content_filter", True),
    "content_filtered": ("content_filter", True),
}
"""By the service's word, the finish reason."""


@attrs.frozen(kw_only=True)
class ConverseFormat:
    """The format of Converse, for `agno_rt.wire.answers`; seals blocks that only the service can read to the answer.

    model    the model's id
    service  the name under which answers are sealed
    names    the tools' own names, by the names that were sent
    """

    model: str = ""
    service: str = SERVICE
    names: Mapping[str, str] = attrs.field(factory=dict)
    noun: str = "message"

    def read(self, body: Mapping[str, Any]) -> ModelResponse:
        """Return the response in a whole body. Raises `ValueError`."""
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
    kind = error.get("__type")
    return error.get("message") or error.get("Message") or "", kind if isinstance(kind, str) else ""


@attrs.define(eq=False)
class _Block:
    """A block of an answer that is still arriving. `number` counts calls from 0, and is -1 for other blocks."""

    kind: str = ""
    id: str = ""
    name: str = ""
    number: int = -1
    pieces: list[str] = attrs.field(factory=list)
    signature: list[str] = attrs.field(factory=list)
    redacted: bytes = b""

    @property
    def text(self) -> str:
        """The pieces, joined."""
        return "".join(self.pieces)

    def finish(self) -> dict[str, Any] | None:
        """Return the whole block as the next request sends it back; `None` for a block that is not sent back."""
        match self.kind:
            case "text":
                return {"text": self.text} if self.text.strip() else None
            case "call":
                given = msgspec.Raw((self.text.strip() or "{}").encode())
                return {"toolUse": {"toolUseId": self.id, "name": self.name, "input": given}}
            case "thought" if self.redacted:
                return {"reasoningContent": {"redactedContent": base64.b64encode(self.redacted).decode("ascii")}}
            case "thought" if self.signature:
                thought = {"text": self.text, "signature": "".join(self.signature)}
                return {"reasoningContent": {"reasoningText": thought}}
        return None


class _Pieces:
    """A message that arrives in events, or whole; `finished` is true after the stop reason."""

    def __init__(self, format_: ConverseFormat) -> None:
        self.finished = False
        self._format = format_
        self._stop_reason = ""
        self._blocks: dict[int, _Block] = {}
        self._text = Paragraphs()
        self._thoughts = Paragraphs()
        self._calls = 0
        self._usage: Mapping[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Take in an event and return its deltas. Raises `ValueError` for a malformed event."""
        for type_, value in event.items():
            try:
                match type_:
                    case "contentBlockDelta":
                        return list(self._add_piece(self._find_block(value), value["delta"]))
                    case "contentBlockStart":
                        return list(self._start_block(self._find_block(value), value["start"]))
                    case "contentBlockStop":
                        return list(self._stop_block(self._find_block(value)))
                    case "messageStop":
                        self._stop_reason = check_text(value["stopReason"])
                        self.finished = True
                    case "metadata":
                        self._usage = value.get("usage") or {}
            except (KeyError, ValueError, TypeError, AttributeError) as exc:
                raise ValueError(f"the event {type_!r}: {type(exc).__name__}: {exc}") from None
        return []

    def take_whole(self, body: Mapping[str, Any]) -> None:
        """Take in a message that came in one piece. Raises `ValueError` for anything else."""
        try:
            for index, content in enumerate(body["output"]["message"]["content"]):
                block = self._blocks[index] = _Block()
                for _ in self._take_block(block, content):
                    pass
            self._stop_reason = check_text(body["stopReason"])
            self._usage = body.get("usage") or {}
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"{type(exc).__name__}: {exc}") from None
        self.finished = True

    def end(self) -> Iterable[Delta]:
        """Return nothing: no delta is held back."""
        return ()

    def response(self) -> ModelResponse:
        """Return the whole message as a response."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        content = self._text.text
        calls = tuple(self._build_call(block) for block in blocks if block.kind == "call")
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

    def _find_block(self, value: Mapping[str, Any]) -> _Block:
        index = value["contentBlockIndex"]
        if type(index) is not int:
            raise ValueError(f"the index of a block is {index!r}")
        # Blocks of text and of thinking begin with their first piece.
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block()
        return block

    def _take_block(self, block: _Block, content: Mapping[str, Any]) -> Iterator[Delta]:
        """Take in a block that came in one piece."""
        if "toolUse" in content:
            call = content["toolUse"]
            yield from self._start_block(block, content)
            block.pieces.append(msgspec.json.encode(call.get("input") or {}).decode())
        elif "reasoningContent" in content:
            thought = content["reasoningContent"]
            yield from self._add_thought(block, thought.get("reasoningText") or thought)
        elif "citationsContent" in content:
            for part in content["citationsContent"].get("content") or ():
                yield from self._add_piece(block, part)
        else:
            yield from self._add_piece(block, content)

    def _start_block(self, block: _Block, start: Mapping[str, Any]) -> Iterator[Delta]:
        """Begin a block, and yield the delta of a call's name. The service's calls of its own tools are passed over."""
        call = start.get("toolUse")
        self._text.begin()
        if call is None or call.get("type") == "server_tool_use":
            return
        block.kind, block.number = "call", self._calls
        self._calls += 1
        block.name = check_text(call["name"])
        block.id = mend_value(call.get("toolUseId")) or f"call_{block.number}"
        yield ToolCallDelta(block.number, block.id, self._own_name(block))

    def _add_piece(self, block: _Block, piece: Mapping[str, Any]) -> Iterator[Delta]:
        """Add a piece to its block, and yield its delta."""
        if "text" in piece:
            yield from self._add_text(block, check_text(piece["text"]))
        elif "toolUse" in piece:
            text = check_text(piece["toolUse"].get("input") or "")
            block.pieces.append(text)
            if text and block.kind == "call":
                yield ToolCallDelta(block.number, "", "", text if text.isascii() else mend_value(text))
        elif "reasoningContent" in piece:
            yield from self._add_thought(block, piece["reasoningContent"])

    def _stop_block(self, block: _Block) -> Iterator[Delta]:
        """End a block. A call without any piece of arguments yields its whole arguments now."""
        if block.kind == "call" and not block.text.strip():
            yield ToolCallDelta(block.number, "", "", "{}")

    def _add_text(self, block: _Block, text: str) -> Iterator[Delta]:
        block.kind = "text"
        block.pieces.append(text)
        if text:
            yield TextDelta(self._text.add(text))

    def _add_thought(self, block: _Block, thought: Mapping[str, Any]) -> Iterator[Delta]:
        if block.kind != "thought":
            block.kind = "thought"
            self._text.begin()
            self._thoughts.begin()
        if signature := thought.get("signature"):
            block.signature.append(check_text(signature))
        if redacted := thought.get("redactedContent"):
            block.redacted += _decode_bytes(redacted)
        if text := thought.get("text"):
            block.pieces.append(check_text(text))
            yield ReasoningDelta(self._thoughts.add(text))

    def _build_call(self, block: _Block) -> ToolCall:
        return ToolCall(block.id, self._own_name(block), mend_value(block.text) if block.text.strip() else "{}")

    def _own_name(self, block: _Block) -> str:
        return self._format.names.get(block.name, mend_value(block.name))

    def _seal(self, blocks: Sequence[_Block], content: str, calls: Sequence[ToolCall]) -> Native | None:
        """Seal the blocks to the answer if a plain message could not say the same: the signed, and the interleaved."""
        kept = [(block.kind, whole) for block in blocks if (whole := block.finish()) is not None]
        kinds = [kind for kind, _ in kept]
        if "thought" not in kinds and kinds == sorted(kinds, reverse=True) and kinds.count("text") < 2:
            return None
        data = encode_blocks([whole for _, whole in kept])
        if data is None:
            return None
        sealed = msgspec.json.encode(Sealed(self._format.model, data))
        return seal_native(self._format.service, sealed, content, calls)


def _decode_bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(check_text(text), validate=True)
    except binascii.Error:
        raise ValueError("redacted thinking is not base64") from None


def _build_usage(usage: Mapping[str, Any]) -> Usage:
    """Return the counts: the format counts cached input beside `inputTokens`, and no thinking."""
    names = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "outputTokens")
    fresh, read, written, output = (read_count(usage.get(name)) for name in names)
    return Usage(fresh + read + written, output, cached_tokens=read, cache_write_tokens=written)
