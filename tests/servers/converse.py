"""Bodies and binary streams of Bedrock's Converse, for tests.

Reference: Amazon Bedrock's API reference, "Converse" and "ConverseStream"; the specification "Amazon Event Stream" of
Smithy for the encoding of messages.
"""

from __future__ import annotations

import binascii
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["KEY", "encode_message", "event", "exception", "stream_events", "whole_body"]

KEY = "bedrock-api-key-0123456789abcdef"

USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return a message of the binary format, with headers of texts."""
    block = b""
    for name, value in headers.items():
        key, text = name.encode(), value.encode()
        block += struct.pack(">B", len(key)) + key + struct.pack(">BH", 7, len(text)) + text
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + block + payload
    return message + struct.pack(">I", binascii.crc32(message))


def event(type_: str, value: Any) -> bytes:
    """Return an event of a stream; the service pads its events with a field `p`."""
    headers = {":event-type": type_, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, json.dumps({**value, "p": "abcdef"}, ensure_ascii=False).encode())


def exception(name: str, message: str) -> bytes:
    """Return the message with which the service reports an exception in the middle of a stream."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, json.dumps({"message": message}).encode())


def whole_body(blocks: Sequence[Any], reason: str = "end_turn", usage: Mapping[str, int] | None = None) -> bytes:
    """Return the body of a whole answer with the blocks."""
    body = {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": reason,
        "usage": dict(usage or USAGE),
        "metrics": {"latencyMs": 500},
    }
    return json.dumps(body, ensure_ascii=False).encode()


def stream_events(
    blocks: Sequence[Any], reason: str = "end_turn", usage: Mapping[str, int] | None = None
) -> Iterator[bytes]:
    """Yield the events of the same answer as a stream: texts word by word, arguments in two pieces."""
    yield event("messageStart", {"role": "assistant"})
    for index, block in enumerate(blocks):
        for start, delta in _split_block(block):
            type_, value = ("contentBlockStart", {"start": start}) if start else ("contentBlockDelta", {"delta": delta})
            yield event(type_, {"contentBlockIndex": index, **value})
        yield event("contentBlockStop", {"contentBlockIndex": index})
    yield event("messageStop", {"stopReason": reason})
    yield event("metadata", {"usage": dict(usage or USAGE), "metrics": {"latencyMs": 500}})


def _split_block(block: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the start or the piece of each event of a block."""
    match block:
        case {"text": str(text)}:
            yield from ((None, {"text": word}) for word in _split_words(text))
        case {"toolUse": {"toolUseId": id_, "name": name, "input": given}}:
            yield {"toolUse": {"toolUseId": id_, "name": name}}, None
            text = json.dumps(given, ensure_ascii=False, separators=(",", ":")) if given else ""
            yield from ((None, {"toolUse": {"input": part}}) for part in (text[:4], text[4:]) if part)
        case {"reasoningContent": {"reasoningText": thought}}:
            yield None, {"reasoningContent": {"text": thought["text"]}}
            if "signature" in thought:
                yield None, {"reasoningContent": {"signature": thought["signature"]}}
        case {"reasoningContent": redacted}:
            yield None, {"reasoningContent": redacted}


def _split_words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if at == 0 else f" {word}" for at, word in enumerate(words)]
