"""The server with too many clients and bytes, and its memory afterwards."""

from __future__ import annotations

import gc
import json
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import attrs
import httptools
import pytest
import trio
import trio.testing
from agno_rt_serve.http.asgi import Receive, Scope, Send
from agno_rt_serve.http.connection import Connection
from agno_rt_serve.http.exchange import Exchange
from agno_rt_serve.http.protocol import Request, RequestParser

GET = b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
RUN = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /quick HTTP/1.1\r\nHost: a\r\n"
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
HALF_BODY = POST + b"Content-Length: 9\r\n\r\nabc"


@attrs.define
class App:
    """An application that answers with the size of the body: at once, or under /slow after its release."""

    running: int = 0
    release: trio.Event = attrs.Factory(trio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        body = (await receive())["body"]
        if scope["path"] == "/slow":
            self.running += 1
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % len(body)})


def code(answer: Any) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]["code"]


async def post(served: Any, size: int, path: bytes = b"/quick") -> Any:
    async with await served.dial() as wire:
        await wire.send(POST.replace(b"/quick", path) + b"Content-Length: %d\r\n\r\n" % size)
        with suppress(trio.BrokenResourceError):  # where it is refused by its head
            await wire.send(b"x" * size)
        return await wire.answer()


class TestPlaces:
    async def test_the_idlest_makes_room(self, serve: Any) -> None:
        """For one connection too many, the longest idle one is closed without an answer."""
        served = await serve(App(), max_connections=2)
        async with await served.dial() as first, await served.dial() as second:
            for wire in (first, second):
                await wire.send(GET)
                await wire.answer()
                await trio.sleep(0.11)  # as long as the server's clock takes to tell them apart
            async with await served.dial() as third:
                await third.send(GET)
                assert (await third.answer()).status == 200

                assert await first.rest() == b""
                await second.send(GET)
                assert (await second.answer()).status == 200

    async def test_requests_under_way_keep_their_places(self, serve: Any, until: Any) -> None:
        """Idle connections go first, then slow heads, then slow bodies, but no request under way."""
        app = App()
        served = await serve(app, max_connections=4)
        async with AsyncExitStack() as stack:
            wires = []
            # Better claims get older connections here, to show that the age of a connection does not decide.
            for sent in (RUN, HALF_BODY, HALF_HEAD, b""):
                wires.append(await stack.enter_async_context(await served.dial()))
                await wires[-1].send(sent)
                await trio.sleep(0.11)
            await until(lambda: (served.server.connections, served.server.busy, app.running) == (4, 3, 1))
            running, body, head, idle = wires
            told = []
            for at, victim in enumerate((idle, head, body), 2):
                new = await stack.enter_async_context(await served.dial())
                wires.append(new)
                await new.send(RUN)
                await until(lambda at=at: app.running == at)
                told.append(await victim.rest())
            late = await stack.enter_async_context(await served.dial())
            await late.send(GET)
            answer = await late.answer()

            assert told[0] == b""
            assert all(b" 503 " in each and b"too_many_connections" in each for each in told[1:])
            assert code(answer) == (503, "too_many_connections")
            assert answer.headers["retry-after"] == "1"
            app.release.set()
            assert [(await wire.answer()).status for wire in (running, *wires[4:])] == [200] * 4

    async def test_when_one_leaves_the_next_is_served(self, serve: Any, until: Any) -> None:
        """A client that was turned away finds a place later."""
        app = App()
        served = await serve(app, max_connections=1)
        async with await served.dial() as first:
            await first.send(RUN)
            await until(lambda: app.running == 1)
            async with await served.dial() as second:
                assert code(await second.answer()) == (503, "too_many_connections")
            app.release.set()
            await first.answer()
        async with await served.dial() as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200

    async def test_all_who_are_turned_away_are_told(self, serve: Any, until: Any) -> None:
        """Many clients without a place at once, all of which stay, each get the answer."""
        app = App()
        served = await serve(app, max_connections=1)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(await served.dial())
            await first.send(RUN)
            await until(lambda: app.running == 1)
            late = [await stack.enter_async_context(await served.dial()) for _ in range(130)]

            assert {code(await wire.answer()) for wire in late} == {(503, "too_many_connections")}

    @pytest.mark.parametrize("start", [b"", GET, HALF_HEAD, HALF_BODY, b"NONSENSE\r\n\r\n"])
    async def test_a_crowd_keeps_nobody_out(self, serve: Any, start: bytes) -> None:
        """Five times as many idle or slow clients as places do not keep other clients out."""
        served = await serve(App(), max_connections=40)
        async with AsyncExitStack() as stack:
            for number in range(200):
                crowd = await stack.enter_async_context(await served.dial(f"127.0.0.{2 + number % 50}"))
                await crowd.send(start)
                if number % 10 == 0:
                    async with await served.dial() as wire:
                        await wire.send(GET)
                        assert (await wire.answer()).status == 200
            assert served.server.connections <= 40

    @pytest.mark.parametrize("start", [b"", HALF_HEAD, HALF_BODY])
    async def test_the_address_with_most_places_loses_first(self, serve: Any, until: Any, start: bytes) -> None:
        """A client with many connections drives out its own, not an older one of another client."""
        served = await serve(App(), max_connections=5)
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(await served.dial("127.0.0.2"))
            await other.send(start)
            await until(lambda: served.server.connections == 1)
            for _ in range(20):
                crowd = await stack.enter_async_context(await served.dial("127.0.0.3"))
                await crowd.send(start)
            async with await served.dial("127.0.0.3") as wire:
                await wire.send(GET)
                assert (await wire.answer()).status == 200
            rest = {HALF_HEAD: b"\r\n", HALF_BODY: b"defghi"}.get(start, GET)
            await other.send(rest)
            assert (await other.answer()).status == 200

    async def test_a_waiting_request_is_not_idle(self, serve: Any, until: Any) -> None:
        """A client whose request has arrived unread does not count as idle."""
        served = await serve(App(), max_connections=20)
        for _ in range(8):
            async with AsyncExitStack() as stack:
                wires = [await stack.enter_async_context(await served.dial()) for _ in range(20)]
                for wire in wires:
                    await wire.send(GET)
                    await wire.answer()
                # All before the server has a turn: twenty requests, and one more client.
                for wire in wires:
                    os.write(wire.stream.socket.fileno(), GET)
                stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))

                assert [(await wire.answer()).status for wire in wires] == [200] * 20
            await until(lambda: not served.server.connections)


class TestBytes:
    async def test_bodies_share_a_budget(self, serve: Any, until: Any) -> None:
        """A body beyond the full budget is refused by its head, with `Retry-After`."""
        app = App()
        served = await serve(app, body_memory=1_000_000)
        async with AsyncExitStack() as stack:
            for number in range(1, 5):
                wire = await stack.enter_async_context(await served.dial())
                await wire.send(POST.replace(b"quick", b"slow") + b"Content-Length: 200000\r\n\r\n", b"x" * 200_000)
                await until(lambda number=number: app.running == number)
            refused = await post(served, 100_000)
            small = await post(served, 50_000)

        assert code(refused) == (503, "too_many_bodies")
        assert refused.headers["retry-after"] == "1"
        assert small.body == b"50000"

    async def test_chunks_are_counted_as_they_come(self, serve: Any, until: Any) -> None:
        """A body without a length is cut off when the budget is full."""
        app = App()
        served = await serve(app, body_memory=1_000_000)
        async with await served.dial() as first, await served.dial() as second:
            await first.send(POST.replace(b"quick", b"slow") + b"Content-Length: 800000\r\n\r\n", b"x" * 800_000)
            await until(lambda: app.running == 1)
            await second.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            with suppress(trio.BrokenResourceError):  # where it is cut off before the last chunk
                await second.send(*[b"2710\r\n" + b"x" * 10_000 + b"\r\n"] * 20)

            assert code(await second.answer()) == (503, "too_many_bodies")

    async def test_one_that_never_fits(self, serve: Any) -> None:
        """A body larger than the whole budget gets no `Retry-After`."""
        served = await serve(App(), body_memory=100_000)
        answer = await post(served, 100_000)

        assert code(answer) == (413, "body_too_large")
        assert "retry-after" not in answer.headers

    async def test_room_comes_back(self, serve: Any, until: Any, patient_clock: trio.testing.MockClock) -> None:
        """A request's memory is free once the request is answered or refused, or its client has left."""
        app = App()
        served = await serve(app, body_memory=1_000_000)
        budget = served.server.budget
        for _ in range(3):
            assert (await post(served, 700_000)).body == b"700000"
            for start in (GET, HALF_HEAD, HALF_BODY, RUN, POST + b"Content-Length: x\r\n\r\n", GET * 50 + HALF_BODY):
                async with await served.dial() as wire:
                    await wire.send(start)
                    await until(lambda: served.server.connections == 1)
                    await trio.sleep(0.02)
                await until(lambda: not served.server.connections)
        assert budget.free == budget.size == 1_000_000

    async def test_a_kept_connection_holds_nothing(self, serve: Any) -> None:
        """Between requests, a connection keeps the last head for comparison, and not the last body."""
        served = await serve(App())
        # A path of its own: requests of earlier tests may be in memory still, as garbage.
        request = POST.replace(b"/quick", b"/kept") + b"Content-Length: 50000\r\n\r\n" + b"x" * 50_000
        async with await served.dial() as wire:
            for _ in range(3):
                await wire.send(request)
                assert (await wire.answer()).body == b"50000"

            assert served.server.budget.free == served.server.budget.size
            assert {each.body for each in alive(Request) if each.path == "/kept"} == {b""}

    async def test_a_slow_body_makes_room(self, serve: Any, mock_clock: trio.testing.MockClock) -> None:
        """A body that has been arriving for long is given up when another needs its memory."""
        served = await serve(App(), body_memory=1_000_000)
        async with await served.dial() as slow:
            await slow.send(POST + b"Content-Length: 800000\r\n\r\n", b"x" * 799_999)
            while served.server.budget.free >= 300_000:
                await trio.lowlevel.checkpoint()
            early = await post(served, 400_000)
            mock_clock.jump(5.0)
            late = await post(served, 400_000)

            assert (early.status, late.status) == (503, 200)
            assert code(await slow.answer()) == (503, "too_many_bodies")

    async def test_many_requests_at_once_are_counted(self, serve: Any, until: Any) -> None:
        """Thousands of pipelined requests count as objects, not only as bytes."""
        app = App()
        served = await serve(app)
        async with await served.dial() as wire:
            await wire.send(RUN + GET * 1_000)
            await until(lambda: app.running == 1)
            taken = served.server.budget.size - served.server.budget.free

        assert taken > 10 * len(GET) * 1_000 / 2


def alive(*kinds: type) -> list[Any]:
    """Return the objects of these types that are in use, or not collected yet: also objects of earlier tests."""
    # Not `isinstance`, which asks a proxy for the class of its object, and fails if the object is gone.
    return [each for each in gc.get_objects() if type(each) in kinds]


@pytest.fixture
def collector_off() -> Iterator[None]:
    """Run without the garbage collector, so that uncollected garbage stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector_off")
class TestHangUps:
    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            GET,
            HALF_HEAD,
            POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 100_000,
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 1_000,
            POST + b"Content-Length: 3\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nab",
            RUN,
            RUN + GET * 100,
            b"NONSENSE\r\n\r\n",
            POST + b"Content-Length: 5\r\n\r\nabcde" + HALF_BODY,
        ],
        ids=["nothing", "request", "head", "body", "chunks", "upgrade", "run", "pipeline", "nonsense", "second"],
    )
    async def test_leave_nothing_behind(
        self, serve: Any, until: Any, patient_clock: trio.testing.MockClock, sent: bytes
    ) -> None:
        """A connection's memory is freed at its end, without the garbage collector."""
        served = await serve(App())
        kinds = (RequestParser, httptools.HttpRequestParser, Connection, Exchange, Request)
        before = len(alive(*kinds))
        for _ in range(10):
            async with await served.dial() as wire:
                await wire.send(sent)
                await until(lambda: served.server.connections == 1)
                await trio.sleep(0.01)
            await until(lambda: not served.server.connections)

        assert len(alive(*kinds)) <= before
