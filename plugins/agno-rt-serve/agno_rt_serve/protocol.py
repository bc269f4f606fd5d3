"""HTTP/1.1 requests as values: bytes to requests. Pure: knows neither sockets, tasks nor clocks.

httptools (llhttp, in its strict mode) reads the syntax; what it lets through and a server must not is refused here:
a length and an encoding that contradict each other, a missing or doubled Host, heads and bodies without bound.
"""

from __future__ import annotations

from collections import deque
from typing import Literal
from urllib.parse import unquote_to_bytes

import attrs
import httptools

from agno_rt_serve.errors import HttpError

__all__ = ["Headers", "Phase", "Request", "RequestParser"]

Headers = list[tuple[bytes, bytes]]
Phase = Literal["idle", "head", "body"]

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
# Bytes of framing (chunk sizes, extensions, trailers) allowed beyond the head's limit for each byte of body.
_FRAMING_PER_BODY_BYTE = 8
# A head is kept for the next request of its connection up to so many bytes.
_HEAD_KEPT = 4_096


@attrs.define
class Request:
    """One request, complete with its body. `headers` have lower-case names; `keep_alive` is what the client wants.

    `id` is the client's own or the server's, and is given when the request is answered.
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


class RequestParser:
    """Takes bytes as they arrive; complete requests gather in `requests`, in order.

    After something that is not HTTP, or is too large, `error` says what to answer once the requests before it are
    answered, and nothing more is read. `max_head` and `max_body` are in bytes.

    A client's next request often has the very head of its last, byte for byte. What that head says is known then, and
    is not read again: the bytes up to the declared length are the body.
    """

    __slots__ = (
        "_body",
        "_body_size",
        "_closed",
        "_expects_continue",
        "_framing",
        "_head_size",
        "_headers",
        "_last",
        "_last_head",
        "_last_size",
        "_max_body",
        "_max_head",
        "_method",
        "_parser",
        "_target",
        "_unbounded",
        "_upgrading",
        "_version",
        "error",
        "phase",
        "requests",
    )

    def __init__(self, max_head: int, max_body: int) -> None:
        self.requests: deque[Request] = deque()
        self.error: HttpError | None = None
        self.phase: Phase = "idle"
        self._max_head = max_head
        self._max_body = max_body
        self._closed = False
        self._upgrading = False
        self._expects_continue = False
        self._parser = httptools.HttpRequestParser(self)
        self._method = self._version = ""
        self._target = b""
        self._headers: Headers = []
        self._framing: Headers = []
        self._body: list[bytes] = []
        self._head_size = self._body_size = self._unbounded = 0
        self._last: Request | None = None
        self._last_head = b""
        self._last_size = 0

    def feed(self, data: bytes) -> None:
        """Take in what arrived. Bytes after an error, or after a request that closes the connection, are dropped."""
        if self._closed or self.error is not None:
            return
        phase, headers, body_size = self.phase, self._headers, self._body_size
        if phase == "idle" and len(data) == self._last_size and data.startswith(self._last_head):
            self._again(data)
            return
        before = len(self.requests)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._without_upgrade(data[exc.args[0] :])
        except httptools.HttpParserError as exc:
            self._stop(exc)
        else:
            if phase == self.phase != "idle" and headers is self._headers:
                self._check_unbounded(len(data) - (self._body_size - body_size))
            if phase == self.phase == "idle" and len(self.requests) == before + 1:
                self._keep_head(data)

    def take_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; true once for each request."""
        expected = self._expects_continue and self.phase == "body" and self._body_size == 0 and self.error is None
        self._expects_continue = False
        return expected

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request line begins."""
        self.phase = "head"
        self._target = b""
        self._headers = []
        self._framing = []
        self._body = []
        self._head_size = self._body_size = self._unbounded = 0
        self._expects_continue = False

    def on_url(self, part: bytes) -> None:
        """A piece of the request's target."""
        self._target += part
        self._head_size += len(part)
        if self._head_size > self._max_head:
            raise HttpError(414, "uri_too_long", f"the request line is longer than {self._max_head} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer (which is dropped)."""
        if self.phase != "head":
            return
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._max_head:
            raise _head_too_large(self._max_head)
        header = (name.lower(), value.rstrip(b" \t"))
        self._headers.append(header)
        if header[0] in _FRAMING:
            self._framing.append(header)

    def on_headers_complete(self) -> None:
        """The head is complete: decide whether the body may come."""
        self._method = self._parser.get_method().decode("ascii")
        self._version = self._parser.get_http_version()
        if self._parser.should_upgrade():
            self._refuse_connect()
            self._upgrading = True
            return
        self._check_head()
        self.phase = "body"

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._body_size += len(part)
        if self._body_size > self._max_body:
            raise _body_too_large(self._max_body)
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._upgrading:
            return
        keep_alive = self._parser.should_keep_alive()
        raw_path, _, query = self._origin_form().partition(b"?")
        path = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode("utf-8", "replace")
        body = b"".join(self._body)
        self.requests.append(
            Request(self._method, path, raw_path, query, self._version, self._headers, keep_alive, body)
        )
        self._body = []
        self.phase = "idle"
        self._closed = not keep_alive

    def _keep_head(self, data: bytes) -> None:
        """Keep the head of the request that these bytes were, all of them, if the next may be told by it."""
        size = data.find(b"\r\n\r\n") + 4
        plain = all(name in (b"host", b"content-length") for name, _ in self._framing)
        if plain and size <= _HEAD_KEPT and size + self._body_size == len(data) and not self._closed:
            self._last, self._last_head, self._last_size = self.requests[-1], data[:size], len(data)

    def _again(self, data: bytes) -> None:
        last = self._last
        assert last is not None
        body = data[len(self._last_head) :]
        self.requests.append(
            Request(last.method, last.path, last.raw_path, last.query, last.version, list(last.headers), True, body)
        )

    def _check_head(self) -> None:
        if self._version not in ("1.1", "1.0"):
            raise HttpError(505, "http_version", f"HTTP/{self._version} is not spoken here", "Use HTTP/1.1.")
        found = dict(self._framing)
        if len(found) != len(self._framing):
            raise _bad("a header that may come once came twice", "Send one each of Host, Content-Length and Expect.")
        if b"host" not in found and self._version == "1.1":
            raise _bad("the header Host is missing", "HTTP/1.1 requires it.")
        self._check_framing(found)
        self._check_expect(found.get(b"expect"))

    def _check_framing(self, found: dict[bytes, bytes]) -> None:
        encoding = found.get(b"transfer-encoding")
        length = found.get(b"content-length")
        if encoding is None:
            if length is not None and int(length) > self._max_body:
                raise _body_too_large(self._max_body)
            return
        if length is not None or self._version == "1.0":
            raise _bad("Transfer-Encoding cannot be used here", "Send either Content-Length or chunks, over HTTP/1.1.")
        if encoding.lower() != b"chunked":
            raise HttpError(501, "transfer_encoding", "the only transfer encoding read here is chunked")

    def _check_expect(self, expect: bytes | None) -> None:
        if expect is None or self._version == "1.0":
            return
        if expect.lower() != b"100-continue":
            raise HttpError(417, "expectation", "the only expectation met here is 100-continue")
        self._expects_continue = True

    def _refuse_connect(self) -> None:
        if self._method == "CONNECT":
            raise HttpError(501, "connect", "this is no proxy: CONNECT is not supported")

    def _origin_form(self) -> bytes:
        target = self._target
        if target.startswith(b"/") or target == b"*":
            return target
        # The absolute form, as a proxy is sent it: its authority stands above the Host header (RFC 9112, 3.2.2).
        authority, slash, rest = target.partition(b"://")[2].partition(b"/")
        self._headers = [(b"host", authority), *(header for header in self._headers if header[0] != b"host")]
        return slash + rest or b"/"

    def _without_upgrade(self, rest: bytes) -> None:
        # An upgrade may be ignored (RFC 9110, 7.8), but llhttp then reads no body: read the request again without it.
        lines = [f"{self._method} ".encode() + self._target + f" HTTP/{self._version}".encode()]
        lines += [name + b": " + value for name, value in self._headers if name != b"upgrade"]
        self._upgrading = False
        self.phase = "idle"
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _check_unbounded(self, size: int) -> None:
        # Of a header, a chunk extension or a trailer that never ends, httptools tells nothing: count the bytes.
        self._unbounded += size
        if self.phase == "head" and self._unbounded > self._max_head:
            self.error = _head_too_large(self._max_head)
        elif self._unbounded > self._max_head + _FRAMING_PER_BODY_BYTE * self._body_size:
            self.error = _bad("the chunks of the body are nearly all framing", "Send larger chunks.")

    def _stop(self, exc: httptools.HttpParserError) -> None:
        if self._closed:
            return
        cause = exc.__context__
        self.error = cause if isinstance(cause, HttpError) else _bad(f"not a valid HTTP request: {exc}")


def _bad(message: str, hint: str = "") -> HttpError:
    return HttpError(400, "bad_request", message, hint)


def _head_too_large(limit: int) -> HttpError:
    return HttpError(431, "head_too_large", f"the request's head is larger than {limit} bytes")


def _body_too_large(limit: int) -> HttpError:
    hint = "Send less, or raise max_body in [plugins.serve]."
    return HttpError(413, "body_too_large", f"the request's body is larger than {limit} bytes", hint)
