"""A Chroma server for the tests, from the wheel `chromadb`, whose library holds the whole server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.free_ports import find_free_port

START_SECONDS = 60.0
_PROGRAM = "import sys; from chromadb_rust_bindings import cli; cli(['chroma', 'run', *sys.argv[1:]])"
_NEEDED = "the server is in a wheel: pip install --no-deps chromadb"


class ChromaServer:
    """A Chroma server with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_port()
        self.url = f"chroma://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait for its first answer."""
        place = "--path", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)
        environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *place], stdout=quiet, stderr=quiet, env=environment
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        pytest.fail("the Chroma server did not start")

    def kill(self) -> None:
        """End the server at once, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None


def _start_server(folder: Path) -> ChromaServer:
    if importlib.util.find_spec("chromadb_rust_bindings") is None:
        if os.environ.get("CI"):
            pytest.fail(_NEEDED)
        pytest.skip(_NEEDED)
    server = ChromaServer(folder)
    server.start()
    return server


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """Return a server for all tests of the process; each store has a prefix of its own."""
    # Most of a write's time is the disk's; a file system in memory makes the tests five times as quick.
    with TemporaryDirectory(
        dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("c")
    ) as place:
        server = _start_server(Path(place))
        yield server
        server.kill()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ChromaServer]:
    """Return a server of the test's own, to kill and to start again."""
    server = _start_server(tmp_path)
    yield server
    server.kill()
