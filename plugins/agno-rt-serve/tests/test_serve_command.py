"""`agno-rt serve` as a real process: output, end, and errors at the start."""

from __future__ import annotations

import gc
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

PATIENCE = 60.0

AGENTS = """
import gc
import json
import os
import resource
import trio
from agno_rt import Agent, ModelResponse
from agno_rt.events import TextDelta

class Model:
    name = "test"

    def __init__(self, seconds):
        self.seconds = seconds

    async def respond(self, request, emit=None):
        if emit is not None:
            await emit(TextDelta("Well. "))
        print("asked", flush=True)
        await trio.sleep(self.seconds)
        return ModelResponse("Well. Done.")

class Gated:
    name = "gated"

    async def respond(self, request, emit=None):
        print("asked", flush=True)
        while not os.path.exists("gate"):
            await trio.sleep(0.02)
        return ModelResponse("Well. Done.")

class About:
    name = "about"

    async def respond(self, request, emit=None):
        size = 0
        if os.path.exists("/proc/self/statm"):
            with open("/proc/self/statm") as statm:
                size = int(statm.read().split()[1]) * resource.getpagesize()
        known = {
            "threshold": gc.get_threshold()[2],
            "frozen": gc.get_freeze_count(),
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "bytes": size,
        }
        return ModelResponse(json.dumps(known))

class Node:
    pass

class Wasteful:
    name = "wasteful"

    async def respond(self, request, emit=None):
        node = Node()
        node.itself, node.bytes = node, b"x" * 20_000_000
        gc.collect(1)  # so that it is old when it becomes garbage
        del node
        return ModelResponse("Done.")

quick = Agent(Model(0), "quick")
wasteful = Agent(Wasteful(), "wasteful")
about = Agent(About(), "about")
endless = Agent(Model(3600), "endless")
gated = Agent(Gated(), "gated")
"""


@attrs.define
class Process:
    """A server process and the first lines of its output."""

    popen: subprocess.Popen[str]
    url: str
    greeting: list[str]

    def line(self) -> str:
        """Return the next line of its output."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal and wait for the end. Return the exit code and stderr."""
        self.popen.send_signal(number)
        _, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, err


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server on a free port, `start("--grace", "5", settings="...")`; killed if it outlives the test."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "agents.py").write_text(AGENTS)

    def begin(*arguments: str, settings: str = "") -> Process:
        (tmp_path / "agno-rt.toml").write_text(f'[runtime]\nload = ["agents.py"]\n[plugins.serve]\n{settings}\n')
        command = [sys.executable, "-m", "agno_rt.cli", "serve", "--port", "0", *arguments]
        pipe = subprocess.PIPE
        popen = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        started.append(popen)
        assert popen.stdout is not None
        greeting = [popen.stdout.readline() for _ in range(2)]
        url = re.search(r"http://\S+:\d+", greeting[0])
        assert url is not None, (greeting, popen.communicate(timeout=PATIENCE))
        return Process(popen, url[0], greeting)

    yield begin
    for popen in started:
        if popen.poll() is None:
            popen.kill()
        popen.communicate()


def post(url: str, agent: str, *, stream: bool = False) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | ({"Accept": "text/event-stream"} if stream else {})
    request = urllib.request.Request(f"{url}/agents/{agent}/runs", b'{"input": "x"}', headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def about(process: Process) -> dict[str, int]:
    """Return the agent's answer about the process."""
    told: dict[str, int] = json.loads(json.loads(post(process.url, "about")[1])["content"])
    return told


def in_background(function: Callable[[], Any]) -> Callable[[], Any]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return result


def fails(*arguments: str, cwd: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "agno_rt.cli", "serve", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stderr


class TestServing:
    def test_says_where_it_is(self, start: Start) -> None:
        """One line has the address and the agents, the next a command that works."""
        process = start()

        assert re.fullmatch(
            r"Serving quick, wasteful, about, endless, gated at http://127\.0\.0\.1:\d+ \(Ctrl-C stops\)\n",
            process.greeting[0],
        )
        command = process.greeting[1].removeprefix("Try: ").strip()
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert json.loads(done.stdout)["content"] == "Well. Done."
        assert process.stop() == (0, "")

    def test_access_log(self, start: Start) -> None:
        """With `--access-log` each request is logged, here as an object a line, without keys in its query."""
        process = start("--access-log", "--log-format", "json", settings='trusted_proxies = ["127.0.0.1"]')
        query = (
            "limit=3&api_key=abc&q=sk-verysecret&r=eyJhbGciOi.x&s=550e8400-e29b-41d4-a716-446655440000&t=a1" + "b" * 40
        )
        headers = {"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "r-1", "Authorization": "Bearer no"}
        request = urllib.request.Request(f"{process.url}/health?{query}", headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert (answer.status, answer.headers["x-request-id"]) == (200, "r-1")
        logged = json.loads(process.line())

        assert logged.pop("timestamp")
        assert logged.pop("ms") >= 0
        assert logged.pop("bytes") > 100
        kept = "limit=3&api_key=...&q=...&r=...&s=550e8400-e29b-41d4-a716-446655440000&t=..."
        assert logged == {
            "event": "request",
            "level": "info",
            "method": "GET",
            "path": "/health",
            "query": kept,
            "status": 200,
            "client": "192.0.2.7",
            "request": "r-1",
        }
        assert process.stop()[0] == 0

    def test_settings_and_options(self, start: Start) -> None:
        """Options override the settings of agno-rt.toml."""
        process = start("--host", "localhost", settings='host = "127.0.0.2"\nmax_body = 20')

        assert process.url.startswith("http://localhost:")
        status, _ = post(process.url, "quick" + "x" * 10)
        assert status == 404
        request = urllib.request.Request(f"{process.url}/agents/quick/runs", b"x" * 21)
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request, timeout=PATIENCE):
            pass
        with caught.value:
            assert caught.value.code == 413

    def test_the_process_is_made_ready(self, start: Start) -> None:
        """The collector ignores loaded objects and seldom walks the rest; the limit of open files is raised."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
        try:
            process = start(settings="max_connections = 700")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        known = about(process)

        assert known["threshold"] >= 50 > gc.get_threshold()[2]
        assert known["frozen"] > 10_000
        assert 700 < known["files"] <= 1_700

    @pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell how large a process is")
    def test_old_garbage_does_not_pile_up(self, start: Start) -> None:
        """Garbage of few objects and many bytes is collected, though the collector counts objects."""
        process = start()
        before = about(process)["bytes"]
        for _ in range(20):
            assert post(process.url, "wasteful")[0] == 200
        deadline = time.monotonic() + PATIENCE
        while about(process)["bytes"] > before + 250_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.1)


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_running_requests_end_first(self, start: Start, tmp_path: Path, number: signal.Signals) -> None:
        """A server told to stop during a run answers the run, then exits with 0."""
        process = start("--grace", "60")
        result = in_background(lambda: post(process.url, "gated"))
        assert process.line() == "asked\n"
        process.popen.send_signal(number)
        assert process.popen.stderr is not None
        assert "waiting for running requests" in process.popen.stderr.readline()
        (tmp_path / "gate").touch()

        assert json.loads(result()[1])["content"] == "Well. Done."
        assert process.popen.wait(PATIENCE) == 0

    def test_endless_requests_are_cancelled(self, start: Start) -> None:
        """A run that outlasts the grace period is cancelled: its stream says so, and the exit is clean."""
        process = start("--grace", "0.2")
        result = in_background(lambda: post(process.url, "endless", stream=True))
        assert process.line() == "asked\n"
        code, said = process.stop()

        status, body = result()
        assert (code, status) == (0, 200)
        assert "Traceback" not in said
        last = json.loads(body.strip().rpartition("data: ")[2])
        assert (last["type"], last["status"]) == ("run_ended", "cancelled")

    def test_a_second_signal_stops_at_once(self, start: Start) -> None:
        """A second signal ends the grace period."""
        process = start("--grace", "3600")
        result = in_background(lambda: _read_status(lambda: post(process.url, "endless")))
        assert process.line() == "asked\n"
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.stderr is not None
        assert "A second signal" in process.popen.stderr.readline()
        code, said = process.stop(signal.SIGINT)

        assert (code, "Traceback" in said) == (0, False)
        assert result() != 200


class TestFailing:
    def test_a_port_in_use(self, tmp_path: Path) -> None:
        """A port in use is an error of one line with the way out."""
        (tmp_path / "agents.py").write_text(AGENTS)
        with socket.create_server(("127.0.0.1", 0)) as other:
            code, said = fails("agents.py", "--port", str(other.getsockname()[1]), cwd=tmp_path)

        assert code == 2
        assert "is in use" in said
        assert "--port" in said
        assert "Traceback" not in said

    def test_an_unknown_setting(self, tmp_path: Path) -> None:
        """A misspelt setting is named, with its table and the nearest setting."""
        (tmp_path / "agents.py").write_text(AGENTS)
        (tmp_path / "agno-rt.toml").write_text('[runtime]\nload = ["agents.py"]\n[plugins.serve]\nprot = 1\n')
        code, said = fails(cwd=tmp_path)

        assert code == 2
        assert all(part in said for part in ("'prot'", "plugins.serve", "'port'"))

    @pytest.mark.parametrize("workers", ["1", "2"])
    @pytest.mark.parametrize("url", ["nonsense", "nothing:here", "sqlite:///no/such/folder/a.db"])
    def test_a_wrong_memory(self, tmp_path: Path, url: str, workers: str) -> None:
        """A wrong URL of `--memory` is a mistake of the option, not of the project's file."""
        (tmp_path / "agents.py").write_text(AGENTS)
        code, said = fails("agents.py", "--port", "0", "--memory", url, "--workers", workers, cwd=tmp_path)

        assert code == 2
        assert said.startswith("error: --memory: ")
        assert "agents.py" not in said

    def test_agents_that_cannot_run(self, tmp_path: Path) -> None:
        """Agents with missing models keep the server from starting, and are named."""
        (tmp_path / "agents.py").write_text('from agno_rt import Agent\na = Agent("nothing:at-all", "a")\n')
        code, said = fails("agents.py", "--port", "0", cwd=tmp_path)

        assert code == 2
        assert "'nothing'" in said


def _read_status(function: Callable[[], tuple[int, str]]) -> int:
    try:
        return function()[0]
    except OSError:
        return 0
