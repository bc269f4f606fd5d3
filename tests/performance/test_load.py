"""The benchmarks' load generator, against a real server: the generator counts answers, and reports failures."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import Asked, LoadFailed, load, load_tool

BODY = '{"input": "hello"}'
tools = pytest.mark.parametrize(
    "tool",
    [
        "own",
        pytest.param("wrk", marks=pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not on the path")),
    ],
)


class Handler(BaseHTTPRequestHandler):
    """Answer a POST with the right body in two pieces; the path chooses the behaviour."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answered = 0

    def do_POST(self) -> None:
        """Answer the request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = body == BODY.encode() and self.headers["Content-Type"] == "application/json"
        self.send_response(200 if right and self.path != "/wrong" else 500)
        if self.path != "/endless":
            self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"he")
        self.wfile.write(b"llo")
        Handler.answered += 1
        self.close_connection = self.path in ("/closes", "/endless")

    def log_message(self, format: str, *arguments: object) -> None:
        """Be quiet."""


class QuietServer(ThreadingHTTPServer):
    """A server for clients that may leave in the middle of an answer."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Be quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    """Start a server, and yield the URL."""
    Handler.answered = 0
    with QuietServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@tools
def test_counts_answers(url: str, tool: str) -> None:
    """The rate matches the server's count over all connections; the result names the tool."""
    measured = load(Asked(f"{url}/right", BODY, connections=3, seconds=1), tool)

    assert 0 < measured.requests_a_second <= Handler.answered * 1.1
    assert 0 < measured.p50 <= measured.p99
    assert measured.tool == tool


@tools
def test_a_failure_is_no_answer(url: str, tool: str) -> None:
    """A failing status raises `LoadFailed`."""
    with pytest.raises(LoadFailed, match=r"500|Non-2xx"):
        load(Asked(f"{url}/wrong", BODY, connections=2, seconds=1), tool)


@pytest.mark.parametrize(("path", "why"), [("/closes", "closed a connection"), ("/endless", "without a length")])
def test_connections_have_to_be_kept(url: str, path: str, why: str) -> None:
    """A server that closes connections, or omits the length of an answer, raises `LoadFailed`."""
    with pytest.raises(LoadFailed, match=why):
        load(Asked(url + path, BODY, connections=1, seconds=1), "own")


def test_nobody_there(url: str) -> None:
    """The error names an address without a server."""
    with pytest.raises(LoadFailed, match=r"http://127\.0\.0\.1:1/"):
        load(Asked("http://127.0.0.1:1/", BODY, connections=1, seconds=1), "own")


def test_tool() -> None:
    """wrk is the tool if installed."""
    assert load_tool() == ("own" if shutil.which("wrk") is None else "wrk")
