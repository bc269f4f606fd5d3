"""The id of the request that began a run: stored with the run, shown, and searched for, over every API."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import trio
from websockets.sync.client import connect

from agno_rt import Agent, MemoryPolicy, ModelRequest, Team, ToolCall
from agno_rt.teams import Leader
from agno_rt.testing import ScriptedModel

from .a2a_talk import VERSION, message

PATIENCE = 30.0
SAID = {"role": "user", "content": "Hi"}
AG_UI = {"threadId": "t", "runId": "r", "messages": [{"id": "m", **SAID}], "state": {}, "tools": [], "context": []}


def answer(request: ModelRequest) -> str:
    """Answer, for any number of runs."""
    return "Hello."


def make_agent(name: str = "a") -> Agent:
    """Make an agent whose runs are stored."""
    return Agent(ScriptedModel(answer), name, memory=MemoryPolicy(journal=True))


def open_client(served: Any) -> httpx2.AsyncClient:
    """Open a client of the server."""
    return httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE)


async def find_runs(http: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Return a page of runs."""
    found = await http.get("/runs", params=query)
    assert found.status_code == 200, found.text
    listed: list[dict[str, Any]] = found.json()["runs"]
    return listed


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/agents/a/runs", {"input": "Hi"}, {}),
        ("/agents/a/runs", {"input": "Hi"}, {"Accept": "text/event-stream"}),
        ("/agents/a/runs", {"input": "Hi", "background": True}, {}),
        ("/agents/a/runs", {"input": "Hi", "disconnect": "detach"}, {}),
        ("/v1/chat/completions", {"model": "a", "messages": [SAID]}, {}),
        ("/v1/chat/completions", {"model": "a", "messages": [SAID], "stream": True}, {}),
        ("/v1/responses", {"model": "a", "input": "Hi"}, {}),
        ("/v1/responses", {"model": "a", "input": "Hi", "background": True}, {}),
        ("/agents/a/ag-ui", AG_UI, {}),
        ("/a2a/a", {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("Hi")}, VERSION),
        ("/api/v1/agents/a/run", {"input": "Hi"}, {}),
        ("/api/v1/agents/a/run/stream", {"input": "Hi"}, {}),
    ],
    ids=str,
)
async def test_a_run_has_the_id_of_its_request(
    serve_agents: Any, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """The id of the answer leads to the run, and the run to the id; the next request has another id."""
    async with open_client(await serve_agents(make_agent())) as http:
        made = await http.post(path, json=body, headers=headers)
        other = await http.post("/agents/a/runs", json={"input": "Hi"})
        given = made.headers["x-request-id"]
        found = await find_runs(http, request=given)
        [run] = found
        shown = (await http.get(f"/runs/{run['id']}")).json()
        [after] = await find_runs(http, request=other.headers["x-request-id"])

    assert made.status_code < 300, made.text
    assert run["request"] == shown["request"] == given
    assert after["id"] == other.json()["run_id"] != run["id"]


async def test_runs_of_a_websocket_have_the_id_of_its_handshake(serve_agents: Any) -> None:
    """All runs of a connection are found by the id of the handshake, on pages too."""
    served = await serve_agents(make_agent())

    def talk() -> str:
        with connect(f"ws://127.0.0.1:{served.port}/agents/a/runs", open_timeout=PATIENCE) as wire:
            for _ in range(3):
                wire.send('{"input": "Hi"}')
                while '"run_ended"' not in str(wire.recv(timeout=PATIENCE)):
                    pass
            assert wire.response is not None
            return wire.response.headers["x-request-id"]

    given = await trio.to_thread.run_sync(talk)
    async with open_client(served) as http:
        every = await find_runs(http)
        page = (await http.get("/runs", params={"request": given, "limit": 2})).json()
        rest = (await http.get("/runs", params={"request": given, "before": page["next"]})).json()

    assert len(every) == 3
    assert [*page["runs"], *rest["runs"]] == every
    assert rest["next"] is None


def delegate(request: ModelRequest) -> Any:
    """Give each message to the agent, and repeat the answer."""
    last = request.messages[-1]
    return ToolCall("1", "delegate", {"member": "a", "task": "Hi"}) if last.role == "user" else last.text


async def test_runs_within_and_forks(serve_agents: Any) -> None:
    """Runs within have the id too. A fork has the id of its own request, and a resumed run keeps the first id."""
    team = Team([make_agent()], Leader(Agent(ScriptedModel(delegate), "lead")), name="team")
    async with open_client(await serve_agents(make_agent("b"), team)) as http:
        asked = await http.post("/agents/team/runs", json={"input": "Hi"})
        within = await find_runs(http, request=asked.headers["x-request-id"], agent="a")
        whole = await http.post("/agents/b/runs", json={"input": "Hi"})
        fork = await http.post(f"/runs/{whole.json()['run_id']}/fork", json={"at": 1})
        resumed = await http.post(f"/runs/{fork.json()['run_id']}/resume")
        [forked] = await find_runs(http, request=fork.headers["x-request-id"])
        none = await find_runs(http, request=resumed.headers["x-request-id"])

    assert [each["agent"] for each in within] == ["a"]
    assert (forked["id"], forked["status"]) == (fork.json()["run_id"], "completed")
    assert none == []


async def test_the_search_goes_with_the_other_filters(serve_agents: Any) -> None:
    """Status, session, agent and user narrow the runs of a request; an unknown id finds nothing."""
    async with open_client(await serve_agents(make_agent())) as http:
        made = await http.post("/agents/a/runs", json={"input": "Hi", "session": "s", "user": "ann"})
        given = {"request": made.headers["x-request-id"], "user": "ann"}
        fits: list[dict[str, str]] = [{"status": "completed"}, {"session": "s"}, {"agent": "a"}, {}]
        misses = [{"status": "failed"}, {"session": "t"}, {"agent": "b"}, {"user": "bob"}, {"request": "unknown"}]
        counts = [len(await find_runs(http, **given | more)) for more in [*fits, *misses]]

    assert counts == [1, 1, 1, 1, 0, 0, 0, 0, 0]
