"""The contract of model plugins for failures over their wire: refusals, broken answers, cancellation, connections."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import ClassVar

import attrs
import pytest
import trio

from agno_rt.errors import ModelError
from agno_rt.events import Delta
from agno_rt.messages import ToolCall
from agno_rt.models import Emit, Model, ModelRequest
from agno_rt.testing.clocks import JumpingClock
from agno_rt.testing.wire.formats import WireAnswer
from agno_rt.testing.wire.server import Ending, WireReply, WireServer
from agno_rt.testing.wire.suite import WireSuite, collect_deltas, hurrying, make_request

__all__ = ["WireFailures"]

_ANSWER = WireAnswer("One two three four five.")
_CROWD = 50
"""Requests that fail in a row: as many lost connections would fill the pool of any client."""
_CROWD_AT_ONCE = 10


class WireFailures(WireSuite):
    """Rules for failures: every one is a `ModelError` that says who failed and whether to try again; none leaks.

    Attributes:
        refusals: the statuses, each with the answer to "may the same request succeed later?"
    """

    refusals: ClassVar[dict[int, bool]] = {
        400: False,
        401: False,
        403: False,
        404: False,
        408: True,
        413: False,
        429: True,
        500: True,
        502: True,
        503: True,
        529: True,
    }

    def test_maps_refusals(self) -> None:
        """Each refusal is a `ModelError` with provider, status, request id, retryability and the server's words."""

        async def check(model: Model, server: WireServer) -> None:
            for status, retryable in self.refusals.items():
                server.play(self.render_refusal(status, f"the reason for {status}"))
                for emit in (None, collect_deltas([])):
                    error = await fail_to_answer(model, emit=emit)
                    assert (error.status, error.retryable) == (status, retryable)
                    assert error.provider
                    assert f"the reason for {status}" in error.message
                    if self.wire.id_header:
                        assert error.request_id == _ANSWER.request_id
            await self._check_recovery(model, server)

        self.with_server(check)

    def test_reads_how_long_to_wait(self) -> None:
        """`Retry-After` of a refusal arrives as seconds, whether the server sends seconds or a date."""

        async def check(model: Model, server: WireServer) -> None:
            server.play(self.render_refusal(429, "too fast", {"retry-after": "7"}))
            assert (await fail_to_answer(model)).retry_after == 7.0
            # An hour ahead: a slow machine takes seconds off, and nothing more.
            later = formatdate(time.time() + 3_600, usegmt=True)
            server.play(self.render_refusal(503, "closed", {"retry-after": later}))
            waits = (await fail_to_answer(model)).retry_after
            assert waits is not None
            assert 1_800 < waits <= 3_601

        self.with_server(check)

    def test_never_shows_the_key(self) -> None:
        """A server that quotes the key in a refusal, or in a stream, does not get the key into an error."""

        async def check(model: Model, server: WireServer) -> None:
            refused = self.render_refusal(401, f"wrong key {self.key}")
            in_stream = attrs.evolve(
                self.render_streamed(_ANSWER), pieces=(self.wire.render_stream_error(f"bad {self.key}"),)
            )
            for reply in (refused, in_stream, WireReply((f"no JSON {self.key}".encode(),))):
                server.play(reply)
                for emit in (None, collect_deltas([])):
                    error = await fail_to_answer(model, emit=emit)
                    assert self.key not in f"{error} {error.hint} {error!r} {error.__notes__ if error.hint else ''}"
            assert self.key not in repr(model)

        self.with_server(check)

    def test_an_error_within_a_stream_is_an_error(self) -> None:
        """A stream that begins with status 200 and ends with an error object fails, and may be tried again."""

        async def check(model: Model, server: WireServer) -> None:
            streamed = self.render_streamed(_ANSWER)
            for kept in (0, len(streamed.pieces) // 2):
                pieces = (*streamed.pieces[:kept], self.wire.render_stream_error("overloaded, sorry"))
                server.play(attrs.evolve(streamed, pieces=pieces))
                error = await fail_to_answer(model, emit=collect_deltas([]))
                assert error.retryable
                assert error.provider
                assert "sorry" in error.message
            await self._check_recovery(model, server)

        self.with_server(check)

    @pytest.mark.parametrize("body", [b'{"half": ', b"", b"<html>busy</html>", b"[]", b"null", b"\xff\xfe"])
    def test_a_broken_body_is_an_error(self, body: bytes) -> None:
        """A body with status 200 that is not an answer is a `ModelError` of the provider."""

        async def check(model: Model, server: WireServer) -> None:
            server.play(WireReply((body,)), WireReply((body,), content_type=self.wire.stream_type))
            for emit in (None, collect_deltas([])):
                assert (await fail_to_answer(model, emit=emit)).provider
            await self._check_recovery(model, server)

        self.with_server(check)

    @pytest.mark.parametrize("ending", ["cut", "reset", "whole"])
    def test_a_truncated_stream_is_an_error(self, ending: Ending) -> None:
        """A stream that ends early, at any event, never passes for an answer; a call that was cut is not returned."""
        calls = (ToolCall("call_w1", "tell_time", '{"zone": "Seoul"}'),)

        async def check(model: Model, server: WireServer) -> None:
            streamed = self.render_streamed(WireAnswer("One two.", tool_calls=calls, finish_reason="tool_calls"))
            # The events at the end only count tokens in some formats: half of the events are too few in each.
            for kept in range(1 + len(streamed.pieces) // 2):
                server.play(attrs.evolve(streamed, pieces=streamed.pieces[:kept], ending=ending))
                error = await fail_to_answer(model, emit=collect_deltas([]))
                assert error.retryable
            await self._check_recovery(model, server)

        self.with_server(check)

    @pytest.mark.parametrize("ending", ["cut", "reset"])
    def test_a_truncated_body_is_an_error(self, ending: Ending) -> None:
        """A whole answer that breaks off, and a connection that breaks before any byte, may be tried again."""

        async def check(model: Model, server: WireServer) -> None:
            whole = self.render_whole(_ANSWER)
            half = attrs.evolve(whole, pieces=(whole.pieces[0][: len(whole.pieces[0]) // 2],), ending=ending)
            server.play(half)
            assert (await fail_to_answer(model)).retryable
            await self._check_recovery(model, server)

        self.with_server(check)

    def test_waits_for_a_slow_first_byte(self) -> None:
        """A server that takes its time before the first byte gets it: no answer is lost."""

        async def check(model: Model, server: WireServer) -> None:
            for reply in (self.render_whole(_ANSWER), self.render_streamed(_ANSWER)):
                begins = trio.Event()
                server.play(attrs.evolve(reply, until=begins))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_begin_after, server, len(server.requests) + 1, begins)
                    emit = None if reply.content_type == "application/json" else collect_deltas([])
                    assert (await model.respond(make_request("Hi."), emit)).content == _ANSWER.text

        self.with_server(check)

    def test_gives_up_on_a_silent_server(self) -> None:
        """After the read timeout, a server that sends nothing, or nothing more, is a failure to try again."""

        clock = JumpingClock()

        def make(base_url: str) -> Model:
            return self.make_impatient(base_url) or self.make_model(base_url)

        async def check(model: Model, server: WireServer) -> None:
            if self.make_impatient(server.url) is None:
                return
            streamed = self.render_streamed(_ANSWER)
            for ending in ("silent", "stall"):
                server.play(attrs.evolve(streamed, pieces=streamed.pieces[:2], ending=ending))
                async with hurrying(clock):
                    assert (await fail_to_answer(model, emit=collect_deltas([]))).retryable
            await self._check_recovery(model, server)

        self.with_server(check, make, clock)

    def test_can_be_cancelled_anywhere(self) -> None:
        """A cancellation before the first byte, and after each event of a stream, closes the connection at once."""

        async def check(model: Model, server: WireServer) -> None:
            streamed = self.render_streamed(_ANSWER)
            for stalls, kept in enumerate(range(-1, len(streamed.pieces)), 1):
                ending: Ending = "silent" if kept < 0 else "stall"
                server.play(attrs.evolve(streamed, pieces=streamed.pieces[: max(0, kept)], ending=ending))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(model.respond, make_request("Hi."), collect_deltas([]))
                    await server.wait_stalled(stalls)
                    nursery.cancel_scope.cancel()
                await server.wait_idle()
            await self._check_recovery(model, server)

        self.with_server(check)

    def test_a_reader_that_fails_leaves_no_connection(self) -> None:
        """An exception of `emit` comes out as it is, and the connection is closed."""

        async def check(model: Model, server: WireServer) -> None:
            async def refuse(delta: Delta) -> None:
                raise ZeroDivisionError

            server.play(attrs.evolve(self.render_streamed(_ANSWER), ending="stall"))
            with pytest.raises(ZeroDivisionError):
                await model.respond(make_request("Hi."), refuse)
            await server.wait_idle()
            await self._check_recovery(model, server)

        self.with_server(check)

    def test_a_crowd_of_failures_leaves_no_connection(self) -> None:
        """After many refusals, cut streams and readers that leave, the pool is as empty as before."""

        async def check(model: Model, server: WireServer) -> None:
            streamed = self.render_streamed(_ANSWER)
            server.play(
                *(
                    self.render_refusal(429, "slow down"),
                    attrs.evolve(streamed, pieces=streamed.pieces[:1], ending="cut"),
                )
                * (_CROWD // 2),
            )
            for _ in range(_CROWD // _CROWD_AT_ONCE):
                async with trio.open_nursery() as nursery:
                    for _ in range(_CROWD_AT_ONCE):
                        nursery.start_soon(_fail_quietly, model)
            assert len(server.requests) == _CROWD
            await self._check_recovery(model, server)

        self.with_server(check)

    async def _check_recovery(self, model: Model, server: WireServer) -> None:
        """Check that the model answers, that no connection is in use, and that no request is under way."""
        server.play(self.render_whole(_ANSWER))
        assert (await model.respond(make_request("Hi."))).content == _ANSWER.text
        await server.wait_idle()
        for limit in getattr(model, "statistics", tuple)():
            assert (limit.in_use, limit.waiting) == (0, 0), limit
            assert server.most_connections <= limit.total, limit


async def fail_to_answer(model: Model, request: ModelRequest | None = None, emit: Emit | None = None) -> ModelError:
    """Ask the model and return its failure."""
    with pytest.raises(ModelError) as caught:
        await model.respond(request or make_request("Hi."), emit)
    return caught.value


async def _fail_quietly(model: Model) -> None:
    await fail_to_answer(model, emit=collect_deltas([]))


async def _begin_after(server: WireServer, count: int, begins: trio.Event) -> None:
    """Let the server begin once it has so many requests."""
    await server.wait_requested(count)
    begins.set()
