"""Workflows over real sockets: questions answered while the run is under way, and runs that wake by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import trio

from agno_rt import Ask, Flow, workflow

PATIENCE = 60
SSE = {"Accept": "text/event-stream"}


async def test_a_question_is_answered_while_the_run_is_under_way(serve_agents: Any) -> None:
    """A question is listed as soon as it is asked; the answer ends the stream of the run, which never pauses."""
    may_end = trio.Event()

    async def ask(flow: Flow) -> str:
        name: str = await flow.ask(Ask(str, "Name?"))
        may_end.set()
        return name

    @workflow(name="asker")
    async def asker(flow: Flow) -> str:
        async with flow.group("both") as group:
            group.start(ask, flow)
            group.start(may_end.wait)
        return f"hello {group.results[0]}"

    served = await serve_agents(asker)
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        texts: list[str] = []

        async def stream() -> None:
            texts.append((await http.post("/agents/asker/runs", json={"input": "go"}, headers=SSE)).text)

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream)
                while not (found := (await http.get("/approvals", params={"status": "pending"})).json()["approvals"]):
                    await trio.lowlevel.checkpoint()
                [question] = found
                early = await http.post(f"/runs/{question['run']}/resume")
                answer = {"decision": "answer", "value": {"answer": "Ann"}}
                first = await http.post(f"/approvals/{question['id']}", json=answer)
                again = await http.post(f"/approvals/{question['id']}", json=answer)
        forged = await http.post(f"/approvals/{question['run']}.0", json=answer)
    told = [json.loads(line.removeprefix("data: ")) for line in texts[0].split("\n") if line.startswith("data: ")]

    assert early.status_code == 409, "the run is under way"
    assert (first.status_code, again.status_code, forged.status_code) == (200, 409, 404)
    assert (told[-1]["status"], told[-1]["content"]) == ("completed", "hello Ann")
    assert [each["approval"] for each in told if each.get("type") == "approval_asked"] == [question["id"]]


WORKFLOW = """
from agno_rt import Ask, Flow, workflow
from agno_rt.errors import Unanswered

@workflow(name="asker")
async def asker(flow: Flow) -> str:
    try:
        return await flow.ask(Ask(str, "Name?", expires=1))
    except Unanswered:
        return "nobody"
"""


async def test_the_server_wakes_runs(launch: Any, address: Any, tmp_path: Path) -> None:
    """A run whose question expires goes on in the server, without a request."""
    process = launch(WORKFLOW, memory=f"sqlite:///{tmp_path}/a.db")
    async with httpx2.AsyncClient(base_url=address(process), timeout=PATIENCE) as http:
        paused = (await http.post("/agents/asker/runs", json={"input": "go"})).json()
        with trio.fail_after(PATIENCE):
            while (run := (await http.get(f"/runs/{paused['run_id']}")).json())["status"] != "completed":
                await trio.lowlevel.checkpoint()

    assert paused["status"] == "paused"
    assert run["content"] == "nobody"
