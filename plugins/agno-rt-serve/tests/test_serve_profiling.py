"""Profiles of a real server, requested as an operator would, while it serves."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pytest
from agno_rt_serve.app import App
from agno_rt_serve.settings import Settings
from playwright.sync_api import Browser, expect

from agno_rt import Agent, Runtime
from agno_rt.config import Config
from agno_rt.project import Project
from agno_rt.testing import ScriptedModel

PATIENCE = 60.0
ROUTES = ("profile", "memory")
PROFILES = "agno-rt-profile-*"

AGENTS = """
import time
from agno_rt import Agent, ModelResponse, ToolCall, tool

kept = []


@tool
def spin() -> str:
    "Work for a while, and keep something."
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    kept.append([object() for _ in range(1_000)])
    return "ok"


class Model:
    name = "test"

    async def respond(self, request, emit=None):
        if request.messages[-1].role == "tool":
            return ModelResponse("Done.")
        return ModelResponse("", (ToolCall("1", "spin"),))


busy = Agent(Model(), "busy", tools=[spin])
"""


@attrs.define
class Process:
    """A server process; `scratch` is its folder for temporary files."""

    url: str
    greeting: str
    scratch: Path

    def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Return the answer: status, content type, body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            request = urllib.request.Request(self.url + path, headers=named)
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read().decode()

    def error(self, path: str, **headers: str) -> tuple[int, str]:
        """Return the status and the code of the error answered."""
        status, _, body = self.get(path, **headers)
        return status, json.loads(body)["error"]["code"]

    @contextmanager
    def at_work(self) -> Iterator[list[str]]:
        """Keep the server running an agent; yields the answers so far."""
        answers: list[str] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                data = b'{"input": "x"}'
                request = urllib.request.Request(
                    f"{self.url}/agents/busy/runs", data, {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    answers.append(json.loads(answer.read())["content"])

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield answers
        finally:
            over.set()
            thread.join(PATIENCE)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server on a free port, `start("--profile")`; killed when the test is over."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "agents.py").write_text(AGENTS)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def begin(*arguments: str, python: str = sys.executable, path: str | None = None) -> Process:
        command = [python, "-m", "agno_rt.cli", "serve", "agents.py", "--port", "0", *arguments]
        environment = os.environ | {"TMPDIR": str(scratch)} | ({} if path is None else {"PATH": path})
        popen = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(popen)
        assert popen.stdout is not None
        greeting = popen.stdout.readline() + popen.stdout.readline()
        if "--profile" in arguments:
            greeting += popen.stdout.readline()
        url = re.search(r"http://\S+:\d+", greeting)
        assert url is not None, greeting
        return Process(url[0], greeting, scratch)

    yield begin
    for popen in started:
        popen.kill()
        popen.communicate(timeout=PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition without an event."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestProfiles:
    def test_where_time_goes(self, start: Start) -> None:
        """The printed command makes a flame graph of the server's threads, while requests are served."""
        process = start("--profile")
        command = process.greeting.splitlines()[2].removeprefix("Profile: ").replace("seconds=5", "seconds=1")
        with process.at_work() as answers:
            until(lambda: bool(answers))
            before = len(answers)
            done = subprocess.run(
                f"{command} -sS -w '%{{http_code}} %{{content_type}}'",
                cwd=process.scratch.parent,
                shell=True,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            )
            meanwhile = answers[before:]

        assert done.stdout == "200 image/svg+xml"
        graph = (process.scratch.parent / "profile.svg").read_text()
        assert graph.rstrip().endswith("</svg>")
        assert "spin (" in graph
        assert len(meanwhile) > 1  # of two, the second was asked for meanwhile
        assert set(meanwhile) == {"Done."}

    @pytest.mark.parametrize("query", ["", "&format=table", "&leaks=true"])
    def test_what_memory_is_taken(self, start: Start, query: str) -> None:
        """A page shows the code that took memory; requests are served meanwhile."""
        process = start("--profile")
        with process.at_work() as answers:
            until(lambda: bool(answers))
            before = len(answers)
            status, kind, page = process.get(f"/debug/memory?seconds=1{query}")
            meanwhile = answers[before:]

        assert (status, kind) == (200, "text/html")
        assert "agents.py" in page
        assert '<script src="http' not in page
        assert len(meanwhile) > 1  # of two, the second was asked for meanwhile
        assert set(meanwhile) == {"Done."}

    def test_in_a_browser(self, start: Start, browser: Browser) -> None:
        """Both graphs are drawn by a browser, from their own files, in a separate origin."""
        process = start("--profile")
        problems: list[str] = []
        asked: list[str] = []
        with process.at_work():
            page = browser.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"{process.url}/debug/profile?seconds=1", timeout=PATIENCE * 1000)
            expect(page.locator("text", has_text="spin (agents.py").first).to_be_attached()
            page.goto(f"{process.url}/debug/memory?seconds=1", timeout=PATIENCE * 1000)
            expect(page.get_by_text("kept.append").first).to_be_visible()
            origin = page.evaluate("origin")
            page.close()

        assert problems == []
        assert origin == "null"
        assert [url for url in asked if not url.startswith((f"{process.url}/debug/", "data:", "blob:"))] == []

    def test_for_other_tools(self, start: Start) -> None:
        """Speedscope's format is JSON; raw stacks are lines. Waiting threads are counted if asked for."""
        process = start("--profile")
        with process.at_work():
            found = json.loads(process.get("/debug/profile?seconds=1&format=speedscope")[2])
        stacks = process.get("/debug/profile?seconds=1&format=raw&idle=true")[2]

        assert "spin" in {frame["name"] for frame in found["shared"]["frames"]}
        assert "get_events (" in stacks

    @pytest.mark.parametrize("route", ROUTES)
    def test_one_at_a_time(self, start: Start, route: str) -> None:
        """While one profile is made, another is refused; a client's hang-up ends a profile without a trace."""
        process = start("--profile")
        host, _, port = process.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(f"GET /debug/{route}?seconds=60 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            until(lambda: process.error(f"/debug/{route}?seconds=0") == (409, "profile_running"))
            others = [process.error(f"/debug/{other}?seconds=0")[0] for other in ROUTES]
            until(lambda: any(process.scratch.glob(PROFILES)))
        until(lambda: process.error(f"/debug/{route}?seconds=0") == (400, "invalid_query"))

        assert others == [409, 409]
        assert list(process.scratch.glob(PROFILES)) == []
        query = "seconds=1&idle=true" if route == "profile" else "seconds=1"
        assert process.get(f"/debug/{route}?{query}")[0] == 200

    def test_an_idle_server(self, start: Start) -> None:
        """An idle server has no profile, and its error differs from a failed one."""
        process = start("--profile")
        status, _, body = process.get("/debug/profile?seconds=1&format=raw")

        # In rare cases py-spy catches the server reading its clock.
        if status == 200:
            assert body.strip()
        else:
            assert status == 503
            assert "idle=true" in json.loads(body)["error"]["hint"]


class TestRefusing:
    @pytest.mark.parametrize("route", ROUTES)
    def test_off_by_default(self, start: Start, route: str) -> None:
        """Without the setting the routes do not exist."""
        assert start().error(f"/debug/{route}") == (404, "not_found")

    def test_what_is_asked(self, start: Start) -> None:
        """An invalid query is refused, and named."""
        process = start("--profile")

        for query in ("seconds=0", "seconds=61", "seconds=many", "format=pdf", "second=1"):
            status, _, body = process.get(f"/debug/profile?{query}")
            error = json.loads(body)["error"]
            assert (status, error["code"]) == (400, "invalid_query")
            assert query.partition("=")[0] in error["message"]

    def test_pages_and_proxies(self, start: Start) -> None:
        """Neither a page of another site nor a request through a proxy can start a profile."""
        process = start("--profile")

        assert process.error("/debug/profile?seconds=0", Sec_Fetch_Site="cross-site") == (403, "cross_site")
        assert process.error("/debug/memory?seconds=0", X_Forwarded_For="192.0.2.1") == (403, "local_only")
        assert process.error("/debug/memory?seconds=0", Host="example.com") == (421, "host_not_allowed")
        assert process.error("/debug/profile?seconds=0", Sec_Fetch_Site="none") == (400, "invalid_query")

    @pytest.mark.parametrize(("remote", "expected"), [(False, (403, "local_only")), (True, (400, "invalid_query"))])
    async def test_other_machines(self, remote: bool, expected: tuple[int, str]) -> None:
        """A client elsewhere cannot start a profile, unless the settings allow it."""
        agents = {"a": Agent(ScriptedModel([]), "a")}
        settings = Settings(host="0.0.0.0", allowed_hosts=("example.com",), profile=True, profile_remote=remote)
        async with Runtime() as runtime:
            transport: Any = httpx2.ASGITransport(
                App(Project("agents.py", agents, Config()), runtime, settings), client=("192.0.2.1", 50_000)
            )
            async with httpx2.AsyncClient(transport=transport, base_url="http://example.com") as http:
                answer = await http.get("/debug/profile?seconds=0")

        assert (answer.status_code, answer.json()["error"]["code"]) == expected

    def test_tools_that_are_missing(self, start: Start, tmp_path: Path) -> None:
        """Without the profilers installed, the error says what to install."""
        process = start("--profile", python=without_tools(tmp_path / "venv"), path=str(tmp_path / "nowhere"))

        for route in ROUTES:
            status, _, body = process.get(f"/debug/{route}?seconds=1")
            error = json.loads(body)["error"]
            assert (status, error["code"]) == (501, "profiler_missing")
            assert "pip install agno-rt-bench" in error["hint"]


def without_tools(folder: Path) -> str:
    """Return the Python of a virtual environment with everything except the profilers."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], timeout=PATIENCE, check=True)
    python = str(folder / "bin" / "python")
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(ask, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("memray", "py_spy")) and not (site / path.name).exists():
            os.symlink(path, site / path.name)
    return python
