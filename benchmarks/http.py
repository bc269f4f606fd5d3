"""Runs a second over HTTP: each run is a POST to `agno-rt serve` on this machine, whose model answers at once.

Fifty clients keep their connections; each sends its next request after its answer. The load comes from wrk if it is on
the path, else from `load.py`, and shares the processors with the server. `python -m benchmarks.http` prints all rows
and the floor: a bare trio server that reads a request and always sends the same answer.
"""

from __future__ import annotations

import itertools
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from agno_rt import Agent, Runtime

from .common import INSTANT, Parts, Times, exact, few, measured_in, measuring
from .load import Asked, Load, load, load_tool

with Parts() as setup:
    from agno_rt_serve.app import App
    from agno_rt_serve.settings import Settings

    try:
        from agno_rt_serve.http.server import Server
    except ImportError:  # an older commit
        from agno_rt_serve.server import Server  # type: ignore[import-not-found, no-redef]

    from agno_rt.config import Config
    from agno_rt.project import Project

AGENTS = """
from agno_rt import Agent, ModelResponse

ANSWER = ModelResponse("ok")

class Instant:
    name = "instant"

    async def respond(self, request, emit=None):
        return ANSWER

assistant = Agent(Instant(), "assistant")
"""
BODY = '{"input": "hello"}'
PATH = "/agents/assistant/runs"
SECONDS = 2
ROUNDS = few(3)
PATIENCE = 60.0
_ROOT = Path(__file__).parents[1]
_HERE = ("-m", "benchmarks.http")


class Served:
    """`agno-rt serve` with some workers, and the same agent for all requests, since an agent is a value to share."""

    params = (1, 2)
    param_names = ("workers",)
    timeout = 120

    def setup(self, workers: int) -> None:
        """Start the server."""
        self._serving = _serve_by_command(workers)
        self._url = self._serving.__enter__()

    def teardown(self, workers: int) -> None:
        """Stop the server."""
        self._serving.__exit__(None, None, None)

    @measured_in("runs/s")
    def track_runs_a_second(self, workers: int) -> float:
        """Best of a few rounds of two seconds; more is better."""
        return _measure_best(self._url).requests_a_second

    @measured_in("ms")
    def track_milliseconds_p50(self, workers: int) -> float:
        """Time in which half of the requests are answered, with all connections busy."""
        return _measure_best(self._url).p50 * 1000

    @measured_in("ms")
    def track_milliseconds_p99(self, workers: int) -> float:
        """Time in which 99 % of the requests are answered, with all connections busy."""
        return _measure_best(self._url).p99 * 1000


class OneAgentEach:
    """An application of a program's own on the same server, with a new agent for each request."""

    timeout = 120

    def setup(self) -> None:
        """Start the server."""
        self._serving = _start_server([sys.executable, *_HERE, "agents"], _ROOT)
        self._url = self._serving.__enter__()

    def teardown(self) -> None:
        """Stop the server."""
        self._serving.__exit__(None, None, None)

    @measured_in("runs/s")
    def track_runs_a_second(self) -> float:
        """Best of a few rounds of two seconds; more is better."""
        return _measure_best(self._url).requests_a_second


class Request:
    """One request after another over one connection, server and client in one process: the exact cost of each.

    The client's own part is included: a send, a wait, and a receive.
    """

    @exact("calls")
    def track_python_calls(self) -> int:
        """Python calls of a request."""
        return _count_requests(measuring.python_calls)

    @exact("steps")
    def track_scheduler_steps(self) -> int:
        """Steps of trio's scheduler for a request: the client's wait, the server's, and the run's checkpoint."""
        return _count_requests(measuring.scheduler_steps)


def _measure_best(url: str) -> Load:
    rounds = [load(Asked(url, BODY, seconds=SECONDS)) for _ in range(ROUNDS)]
    return max(rounds, key=lambda each: each.requests_a_second)


@contextmanager
def _serve_by_command(workers: int) -> Iterator[str]:
    """Serve an agent, and yield the URL for runs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "agents.py").write_text(AGENTS, encoding="utf-8")
        more = () if workers == 1 else ("--workers", str(workers))
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "agents.py", "--port", "0", *more]
        with _start_server(command, Path(folder)) as url:
            yield url


@contextmanager
def _start_server(command: Sequence[str], folder: Path) -> Iterator[str]:
    """Start a server and yield the URL. Raises `NotImplementedError` if the server ends at once, as at old commits."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+:\d+", process.stdout.readline())
        try:
            if found is None:
                raise NotImplementedError(f"{' '.join(command[1:])} does not serve")
            yield found[0] + PATH
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _count_requests(how: Callable[[Times], Awaitable[int]]) -> int:
    """Return the count for one request: the median, since now and then the server reads its clock in between."""

    async def main() -> int:
        async with trio.open_nursery() as nursery, Runtime() as runtime:
            project = Project("agents.py", {"assistant": Agent(INSTANT, "assistant")}, Config())
            server = Server(App(project, runtime, Settings()), Settings(port=0))
            serving = trio.Event()
            nursery.start_soon(lambda: server.serve(announce=lambda addresses: serving.set()))
            await serving.wait()
            with socket.create_connection(server.addresses[0], PATIENCE) as sock:
                sock.setblocking(False)
                counts = [await how(_make_requests(sock)) for _ in range(15)]
            server.abort()
        return int(statistics.median(counts))

    return trio.run(main)


def _make_requests(sock: socket.socket) -> Times:
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode()

    async def ask(times: int) -> None:
        for _ in itertools.repeat(None, times):
            sock.send(request)
            await trio.lowlevel.wait_readable(sock)
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200 ")

    return ask


async def _serve_agents() -> None:
    """Serve an application that makes an agent for each request, and sends the agent's answer."""
    async with Runtime() as runtime:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            message = await receive()
            result = await runtime.run(Agent(INSTANT, "assistant"), message["body"].decode())
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": result.content.encode()})

        await Server(app, Settings(port=0)).serve(announce=_print_address)


async def _serve_floor() -> None:
    """Serve a bare trio server: every request gets the same answer, after a checkpoint, as in a run."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    async def serve(sock: socket.socket) -> None:
        with sock:
            while True:
                await trio.lowlevel.wait_readable(sock)
                try:
                    if not sock.recv(65_536):
                        return
                    await trio.lowlevel.checkpoint()
                    sock.send(answer)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            _print_address([listener.getsockname()])
            while True:
                await trio.lowlevel.wait_readable(listener)
                sock, _ = listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                nursery.start_soon(serve, sock)


def _print_address(addresses: Any) -> None:
    host, port = addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)


def _print_table() -> None:
    """Measure all servers in turns, with each load tool of this machine, and print the best of each."""
    servers: dict[str, Any] = {
        "agno-rt serve": _serve_by_command(1),
        "agno-rt serve --workers 2": _serve_by_command(2),
        "one agent each": _start_server([sys.executable, *_HERE, "agents"], _ROOT),
        "floor": _start_server([sys.executable, *_HERE, "floor"], _ROOT),
    }
    tools = list(dict.fromkeys((load_tool(), "own")))
    urls = {name: serving.__enter__() for name, serving in servers.items()}
    try:
        best: dict[tuple[str, str], Load] = {}
        for _, (name, url), tool in itertools.product(range(ROUNDS), urls.items(), tools):
            new = load(Asked(url, BODY, seconds=SECONDS), tool)
            best[name, tool] = max(new, best.get((name, tool), new), key=lambda each: each.requests_a_second)
    finally:
        for serving in servers.values():
            serving.__exit__(None, None, None)
    print(f"{'server':26}  load  requests/s   p50 ms   p99 ms")
    for (name, tool), each in best.items():
        print(f"{name:26}  {tool:4}  {each.requests_a_second:10,.0f} {each.p50 * 1000:8.2f} {each.p99 * 1000:8.2f}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["agents"]:
            trio.run(_serve_agents)
        case ["floor"]:
            trio.run(_serve_floor)
        case _:
            _print_table()
