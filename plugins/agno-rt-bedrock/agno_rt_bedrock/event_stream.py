"""The binary stream of events of AWS: bytes in any pieces to the values of events. Pure.

Reference: AWS's guide "Amazon Transcribe: Event stream encoding" and the specification "Amazon Event Stream" of Smithy.
A message is: its length, the length of its headers, a checksum of both, headers, payload, and a checksum of it all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, plain

__all__ = ["MOST_BYTES", "MessageParser", "StreamValues"]

MOST_BYTES = 16 * 2**20
"""Bytes of the longest message to accept."""

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_SHORTEST = _PRELUDE.size + _CHECKSUM.size
_TRUE, _FALSE, _BYTES, _TEXT = 0, 1, 6, 7
_SIZES = {_TRUE: 0, _FALSE: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""The bytes of the value of a header, by its type; bytes and texts have a length of their own."""

_STATUSES = {
    "validationException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}
"""The status of each exception, which an exception in the middle of a stream has no other way to say."""

_FINAL = frozenset({"validationException", "accessDeniedException", "resourceNotFoundException"})
"""Exceptions that the same request meets again."""


class MessageParser:
    """The messages in a binary stream: `feed` bytes and take the headers and the payload of each whole message."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
        """Take in the next bytes and yield the texts among the headers, and the payload, of each message.

        Raises `ValueError` for a wrong checksum, and for a message that is malformed or longer than `MOST_BYTES`.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _PRELUDE.size:
            total, head, checksum = _PRELUDE.unpack_from(buffer)
            # Before the length is believed: a wrong length would wait for bytes that never come.
            if zlib.crc32(buffer[:8]) != checksum:
                raise ValueError("the checksum of a message's beginning is wrong")
            if not head + _SHORTEST <= total <= MOST_BYTES:
                raise ValueError(f"a message of {total} bytes has {head} bytes of headers")
            if len(buffer) < total:
                return
            message = bytes(buffer[:total])
            del buffer[:total]
            if zlib.crc32(message[:-4]) != _CHECKSUM.unpack_from(message, total - 4)[0]:
                raise ValueError("the checksum of a message is wrong")
            end = _PRELUDE.size + head
            yield _read_headers(message[_PRELUDE.size : end]), message[end:-4]


def _read_headers(block: bytes) -> dict[str, str]:
    """Return the headers with texts. Raises `ValueError` for a malformed block."""
    headers: dict[str, str] = {}
    at, end = 0, len(block)
    try:
        while at < end:
            start = at + 1
            at = start + block[at]
            name, type_ = block[start:at], block[at]
            at += 1
            size = _SIZES.get(type_)
            if size is None:
                if type_ not in (_BYTES, _TEXT):
                    raise ValueError(f"a header has the unknown type {type_}")
                size = _LENGTH.unpack_from(block, at)[0]
                at += 2
            if type_ == _TEXT:
                headers[name.decode()] = block[at : at + size].decode()
            at += size
    except (IndexError, struct.error):
        at = end + 1
    if at != end:
        raise ValueError("the headers of a message are cut off")
    return headers


class StreamValues:
    """The values of a stream's events, for `agno_rt.wire.answers`: each is a dict of the event's type and its payload.

    `count` is the number of values. `done` is always false, because the format ends with the body alone.
    """

    __slots__ = ("_parser", "_peer", "count", "done", "whole")

    def __init__(self, peer: Peer) -> None:
        self.count = 0
        self.done = False
        self.whole = b""
        self._peer = peer
        self._parser = MessageParser()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in the next bytes and yield their values; values before a fault come before the error.

        Raises `ModelError` for an unreadable stream, and for an exception that the service reports.
        """
        try:
            for headers, payload in self._parser.feed(data):
                value = self._read(headers, payload)
                self.count += 1
                yield value
        except ValueError as exc:
            # A stream with a damaged byte may arrive whole the next time.
            raise self._peer.error(f"sent a stream that cannot be read: {exc}", retryable=self.count > 0) from exc

    def end(self) -> Iterator[Any]:
        """Yield nothing: half a message is left out, and the answer is then unfinished."""
        return iter(())

    def _read(self, headers: dict[str, str], payload: bytes) -> Any:
        kind = headers.get(":message-type", "event")
        if kind == "event":
            value = read_json(payload)
            if value is None:
                raise self._peer.error(f"sent broken JSON in its stream: {plain(payload, self._peer)!r}")
            return {headers.get(":event-type", ""): value}
        if kind == "exception":
            name = headers.get(":exception-type", "")
            error = read_json(payload)
            said = error.get("message") or error.get("Message") if isinstance(error, dict) else None
            text = said if isinstance(said, str) else payload
        else:
            name, text = headers.get(":error-code", ""), headers.get(":error-message", "")
        said = plain(text, self._peer)
        raise self._peer.error(
            f"reported an error: {plain(name, self._peer)}: {said}",
            status=_STATUSES.get(name),
            retryable=name not in _FINAL,
        )
