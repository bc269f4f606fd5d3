"""Every route answers as the OpenAPI document says: a walk through all of them, and random requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

from agno_rt import Agent, Flow, Knowledge, ToolCall, tool, workflow
from agno_rt.config import Config
from agno_rt.testing import ScriptedModel

OTHERS = ("openai", "agentos", "a2a")
"""Groups of routes that other tests hold to their own standards."""


@tool(approve=True)
def refund(order: str) -> str:
    """Refund an order."""
    return f"refunded {order}"


def _desk_says(request: Any) -> Any:
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "refund", '{"order": "A1"}')


@workflow
async def ordered(input: str, flow: Flow) -> str:
    """Wait for a payment."""
    return f"paid {await flow.signal('payment')}"


class Walk:
    """A client that holds each answer against the document."""

    def __init__(self, http: httpx2.AsyncClient, document: dict[str, Any]) -> None:
        self.seen: set[str] = set()
        self._http = http
        self._document = document

    async def ask(self, id: str, status: int = 200, *parts: str, **options: Any) -> Any:
        """Ask by the operation's id, with the parts of its path. Return the JSON, or the text."""
        method, path, operation = self._find(id)
        filled = iter(parts)
        url = re.sub(r"\{\w+\}", lambda _: next(filled), path)
        answer = await self._http.request(method.upper(), url, **options)
        assert answer.status_code == status, (id, answer.text)
        told = operation["responses"][str(status)]
        told = self._document["components"]["responses"][str(status)] if "$ref" in told else told
        self.seen.add(id)
        if not answer.content:
            assert "content" not in told, id
            return None
        media = answer.headers["content-type"].partition(";")[0]
        schema = told["content"][media].get("schema", {})
        if not media.endswith("json"):
            return answer.text
        jsonschema.validate(answer.json(), schema | {"components": self._document["components"]})
        return answer.json()

    def ids(self) -> set[str]:
        """Return the ids of all operations, but for other standards'."""
        return {
            each["operationId"]
            for found in self._document["paths"].values()
            for each in found.values()
            if each["tags"][0] not in OTHERS
        }

    def _find(self, id: str) -> tuple[str, str, dict[str, Any]]:
        for path, found in self._document["paths"].items():
            for method, each in found.items():
                if each["operationId"] == id:
                    return method, path, each
        raise AssertionError(f"there is no operation {id}")


@pytest.fixture
async def one_of_each(serve_agents: Any, tmp_path: Path) -> Any:
    """A server with an agent, an agent that pauses, a workflow that waits, and knowledge."""
    kb = Knowledge(f"sqlite:///{tmp_path / 'kb.db'}", embedder=None)
    agents = (
        Agent(ScriptedModel(lambda request: "Hello."), "a"),
        Agent(ScriptedModel(_desk_says), "desk", tools=[refund]),
        ordered,
    )
    memory = f"sqlite:///{tmp_path / 'serve.db'}"
    return await serve_agents(*agents, memory=memory, config=Config(knowledge={"kb": kb}), key="k" * 20)


@asynccontextmanager
async def _begin_walk(served: Any) -> AsyncIterator[Walk]:
    headers = {"Authorization": f"Bearer {'k' * 20}"}
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, headers=headers) as http:
        yield Walk(http, (await http.get("/openapi.json")).json())


async def test_every_answer_is_as_described(one_of_each: Any) -> None:
    """A walk through every operation: each answer has a documented status and type, and fits its schema."""
    async with _begin_walk(one_of_each) as walk:
        await _walk_server(walk)
        await _walk_runs(walk)
        await _walk_ag_ui(walk)
        await _walk_sessions(walk)
        await _walk_facts(walk)
        await _walk_knowledge(walk)

        assert walk.ids() - walk.seen == set()


async def _walk_server(walk: Walk) -> None:
    for each in ("get_openapi", "get_health", "get_live", "get_ready", "list_plugins", "list_models", "list_tools"):
        await walk.ask(each)
    await walk.ask("list_tasks")
    await walk.ask("draw_agent", 200, "a")
    await walk.ask("draw_agent", 404, "b")
    assert {each["name"] for each in (await walk.ask("list_agents"))["agents"]} == {"a", "desk", "ordered"}
    config = await walk.ask("get_config")
    assert "k" * 20 not in str(config)
    await walk.ask("sign_in", 204, json={"key": "k" * 20})
    await walk.ask("sign_in", 401, json={"key": "wrong"})
    await walk.ask("sign_out", 204)


async def _walk_runs(walk: Walk) -> None:
    said = await walk.ask("start_run", 200, "a", json={"input": "Hi.", "session": "s"})
    assert said["content"] == "Hello."
    await walk.ask("start_run", 200, "a", json={"input": "Hi."}, headers={"Accept": "text/event-stream"})
    await walk.ask("start_run", 404, "b", json={"input": "Hi."})
    await walk.ask("start_run", 400, "a", json={"input": 3})
    await walk.ask("start_run", 415, "a", content=b"{}")
    first = (await walk.ask("start_run", 202, "a", json={"input": "Hi.", "background": True}))["run_id"]
    assert "run_ended" in await walk.ask("follow_run", 200, first)
    await walk.ask("follow_run", 204, first, params={"after": 1000})
    paused = await walk.ask("start_run", 200, "desk", json={"input": "Refund."})
    (approval,) = (await walk.ask("list_approvals"))["approvals"]
    await walk.ask("get_approval", 200, approval["id"])
    await walk.ask("get_approval", 404, "none")
    await walk.ask("decide_approval", 400, approval["id"], json={"decision": "approve", "standing": {"seconds": 0}})
    stands = {"decision": "approve", "standing": {"scope": "agent"}}
    await walk.ask("decide_approval", 200, approval["id"], json=stands)
    (grant,) = (await walk.ask("list_grants"))["grants"]
    await walk.ask("revoke_grant", 200, grant["id"])
    await walk.ask("revoke_grant", 404, grant["id"])
    await walk.ask("decide_approval", 409, approval["id"], json={"decision": "deny"})
    run = paused["run_id"]
    assert (await walk.ask("resume_run", 200, run, json={}))["content"] == "refunded A1"
    await walk.ask("resume_run", 409, run, json={})
    forked = await walk.ask("fork_run", 201, run, json={"at": 1})
    assert (await walk.ask("resume_run", 200, forked["run_id"], json={}))["status"] == "paused"
    assert (await walk.ask("cancel_run", 200, forked["run_id"]))["cancelled"]
    assert (await walk.ask("stop_run", 200, run, json={"at": "tools"})) == {"stopping": False}
    await walk.ask("send_message", 409, run, json={"input": "And?"})
    await walk.ask("send_message", 200, forked["run_id"], json={"input": "And?"})
    await _walk_workflow(walk)
    page = await walk.ask("list_runs", 200, params={"limit": 1})
    assert (await walk.ask("list_runs", 200, params={"limit": 1, "before": page["next"]}))["runs"] != page["runs"]
    await walk.ask("list_runs", 400, params={"before": "nowhere"})
    await walk.ask("get_run", 200, run)
    await walk.ask("get_run", 404, "none")
    for each in ("draw_run", "get_run_timeline"):
        await walk.ask(each, 200, run)
        await walk.ask(each, 404, "none")
    await walk.ask("delete_run", 200, run)
    await walk.ask("delete_run", 404, run)


async def _walk_workflow(walk: Walk) -> None:
    waiting = await walk.ask("start_run", 200, "ordered", json={"input": "A1"})
    assert waiting["status"] == "paused"
    sent = await walk.ask("send_signal", 200, waiting["run_id"], json={"name": "payment", "value": 5})
    assert sent == {"sent": True, "status": "paused"}
    assert (await walk.ask("resume_run", 200, waiting["run_id"], json={}))["content"] == "paid 5"


async def _walk_ag_ui(walk: Walk) -> None:
    asked = {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "Hi."}]}
    assert '"type":"RUN_FINISHED"' in await walk.ask("ag_ui_run", 200, "a", json=asked)
    await walk.ask("ag_ui_run", 400, "a", json=asked | {"messages": []})
    await walk.ask("ag_ui_run", 404, "b", json=asked)
    assert (await walk.ask("ag_ui_capabilities", 200, "desk"))["tools"]["items"][0]["name"] == "refund"


async def _walk_sessions(walk: Walk) -> None:
    made = await walk.ask("create_session", 201, json={"title": "Mine"})
    assert made["title"] == "Mine"
    await walk.ask("create_session", 409, json={"id": made["id"]})
    listed = await walk.ask("list_sessions", 200, params={"limit": 1})
    await walk.ask("list_sessions", 200, params={"limit": 1, "before": listed["next"]})
    assert len((await walk.ask("get_session", 200, "s"))["messages"]) == 2
    assert (await walk.ask("get_summary", 200, "s")) == {"summary": None}
    await walk.ask("export_session", 200, "s")
    await walk.ask("rename_session", 200, "s", json={"title": "Ours"})
    await walk.ask("delete_session", 200, "s")
    await walk.ask("get_session", 404, "s")


async def _walk_facts(walk: Walk) -> None:
    fact = await walk.ask("add_fact", 201, json={"text": "Likes tea.", "user": "kim"})
    await walk.ask("add_fact", 400, json={"text": "Likes tea."})
    await walk.ask("correct_fact", 200, fact["id"], json={"text": "Likes coffee.", "user": "kim"})
    found = await walk.ask("list_facts", 200, params={"user": "kim", "q": "coffee"})
    assert [each["text"] for each in found["facts"]] == ["Likes coffee."]
    assert (await walk.ask("list_facts", 200, params={"user": "ann"})) == {"facts": []}
    await walk.ask("forget_fact", 404, fact["id"], params={"user": "ann"})
    await walk.ask("forget_fact", 200, fact["id"], params={"user": "kim"})
    assert (await walk.ask("forget_facts", 200, params={"user": "kim"})) == {"forgotten": 0}


async def _walk_knowledge(walk: Walk) -> None:
    await walk.ask("list_knowledge")
    text = {"source": "b.md", "text": "Bears sleep in winter."}
    assert (await walk.ask("add_documents", 200, "kb", json={"documents": [text]}))["added"] == ["b.md"]
    assert (await walk.ask("add_documents", 200, "kb", json={"documents": [text]}))["unchanged"] == ["b.md"]
    added = await walk.ask("add_documents", 200, "kb", files={"file": ("c.md", b"# Cats\n\nCats sleep all day.")})
    assert added["added"] == ["c.md"]
    progress = await walk.ask(
        "add_documents",
        200,
        "kb",
        params={"source": "d.txt"},
        content=b"Dogs sleep at night.",
        headers={"Accept": "text/event-stream", "Content-Type": "application/octet-stream"},
    )
    assert re.findall(r"event: (\w+)", progress) == ["progress", "added"]
    failed = await walk.ask("add_documents", 200, "kb", files={"file": ("e.bin", b"\0\1\2")})
    assert [each["source"] for each in failed["failed"]] == ["e.bin"]
    await walk.ask("add_documents", 404, "other", json={"documents": [text]})
    await walk.ask("add_documents", 415, "kb", content=b"x", headers={"Content-Type": "text/plain"})
    hits = (await walk.ask("search_knowledge", 200, "kb", json={"query": "cats"}))["hits"]
    assert hits[0]["chunk"]["source"] == "c.md"
    page = await walk.ask("list_documents", 200, "kb", params={"limit": 2})
    rest = await walk.ask("list_documents", 200, "kb", params={"limit": 2, "after": page["next"]})
    assert [each["source"] for each in page["documents"] + rest["documents"]] == ["b.md", "c.md", "d.txt"]
    assert (await walk.ask("remove_document", 200, "kb", params={"source": "c.md"})) == {"removed": 1}
    assert (await walk.ask("search_knowledge", 200, "kb", json={"query": "cats"})) == {"hits": []}
