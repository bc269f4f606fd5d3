"""Errors of stored runs for clients: the same as in the streams, and remedies for workflows that cannot go on."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from agno_rt import Agent, Ask, Flow, MemoryPolicy, ModelRequest, ModelResponse, ToolCall, step, tool, workflow
from agno_rt.errors import (
    AgnoError,
    BackendError,
    Blocked,
    ContextOverflow,
    Forbidden,
    JournalMismatch,
    LimitExceeded,
    RunRolledBack,
    StepUncertain,
    UsageError,
)
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel

PATIENCE = 60
SECRET = "/srv/private/key.pem"
SSE = {"Accept": "text/event-stream"}
STORED = MemoryPolicy(journal=True)


class Raising:
    """A model that raises the error."""

    name = "raising"

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        raise self._error


async def run_and_read(served: Any, agent: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Run the agent. Return the stream's last event, the stored run, and the texts of all routes that show runs."""
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        stream = await http.post(f"/agents/{agent}/runs", json={"input": "x"}, headers=SSE)
        ended = json.loads([line for line in stream.text.splitlines() if line.startswith("data: ")][-1][6:])
        stored = await http.get(f"/runs/{ended['run_id']}")
        listed = await http.get("/runs")
    return ended, stored.json(), stored.text + listed.text


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RuntimeError(SECRET), False),
        (BackendError(SECRET, hint=SECRET), False),
        (UsageError("say more", hint="Please."), True),
        (Forbidden("not yours"), True),
        (RunRolledBack("another run took its place"), True),
        (Blocked("not here", guard="g"), True),
        (LimitExceeded("too many", limit="turns", hint="Fewer."), True),
    ],
)
async def test_a_stored_error_is_the_streamed_one(serve_agents: Any, error: Exception, is_told: bool) -> None:
    """Clients that read a stored run are told as much of its error as clients that watched the run."""
    served = await serve_agents(Agent(Raising(error), "a", memory=STORED))
    ended, stored, texts = await run_and_read(served, "a")

    assert SECRET not in texts
    assert not is_told or stored["error"] == ended["error"]
    assert not is_told or str(error) in stored["error"]
    assert is_told or stored["error"].endswith(f"The server's log says why: run {ended['run_id']}.")


async def test_stored_steps_hide_what_streams_hide(serve_agents: Any) -> None:
    """The steps of a stored run say that a tool, or a workflow's step, failed, and leave the text to the log."""

    @tool
    def read() -> str:
        """Read."""
        raise OSError(f"cannot open {SECRET}")

    @step
    def save() -> str:
        """Save."""
        raise OSError(f"cannot write {SECRET}")

    @workflow(name="saver", memory=STORED)
    async def saver(flow: Flow) -> str:
        saved: str = await save()
        return saved

    agent = Agent(ScriptedModel([ToolCall("c1", "read"), "It failed."]), "a", tools=[read], memory=STORED)
    served = await serve_agents(agent, saver)
    _, read_run, read_texts = await run_and_read(served, "a")
    _, save_run, save_texts = await run_and_read(served, "saver")

    assert SECRET not in read_texts + save_texts
    assert [each["content"] for each in read_run["steps"] if each["kind"] == "called"] == ["read failed."]
    assert "failed" in [each["status"] for each in save_run["steps"] if each["kind"] == "step_ended"]


async def test_developers_see_stored_errors(serve_agents: Any) -> None:
    """With `show_errors` a stored run has the whole text."""
    served = await serve_agents(Agent(Raising(BackendError(SECRET)), "a", memory=STORED), show_errors=True)
    _, stored, _ = await run_and_read(served, "a")

    assert SECRET in stored["error"]
    assert SECRET in stored["steps"][-1]["text"]


async def test_a_conversation_that_is_too_long(serve_agents: Any) -> None:
    """A conversation that does not fit is a 413 that says so, not a fault of the server."""
    served = await serve_agents(Agent(Raising(ContextOverflow(SECRET)), "a", memory=STORED))
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        answer = await http.post("/agents/a/runs", json={"input": "x"})
    told = answer.json()["error"]
    ended, stored, texts = await run_and_read(served, "a")

    assert (answer.status_code, told["code"]) == (413, "context_overflow")
    assert "does not fit into the model's context" in told["message"]
    assert told["hint"].startswith("Send less")
    assert SECRET not in answer.text + texts
    assert stored["error"] == ended["error"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StepUncertain(SECRET, path="pay#1"), "step_uncertain"),
        (JournalMismatch(SECRET, path="pay#1"), "journal_mismatch"),
    ],
)
async def test_workflows_that_cannot_go_on(serve_agents: Any, error: AgnoError, code: str) -> None:
    """A workflow that a client can fork is a conflict, 409, that says how, in the answer and in the stored run."""

    @workflow(name="payer", memory=STORED)
    async def payer(flow: Flow) -> str:
        raise error

    served = await serve_agents(payer)
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        answer = await http.post("/agents/payer/runs", json={"input": "x"})
    told = answer.json()["error"]
    ended, stored, texts = await run_and_read(served, "payer")

    assert (answer.status_code, told["code"]) == (409, code)
    assert "POST /runs/ID/fork" in told["hint"]
    assert SECRET not in answer.text + texts
    assert stored["error"] == ended["error"]
    assert "POST /runs/ID/fork" in stored["error"]


async def test_a_refused_question_is_a_conflict(serve_agents: Any) -> None:
    """A workflow that ends because a person refused to answer is a 409, not a fault of the server."""

    @workflow(name="asker", memory=STORED)
    async def asker(flow: Flow) -> str:
        return str(await flow.ask(Ask(str, "Name?")))

    served = await serve_agents(asker)
    async with httpx2.AsyncClient(base_url=served.url, timeout=PATIENCE) as http:
        paused = (await http.post("/agents/asker/runs", json={"input": "x"})).json()
        [waiting] = paused["approvals"]
        await http.post(f"/approvals/{waiting['id']}", json={"decision": "deny", "reason": "no"})
        answer = await http.post(f"/runs/{paused['run_id']}/resume")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "unanswered")
