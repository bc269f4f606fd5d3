"""The events of runs within a background run, for the client that started it. They are shown, and not kept."""

from __future__ import annotations

from contextlib import suppress

import trio

from agno_rt import Event
from agno_rt_serve.api.run_format import server_sent_event_within
from agno_rt_serve.http.asgi import Send

__all__ = ["EventsWithin"]

_MOST = 10_000
"""The pieces that wait for a slow client; further events of runs within are left out."""


class EventsWithin:
    """A queue of pieces of an event stream. The pieces have no number: a client that comes back gets none again."""

    def __init__(self) -> None:
        self._into, self._pieces = trio.open_memory_channel[bytes](_MOST)
        self._sent = trio.Event()

    def put(self, path: str, event: Event) -> bytes:
        """Add an event of the run at the path, unless too many wait."""
        with suppress(trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._into.send_nowait(server_sent_event_within(None, path, event))
        return b""

    async def send_all(self, send: Send) -> None:
        """Send the pieces as they come, until the last one is sent."""
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._sent.set()

    async def finish(self) -> None:
        """Take no more events, and wait until the pieces that wait are sent."""
        self._into.close()
        await self._sent.wait()

    def close(self) -> None:
        """Take no more events: the client is gone."""
        self._pieces.close()
