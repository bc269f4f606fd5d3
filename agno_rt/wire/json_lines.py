"""The JSON values in a stream of lines, one value a line (NDJSON), read leniently. Pure.

`json_events` has the counterpart for server-sent events. A body that does not begin with a line of JSON is kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, plain
from agno_rt.wire.sse import MAX_EVENT_BYTES

__all__ = ["JsonLines"]

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class JsonLines:
    """The values in a stream's lines: `feed` bytes, then call `end`. Raises `ModelError` for an unreadable stream.

    `count` is the number of values. `done` is always false: the format has no mark for the end. `whole` is the body of
    an answer that turned out not to be a stream of lines.
    """

    __slots__ = ("_body", "_line", "_peer", "_size", "count")

    done = False

    def __init__(self, peer: Peer) -> None:
        self.count = 0
        self._peer = peer
        # A list: joining on each piece would be quadratic.
        self._line: list[bytes] = []
        self._size = 0
        self._body = bytearray()

    @property
    def whole(self) -> bytes:
        """Return the body so far if the body is not a stream of lines, else no bytes."""
        rest = b"".join(self._line)
        if self._body:
            return bytes(self._body) + rest
        # One line that begins with an object and never ends is the beginning of a stream that broke off.
        is_line = self.count or not rest.strip() or rest.lstrip().startswith(b"{")
        return b"" if is_line else rest

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in the next bytes and yield their values; values before a fault come before the error."""
        first, *others = data.split(b"\n")
        self._add(first)
        for other in others:
            line = b"".join(self._line) if len(self._line) != 1 else self._line[0]
            self._line.clear()
            if not self._body:
                self._size = 0
            try:
                # The usual line, an object, takes the short way.
                value = None if self._body else _decode_object(line)
            except ValueError:
                value = read_json(line)
            if value is not None:
                self.count += 1
                yield value
            elif self._body or line.strip():
                self._keep(line)
            self._add(other)

    def end(self) -> Iterator[Any]:
        """Yield the value of a last line without a line feed. Half a value is left out."""
        if self._body:
            return
        value = read_json(b"".join(self._line))
        if value is not None:
            self._line.clear()
            self.count += 1
            yield value

    def _keep(self, line: bytes) -> None:
        """Keep a line of a body that is not a stream of lines. Raises `ModelError` within a stream."""
        if self.count:
            raise self._peer.error(f"sent broken JSON in its stream: {plain(line, self._peer)!r}")
        self._body += line + b"\n"
        self._size = len(self._body)

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size > MAX_EVENT_BYTES:
            raise self._peer.error(f"sent a stream that cannot be read: a line of more than {MAX_EVENT_BYTES} bytes")
        self._line.append(piece)
