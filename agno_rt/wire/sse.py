"""Server-sent events from bytes in pieces of any size. Knows the event stream format, not the payload.

Reference: the HTML standard, "Server-sent events", section "Parsing an event stream".
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["MAX_EVENT_BYTES", "EventParser"]

MAX_EVENT_BYTES = 4 * 2**20
"""A normal event has a few hundred bytes, with audio or log probabilities about ten thousand."""

_BOM = b"\xef\xbb\xbf"


class EventParser:
    """A parser that yields the data of each event: the `data` lines, joined by line feeds.

    Lines end with LF, CR or CRLF; comments and fields other than `data` are ignored. An event of more than `limit`
    bytes is a `ValueError`, so an endless line cannot fill the memory.
    """

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._at_start = True
        self._is_clean = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take in the next bytes and yield the data of each completed event. Runs while iterated."""
        # Most chunks are whole events with plain line feeds, and a stream has thousands.
        if self._is_clean and chunk.endswith(b"\n\n") and b"\r" not in chunk and len(chunk) <= self._limit:
            for event in chunk[:-2].split(b"\n\n"):
                name, found, data = event.partition(b"data: ")
                # The data alone, or after the line of the event's name.
                is_usual = not name or (name.startswith(b"event:") and name.find(b"\n") == len(name) - 1)
                if found and is_usual and b"\n" not in data:
                    yield data
                elif (joined := _read_event(event)) is not None:
                    yield joined
            return
        yield from self._feed_lines(chunk)
        self._is_clean = not (self._line or self._data or self._after_cr or self._at_start or self._size)

    def _feed_lines(self, chunk: bytes) -> Iterator[bytes]:
        # A CR ends its line at once; an LF at the start of the next chunk belongs to the CR.
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return
        self._after_cr = chunk.endswith(b"\r")
        first, *others = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._add(self._line, first)
        for other in others:
            if (data := self._end_line()) is not None:
                yield data
            self._add(self._line, other)

    def end(self) -> bytes | None:
        """Return the data of an event cut off by the end of the stream, or None. The data may be incomplete."""
        last = self._end_line()
        return last if last is not None else self._dispatch()

    def _add(self, to: list[bytes], piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise ValueError(f"an event of more than {self._limit} bytes")
        if piece:
            to.append(piece)

    def _end_line(self) -> bytes | None:
        line = b"".join(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
        else:
            # Ignored lines do not count, so any number of comments may precede an event.
            self._size -= len(line)
        return None

    def _dispatch(self) -> bytes | None:
        data = b"\n".join(self._data) if self._data else None
        self._data.clear()
        self._size = 0
        return data


def _read_event(event: bytes) -> bytes | None:
    """Return the data of a whole event with plain line feeds, or None without data."""
    fields = (line.partition(b":") for line in event.split(b"\n"))
    data = [value.removeprefix(b" ") for name, _, value in fields if name == b"data"]
    return b"\n".join(data) if data else None
