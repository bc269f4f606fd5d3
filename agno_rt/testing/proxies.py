"""A TCP proxy in front of a server, which cuts, resets and stalls the connections when a test says so.

The proxy runs in a thread of its own, so that it serves tests of any kind: several trio runs, threads, processes.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, final

import trio

from agno_rt.errors import UsageError

__all__ = ["Proxy", "open_proxy"]

T = TypeVar("T")

CHUNK = 65_536
WAIT_SECONDS = 60.0
"""How long a test waits for the proxy's thread: a busy machine takes its time."""

# No lingering: closing the socket sends a reset in place of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class _Link:
    """A client's connection, and the one to the server behind it, as soon as there is one."""

    def __init__(self, client: trio.SocketStream) -> None:
        self.client = client
        self.server: trio.SocketStream | None = None
        self.scope = trio.CancelScope()

    def close(self, *, reset: bool) -> None:
        """Close both connections at once. A closed one stays closed: each of several tasks may be the first."""
        for stream in (self.client, self.server):
            if stream is None or stream.socket.fileno() < 0:
                continue
            if reset:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            stream.socket.close()
        self.scope.cancel()


@final
class Proxy:
    """A proxy that passes every byte on until told otherwise, from `open_proxy`.

    `host` and `port` are the proxy's own. Every method may be called from any thread, also within trio, and returns
    when its effect has happened.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self.host = "127.0.0.1"
        self.port = 0
        self._accepted = 0
        self._links: set[_Link] = set()
        self._flows = trio.Event()
        self._loses_reply = False
        self._listener: trio.SocketListener | None = None
        self._reserved: socket.socket | None = None
        self._accepting: trio.CancelScope | None = None
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._ready = threading.Event()

    @property
    def accepted(self) -> int:
        """The number of connections so far."""
        return self._accepted

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._links)

    def cut(self, *, reset: bool = False) -> int:
        """Close every connection, both ways, and return their number; with `reset`, each side sees a reset.

        New connections are accepted as before.
        """
        return self._call(lambda: self._cut(reset))

    def stall(self) -> None:
        """Hold all bytes back from now on, of present and new connections, and keep the connections open."""
        self._call(self._stall)

    def resume(self) -> None:
        """Pass on the bytes that were held back, and everything after them."""
        self._call(self._flows.set)

    def lose_reply(self) -> None:
        """Drop the server's next bytes, once, and reset that connection: the server has carried out the request."""

        def lose() -> None:
            self._loses_reply = True

        self._call(lose)

    def refuse(self) -> None:
        """Refuse new connections from now on. Present ones go on."""
        self._call(self._refuse)

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery, self._token = nursery, trio.lowlevel.current_trio_token()
            self._flows.set()
            await self._listen()
            self._ready.set()
            await trio.sleep_forever()

    def accept(self) -> None:
        """Accept new connections again, at the same port."""
        done = threading.Event()

        async def listen() -> None:
            try:
                await self._listen()
            finally:
                done.set()

        def start() -> None:
            assert self._nursery is not None
            self._nursery.start_soon(listen)

        self._call(start)
        done.wait(WAIT_SECONDS)

    async def _listen(self) -> None:
        assert self._nursery is not None
        if self._listener is None:
            sock, self._reserved = self._reserved or self._bind(), None
            sock.listen()
            self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            self._accepting = trio.CancelScope()
            self._nursery.start_soon(self._accept, self._listener, self._accepting)

    async def _accept(self, listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        assert self._nursery is not None
        # A client that connects in the moment of `refuse` wakes this task, which then finds the socket closed.
        with scope, suppress(trio.ClosedResourceError):
            while True:
                link = _Link(await listener.accept())
                self._accepted += 1
                # From here on, so that `cut` misses no client that takes itself to be connected.
                self._links.add(link)
                self._nursery.start_soon(self._serve, link)

    async def _serve(self, link: _Link) -> None:
        try:
            with link.scope:
                link.server = await trio.open_tcp_stream(*self._to)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass, link, link.client, link.server)
                    nursery.start_soon(self._pass, link, link.server, link.client)
        except OSError:
            link.close(reset=True)
        finally:
            self._links.discard(link)
            link.close(reset=False)

    async def _pass(self, link: _Link, source: trio.SocketStream, to: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(CHUNK):
                if self._loses_reply and source is link.server:
                    self._loses_reply = False
                    link.close(reset=True)
                    return
                while not self._flows.is_set():
                    await self._flows.wait()
                await to.send_all(data)
            await to.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            link.close(reset=False)

    def _cut(self, reset: bool) -> int:
        links = list(self._links)
        for link in links:
            link.close(reset=reset)
        self._links.clear()
        return len(links)

    def _stall(self) -> None:
        if self._flows.is_set():
            self._flows = trio.Event()

    def _refuse(self) -> None:
        if self._listener is not None and self._accepting is not None:
            self._accepting.cancel()
            self._listener.socket.close()
            self._listener = None
            # Bound, not listening: connections are refused, and no other socket of the system gets the port.
            self._reserved = self._bind()

    def _bind(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.host, self.port))
        self.port = sock.getsockname()[1]
        return sock

    def _close(self) -> None:
        self._refuse()
        self._cut(False)
        if self._reserved is not None:
            self._reserved.close()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    def _call(self, function: Callable[[], T]) -> T:
        """Call the function in the proxy's thread."""
        assert self._token is not None
        done, found = threading.Event(), []

        def call() -> None:
            found.append(function())
            done.set()

        self._token.run_sync_soon(call)
        if not done.wait(WAIT_SECONDS):
            raise TimeoutError("the proxy's thread does not answer")
        return found[0]


@contextmanager
def open_proxy(host: str, port: int) -> Iterator[Proxy]:
    """Open a proxy to the server at `host` and `port`, on a free port of this machine; close the proxy after the block.

    Raises `UsageError` if the server does not accept connections.
    """
    try:
        socket.create_connection((host, port), timeout=WAIT_SECONDS).close()
    except OSError as exc:
        raise UsageError(f"no server at {host}:{port}: {exc}", hint="Start the server before the proxy.") from exc
    proxy = Proxy(host, port)
    thread = threading.Thread(target=trio.run, args=(proxy._main,), name=f"proxy of {host}:{port}", daemon=True)
    thread.start()
    if not proxy._ready.wait(WAIT_SECONDS):
        raise TimeoutError("the proxy did not start")
    try:
        yield proxy
    finally:
        proxy._call(proxy._close)
        thread.join(WAIT_SECONDS)
