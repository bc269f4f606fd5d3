"""Messages to runs and stops of runs over real sockets: streamed, stored, and carried out by another server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from agno_rt import Agent, MemoryPolicy, ModelRequest, ModelResponse, ToolCall, tool
from agno_rt.models import Emit

SSE = {"Accept": "text/event-stream"}
STORED = MemoryPolicy(journal=True)


class Working:
    """A model that calls the tool `work` again and again, until it reads the message "enough"."""

    name = "working"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or repeat the user's messages."""
        said = [message.text for message in request.messages if message.role == "user"]
        if "enough" in said:
            return ModelResponse(" ".join(said))
        return ModelResponse("", (ToolCall(f"c{request.turn}", "work"),))


@tool(idempotent=True)
async def work() -> str:
    """Work for a moment."""
    await trio.sleep(0.01)
    return "worked"


def worker(memory: MemoryPolicy = STORED) -> Agent:
    """Return an agent that works until it is told that it is enough, or stopped."""
    return Agent(Working(), "worker", tools=[work], memory=memory, limits={"turns": 10_000})


def client(served: Any) -> httpx2.AsyncClient:
    """Return a client of the server."""
    return httpx2.AsyncClient(base_url=served.url, timeout=60, verify=False)


async def find_run(http: httpx2.AsyncClient, user: str | None = None) -> str:
    """Wait for the only stored run, and return its id."""
    params = {} if user is None else {"user": user}
    found: list[dict[str, Any]] = []
    while not found:
        found = (await http.get("/runs", params=params)).json()["runs"]
    return str(found[0]["id"])


async def test_a_run_that_another_server_carries_out(serve_agents: Any, tmp_path: Path) -> None:
    """Any server on the database passes messages on, and the run's own server is the one that answers."""
    memory, answers, answered = f"sqlite:///{tmp_path}/runs.db", [], trio.Event()
    first, second = await serve_agents(worker(), memory=memory), await serve_agents(worker(), memory=memory)
    async with client(first) as here, client(second) as there, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await here.post("/agents/worker/runs", json={"input": "go", "user": "ann"}))
            answered.set()

        nursery.start_soon(ask)
        path = f"/runs/{await find_run(there, 'ann')}/messages"
        assert (await there.post(path, json={"input": "one", "user": "bob"})).status_code == 404
        assert (await there.post(path, json={"input": "one"})).status_code == 404
        assert (await there.post(path, json={"input": "one", "when": "now", "user": "ann"})).status_code == 400
        for text in ("one", "enough"):
            sent = await there.post(path, json={"input": text, "user": "ann"})
            assert (sent.status_code, sent.json()) == (200, {"sent": True, "status": "running"})
        await answered.wait()
        late = await there.post(path, json={"input": "late", "user": "ann"})

    assert answers[0].json()["content"] == "go one enough"
    assert (late.status_code, late.json()["error"]["code"]) == (409, "run_conflict")


async def test_a_run_that_is_stopped_elsewhere_and_resumed(serve_agents: Any, tmp_path: Path) -> None:
    """A stop by another server ends the run with an error for its client; a message then waits for the next one."""
    memory, answers, answered = f"sqlite:///{tmp_path}/runs.db", [], trio.Event()
    first, second = await serve_agents(worker(), memory=memory), await serve_agents(worker(), memory=memory)
    async with client(first) as here, client(second) as there, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await here.post("/agents/worker/runs", json={"input": "go"}))
            answered.set()

        nursery.start_soon(ask)
        run = await find_run(there)
        assert (await there.post(f"/runs/{run}/stop", json={"user": "bob"})).status_code == 404
        for bad in ({"at": "noon"}, {"grace": -1}, {"when": "now"}):
            assert (await there.post(f"/runs/{run}/stop", json=bad)).status_code == 400
        assert (await there.post(f"/runs/{run}/stop")).json() == {"stopping": True}
        await answered.wait()
        assert (await there.post(f"/runs/{run}/stop", json={"at": "model"})).json() == {"stopping": False}
        sent = await there.post(f"/runs/{run}/messages", json={"input": "enough"})
        resumed = await there.post(f"/runs/{run}/resume")

    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (409, "cancelled")
    assert sent.json() == {"sent": True, "status": "cancelled"}
    assert resumed.json()["content"] == "go enough"


@pytest.mark.parametrize("memory", [STORED, MemoryPolicy()])
async def test_a_stream_that_is_stopped(serve_agents: Any, memory: MemoryPolicy) -> None:
    """A streamed run, stored or not, ends after its tool: the tool's end and the run's end are in the stream."""
    told: list[dict[str, Any]] = []
    async with client(await serve_agents(worker(memory))) as http:
        asked: dict[str, Any] = {"json": {"input": "go", "user": "ann"}, "headers": SSE}
        async with http.stream("POST", "/agents/worker/runs", **asked) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                told.append(json.loads(line.removeprefix("data: ")))
                if told[-1]["type"] == "tool_started" and len(told) < 6:
                    path = f"/runs/{told[-1]['run_id']}/stop"
                    assert (await http.post(path, json={"user": "bob"})).status_code == 404
                    stopping = await http.post(path, json={"at": "model", "user": "ann"})
        over = await http.post(path, json={"user": "ann"})

    assert stopping.json() == {"stopping": True}
    kinds = [event["type"] for event in told]
    assert kinds.count("tool_started") == kinds.count("tool_ended")
    assert [event["status"] for event in told if event["type"] == "run_ended"] == ["cancelled"]
    assert (over.status_code, over.text.find("stopping") > 0) == ((200, True) if memory.journal else (404, False))
