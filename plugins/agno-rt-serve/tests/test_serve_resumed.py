"""Runs that outlive their process: a server killed between pause and resume, and workers with a common database."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

PATIENCE = 60.0
SSE = {"Accept": "text/event-stream"}
AGENTS = """
import os
import trio
from agno_rt import Agent, MemoryPolicy, ModelResponse, ToolCall, tool
from agno_rt.events import TextDelta

class Clerk:
    name = "clerk"

    async def respond(self, request, emit=None):
        last = request.messages[-1]
        if last.role == "user":
            return ModelResponse("", (ToolCall("c1", "pay", '{"amount":1,"to":"Ann"}'),))
        return ModelResponse(f"done: {last.text}")

class Stuck:
    name = "stuck"

    async def respond(self, request, emit=None):
        if emit is not None:
            await emit(TextDelta("Well"))
        await trio.sleep_forever()

class Who:
    name = "who"

    async def respond(self, request, emit=None):
        return ModelResponse(str(os.getpid()))

@tool(approve=True)
def pay(amount: int, to: str) -> str:
    '''Pay somebody.'''
    with open("paid.txt", "a") as file:
        file.write(f"{amount} to {to}\\n")
    return f"paid {amount} to {to}"

clerk = Agent(Clerk(), "clerk", tools=[pay])
stuck = Agent(Stuck(), "stuck", memory=MemoryPolicy(journal=True))
who = Agent(Who(), "who")
"""
SQLITE = "sqlite:///agents.db"

Launch = Callable[..., subprocess.Popen[str]]
Address = Callable[[subprocess.Popen[str]], str]


def test_killed_between_pause_and_resume(launch: Launch, address: Address, tmp_path: Path) -> None:
    """A run that waits in a database is decided and resumed on the next server, and pays once."""
    first = launch(AGENTS, memory=SQLITE)
    with httpx2.Client(base_url=address(first), timeout=PATIENCE) as http:
        paused = http.post("/agents/clerk/runs", json={"input": "Pay Ann", "session": "s", "user": "ann"}).json()
    first.kill()
    first.wait(PATIENCE)
    second = launch(AGENTS, memory=SQLITE)
    with httpx2.Client(base_url=address(second), timeout=PATIENCE) as http:
        [waiting] = http.get("/approvals", params={"status": "pending", "user": "ann"}).json()["approvals"]
        decision = {"decision": "approve", "arguments": {"amount": 2, "to": "Bob"}, "user": "ann"}
        http.post(f"/approvals/{waiting['id']}", json=decision)
        told = http.post(f"/runs/{paused['run_id']}/resume", json={"user": "ann"}, headers=SSE).text
        again = http.post(f"/runs/{paused['run_id']}/resume", json={"user": "ann"})
        session = http.get("/sessions/s", params={"user": "ann"}).json()

    assert waiting == paused["approvals"][0]
    ended = json.loads(told.rstrip().splitlines()[-1].removeprefix("data: "))
    assert (ended["status"], ended["content"]) == ("completed", "done: paid 2 to Bob")
    assert again.status_code == 409
    assert (tmp_path / "paid.txt").read_text() == "2 to Bob\n"
    assert (session["title"], session["agent"], session["total"]) == ("Pay Ann", "clerk", 4)


def test_killed_while_it_runs(launch: Launch, address: Address) -> None:
    """A run under way when its server was killed is stopped on the next server, and is resumed there."""
    first = launch(AGENTS, memory=SQLITE)
    with (
        httpx2.Client(base_url=address(first), timeout=PATIENCE) as http,
        http.stream("POST", "/agents/stuck/runs", json={"input": "hi"}, headers=SSE) as stream,
    ):
        lines = stream.iter_lines()
        while "text_delta" not in next(lines):
            pass
        first.kill()
        first.wait(PATIENCE)
    # Else the server would go on with the run by itself, as soon as the first one's lease has ended.
    second = launch(AGENTS, memory=SQLITE, settings="wakes = false")
    with httpx2.Client(base_url=address(second), timeout=PATIENCE) as http:
        [run] = http.get("/runs", params={"status": "running"}).json()["runs"]
        with http.stream("POST", f"/runs/{run['id']}/resume", headers=SSE) as stream:
            lines = stream.iter_lines()
            while "text_delta" not in next(lines):
                pass
            going = http.get(f"/runs/{run['id']}").json()
            cancelled = http.post(f"/runs/{run['id']}/cancel").json()
            ended = [line for line in lines if line.startswith("data: ")][-1]

    assert (run["agent"], run["stopped"], going["stopped"]) == ("stuck", True, False)
    assert (cancelled, '"cancelled"' in ended) == ({"cancelled": True}, True)


@pytest.fixture
def workers(launch: Launch, address: Address) -> Iterator[list[httpx2.Client]]:
    """Two workers on an SQLite file: a connection to each."""
    url = address(launch(AGENTS, "--workers", "2", memory=SQLITE))
    found: dict[str, httpx2.Client] = {}
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as clients:
        while len(found) < 2:
            assert time.monotonic() < deadline, found
            one = httpx2.Client(base_url=url, timeout=PATIENCE, limits=httpx2.Limits(max_connections=1))
            clients.callback(one.close)
            found.setdefault(one.post("/agents/who/runs", json={"input": "?"}).json()["content"], one)
        yield list(found.values())


def test_any_worker_decides_and_goes_on(workers: list[httpx2.Client], tmp_path: Path) -> None:
    """A run paused in one worker is shown, decided and resumed by the other; both know the session."""
    one, other = workers
    paused = one.post("/agents/clerk/runs", json={"input": "Pay Ann", "session": "s"}).json()
    [waiting] = other.get("/approvals", params={"run": paused["run_id"]}).json()["approvals"]
    decided = other.post(f"/approvals/{waiting['id']}", json={"decision": "approve"}).json()
    twice = one.post(f"/approvals/{waiting['id']}", json={"decision": "deny"})
    done = other.post(f"/runs/{paused['run_id']}/resume").json()
    renamed = one.patch("/sessions/s", json={"title": "Money"}).json()
    shown = other.get("/sessions/s").json()

    assert (decided["status"], twice.status_code) == ("approved", 409)
    assert done["content"] == "done: paid 1 to Ann"
    assert (tmp_path / "paid.txt").read_text() == "1 to Ann\n"
    assert renamed["title"] == shown["title"] == "Money"
    assert shown["total"] == 4


def test_cancelled_from_another_worker(workers: list[httpx2.Client]) -> None:
    """A stored run streamed by one worker is cancelled through the other; the stream says so."""
    one, other = workers
    told: list[dict[str, Any]] = []
    begun = threading.Event()

    def listen(http: httpx2.Client) -> None:
        with http.stream("POST", "/agents/stuck/runs", json={"input": "hi"}, headers=SSE) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line.removeprefix("data: ")))
                    if told[-1]["type"] == "text_delta":
                        begun.set()

    listener = threading.Thread(target=listen, args=(one,))
    listener.start()
    assert begun.wait(PATIENCE)
    cancelled = other.post(f"/runs/{told[-1]['run_id']}/cancel").json()
    listener.join(PATIENCE)

    assert cancelled == {"cancelled": True}
    assert not listener.is_alive()
    assert (told[-1]["type"], told[-1]["status"]) == ("run_ended", "cancelled")


def test_stopped_while_a_run_waits(launch: Launch, address: Address) -> None:
    """A server whose runs all wait for a person stops at once."""
    process = launch(AGENTS, memory=SQLITE)
    with httpx2.Client(base_url=address(process), timeout=PATIENCE) as http:
        assert http.post("/agents/clerk/runs", json={"input": "Pay Ann"}).json()["status"] == "paused"
    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 0
