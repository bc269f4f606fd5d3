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
from typing import Any, Literal

import trio

from agno_rt.failures import must_pass
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import ClientGone, Scope, is_gone
from agno_rt_serve.http.exchange import Exchange
from agno_rt_serve.http.handshake import answer_key, read_subprotocols
from agno_rt_serve.http.host import Access, Host
from agno_rt_serve.http.protocol import Phase, Request, RequestParser
from agno_rt_serve.http.proxies import normalize
from agno_rt_serve.http.response import REQUEST_ID, error_response, request_ids
from agno_rt_serve.http.websocket import WebSocket

__all__ = ["BODY", "CLOSING", "HEAD", "IDLE", "Connection"]

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


class Connection:
    """A client's connection.

    `running` while the application works on a request, `stuck` while the client does not read, `closing` once the
    client was told why nothing more is read. `since` is when the current work or wait began.
    """

    __slots__ = (
        "_client",
        "_exchange",
        "_host",
        "_peer",
        "_scheme",
        "_server",
        "_trusted",
        "_waited",
        "closing",
        "deadline",
        "gone",
        "parser",
        "reason",
        "running",
        "scope",
        "sent",
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
        # Bytes sent, and seconds waited for the client to read.
        self.sent, self._waited = 0, 0.0
        self.gone: trio.Event | None = None
        self.parser = RequestParser(host.settings.max_head, host.settings.max_body, host.budget)
        self._exchange: Exchange | None = None
        self._host = host
        self._client = self._peer = _read_address(sock.getpeername)
        self._server = _read_address(sock.getsockname)
        self._scheme = "http"
        # A proxy's word counts about whom it speaks for.
        self._trusted = host.proxies is not None and host.proxies.trusts(self.address)

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
        """The address at the other end, without its port; empty for a Unix socket, and for a client that has gone."""
        return self._peer[0] if self._peer is not None else ""

    @property
    def trusted(self) -> bool:
        """True if a trusted proxy is at the other end."""
        return self._trusted

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
            if parser.websocket is not None:
                await self._open_websocket(parser.websocket)
                return

    async def _read_request(self) -> bool:
        host, parser, sock = self._host, self.parser, self.sock
        phase, settings = parser.phase, self._host.settings
        self._set_deadline()
        while True:
            if host.closes_idle and parser.phase == "idle":
                return False
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(_RECEIVE)
            except BlockingIOError:
                continue
            if not data:
                return False
            parser.feed(data)
            if parser.requests or parser.error is not None or parser.websocket is not None:
                return True
            if parser.take_continue():
                await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if parser.phase != phase:
                phase = parser.phase
                self._set_deadline()
            elif phase == "body":
                # Each byte buys a little time: a large body may be slow, but none may drip in.
                self.deadline = self.since + settings.body_timeout + parser.body_size / settings.min_rate

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
        request.id = next(request_ids)
        if self._trusted:
            self._believe_proxy(request)
        exchange = self._exchange = Exchange(self, host, request)
        began, sent = (trio.current_time(), self.sent) if host.access_log is not None else (0.0, 0)
        self.since = host.now
        self.deadline = math.inf
        self.running = True
        try:
            await host.app(self._make_scope(request), exchange.receive, exchange.send)
            await exchange.finish(None)
        except BaseException as exc:
            if must_pass(exc):
                raise
            if self.reason and is_gone(exc):
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
                self._log_access(exchange, began, sent)
        return exchange.keep_alive

    async def _open_websocket(self, request: Request) -> None:
        """Run the application on a WebSocket, unless the handshake is not valid."""
        host, parser = self._host, self.parser
        parser.held -= request.held
        host.budget.free += request.held
        request.id = next(request_ids)
        if self._trusted:
            self._believe_proxy(request)
        try:
            answer = answer_key(request.headers)
        except HttpError as error:
            await self._refuse(error)
            return
        exchange = Exchange(self, host, request)
        opened = WebSocket(self, exchange, answer, early=parser.early, settings=host.settings, budget=host.budget)
        scope = self._make_scope(request)
        scope.update(
            type="websocket",
            scheme="wss" if self._scheme == "https" else "ws",
            subprotocols=read_subprotocols(request.headers),
            extensions={"websocket.http.response": {}},
        )
        del scope["method"]
        began = trio.current_time()
        self.since = host.now
        self.deadline = math.inf
        self.running = True
        try:
            await opened.run(host.app, scope)
        finally:
            self.running = False
            exchange.over()
            if host.access_log is not None:
                self._log_access(exchange, began, 0)

    def _believe_proxy(self, request: Request) -> None:
        """Take client, scheme, host and the request's id from the headers of a trusted proxy."""
        host, headers = self._host, request.headers
        assert host.proxies is not None
        given = REQUEST_ID.fullmatch(dict(headers).get(b"x-request-id", b""))
        if given:
            request.id = given[0].decode()
        origin = host.proxies.find_origin(self._peer or ("", 0), headers)
        self._client = (origin.address, origin.port) if origin.address else None
        self._scheme = origin.scheme or "http"
        if origin.host:
            # The name by which the client knows the server: what the application, and its checks, have to see.
            request.headers = [(b"host", origin.host.encode()), *(each for each in headers if each[0] != b"host")]

    def _log_access(self, exchange: Exchange, began: float, sent: int) -> None:
        access_log, client = self._host.access_log, self._client
        assert access_log is not None
        seconds = trio.current_time() - began
        access_log(Access(exchange.request, client[0] if client else "", exchange.status, seconds, self.sent - sent))

    def _make_scope(self, request: Request) -> Scope:
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": request.version,
            "method": request.method,
            "scheme": self._scheme,
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": self._client,
            "server": self._server,
            "state": {**self._host.state, "request_id": request.id},
            "extensions": {"http.response.trailers": {}},
        }

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `ClientGone` if nobody takes it."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise self._note_lost(exc) from exc
        self.sent += sent
        if sent < len(data):
            await self._write_rest(memoryview(data)[sent:])

    async def _write_rest(self, data: memoryview) -> None:
        """Wait for the client to read. Each byte buys a little time, so that a client may be slow, but not drip."""
        host, settings = self._host, self._host.settings
        deadline, began = self.deadline, trio.current_time()
        self.stuck = True
        while data:
            left = settings.send_timeout + self.sent / settings.min_rate - self._waited
            self.deadline = min(host.now + settings.send_timeout, began + left)
            await trio.lowlevel.wait_writable(self.sock)
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self._note_lost(exc) from exc
            data = data[sent:]
            self.sent += sent
        self._waited += trio.current_time() - began
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


def _read_address(of: Callable[[], Any]) -> tuple[str, int] | None:
    try:
        name = of()
    except OSError:
        return None
    # A Unix socket has a path for an address, and its clients have none.
    return (normalize(name[0]), name[1]) if isinstance(name, tuple) else None
