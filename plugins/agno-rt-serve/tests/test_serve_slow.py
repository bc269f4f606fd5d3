"""Clients that stall, drip or take all places: they cannot hold the server, and an honest slow client can use it."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing
from agno_rt_serve.http.asgi import Receive, Scope, Send

PATIENCE = 30.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer_size(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % len(body)})


class Large:
    """Answers with many megabytes, in one piece or in small ones."""

    def __init__(self, piece: int, count: int) -> None:
        self.piece, self.count = piece, count
        self.ended = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(self.count):
                await send({"type": "http.response.body", "body": bytes(self.piece), "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            self.ended.set()


async def drip(wire: Any, piece: bytes) -> None:
    """Send the piece again and again, until the server hangs up."""
    try:
        while True:
            await wire.send(piece)
            await trio.sleep(0.01)
    except trio.BrokenResourceError:
        return


class TestSenders:
    @pytest.mark.parametrize(("start", "piece"), [(POST.replace(b"20", b"9999"), b"x"), (CHUNKED, b"1\r\nx\r\n")])
    async def test_a_dripping_body_is_refused(self, serve: Any, start: bytes, piece: bytes) -> None:
        """A body below the least rate is answered 408, however regularly its bytes come."""
        served = await serve(answer_size, body_timeout=0.3, min_rate=100_000)
        async with await served.dial() as wire, trio.open_nursery() as nursery:
            await wire.send(start)
            nursery.start_soon(drip, wire, piece)

            assert (await wire.answer()).status == 408
            nursery.cancel_scope.cancel()

    async def test_a_slow_body_has_time_by_its_size(self, serve: Any, patient_clock: trio.testing.MockClock) -> None:
        """Bytes that have arrived buy time beyond `body_timeout`."""
        served = await serve(answer_size, body_timeout=0.2, min_rate=1)
        async with await served.dial() as wire:
            await wire.send(POST)
            await wire.send(b"x" * 5)
            await trio.sleep(0.02)
            await wire.send(b"x" * 5)
            await trio.sleep(0.5)
            await wire.send(b"x" * 10)

            answer = await wire.answer()
            assert (answer.status, answer.body) == (200, b"20")


class TestReaders:
    @pytest.mark.parametrize(("piece", "count"), [(50_000_000, 1), (1_000, 50_000)], ids=["whole", "stream"])
    async def test_a_dripping_reader_is_cut_off(self, serve: Any, until: Any, piece: int, count: int) -> None:
        """A client below the least rate is cut off, though it reads on and on; the application is cancelled."""
        app = Large(piece, count)
        served = await serve(app, send_timeout=0.3, min_rate=1_000_000_000)
        async with await served.dial() as wire, trio.open_nursery() as nursery:
            await wire.send(GET)

            async def read_slowly() -> None:
                try:
                    while await wire.stream.receive_some(20_000):  # noqa: ASYNC110 - it is slow on purpose
                        await trio.sleep(0.01)
                except trio.BrokenResourceError:
                    return

            nursery.start_soon(read_slowly)
            with trio.fail_after(PATIENCE):
                await app.ended.wait()
            await until(lambda: served.server.connections == 0)
            nursery.cancel_scope.cancel()

    async def test_a_slow_reader_above_the_rate_gets_all(self, serve: Any) -> None:
        """A client that pauses, and reads enough on the whole, is served to the end."""
        served = await serve(Large(20_000_000, 1), send_timeout=60.0, min_rate=1)
        async with await served.dial() as wire:
            await wire.send(GET)
            await trio.sleep(0.1)

            assert len((await wire.answer()).body) == 20_000_000


class TestPlacesOfOneClient:
    async def test_one_address_has_few(self, serve: Any, until: Any) -> None:
        """One more connection of an address is a 429, while another address is served; a place comes back."""
        served = await serve(answer_size, max_per_client=2)
        async with await served.dial() as first, await served.dial() as second:
            for wire in (first, second):
                await wire.send(GET)
                assert (await wire.answer()).status == 200
            async with await served.dial() as third, await served.dial("127.0.0.2") as other:
                answer = await third.answer()
                assert (answer.status, answer.headers["retry-after"]) == (429, "1")
                assert json.loads(answer.body)["error"]["code"] == "too_many_connections"
                assert "max_per_client" in json.loads(answer.body)["error"]["hint"]
                await other.send(GET)
                assert (await other.answer()).status == 200
        await until(lambda: served.server.connections == 0)
        async with await served.dial() as again:
            await again.send(GET)
            assert (await again.answer()).status == 200


async def test_a_thousand_stalled_clients_do_not_stop_the_next(serve: Any, until: Any) -> None:
    """Clients that send nothing, half a head or half a body take all places: the one after 1,000 is served at once."""
    starts = (b"", b"GET / HT", POST + b"half", CHUNKED + b"5\r\nab", GET[:-2] + b"X: ")
    served = await serve(answer_size, max_connections=600)
    async with AsyncExitStack() as stack:
        stalled = [await stack.enter_async_context(await served.dial()) for _ in range(1_000)]
        for number, wire in enumerate(stalled):
            try:
                await wire.send(starts[number % len(starts)])
            except trio.BrokenResourceError:
                continue  # closed for a later client
        async with await served.dial() as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200
        await until(lambda: served.server.connections <= 600)
