"""A planted API key is in no profile and in nothing that a benchmark run prints or stores."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Agno = Callable[..., subprocess.CompletedProcess[str]]

KEY = "sk-planted-7c1d0e9b5f2a4386bd"
ANSWER = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}'


class _Answers(BaseHTTPRequestHandler):
    """Answers each request, and notes its key. The commands under test are other processes, so a thread serves."""

    keys: list[str]

    def do_POST(self) -> None:
        """Answer."""
        self.keys.append(self.headers.get("authorization", ""))
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.send_header("x-echo", KEY)
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def serve() -> Iterator[tuple[str, list[str]]]:
    """Serve answers on loopback; give the address and the keys that arrived."""
    keys: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (_Answers,), {"keys": keys}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def plant(folder: Path, url: str) -> None:
    """Write a project whose model has the key in each place of its settings."""
    (folder / "agno-rt.toml").write_text(
        f'[runtime]\nmemory = "sqlite:///bench.db"\n[plugins.openai]\nbase_url = "{url}?token={KEY}"\n'
        f'api_key = "{KEY}"\nheaders = {{ x-a = "{KEY}" }}\n[agents.a]\nmodel = "openai:m"\n'
    )


def find_files_with_key(folder: Path) -> list[str]:
    """Return the names of files below the folder that have the key, apart from the settings."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "agno-rt.toml"]
    return [path.name for path in files if KEY.encode() in path.read_bytes()]


def check_clean(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    """Check the output of a command and the files that it left."""
    assert KEY not in done.stdout + done.stderr
    assert not find_files_with_key(folder)


@pytest.mark.parametrize("what", ["cpu flamegraph", "cpu speedscope", "memory bin", "memory flamegraph"])
def test_profiles_of_a_run_have_no_key(what: str, project: Path, agno: Agno) -> None:
    """The run sends the key to its server; neither py-spy's nor memray's files have it."""
    tool, form = what.split()
    with serve() as (url, keys):
        plant(project, url)
        done = agno("profile", tool, "--format", form, "-o", "out.profile", "--", "agno-rt", "run", "a", "Hi")
    assert (done.returncode, done.stdout) == (0, "Hello.\n"), done.stderr
    assert [key for key in keys if KEY in key], "the run sent no key: the test shows nothing"
    assert (project / "out.profile").stat().st_size > 0
    check_clean(done, project)


def test_a_benchmark_run_prints_and_stores_no_key(project: Path, agno: Agno) -> None:
    """The rows of the agents and of the project's memory, with its sessions in a file."""
    with serve() as (url, _):
        plant(project, url)
        done = agno("bench", "--rows", "agents,memory", "--sessions", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    assert '"a' in done.stdout
    assert (project / "bench.db").exists()
    check_clean(done, project)
