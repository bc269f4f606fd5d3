"""Many open event streams on one `agno-rt serve`: memory for each, and the time until the first byte of one more.

`python -m benchmarks.open_streams 10000` prints the figures. Server and clients are separate processes, and each needs
as many open files as there are streams: see `ulimit -n`.
"""

from __future__ import annotations

import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .http import PATIENCE, _start_server

AGENTS = """
import trio
from agno_rt import Agent, ModelResponse

class Waiting:
    name = "waiting"

    async def respond(self, request, emit=None):
        if request.messages[-1].content == "wait":
            await trio.sleep_forever()
        return ModelResponse("ok")

assistant = Agent(Waiting(), "assistant")
"""
PATH = "/agents/assistant/runs"
# Files of a process beside its streams.
_OTHER_FILES = 200
# Requests for the median of the first byte.
_PROBES = 100


def main(count: int) -> None:
    """Open the streams, measure, and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + _OTHER_FILES), hard))
    with _serve(count) as (address, pid), ExitStack() as stack:
        for _ in range(_PROBES):
            _ask(address, "quick")  # everything that a request needs is loaded
        before = _measure_resident(pid)
        began = time.perf_counter()
        for _ in range(count):
            stack.enter_context(_open(address, "wait"))
        opening = time.perf_counter() - began
        held = (_measure_resident(pid) - before) / count
        first = statistics.median(_ask(address, "quick") for _ in range(_PROBES))
    print(f"{count:,} open event streams: opened in {opening:.1f} s, {held / 1_000:.1f} kB each")
    print(f"first byte of one more stream: {first * 1_000:.2f} ms (median of {_PROBES})")


@contextmanager
def _serve(count: int) -> Iterator[tuple[tuple[str, int], int]]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "agents.py").write_text(AGENTS, encoding="utf-8")
        places = count + _OTHER_FILES
        settings = f"max_connections = {places}\nmax_per_client = {places}\n"
        limits = f"[limits]\nruns = {places}\nmodel_calls = {places}\n"
        table = f'[runtime]\nload = ["agents.py"]\n[plugins.serve]\ngrace = 0.0\n{settings}{limits}'
        (Path(folder) / "agno-rt.toml").write_text(table, encoding="utf-8")
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "--port", "0"]
        with _start_server(command, Path(folder)) as url:
            host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
            yield (host, int(port)), _find_server(int(port))


def _find_server(port: int) -> int:
    """Return the process of this machine that listens on the port."""
    children = Path(f"/proc/self/task/{_own_task()}/children").read_text(encoding="ascii").split()
    assert len(children) == 1, (port, children)
    return int(children[0])


def _own_task() -> str:
    return Path("/proc/self").resolve().name


def _open(address: tuple[str, int], text: str) -> socket.socket:
    """Open a stream, and return its socket once the first event is there."""
    sock = socket.create_connection(address, PATIENCE)
    body = f'{{"input": "{text}"}}'
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    assert b" 200 " in sock.recv(65_536)
    return sock


def _ask(address: tuple[str, int], text: str) -> float:
    """Return the seconds until the first byte of a stream."""
    began = time.perf_counter()
    with _open(address, text):
        return time.perf_counter() - began


def _measure_resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
