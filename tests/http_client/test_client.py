"""The pooled client of a server: connections, bounds, proxies, certificates, and what no failure may leave behind."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt.errors import ConfigError, ModelError, Overloaded, UsageError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import HttpServer
from agno_rt.testing import WireReply, WireServer, open_wire_server
from agno_rt.wire.refusals import Peer

PEER = Peer(name="plugin:m", provider="plugin", model="m", url="http://host/v1/chat", secrets=("password-1234",))
OK = WireReply((b"{}",))
SLOW_DOWN = WireReply((b'{"error": {"message": "Slow."}}',), 429, headers={"retry-after": "3"})
ENDLESS = WireReply((b"data: 1\n\n",), content_type="text/event-stream", ending="stall")


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server."""
    async with open_wire_server(OK) as server:
        yield server


def make_client(url: str, **settings: Any) -> HttpClient:
    """Make a client of the server at the address."""
    return HttpClient(HttpServer(base_url=url, **settings), "plugin", "agno-rt-test")


async def ask(client: HttpClient) -> bytes:
    """Send a request and read the answer."""
    async with client.post(client.server.url("chat"), b"{}", {"accept": "application/json"}, PEER) as answer:
        await answer.check()
        return await answer.read_all()


async def fail(client: HttpClient) -> ModelError:
    """Return the error of a request that must fail."""
    with trio.fail_after(30), pytest.raises(ModelError) as caught:
        await ask(client)
    return caught.value


class TestConnections:
    """Connections that are opened, used again and closed."""

    def test_no_http_library_before_the_first_request(self) -> None:
        """Importing the package and making a client do not import httpx2."""
        code = """
import sys
import agno_rt.http_client.streams
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import HttpServer
HttpClient(HttpServer(base_url="http://127.0.0.1:1"), "plugin", "agent").statistics()
sys.exit("httpx2" in sys.modules)
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    async def test_one_connection_serves_all_methods(self, server: WireServer) -> None:
        """A warmed connection serves the first request and the next ones; warming sends no key."""
        client = make_client(f"{server.url}/v1?version=2", headers={"x-key": "password-1234"})
        await client.warm(PEER)
        assert await ask(client) == b"{}"
        async with client.get(client.server.url("models"), {}, PEER) as answer:
            assert await answer.read_all() == b"{}"
        await client.aclose()
        assert [request.method for request in server.requests] == ["HEAD", "POST", "GET"]
        assert [request.path for request in server.requests[1:]] == ["/v1/chat?version=2", "/v1/models?version=2"]
        assert "x-key" not in server.requests[0].headers
        assert server.requests[1].headers["user-agent"] == "agno-rt-test"
        assert server.connections == 1

    async def test_warming_shows_that_nobody_listens(self) -> None:
        """A server that cannot be reached is an error already when warming."""
        async with open_wire_server() as gone:
            url = gone.url
        client = make_client(url)
        with pytest.raises(ModelError, match="cannot be reached"):
            await client.warm(PEER)
        assert client.statistics()[0].in_use == 0
        await client.aclose()

    async def test_an_error_has_everything_that_callers_decide_by(self, server: WireServer) -> None:
        """Status, retryability, wait, provider and the number of the request are in the error."""
        server.play(WireReply(SLOW_DOWN.pieces, 429, headers={"retry-after": "3", "request-id": "r1"}))
        client = make_client(server.url)
        error = await fail(client)
        await client.aclose()
        assert (error.status, error.retryable, error.retry_after) == (429, True, 3.0)
        assert (error.provider, error.request_id) == ("plugin", "r1")
        assert error.message == "plugin:m answered 429 Too Many Requests: Slow."


class TestBounds:
    """The pool under many requests."""

    async def test_a_thousand_at_once(self, server: WireServer) -> None:
        """A thousand requests hold no more connections than the limit, and all are answered."""
        client = make_client(server.url, max_connections=20)
        async with trio.open_nursery() as nursery:
            for _ in range(1_000):
                nursery.start_soon(ask, client)
        await client.aclose()
        assert len(server.requests) == 1_000
        assert server.most_connections <= 20
        assert (client.statistics()[0].in_use, client.statistics()[0].waiting) == (0, 0)

    async def test_beyond_the_queue(self, server: WireServer) -> None:
        """A request that finds the queue full is refused, with the limit's name."""
        server.play(ENDLESS)
        client = make_client(server.url, max_connections=1, max_waiting=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client)
            await server.wait_stalled()
            with pytest.raises(Overloaded, match="plugin max_connections"):
                await ask(client)
            nursery.cancel_scope.cancel()
        await client.aclose()

    async def test_fifty_broken_exchanges_leave_the_pool_healthy(self, server: WireServer) -> None:
        """Refused, left after one piece, cancelled before the first byte and cancelled twice: two connections serve on.

        The server never sees a third connection, and the next plain request is answered.
        """
        client = make_client(server.url, max_connections=2)

        async def refused() -> None:
            with pytest.raises(ModelError):
                await ask(client)

        async def left() -> None:
            async with client.post(server.url, b"{}", {}, PEER) as answer:
                assert await answer.read() == b"data: 1\n\n"

        async def cancelled(times: int) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, client)
                await server.wait_stalled(stalls[0])
                for _ in range(times):
                    nursery.cancel_scope.cancel()
                    await trio.lowlevel.cancel_shielded_checkpoint()

        stalls = [0]
        with trio.fail_after(120):
            for number in range(50):
                kind = number % 4
                server.play((SLOW_DOWN, ENDLESS, WireReply(ending="silent"), ENDLESS)[kind])
                stalls[0] += kind > 1
                await (refused, left)[kind]() if kind < 2 else await cancelled(kind - 1)
                stalls[0] += kind == 1
                await server.wait_idle()
            server.play(OK)
            assert await ask(client) == b"{}"
            await client.aclose()
        assert server.most_connections <= 2
        assert client.statistics()[0].in_use == 0

    async def test_many_streams_at_once_are_cut_and_left(self, server: WireServer) -> None:
        """Fifty simultaneous streams over two connections, half of them cancelled as they wait, end cleanly."""
        server.play(WireReply((b"data: 1\n\n",), content_type="text/event-stream", ending="cut"))
        client = make_client(server.url, max_connections=2)
        failed: list[str] = []

        async def read(scope: trio.CancelScope) -> None:
            with scope:
                failed.append((await fail(client)).message)

        scopes = [trio.CancelScope() for _ in range(50)]
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(read, scope)
            await trio.testing.wait_all_tasks_blocked()
            for scope in scopes[::2]:
                scope.cancel()
        server.play(OK)
        assert await ask(client) == b"{}"
        await client.aclose()
        assert all("in the middle of its answer" in message for message in failed)
        assert len(failed) >= 25
        assert server.most_connections <= 2
        assert client.statistics()[0].in_use == 0

    async def test_a_server_that_stalls(self, server: WireServer, mock_clock: trio.testing.MockClock) -> None:
        """Silence ends at read_timeout, before and within an answer, and the connection is closed."""
        client = make_client(server.url, read_timeout=0.2)

        async def let_time_pass(stalls: int) -> None:
            await server.wait_stalled(stalls)
            await trio.testing.wait_all_tasks_blocked()  # the client has read what came
            mock_clock.jump(0.2)

        replies = ((WireReply(ending="silent"), "before it answered"), (ENDLESS, "in the middle"))
        for stalls, (reply, phase) in enumerate(replies, 1):
            server.play(reply)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(let_time_pass, stalls)
                error = await fail(client)
            assert f"stalled: nothing came for 0.2 s {phase}" in error.message
            assert error.retryable
            with trio.fail_after(30):
                await server.wait_idle()
        await client.aclose()


class TestProxies:
    """Servers behind a proxy."""

    @pytest.mark.parametrize("by_setting", [True, False])
    async def test_requests_go_to_the_proxy(
        self, server: WireServer, monkeypatch: pytest.MonkeyPatch, by_setting: bool
    ) -> None:
        """A proxy from the setting, or from the environment, gets the whole address."""
        if not by_setting:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        client = make_client("http://far.example/v1", proxy=server.url if by_setting else None)
        assert await ask(client) == b"{}"
        await client.aclose()
        assert server.requests[0].path == "http://far.example/v1/chat"

    async def test_this_machine_needs_no_proxy(self, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server on loopback is asked directly, whatever the environment says."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        client = make_client(server.url)
        assert await ask(client) == b"{}"
        await client.aclose()

    async def test_the_proxys_password_is_not_shown(self, server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
        """The password reaches the proxy, and is in no error, no repr and no log."""
        caplog.set_level(logging.DEBUG)
        server.play(WireReply((b"password-1234 is wrong",), 407, "text/plain"))
        url = server.url.replace("http://", "http://me:password-1234@")
        client = make_client("http://far.example/v1", proxy=url)
        error = await fail(client)
        await client.aclose()
        assert "proxy-authorization" in server.requests[0].headers
        assert "password-1234" in client.server.secrets(client.server.find_key("plugin"))
        assert "password-1234" not in f"{error.full_text} {client.server!r} {caplog.text}"

    @pytest.mark.parametrize("proxy", ["proxy:3128", "ftp://proxy", "http://"])
    def test_an_address_that_is_not_a_proxy(self, proxy: str) -> None:
        """A proxy that cannot be one is refused without repeating it."""
        with pytest.raises(UsageError, match="proxy is not an address"):
            make_client("http://host", proxy=proxy)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for loopback that no authority signed, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not here")
    folder = tmp_path_factory.mktemp("tls")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback")
    named = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run(["openssl", *made, *named], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


class TestCertificates:
    """Servers behind TLS."""

    async def serve(self, certificate: Path, task_status: trio.TaskStatus[str]) -> None:
        """Answer over TLS until cancelled."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def talk(stream: trio.SSLStream[trio.SocketStream]) -> None:
            try:
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                await stream.receive_some()
            except trio.BrokenResourceError:
                pass

        task_status.started(f"https://127.0.0.1:{listener.socket.getsockname()[1]}/v1")
        await trio.serve_listeners(talk, [trio.SSLListener(listener, context)])

    async def test_a_file_of_certificates(self, certificate: Path) -> None:
        """A server with a certificate of its own is trusted by ca_file; without, the error names the setting."""
        async with trio.open_nursery() as nursery:
            url = await nursery.start(self.serve, certificate)
            client = make_client(url, ca_file=str(certificate))
            assert await ask(client) == b"{}"
            await client.aclose()
            distrustful = make_client(url)
            error = await fail(distrustful)
            await distrustful.aclose()
            nursery.cancel_scope.cancel()
        assert not error.retryable
        assert "ca_file" in error.hint

    async def test_a_file_without_certificates(self, tmp_path: Path) -> None:
        """A missing file and a file without certificates are configuration errors, with the file's name."""
        empty = tmp_path / "empty.pem"
        empty.write_text("Nothing.")
        for path in (empty, tmp_path / "missing.pem"):
            client = make_client("https://127.0.0.1:1", ca_file=str(path))
            with pytest.raises(ConfigError, match=path.name):
                await ask(client)
            assert client.statistics()[0].in_use == 0
