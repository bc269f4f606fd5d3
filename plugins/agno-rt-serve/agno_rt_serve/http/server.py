"""The server under trio: listens, starts a task for each connection, watches connections, drains. Knows no route.

The watch is a single task. A few times a second it reads the clock, ends connections past their deadline, and asks the
operating system in one call which clients of running requests have hung up.

If there are too many connections, the idlest are closed. If requests hold too many bytes, the slowest to arrive are
given up. See `_crowd_out` and `_shed`. A request under way is never ended for another.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from email.utils import formatdate
from typing import Any

import trio

from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import ASGIApp
from agno_rt_serve.http.budget import Budget
from agno_rt_serve.http.connection import BODY, HEAD, IDLE, Connection
from agno_rt_serve.http.host import AccessLog
from agno_rt_serve.http.lifespan import Lifespan
from agno_rt_serve.http.listening import Address, bind, name_of
from agno_rt_serve.http.protocol import no_room
from agno_rt_serve.http.proxies import Proxies
from agno_rt_serve.http.response import error_response
from agno_rt_serve.settings import Settings

__all__ = ["Server"]

# Seconds between two looks of the watch.
_TICK = 0.05
# Seconds for streams to end after the grace period, before their tasks are cancelled.
_LAST_WORDS = 2.0
# After so many seconds of arriving, a request may be given up for others when memory for bodies is short.
_SLOW = 1.0
# The most rankings of all connections in one tick, if none of them finds a connection to close.
_RANKINGS = 3
# So many clients at once are turned away with a sure answer; the answer to any more may get lost.
_TURNED_AWAY = 100
# So many connections are closed at once when the process has reached its limit of open files.
_FILES_FREED = 50
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Server:
    """Serves an ASGI application over HTTP/1.1.

    `cancel_runs` is called when the grace period is over: the application then has a moment to end its streams with a
    last word, before its tasks are cancelled. Requests without an answer get a 503. `access_log` is called after each
    response.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        cancel_runs: Callable[[], None] = lambda: None,
        access_log: AccessLog | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.access_log = access_log
        # What each request's scope has as its state.
        self.state: dict[str, Any] = dict(state or {})
        # Answers tell clients to close; and idle connections are closed at once.
        self.draining = self.closes_idle = False
        self.now = 0.0
        self.date = b""
        self.addresses: list[Address] = []
        self.proxies = Proxies(settings.trusted_proxies, settings.proxy_headers) if settings.trusted_proxies else None
        self.budget = Budget(settings.body_memory, self._shed)
        self._cancel_runs = cancel_runs
        self._connections: set[Connection] = set()
        # The number of connections by the client's address.
        self._shares: Counter[str] = Counter()
        self._turned_away = 0
        # Connections with the least claim to their places, the least last; and the number of rankings in this tick.
        self._ranked: list[tuple[tuple[int, float], Connection]] = []
        self._rankings = 0
        self._shed_at = -1.0
        self._second = 0
        self._stopped = trio.Event()
        self._linger = 0.0
        self._aborted = trio.Event()
        self._first_came = trio.Event()
        self._last_left = trio.Event()

    @property
    def connections(self) -> int:
        """The number of connected clients."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """The number of clients with a request under way."""
        return sum(not connection.idle for connection in self._connections)

    def stop(self, *, linger: float = 0.0) -> None:
        """Stop accepting, let running requests end within the grace period, close idle connections.

        For `linger` seconds idle connections may still bring a request, whose answer tells the client to close. Without
        it a client could send a request just as its connection is closed, and would not know whether it was served.
        """
        self._linger = linger
        self.draining = self.draining or not self.settings.drain_delay
        self._stopped.set()

    def abort(self) -> None:
        """Stop now."""
        self._aborted.set()
        self.stop()

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
        Raises `UsageError` if listening fails.
        """
        with ExitStack() as listening:
            listeners = listeners or bind(self.settings.host, self.settings.port)
            self.addresses = [name_of(sock) for sock in listeners]
            listeners = [listening.enter_context(sock) for sock in (*listeners, *inner)]
            lifespan = Lifespan(self.app)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lifespan.run)
                if await lifespan.startup():
                    self.state = {**self.state, **lifespan.state, "stopping": self._stopped}
                    async with trio.open_nursery() as connections:
                        self._listen(listeners, connections)
                        announce(self.addresses)
                        await self._stopped.wait()
                        with trio.move_on_after(self.settings.drain_delay):
                            await self._aborted.wait()
                        self.draining = True
                        for sock in listeners:
                            trio.lowlevel.notify_closing(sock)
                        listening.close()
                        closed()
                        await self._drain()
                        connections.cancel_scope.cancel()
                    await lifespan.shutdown()
                nursery.cancel_scope.cancel()
        if lifespan.failure is not None:
            raise lifespan.failure

    def _listen(self, listeners: Sequence[socket.socket], nursery: trio.Nursery) -> None:
        self._read_clock()
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
                    for _ in range(_FILES_FREED):
                        self._crowd_out()
                    # The closed connections free their files once their tasks run.
                    await trio.sleep(_TICK)
                continue
            sock.setblocking(False)
            # Each event of a stream goes out at once: the kernel must not wait for more data.
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            nursery.start_soon(self._serve_connection, Connection(self, sock))

    async def _serve_connection(self, connection: Connection) -> None:
        address = connection.address
        if address and not connection.trusted and self._shares[address] >= self.settings.max_per_client:
            await self._turn_away(connection, _too_many_of_one_client(address))
            return
        if len(self._connections) >= self.settings.max_connections and not self._crowd_out():
            await self._turn_away(connection, _too_many_connections())
            return
        if not self._connections:
            self._read_clock()
            self._first_came.set()
        self._connections.add(connection)
        self._shares[address] += 1
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._leave_place(address)
            if not self._connections:
                self._last_left.set()

    def _leave_place(self, address: str) -> None:
        self._shares[address] -= 1
        if not self._shares[address]:
            del self._shares[address]

    async def _turn_away(self, connection: Connection, error: HttpError) -> None:
        if self._turned_away >= _TURNED_AWAY:
            with connection.sock as sock, suppress(OSError):
                sock.send(error_response(error, self.date))
            return
        self._turned_away += 1
        try:
            await connection.turn_away(error)
        finally:
            self._turned_away -= 1

    def _crowd_out(self) -> bool:
        """Close the connection with the least claim to its place. Return False if every connection keeps its place.

        A ranking serves many calls, and a tick has a few rankings at most: to rank all connections for each client of a
        flood would cost more than the flood. A connection that has moved on since is passed over.
        """
        while True:
            while self._ranked:
                claim, connection = self._ranked.pop()
                if connection not in self._connections or connection.claim != claim:
                    continue
                # An idle client's next request may have arrived unread: spare the connection.
                if claim[0] != IDLE or not _has_unread(connection.sock):
                    connection.crowd_out(_too_many_connections())
                    self._connections.discard(connection)
                    self._rankings = 0
                    return True
            if self._rankings >= _RANKINGS:
                return False
            self._rank_connections()

    def _rank_connections(self) -> None:
        self._rankings += 1
        shares = self._shares
        ranked = [(claim, each) for each in self._connections if (claim := each.claim) is not None]
        # Among equal claims, the address with the most connections goes first: one client cannot drive out the rest.
        ranked.sort(key=lambda pair: (pair[0][0], -shares[pair[1].address], pair[0][1]), reverse=True)
        # Only a part, because the shares change as connections go.
        self._ranked = ranked[-(len(ranked) // 10 + 1) :]

    def _shed(self, missing: int) -> None:
        """Give up requests that have been arriving for long, the oldest first, until `missing` more bytes are free."""
        if self._shed_at == self.now:
            return
        self._shed_at = self.now
        enough = self.budget.free + missing
        arriving = [(claim, each) for each in self._connections if (claim := each.claim) and claim[0] in (HEAD, BODY)]
        for (_, since), connection in sorted(arriving, key=lambda pair: pair[0][1]):
            if self.now - since < _SLOW:
                break
            if self.budget.free >= enough:
                break
            connection.crowd_out(no_room())

    async def _watch(self) -> None:
        while True:
            if not self._connections:
                self._first_came = trio.Event()
                await self._first_came.wait()
            await trio.sleep(_TICK)
            self._end_overdue()

    def _end_overdue(self) -> None:
        """End connections past their deadline, and connections whose clients have left a running request."""
        before = self.now
        self._rankings = 0
        self._read_clock()
        for connection in [each for each in self._connections if each.deadline < self.now]:
            connection.end("timeout")
        running = [each for each in self._connections if each.running and each.since < before]
        for connection in _find_hung_up(running):
            connection.end("gone")

    def _read_clock(self) -> None:
        self.now = trio.current_time()
        second = int(time.time())
        if second != self._second:
            self._second = second
            self.date = formatdate(second, usegmt=True).encode("ascii")

    async def _drain(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait_for_connections, nursery.cancel_scope)
            await self._aborted.wait()
            nursery.cancel_scope.cancel()
        for connection in list(self._connections):
            connection.end("stop")

    async def _wait_for_connections(self, scope: trio.CancelScope) -> None:
        # A connection that was accepted just before the listeners closed is counted once its task has begun.
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(self.settings.grace):
            with trio.move_on_after(self._linger):
                await self._wait_until_empty()
            self._close_idle()
            await self._wait_until_empty()
        self._close_idle()
        if self._connections:
            self._cancel_runs()
            for connection in list(self._connections):
                if connection.unanswered:
                    connection.end("stop")
            with trio.move_on_after(_LAST_WORDS):
                await self._wait_until_empty()
        scope.cancel()

    def _close_idle(self) -> None:
        self.closes_idle = True
        for connection in list(self._connections):
            # A request may have arrived unread: it is read, and its answer tells the client to close.
            if connection.idle and not _has_unread(connection.sock):
                connection.end("stop")

    async def _wait_until_empty(self) -> None:
        while self._connections:
            self._last_left = trio.Event()
            await self._last_left.wait()


def _too_many_connections() -> HttpError:
    hint = "Try again later, or raise max_connections in [plugins.serve]."
    message = "the server has reached its limit of connections"
    return HttpError(503, "too_many_connections", message, hint, ((b"retry-after", b"1"),))


def _too_many_of_one_client(address: str) -> HttpError:
    hint = "Close some, or raise max_per_client in [plugins.serve]. If this is a proxy, name it in trusted_proxies."
    message = f"{address} has reached the limit of connections for one client"
    return HttpError(429, "too_many_connections", message, hint, ((b"retry-after", b"1"),))


def _has_unread(sock: socket.socket) -> bool:
    """Return whether the client has sent bytes that were not read yet."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _find_hung_up(connections: list[Connection]) -> Iterable[Connection]:
    closed = getattr(select, "POLLRDHUP", None)
    if closed is None:
        return [connection for connection in connections if _is_at_end(connection.sock)]
    poll = select.poll()
    by_number = {connection.sock.fileno(): connection for connection in connections}
    for number in by_number:
        poll.register(number, closed)
    return [by_number[number] for number, _ in poll.poll(0)] if by_number else []


def _is_at_end(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
