"""Runs over a WebSocket: events as messages, words to the run, errors without an end of the connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agno_rt import Agent, ToolCall, tool
from agno_rt.testing import ScriptedModel

PATIENCE = 60.0


async def _connect_and_talk(served: Any, path: str, client: Callable[[ClientConnection], Any]) -> Any:
    """Connect in a thread, and let the client talk there."""

    def talk() -> Any:
        with connect(f"ws://127.0.0.1:{served.port}{path}", open_timeout=PATIENCE) as wire:
            return client(wire)

    with trio.fail_after(PATIENCE):
        return await trio.to_thread.run_sync(talk)


def _read_until(wire: ClientConnection, *ends: str) -> list[dict[str, Any]]:
    """Return the messages up to one of the types."""
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["type"] not in ends:
        seen.append(json.loads(wire.recv(timeout=PATIENCE)))
    return seen


def _ask_for_run(wire: ClientConnection, **body: Any) -> list[dict[str, Any]]:
    wire.send(json.dumps(body))
    return _read_until(wire, "run_ended", "error", "started")


async def test_runs(serve_agents: Any) -> None:
    """One connection makes several runs, one after the other; a refused message does not end it."""
    served = await serve_agents(Agent(ScriptedModel(lambda request: "Hello you."), "a"))

    def client(wire: ClientConnection) -> Any:
        return (
            _ask_for_run(wire, input="Hi.", session="s"),
            _ask_for_run(wire, inptu="Hi."),
            _ask_for_run(wire, input="Again.", session="s"),
        )

    first, wrong, second = await _connect_and_talk(served, "/agents/a/runs", client)

    assert [event["id"] for event in first] == list(range(1, len(first) + 1))
    assert (first[0]["type"], first[-1]["content"]) == ("run_started", "Hello you.")
    assert "".join(event["text"] for event in first if event["type"] == "text_delta") == "Hello you."
    assert (wrong[-1]["status"], wrong[-1]["error"]["code"]) == (400, "invalid_body")
    assert second[-1]["status"] == "completed"
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as http:
        assert len((await http.get("/sessions/s")).json()["messages"]) == 4


async def test_unknown_agent(serve_agents: Any) -> None:
    """The handshake for an agent that does not exist is refused, with the error as its body."""
    served = await serve_agents(Agent(ScriptedModel(["Hi."]), "a"))
    with pytest.raises(InvalidStatus) as refused:
        await _connect_and_talk(served, "/agents/b/runs", lambda wire: None)

    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["error"]["code"] == "not_found"


async def test_steering(serve_agents: Any) -> None:
    """A message reaches the run under way, a cancellation ends it, and a wrong word is refused."""
    waits = trio.Event()
    turns: list[str] = []

    @tool
    async def wait() -> str:
        """Wait."""
        await waits.wait()
        return "waited"

    def says(request: Any) -> Any:
        turns.append(request.messages[-1].text)
        return "Done." if "Hurry" in turns[-1] else ToolCall("1", "wait", "{}")

    served = await serve_agents(Agent(ScriptedModel(says), "a", tools=[wait]))

    def client(wire: ClientConnection) -> Any:
        wire.send(json.dumps({"input": "Go."}))
        _read_until(wire, "tool_started")
        wire.send(json.dumps({"type": "hum"}))
        wrong = _read_until(wire, "error")
        wire.send(json.dumps({"type": "message", "input": "Hurry."}))
        trio.from_thread.run_sync(waits.set)
        steered = _read_until(wire, "run_ended")
        trio.from_thread.run_sync(reset)
        wire.send(json.dumps({"input": "Go."}))
        _read_until(wire, "tool_started")
        wire.send(json.dumps({"type": "cancel"}))
        return wrong, steered, _read_until(wire, "run_ended")

    def reset() -> None:
        nonlocal waits
        waits = trio.Event()

    wrong, steered, cancelled = await _connect_and_talk(served, "/agents/a/runs", client)

    assert wrong[-1]["status"] == 400
    assert "message_received" in [event["type"] for event in steered]
    assert steered[-1]["content"] == "Done."
    assert cancelled[-1]["status"] == "cancelled"


async def test_leaving(serve_agents: Any, until: Any, tmp_path: Path) -> None:
    """A client that leaves cancels its run; with `detach` the run goes on, and is followed over another connection."""
    gate = trio.Event()
    asked: list[str] = []

    class Gated:
        """A model that waits."""

        name = "gated"

        async def respond(self, request: Any, emit: Any = None) -> Any:
            """Answer once the gate is open; note a cancellation."""
            asked.append("asked")
            try:
                await gate.wait()
            except trio.Cancelled:
                asked.append("cancelled")
                raise
            return await ScriptedModel(["At last."]).respond(request, emit)

    served = await serve_agents(Agent(Gated(), "a"), memory=f"sqlite:///{tmp_path / 'serve.db'}")

    def begin(**body: Any) -> Callable[[ClientConnection], str]:
        def client(wire: ClientConnection) -> str:
            wire.send(json.dumps({"input": "Go."} | body))
            run: str = _read_until(wire, "model_started")[0]["run_id"]
            return run

        return client

    await _connect_and_talk(served, "/agents/a/runs", begin())
    await until(lambda: asked == ["asked", "cancelled"])
    run = await _connect_and_talk(served, "/agents/a/runs", begin(disconnect="detach"))
    gate.set()
    events = await _connect_and_talk(served, f"/runs/{run}/events", lambda wire: _read_until(wire, "run_ended"))
    started = await _connect_and_talk(
        served, "/agents/a/runs", lambda wire: _ask_for_run(wire, input="Go.", background=True)
    )

    await until(lambda: len(asked) == 4)  # a run is acknowledged before it asks its model
    assert asked == ["asked", "cancelled", "asked", "asked"]
    assert events[-1]["content"] == "At last."
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert started[-1]["type"] == "started"
