"""The rows over HTTP: servers of agents side by side, each asked for runs over as many kept connections.

The load comes from wrk, which must be on the path: wrk costs little beside a server that shares its processors.
"""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from .process import PeerFailed, last_line, stopped

__all__ = ["CONNECTIONS", "Server", "ServerKind", "load_tool", "server_kinds", "serving"]

CONNECTIONS = 50
SECONDS_UP = 60.0
"""Limit for a server's first answer, in seconds."""


@attrs.frozen
class ServerKind:
    """A server's command and request: `command` may name `{port}` and `{workers}`."""

    command: Sequence[str]
    content_type: str
    body: str
    path: str = "/agents/assistant/runs"
    workers: int = 1


@attrs.frozen
class Server:
    """A server at a port."""

    kind: ServerKind
    port: int
    folder: Path

    async def runs_a_second(self, seconds: int) -> float:
        """Ask for runs over all connections for `seconds`. Raises `PeerFailed` if any answer is not a run's."""
        script = self.folder / f"{self.port}.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = [[{self.kind.body}]]\n'
            f'wrk.headers["Content-Type"] = "{self.kind.content_type}"\n',
            encoding="utf-8",
        )
        url = f"http://127.0.0.1:{self.port}{self.kind.path}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script), url]
        with trio.fail_after(seconds + 30):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        return _parse_rate(done.stdout.decode())

    async def check(self) -> None:
        """Ask for a run and check the answer. Raises `PeerFailed` if the answer is wrong."""
        body = self.kind.body.encode()
        request = (
            f"POST {self.kind.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {self.kind.content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(request.encode() + body)
            answer = b"".join([piece async for piece in stream])
        if not re.match(rb"HTTP/1\.1 200 ", answer) or not re.search(rb'"content":\s*"ok"', answer):
            raise PeerFailed(f"did not answer with a run: {answer[:80].decode(errors='replace')!r}")


def server_kinds(python: Mapping[str, Path], workers: int) -> dict[str, ServerKind]:
    """Return the servers with this many processes; `python` has the interpreter of each installed peer."""
    ours = [sys.executable, "-m", "agno_rt.cli", "serve", "benchmarks/peers/served.py", "--port", "{port}"]
    kinds = {
        "agno_rt": ServerKind(
            ours if workers == 1 else [*ours, "--workers", "{workers}"], "application/json", '{"input": "hello"}'
        )
    }
    if "agno" in python:
        command = [str(python["agno"]), "-m", "benchmarks.peers.agno", "serve", "{port}", "{workers}"]
        kinds["agno"] = ServerKind(command, "application/x-www-form-urlencoded", "message=hello&stream=false")
    return {name: attrs.evolve(kind, workers=workers) for name, kind in kinds.items()}


def load_tool() -> str:
    """Return the program for loads, or "" if not installed."""
    return "wrk" if shutil.which("wrk") else ""


@asynccontextmanager
async def serving(name: str, kind: ServerKind, folder: Path) -> AsyncIterator[Server]:
    """Start a server, wait for its first run, and end the server afterwards. Raises `PeerFailed`."""
    port = _find_free_port()
    errors = folder / f"{name}-{kind.workers}.err"
    command = [part.format(port=port, workers=kind.workers) for part in kind.command]
    async with stopped(command, errors) as process:
        server = Server(kind, port, folder)
        with trio.move_on_after(SECONDS_UP) as waited:
            while process.poll() is None and not await _accepts_connections(port):  # noqa: ASYNC110 - another process listens
                await trio.sleep(0.1)
        if waited.cancelled_caught:
            raise PeerFailed(f"does not listen after {SECONDS_UP:g} s")
        if process.returncode is not None:
            raise PeerFailed(f"ended with status {process.returncode}: {last_line(errors)}")
        await server.check()
        yield server


async def _accepts_connections(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


def _find_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _parse_rate(said: str) -> float:
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    wrong = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said)
    if wrong or not found:
        raise PeerFailed(f"under load: {wrong.group() if wrong else 'no answer'}")
    return float(found.group(1))
