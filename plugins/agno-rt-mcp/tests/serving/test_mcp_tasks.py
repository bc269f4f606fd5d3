"""Tasks on the wire: the form of protocol 2025-11-25, and the extension of 2026-07-28."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx2
import pytest
import trio

from .projects import Agents

EXTENSION = "io.modelcontextprotocol/tasks"
META = "io.modelcontextprotocol"
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
MODERN = "2026-07-28"


@attrs.define
class Wire:
    """A client of one era that sends plain JSON."""

    http: httpx2.AsyncClient
    url: str
    session: str = ""
    ids: Iterator[int] = attrs.Factory(lambda: itertools.count(2))

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request. Return the whole answer."""
        headers = dict(ACCEPT)
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        else:
            headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            headers |= {"Mcp-Name": params.get("name") or params["taskId"]}
            capabilities: Any = {"extensions": {EXTENSION: {}}, "elicitation": {}}
            params["_meta"] = {f"{META}/protocolVersion": MODERN, f"{META}/clientCapabilities": capabilities}
        body = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}
        text = (await self.http.post(self.url, json=body, headers=headers)).text
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        answer: dict[str, Any] = json.loads(lines[-1] if lines else text)
        return answer

    async def wait(self, task: str, *statuses: str) -> dict[str, Any]:
        """Ask for the task until it has one of the statuses."""
        with trio.fail_after(60):
            while True:
                found: dict[str, Any] = (await self.ask("tasks/get", taskId=task))["result"]
                if found["status"] in statuses:
                    return found
                await trio.sleep(0.05)


@asynccontextmanager
async def opened(url: str, era: str) -> AsyncIterator[Wire]:
    """Open a client of the era."""
    async with httpx2.AsyncClient(timeout=60) as http:
        wire = Wire(http, url)
        if era == "legacy":
            about = {"name": "test", "version": "1"}
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
            body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
            answer = await http.post(url, json=body, headers=ACCEPT)
            assert '"tasks"' in answer.text
            wire.session = answer.headers["mcp-session-id"]
            session = ACCEPT | {"Mcp-Session-Id": wire.session}
            await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
        yield wire


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Agents]]:
    """A server on which calls become tasks at once."""
    made = Agents(tmp_path_factory.mktemp("tasks"))
    made.configure("task_after = 0")
    try:
        yield made.serve(), made
    finally:
        made.end()


async def test_tasks_that_are_asked_for(tasks: Any) -> None:
    """Protocol 2025-11-25: a task is made at the client's wish, polled, fetched with its result, and cancelled."""
    url, project = tasks
    async with opened(url, "legacy") as wire:
        listed = (await wire.ask("tools/list"))["result"]["tools"]
        plain = (await wire.ask("tools/call", name="echo", arguments={"input": "hi"}))["result"]
        made = (await wire.ask("tools/call", name="typed", arguments={"input": "x"}, task={"ttl": 60000}))["result"]
        task = made["task"]["taskId"]
        fetched = (await wire.ask("tasks/result", taskId=task))["result"]
        done = await wire.wait(task, "completed")
        project.log.write_text("")
        slow = (await wire.ask("tools/call", name="slow", arguments={"input": "x"}, task={}))["result"]["task"]
        await project.wait_for("hangs")
        cancelled = (await wire.ask("tasks/cancel", taskId=slow["taskId"]))["result"]
        await project.wait_for("was cancelled")
        again = await wire.ask("tasks/cancel", taskId=slow["taskId"])
        failed = (await wire.ask("tools/call", name="broken", arguments={"input": "x"}, task={}))["result"]
        unfit = await wire.ask("tools/call", name="echo", arguments={"inputs": 3}, task={})
        unknown = await wire.ask("tasks/get", taskId="0" * 24)

    assert listed[0]["execution"] == {"taskSupport": "optional"}
    assert plain["content"][0]["text"] == "1: hi"
    assert made["task"].keys() >= {"taskId", "status", "ttl", "createdAt", "lastUpdatedAt"}
    assert fetched["structuredContent"] == {"city": "Seoul", "days": 3}
    assert fetched["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task}
    assert done["status"] == "completed"
    assert slow["status"] == "working"
    assert cancelled["status"] == "cancelled"
    assert again["error"]["code"] == -32602
    assert failed["task"]["status"] in ("working", "failed")
    assert unfit["error"]["code"] == -32602
    assert unknown["error"]["code"] == -32602


async def test_tasks_of_the_extension(tasks: Any) -> None:
    """Protocol 2026-07-28: a long call becomes a task; the task asks the client's user, and has the result."""
    url, project = tasks
    project.log.write_text("")
    async with opened(url, "modern") as wire:
        slow = (await wire.ask("tools/call", name="slow", arguments={"input": "x"}))["result"]
        await project.wait_for("hangs")
        await wire.ask("tasks/cancel", taskId=slow["taskId"])
        await project.wait_for("was cancelled")
        stopped = await wire.wait(slow["taskId"], "cancelled")
        made = (await wire.ask("tools/call", name="cleaner", arguments={"input": "task.txt"}))["result"]
        if made["resultType"] == "task":
            task = made["taskId"]
            requests = (await wire.wait(task, "input_required"))["inputRequests"]
        else:  # the run was paused before the client could be told of a task
            assert made["resultType"] == "input_required"
            task, requests = made["requestState"], made["inputRequests"]
        answers = {key: {"action": "accept", "content": {"allow": True}} for key in requests}
        await wire.ask("tasks/update", taskId=task, inputResponses=answers | {"0" * 24: answers[next(iter(answers))]})
        done = await wire.wait(task, "completed")

    assert slow["resultType"] == "task"
    assert slow["status"] == "working"
    assert slow["ttlMs"] is None
    assert stopped["resultType"] == "complete"
    assert done["result"]["content"][0]["text"] == "The tool said: task.txt is gone"
    assert project.log.read_text().count("wiped task.txt") == 1


async def test_a_task_whose_member_waits(tasks: Any) -> None:
    """The questions of a run within a task's run are the task's, and the answers move both on."""
    url, project = tasks
    async with opened(url, "modern") as wire:
        made = (await wire.ask("tools/call", name="office", arguments={"input": "desk.txt"}))["result"]
        task = made.get("taskId") or made["requestState"]
        found = await wire.wait(task, "input_required")
        answers = {key: {"action": "accept", "content": {"allow": True}} for key in found["inputRequests"]}
        await wire.ask("tasks/update", taskId=task, inputResponses=answers)
        done = await wire.wait(task, "completed")

    assert len(answers) == 1
    assert done["result"]["content"][0]["text"] == "The tool said: desk.txt is gone"
    assert project.log.read_text().count("wiped desk.txt") == 1
