"""Teams over real sockets: pauses of members, the events of runs within, and pauses that belong to one run."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from agno_rt import Agent, ModelRequest, Team, ToolCall, tool
from agno_rt.teams import Leader
from agno_rt.testing import ScriptedModel

SSE = {"Accept": "text/event-stream"}


@tool(approve=True, inline=True)
def pay() -> str:
    """Pay."""
    return "paid"


def _answer_payer(request: ModelRequest) -> Any:
    last = request.messages[-1]
    return ToolCall("1", "pay") if last.role == "user" and "pay" in last.text else f"said: {last.text}"


def _delegate_message(request: ModelRequest) -> Any:
    last = request.messages[-1]
    return ToolCall("1", "delegate", {"member": "payer", "task": last.text}) if last.role == "user" else last.text


def make_payer() -> Agent:
    """Return an agent that pays if asked to, by a tool with an approval."""
    return Agent(ScriptedModel(_answer_payer), "payer", "", [pay])


def make_team() -> Team:
    """Return a team in which a leader gives each message to the payer."""
    return Team([make_payer()], Leader(Agent(ScriptedModel(_delegate_message), "lead")), name="desk")


def client(served: Any) -> httpx2.AsyncClient:
    """Return a client of the server."""
    return httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False)


def read_events(text: str) -> list[dict[str, Any]]:
    """Return the data of the events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


async def test_a_pause_belongs_to_its_run(serve_agents: Any) -> None:
    """One runnable: the first session's run waits for a person, and the second session's run completes meanwhile."""
    for made in (make_payer(), make_team()):
        async with client(await serve_agents(made)) as http:
            path = f"/agents/{made.name}/runs"
            paused = (await http.post(path, json={"input": "pay", "session": "1"})).json()
            other = (await http.post(path, json={"input": "hello", "session": "2"})).json()
            [approval] = paused["approvals"]
            await http.post(f"/approvals/{approval['id']}", json={"decision": "approve"})
            done = (await http.post(f"/runs/{paused['run_id']}/resume")).json()

        assert (paused["status"], other["status"]) == ("paused", "completed")
        assert other["content"] == "said: hello"
        assert (done["status"], done["content"]) == ("completed", "said: paid")


async def test_the_stream_of_a_team_has_its_members(serve_agents: Any) -> None:
    """With `within` the stream has the events of the runs within, each with the path; without, those of the run."""
    async with client(await serve_agents(make_team())) as http:
        body = {"input": "hello"}
        own = read_events((await http.post("/agents/desk/runs", json=body, headers=SSE)).text)
        all_events = read_events((await http.post("/agents/desk/runs", json=body | {"within": True}, headers=SSE)).text)

    assert {event["run_id"] for event in own} == {own[0]["run_id"]}
    started = [event["path"] for event in all_events if event["type"] == "run_started"]
    ended = [event.get("path", "") for event in all_events if event["type"] == "run_ended"]
    assert started == ["", "lead#1", "lead#1/payer"]
    assert ended == started[::-1]
    texts: dict[str, str] = {}
    for event in all_events:
        if event["type"] == "text_delta":
            texts[event["path"]] = texts.get(event["path"], "") + event["text"]
    assert texts == {"lead#1": "said: hello", "lead#1/payer": "said: hello"}
    assert all_events[-1]["type"] == "run_ended"


async def test_the_stream_of_a_resumed_team_has_its_members(serve_agents: Any) -> None:
    """With `within` a resumed run's stream has the events of the runs within, too; without, those of the run."""
    for within in (True, False):
        async with client(await serve_agents(make_team())) as http:
            paused = (await http.post("/agents/desk/runs", json={"input": "pay"})).json()
            await http.post(f"/approvals/{paused['approvals'][0]['id']}", json={"decision": "approve"})
            asked = http.post(f"/runs/{paused['run_id']}/resume", json={"within": within}, headers=SSE)
            events = read_events((await asked).text)

        started = [event.get("path") or "" for event in events if event["type"] == "run_started"]
        assert started == (["", "lead#1", "lead#1/payer"] if within else [""])
        assert (events[-1]["type"], events[-1]["content"]) == ("run_ended", "said: paid")
