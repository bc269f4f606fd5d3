"""The same application on Hypercorn, where TLS and HTTP/2 in the process are wanted. Knows no route.

`HypercornServer` stands in for `Server`: it starts, tells and stops alike. Hypercorn hands an application the body in
pieces and tells it of a hang-up. `Adapter` gives the application what the own server gives: a whole body within its
bound, an end when the client has gone, request ids, the word of trusted proxies, and the access log.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from agno_rt.errors import UsageError
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.http.asgi import JSON, ASGIApp, Message, Receive, Scope, Send, respond
from agno_rt_serve.http.host import Access, AccessLog
from agno_rt_serve.http.lifespan import Lifespan
from agno_rt_serve.http.listening import Address, bind, name_of
from agno_rt_serve.http.protocol import Request
from agno_rt_serve.http.proxies import Proxies, normalize
from agno_rt_serve.http.response import REQUEST_ID, request_ids
from agno_rt_serve.settings import Settings

if TYPE_CHECKING:
    from hypercorn.config import Config

__all__ = ["Adapter", "HypercornServer", "check_hypercorn"]

# Seconds for streams to end after the grace period, before their tasks are cancelled.
_LAST_WORDS = 2.0
# Seconds for Hypercorn to close its listeners.
_CLOSING = 0.1
# Hypercorn ends a connection after a thousand requests, and clients lose the requests under way on it.
_ENDLESS = 1 << 60


class HypercornServer:
    """Serves an ASGI application by Hypercorn, under trio, as `Server` does. TLS needs `tls_cert` and `tls_key`."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        cancel_runs: Callable[[], None] = lambda: None,
        access_log: AccessLog | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.addresses: list[Address] = []
        self._app = app
        self._settings = settings
        self._cancel_runs = cancel_runs
        self._stopped = trio.Event()
        self._aborted = trio.Event()
        self._adapter = Adapter(app, settings, self._stopped, access_log)
        self._adapter.state = dict(state or {})

    @property
    def busy(self) -> int:
        """The number of requests under way."""
        return self._adapter.running

    def stop(self, *, linger: float = 0.0) -> None:
        """Stop accepting, and let running requests end within the grace period. Hypercorn closes idle connections."""
        self._stopped.set()

    def abort(self) -> None:
        """Stop now."""
        self._aborted.set()
        self._stopped.set()

    async def serve(
        self,
        *,
        announce: Callable[[list[Address]], None] = lambda addresses: None,
        listeners: Sequence[socket.socket] = (),
        inner: Sequence[socket.socket] = (),
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve until `stop()` or `abort()`; once requests can come, `announce` is called with the addresses.

        Listens on `listeners`, and closes them; without any, on the host and the port of the settings. `inner` are
        listeners that are not announced, for other workers. Once no listener accepts any more, `closed` is called.
        Raises `UsageError` if listening fails, and without the package hypercorn.
        """
        config = _make_config(self._settings)
        hypercorn_serve = _load_hypercorn()
        with ExitStack() as listening:
            listeners = listeners or bind(self._settings.host, self._settings.port)
            self.addresses = [name_of(sock) for sock in listeners]
            for sock in (*listeners, *inner):
                listening.enter_context(sock)
            # Hypercorn closes the sockets itself.
            binds = [f"fd://{sock.detach()}" for sock in listeners]
            inner_binds = [f"fd://{sock.detach()}" for sock in inner]
            config.bind = binds if config.ssl_enabled else [*binds, *inner_binds]
            config.insecure_bind = inner_binds if config.ssl_enabled else []
        lifespan = Lifespan(self._app)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lifespan.run)
            if await lifespan.startup():
                self._adapter.state |= lifespan.state
                async with trio.open_nursery() as serving:
                    serve = partial(hypercorn_serve, self._adapter, config, shutdown_trigger=self._wait, mode="asgi")
                    await serving.start(self._run, serve, serving.cancel_scope)
                    serving.start_soon(self._end_in_time, serving.cancel_scope)
                    serving.start_soon(self._tell_closed, closed)
                    announce(self.addresses)
                await lifespan.shutdown()
            nursery.cancel_scope.cancel()
        if lifespan.failure is not None:
            raise lifespan.failure

    async def _run(
        self, serve: Callable[..., Any], scope: trio.CancelScope, *, task_status: trio.TaskStatus[Any]
    ) -> None:
        await serve(task_status=task_status)
        scope.cancel()

    async def _wait(self) -> None:
        """Wait until the server is to refuse connections."""
        await self._stopped.wait()
        with trio.move_on_after(self._settings.drain_delay):
            await self._aborted.wait()

    async def _tell_closed(self, closed: Callable[[], None]) -> None:
        await self._wait()
        # Hypercorn does not tell when its listeners are closed: some passes of the event loop after `_wait`.
        await trio.sleep(_CLOSING)
        closed()

    async def _end_in_time(self, scope: trio.CancelScope) -> None:
        await self._stopped.wait()
        with trio.move_on_after(self._settings.drain_delay + self._settings.grace):
            await self._aborted.wait()
        self._cancel_runs()
        if not self._aborted.is_set():
            await trio.sleep(_LAST_WORDS)
        scope.cancel()


class Adapter:
    """An ASGI application that passes each request on as the own server does."""

    def __init__(
        self, app: ASGIApp, settings: Settings, stopping: trio.Event, access_log: AccessLog | None = None
    ) -> None:
        self.running = 0
        self.state: dict[str, Any] = {}
        self._app = app
        self._settings = settings
        self._stopping = stopping
        self._access_log = access_log
        proxies = settings.trusted_proxies
        self._proxies = Proxies(proxies, settings.proxy_headers) if proxies else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or run a WebSocket."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        exchange = _Exchange(send)
        self._describe(scope, exchange)
        began = trio.current_time()
        self.running += 1
        try:
            if scope["type"] == "http":
                await self._run_http(scope, receive, exchange)
            else:
                await self._app(scope, receive, exchange.send)
        finally:
            self.running -= 1
            if self._access_log is not None:
                self._access_log(self._make_access(scope, exchange, trio.current_time() - began))

    def _describe(self, scope: Scope, exchange: _Exchange) -> None:
        """Complete the scope: request id, state, and the client that a trusted proxy names."""
        exchange.id = next(request_ids)
        client = scope.get("client")
        peer = (normalize(client[0]), client[1] or 0) if client else ("", 0)
        if self._proxies is not None and self._proxies.trusts(peer[0]):
            headers = list(scope["headers"])
            given = REQUEST_ID.fullmatch(dict(headers).get(b"x-request-id", b""))
            exchange.id = given[0].decode() if given else exchange.id
            origin = self._proxies.find_origin(peer, headers)
            scope["client"] = (origin.address, origin.port) if origin.address else None
            if origin.scheme:
                scope["scheme"] = origin.scheme.replace("http", "ws") if scope["type"] == "websocket" else origin.scheme
            if origin.host:
                scope["headers"] = [
                    (b"host", origin.host.encode()),
                    *(each for each in headers if each[0] != b"host"),
                ]
        scope["state"] = {**self.state, "stopping": self._stopping, "request_id": exchange.id}

    async def _run_http(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            body = await self._read_body(scope, receive)
        except HttpError as error:
            await respond(exchange.send, error.status, JSON, error_body(error))
            return
        if body is None:
            return  # the client left in the middle of its request
        gone = trio.Event()
        given = False

        async def receive_whole() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch(scope: trio.CancelScope) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            # A complete answer ends with a disconnect as well: Hypercorn is not to be cancelled while it notes the end.
            if not exchange.complete:
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            await self._app(scope, receive_whole, exchange.send)
            nursery.cancel_scope.cancel()

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the whole body. Raises `HttpError` 408 or 413."""
        settings = self._settings
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        parts: list[bytes] = []
        size = int(length) if length.isdigit() else 0
        with trio.move_on_after(settings.body_timeout + settings.max_body / settings.min_rate) as time:
            while size <= settings.max_body:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    return b"".join(parts)
                size = max(size, sum(map(len, parts)))
        if time.cancelled_caught:
            raise HttpError(408, "timeout", "the request did not arrive in time", "Send it again.")
        hint = "Send less, or raise max_body in [plugins.serve]."
        raise HttpError(413, "body_too_large", f"the request's body is larger than {settings.max_body} bytes", hint)

    def _make_access(self, scope: Scope, exchange: _Exchange, seconds: float) -> Access:
        raw_path, query = scope.get("raw_path") or b"", scope.get("query_string", b"")
        method, version = scope.get("method", "GET"), scope.get("http_version", "")
        request = Request(method, scope["path"], raw_path, query, version, [], True, id=exchange.id)
        client = scope.get("client")
        return Access(request, client[0] if client else "", exchange.status, seconds, exchange.sent)


class _Exchange:
    """The answer under way: its request's id, status, and size. `complete` once the last piece is being sent."""

    def __init__(self, send: Send) -> None:
        self.id = ""
        self.status = self.sent = 0
        self.complete = False
        self._send = send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on. The head waits for the first piece of the body, so that it can tell the length."""
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            self.status = message.get("status", 101)
            headers = [each for each in message.get("headers", ()) if each[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", self.id.encode())]}
            if kind == "http.response.start":
                self._start = message
                return
        body = message.get("body", b"")
        self.sent += len(body)
        if kind == "http.response.body":
            trails = self._start is not None and self._start.get("trailers")
            if self._start is not None:
                await self._send_start(self._start, None if message.get("more_body") or trails else len(body))
            self.complete = not message.get("more_body")
        await self._send(message)

    async def _send_start(self, start: Message, length: int | None) -> None:
        names = {name.lower() for name, _ in start["headers"]}
        if length is not None and start["status"] not in (204, 304) and b"content-length" not in names:
            start["headers"].append((b"content-length", b"%d" % length))
        self._start = None
        await self._send(start)


async def _live(receive: Receive, send: Send) -> None:
    """Answer Hypercorn's lifespan: the application's own is run by the server."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _load_hypercorn() -> Callable[..., Any]:
    protocol: Any = importlib.import_module("hypercorn.protocol")
    from hypercorn.events import Closed
    from hypercorn.protocol.h2 import H2Protocol
    from hypercorn.trio import serve

    class GoingAway(H2Protocol):
        """Tells an idle client of a stopping server to go (RFC 9113, 6.8), which Hypercorn 0.18 leaves out."""

        async def handle(self, event: Any) -> None:
            if isinstance(event, Closed) and not self.closed and self.context.terminated.is_set():
                self.connection.close_connection()
                await self._flush()
            await super().handle(event)

    if protocol.H2Protocol is H2Protocol:
        protocol.H2Protocol = GoingAway
    return serve


def check_hypercorn(settings: Settings) -> None:
    """Raise `UsageError` for settings of TLS that do not fit together, and if hypercorn is missing."""
    if settings.server == "hypercorn":
        _make_config(settings)
    elif settings.tls_cert or settings.tls_key:
        hint = "Use --server hypercorn, or a proxy in front: it is faster."
        raise UsageError("the own server does not speak TLS", hint=hint)


def _make_config(settings: Settings) -> Config:
    """Return Hypercorn's settings. Raises `UsageError` without the package, or for half of a certificate."""
    try:
        from hypercorn.config import Config
    except ImportError as exc:
        hint = "Install it: pip install 'agno-rt-serve[hypercorn]'."
        raise UsageError("--server hypercorn needs the package hypercorn", hint=hint) from exc
    config = Config()
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError("TLS needs both tls_cert and tls_key", hint="Give --tls-cert FILE and --tls-key FILE.")
    for path in filter(None, (settings.tls_cert, settings.tls_key)):
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be read", hint="Name the files of the certificate and of its key.")
    config.certfile, config.keyfile = settings.tls_cert or None, settings.tls_key or None
    # The own grace period comes first; Hypercorn only cancels what is left.
    config.graceful_timeout = settings.drain_delay + settings.grace + _LAST_WORDS
    config.keep_alive_timeout = settings.keep_alive
    config.keep_alive_max_requests = _ENDLESS
    config.read_timeout = None
    config.ssl_handshake_timeout = settings.head_timeout
    config.h11_max_incomplete_size = config.h2_max_header_list_size = settings.max_head
    config.websocket_max_message_size = settings.max_body
    config.websocket_ping_interval = settings.ping
    config.include_server_header = False
    config.loglevel = "WARNING"
    return config
