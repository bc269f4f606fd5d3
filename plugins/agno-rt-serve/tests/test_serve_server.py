"""The server over real sockets: good and bad HTTP, slow and vanishing clients, failing applications, draining."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from agno_rt_serve.http.asgi import ASGIApp, Receive, Scope, Send, stopping
from agno_rt_serve.http.server import Server
from agno_rt_serve.settings import Settings

from agno_rt.errors import UsageError

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request."""
    assert scope["type"] == "http", "no lifespan here"
    message = await receive()
    asked = {"method": scope["method"], "path": scope["path"], "body": message["body"].decode("latin-1")}
    await reply(send, json.dumps(asked).encode())


async def reply(send: Send, *pieces: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    for at, piece in enumerate(pieces):
        await send({"type": "http.response.body", "body": piece, "more_body": at < len(pieces) - 1})


@attrs.define
class Endless:
    """An application that answers with pieces until cancelled, and records the end."""

    piece: bytes = b"x"
    pause: float = 0.01
    started: trio.Event = attrs.Factory(trio.Event)
    ended: trio.Event = attrs.Factory(trio.Event)
    how: str = ""
    sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": self.piece, "more_body": True})
                self.sent += len(self.piece)
                self.started.set()
                await trio.sleep(self.pause)
        except (trio.Cancelled, OSError) as exc:
            self.how = type(exc).__name__
            raise
        finally:
            self.ended.set()


@attrs.define
class Quiet:
    """An application that works without answering until released or cancelled."""

    started: trio.Event = attrs.Factory(trio.Event)
    release: trio.Event = attrs.Factory(trio.Event)
    ended: trio.Event = attrs.Factory(trio.Event)
    cancelled: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        self.started.set()
        try:
            await self.release.wait()
            await reply(send, b"released")
        except trio.Cancelled:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


async def ended(event: trio.Event) -> None:
    with trio.fail_after(30):
        await event.wait()


def code(body: bytes) -> str:
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "hint"}
    found: str = error["code"]
    return found


class TestHttp:
    async def test_keeps_the_connection(self, serve: Any) -> None:
        """A connection carries many requests, one after another or pipelined, in order."""
        async with await (await serve(echo)).dial() as wire:
            for _ in range(3):
                await wire.send(GET)
                assert (await wire.answer()).status == 200
            await wire.send(
                b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HT", b"TP/1.1\r\n"
            )
            await wire.send(b"Host: a\r\n\r\n")
            paths = [json.loads((await wire.answer()).body)["path"] for _ in range(3)]

        assert paths == ["/1", "/2", "/3"]

    @pytest.mark.parametrize(
        "request_",
        [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
        ids=["1.0", "close"],
    )
    async def test_closes_when_asked(self, serve: Any, request_: bytes) -> None:
        """HTTP/1.0 and `Connection: close` end the connection after the answer."""
        async with await (await serve(echo)).dial() as wire:
            await wire.send(request_)
            answer = await wire.answer()

            assert answer.headers["connection"] == "close"
            assert await wire.rest() == b""

    async def test_answers_head_without_a_body(self, serve: Any) -> None:
        """HEAD has the headers of GET, and the next answer follows at once."""
        async with await (await serve(echo)).dial() as wire:
            await wire.send(GET.replace(b"GET", b"HEAD") + GET)
            head = await wire.answer(head_only=True)

            assert int(head.headers["content-length"]) > 0
            assert (await wire.answer()).status == 200

    async def test_reads_bodies_in_any_form(self, serve: Any) -> None:
        """Bodies arrive whole, by length, in chunks, in drips, and after `100 Continue`."""
        async with await (await serve(echo)).dial() as wire:
            await wire.send(POST + b"Content-Length: 3\r\n\r\n", b"a", b"b", b"c")
            assert json.loads((await wire.answer()).body)["body"] == "abc"

            await wire.send(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde", b"\r\n1\r\nf\r\n", b"0\r\n\r\n")
            assert json.loads((await wire.answer()).body)["body"] == "def"

            await wire.send(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert await wire.line() == b"HTTP/1.1 100 Continue"
            assert await wire.line() == b""
            await wire.send(b"ghi")
            assert json.loads((await wire.answer()).body)["body"] == "ghi"

    async def test_streams_in_chunks(self, serve: Any) -> None:
        """An answer of unknown length arrives piece by piece, and the connection stays."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, b"one", b"", b"two", b"")

        async with await (await serve(app)).dial() as wire:
            await wire.send(GET + GET)
            assert [(await wire.answer()).body for _ in range(2)] == [b"onetwo", b"onetwo"]

    @pytest.mark.parametrize(
        ("te", "sent"), [(b"TE: trailers\r\n", True), (b"TE: gzip, Trailers;q=1\r\n", True), (b"", False)]
    )
    async def test_sends_trailers(self, serve: Any, te: bytes, sent: bool) -> None:
        """Trailers follow the body for a client that asks for them; for others the body ends without, and they stay."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert "http.response.trailers" in scope["extensions"]
            await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
            await send({"type": "http.response.body", "body": b"abc"})
            await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"1")], "more_trailers": True})
            await send({"type": "http.response.trailers", "headers": [(b"x-end", b"2")]})

        async with await (await serve(without_lifespan(app))).dial() as wire:
            await wire.send(GET.replace(b"\r\n\r\n", b"\r\n" + te + b"\r\n"))
            await wire.send(b"GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            first, second = (await wire.rest()).split(b"HTTP/1.1 200 OK")[1:]

        end = b"3\r\nabc\r\n0\r\nx-sum: 1\r\nx-end: 2\r\n\r\n" if sent else b"3\r\nabc\r\n0\r\n\r\n"
        assert first.endswith(b"\r\n\r\n" + end)
        assert second.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    async def test_sends_large_answers_to_slow_readers(self, serve: Any) -> None:
        """Data that does not fit into the socket waits for the client, and arrives whole."""
        body = bytes(range(256)) * 40_000

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, body)

        async with await (await serve(app)).dial() as wire:
            await wire.send(GET)
            await trio.sleep(0.1)
            assert (await wire.answer()).body == body


class TestBadHttp:
    @pytest.mark.parametrize(
        ("data", "status", "expected"),
        [
            (b"NONSENSE\r\n\r\n", 400, "bad_request"),
            (b"\x16\x03\x01\x02\x00", 400, "bad_request"),
            (GET[:-2] + b"X: " + b"y" * 3_000 + b"\r\n\r\n", 431, "head_too_large"),
            (POST + b"Content-Length: 5000\r\n\r\n", 413, "body_too_large"),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 4096, 413, "body_too_large"),
            (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        ],
    )
    async def test_refuses_and_lives_on(self, serve: Any, data: bytes, status: int, expected: str) -> None:
        """Bad requests get a JSON error and a closed connection; the next client is served."""
        served = await serve(echo, max_head=2_000, max_body=1_000)
        async with await served.dial() as wire:
            await wire.send(data)
            answer = await wire.answer()

            assert (answer.status, code(answer.body)) == (status, expected)
            assert answer.headers["connection"] == "close"
            assert await wire.rest() == b""
        async with await served.dial() as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200

    async def test_a_large_body_is_not_read_to_its_end(self, serve: Any) -> None:
        """A client in the middle of a large upload gets a 413 while still sending."""
        async with await (await serve(echo, max_body=1_000)).dial() as wire:
            await wire.send(POST + b"Content-Length: 100000000\r\n\r\n" + b"x" * 300_000)
            assert (await wire.answer()).status == 413

    async def test_good_requests_before_a_bad_one_are_answered(self, serve: Any) -> None:
        """Pipelined requests before a broken one are answered first."""
        async with await (await serve(echo)).dial() as wire:
            await wire.send(GET + b"NONSENSE\r\n\r\n")
            assert [(await wire.answer()).status for _ in range(2)] == [200, 400]

    async def test_half_a_request(self, serve: Any) -> None:
        """A client that leaves in the middle of a request harms nobody."""
        served = await serve(echo)
        for half in (b"", b"GET / HT", POST + b"Content-Length: 9\r\n\r\nabc"):
            wire = await served.dial()
            await wire.send(half)
            await trio.aclose_forcefully(wire.stream)
        async with await served.dial() as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200

    @pytest.mark.parametrize("start", [b"GET / HT", GET[:-2], POST + b"Content-Length: 9\r\n\r\nabc"])
    async def test_a_client_that_stalls(self, serve: Any, start: bytes) -> None:
        """A stalled request is answered 408, and the connection is closed."""
        async with await (await serve(echo, head_timeout=0.2, body_timeout=0.2)).dial() as wire:
            await wire.send(start)
            answer = await wire.answer()

            assert (answer.status, code(answer.body)) == (408, "timeout")
            assert await wire.rest() == b""

    async def test_drips_do_not_put_the_end_off(self, serve: Any) -> None:
        """A head sent byte by byte times out like any other head."""
        async with await (await serve(echo, head_timeout=0.3)).dial() as wire, trio.open_nursery() as nursery:

            async def drip() -> None:
                try:
                    await wire.send(b"GET / HTTP/1.1\r\nX: ")
                    while True:
                        await wire.send(b"y")
                        await trio.sleep(0.02)
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(drip)
            assert (await wire.answer()).status == 408
            nursery.cancel_scope.cancel()

    async def test_an_idle_connection_is_closed(self, serve: Any, patient_clock: trio.testing.MockClock) -> None:
        """An idle connection is closed without an answer, before the first request and after one."""
        served = await serve(echo, keep_alive=0.2)
        async with await served.dial() as wire:
            assert await wire.rest() == b""
        async with await served.dial() as wire:
            await wire.send(GET)
            await wire.answer()
            assert await wire.rest() == b""


class TestHangUps:
    async def test_cancels_a_quiet_application(self, serve: Any) -> None:
        """A client that leaves before the answer cancels the application's work."""
        app = Quiet()
        wire = await (await serve(app)).dial()
        await wire.send(GET)
        await ended(app.started)
        await wire.stream.aclose()

        await ended(app.ended)
        assert app.cancelled

    async def test_pipelined_data_hides_nothing(self, serve: Any) -> None:
        """The client's leaving is noticed behind unread pipelined requests."""
        app = Quiet()
        wire = await (await serve(app)).dial()
        await wire.send(GET)
        await ended(app.started)
        await wire.send(GET * 3)
        await wire.stream.aclose()

        await ended(app.ended)
        assert app.cancelled

    async def test_cancels_a_stream(self, serve: Any) -> None:
        """A client that leaves in the middle of a stream cancels the application."""
        app = Endless()
        wire = await (await serve(app)).dial()
        await wire.send(GET)
        await ended(app.started)
        await wire.stream.aclose()

        await ended(app.ended)
        assert app.how in ("Cancelled", "ClientGone")

    async def test_a_reader_that_stalls_is_cut_off(self, serve: Any, until: Any) -> None:
        """A client that stops reading blocks the application, but only for a while."""
        app = Endless(piece=b"x" * 100_000, pause=0)
        served = await serve(app, send_timeout=0.3)
        async with await served.dial() as wire:
            await wire.send(GET)
            await ended(app.ended)

            assert app.how == "Cancelled"
            assert app.sent < 50_000_000
        await until(lambda: not served.server.connections)

    async def test_receive_tells_of_the_end(self, serve: Any) -> None:
        """After the request, `receive` waits and then reports that the client is gone."""
        told: list[str] = []
        done = trio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http", "no lifespan here"
            await receive()
            told.append((await receive())["type"])
            done.set()

        wire = await (await serve(app)).dial()
        await wire.send(GET)
        await trio.sleep(0.1)
        await wire.stream.aclose()

        await ended(done)
        assert told == ["http.disconnect"]


class TestApplications:
    @pytest.mark.parametrize(
        "failure",
        [
            None,
            RuntimeError("secret detail"),
            SystemExit("secret detail"),
            GeneratorExit(),
            asyncio.CancelledError(),
            BaseExceptionGroup("g", [SystemExit("secret detail"), ValueError("secret detail")]),
        ],
        ids=repr,
    )
    async def test_a_failure_is_a_500(
        self, serve: Any, failure: BaseException | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An application that raises, or answers nothing, is logged, answered with 500, and called again."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/good":
                await reply(send, b"fine")
            elif failure is not None:
                raise failure

        served = await serve(app)
        async with await served.dial() as wire:
            await wire.send(GET)
            answer = await wire.answer()
            assert (answer.status, code(answer.body)) == (500, "internal")
            assert b"secret" not in answer.body
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        async with await served.dial() as wire:
            await wire.send(GET.replace(b"/ ", b"/good "))
            assert (await wire.answer()).body == b"fine"

    async def test_a_failure_in_mid_answer_shows(self, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A broken answer is left unfinished, so that the client notices."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "http", "no lifespan here"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            raise RuntimeError("broke")

        async with await (await serve(app)).dial() as wire:
            await wire.send(GET)
            assert (await wire.rest()).endswith(b"4\r\npart\r\n")
        assert "broke" in caplog.text

    async def test_a_failure_while_cancelled_harms_nobody(self, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
        """An application that fails during its cancellation is logged, and the server lives on."""
        started, over = trio.Event(), trio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == "/good":
                await reply(send, b"fine")
                return
            started.set()
            try:
                await trio.sleep_forever()
            finally:
                over.set()
                raise RuntimeError("cannot let go")

        app_with_lifespan = without_lifespan(app)
        served = await serve(app_with_lifespan)
        wire = await served.dial()
        await wire.send(GET)
        await ended(started)
        await wire.stream.aclose()
        await ended(over)
        async with await served.dial() as wire:
            await wire.send(GET.replace(b"/ ", b"/good "))
            assert (await wire.answer()).body == b"fine"
        assert "cannot let go" in caplog.text

    async def test_a_header_cannot_split_the_answer(self, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A line break in a header of the application is an error of the application."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"x", b"a\r\nSet-Cookie: stolen=1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})

        async with await (await serve(without_lifespan(app))).dial() as wire:
            await wire.send(GET)
            answer = await wire.answer()

        assert (answer.status, "set-cookie" in answer.headers) == (500, False)
        assert "control character" in caplog.text

    async def test_what_is_left_behind_cannot_answer_the_next(self, serve: Any) -> None:
        """A `send` kept from an earlier request raises `ClientGone`."""
        kept: list[Send] = []
        outcome: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for old in kept:
                try:
                    await reply(old, b"stale")
                except OSError as exc:
                    outcome.append(type(exc).__name__)
            kept[:] = [send]
            await reply(send, b"fresh")

        async with await (await serve(without_lifespan(app))).dial() as wire:
            await wire.send(GET + GET)
            assert [(await wire.answer()).body for _ in range(2)] == [b"fresh", b"fresh"]
        assert outcome == ["ClientGone"]

    async def test_lifespan(self, serve: Any, until: Any) -> None:
        """An application starts before the first request, shares its state, and stops after the last."""
        said: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await reply(send, scope["state"]["greeting"])
                return
            for _ in range(2):
                message = await receive()
                said.append(message["type"])
                scope["state"]["greeting"] = b"from the start"
                await send({"type": f"{message['type']}.complete"})

        served = await serve(app)
        async with await served.dial() as wire:
            await wire.send(GET)
            assert (await wire.answer()).body == b"from the start"
        served.server.stop()
        await until(lambda: len(said) == 2)
        assert said == ["lifespan.startup", "lifespan.shutdown"]

    @pytest.mark.parametrize("how", ["told", "raised"])
    async def test_a_failed_start(self, how: str) -> None:
        """An application that cannot start is not served, and the error says why."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            if how == "raised":
                raise RuntimeError("no database")
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        with pytest.raises(UsageError, match="no database"):
            await Server(app, Settings(port=0)).serve()


def without_lifespan(app: ASGIApp) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        await app(scope, receive, send)

    return wrapped


class TestStopping:
    async def test_drains(self, serve: Any) -> None:
        """Told to stop, the server refuses clients, closes idle connections, and lets running requests end."""
        app = Quiet()
        served = await serve(app, grace=30)
        async with await served.dial() as idle, await served.dial() as busy:
            await busy.send(GET)
            await ended(app.started)
            served.server.stop()

            assert await idle.rest() == b""
            with pytest.raises(OSError, match=r"connect|refused"):
                await served.dial()
            app.release.set()
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"released", "close")

    async def test_hands_over_without_a_loss(self, serve: Any, patient_clock: trio.testing.MockClock) -> None:
        """While it lingers, a kept connection may bring one more request, which is answered as the last."""
        app = Quiet()
        served = await serve(app, grace=30)
        async with await served.dial() as kept, await served.dial() as busy, await served.dial() as silent:
            await busy.send(GET)
            await ended(app.started)
            served.server.stop(linger=0.5)
            app.release.set()
            # Its answer began to be made before the end, but is sent after it: it tells the client to go.
            assert (await busy.answer()).headers["connection"] == "close"
            await kept.send(GET)
            answer = await kept.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await silent.rest() == b""

    async def test_a_request_that_comes_as_the_time_is_over(
        self, serve: Any, mock_clock: trio.testing.MockClock
    ) -> None:
        """A request that the server has not read yet when it closes idle connections is answered."""
        app = Quiet()
        app.release.set()
        for _ in range(20):
            served = await serve(app, grace=30)
            async with await served.dial() as wire:
                await wire.send(GET)
                await wire.answer()
                served.server.stop(linger=1.0)
                await trio.testing.wait_all_tasks_blocked()
                # Without a turn of the server in between: it learns of the request and of the time at once.
                os.write(wire.stream.socket.fileno(), GET)
                mock_clock.jump(2.0)

                answer = await wire.answer()
                assert (answer.body, answer.headers["connection"]) == (b"released", "close")

    async def test_a_client_that_comes_as_listening_ends(self) -> None:
        """A connection is answered if it was accepted; else it waits for another process with the same listener."""
        for _ in range(40):
            with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
                listener.setblocking(False)
                server, ready = Server(echo, Settings(grace=60.0)), trio.Event()

                async def run(server: Server = server, ready: trio.Event = ready, other: Any = listener) -> None:
                    await server.serve(announce=lambda addresses: ready.set(), listeners=[other.dup()])

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run)
                    await ready.wait()
                    server.stop(linger=1.0)
                    await trio.lowlevel.checkpoint()
                    # Now the server is about to close its listener.
                    client.connect(listener.getsockname())
                    client.sendall(GET)
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    assert client.recv(1_000).startswith(b"HTTP/1.1 200")

    async def test_a_load_balancer_has_time_to_turn_away(
        self, serve: Any, patient_clock: trio.testing.MockClock
    ) -> None:
        """For `drain_delay` the server accepts, and applications can tell that it is stopping."""
        told: list[bool] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            event = stopping(scope)
            if scope["type"] == "http" and event is not None:
                told.append(event.is_set())
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body"})

        served = await serve(app, drain_delay=0.5)
        for _ in range(2):
            async with await served.dial() as wire:
                await wire.send(GET)
                assert (await wire.answer()).status == 200
            served.server.stop()
        assert told == [False, True]

    async def test_grace_is_bounded(self, serve: Any) -> None:
        """Requests that outlast the grace period are cancelled, after the application was told."""
        app, told = Quiet(), trio.Event()
        served = await serve(app, cancel_runs=told.set, grace=0.1)
        async with await served.dial() as wire:
            await wire.send(GET)
            await ended(app.started)
            served.server.stop()
            await ended(told)
            await ended(app.ended)
            answer = await wire.answer()
        assert app.cancelled
        assert (answer.status, code(answer.body)) == (503, "stopping")

    async def test_abort_waits_for_nothing(self, serve: Any) -> None:
        """`abort` cancels at once."""
        app = Quiet()
        served = await serve(app, grace=300)
        async with await served.dial() as wire:
            await wire.send(GET)
            await ended(app.started)
            served.server.stop()
            served.server.abort()
            await ended(app.ended)
        assert app.cancelled


class TestListening:
    async def test_a_port_in_use(self) -> None:
        """A port in use is an error with a way out."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use") as caught:
                await Server(echo, Settings(port=port)).serve()
        assert "--port" in caught.value.hint

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
    async def test_an_address_that_is_not_here(self, host: str) -> None:
        """An unknown host, or another machine's address, is an error with the name."""
        with pytest.raises(UsageError, match=host) as caught:
            await Server(echo, Settings(host=host, port=0)).serve()
        assert "127.0.0.1" in caught.value.hint

    async def test_many_clients_at_once(self, serve: Any) -> None:
        """Fifty clients with twenty requests each all get their answers."""
        served = await serve(echo)
        answered: list[int] = []

        async def client() -> None:
            async with await served.dial() as wire:
                for _ in range(20):
                    await wire.send(GET)
                    answered.append((await wire.answer()).status)

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(client)
        assert answered == [200] * 1_000
