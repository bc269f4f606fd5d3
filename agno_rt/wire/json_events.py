"""The JSON values in a stream of server-sent events, read leniently. Pure.

Some servers send JSON in place of events, end an event with one line feed, or break off in the middle of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.refusals import Peer, kind_of, plain
from agno_rt.wire.sse import MAX_EVENT_BYTES, EventParser

__all__ = ["JsonEvents", "read_lines"]

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""The starts of the lines of an event stream."""
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class JsonEvents:
    """The values in a stream's events: `feed` bytes, then call `end`. Raises `ModelError` for an unreadable stream.

    `done` is true after the event `[DONE]`, and `count` is the number of values. `whole` is the body of an answer that
    turned out not to be a stream of events.
    """

    __slots__ = ("_head", "_is_events", "_parser", "_peer", "count", "done")

    def __init__(self, peer: Peer) -> None:
        self.done = False
        self.count = 0
        self._peer = peer
        self._parser = EventParser()
        self._head = bytearray()
        self._is_events: bool | None = None

    @property
    def whole(self) -> bytes:
        """Return the body so far if the body is not a stream of events, else no bytes."""
        return bytes(self._head) if self._head.strip() else b""

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in the next bytes and yield their values; values before a fault come before the error."""
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
                try:
                    # The usual payload, an object, takes the short way.
                    value = _decode_object(payload)
                except ValueError:
                    yield from self._read_payload(payload)
                    if self.done:
                        return
                else:
                    self.count += 1
                    yield value
        except ValueError as exc:
            raise self._peer.error(f"sent a stream that cannot be read: {exc}") from exc

    def end(self) -> Iterator[Any]:
        """Yield the values in the last bytes, which have no end of an event. Half a value is left out."""
        for line in [] if self.done else (self._parser.end() or b"").split(b"\n"):
            if _is_done(line) or read_json(line) is not None:
                yield from self._read_payload(line)

    def _read_payload(self, payload: bytes) -> Iterator[Any]:
        value = read_json(payload)
        if value is not None and value != "[DONE]":
            self.count += 1
            yield value
        elif _is_done(payload):
            self.done = True
        elif payload.strip():
            lines = payload.split(b"\n")
            if len(lines) == 1:
                raise self._peer.error(f"sent broken JSON in its stream: {plain(payload, self._peer)!r}")
            # Some servers end an event with one line feed instead of two.
            for line in lines:
                yield from self._read_payload(line)


def read_lines(body: bytes, peer: Peer, content_type: str = "") -> bytes:
    """Return a body that is not JSON as a stream of events: some servers always send events, or JSON in each line.

    Raises `ModelError` for any other body.
    """
    lines = [line for line in body.removeprefix(_BOM).splitlines() if line.strip()]
    if lines and lines[0].startswith(_FIELDS):
        return body
    if len(lines) > 1 and read_json(lines[0]) is not None:
        return b"".join(b"data: %b\n\n" % line for line in lines)
    kind = kind_of(body, content_type)
    hint = f"Is {peer.url} the right address? base_url is the part of it that all requests share."
    raise peer.error(f"answered with {kind}, not with JSON: {plain(body, peer)!r}", hint=hint)


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
