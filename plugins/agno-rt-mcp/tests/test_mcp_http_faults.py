"""Faults of servers over HTTP, by a hand-written server in a thread: refusals, floods, forgotten sessions, nonsense."""

from __future__ import annotations

import gzip
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpcore2
import pytest
import trio
from agno_rt_mcp import make_toolkit
from agno_rt_mcp.errors import ServerLost, ServerNonsense, ServerRefused
from agno_rt_mcp.oauth.exchange import open_client
from agno_rt_mcp.settings import ServerSettings

from agno_rt.errors import PluginError

# The SDK leaves generators of httpx2 unfinished when it has read the answer in a stream of events.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning")

TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}}
    for name in ("echo", "flood", "forget", "garbage", "late", "pack", "pack_stream", "page")
]

BOMB = gzip.compress(b'{"x": "' + b"x" * 8_000_000 + b'"}')
"""Some kilobytes that would be megabytes in memory."""


class Handler(BaseHTTPRequestHandler):
    """Speaks the earlier protocol, with a session."""

    sessions: ClassVar[set[str]] = set()
    starts = 0
    headers_seen: ClassVar[list[str]] = []
    packing_asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        """Offer no stream."""
        self.reply(405, b"")

    def do_DELETE(self) -> None:
        """End a session."""
        self.sessions.discard(self.headers["mcp-session-id"])
        self.reply(200, b"")

    def do_POST(self) -> None:
        """Answer a message."""
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, request = message["method"], message.get("id")
        type(self).headers_seen.append(self.headers["authorization"])
        self.packing_asked.add(self.headers["accept-encoding"])
        if self.path == "/closed":
            return self.reply(401, b"")
        if method == "initialize":
            type(self).starts += 1
            session = f"s{self.starts}"
            self.sessions.add(session)
            result = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            }
            return self.answer(request, result, session)
        if request is None:
            return self.reply(202, b"")
        session = self.headers["mcp-session-id"]
        if session not in self.sessions:
            return self.reply(400 if session is None else 404, b"")
        if method == "tools/list":
            return self.answer(request, {"tools": TOOLS})
        return self.call(request, message["params"]["name"])

    def call(self, request: Any, name: str) -> None:
        """Answer a call."""
        match name:
            case "flood":
                self.reply(200, b'{"x": "' + b"x" * 300_000 + b'"}')
            case "garbage":
                self.reply(200, b"<html>")
            case "late":
                self.tell_late(request)
            case "pack":
                self.reply(200, BOMB, packing="gzip")
            case "pack_stream":
                self.reply(200, BOMB, kind="text/event-stream", packing="gzip, gzip")
            case "page":
                self.reply(200, b"<html>", kind="text/html")
            case _:
                if name == "forget":
                    self.sessions.clear()
                self.answer(request, {"content": [{"type": "text", "text": "hi"}]})

    def tell_late(self, request: Any) -> None:
        """Write a stream with unknown notifications, the result, and progress after the result."""
        progress = {"method": "notifications/progress", "params": {"progressToken": request, "progress": 1}}
        unknown = {"method": "notifications/progress", "params": {"progressToken": "nobody", "progress": 1}}
        result = {"id": request, "result": {"content": [{"type": "text", "text": "hi"}]}}
        said: list[dict[str, Any]] = [
            {"method": "notifications/of_tomorrow"},
            unknown,
            result,
            progress,
            unknown,
            {"id": "x", "result": {}},
        ]
        lines = [f"data: {json.dumps({'jsonrpc': '2.0', **each})}\n\n" for each in said]
        self.reply(200, "".join(lines).encode(), kind="text/event-stream")

    def answer(self, request: Any, result: Any, session: str = "") -> None:
        """Write a result."""
        self.reply(200, json.dumps({"jsonrpc": "2.0", "id": request, "result": result}).encode(), session)

    def reply(
        self, status: int, body: bytes, session: str = "", kind: str = "application/json", packing: str = ""
    ) -> None:
        """Write an answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if session:
            self.send_header("mcp-session-id", session)
        if packing:
            self.send_header("content-encoding", packing)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve in a thread for the module."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_faults_of_answers_are_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer too large, no JSON, a web page: each is an error of its call, and the connection goes on."""
    monkeypatch.setenv("WEB_TOKEN", "t0ken")
    headers = {"Authorization": "Bearer ${WEB_TOKEN}"}
    kit: Any = make_toolkit(ServerSettings("web", url=f"{url}/mcp", headers=headers, max_message=100_000))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        with pytest.raises(ServerNonsense, match="more bytes than max_message"):
            await tools["flood"]()
        with pytest.raises(ServerNonsense, match="not a message"):
            await tools["garbage"]()
        with pytest.raises(ServerRefused, match="text/html"):
            await tools["page"]()
        assert await tools["echo"]() == "hi"
    assert set(Handler.headers_seen) == {"Bearer t0ken"}
    assert not Handler.sessions


async def test_keys_in_the_address_are_in_no_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Many servers take a key in the query, some a password: the most detailed logs have neither."""
    caplog.set_level(logging.DEBUG)
    address = url.replace("//", "//ann:s3cr3t-word@") + "/mcp?api_key=k3y-of-the-server"
    kit: Any = make_toolkit(ServerSettings("web", url=address))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        assert await tools["echo"]() == "hi"
    assert "HTTP Request: POST" in caplog.text
    assert "k3y-of-the-server" not in caplog.text
    assert "s3cr3t-word" not in caplog.text


async def test_certificates_are_loaded_beside_the_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection loads certificates in the thread of the runs, where all of them would wait."""
    threads: list[int] = []
    load = httpcore2.default_ssl_context

    def note(*args: Any, **options: Any) -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return load(*args, **options)

    monkeypatch.setattr(httpcore2, "default_ssl_context", note)
    for address in (f"{url}/mcp", url.replace("http:", "https:")):
        kit: Any = make_toolkit(ServerSettings("web", url=address))
        with suppress(BaseExceptionGroup):
            async with kit.open() as lists:
                await anext(aiter(lists))
    async with open_client(ServerSettings("web", url=url)):
        pass
    # An earlier test of this process may have loaded them.
    assert threading.get_ident() not in threads
    assert len(threads) <= 1


async def test_packed_answers_are_refused_unread(url: str) -> None:
    """No compression is asked for, and an answer that is packed all the same is not unpacked: it may have no end."""
    kit: Any = make_toolkit(ServerSettings("web", url=f"{url}/mcp", headers={"Accept-Encoding": "gzip"}))
    Handler.packing_asked.clear()
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        with pytest.raises(ServerNonsense, match="packed as 'gzip', which was not asked for"):
            await tools["pack"]()
        with pytest.raises(ServerNonsense, match="packed as 'gzip, gzip'"):
            await tools["pack_stream"]()
        assert await tools["echo"]() == "hi"
    assert Handler.packing_asked == {"identity"}


async def test_late_progress_and_unknown_notifications_are_ignored(url: str) -> None:
    """The connection survives events before and after the result, over HTTP, too (P3)."""
    kit: Any = make_toolkit(ServerSettings("web", url=f"{url}/mcp"))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        began = Handler.starts
        for _ in range(3):
            assert await tools["late"]() == "hi"
            assert await tools["echo"]() == "hi"
        assert Handler.starts == began


async def test_a_forgotten_session_is_opened_anew(url: str) -> None:
    """The first call after the loss is told so, and the next one is well."""
    kit: Any = make_toolkit(ServerSettings("web", url=f"{url}/mcp"))
    async with kit.open() as lists:
        tools = {tool.name: tool.function for tool in await anext(aiter(lists))}
        began = Handler.starts
        assert await tools["forget"]() == "hi"
        with pytest.raises(ServerLost, match="forgotten the session"):
            await tools["echo"]()
        assert await tools["echo"]() == "hi"
    assert Handler.starts == began + 1


async def test_a_refusal_asks_for_a_header(url: str) -> None:
    """A server that wants a key says so in the error's hint."""
    kit: Any = make_toolkit(ServerSettings("web", url=f"{url}/closed"))
    asks = pytest.RaisesExc(PluginError, match="answered 401", check=lambda error: "Authorization" in error.hint)
    with pytest.RaisesGroup(asks):
        async with kit.open():
            await trio.sleep_forever()
