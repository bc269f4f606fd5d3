"""One connection under trio: reads requests, runs the application for each, writes the answers.

A connection is one task, and suspends once per request, to wait for the next. The server's watch does the costlier work
a few times a second for all connections at once: it compares `deadline` with the clock, and asks the operating system
which clients of running requests have hung up. Both end in `end()`.
"""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import trio

from agno_rt.failures import must_pass
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON, ASGIApp, Message, Scope
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.protocol import Phase, Request, RequestParser
from agno_rt_serve.http.response import REQUEST_ID, ResponseWriter, error_response, request_ids
from agno_rt_serve.settings import Settings

__all__ = ["BODY", "CLOSING", "HEAD", "IDLE", "AccessLog", "ClientGone", "Connection", "Host"]

AccessLog: TypeAlias = Callable[[Request, int, float], None]
Reason = Literal["", "timeout", "gone", "stop", "crowded"]

_logger = logging.getLogger("agno_rt.serve")
_RECEIVE = 65_536
# Seconds in which a refused client may finish sending.
_LINGER = 2.0
_ASGI = {"version": "3.0", "spec_version": "2.4"}
# SO_LINGER on, with zero seconds: closing the socket resets the connection.
_RESET = struct.pack("ii", 1, 0)
# The order in which connections are closed when too many are open: without a request first, then with a slow request.
CLOSING, IDLE, HEAD, BODY = range(4)
_CLAIMS: dict[Phase, int] = {"idle": IDLE, "head": HEAD, "body": BODY}


class ClientGone(OSError):
    """The client hung up, or stopped reading; nobody is left to answer."""


class Host(Protocol):
    """A connection's view of its server. `now` is the trio clock at the last tick, `date` the HTTP date."""

    app: ASGIApp
    settings: Settings
    budget: Budget
    state: dict[str, Any]
    draining: bool
    now: float
    date: bytes
    access_log: AccessLog | None


class Connection:
    """A client's connection.

    `running` while the application works on a request, `stuck` while the client does not read, `closing` once the
    client was told why nothing more is read. `since` is when the current work or wait began.
    """

    __slots__ = (
        "_client",
        "_exchange",
        "_host",
        "_server",
        "closing",
        "deadline",
        "gone",
        "parser",
        "reason",
        "running",
        "scope",
        "since",
        "sock",
        "stuck",
    )

    def __init__(self, host: Host, sock: socket.socket) -> None:
        self.sock = sock
        self.scope = trio.CancelScope()
        self.deadline = math.inf
        self.reason: Reason = ""
        self.running = self.stuck = self.closing = False
        self.since = 0.0
        self.gone: trio.Event | None = None
        self.parser = RequestParser(host.settings.max_head, host.settings.max_body, host.budget)
        self._exchange: Exchange | None = None
        self._host = host
        self._client = _read_address(sock.getpeername)
        self._server = _read_address(sock.getsockname)

    @property
    def idle(self) -> bool:
        """True if no part of a request has arrived."""
        return not self.running and self.parser.phase == "idle" and not self.parser.requests

    @property
    def unanswered(self) -> bool:
        """True if there is a request, and no part of the answer has been sent."""
        return self._exchange is not None and not self._exchange.status

    @property
    def claim(self) -> tuple[int, float] | None:
        """The claim to a place: CLOSING, IDLE, HEAD or BODY, and since when; `None` while a request is under way."""
        if self.running or self.parser.requests:
            return None
        return (CLOSING if self.closing else _CLAIMS[self.parser.phase], self.since)

    @property
    def address(self) -> str:
        """The client's address, without its port."""
        return self._client[0] if self._client is not None else ""

    def end(self, reason: Reason) -> None:
        """End the connection now, with any request under way."""
        self.reason = self.reason or reason
        if self.gone is not None:
            self.gone.set()
        self.scope.cancel()

    def crowd_out(self, error: HttpError) -> None:
        """End the connection for the sake of others. A client in the middle of a request is told why."""
        if self.parser.phase != "idle" and not self.closing:
            try:
                self.sock.send(error_response(error, self._host.date))
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the client is gone, or takes nothing
        self.parser.close(error)
        self.end("crowded")

    async def run(self) -> None:
        """Serve the connection until one side closes it."""
        with self.sock:
            try:
                with self.scope:
                    await self._serve()
                if self.reason == "timeout" and not self.closing:
                    await self._time_out()
                elif self.reason == "stop" and self.unanswered:
                    await self._refuse(HttpError(503, "stopping", "the server is stopping", "Send it again later."))
            except OSError:
                return  # the client is gone, and nobody is left to be told
            except BaseException as exc:
                if must_pass(exc):
                    raise
                # The application raised this while it was being cancelled: nobody is left to answer.
                _logger.exception("the application failed after its client was gone")
            finally:
                # Free the bytes now: the garbage collector counts objects, not bytes, and may come much later.
                self.parser.close()
                self._exchange = None

    async def turn_away(self, error: HttpError) -> None:
        """Answer any request with the error, and close."""
        with self.sock:
            try:
                await self._refuse(error)
            except OSError:
                return  # the client did not wait for it

    async def _serve(self) -> None:
        parser = self.parser
        while await self._read_request():
            while parser.requests:
                if not await self._answer_request(parser.requests.popleft()):
                    return
                if parser.requests:
                    # Pipelined requests need no wait for the socket: let other tasks run in between.
                    await trio.lowlevel.checkpoint()
            if parser.error is not None:
                await self._refuse(parser.error)
                return

    async def _read_request(self) -> bool:
        host, parser, sock = self._host, self.parser, self.sock
        phase = parser.phase
        self._set_deadline()
        while True:
            if host.draining and parser.phase == "idle":
                return False
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(_RECEIVE)
            except BlockingIOError:
                continue
            if not data:
                return False
            parser.feed(data)
            if parser.requests or parser.error is not None:
                return True
            if parser.take_continue():
                await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if parser.phase != phase:
                phase = parser.phase
                self._set_deadline()

    def _set_deadline(self) -> None:
        settings, phase = self._host.settings, self.parser.phase
        if phase == "idle":
            seconds = settings.keep_alive
        else:
            seconds = settings.head_timeout if phase == "head" else settings.body_timeout
        self.since = self._host.now
        self.deadline = self.since + seconds

    async def _answer_request(self, request: Request) -> bool:
        host = self._host
        given = REQUEST_ID.fullmatch(dict(request.headers).get(b"x-request-id", b""))
        request.id = given[0].decode() if given else next(request_ids)
        exchange = self._exchange = Exchange(self, host, request)
        began = trio.current_time() if host.access_log is not None else 0.0
        self.since = host.now
        self.deadline = math.inf
        self.running = True
        try:
            await host.app(self._make_scope(request), exchange.receive, exchange.send)
            await exchange.finish(None)
        except BaseException as exc:
            if must_pass(exc):
                raise
            if self.reason and _is_gone(exc):
                return False
            _logger.exception("the application failed: %s %r (%s)", request.method, request.path, request.id)
            await exchange.finish(exc)
        finally:
            self.running = False
            exchange.over()
            self.parser.held -= request.held
            host.budget.free += request.held
            request.body = b""
            if host.access_log is not None:
                host.access_log(request, exchange.status, trio.current_time() - began)
        return exchange.keep_alive

    def _make_scope(self, request: Request) -> Scope:
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": request.version,
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": self._client,
            "server": self._server,
            "state": {**self._host.state, "request_id": request.id},
            "extensions": {},
        }

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `ClientGone` if nobody takes it."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise self._note_lost(exc) from exc
        if sent < len(data):
            await self._write_rest(memoryview(data)[sent:])

    async def _write_rest(self, data: memoryview) -> None:
        host = self._host
        deadline = self.deadline
        self.stuck = True
        while data:
            self.deadline = host.now + host.settings.send_timeout
            await trio.lowlevel.wait_writable(self.sock)
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self._note_lost(exc) from exc
        self.stuck = False
        self.deadline = deadline

    def _note_lost(self, exc: OSError) -> ClientGone:
        self.reason = self.reason or "gone"
        return ClientGone(str(exc))

    async def _time_out(self) -> None:
        if self.stuck:
            # Reset, so that data the client did not read does not linger in the kernel.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif self.parser.phase != "idle":
            await self._refuse(HttpError(408, "timeout", "the request did not arrive in time", "Send it again."))

    async def _refuse(self, error: HttpError) -> None:
        self.closing = True
        with trio.move_on_after(_LINGER) as self.scope:
            await self.write(error_response(error, self._host.date))
            await self._linger()

    async def _linger(self) -> None:
        # Closing with unread bytes resets the connection, and the client may lose the answer: let it finish first.
        self.sock.shutdown(socket.SHUT_WR)
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            try:
                if not self.sock.recv(_RECEIVE):
                    return
            except BlockingIOError:
                continue


class Exchange:
    """A request and its response, as seen by the application: ASGI's `receive` and `send`."""

    __slots__ = ("_connection", "_host", "_over", "_request", "_sent_request", "_writer")

    def __init__(self, connection: Connection, host: Host, request: Request) -> None:
        self._connection = connection
        self._host = host
        self._request = request
        self._sent_request = False
        self._over = False
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
            return {"type": "http.request", "body": self._request.body, "more_body": False}
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
            self._writer.start(message["status"], message.get("headers", ()), self._host.date, self._request.id)
        elif kind == "http.response.body":
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"an HTTP response has no message {kind!r}")

    async def finish(self, failure: BaseException | None) -> None:
        """Answer 500 if the application sent nothing. A response cut off halfway is left visibly incomplete."""
        writer = self._writer
        if writer.complete:
            return
        if failure is None:
            _logger.error("the application left no complete response: %r", self._request.path)
        if writer.started or self._connection.reason:
            writer.keep_alive = False
            return
        request = self._request
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

    async def _send_body(self, body: bytes, more: bool) -> None:
        data = self._writer.body(body, more)
        if data:
            await self._connection.write(data)
        if more:
            # A write does not wait while the socket has room: a fast stream must let other tasks run.
            await trio.lowlevel.checkpoint()


def _is_gone(exc: BaseException | None) -> bool:
    """Return whether the application only passes on a `ClientGone`, perhaps in another error."""
    if isinstance(exc, BaseExceptionGroup):
        return all(_is_gone(each) for each in exc.exceptions)
    return isinstance(exc, ClientGone) or (exc is not None and isinstance(exc.__context__, ClientGone))


def _read_address(of: Callable[[], Any]) -> tuple[str, int] | None:
    try:
        name = of()
    except OSError:
        return None
    return name[0], name[1]
