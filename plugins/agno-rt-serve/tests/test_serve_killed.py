"""Workers that are killed with runs under way: no acknowledged run is lost, and none is listed as running for ever."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx2

PATIENCE = 90.0

AGENTS = """
import os
from pathlib import Path
import trio
from agno_rt import Agent, MemoryPolicy, ModelResponse

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        os.write(1, b"asked %d\\n" % os.getpid())
        while not Path("go").exists():
            await trio.sleep(0.05)
        return ModelResponse("At last.")

plain = Agent(Model(), "plain")
durable = Agent(Model(), "durable", memory=MemoryPolicy(journal=True))
"""


def test_runs_of_killed_workers(launch: Any, address: Any, tmp_path: Path) -> None:
    """After kill -9 of both workers, durable runs are taken over and end; none is left running, by the metrics too."""
    process = launch(AGENTS, "--workers", "2", memory="sqlite:///runs.db", more='observers = ["prometheus"]')
    url = address(process)
    process.stdout.readline()
    with httpx2.Client(base_url=url, timeout=PATIENCE) as http:
        durable = [start(http) for _ in range(3)]
        plain = [threading.Thread(target=ask_plain, args=(url,)) for _ in range(3)]
        for thread in plain:
            thread.start()
        asked = {int(process.stdout.readline().removeprefix("asked ")) for _ in range(6)}
        assert {run["id"] for run in list_running(http)} >= set(durable)
        for pid in asked:
            os.kill(pid, signal.SIGKILL)
        for thread in plain:
            thread.join(PATIENCE)
        (tmp_path / "go").touch()

        wait_for(lambda: ask(http, "GET", "/runs?status=running", lambda answer: answer.json()["runs"] == []))
        for run in durable:
            found = http.get(f"/runs/{run}").json()
            assert (found["status"], found["content"]) == ("completed", "At last.")
        # A run is counted as ended just after its end is stored.
        wait_for(lambda: ask(http, "GET", "/metrics", lambda answer: count_under_way(answer.text) == 0))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def count_under_way(metrics: str) -> float:
    return sum(map(float, re.findall(r"^agno_agent_runs_in_progress\{.*\} (\S+)$", metrics, re.MULTILINE)))


BUSY = """
import os
from agno_rt import Agent, MemoryPolicy, ModelResponse, ToolCall, tool

@tool(inline=True, idempotent=True)
def note(number: str) -> str:
    \"\"\"Note a number.\"\"\"
    return f"noted {number}"

class Model:
    name = "test"

    async def respond(self, request, emit=None):
        import trio
        await trio.sleep(0.1)
        last = request.messages[-1]
        if last.role == "user":
            return ModelResponse("", (ToolCall("1", "note", '{"number": "%s"}' % last.text),))
        return ModelResponse(last.text)

class Who:
    name = "who"

    async def respond(self, request, emit=None):
        return ModelResponse(str(os.getpid()))

busy = Agent(Model(), "busy", tools=[note], memory=MemoryPolicy(journal=True))
who = Agent(Who(), "who")
"""
CLIENTS, KILLS, BETWEEN = 4, 3, 25


def test_killed_under_load(launch: Any, address: Any) -> None:
    """Workers are killed again and again while clients start runs: each acknowledged run ends, with its own answer."""
    process = launch(BUSY, "--workers", "2", memory="sqlite:///runs.db")
    url = address(process)
    process.stdout.readline()
    load = Load(url)
    threads = [threading.Thread(target=load.start_runs, args=(name,)) for name in range(CLIENTS)]
    for thread in threads:
        thread.start()
    with httpx2.Client(base_url=url, timeout=PATIENCE) as http:
        try:
            for count in range(1, KILLS + 1):
                wait_for(lambda count=count: len(load.started) >= count * BETWEEN)
                os.kill(find_worker(url), signal.SIGKILL)
            wait_for(lambda: len(load.started) >= (KILLS + 1) * BETWEEN)
        finally:
            load.is_over = True
            for thread in threads:
                thread.join(PATIENCE)
        wait_for(lambda: ask(http, "GET", "/runs?status=running", lambda answer: answer.json()["runs"] == []))
        ended = {run: http.get(f"/runs/{run}").json() for run in load.started}

    assert any(each["takeovers"] for each in ended.values()), "no kill hit a run"
    assert {run: (each["status"], each["content"]) for run, each in ended.items()} == {
        run: ("completed", f"noted {given}") for run, given in load.started.items()
    }
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


class Load:
    """Clients that start runs in the background; `started` has the input of each acknowledged run."""

    def __init__(self, url: str) -> None:
        self.started: dict[str, str] = {}
        self.is_over = False
        self._url = url

    def start_runs(self, name: int) -> None:
        """Start runs one after the other, until the load is over. A request to a killed worker is not repeated."""
        number = 0
        while not self.is_over:
            number += 1
            given = f"{name}-{number}"
            try:
                answer = httpx2.post(
                    f"{self._url}/agents/busy/runs", json={"input": given, "background": True}, timeout=PATIENCE
                )
            except httpx2.TransportError:
                continue
            if answer.status_code == 202:
                self.started[answer.json()["run_id"]] = given


def find_worker(url: str) -> int:
    """Return the process id of a worker."""
    found: list[int] = []

    def look() -> bool:
        try:
            answer = httpx2.post(f"{url}/agents/who/runs", json={"input": "?"}, timeout=PATIENCE)
        except httpx2.TransportError:
            return False
        found.append(int(answer.json()["content"]))
        return True

    wait_for(look)
    return found[0]


def start(http: httpx2.Client) -> str:
    answer = http.post("/agents/durable/runs", json={"input": "Go.", "background": True})
    assert answer.status_code == 202
    return str(answer.json()["run_id"])


def ask_plain(url: str) -> None:
    try:
        httpx2.post(f"{url}/agents/plain/runs", json={"input": "Go."}, timeout=PATIENCE)
    except httpx2.TransportError:
        return  # its worker was killed


def list_running(http: httpx2.Client) -> list[Any]:
    found: list[Any] = http.get("/runs?status=running").json()["runs"]
    return found


def ask(http: httpx2.Client, method: str, path: str, judge: Any) -> bool:
    """Return the judgement of the answer; False if nobody answers, as while all workers start again."""
    try:
        return bool(judge(http.request(method, path)))
    except httpx2.TransportError:
        return False


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
