"""The proxy of `agno_rt.testing` passes, cuts, resets, stalls and refuses connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest
import trio

from agno_rt.errors import UsageError
from agno_rt.testing import Proxy, open_proxy

SECONDS = 60.0


class EchoServer:
    """A server in threads that sends everything back, and counts the bytes received."""

    def __init__(self) -> None:
        self.received = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.received += len(data)
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        """Stop accepting."""
        with suppress(OSError):
            # Ends the `accept` of the other thread, which would keep the port open.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    """Start a server."""
    with closing(EchoServer()) as server:
        yield server


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[Proxy]:
    """Open a proxy to the server."""
    with open_proxy("127.0.0.1", server.port) as proxy:
        yield proxy


def test_a_port_that_refuses_stays_the_proxys(proxy: Proxy) -> None:
    """While connections are refused, no client of the system gets the port, and so the proxy can accept again."""
    proxy.refuse()
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind((proxy.host, proxy.port))
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.accept()
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"hello"


def connect(proxy: Proxy) -> socket.socket:
    """Connect to the proxy."""
    return socket.create_connection((proxy.host, proxy.port), timeout=SECONDS)


def ask(connection: socket.socket, text: bytes) -> bytes:
    """Send the text, and read as many bytes."""
    connection.sendall(text)
    return read(connection, len(text))


def read(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes, or all until the end."""
    found = b""
    while len(found) < size and (more := connection.recv(65_536)):
        found += more
    return found


def test_passes_everything_on(proxy: Proxy) -> None:
    """Bytes pass both ways, however many, and connections are counted."""
    text = b"x" * 300_000
    with connect(proxy) as one, connect(proxy) as other:
        assert ask(one, b"one") == b"one"
        threading.Thread(target=other.sendall, args=(text,)).start()
        assert read(other, len(text)) == text
        assert (proxy.accepted, proxy.open) == (2, 2)


def test_cuts_connections(proxy: Proxy) -> None:
    """A cut connection ends in order; a new one works."""
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        assert proxy.cut() == 1
        assert connection.recv(10) == b""
    with connect(proxy) as connection:
        assert ask(connection, b"two") == b"two"


def test_resets_connections(proxy: Proxy) -> None:
    """A reset connection fails at once; a new one works."""
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        assert proxy.cut(reset=True) == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with connect(proxy) as connection:
        assert ask(connection, b"two") == b"two"


def test_stalls_and_resumes(proxy: Proxy) -> None:
    """Nothing passes while the proxy stalls, not even on new connections; everything passes after that."""
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        proxy.stall()
        with connect(proxy) as other:
            for each in (connection, other):
                each.settimeout(0.1)
                each.sendall(b"two")
                with pytest.raises(TimeoutError):
                    each.recv(10)
            proxy.resume()
            for each in (connection, other):
                each.settimeout(SECONDS)
                assert read(each, 3) == b"two"


def test_loses_a_reply(proxy: Proxy, server: EchoServer) -> None:
    """The server gets the request, and the client a reset in place of the reply, once."""
    with connect(proxy) as connection:
        proxy.lose_reply()
        connection.sendall(b"one")
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
        assert server.received == 3
    with connect(proxy) as connection:
        assert ask(connection, b"two") == b"two"


def test_refuses_and_accepts(proxy: Proxy) -> None:
    """New connections are refused, while the present one goes on, until they are accepted again."""
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert ask(connection, b"two") == b"two"
        proxy.accept()
        with connect(proxy) as other:
            assert ask(other, b"three") == b"three"


async def test_cuts_a_connection_whose_server_has_not_answered_yet() -> None:
    """A client that is connected to the proxy alone is cut as well."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy:
        address = busy.getsockname()
        with open_proxy(*address) as proxy, ExitStack() as stack:
            for _ in range(2):  # as many as wait for `accept`: the system lets further clients wait
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(address)
            with connect(proxy) as connection:
                with trio.fail_after(SECONDS):
                    while proxy.accepted == 0:  # noqa: ASYNC110 - the proxy has a thread of its own
                        await trio.sleep(0.001)
                assert proxy.cut() == 1
                assert connection.recv(10) == b""


def test_refuses_clients_that_connect_in_the_same_moment(proxy: Proxy) -> None:
    """Clients come and go all the time, while connections are refused, reset and accepted again: the proxy stays."""
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            with suppress(OSError), connect(proxy) as connection:
                connection.sendall(b"x")

    clients = [threading.Thread(target=come_and_go) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for _ in range(100):
            proxy.refuse()
            proxy.cut(reset=True)
            proxy.accept()
            proxy.cut(reset=True)
    finally:
        is_over.set()
        for client in clients:
            client.join()
    with connect(proxy) as connection:
        assert ask(connection, b"one") == b"one"


def test_closes_with_its_block(server: EchoServer) -> None:
    """After the block, connections are closed and new ones refused."""
    with open_proxy("127.0.0.1", server.port) as proxy:
        connection = connect(proxy)
        assert ask(connection, b"one") == b"one"
    with connection:
        assert connection.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_needs_a_server(server: EchoServer) -> None:
    """Without a server, there is no proxy."""
    server.close()
    with pytest.raises(UsageError, match="no server"), open_proxy("127.0.0.1", server.port):
        raise AssertionError("never here")
