"""The server under trio: listens, starts a task for each connection, watches them, drains. Knows no route.

The watch is one task for all connections. A few times a second it reads the clock, ends those past their deadline,
and asks the operating system in one call which clients of running requests have hung up.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from email.utils import formatdate
from typing import Any

import trio

from agno_rt_serve.asgi import JSON, ASGIApp
from agno_rt_serve.connection import AccessLog, Connection
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.lifespan import Lifespan
from agno_rt_serve.listening import Address, bind
from agno_rt_serve.response import ResponseWriter, request_ids
from agno_rt_serve.settings import Settings

__all__ = ["Server"]

_TICK = 0.05
_LAST_WORDS = 2.0
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Server:
    """Serves an ASGI application over HTTP/1.1.

    `cancel_runs` is called when the grace period is over: the application then has a moment to end with a last word
    what it is in the middle of answering, before its tasks are cancelled. Who has no answer yet gets a 503.
    `access_log` is called after each response with the request, the status (0 where the client left first) and the
    seconds it took.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        cancel_runs: Callable[[], None] = lambda: None,
        access_log: AccessLog | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.access_log = access_log
        self.state: dict[str, Any] = {}
        self.draining = False
        self.now = 0.0
        self.date = b""
        self.addresses: list[Address] = []
        self._cancel_runs = cancel_runs
        self._connections: set[Connection] = set()
        self._second = 0
        self._stopped = trio.Event()
        self._aborted = trio.Event()
        self._some = trio.Event()
        self._none = trio.Event()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """How many of them have a request under way."""
        return sum(not connection.idle for connection in self._connections)

    def stop(self) -> None:
        """Stop accepting, let running requests end within the grace period, close idle connections at once."""
        self.draining = True
        self._stopped.set()

    def abort(self) -> None:
        """Stop now."""
        self.stop()
        self._aborted.set()

    async def serve(
        self,
        *,
        announce: Callable[[list[Address]], None] = lambda addresses: None,
        listeners: Sequence[socket.socket] = (),
    ) -> None:
        """Serve until `stop()` or `abort()`; once requests can come, `announce` is called with the addresses.

        It listens on `listeners`, which it closes; without any, on the host and the port of the settings. Raises
        `UsageError` where these cannot be listened on.
        """
        with ExitStack() as listening:
            listeners = listeners or bind(self.settings.host, self.settings.port)
            for sock in listeners:
                listening.enter_context(sock)
            self.addresses = [sock.getsockname()[:2] for sock in listeners]
            lifespan = Lifespan(self.app)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lifespan.run)
                if await lifespan.startup():
                    self.state = lifespan.state
                    async with trio.open_nursery() as connections:
                        self._listen(listeners, connections)
                        announce(self.addresses)
                        await self._stopped.wait()
                        for sock in listeners:
                            trio.lowlevel.notify_closing(sock)
                        listening.close()
                        await self._drain()
                        connections.cancel_scope.cancel()
                    await lifespan.shutdown()
                nursery.cancel_scope.cancel()
        if lifespan.failure is not None:
            raise lifespan.failure

    def _listen(self, listeners: Sequence[socket.socket], nursery: trio.Nursery) -> None:
        self._look()
        nursery.start_soon(self._watch)
        for sock in listeners:
            nursery.start_soon(self._accept, sock, nursery)

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while not self.draining:
            try:
                await trio.lowlevel.wait_readable(listener)
            except trio.ClosedResourceError:
                return
            try:
                sock, _ = listener.accept()
            except OSError as exc:
                if exc.errno in _OUT_OF_FILES:
                    await trio.sleep(_TICK)
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._connections) >= self.settings.max_connections:
                self._turn_away(sock)
            else:
                nursery.start_soon(self._connect, sock)

    async def _connect(self, sock: socket.socket) -> None:
        if not self._connections:
            self._look()
            self._some.set()
        connection = Connection(self, sock)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._none.set()

    def _turn_away(self, sock: socket.socket) -> None:
        hint = "Try again later, or raise max_connections in [plugins.serve]."
        error = HttpError(503, "too_many_connections", "the server has as many connections as it may", hint)
        writer = ResponseWriter("GET", "1.1", keep_alive=False)
        writer.start(error.status, [*JSON, (b"retry-after", b"1")], self.date, next(request_ids))
        with sock:
            try:
                sock.send(writer.body(error_body(error), more=False))
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                return  # the client did not wait for it

    async def _watch(self) -> None:
        while True:
            if not self._connections:
                self._some = trio.Event()
                await self._some.wait()
            await trio.sleep(_TICK)
            before = self.now
            self._look()
            late = [connection for connection in self._connections if connection.deadline < self.now]
            for connection in late:
                connection.end("timeout")
            running = [
                connection for connection in self._connections if connection.running and connection.since < before
            ]
            for connection in _hung_up(running):
                connection.end("gone")

    def _look(self) -> None:
        self.now = trio.current_time()
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.date = formatdate(second, usegmt=True).encode("ascii")

    async def _drain(self) -> None:
        for connection in list(self._connections):
            if connection.idle:
                connection.end("stop")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait_for_connections, nursery.cancel_scope)
            await self._aborted.wait()
            nursery.cancel_scope.cancel()
        for connection in list(self._connections):
            connection.end("stop")

    async def _wait_for_connections(self, scope: trio.CancelScope) -> None:
        with trio.move_on_after(self.settings.grace):
            await self._empty()
        if self._connections:
            self._cancel_runs()
            for connection in list(self._connections):
                if connection.unanswered:
                    connection.end("stop")
            with trio.move_on_after(_LAST_WORDS):
                await self._empty()
        scope.cancel()

    async def _empty(self) -> None:
        while self._connections:
            self._none = trio.Event()
            await self._none.wait()


def _hung_up(connections: list[Connection]) -> Iterable[Connection]:
    closed = getattr(select, "POLLRDHUP", None)
    if closed is None:
        return [connection for connection in connections if _at_end(connection.sock)]
    poll = select.poll()
    by_number = {connection.sock.fileno(): connection for connection in connections}
    for number in by_number:
        poll.register(number, closed)
    return [by_number[number] for number, _ in poll.poll(0)] if by_number else []


def _at_end(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
