"""HTTP/1.1 requests as values: bytes to requests. Pure: knows neither sockets, tasks nor clocks.

httptools (llhttp, in its strict mode) reads the syntax. This module refuses requests that llhttp lets through and a
server must not: a length and an encoding that contradict each other, a missing or doubled Host, a target or a protocol
outside HTTP, heads and bodies without bound.
"""

from __future__ import annotations

from collections import deque
from typing import Literal
from urllib.parse import unquote_to_bytes

import attrs
import httptools

from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.handshake import is_websocket
from agno_rt_serve.http.target import check_host_syntax, read_target

__all__ = ["Headers", "Phase", "Request", "RequestParser", "no_room"]

Headers = list[tuple[bytes, bytes]]
Phase = Literal["idle", "head", "body"]

# Headers that decide where a request ends and which host it means: a second one of a kind would be ambiguous.
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
# Bytes of framing (chunk sizes, extensions, trailers) allowed beyond the head's limit for each byte of body.
_FRAMING_PER_BODY_BYTE = 8
# The most bytes of a head that is kept for comparison with the connection's next request.
_HEAD_KEPT = 4_096
# Bytes that each header counts beyond its own, as in HTTP/2 (RFC 9113, 6.5.2): as objects, short headers take more.
_PER_HEADER = 32
# Bytes that each request counts beyond its own, as measured: as objects, small requests take more.
_PER_REQUEST = 500
# Takes the place of a parser that was let go: it holds nothing, so that no cycle of references is left.
_NONE = httptools.HttpRequestParser(None)


@attrs.define
class Request:
    """One request, complete with its body. `headers` have lower-case names; `keep_alive` is the client's wish.

    `id` is the client's own or the server's, and is given when the request is answered. `held` is its share of the
    budget, in bytes.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    version: str
    headers: Headers
    keep_alive: bool
    body: bytes = b""
    id: str = attrs.field(default="", kw_only=True)
    held: int = attrs.field(default=0, eq=False, kw_only=True)


class RequestParser:
    """Takes bytes as they arrive; complete requests gather in `requests`, in order.

    After bytes that are not HTTP, or are too many, `error` has the answer to send after the answers to earlier
    requests, and nothing more is read. After a request for a WebSocket nothing more is read either: `websocket` has the
    request, and `early` the bytes behind it. `max_head` and `max_body` are in bytes. `held` is the count of bytes taken
    from the budget. The code that answers a request gives its part back, to both; `close` gives the rest back.

    A client often sends the same head again, byte for byte. A repeated head is not parsed: the bytes after it, up to
    the declared length, are the body.
    """

    __slots__ = (
        "_authority",
        "_body",
        "_body_size",
        "_budget",
        "_closed",
        "_expects_continue",
        "_framing",
        "_head_size",
        "_headers",
        "_last",
        "_last_head",
        "_last_size",
        "_line_is_read",
        "_max_body",
        "_max_head",
        "_method",
        "_origin",
        "_parser",
        "_raw",
        "_raw_is_begun",
        "_ready",
        "_target",
        "_unbounded",
        "_upgrading",
        "_version",
        "early",
        "error",
        "held",
        "phase",
        "requests",
        "websocket",
    )

    def __init__(self, max_head: int, max_body: int, budget: Budget) -> None:
        self.requests: deque[Request] = deque()
        self.error: HttpError | None = None
        self.websocket: Request | None = None
        self.early = b""
        self.phase: Phase = "idle"
        self.held = self._ready = 0
        self._max_head = max_head
        self._max_body = min(max_body, budget.largest)
        self._budget = budget
        self._closed = False
        self._upgrading = False
        self._expects_continue = False
        self._parser = httptools.HttpRequestParser(self)
        self._method = self._version = ""
        # The bytes of a head until its first line is read, and whether another request's end stands before them.
        self._raw = b""
        self._raw_is_begun = self._line_is_read = False
        self._target = self._origin = b""
        self._authority: bytes | None = None
        self._headers: Headers = []
        self._framing: Headers = []
        self._body: bytes | bytearray = b""
        self._head_size = self._body_size = self._unbounded = 0
        self._last: Request | None = None
        self._last_head = b""
        self._last_size = 0

    def feed(self, data: bytes) -> None:
        """Take in bytes. After an error, or after a request that closes the connection, bytes are dropped."""
        if self._closed or self.error is not None:
            return
        if (
            self.phase == "idle"
            and len(data) == self._last_size
            and data.startswith(self._last_head)
            and self._budget.free > self._last_size + _PER_REQUEST
        ):
            self._reuse_head(data)
            return
        size = 0 if self.phase == "idle" else -self._unfinished
        self._feed_parser(data)
        size += self._ready if self.phase == "idle" else self._ready + self._unfinished
        self._ready = 0
        budget = self._budget
        self.held += size
        budget.free -= size
        if budget.free < budget.reserve and size > 0 and not budget.has_room(0, self.held):
            self.close(self.error or no_room())
        elif self.error is not None or self._closed:
            self._drop_unfinished()

    def close(self, error: HttpError | None = None) -> None:
        """Let go of all bytes held, now: the garbage collector would come for them much later, or never.

        `error` is the answer to send instead.
        """
        self._closed = True
        self.error = error or self.error
        self.requests.clear()
        self._drop_unfinished()
        self._last = None
        self._budget.free += self.held
        self.held = 0

    def take_continue(self) -> bool:
        """Return whether the client waits for `100 Continue` before it sends the body; true once for each request."""
        expected = self._expects_continue and self.phase == "body" and self._body_size == 0 and self.error is None
        self._expects_continue = False
        return expected

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.phase = "head"
        self._target = b""
        self._headers = []
        self._framing = []
        self._body = b""
        self._head_size = self._body_size = self._unbounded = 0
        self._expects_continue = self._line_is_read = False

    def on_url(self, part: bytes) -> None:
        """Take a piece of the request's target."""
        self._target += part
        self._head_size += len(part)
        if self._head_size > self._max_head:
            raise HttpError(414, "uri_too_long", f"the request line is longer than {self._max_head} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer."""
        if self.phase != "head":
            return
        if not self._line_is_read:
            self._read_line()
        self._head_size += len(name) + len(value) + _PER_HEADER
        if self._head_size > self._max_head:
            raise _head_too_large(self._max_head)
        header = (name.lower(), value.rstrip(b" \t"))
        self._headers.append(header)
        if header[0] in _FRAMING:
            self._framing.append(header)

    def on_headers_complete(self) -> None:
        """Check the complete head, and so whether the body may come."""
        if not self._line_is_read:
            self._read_line()
        if self._parser.should_upgrade():
            self._upgrading = True
            if not is_websocket(self._method, self._version, self._headers):
                return
        self._check_head()
        self.phase = "body"

    def on_body(self, part: bytes) -> None:
        """Take a piece of the body."""
        self._body_size += len(part)
        if self._body_size > self._max_body:
            raise _body_too_large(self._max_body)
        if not self._body:
            self._body = part  # nearly always the whole body: no copy
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += part

    def on_message_complete(self) -> None:
        """Add the complete request to `requests`."""
        if self._upgrading and self.phase == "head":
            return
        keep_alive = self._parser.should_keep_alive() and not self._upgrading
        raw_path, _, query = self._origin.partition(b"?")
        path = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode("utf-8", "replace")
        headers, body = self._headers, bytes(self._body)
        held = self._head_size + self._body_size + _PER_REQUEST
        self.requests.append(
            Request(self._method, path, raw_path, query, self._version, headers, keep_alive, body, held=held)
        )
        self._ready += held
        self._body = b""
        self._raw_is_begun = True
        self.phase = "idle"
        self._closed = not keep_alive

    @property
    def body_size(self) -> int:
        """The number of bytes that have arrived of the current body."""
        return self._body_size

    @property
    def _unfinished(self) -> int:
        """The number of bytes held of an incomplete request."""
        return self._head_size + self._body_size + (self._unbounded + len(self._raw) if self.phase == "head" else 0)

    def _drop_unfinished(self) -> None:
        """Give up an incomplete request. httptools' parser goes too, since the two parsers hold each other."""
        size = 0 if self.phase == "idle" else self._unfinished
        self.held -= size
        self._budget.free += size
        self._body = self._raw = self._target = self._origin = b""
        self._headers, self._framing = [], []
        self._head_size = self._body_size = self._unbounded = 0
        self._parser = _NONE

    def _feed_parser(self, data: bytes) -> None:
        count = len(self.requests)
        rest: bytes | None = data
        while rest is not None:
            piece, rest = rest, None
            phase, headers, body_size = self.phase, self._headers, self._body_size
            if phase == "head" and not self._line_is_read:
                self._raw += piece
            else:
                self._raw, self._raw_is_begun = piece, phase != "idle"
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as exc:
                rest = self._end_upgrade(piece[exc.args[0] :])
            except httptools.HttpParserError as exc:
                self._stop_reading(exc)
            else:
                if phase == self.phase != "idle" and headers is self._headers:
                    self._check_unbounded(len(piece) - (self._body_size - body_size))
                if piece is data and phase == self.phase == "idle" and len(self.requests) == count + 1:
                    self._keep_head(data)
        if self.phase != "head" or self._line_is_read:
            self._raw = b""

    def _read_line(self) -> None:
        """Read the request's first line once complete, and refuse a line that is not HTTP.

        llhttp takes other protocols too, such as RTSP, and any number of spaces, without telling. So the line is
        compared with the bytes. Behind another request the line's place in the bytes is not known.
        """
        self._line_is_read = True
        self._method = self._parser.get_method().decode("ascii")
        self._version = version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise HttpError(505, "http_version", f"HTTP/{version} is not supported", "Use HTTP/1.1.")
        line = b"%b %b HTTP/%b\r\n" % (self._method.encode(), self._target, version.encode())
        if not (line in self._raw if self._raw_is_begun else self._raw.lstrip(b"\r\n").startswith(line)):
            hint = "Send METHOD, target and HTTP/1.1, with one space between them."
            raise _bad_request("the request's first line is not valid HTTP/1.1", hint)
        self._authority, self._origin = read_target(self._method, self._target)

    def _keep_head(self, data: bytes) -> None:
        """Keep the head of the request if the data is exactly that request, for comparison with the next head."""
        size = data.find(b"\r\n\r\n") + 4
        plain = all(name in (b"host", b"content-length") for name, _ in self._framing)
        if plain and size <= _HEAD_KEPT and size + self._body_size == len(data) and not self._closed:
            self._last, self._last_head, self._last_size = self.requests[-1], data[:size], len(data)

    def _reuse_head(self, data: bytes) -> None:
        last = self._last
        assert last is not None
        headers, body, held = list(last.headers), data[len(self._last_head) :], last.held
        self.requests.append(
            Request(last.method, last.path, last.raw_path, last.query, last.version, headers, True, body, held=held)
        )
        self.held += held
        self._budget.free -= held

    def _check_head(self) -> None:
        found = dict(self._framing)
        if len(found) != len(self._framing):
            raise _bad_request(
                "a header that may come only once came twice", "Send one each of Host, Content-Length and Expect."
            )
        if b"host" not in found and self._version == "1.1":
            raise _bad_request("the header Host is missing", "HTTP/1.1 requires it.")
        check_host_syntax(found.get(b"host", b""))
        if self._authority is not None:
            self._headers = [(b"host", self._authority), *(each for each in self._headers if each[0] != b"host")]
        self._check_framing(found)
        self._check_expect(found.get(b"expect"))

    def _check_framing(self, found: dict[bytes, bytes]) -> None:
        encoding = found.get(b"transfer-encoding")
        length = found.get(b"content-length")
        if encoding is None:
            if length is not None:
                self._check_length(int(length))
            return
        if length is not None or self._version == "1.0":
            raise _bad_request(
                "Transfer-Encoding cannot be used here", "Send either Content-Length or chunks, over HTTP/1.1."
            )
        if encoding.lower() != b"chunked":
            raise HttpError(501, "transfer_encoding", "the only supported transfer encoding is chunked")

    def _check_length(self, length: int) -> None:
        if length > self._max_body:
            raise _body_too_large(self._max_body)
        budget = self._budget
        if length > budget.free - budget.reserve and not budget.has_room(length, length):
            raise no_room()

    def _check_expect(self, expect: bytes | None) -> None:
        if expect is None or self._version == "1.0":
            return
        if expect.lower() != b"100-continue":
            raise HttpError(417, "expectation", "the only supported expectation is 100-continue")
        self._expects_continue = True

    def _end_upgrade(self, rest: bytes) -> bytes | None:
        """Take the request as one for a WebSocket, or return the bytes to read it again without its upgrade."""
        if self.phase == "idle":
            self.websocket, self.early = self.requests.pop(), rest
            return None
        # An upgrade may be ignored (RFC 9110, 7.8), but llhttp then reads no body: read the request again without it.
        lines = [f"{self._method} ".encode() + self._target + f" HTTP/{self._version}".encode()]
        lines += [name + b": " + value for name, value in self._headers if name != b"upgrade"]
        self._upgrading = False
        self.phase = "idle"
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join(lines) + b"\r\n\r\n" + rest

    def _check_unbounded(self, size: int) -> None:
        # httptools is silent about a header, a chunk extension or a trailer that never ends: count the bytes.
        self._unbounded += size
        if self.phase == "head" and self._unbounded > self._max_head:
            self.error = _head_too_large(self._max_head)
        elif self._unbounded > self._max_head + _FRAMING_PER_BODY_BYTE * self._body_size:
            self.error = _bad_request("the chunks of the body are nearly all framing", "Send larger chunks.")

    def _stop_reading(self, exc: httptools.HttpParserError) -> None:
        if self._closed:
            return
        cause = exc.__context__
        self.error = cause if isinstance(cause, HttpError) else _bad_request(f"not a valid HTTP request: {exc}")


def no_room() -> HttpError:
    """Return the error for a request that does not fit in the budget."""
    hint = "Try again later, or raise body_memory in [plugins.serve]."
    message = "the server's memory for request bodies is full"
    return HttpError(503, "too_many_bodies", message, hint, ((b"retry-after", b"1"),))


def _bad_request(message: str, hint: str = "") -> HttpError:
    return HttpError(400, "bad_request", message, hint)


def _head_too_large(limit: int) -> HttpError:
    return HttpError(431, "head_too_large", f"the request's head is larger than {limit} bytes")


def _body_too_large(limit: int) -> HttpError:
    hint = "Send less, or raise max_body in [plugins.serve]."
    return HttpError(413, "body_too_large", f"the request's body is larger than {limit} bytes", hint)
