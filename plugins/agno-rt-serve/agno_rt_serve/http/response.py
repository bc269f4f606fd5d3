"""HTTP/1.1 responses as values: an application's answers to bytes. Pure: knows neither sockets, tasks nor clocks."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from http import HTTPStatus

from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON
from agno_rt_serve.http.protocol import Headers

__all__ = ["REQUEST_ID", "ResponseWriter", "error_response", "request_ids"]

REQUEST_ID = re.compile(rb"[0-9A-Za-z._:-]{1,128}")
"""The form of an id given by a client: harmless in a log."""

request_ids: Iterator[str] = map(f"{os.urandom(6).hex()}-{{:x}}".format, itertools.count(1))
"""Ids for requests without an id: a word of this process and a count. `next` on a `map` runs no Python code."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Set by the server: the application's own are dropped, apart from the length and a wish to close.
_OWN_HEADERS = frozenset(
    {b"content-length", b"connection", b"transfer-encoding", b"date", b"keep-alive", b"x-request-id"}
)
# Responses without a body (RFC 9110, 15.3.5 and 15.4.5).
_NO_BODY = frozenset({204, 304})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_NAMES: dict[bytes, bytes] = {}
# Bounded, since an application may make up new names without end.
_NAMES_KEPT = 1_000
# Applications nearly always answer with the same few headers: these are checked and written once.
_HEADS: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}
_HEADS_KEPT = 100
_HEAD_KEPT = 1_000


class ResponseWriter:
    """A response in pieces: `start`, then `body` until the last piece. `body` returns the bytes to send.

    A response that was started with `trailers` ends with `trailers`: a client that did not ask for them (RFC 9110,
    6.5.1) gets the end alone.

    Raises `ValueError` for a header that would break the response apart, and `RuntimeError` for pieces out of order, or
    of another length than the header says.
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_left",
        "_sends_body",
        "_trails",
        "_version",
        "complete",
        "keep_alive",
        "started",
        "status",
    )

    def __init__(self, method: str, version: str, keep_alive: bool) -> None:
        self.status = 0
        self.started = False
        self.complete = False
        self.keep_alive = keep_alive
        self._version = version
        self._sends_body = method != "HEAD"
        self._chunked = self._trails = False
        self._left: int | None = None
        self._head: list[bytes] | None = None

    def start(self, status: int, headers: Headers, date: bytes, request_id: str = "") -> None:
        """Begin with status, headers and the request's id. Nothing is sent before the first piece of the body."""
        if self._head is not None or self.started:
            raise RuntimeError("the response was started twice")
        self.status = status
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        self._head = [line, b"date: ", date, b"\r\n", self._render_headers(headers)]
        if request_id:
            self._head.append(b"x-request-id: %b\r\n" % request_id.encode())

    def expect_trailers(self) -> None:
        """Let the body be followed by trailers."""
        self._trails = True

    def trailers(self, headers: Headers, *, wanted: bool) -> bytes:
        """Return the bytes that end a response with trailers; without the trailers themselves unless `wanted`."""
        if not self._trails or self.complete or not self.started:
            raise RuntimeError("the response has no trailers here")
        self.complete = True
        if not self._chunked or not self._sends_body:
            return b""
        lines, own = self._check_headers(headers if wanted else [])
        if own:
            raise ValueError("a trailer cannot frame the response")
        return b"0\r\n%b\r\n" % lines

    def body(self, data: bytes, more: bool) -> bytes:
        """Return the bytes to send for a piece of the body, head first; with `more`, another piece follows."""
        more = more or self._trails
        if self.complete:
            raise RuntimeError("the response is complete; it has no more body")
        if self._head is not None:
            prefix = self._finish_head(len(data), more)
        elif self.started:
            prefix = b""
        else:
            raise RuntimeError("the response has a body before it was started")
        self.complete = not more
        return prefix + self._frame_body(data, more)

    def switch(self, headers: Headers, date: bytes, request_id: str) -> bytes:
        """Return the whole response that opens a WebSocket."""
        self.start(101, headers, date, request_id)
        assert self._head is not None
        self._head.append(b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        self.started = self.complete = True
        return b"".join(self._head)

    def _render_headers(self, headers: Headers) -> bytes:
        key = tuple(headers)
        try:
            known = _HEADS.get(key)
        except TypeError:  # ASGI lets a header be a list, or its value a bytearray
            return self._check_headers(headers)[0]
        if known is not None:
            return known
        lines, own = self._check_headers(headers)
        if not own and len(lines) <= _HEAD_KEPT and len(_HEADS) < _HEADS_KEPT:
            _HEADS[key] = lines
        return lines

    def _check_headers(self, headers: Headers) -> tuple[bytes, bool]:
        """Return the headers' lines, and whether the server's own headers are among them."""
        lines: list[bytes] = []
        own = False
        for name, value in headers:
            known = _NAMES.get(name) or _check_name(name)
            if _CONTROL.search(value):
                raise ValueError(f"the response header {name!r} has a control character in its value")
            if known in _OWN_HEADERS:
                own = True
                if not self._note_own_header(known, value):
                    continue
            lines += (known, b": ", value, b"\r\n")
        return b"".join(lines), own

    def _note_own_header(self, name: bytes, value: bytes) -> bool:
        if name == b"connection" and b"close" in value.lower():
            self.keep_alive = False
        if name != b"content-length":
            return False
        if not value.isdigit():
            raise ValueError(f"the response's Content-Length is {value!r}")
        self._left = int(value)
        return self.status != 204

    def _finish_head(self, size: int, more: bool) -> bytes:
        head = self._head
        assert head is not None
        if self.status in _NO_BODY:
            self._sends_body = False
            self._left = None
        elif self._left is None and not more:
            self._left = size
            head.append(b"content-length: %d\r\n" % size)
        elif self._left is None:
            self._frame_open_ended(head)
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        elif self._version == "1.0":
            head.append(b"connection: keep-alive\r\n")
        head.append(b"\r\n")
        self._head = None
        self.started = True
        return b"".join(head)

    def _frame_open_ended(self, head: list[bytes]) -> None:
        if self._version == "1.0":
            self.keep_alive = False
        else:
            self._chunked = True
            head.append(b"transfer-encoding: chunked\r\n")

    def _frame_body(self, data: bytes, more: bool) -> bytes:
        if not self._sends_body:
            return b""
        if self._left is not None:
            self._count_body(len(data), more)
            return data
        if not self._chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk if more else chunk + b"0\r\n\r\n"

    def _count_body(self, size: int, more: bool) -> None:
        assert self._left is not None
        self._left -= size
        if self._left < 0 or (self._left and not more):
            self.complete = False
            raise RuntimeError("the response's body is not as long as its Content-Length says")


def error_response(error: HttpError, date: bytes) -> bytes:
    """Return the whole response to a request that was not read to the end; the connection closes after it."""
    writer = ResponseWriter("GET", "1.1", keep_alive=False)
    writer.start(error.status, [*JSON, *error.headers], date, next(request_ids))
    return writer.body(error_body(error), more=False)


def _check_name(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a name for a response header")
    lower = name.lower()
    if len(_NAMES) < _NAMES_KEPT:
        _NAMES[name] = lower
    return lower
