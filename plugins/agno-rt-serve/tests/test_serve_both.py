"""The same application on the own server and on Hypercorn: the same checks pass; Hypercorn adds TLS and HTTP/2."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx2
import pytest
import trio
from agno_rt_serve.http.asgi import Receive, Scope, Send, stopping
from agno_rt_serve.http.host import Access
from agno_rt_serve.http.hypercorn import HypercornServer
from agno_rt_serve.http.server import Server
from agno_rt_serve.settings import Settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect

from agno_rt import Agent, ModelResponse
from agno_rt.errors import UsageError

PATIENCE = 30.0


class Model:
    """A model that answers after its release."""

    name = "test"

    def __init__(self) -> None:
        self.release = trio.Event()
        self.asked = trio.Event()
        self.cancelled = trio.Event()

    async def respond(self, request: Any, emit: Any = None) -> ModelResponse:
        """Answer, once released if the input is `wait`."""
        self.asked.set()
        if request.messages[-1].content == "wait":
            try:
                await self.release.wait()
            except trio.Cancelled:
                self.cancelled.set()
                raise
        return ModelResponse("Hello.")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back each message of a WebSocket; over HTTP, tell of the request."""
    if scope["type"] == "http":
        told = stopping(scope)
        assert told is not None
        client = scope["client"][0]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{client} {scope['scheme']} {told.is_set()}".encode()})
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Site:
    """A running server with its model, its client, and its log."""

    def __init__(self, server: Any, model: Model, accesses: list[Access], port: int, scheme: str) -> None:
        self.server, self.model, self.accesses, self.port = server, model, accesses, port
        self.url = f"{scheme}://127.0.0.1:{port}"


Begin = Callable[..., Awaitable[Site]]


@pytest.fixture(params=["own", "hypercorn"])
async def begin(request: Any, nursery: trio.Nursery, make_app: Any) -> AsyncIterator[Begin]:
    """Serve an agent on each of both servers, until the test is over."""
    servers: list[Any] = []

    async def start(**given: Any) -> Site:
        model, accesses = Model(), list[Access]()
        app = await make_app(Agent(model, "a"), routes={"echo": lambda runtime: echo})
        settings = Settings(**{"port": 0, "grace": 1.0, "server": request.param} | given)
        make = {"own": Server, "hypercorn": HypercornServer}[request.param]
        server: Any = make(app, settings, cancel_runs=app.cancel_runs, access_log=accesses.append)
        ready = trio.Event()
        nursery.start_soon(lambda: server.serve(announce=lambda addresses: ready.set()))
        with trio.fail_after(PATIENCE):
            await ready.wait()
        servers.append(server)
        scheme = "https" if given.get("tls_cert") else "http"
        return Site(server, model, accesses, server.addresses[0][1], scheme)

    yield start
    for server in servers:
        server.abort()


async def test_answers_alike(begin: Begin, until: Any) -> None:
    """Runs, errors, HEAD, wrong methods and large bodies are answered alike, each with an id, and logged."""
    site = await begin(max_body=1_000)
    json = {"content-type": "application/json"}
    async with httpx2.AsyncClient(base_url=site.url, timeout=60) as client:
        run = await client.post("/agents/a/runs", json={"input": "Hi"})
        missing = await client.get("/nothing")
        wrong = await client.put("/agents")
        head = await client.head("/agents")
        large = await client.post("/agents/a/runs", content=b"x" * 2_000, headers=json)
        guarded = await client.get("/agents", headers={"origin": "https://evil.example"})
        answers = [run, missing, wrong, head, large, guarded]

    assert [answer.status_code for answer in answers] == [200, 404, 405, 200, 413, 403]
    assert run.json()["content"] == "Hello."
    assert "GET" in wrong.headers["allow"]
    assert (head.content, int(head.headers["content-length"]) > 10) == (b"", True)
    assert len({answer.headers["x-request-id"] for answer in answers}) == 6
    assert large.json()["error"]["code"] == "body_too_large"
    wanted = {("POST", "/agents/a/runs", 200), ("GET", "/nothing", 404), ("PUT", "/agents", 405)}
    await until(lambda: wanted <= {(each.request.method, each.request.path, each.status) for each in site.accesses})


async def test_streams_alike(begin: Begin) -> None:
    """A stream of events arrives whole; if its client hangs up, the run is cancelled."""
    site = await begin()
    headers = {"accept": "text/event-stream"}
    async with httpx2.AsyncClient(base_url=site.url, timeout=PATIENCE) as client:
        answer = await client.post("/agents/a/runs", json={"input": "Hi"}, headers=headers)
        site.model.asked = trio.Event()
        assert re.findall(r"^event: (\w+)$", answer.text, re.MULTILINE)[-1] == "run_ended"
        async with client.stream("POST", "/agents/a/runs", json={"input": "wait"}, headers=headers) as response:
            assert response.status_code == 200
            with trio.fail_after(PATIENCE):
                await site.model.asked.wait()
        with trio.fail_after(PATIENCE):
            await site.model.cancelled.wait()


async def test_websockets_alike(begin: Begin) -> None:
    """A WebSocket's messages come back; a refused handshake says why."""
    site = await begin(max_body=1_000_000)

    def talk() -> None:
        with connect(f"ws://127.0.0.1:{site.port}/echo/") as client:
            for message in ("hello", b"\x00\xff", "é" * 100_000):
                client.send(message)
                assert client.recv(PATIENCE) == message

    await trio.to_thread.run_sync(talk)
    async with httpx2.AsyncClient(timeout=60) as client:
        headers = {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-version": "13"}
        key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "origin": "https://evil.example"}
        refused = await client.get(f"{site.url}/echo/", headers=headers | key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_site")


async def test_proxies_alike(begin: Begin, until: Any) -> None:
    """A trusted proxy's word counts on both."""
    site = await begin(trusted_proxies=("127.0.0.1",))
    told = {"x-forwarded-for": "192.0.2.9", "x-forwarded-proto": "https", "x-request-id": "r-1"}
    async with httpx2.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{site.url}/echo/", headers=told)

    assert (answer.text, answer.headers["x-request-id"]) == ("192.0.2.9 https False", "r-1")
    await until(lambda: len(site.accesses) == 1)
    assert site.accesses[0].client == "192.0.2.9"


async def test_drains_alike(begin: Begin, until: Any) -> None:
    """A stopping server lets a run end, and refuses new connections."""
    site = await begin(grace=30.0)
    answers: list[Any] = []

    async def ask() -> None:
        async with httpx2.AsyncClient(timeout=PATIENCE) as client:
            answers.append(await client.post(f"{site.url}/agents/a/runs", json={"input": "wait"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        with trio.fail_after(PATIENCE):
            await site.model.asked.wait()
        assert site.server.busy == 1
        site.server.stop()
        await until(lambda: not can_connect(site.port))
        site.model.release.set()
    assert answers[0].json()["content"] == "Hello."


async def test_grace_ends_alike(begin: Begin) -> None:
    """When the grace period is over, a stream gets its last event."""
    site = await begin(grace=0.2)
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        headers = {"accept": "text/event-stream"}
        async with client.stream(
            "POST", f"{site.url}/agents/a/runs", json={"input": "wait"}, headers=headers
        ) as answer:
            with trio.fail_after(PATIENCE):
                await site.model.asked.wait()
            site.server.stop()
            lines = [line async for line in answer.aiter_lines()]
    assert [line for line in lines if line.startswith("event: ")][-1] == "event: run_ended"


def can_connect(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True
    except OSError:
        return False


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Make a certificate for 127.0.0.1. Return the paths of the certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return str(certificate), str(private)


@pytest.mark.parametrize("begin", ["hypercorn"], indirect=True)
async def test_tls_and_http_2(begin: Begin, certificate: tuple[str, str]) -> None:
    """Over TLS, clients that can speak HTTP/2 do, several requests at once over one connection."""
    site = await begin(tls_cert=certificate[0], tls_key=certificate[1])
    context = ssl.create_default_context(cafile=certificate[0])
    async with httpx2.AsyncClient(base_url=site.url, http2=True, verify=context, timeout=PATIENCE) as client:
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await client.post("/agents/a/runs", json={"input": "Hi"}))

        await ask()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        seen = await client.get("/echo/")

    assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
    assert seen.text == "127.0.0.1 https False"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"server": "own", "tls_cert": "x"}, "does not speak TLS"),
        ({"server": "hypercorn", "tls_cert": "x"}, "both"),
        ({"server": "hypercorn", "tls_cert": "no-file", "tls_key": "no-file"}, "cannot be read"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    """Settings of TLS that do not fit are refused before anything starts, with a way out."""
    from agno_rt_serve.http.hypercorn import check_hypercorn

    with pytest.raises(UsageError, match=message) as caught:
        check_hypercorn(Settings(**settings))
    assert caught.value.hint


def test_idle_connections_do_not_keep_it(launch: Any, certificate: tuple[str, str]) -> None:
    """SIGTERM with two workers and idle HTTP/2 connections: GOAWAY, the end of each, and exit code 0."""
    process: subprocess.Popen[str] = launch(
        "from agno_rt import Agent\nfrom agno_rt.testing import ScriptedModel\n"
        "a = Agent(ScriptedModel(lambda request: 'Hi'), 'a')\n",
        *("--server", "hypercorn", "--workers", "2", "--tls-cert", certificate[0], "--tls-key", certificate[1]),
    )
    assert process.stdout is not None
    found = re.search(r"https://127\.0\.0\.1:(\d+)", process.stdout.readline())
    assert found is not None, process.communicate(timeout=PATIENCE)
    context = ssl.create_default_context(cafile=certificate[0])
    context.set_alpn_protocols(["h2"])
    clients = []
    for _ in range(4):
        sock = socket.create_connection(("127.0.0.1", int(found[1])), PATIENCE)
        clients.append((context.wrap_socket(sock, server_hostname="127.0.0.1"), make_http_2()))
        send(*clients[-1])
    for sock, connection in clients:
        assert ask_http_2(sock, connection) == b"200"
    process.send_signal(signal.SIGTERM)

    for sock, connection in clients:
        with sock:
            assert any(isinstance(event, h2.events.ConnectionTerminated) for event in read(sock, connection))
    assert process.wait(PATIENCE) == 0


def make_http_2() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    return connection


def send(sock: ssl.SSLSocket, connection: h2.connection.H2Connection) -> None:
    sock.sendall(connection.data_to_send())


def ask_http_2(sock: ssl.SSLSocket, connection: h2.connection.H2Connection) -> bytes:
    """Ask for /health, and return the status."""
    headers = [(":method", "GET"), (":path", "/health"), (":scheme", "https"), (":authority", "127.0.0.1")]
    connection.send_headers(connection.get_next_available_stream_id(), headers, end_stream=True)
    send(sock, connection)
    status = b""
    while True:
        for event in connection.receive_data(sock.recv(65_536)):
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[b":status"]
            elif isinstance(event, h2.events.StreamEnded):
                send(sock, connection)
                return status


def read(sock: ssl.SSLSocket, connection: h2.connection.H2Connection) -> list[Any]:
    """Return all events until the end."""
    events: list[Any] = []
    try:
        while data := sock.recv(65_536):
            events += connection.receive_data(data)
    except ConnectionResetError:
        pass
    return events
