"""Fixtures for the tests of the server: a server in the test's own loop, and a client that speaks raw bytes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import pytest
import trio
import trio.testing
from agno_rt_serve.app import App
from agno_rt_serve.http.asgi import ASGIApp
from agno_rt_serve.http.host import Access
from agno_rt_serve.http.server import Server
from agno_rt_serve.settings import Settings

from agno_rt import Agent, Limits, Runtime
from agno_rt.config import Config
from agno_rt.hookspecs import hookimpl
from agno_rt.memory import MemoryBackend
from agno_rt.plugins import PluginHost
from agno_rt.project import Project

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE = 30.0
LONGEST = 300.0
"""Seconds for a server that a test started as a process."""
PLAIN = Config()
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session", autouse=True)
def heeded_hang_up() -> None:
    """Let servers heed SIGHUP under `nohup` too: new processes go on to ignore an ignored signal, not a handled one."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import expect, sync_playwright  # for the tests that have a browser

    expect.set_options(timeout=PATIENCE * 1000)

    if not CHROMIUM.exists():
        reason = f"there is no {CHROMIUM}: install it with `apt-get install chromium`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `agno-rt serve` on a free port, as a process that does not outlive the test.

    `launch(code, "--grace", "0", key="...", settings="...")`: the code of the agents.py, options, the key for the
    environment, lines for `[plugins.serve]`, the `memory` of the runtime, and `more` lines for it.
    """
    started: list[subprocess.Popen[str]] = []
    watchdogs: list[threading.Timer] = []

    def begin(
        code: str, *arguments: str, key: str = "", settings: str = "", memory: str = "memory:", more: str = ""
    ) -> subprocess.Popen[str]:
        (tmp_path / "agents.py").write_text(code)
        runtime = f'[runtime]\nload = ["agents.py"]\nmemory = "{memory}"\n{more}\n'
        (tmp_path / "agno-rt.toml").write_text(f"{runtime}[plugins.serve]\n{settings}\n")
        environ = {name: value for name, value in os.environ.items() if name != "AGNO_RT_SERVE_KEY"}
        environ |= {"AGNO_RT_SERVE_KEY": key} if key else {}
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "--port", "0", *arguments]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, env=environ))
        # A test may wait for a line that does not come.
        watchdogs.append(threading.Timer(LONGEST, started[-1].kill))
        watchdogs[-1].start()
        return started[-1]

    yield begin
    for watchdog in watchdogs:
        watchdog.cancel()
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def address() -> Callable[[subprocess.Popen[str]], str]:
    """Read the line with which a server announces itself. Return the URL."""

    def read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        assert found is not None, process.communicate(timeout=PATIENCE)
        return found[0]

    return read


@attrs.define
class Answer:
    """A response with its bytes as received."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A client that sends raw bytes, and reads the answers."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await trio.aclose_forcefully(self.stream)

    async def send(self, *pieces: bytes) -> None:
        """Send the pieces, each in a separate write."""
        for piece in pieces:
            await self.stream.send_all(piece)

    async def line(self) -> bytes:
        """Return the next line."""
        return (await self._until(b"\r\n"))[:-2]

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Return the next response, with its body read by the headers."""
        lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        if head_only or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        elif "content-length" in headers:
            body = await self._exactly(int(headers["content-length"]))
        else:
            body = await self.rest()
        return Answer(status, headers, body)

    def take(self) -> bytes:
        """Return the bytes that came already, behind the last answer."""
        data, self._rest = self._rest, b""
        return data

    async def rest(self) -> bytes:
        """Return everything until the server closes. A reset counts as the end."""
        with trio.fail_after(PATIENCE):
            try:
                while data := await self.stream.receive_some():
                    self._rest += data
            except trio.BrokenResourceError:
                pass
        data, self._rest = self._rest, b""
        return data

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self._until(b"\r\n")).strip(), 16):
            body += await self._exactly(size)
            await self._exactly(2)
        await self._exactly(2)
        return body

    async def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            await self._more()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            await self._more()
        return await self._exactly(self._rest.index(mark) + len(mark))

    async def _more(self) -> None:
        with trio.fail_after(PATIENCE):
            data = await self.stream.receive_some()
        assert data, f"the server closed the connection after {self._rest!r}"
        self._rest += data


@attrs.define
class Served:
    """A server under test."""

    server: Server
    port: int

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    async def dial(self, address: str = "127.0.0.1") -> Wire:
        """Open a connection to the server, from the given address of the machine."""
        return Wire(await trio.open_tcp_stream("127.0.0.1", self.port, local_address=address))


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition without an event: `await until(lambda: ...)`."""

    async def wait(condition: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():  # noqa: ASYNC110 - there is no event
                await trio.sleep(0.01)

    return wait


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """A clock that jumps once nothing has happened for a moment, as the bytes between client and server need one.

    A machine that stalls takes no time of this clock.
    """
    return trio.testing.MockClock(autojump_threshold=0.02)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(nursery: trio.Nursery) -> AsyncIterator[Serve]:
    """Serve an ASGI application, `await serve(app, head_timeout=0.2)`, until the test is over.

    `accesses` is a list that gets each access, as for the log.
    """
    servers: list[Server] = []

    async def start(
        app: ASGIApp,
        *,
        cancel_runs: Callable[[], None] = lambda: None,
        accesses: list[Access] | None = None,
        **settings: Any,
    ) -> Served:
        log = None if accesses is None else accesses.append
        made = Settings(**{"port": 0, "grace": 1.0} | settings)
        server = Server(app, made, cancel_runs=cancel_runs, access_log=log)
        ready = trio.Event()
        nursery.start_soon(lambda: server.serve(announce=lambda addresses: ready.set()))
        with trio.fail_after(PATIENCE):
            await ready.wait()
        servers.append(server)
        return Served(server, server.addresses[0][1])

    yield start
    for server in servers:
        server.abort()


class EntryPoint:
    """An installed plugin, as the plugin host finds it."""

    dist = None

    def __init__(self, name: str, plugin: object) -> None:
        self.name = self.value = name
        self._plugin = plugin

    def load(self) -> object:
        """Return the plugin."""
        return self._plugin


class Offers:
    """A plugin that offers routes and tools."""

    def __init__(self, routes: Mapping[str, Any], tools: Mapping[str, Any]) -> None:
        self._routes = routes
        self._tools = tools

    @hookimpl
    def agno_rt_register_routes(self, register: Any) -> None:
        """Offer the routes."""
        for name, factory in self._routes.items():
            register(name, factory)

    @hookimpl
    def agno_rt_register_tools(self, register: Any) -> None:
        """Offer the tools."""
        for name, factory in self._tools.items():
            register(name, factory)


@pytest.fixture
async def make_app() -> AsyncIterator[Callable[..., Awaitable[App]]]:
    """Make an application: `await make_app(agent, ..., limits=, routes={...}, tools={...}, memory=, **settings)`."""
    async with trio.open_nursery() as nursery:
        stop = trio.Event()

        async def start(
            *agents: Agent,
            limits: Limits | None = None,
            routes: Mapping[str, Any] | None = None,
            tools: Mapping[str, Any] | None = None,
            memory: str | MemoryBackend = "memory:",
            config: Config = PLAIN,
            **settings: Any,
        ) -> App:
            # Of the installed plugins only the kernel's memory: a test must not depend on other plugins' routes.
            own = ("memory", "sqlite")
            points: list[Any] = [point for point in entry_points(group="agno_rt") if point.name in own]
            points.append(EntryPoint("test", Offers(routes or {}, tools or {})))
            runtime = Runtime(plugins=PluginHost(points), limits=limits, memory=memory, settings=config.settings)
            project = Project("agents.py", {agent.name: agent for agent in agents}, config)
            opened = trio.Event()

            async def keep_open() -> None:
                async with runtime:
                    opened.set()
                    await stop.wait()

            nursery.start_soon(keep_open)
            await opened.wait()
            return App(project, runtime, Settings(**settings))

        yield start
        stop.set()


_OF_APP = ("config", "limits", "memory", "routes", "suggestions", "tools")


@pytest.fixture
def serve_agents(serve: Serve, make_app: Callable[..., Awaitable[App]]) -> Serve:
    """Serve agents, as `make_app` takes them."""

    async def start(*agents: Agent, **options: Any) -> Served:
        app = await make_app(*agents, **options)
        settings = {name: value for name, value in options.items() if name not in _OF_APP}
        return await serve(app, cancel_runs=app.cancel_runs, **settings)

    return start
