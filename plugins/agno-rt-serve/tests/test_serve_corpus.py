"""A corpus of requests that servers and proxies read in different ways, judged by RFC 9110 and RFC 9112.

Each row is bytes and their one right reading: the requests in them, and the status of the refusal at the end, if any.
The bytes are read whole, cut in two at every place, and byte by byte: the reading is always the same.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import pytest
from agno_rt_serve.http.asgi import Receive, Scope, Send
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.protocol import RequestParser

Outcome: TypeAlias = tuple[list[tuple[str, str, bytes]], int]

H = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + H + b"\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + H + b"\r\n"
AFTER = ("GET", "/next", b"")
TE = b"Transfer-Encoding: chunked\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\n" + H + headers + b"\r\n" + body


def chunks(body: bytes) -> bytes:
    return post(TE, body)


def read(body: bytes, *after: tuple[str, str, bytes], status: int = 0) -> Outcome:
    return [("POST", "/p", body), *after], status


REFUSED: Outcome = ([], 400)
ENDS = b"0\r\n\r\n"

LENGTHS = [  # RFC 9112, 6.2 and 6.3: a length is digits, and there is one
    *((b"Content-Length: " + value + b"\r\n", REFUSED) for value in (
        b"", b"+3", b"-3", b"0x3", b"3 3", b"3,3", b"3, 4", b"3;", b"3.0", b"1_0", b"\xb3", b"three", b"9" * 40,
    )),
    (b"Content-Length:3\r\n", read(b"abc", AFTER)),
    (b"content-LENGTH: \t 003 \t\r\n", read(b"abc", AFTER)),
    (b"Content-Length: 3\r\nContent-Length: 3\r\n", REFUSED),
    (b"Content-Length: 3\r\nContent-Length: 0\r\n", REFUSED),
    (b"Content-Length : 3\r\n", REFUSED),
    (b"Content-Length\t: 3\r\n", REFUSED),
    (b" Content-Length: 3\r\n", REFUSED),
    (b"X: y\r\n Content-Length: 3\r\n", REFUSED),
    (b"X: y\r\n\tContent-Length: 3\r\n", REFUSED),
    (b"X: y\nContent-Length: 3\r\n", REFUSED),
    (b"X: y\rContent-Length: 3\r\n", REFUSED),
    (b"X: y\0\r\nContent-Length: 3\r\n", REFUSED),
]  # fmt: skip

ENCODINGS = [  # RFC 9112, 6.1: chunked comes last, once, over HTTP/1.1, and never with a length
    (TE, read(b"abc", AFTER)),
    (b"transfer-encoding:\tCHUNKED \r\n", read(b"abc", AFTER)),
    (TE + b"Content-Length: 3\r\n", REFUSED),
    (b"Content-Length: 13\r\n" + TE, REFUSED),
    (TE + b"Content-Length: nonsense\r\n", REFUSED),
    (TE + TE, REFUSED),
    (b"Transfer-Encoding: identity\r\n" + TE, REFUSED),
    (b"Transfer-Encoding : chunked\r\n", REFUSED),
    (b" Transfer-Encoding: chunked\r\n", REFUSED),
    (b"X: y\r\n Transfer-Encoding: chunked\r\n", REFUSED),
    (b"X: y\nTransfer-Encoding: chunked\r\n", REFUSED),
    (b"Transfer-Encoding:\r\n chunked\r\n", REFUSED),
    (b"Transfer-Encoding: \x0bchunked\r\n", REFUSED),
    (b"Transfer-Encoding: chunked\x0b\r\n", REFUSED),
    (b"Transfer-Encoding: chun\0ked\r\n", REFUSED),
    (b"Transfer-Encoding: xchunked\r\n", ([], 501)),
    (b"Transfer-Encoding: chunkedx\r\n", ([], 501)),
    (b"Transfer-Encoding: identity\r\n", ([], 501)),
    (b"Transfer-Encoding: gzip\r\n", ([], 501)),
    (b"Transfer-Encoding: gzip, chunked\r\n", ([], 501)),
    (b"Transfer-Encoding: chunked, chunked\r\n", REFUSED),
    (b"Transfer-Encoding: chunked, identity\r\n", REFUSED),
    (b"Transfer-Encoding: chunked;q=1\r\n", ([], 501)),
    (b'Transfer-Encoding: "chunked"\r\n', ([], 501)),
    (b"Transfer-Encoding: chunked,\r\n", REFUSED),
    (b"Transfer-Encoding:\r\n", REFUSED),
    (b"Transfer-Encoding\x00: chunked\r\n", REFUSED),
    (b"Transfer\x20Encoding: chunked\r\n", REFUSED),
]

CHUNKS = [  # RFC 9112, 7.1
    (b"3\r\nabc\r\n" + ENDS, read(b"abc", AFTER)),
    (b"00003\r\nabc\r\n000\r\n\r\n", read(b"abc", AFTER)),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n" + ENDS, read(b"01234567890123456789", AFTER)),
    (b"3;x\r\nabc\r\n0;y=z\r\n\r\n", read(b"abc", AFTER)),
    (b'3;x="y;z"\r\nabc\r\n' + ENDS, read(b"abc", AFTER)),
    (b"3\r\nabc\r\n0\r\nA: b\r\nHost: c\r\n\r\n", read(b"abc", AFTER)),
    (b"5\r\n0\r\n\r\n\r\n" + ENDS, read(b"0\r\n\r\n", AFTER)),
    (ENDS, read(b"", AFTER)),
    *((body, REFUSED) for body in (
        b"3\nabc\n0\n\n",
        b"3\r\nabc\n" + ENDS,
        b"3\r\nabc" + ENDS,
        b"3\r\nabcd\r\n" + ENDS,
        b"3\r\nab\r\n" + ENDS,
        b"\r\n3\r\nabc\r\n" + ENDS,
        b"-3\r\nabc\r\n" + ENDS,
        b"+3\r\nabc\r\n" + ENDS,
        b"0x3\r\nabc\r\n" + ENDS,
        b"3 \r\nabc\r\n" + ENDS,
        b" 3\r\nabc\r\n" + ENDS,
        b"g\r\nabc\r\n" + ENDS,
        b"3g\r\nabc\r\n" + ENDS,
        b";x\r\nabc\r\n" + ENDS,
        b"3;x\nabc\r\n" + ENDS,
        b"3;x\rabc\r\n" + ENDS,
        b"3\rabc\r\n" + ENDS,
        b"FFFFFFFFFFFFFFFF1\r\nabc\r\n" + ENDS,
        b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"3\r\nabc\r\n0\r\nNo colon\r\n\r\n",
        b"3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
        b"3\r\nabc\r\n0\r\nA : b\r\n\r\n",
        b"3\r\nabc\r\n0\r\nA: b\nX: y\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\r\nabc\r\n0\n\r\n",
    )),
]  # fmt: skip

HEADS = [  # RFC 9112, 2 to 5; RFC 9110, 5
    (b"\r\n\r\n" + GET, ([("GET", "/", b""), AFTER], 0)),
    (GET.replace(H, H + b"X:\r\nY: \t\r\nZ: a\tb\r\n"), ([("GET", "/", b""), AFTER], 0)),
    (GET.replace(H, H + b"X: \xe9\xff\r\n"), ([("GET", "/", b""), AFTER], 0)),
    (GET.replace(H, H + b"Content-Length: 3\r\n") + b"abc", ([("GET", "/", b"abc"), AFTER], 0)),
    (GET.replace(b"GET", b"OPTIONS").replace(b" / ", b" * "), ([("OPTIONS", "*", b""), AFTER], 0)),
    *((GET.replace(old, new, 1), REFUSED) for old, new in (
        (H, b""),
        (H, H + H),
        (H, H + b"Host: b\r\n"),
        (H, b"Host: a b\r\n"),
        (H, b"Host: a/b\r\n"),
        (H, b"Host: u@a\r\n"),
        (H, b"Host: a:b\r\n"),
        (H, b"Host : a\r\n"),
        (H, b"\tHost: a\r\n"),
        (H, H + b"No colon\r\n"),
        (H, H + b": empty\r\n"),
        (H, H + b"Na me: x\r\n"),
        (H, H + b"Na\tme: x\r\n"),
        (H, H + b"N\xe4me: x\r\n"),
        (H, H + b"N(me: x\r\n"),
        (H, H + b"N@me: x\r\n"),
        (H, H + b"X: a\x01b\r\n"),
        (H, H + b"X: a\x7fb\r\n"),
        (H, H + b"X: a\x08\r\n"),
        (H, H + b"X: a\r\n b\r\n"),
        (H, H + b"X: a\r\r\n"),
        (H, H + b"X: a\n"),
        (b" / ", b"  / "),
        (b" / ", b" /  "),
        (b" / ", b"\t/\t"),
        (b" / ", b" /a b "),
        (b" / ", b" /a\tb "),
        (b" / ", b" /a\0b "),
        (b" / ", b" /a\x7fb "),
        (b" / ", b" a "),
        (b" / ", b" "),
        (b" / ", b" /#x "),
        (b"GET", b"G T"),
        (b"GET", b" GET"),
        (b"GET", b"GET\0"),
        (b"GET", b"G\xc9T"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\r"),
        (b"HTTP/1.1", b"HTTP/1.1 "),
        (b"HTTP/1.1", b"HTTP/1.1x"),
        (b"HTTP/1.1", b"http/1.1"),
        (b"HTTP/1.1", b"HTTP/1,1"),
        (b"HTTP/1.1", b"HTTP/11"),
        (b"HTTP/1.1", b"HTTP/1.01"),
        (b"HTTP/1.1", b"HTTP /1.1"),
        (b"HTTP/1.1", b"XTTP/1.1"),
    )),
    (GET.replace(b"HTTP/1.1", b"HTTP/2.0"), ([], 505)),
    (GET.replace(b" HTTP/1.1", b""), ([], 505)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
]  # fmt: skip

PIPELINES = [  # RFC 9112, 9.3.2: in order, and nothing after a close or a fault
    (GET + GET, ([("GET", "/", b""), ("GET", "/", b""), AFTER], 0)),
    (post(b"Content-Length: 3\r\n", b"abc") + chunks(b"1\r\nx\r\n" + ENDS), read(b"abc", ("POST", "/p", b"x"), AFTER)),
    (post(b"Content-Length: %d\r\n" % len(GET), GET), read(GET, AFTER)),
    (chunks(b"%x\r\n%b\r\n" % (len(GET), GET) + ENDS), read(GET, AFTER)),
    (chunks(ENDS) + b"X", read(b"", status=400)),
    (chunks(ENDS) + b"\r\n", read(b"", AFTER)),
    (post(b"Content-Length: 3\r\n", b"abcd"), read(b"abc", status=400)),
    (post(b"Content-Length: 0\r\n", b"GET /own HTTP/1.1\r\nX: "), read(b"", ("GET", "/own", b""))),
    (GET.replace(H, H + b"Connection: close\r\n"), ([("GET", "/", b"")], 0)),
    (GET.replace(b"1.1", b"1.0"), ([("GET", "/", b"")], 0)),
    (GET.replace(b"1.1", b"1.0").replace(H, H + b"Connection: keep-alive\r\n"), ([("GET", "/", b""), AFTER], 0)),
    (post(TE, b"3\r\nabc\r\n" + ENDS).replace(b"1.1", b"1.0"), REFUSED),
    (GET + b"NONSENSE\r\n\r\n", ([("GET", "/", b"")], 400)),
    (post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"), read(b"abc", AFTER)),
    (post(b"Expect: the-moon\r\nContent-Length: 3\r\n", b"abc"), ([], 417)),
    (post(b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n", b"abc"), read(b"abc", AFTER)),
    (post(b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + TE, b"3\r\nabc\r\n" + ENDS), read(b"abc", AFTER)),
    (post(b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n" + TE, b"abc"), REFUSED),
]

CORPUS: list[tuple[bytes, Outcome]] = [
    *((post(headers, b"abc"), outcome) for headers, outcome in LENGTHS),
    *((post(headers, b"3\r\nabc\r\n" + ENDS), outcome) for headers, outcome in ENCODINGS),
    *((chunks(body), outcome) for body, outcome in CHUNKS),
    *HEADS,
    *PIPELINES,
]


def parse(*pieces: bytes) -> Outcome:
    parser = RequestParser(8_000, 1_000, Budget(1_000_000))
    for piece in pieces:
        parser.feed(piece)
    found = [(each.method, each.raw_path.decode("latin-1"), each.body) for each in parser.requests]
    return found, parser.error.status if parser.error is not None else 0


@pytest.mark.parametrize(("data", "outcome"), CORPUS)
def test_has_one_reading(data: bytes, outcome: Outcome) -> None:
    """The reading is the right one, wherever the bytes are cut; the request behind is never read after a fault."""
    data += NEXT

    assert parse(data) == outcome
    for place in range(1, len(data)):
        assert parse(data[:place], data[place:]) == outcome, place
    assert parse(*(data[place : place + 1] for place in range(len(data)))) == outcome


async def test_the_server_lives_on(serve: Any) -> None:
    """Over sockets each row gets an answer for each request, the refusal and the end; the next client is served."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            body = (await receive())["body"]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    served = await serve(app)
    for data, (requests, status) in CORPUS:
        async with await served.dial() as wire:
            await wire.send(data + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            statuses = [int(each) for each in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", await wire.rest())]
        assert statuses == [200] * len(requests) + [status] * bool(status), data
    assert served.server.budget.free == served.server.budget.size
