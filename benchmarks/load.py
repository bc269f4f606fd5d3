"""Sends an HTTP server the same request over many kept connections, and measures its answers a second.

wrk does this if it is on the path: wrk takes the least from a server that shares its processors. Otherwise the
generator here does, also in a process of its own: `python -m benchmarks.load URL --body '{"input": "hello"}'`. Both
send a connection's next request after the answer to its last. Knows no agent and no server.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import attrs

__all__ = ["Asked", "Load", "LoadFailed", "load", "load_tool"]

_PATIENCE = 20.0
_RECEIVE = 65_536
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class LoadFailed(Exception):
    """An answer without success, or no answer."""


@attrs.frozen
class Asked:
    """A load: a POST of `body` to `url`, over `connections` connections, for `seconds` seconds."""

    url: str
    body: str
    connections: int = 50
    seconds: int = 2
    content_type: str = "application/json"


@attrs.frozen
class Load:
    """Answers a second, the times in seconds of the 50th and 99th percentile, and the tool that made the load."""

    requests_a_second: float
    p50: float
    p99: float
    tool: str


def load_tool() -> str:
    """Return the tool for loads: `wrk` if it is on the path, else `own`."""
    return "wrk" if shutil.which("wrk") else "own"


def load(asked: Asked, tool: str = "") -> Load:
    """Make the load with the tool, by default `load_tool()`. Raises `LoadFailed` if any answer is not a success."""
    return _load_by_wrk(asked) if (tool or load_tool()) == "wrk" else _load_by_generator(asked)


def _load_by_wrk(asked: Asked) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = [[{asked.body}]]\nwrk.headers["Content-Type"] = "{asked.content_type}"\n',
            encoding="utf-8",
        )
        command = ["wrk", "-t1", f"-c{asked.connections}", f"-d{asked.seconds}s", "--timeout", f"{_PATIENCE:g}s"]
        said = _run_tool([*command, "--latency", "-s", str(script), asked.url], asked.seconds)
    wrong = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if wrong or not rate:
        raise LoadFailed(wrong.group() if wrong else f"wrk says {said!r}")
    return Load(float(rate[1]), _parse_latency(said, 50), _parse_latency(said, 99), "wrk")


def _parse_latency(said: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    if not found:
        raise LoadFailed(f"wrk tells no latencies: {said!r}")
    return float(found[1]) * _UNITS[found[2]]


def _load_by_generator(asked: Asked) -> Load:
    # -P, because the folder of this file would be an import path, and has an http.py
    command = [sys.executable, "-P", __file__, asked.url, "--body", asked.body, "--content-type", asked.content_type]
    command += ["--connections", str(asked.connections), "--seconds", str(asked.seconds)]
    return Load(**json.loads(_run_tool(command, asked.seconds)))


def _run_tool(command: Sequence[str], seconds: int) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * _PATIENCE, check=False)
    if done.returncode:
        raise LoadFailed(done.stderr.strip().rpartition("\n")[2])
    return done.stdout


class _Connections:
    """A generator of load: connections with a request each."""

    def __init__(self, asked: Asked) -> None:
        url = urlsplit(asked.url)
        self._address = (url.hostname or "127.0.0.1", url.port or 80)
        body = asked.body.encode()
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: {asked.content_type}\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._asked = asked
        self._sockets: dict[int, socket.socket] = {}
        self._sent: dict[int, float] = {}
        self._parts: dict[int, bytes] = {}
        self._took = array("d")

    def run(self) -> Load:
        """Make the load until the time is over."""
        clock = time.perf_counter
        with select.epoll() as poll:
            for _ in range(self._asked.connections):
                sock = socket.create_connection(self._address, _PATIENCE)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
            began = clock()
            for number in self._sockets:
                self._send(number)
            until = began + self._asked.seconds
            while (now := clock()) < until:
                ready = poll.poll(_PATIENCE)
                if not ready:
                    raise LoadFailed(f"no answer in {_PATIENCE:g} s")
                for number, _ in ready:
                    self._receive(number)
        for sock in self._sockets.values():
            sock.close()
        took = sorted(self._took)
        return Load(len(took) / (now - began), took[len(took) // 2], took[len(took) * 99 // 100], "own")

    def _send(self, number: int) -> None:
        self._sent[number] = time.perf_counter()
        self._sockets[number].send(self._request)

    def _receive(self, number: int) -> None:
        data = self._sockets[number].recv(_RECEIVE)
        if not data:
            raise LoadFailed("the server closed a connection")
        if self._parts:
            data = self._parts.pop(number, b"") + data
        if _is_complete(data):
            self._took.append(time.perf_counter() - self._sent[number])
            self._send(number)
        else:
            self._parts[number] = data


def _is_complete(data: bytes) -> bool:
    """Return whether the answer is complete. Raises `LoadFailed` for an answer without success or length."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    if not data.startswith(b"HTTP/1.1 2"):
        raise LoadFailed(f"the server answers {data[:60]!r}")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", data[: head + 2])
    if length is None:
        raise LoadFailed(f"an answer without a length: {data[:head]!r}")
    return len(data) >= head + 4 + int(length[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the generator's command: print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=_Connections.__doc__)
    parser.add_argument("url")
    parser.add_argument("--body", default="{}")
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=2)
    asked = Asked(**vars(parser.parse_args(arguments)))
    try:
        measured = _Connections(asked).run()
    except (LoadFailed, OSError) as exc:
        print(f"error: {asked.url}: {exc}", file=sys.stderr)
        return 1
    print(json.dumps(attrs.asdict(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
