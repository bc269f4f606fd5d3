"""WebSockets over real sockets: the handshake, messages, limits, closing, and clients that go away."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from websockets.sync.client import connect
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

PATIENCE = 30.0
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n"
)
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    """Send back each message, until the client leaves."""
    if scope["type"] != "websocket":
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Client:
    """A client that speaks frames, and reads events. `wire` is for bytes that no client should send."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.protocol = Connection(ConnectionType.CLIENT)

    async def send(self, event: Event) -> None:
        """Send an event."""
        await self.wire.send(self.protocol.send(event))

    async def next(self) -> Event:
        """Return the next event."""
        with trio.fail_after(PATIENCE):
            while True:
                for event in self.protocol.events():
                    return event
                self.protocol.receive_data(await self.wire.stream.receive_some() or None)

    async def message(self) -> str | bytes:
        """Return the next message, put together of its parts."""
        parts: list[Any] = []
        while True:
            event = await self.next()
            assert isinstance(event, Message), event
            parts.append(event.data)
            if event.message_finished:
                whole: str | bytes = parts[0][:0].join(parts)
                return whole

    async def code(self) -> int:
        """Return the code with which the server closes, past messages that come before."""
        while True:
            event = await self.next()
            if isinstance(event, CloseConnection):
                return event.code


Dial = Callable[[Any], Awaitable[Any]]
Open = Callable[[Any], Awaitable[Client]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Open a connection to a server, closed after the test."""
    wires: list[Any] = []

    async def open_wire(served: Any) -> Any:
        wires.append(await served.dial())
        return wires[-1]

    yield open_wire
    for wire in wires:
        await trio.aclose_forcefully(wire.stream)


@pytest.fixture
def open_client(dial: Dial) -> Open:
    """Open a WebSocket, and return the client."""

    async def start(served: Any) -> Client:
        wire = await dial(served)
        await wire.send(HANDSHAKE + b"\r\n")
        assert (await wire.answer(head_only=True)).status == 101
        client = Client(wire)
        client.protocol.receive_data(wire.take())
        return client

    return start


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, size: int | None = None
) -> bytes:
    """Return a frame with a mask of zeros; `size` is the length that it claims to have."""
    length = len(payload) if size is None else size
    short, rest = length, b""
    if length >= 126:
        short, rest = (126, struct.pack("!H", length)) if length < 65_536 else (127, struct.pack("!Q", length))
    return (
        bytes((opcode | (0x80 if final else 0), short | (0x80 if masked else 0))) + rest + bytes(4 * masked) + payload
    )


class TestOpening:
    async def test_opens_by_the_book(self, serve: Any, dial: Dial) -> None:
        """The answer has the accept key of RFC 6455's example, the chosen subprotocol and the request's id."""
        served = await serve(echo)
        wire = await dial(served)
        await wire.send(HANDSHAKE + b"Sec-WebSocket-Protocol: chat, other\r\n\r\n")

        answer = await wire.answer(head_only=True)

        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.headers["sec-websocket-protocol"] == "chat"
        assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "upgrade")
        assert "x-request-id" in answer.headers
        assert "content-length" not in answer.headers

    async def test_describes_the_request(self, serve: Any, dial: Dial) -> None:
        """The scope is ASGI's, for a WebSocket."""
        scopes: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                scopes.append(scope)
                await send({"type": "websocket.accept"})

        served = await serve(app)
        wire = await dial(served)
        await wire.send(HANDSHAKE.replace(b"/ws", b"/a%20b?q=1") + b"\r\n")
        await wire.answer(head_only=True)

        (scope,) = scopes
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"q=1")
        assert (scope["scheme"], scope["http_version"], scope["subprotocols"]) == ("ws", "1.1", [])
        assert "method" not in scope

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            (b"Version: 13", b"Version: 8", 426),
            (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
            (KEY, b"c2hvcnQ=", 400),
            (KEY, b"not base64 at all!!!!!!=", 400),
            (b"Sec-WebSocket-Key: " + KEY + b"\r\n", b"", 400),
            (b"Host: localhost", b"Host: a b", 400),
        ],
    )
    async def test_refuses_a_wrong_handshake(self, serve: Any, old: bytes, new: bytes, status: int, dial: Dial) -> None:
        """A handshake that is not RFC 6455's is told why; 426 names the version to use."""
        served = await serve(echo)
        wire = await dial(served)
        await wire.send(HANDSHAKE.replace(old, new) + b"\r\n")

        answer = await wire.answer()

        assert answer.status == status
        assert (answer.headers.get("sec-websocket-version") == "13") is (status == 426)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"GET", b"POST"),
            (b"WebSocket", b"h2c"),
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"Upgrade: W", b"Content-Length: 2\r\nUpgrade: W"),
        ],
    )
    async def test_other_upgrades_are_plain_requests(self, serve: Any, old: bytes, new: bytes, dial: Dial) -> None:
        """An upgrade to anything but a WebSocket is answered over HTTP."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                return
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": scope["type"].encode()})

        served = await serve(app)
        wire = await dial(served)
        await wire.send(HANDSHAKE.replace(old, new, 1) + b"\r\nhi")

        assert (await wire.answer()).body == b"http"

    async def test_answers_requests_before(self, serve: Any, dial: Dial) -> None:
        """A request pipelined before the handshake is answered first, and frames right behind it are read."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await echo(scope, receive, send)
            elif scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"first"})

        served = await serve(app)
        wire = await dial(served)
        await wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + HANDSHAKE + b"\r\n" + frame(1, b"early"))

        assert (await wire.answer()).body == b"first"
        assert (await wire.answer(head_only=True)).status == 101
        client = Client(wire)
        client.protocol.receive_data(wire.take())
        assert await client.message() == "early"

    async def test_split_writes_make_no_difference(self, serve: Any, dial: Dial) -> None:
        """A handshake and a message that arrive byte by byte are read alike."""
        served = await serve(echo)
        wire = await dial(served)
        await wire.send(*(bytes([each]) for each in HANDSHAKE + b"\r\n"))
        assert (await wire.answer(head_only=True)).status == 101
        await wire.send(
            *(bytes([each]) for each in frame(1, "héllo".encode(), final=False) + frame(9) + frame(0, b"!"))
        )

        client = Client(wire)
        assert isinstance(await client.next(), Pong)
        assert await client.message() == "héllo!"


class TestRefusing:
    async def test_close_is_a_403(self, serve: Any, dial: Dial) -> None:
        """An application that closes before it accepts refuses the handshake."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})

        wire = await dial(await serve(app))
        await wire.send(HANDSHAKE + b"\r\n")

        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (403, "close")

    async def test_the_application_may_say_why(self, serve: Any, dial: Dial) -> None:
        """By the extension `websocket.http.response`, the refusal is a whole HTTP response."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                assert "websocket.http.response" in scope["extensions"]
                head = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"key")]}
                await send(head)
                await send({"type": "websocket.http.response.body", "body": b"no ", "more_body": True})
                await send({"type": "websocket.http.response.body", "body": b"key"})

        wire = await dial(await serve(app))
        await wire.send(HANDSHAKE + b"\r\n")

        answer = await wire.answer()
        assert (answer.status, answer.headers["x-why"], answer.body) == (401, "key", b"no key")

    async def test_a_failure_is_a_500(self, serve: Any, caplog: pytest.LogCaptureFixture, dial: Dial) -> None:
        """An application that fails before it accepts is logged, and the client is told."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                raise ValueError("unlucky")

        wire = await dial(await serve(app))
        await wire.send(HANDSHAKE + b"\r\n")

        assert (await wire.answer()).status == 500
        assert "unlucky" in caplog.text

    @pytest.mark.parametrize(
        ("origin", "status"), [(b"https://evil.example", 403), (b"http://localhost", 101), (b"", 101)]
    )
    async def test_pages_of_other_sites_are_kept_out(
        self, serve: Any, make_app: Any, origin: bytes, status: int, dial: Dial
    ) -> None:
        """The guard checks the Origin of a WebSocket as of a request: a page elsewhere cannot open one."""

        async def open_socket(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        app = await make_app(routes={"ws": lambda runtime: open_socket})
        wire = await dial(await serve(app))
        await wire.send(HANDSHAKE.replace(b"/ws", b"/ws/") + (b"Origin: " + origin + b"\r\n") * bool(origin) + b"\r\n")

        assert (await wire.answer(head_only=True)).status == status

    async def test_a_key_is_required(self, serve: Any, make_app: Any, dial: Dial) -> None:
        """A server with a key opens no WebSocket without the key, and says so as JSON."""

        async def open_socket(scope: Any, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        app = await make_app(routes={"ws": lambda runtime: open_socket}, key="0123456789abcdef")
        served = await serve(app)
        without, having = await dial(served), await dial(served)
        await without.send(HANDSHAKE.replace(b"/ws", b"/ws/") + b"\r\n")
        await having.send(HANDSHAKE.replace(b"/ws", b"/ws/") + b"Authorization: Bearer 0123456789abcdef\r\n\r\n")

        answer = await without.answer()
        assert answer.status == 401
        assert b"key_missing" in answer.body
        assert (await having.answer(head_only=True)).status == 101


class TestMessages:
    async def test_another_client(self, serve: Any) -> None:
        """An independent client's texts, bytes, large messages and pings come back; it closes with its code."""
        seen: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            async def note() -> Any:
                seen.append(await receive())
                return seen[-1]

            await echo(scope, note, send)

        served = await serve(app)
        large = "é" * 300_000

        def talk() -> None:
            with connect(f"ws://127.0.0.1:{served.port}/ws", max_size=None, subprotocols=["chat"]) as client:  # type: ignore[list-item]
                assert client.subprotocol == "chat"
                for message in ("hello", b"\x00\xff", large, "", b""):
                    client.send(message)
                    assert client.recv(PATIENCE) == message
                client.send(part for part in ("in ", "three ", "parts"))
                assert client.recv(PATIENCE) == "in three parts"
                assert client.ping().wait(PATIENCE)
                client.close(4_000, "done")

        await trio.to_thread.run_sync(talk)

        assert seen[-1] == {"type": "websocket.disconnect", "code": 4_000, "reason": "done"}
        assert served.server.budget.free == served.server.budget.size

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (frame(1, b"x" * 101), 1009),
            (frame(1, b"x" * 60, final=False) + frame(0, b"x" * 60), 1009),
            (frame(2, b"x" * 101, size=1 << 40), 1009),
            (frame(1, b"\xff"), 1007),
            (frame(1, b"hi", masked=False), 1002),
            (frame(1 | 0x40, b"hi"), 1002),
            (frame(3, b"hi"), 1002),
            (frame(0, b"hi"), 1002),
            (frame(9, b"hi", final=False), 1002),
            (frame(9, b"x" * 126), 1002),
            (frame(8, b"\x03"), 1002),
            (frame(8, struct.pack("!H", 1006)), 1002),
            (frame(1, b"hi", final=False) + frame(1, b"hi"), 1002),
            (frame(8, struct.pack("!H", 3_000)), 3_000),
            (frame(8), 1005),
        ],
    )
    async def test_closes_with_the_right_code(
        self, serve: Any, until: Any, sent: bytes, code: int, open_client: Open
    ) -> None:
        """Too much, wrong text and wrong frames close with RFC 6455's codes, and hold no memory afterwards."""
        served = await serve(echo, max_body=100)
        client = await open_client(served)
        await client.wire.send(sent)

        assert await client.code() == code
        await client.wire.stream.aclose()
        await until(lambda: served.server.connections == 0)
        assert served.server.budget.free == served.server.budget.size

    async def test_memory_is_shared_with_bodies(self, serve: Any, open_client: Open) -> None:
        """A message that does not fit into the memory for bodies closes with 1013: try again later."""
        served = await serve(echo, body_memory=10_000)
        client = await open_client(served)
        await client.wire.send(frame(2, b"x" * 12_000))

        assert await client.code() == 1013

    async def test_a_fast_client_has_to_wait(self, serve: Any, until: Any, open_client: Open) -> None:
        """While the application does not receive, few messages are kept; then all come, in order."""
        begin, ended = trio.Event(), trio.Event()
        got: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                return
            await receive()
            await send({"type": "websocket.accept"})
            await begin.wait()
            while (message := await receive())["type"] == "websocket.receive":
                got.append(message["text"])
            ended.set()

        served = await serve(app)
        client = await open_client(served)
        size, count = 10_000, 2_000
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(count):
                await client.send(TextMessage(f"{number:0{size}}"))
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await until(lambda: served.server.budget.free < served.server.budget.size - 15 * size)
            for _ in range(20):
                await trio.testing.wait_all_tasks_blocked()
            held = served.server.budget.size - served.server.budget.free
            assert held <= 17 * size
            assert sent < count
            begin.set()
        await client.send(CloseConnection(1000))
        assert await client.code() == 1000
        with trio.fail_after(PATIENCE):
            await ended.wait()
        assert [int(each[-10:]) for each in got] == list(range(count))

    async def test_a_client_that_does_not_read_is_cut_off(self, serve: Any, until: Any, open_client: Open) -> None:
        """An application that sends to a client that does not read waits, and is cancelled in time."""
        ended = trio.Event()

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                return
            await send({"type": "websocket.accept"})
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(100_000)})
            finally:
                ended.set()

        served = await serve(app, send_timeout=0.2)
        await open_client(served)

        with trio.fail_after(PATIENCE):
            await ended.wait()
        await until(lambda: served.server.connections == 0)

    async def test_pings_between_messages(self, serve: Any, open_client: Open) -> None:
        """Pings are answered while the application sends: frames of two tasks are never mixed."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                return
            await send({"type": "websocket.accept"})
            for number in range(200):
                await send({"type": "websocket.send", "text": f"{number} " + "x" * 20_000})

        served = await serve(app)
        client = await open_client(served)
        # In one piece: an application that has sent everything waits only a moment for its client's close.
        await client.wire.send(b"".join(client.protocol.send(Ping(b"%d" % number)) for number in range(50)))

        numbers, pongs, begun = [], [], True
        while not isinstance(event := await client.next(), CloseConnection):
            if isinstance(event, Pong):
                pongs.append(int(event.payload))
            elif isinstance(event, TextMessage):
                if begun:
                    numbers.append(int(event.data.partition(" ")[0]))
                begun = event.message_finished
        assert numbers == list(range(200))
        assert pongs == sorted(pongs)
        assert event.code == 1000


class TestEnds:
    async def test_the_application_closes(self, serve: Any, open_client: Open) -> None:
        """The application's code and reason reach the client; afterwards it can send nothing."""
        outcome: list[Any] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                return
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4_001, "reason": "é" * 100})
            outcome.append(await receive())
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as exc:
                outcome.append(type(exc).__name__)

        served = await serve(app)
        client = await open_client(served)
        event = await client.next()
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason) == (4_001, "é" * 61)
        await client.send(event.response())
        assert await client.wire.rest() == b""
        assert outcome[0]["type"] == "websocket.disconnect"
        assert outcome[1] == "ClientGone"

    async def test_a_failure_closes_with_1011(
        self, serve: Any, caplog: pytest.LogCaptureFixture, open_client: Open
    ) -> None:
        """An application that fails is logged, and the client is told so."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
                raise ValueError("unlucky")

        client = await open_client(await serve(app))

        assert await client.code() == 1011
        assert "unlucky" in caplog.text

    async def test_a_client_that_hangs_up(
        self, serve: Any, caplog: pytest.LogCaptureFixture, open_client: Open
    ) -> None:
        """Without a close it is 1006, behind the messages that came before; sending raises `ClientGone`, quietly."""
        seen: list[Any] = []
        ended = trio.Event()

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                return
            await receive()
            await send({"type": "websocket.accept"})
            try:
                seen.extend([await receive(), await receive(), await receive()])
                await send({"type": "websocket.send", "text": "late"})
            finally:
                ended.set()

        client = await open_client(await serve(app))
        await client.send(BytesMessage(b"last"))
        await client.wire.stream.aclose()
        with trio.fail_after(PATIENCE):
            await ended.wait()

        assert seen[0] == {"type": "websocket.receive", "bytes": b"last", "text": None}
        assert [each["code"] for each in seen[1:]] == [1006, 1006]
        assert not caplog.records

    async def test_a_silent_client_is_pinged_and_then_cut_off(
        self, serve: Any, open_client: Open, patient_clock: trio.testing.MockClock
    ) -> None:
        """A client that answers pings stays; one that does not is gone after twice the time."""
        served = await serve(echo, ping=0.1)
        client = await open_client(served)
        for _ in range(3):
            event = await client.next()
            assert isinstance(event, Ping)
            await client.send(event.response())

        seen = [await client.next() for _ in range(2)]

        assert isinstance(seen[0], Ping)
        assert isinstance(seen[1], CloseConnection)
        assert seen[1].code == 1006

    async def test_a_stopping_server_says_so(self, serve: Any, open_client: Open) -> None:
        """At the end of the grace period open WebSockets are closed with 1001."""
        served = await serve(echo, grace=0.0)
        client = await open_client(served)
        served.server.stop()

        assert await client.code() == 1001
