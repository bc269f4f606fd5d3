"""The base of the wire contract: the model and the server of a test, and the replies in the provider's format."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs
import trio

from agno_rt.events import Delta
from agno_rt.messages import Message
from agno_rt.models import Emit, Model, ModelRequest
from agno_rt.testing._checks import TEST_SECONDS
from agno_rt.testing.clocks import JumpingClock
from agno_rt.testing.wire.formats import WireAnswer, WireFormat
from agno_rt.testing.wire.server import WireReply, WireServer, open_wire_server

__all__ = ["JUMPED_SECONDS", "WireSuite", "collect_deltas", "hurrying", "make_request"]

JUMP_SECONDS = 10.0
JUMPED_SECONDS = 1_000 * JUMP_SECONDS
"""How long one test with a clock that is set forward may take, by this clock."""


class WireSuite:
    """The base of the contracts for model plugins over their wire.

    Attributes:
        wire: the provider's format
        key: the API key to give to the model; no error may show it
    """

    wire: ClassVar[WireFormat]
    key: ClassVar[str] = "sk-contract-0123456789abcdef"

    def make_model(self, base_url: str) -> Model:
        """Make a model that asks the server at `base_url` (`http://127.0.0.1:PORT`) with the API key `key`."""
        raise NotImplementedError("override make_model")

    def make_impatient(self, base_url: str) -> Model | None:
        """Make the same model with a read timeout; `None` for a plugin without one.

        The contract sets trio's clock forward. So a timeout of half a minute costs no time, and a busy machine never
        reaches it by itself. A timeout that does not follow trio's clock has to be a second or less.
        """
        return None

    def render_whole(self, answer: WireAnswer) -> WireReply:
        """Return the reply with the whole answer."""
        return WireReply((self.wire.render_answer(answer),), headers=self._make_headers(answer.request_id))

    def render_streamed(self, answer: WireAnswer) -> WireReply:
        """Return the reply that streams the answer."""
        pieces = tuple(self.wire.render_stream(answer))
        return WireReply(pieces, content_type=self.wire.stream_type, headers=self._make_headers(answer.request_id))

    def render_refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> WireReply:
        """Return the reply of a server that refuses the request, with the id of `WireAnswer`."""
        named = self._make_headers(WireAnswer().request_id) | (headers or {})
        return WireReply((self.wire.render_error(status, message),), status, headers=named)

    def with_server(
        self,
        check: Callable[[Model, WireServer], Awaitable[None]],
        make: Callable[[str], Model] | None = None,
        clock: JumpingClock | None = None,
    ) -> None:
        """Run the check under trio with a server, and with a model that asks the server."""

        async def main() -> None:
            async with open_wire_server() as server:
                model = (make or self.make_model)(server.url)
                try:
                    with trio.fail_after(TEST_SECONDS if clock is None else JUMPED_SECONDS):
                        await check(model, server)
                finally:
                    close = getattr(model, "aclose", None)
                    if close is not None:
                        await close()

        trio.run(main, clock=clock)

    def _make_headers(self, request_id: str) -> dict[str, str]:
        return {self.wire.id_header: request_id} if self.wire.id_header else {}


@asynccontextmanager
async def hurrying(clock: JumpingClock) -> AsyncIterator[None]:
    """Set the clock forward again and again within the block, so that timeouts are over."""

    async def hurry() -> None:
        while True:
            clock.jump(JUMP_SECONDS)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hurry)
        yield
        nursery.cancel_scope.cancel()


def make_request(text: str, **fields: Any) -> ModelRequest:
    """Return a request with one message of the user."""
    return attrs.evolve(ModelRequest((Message("user", text),)), **fields)


def collect_deltas(deltas: list[Delta]) -> Emit:
    """Return an `emit` that adds each delta to the list."""

    async def emit(delta: Delta) -> None:
        deltas.append(delta)

    return emit
