"""A program that dies in the middle of a change: the change is not made again when the run is resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from agno_rt import Agent, MemoryPolicy, Runtime
from agno_rt.testing import ScriptedModel, WireReply, open_wire_server
from tests.servers.service_formats import KEY, render

PROGRAM = """
import json, sys, trio
from agno_rt import Agent, MemoryPolicy, Runtime, ToolCall
from agno_rt.testing import ScriptedModel

url, memory, key, tool, arguments = sys.argv[1:]
model = ScriptedModel([ToolCall("1", tool, arguments), "Done."])
settings = {"services": {"jira": {"base_url": url, "api_key": key, "approve": "none"}}}

async def main():
    async with Runtime(memory=memory, settings=settings) as rt:
        await rt.run(Agent(model, "desk", tools=["services:jira"], memory=MemoryPolicy(journal=True)), "Go.")

trio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process by a signal")
@pytest.mark.parametrize(
    ("tool", "arguments", "requests"),
    [
        ("jira_add_worklog", {"issue_id": "A-1", "time_spent_seconds": 60, "started": "2026-11-30T09:00Z"}, 1),
        ("jira_search_issues", {"jql": "project = A"}, 2),
    ],
)
async def test_a_change_is_made_once(tmp_path: Path, tool: str, arguments: dict[str, object], requests: int) -> None:
    """The process is killed while the service works on the call. Reading is repeated, and a worklog is not."""
    memory = f"sqlite:///{tmp_path / 'runs.db'}"
    async with open_wire_server(WireReply(ending="silent")) as server:
        command = [sys.executable, "-c", PROGRAM, server.url, memory, KEY, tool, json.dumps(arguments)]
        child = subprocess.Popen(command)  # noqa: ASYNC220 - returns at once, and the child is killed below
        try:
            with trio.fail_after(60):
                await server.wait_stalled()
        finally:
            child.send_signal(signal.SIGKILL)
            await trio.to_thread.run_sync(child.wait)
        server.play(render({"issues": []}))
        settings = {"services": {"jira": {"base_url": server.url, "api_key": KEY, "approve": "none"}}}
        # The journal has the call, so the model is asked for what comes behind.
        desk = Agent(ScriptedModel(["Looked."]), "desk", tools=["services:jira"], memory=MemoryPolicy(journal=True))
        async with Runtime(memory=memory, settings=settings) as rt:
            [record] = await rt.memory.runs()  # type: ignore[attr-defined]  # the backend stores runs
            result = await rt.resume(record.id, desk)
        assert len(server.requests) == requests
    told = str([message for message in result.messages if message.role == "tool"][-1].content)
    assert ("not known whether this was done" in told) == (requests == 1)
