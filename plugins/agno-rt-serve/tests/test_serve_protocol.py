"""HTTP as values: bytes in, requests out; responses in, bytes out."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.protocol import Request, RequestParser
from agno_rt_serve.http.response import ResponseWriter
from hypothesis import example, given
from hypothesis import strategies as st

HEAD, BODY = 2_000, 1_000
DATE = b"Mon, 01 Jan 2024 00:00:00 GMT"


def parser(*pieces: bytes) -> RequestParser:
    made = RequestParser(HEAD, BODY, Budget(1_000_000))
    for piece in pieces:
        made.feed(piece)
    return made


def only(*pieces: bytes) -> Request:
    made = parser(*pieces)
    assert made.error is None
    assert len(made.requests) == 1
    return made.requests[0]


def refusal(*pieces: bytes) -> int:
    made = parser(*pieces)
    assert made.error is not None, list(made.requests)
    return made.error.status


def get(target: bytes = b"/", *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"GET " + target + b" " + version, b"Host: here", *headers, b"", b""])


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /p HTTP/1.1", b"Host: here", *headers, b"", body])


AGAIN = [
    post(b"Content-Length: 4", body=b"\r\n\r\n"),
    post(b"Content-Length: 4", body=b"abcd"),
    post(b"Content-Length: 4", body=b"\r\n\r\n") + b"\r\n",
    post(b"Content-Length: 4", body=b"\r\nab") + b"\r\n",
    post(b"Content-Length: 4", body=b"\r\n") + b"\r\n",
    post(b"Content-Length: 0", body=b"\r\n\r\n"),
    post(b"Content-Length: 4", body=b"ab"),
    post(b"Content-Length: 4", b"Connection: close", body=b"abcd"),
    post(b"Content-Length: 4", b"Expect: 100-continue", body=b"abcd"),
    post(b"Transfer-Encoding: chunked", body=b"4\r\nabcd\r\n0\r\n\r\n"),
    post(b"Content-Length: 4", b"Connection: upgrade", b"Upgrade: x", body=b"abcd"),
    get(b"http://other/"),
    get(b"/"),
    get(b"/") + get(b"/"),
    b"\r\n" + get(b"/"),
    b"\r\n\r\n" + get(b"/"),
    get(b"/") + b"\r\n\r\n",
    b"ab",
]
"""Requests that are alike, with the headers that may surround them."""


class TestRequests:
    def test_reads_a_request(self) -> None:
        """Method, path, query and headers are taken apart; header names are in lower case."""
        request = only(get(b"/a%20b/%C3%A9?q=1&r=%20", b"X-Thing: One \t", b"Empty:"))

        assert (request.method, request.path, request.query) == ("GET", "/a b/é", b"q=1&r=%20")
        assert request.raw_path == b"/a%20b/%C3%A9"
        assert request.headers == [(b"host", b"here"), (b"x-thing", b"One"), (b"empty", b"")]
        assert (request.version, request.keep_alive, request.body) == ("1.1", True, b"")

    def test_reads_bodies(self) -> None:
        """A body comes by its length or in chunks; chunk extensions and trailers are dropped."""
        chunks = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: 1\r\n\r\n"

        assert only(post(b"Content-Length: 4", body=b"abcd")).body == b"abcd"
        request = only(post(b"Transfer-Encoding: chunked", body=chunks))
        assert request.body == b"abcd"
        assert b"trailer" not in dict(request.headers)

    def test_reads_pipelined_requests_in_order(self) -> None:
        """Several requests in one piece all come out."""
        made = parser(get(b"/1") + post(b"Content-Length: 2", body=b"hi") + get(b"/3"))

        assert [(request.path, request.body) for request in made.requests] == [("/1", b""), ("/p", b"hi"), ("/3", b"")]
        assert made.phase == "idle"

    @pytest.mark.parametrize(
        ("version", "connection", "keeps"),
        [
            (b"HTTP/1.1", b"Accept: */*", True),
            (b"HTTP/1.1", b"Connection: close", False),
            (b"HTTP/1.0", b"Accept: */*", False),
            (b"HTTP/1.0", b"Connection: keep-alive", True),
        ],
    )
    def test_knows_whether_the_client_stays(self, version: bytes, connection: bytes, keeps: bool) -> None:
        """HTTP/1.1 stays without a close; HTTP/1.0 leaves without a keep-alive."""
        assert only(get(b"/", connection, version=version)).keep_alive is keeps

    def test_drops_what_follows_a_close(self) -> None:
        """After a request that closes, nothing more is read, without an error."""
        made = parser(get(b"/1", b"Connection: close") + get(b"/2"), get(b"/3"))

        assert [request.path for request in made.requests] == ["/1"]
        assert made.error is None

    def test_absolute_form_names_the_host(self) -> None:
        """A target with an authority, as sent to proxies, overrides the Host header."""
        request = only(get(b"http://other:81/x?y"))

        assert (request.path, request.query) == ("/x", b"y")
        assert [value for name, value in request.headers if name == b"host"] == [b"other:81"]
        assert only(get(b"http://other")).path == "/"

    @pytest.mark.parametrize(
        ("target", "host", "path", "query"),
        [
            (b"http://other?q", b"other", "/", b"q"),
            (b"http://other/?/http://third/", b"other", "/", b"/http://third/"),
            (b"HTTP://Other:/a//b", b"Other:", "/a//b", b""),
            (b"https://[::1]:81/x", b"[::1]:81", "/x", b""),
            (b"http://a%20b.c,d/x", b"a%20b.c,d", "/x", b""),
            (b"//other/x", b"here", "//other/x", b""),
            (b"/http://other/x", b"here", "/http://other/x", b""),
        ],
    )
    def test_the_host_of_a_target_ends_where_its_path_begins(
        self, target: bytes, host: bytes, path: str, query: bytes
    ) -> None:
        """The checked host is the host that the target means, and no other can stand beside it."""
        request = only(get(target))

        assert [value for name, value in request.headers if name == b"host"] == [host]
        assert (request.path, request.query) == (path, query)

    @pytest.mark.parametrize("host", [b"", b"a", b"a:", b"a:80", b"[::1]", b"[::1]:80", b"127.0.0.1:1", b"a_b-c.d~e"])
    def test_reads_hosts(self, host: bytes) -> None:
        """A name, an address or nothing, with or without a port, is a valid Host."""
        request = only(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

        assert request.headers == [(b"host", host)]

    def test_options_may_ask_about_the_server(self) -> None:
        """The target `*` is for OPTIONS."""
        assert only(get(b"*").replace(b"GET", b"OPTIONS")).path == "*"

    def test_ignores_an_upgrade(self) -> None:
        """A request that offers an upgrade is read without the upgrade, with its body and the next request."""
        offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"Content-Length: 3")
        made = parser(post(*offer, body=b"ab"), b"c" + get(b"/2"))

        assert [(request.path, request.body) for request in made.requests] == [("/p", b"abc"), ("/2", b"")]
        assert made.error is None

    def test_ignores_many_upgrades(self) -> None:
        """Any number of upgrade requests that arrive at once are read."""
        made = parser(get(b"/x", b"Connection: upgrade", b"Upgrade: x") * 1_000)

        assert [request.path for request in made.requests] == ["/x"] * 1_000
        assert made.error is None

    def test_tells_when_to_continue(self) -> None:
        """A client that waits for 100 is told once, unless the body is there or too large."""
        waiting = parser(post(b"Content-Length: 3", b"Expect: 100-continue"))
        assert (waiting.take_continue(), waiting.take_continue()) == (True, False)
        waiting.feed(b"abc")
        assert waiting.requests[0].body == b"abc"

        assert not parser(post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc")).take_continue()
        assert not parser(post(b"Content-Length: 9999", b"Expect: 100-continue")).take_continue()

    @given(st.lists(st.integers(1, 400), max_size=12))
    def test_splits_make_no_difference(self, cuts: list[int]) -> None:
        """The same requests come out, however the bytes are split."""
        chunks = b"3\r\nabc\r\n0\r\n\r\n"
        upgrade = post(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 2", body=b"hi")
        data = get(b"/1?a", b"A: b") + post(b"Transfer-Encoding: chunked", body=chunks) + upgrade + get(b"/4")
        places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        pieces = [data[start:end] for start, end in pairwise(places)]

        cut = parser(*pieces)

        assert cut.error is None
        assert list(cut.requests) == list(parser(data).requests)
        assert len(cut.requests) == 4

    @given(st.lists(st.sampled_from(AGAIN), min_size=2, max_size=8))
    @example([AGAIN[2], AGAIN[3]])  # a head that seems to end two bytes late
    def test_a_repeated_head_makes_no_difference(self, pieces: list[bytes]) -> None:
        """Whole requests with the same head, one after another, are read as if byte by byte."""
        whole = parser(*pieces)
        bytewise = parser(*(bytes([byte]) for byte in b"".join(pieces)))

        assert list(whole.requests) == list(bytewise.requests)
        assert (whole.phase, whole.error is None) == (bytewise.phase, bytewise.error is None)

    def test_a_repeated_head_is_not_shared(self) -> None:
        """Changes of one request's headers by an application do not reach the next request."""
        made = parser(get(b"/"), get(b"/"))
        made.requests[0].headers.clear()

        assert made.requests[1].headers == [(b"host", b"here")]


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"GET /a b HTTP/1.1\r\n\r\n", 400),
            (b"HELLO there\r\n", 400),
            (b"GET / HTTP/1.1\nHost: here\n\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET /\r\n\r\n", 505),
            (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            (get(b"/", b"Host: again"), 400),
            (get(b"/", b"Na me: x"), 400),
            (get(b"/", b"Folded: a\r\n b"), 400),
            (get(b"/", b"Nul: a\0b"), 400),
            (get(b"/", b"Bare: a\rb"), 400),
            (post(b"Content-Length: -1"), 400),
            (post(b"Content-Length: 1", b"Content-Length: 2"), 400),
            (post(b"Content-Length: 1, 1"), 400),
            (post(b"Content-Length : 1"), 400),
            (post(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
            (post(b"Transfer-Encoding: chunked", b"Content-Length: 1"), 400),
            (post(b"Transfer-Encoding: gzip, chunked"), 501),
            (post(b"Transfer-Encoding: chunked, gzip"), 400),
            (post(b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0"), 400),
            (post(b"Transfer-Encoding: chunked", body=b"zz\r\n"), 400),
            (post(b"Transfer-Encoding: chunked", body=b"1\r\nab\r\n"), 400),
            (post(b"Transfer-Encoding: chunked", body=b"3\nabc\n"), 400),
            (post(b"Content-Length: 5", b"Expect: the-moon"), 417),
            (get(b"http:///agents"), 400),
            (get(b"http://:80/agents"), 400),
            (get(b"http://"), 400),
            (get(b"http://?x"), 400),
            (get(b"http://user@here/"), 400),
            (get(b"http://here:80@evil.example/"), 400),
            (get(b"http://here#x"), 400),
            (get(b"http://he re/"), 400),
            (get(b"http://here:port/"), 400),
            (get(b"http://[::1/"), 400),
            (get(b"http:/here/"), 400),
            (get(b"ftp://here/"), 400),
            (get(b"file:///etc/passwd"), 400),
            (get(b"here:80"), 400),
            (get(b"*"), 400),
            (get(b"/a#b"), 400),
            (get(b"/", version=b"RTSP/1.0"), 400),
            (get(b"/", version=b"ICE/1.0"), 400),
            (get(b"/", version=b"HTTPS/1.1"), 400),
            (get(b"/", version=b"http/1.1"), 400),
            (get(b"/", version=b"HTTP/1.2"), 400),
            (get(b"/", version=b"HTTP/3.0"), 400),
            (get(b"/", version=b"HTTP/1.10"), 400),
            (get(b"/", b"X: GET / HTTP/1.0", version=b"RTSP/1.0"), 400),
            (get(b" /"), 400),
            (get(b"/ "), 400),
            (get(b"/").replace(b"Host: here", b"Host: he re"), 400),
            (get(b"/").replace(b"Host: here", b"Host: here/x"), 400),
            (get(b"/").replace(b"Host: here", b"Host: user@here"), 400),
            (get(b"/").replace(b"Host: here", b"Host: here:80:90"), 400),
            (get(b"/").replace(b"Host: here", b"Host: here:x"), 400),
            (get(b"/").replace(b"Host: here", b"Host: ::1"), 400),
            (get(b"/").replace(b"Host: here", b"Host: http://here"), 400),
            (get(b"/").replace(b"Host: here", "Host: h\u00e9re".encode()), 400),
            (get(b"http://here/").replace(b"Host: here", b"Host: a@b"), 400),
            (get(b"http://here/").replace(b"Host: here\r\n", b""), 400),
        ],
    )
    def test_refuses_what_is_not_http(self, data: bytes, status: int) -> None:
        """Bytes that two parsers could read in two ways are refused, at once or byte by byte."""
        assert refusal(data) == status
        assert refusal(*(data[at : at + 1] for at in range(len(data)))) == status

    def test_refuses_other_protocols_behind_a_request(self) -> None:
        """A request line is checked at any place in the bytes."""
        other = get(b"/2", version=b"RTSP/1.0")

        for first in (get(b"/1"), post(b"Content-Length: 2", body=b"ab"), get(b"/1", b"Connection: upgrade, x")):
            made = parser(first + other)
            assert (len(made.requests), made.error is not None) == (1, True)
            made = parser(first + other[:9], other[9:])
            assert (len(made.requests), made.error is not None) == (1, True)

    def test_refuses_large_heads(self) -> None:
        """Heads are bounded: many headers, an endless header, or a long target."""
        assert refusal(get(b"/", *(b"X: %d" % number for number in range(500)))) == 431
        assert refusal(b"GET / HTTP/1.1\r\nX: ", *[b"y" * 500] * 8) == 431
        assert refusal(get(b"/" + b"x" * HEAD)) == 414
        assert refusal(get(b"/", *[b"a:"] * 80)) == 431

    def test_refuses_large_bodies(self) -> None:
        """A body with too large a length is refused unread, a chunked one as soon as it is too large."""
        assert refusal(post(b"Content-Length: 1001")) == 413
        assert refusal(post(b"Transfer-Encoding: chunked", body=b"3e9\r\n" + b"x" * 1001)) == 413
        assert only(post(b"Content-Length: 1000", body=b"x" * BODY)).body == b"x" * BODY

    def test_refuses_endless_framing(self) -> None:
        """Chunk extensions and trailers are bounded too."""
        assert refusal(post(b"Transfer-Encoding: chunked"), b"1;", *[b"x" * 500] * 9) == 400
        assert refusal(post(b"Transfer-Encoding: chunked"), b"0\r\nT: ", *[b"x" * 500] * 9) == 400

    def test_a_large_body_leaves_room_for_the_next_head(self) -> None:
        """The bytes of one request are never counted against the next."""
        first = post(b"Content-Length: 1000", body=b"x" * 1000)
        half = get(b"/next")[:-4]
        made = parser(first[:20], first[20:] + first * 3 + half)
        made.feed(get(b"/next")[-4:])

        assert made.error is None
        assert [request.path for request in made.requests] == ["/p"] * 4 + ["/next"]

    def test_answers_what_came_before(self) -> None:
        """Good requests before a bad one come out, to be answered first."""
        made = parser(get(b"/good") + b"NONSENSE\r\n\r\n")

        assert [request.path for request in made.requests] == ["/good"]
        assert made.error is not None


class TestBudget:
    @pytest.mark.parametrize("framing", ["length", "chunks"])
    def test_small_pieces_take_no_more(self, framing: str) -> None:
        """A body in pieces of two bytes takes no more memory than a body in one piece."""
        made = RequestParser(HEAD, 1_000_000, Budget(10_000_000))
        pieces = [b"ab"] * 100_000 if framing == "length" else [b"2\r\nab\r\n"] * 100_000
        how = b"Content-Length: 300000" if framing == "length" else b"Transfer-Encoding: chunked"
        made.feed(post(how))
        tracemalloc.start()
        for at in range(0, 100_000, 1_000):
            made.feed(b"".join(pieces[at : at + 1_000]))
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert taken < 1.5 * 200_000
        assert 200_000 < made.held < 1.5 * 200_000

    def test_takes_what_arrived_and_gives_it_back(self) -> None:
        """The budget is charged for bytes that have arrived, not for an announced length, until they are released."""
        budget = Budget(100_000)
        made = RequestParser(HEAD, 50_000, budget)
        made.feed(post(b"Content-Length: 40000", body=b"x" * 10_000))
        assert 10_000 < budget.size - budget.free < 11_000

        made.feed(b"x" * 30_000)
        assert 40_000 < budget.size - budget.free == made.held < 41_000
        request = made.requests.popleft()
        made.held -= request.held
        budget.free += request.held
        assert (budget.free, made.held) == (budget.size, 0)

        made.feed(get(b"/") + post(b"Content-Length: 40000", body=b"x" * 10_000))
        made.close()
        assert (budget.free, len(made.requests)) == (budget.size, 0)

    @pytest.mark.parametrize("wrong", [b"Content-Length: x", b"Content-Length: 99999", b"Host: again"])
    def test_a_refused_request_holds_nothing(self, wrong: bytes) -> None:
        """A refused request releases its bytes."""
        budget = Budget(100_000)
        made = RequestParser(HEAD, 50_000, budget)
        made.feed(post(b"X: " + b"y" * 500, wrong))

        assert made.error is not None
        assert budget.free == budget.size

    def test_is_full(self) -> None:
        """A body without room is refused by its length, or at the first piece too much."""
        budget = Budget(800_000)
        first = RequestParser(HEAD, 700_000, budget)
        first.feed(post(b"Content-Length: 600000", body=b"x" * 590_000))
        announced, chunked = RequestParser(HEAD, 700_000, budget), RequestParser(HEAD, 700_000, budget)
        announced.feed(post(b"Content-Length: 200000"))
        chunked.feed(post(b"Transfer-Encoding: chunked", body=b"186a0\r\n" + b"x" * 100_000 + b"\r\n"))
        assert chunked.error is None
        chunked.feed(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")

        for made in (announced, chunked):
            assert made.error is not None
            assert (made.error.status, made.error.code, made.held) == (503, "too_many_bodies", 0)
            assert dict(made.error.headers) == {b"retry-after": b"1"}

    def test_many_requests_with_one_head_are_counted(self) -> None:
        """Requests with a repeated head are charged too."""
        budget = Budget(100_000)
        made = RequestParser(HEAD, 50_000, budget)
        request = post(b"Content-Length: 1000", body=b"x" * 1_000)
        for _ in range(500):
            made.feed(request)

        assert made.error is not None
        assert made.error.status == 503
        assert budget.free == budget.size


def write(writer: ResponseWriter, *bodies: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> bytes:
    writer.start(200, headers or [], DATE)
    return b"".join(writer.body(body, more=at < len(bodies) - 1) for at, body in enumerate(bodies))


class TestResponses:
    def test_counts_a_body_in_one_piece(self) -> None:
        """A response in one piece gets a length."""
        data = write(ResponseWriter("GET", "1.1", keep_alive=True), b"hello", headers=[(b"x", b"y")])

        assert data == b"HTTP/1.1 200 OK\r\ndate: " + DATE + b"\r\nx: y\r\ncontent-length: 5\r\n\r\nhello"

    def test_sends_chunks(self) -> None:
        """A response of unknown length goes in chunks; an empty piece sends the head alone, not the end."""
        writer = ResponseWriter("GET", "1.1", keep_alive=True)
        data = write(writer, b"", b"abc", b"")

        assert data.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert writer.complete
        assert writer.keep_alive

    def test_closes_to_end_for_http_1_0(self) -> None:
        """HTTP/1.0 knows no chunks: the end of the connection is the end of the body."""
        writer = ResponseWriter("GET", "1.0", keep_alive=True)
        data = write(writer, b"a", b"b")

        assert data.endswith(b"connection: close\r\n\r\nab")
        assert not writer.keep_alive
        assert b"connection: keep-alive" in write(ResponseWriter("GET", "1.0", keep_alive=True), b"a")

    def test_leaves_out_bodies(self) -> None:
        """HEAD gets the length and no body; 204 gets neither."""
        assert write(ResponseWriter("HEAD", "1.1", keep_alive=True), b"hello").endswith(b"content-length: 5\r\n\r\n")
        writer = ResponseWriter("GET", "1.1", keep_alive=True)
        writer.start(204, [(b"content-length", b"3")], DATE)
        assert writer.body(b"abc", more=False).endswith(DATE + b"\r\n\r\n")

    def test_heeds_a_wish_to_close(self) -> None:
        """The application may close; the server's own headers cannot be set by it."""
        writer = ResponseWriter("GET", "1.1", keep_alive=True)
        data = write(writer, b"a", headers=[(b"connection", b"close"), (b"transfer-encoding", b"chunked")])

        assert not writer.keep_alive
        assert data.count(b"connection: close") == 1
        assert b"transfer-encoding" not in data

    @pytest.mark.parametrize(
        "bad",
        [(b"x", b"a\r\nSet-Cookie: b"), (b"x", b"a\nb"), (b"x", b"a\0"), (b"x y", b"a"), (b"x\r\n", b"a"), (b"", b"a")],
    )
    def test_refuses_headers_that_split(self, bad: tuple[bytes, bytes]) -> None:
        """A header with a line break in it cannot end the head early."""
        with pytest.raises(ValueError, match="header"):
            ResponseWriter("GET", "1.1", keep_alive=True).start(200, [bad], DATE)

    @pytest.mark.parametrize("length", [b"2", b"4", b"-3", b"x"])
    def test_refuses_a_wrong_length(self, length: bytes) -> None:
        """A body of another length than its header says is an error, not a broken connection."""
        writer = ResponseWriter("GET", "1.1", keep_alive=True)

        with pytest.raises((RuntimeError, ValueError), match="Content-Length"):
            write(writer, b"abc", headers=[(b"content-length", length)])

    def test_refuses_pieces_out_of_order(self) -> None:
        """A response starts once, before its body, and ends once."""
        writer = ResponseWriter("GET", "1.1", keep_alive=True)
        with pytest.raises(RuntimeError, match="before it was started"):
            writer.body(b"", more=False)
        write(writer, b"a")
        with pytest.raises(RuntimeError, match="complete"):
            writer.body(b"b", more=False)
        with pytest.raises(RuntimeError, match="twice"):
            writer.start(200, [], DATE)
