"""Connections to a Redis server: a few, shared by any number of calls, replaced after a break or a stall.

coredis sends the requests of many tasks over one connection, and answers come in the same order. A connection for each
task would cost more, and let the server write less at a time. A connection lives in a system task of trio, so that a
backend needs no block in the program.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio
from anyio import BrokenResourceError, EndOfStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from coredis.connection import TCPConnection, TCPLocation
from coredis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from coredis.exceptions import ConnectionError as LostConnection

from agno_rt.errors import BackendError
from agno_rt_redis.address import Address

__all__ = ["Link", "Stalled"]

BUSY_CALLS = 32
"""Calls under way over each connection before another connection is opened: one large answer holds up the others."""

FIRST_PAUSE, MOST_PAUSE = 0.01, 0.5
"""Seconds between two attempts; each pause is twice the one before."""

STALLED_SHARE = 0.4
"""The share of a call's timeout after which a connection without an answer is given up, so that another is tried."""


class Stalled(LostConnection):
    """The server did not answer in time."""


_PASSING = (LostConnection, BusyLoadingError, ReadOnlyError, TryAgainError, OSError)
"""Errors that may be gone at the next attempt: a server that is restarted, or replaced by its replica."""

_CLOSED = (BrokenResourceError, EndOfStream)
"""The errors without a text of a connection that the other side has closed."""

_REMEDIES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...] = (
    (
        (AuthenticationError, AuthorizationError),
        "",
        "Check the user and the password in the URL, and the user's rights.",
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        "Name the authority that signed the server's certificate, `ca=FILE` in the URL, and the host as in there.",
    ),
    (ssl.SSLError, "", "Check that the server takes TLS at this port; for a server without, write redis://."),
    (BusyLoadingError, "", "The server is loading its data: try again when it is done."),
    (ReadOnlyError, "", "The server is a replica: name the primary."),
    (Stalled, "", "The server or the network is overloaded or halted: try again. `timeout=` in the URL is the bound."),
    (RedisError, "OOM", "The server has no memory left: raise maxmemory, or delete old sessions and runs."),
    (RedisError, "MISCONF", "The server cannot write to its disk: look into its log. Nothing was stored."),
    (RedisError, "MOVED", "A cluster must be reached through a proxy: name a server that is not in cluster mode."),
    (RedisError, "WRONGTYPE", "Another program uses keys of this prefix: name another by `prefix=` in the URL."),
)


class _Lane:
    """A connection in a system task."""

    def __init__(self, address: Address, context: ssl.SSLContext | None) -> None:
        self.connection = TCPConnection(
            TCPLocation(address.host, address.port),
            connect_timeout=address.timeout * STALLED_SHARE,
            username=address.username or ("default" if address.password else None),
            password=address.password,
            db=address.db,
            ssl_context=context,
            socket_keepalive=True,
        )
        self.calls = 0
        self.opened = trio.Event()  # or failed to
        self.ended = trio.Event()
        self.error: Exception | None = None

    def started(self, value: None = None) -> None:
        """Note that the connection is usable. coredis calls the method."""
        self.opened.set()

    async def run(self) -> None:
        """Keep the connection until it breaks or is closed."""
        try:
            await self.connection.run(task_status=self)
        except Exception as exc:  # a system task that raises would end the program
            self.error = exc
        finally:
            self._close_buffers()
            self.opened.set()
            self.ended.set()

    def _close_buffers(self) -> None:
        # After a failure to connect, coredis 6.9 leaves buffers open, and anyio warns of each open buffer.
        for each in vars(self.connection).values():
            if isinstance(each, MemoryObjectSendStream | MemoryObjectReceiveStream):
                each.close()


class Link:
    """The connections of one trio run to a server.

    `is_checked` is true once the layout of the store's keys is known; `has_vectors` is true for a server with vector
    sets, and None before the first look.
    """

    def __init__(self, address: Address) -> None:
        self.is_checked = False
        self.has_vectors: bool | None = None
        self._address = address
        self._lanes: list[_Lane] = []
        self._waiting = 0
        self._context = _make_context(address)
        # Without a handler of the program's, Python would write coredis's records to the terminal.
        logging.getLogger("coredis").addHandler(logging.NullHandler())

    def statistics(self) -> tuple[int, int]:
        """Return the number of connections in use, and of calls that wait for a connection."""
        return sum(lane.calls > 0 for lane in self._lanes), self._waiting

    async def call(self, *command: bytes, shield: bool = False, timeout: float | None = None) -> Any:
        """Send a command and return the answer; send the command again if the connection is lost meanwhile.

        So a command that is sent twice must do nothing twice. With `shield`, a command cannot be cancelled after the
        sending. Raises `BackendError` without an answer in time, and coredis's errors for the server's errors.
        """
        seconds = self._address.timeout if timeout is None else timeout
        until, pause = trio.current_time() + seconds, FIRST_PAUSE
        reason: Exception | None = None
        with trio.CancelScope() as scope:
            while True:
                try:
                    lane = await self._take_lane(until)
                    scope.shield = shield
                    return await self._ask(lane, command, until)
                except _PASSING as exc:
                    # An attempt that the end of the time cut short says nothing: the one before tells why.
                    if reason is None or not (isinstance(exc, Stalled) and trio.current_time() >= until):
                        reason = exc
                    # The next attempt would get the same certificate.
                    is_final = isinstance(_find_cause(exc), ssl.SSLCertVerificationError)
                    if is_final or trio.current_time() + pause >= until:
                        raise self.explain(reason) from reason
                    await trio.sleep(pause)
                    pause = min(2 * pause, MOST_PAUSE)
                except RedisError as exc:
                    if isinstance(exc, AuthenticationError | AuthorizationError):
                        raise self.explain(exc) from exc
                    raise
        raise AssertionError("a scope that nobody cancels")

    def explain(self, exc: BaseException) -> BackendError:
        """Return the error for a failure of the server or the way to it."""
        told, tls = _find_cause(exc), self._address.tls
        other = "redis:// for a server without TLS" if tls else "rediss:// for a server that takes TLS alone"
        hint = f"Check that the server runs, and that its address is right: {other}."
        for kinds, sign, remedy in _REMEDIES:
            if isinstance(told, kinds) and sign in str(told):
                hint = remedy
                break
        if isinstance(told, Stalled) and tls:
            hint += f" Write {other}."
        text = "the server closed the connection" if isinstance(told, _CLOSED) else str(told) or type(told).__name__
        return BackendError(f"{self._address}: {text}", hint=hint)

    @asynccontextmanager
    async def own_connection(self) -> AsyncGenerator[TCPConnection, None]:
        """Open a connection for one task, to listen on. Raises coredis's errors."""
        lane = self._open_lane()
        self._lanes.remove(lane)
        try:
            with trio.fail_after(self._address.timeout * STALLED_SHARE):
                await lane.opened.wait()
            if lane.error is not None:
                raise lane.error
            yield lane.connection
        finally:
            lane.connection.invalidate()

    async def close(self) -> None:
        """Close all connections, and wait for the end of each."""
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            lane.connection.invalidate()
        for lane in lanes:
            # An attempt to connect ends at the timeout of attempts.
            if lane.connection.usable or lane.opened.is_set():
                await lane.ended.wait()
        await trio.lowlevel.checkpoint()

    async def _ask(self, lane: _Lane, command: tuple[bytes, ...], until: float) -> Any:
        lane.calls += 1
        seconds = min(self._address.timeout * STALLED_SHARE, until - trio.current_time())
        try:
            with trio.fail_after(max(seconds, 0.001)):
                return await lane.connection.create_request(command[0], *command[1:], decode=False)
        except trio.TooSlowError:
            # Later calls would wait behind the unanswered call.
            lane.connection.invalidate("it stalled")
            raise Stalled(f"no answer in {seconds:.3g} seconds") from None
        except ReadOnlyError:
            # The server became a replica: another connection may lead to the new primary.
            lane.connection.invalidate("the server is a replica")
            raise
        finally:
            lane.calls -= 1

    async def _take_lane(self, until: float) -> _Lane:
        """Return the least busy connection; open the first if none is open."""
        self._lanes = [lane for lane in self._lanes if not lane.ended.is_set()]
        usable = [lane for lane in self._lanes if lane.connection.usable]
        if usable:
            best = min(usable, key=lambda lane: lane.calls)
            if best.calls >= BUSY_CALLS and len(self._lanes) < self._address.connections:
                self._open_lane()
            return best
        lane = next((lane for lane in self._lanes if not lane.opened.is_set()), None) or self._open_lane()
        self._waiting += 1
        try:
            with trio.move_on_at(min(until, trio.current_time() + self._address.timeout * STALLED_SHARE)):
                await lane.opened.wait()
        finally:
            self._waiting -= 1
        if not lane.connection.usable:
            lane.connection.invalidate()
            self._lanes = [each for each in self._lanes if each is not lane]
            raise lane.error or Stalled("it does not let us connect")
        return lane

    def _open_lane(self) -> _Lane:
        lane = _Lane(self._address, self._context)
        self._lanes.append(lane)
        trio.lowlevel.spawn_system_task(lane.run, name=f"connection to {self._address}")
        return lane


def _find_cause(exc: BaseException) -> BaseException:
    """Return the reason why a connection was lost, or the exception itself."""
    while isinstance(exc, LostConnection) and exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


def _make_context(address: Address) -> ssl.SSLContext | None:
    """Return the context of verified TLS. Raises `BackendError` for a file of certificates that cannot be read."""
    if not address.tls:
        return None
    try:
        return ssl.create_default_context(cafile=address.ca)
    except (OSError, ssl.SSLError) as exc:
        hint = "Name a PEM file with the certificates to trust: `?ca=FILE`."
        raise BackendError(f"{address}: {address.ca}: {exc}", hint=hint) from exc
