"""A request and its response, as the application sees them: ASGI's `receive` and `send`. Knows no sockets."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import trio

from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON, ClientGone, Message
from agno_rt_serve.http.handshake import has_token
from agno_rt_serve.http.host import Host
from agno_rt_serve.http.protocol import Headers, Request
from agno_rt_serve.http.response import ResponseWriter

__all__ = ["Exchange"]

_logger = logging.getLogger("agno_rt.serve")


class Link(Protocol):
    """The exchange's view of its connection. `gone` is set when the client hangs up; `reason` says why it ended."""

    gone: trio.Event | None
    reason: Any

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `ClientGone` if nobody takes it."""


class Exchange:
    """A request and its response, as seen by the application: ASGI's `receive` and `send`."""

    __slots__ = ("_connection", "_host", "_over", "_sent_request", "_trailers", "_writer", "request")

    def __init__(self, connection: Link, host: Host, request: Request) -> None:
        self._connection = connection
        self._host = host
        self.request = request
        self._sent_request = False
        self._over = False
        self._trailers: Headers = []
        self._writer = ResponseWriter(request.method, request.version, request.keep_alive)

    @property
    def status(self) -> int:
        """The status that was answered; 0 for none."""
        return self._writer.status if self._writer.started else 0

    @property
    def keep_alive(self) -> bool:
        """True if the connection may carry another request."""
        return self._writer.complete and self._writer.keep_alive

    async def receive(self) -> Message:
        """Return the request with its whole body; later calls wait for a hang-up or the end of the exchange."""
        if not (self._sent_request or self._over):
            self._sent_request = True
            return {"type": "http.request", "body": self.request.body, "more_body": False}
        connection = self._connection
        if not (self._over or self._writer.complete or connection.reason):
            if connection.gone is None:
                connection.gone = trio.Event()
            await connection.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the application's response. Raises `ClientGone` (an `OSError`) if the client is gone."""
        if self._over or self._connection.reason:
            raise ClientGone("the exchange is over")
        kind = message["type"]
        if kind == "http.response.start":
            if self._host.draining:
                self._writer.keep_alive = False
            self._writer.start(message["status"], message.get("headers", ()), self._host.date, self.request.id)
            if message.get("trailers"):
                self._writer.expect_trailers()
        elif kind == "http.response.trailers":
            await self._send_trailers(message)
        elif kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"an HTTP response has no message {kind!r}")

    async def switch(self, headers: Headers) -> None:
        """Open a WebSocket on the connection."""
        await self._connection.write(self._writer.switch(headers, self._host.date, self.request.id))

    async def finish(self, failure: BaseException | None) -> None:
        """Answer 500 if the application sent nothing. A response cut off halfway is left visibly incomplete."""
        writer = self._writer
        if writer.complete:
            return
        if failure is None:
            _logger.error("the application left no complete response: %r", self.request.path)
        if writer.started or self._connection.reason:
            writer.keep_alive = False
            return
        request = self.request
        self._writer = ResponseWriter(request.method, request.version, keep_alive=False)
        error = HttpError(500, "internal", "the server failed to answer", "The server's log says why.")
        self._writer.start(error.status, JSON, self._host.date, request.id)
        await self._connection.write(self._writer.body(error_body(error), more=False))

    def over(self) -> None:
        """Mark the application as returned: tasks left behind may not touch the next exchange."""
        self._over = True
        if self._connection.gone is not None:
            self._connection.gone.set()
            self._connection.gone = None

    async def _send_trailers(self, message: Message) -> None:
        self._trailers.extend(message.get("headers", ()))
        if not message.get("more_trailers"):
            wanted = has_token(self.request.headers, b"te", b"trailers")
            await self._connection.write(self._writer.trailers(self._trailers, wanted=wanted))

    async def _send_body(self, body: bytes, more: bool) -> None:
        data = self._writer.body(body, more)
        if data:
            await self._connection.write(data)
        if more:
            # A write does not wait while the socket has room: a fast stream must let other tasks run.
            await trio.lowlevel.checkpoint()
