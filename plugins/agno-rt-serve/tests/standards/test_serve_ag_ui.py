"""AG-UI over real sockets: runs of agents, teams and workflows as its events, with tools of the client and a state."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import httpx2
import pytest

from agno_rt import Agent, Message, ModelRequest
from agno_rt.testing import ScriptedModel
from standards.ag_ui_agents import list_broken, list_runnables
from standards.ag_ui_judge import Judged, judge

WEATHER = {
    "name": "weather",
    "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@attrs.define
class Client:
    """A client of one thread: it keeps the conversation as its stream says, and judges each stream."""

    http: httpx2.AsyncClient
    agent: str
    thread: str = "t"
    messages: list[dict[str, Any]] = attrs.field(factory=list)
    runs: int = 0

    async def run(self, text: str | list[Any] | None = None, **more: Any) -> Judged:
        """Send a message of the user, if there is one, and return the judged stream."""
        self.runs += 1
        if text is not None:
            self.messages.append({"id": f"u{self.runs}", "role": "user", "content": text})
        answer = await self.send(**more)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        judged = judge(answer.text, self.messages)
        assert (judged.events[0]["threadId"], judged.events[0]["runId"]) == (self.thread, f"r{self.runs}")
        self.messages = judged.messages
        return judged

    async def send(self, **more: Any) -> httpx2.Response:
        """Send the request as it stands."""
        body = {"threadId": self.thread, "runId": f"r{self.runs}", "messages": self.messages, "state": {}} | more
        return await self.http.post(f"/agents/{self.agent}/ag-ui", json=body)


Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def open_client(serve_agents: Any) -> Any:
    """Serve the runnables, and return clients of them: `await open_client("shop")`."""
    clients: list[httpx2.AsyncClient] = []

    async def begin(agent: str, *runnables: Any, **options: Any) -> Client:
        served = await serve_agents(*(runnables or list_runnables()), **options)
        clients.append(httpx2.AsyncClient(base_url=served.url, timeout=30))
        return Client(clients[-1], agent)

    yield begin
    for each in clients:
        await each.aclose()


async def test_text_and_reasoning(open_client: Open) -> None:
    """A run without tools is one span of reasoning and one message; the server's own id of the run is told."""
    judged = await (await open_client("seller")).run("hello")

    assert judged.types == [
        "RUN_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        *["TEXT_MESSAGE_CONTENT"] * 4,
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert judged.text() == "[system] Sell. [user] hello"
    assert [each["content"] for each in judged.messages if each["role"] == "reasoning"] == ["Easy."]
    assert judged.end["outcome"] == {"type": "success"}
    assert judged.events[0]["metadata"] == judged.end["metadata"]


async def test_state(open_client: Open) -> None:
    """The client gets the state whole at first, then each change as a patch; the next run begins with the state."""
    client = await open_client("shop")
    first = await client.run("buy")
    second = await client.run("buy")

    assert [each["snapshot"]["items"] for each in first.of("STATE_SNAPSHOT")] == [[]]
    assert first.of("STATE_DELTA")[0]["delta"] == [{"op": "add", "path": "/items/-", "value": "tea"}]
    assert first.state == {"items": ["tea"], "paid": False}
    assert second.state == {"items": ["tea", "tea"], "paid": False}
    assert [each["delta"] for each in first.of("TOOL_CALL_ARGS")] == ['{"item":"tea"}']
    assert second.text() == "added tea"


async def test_progress(open_client: Open) -> None:
    """The progress of a tool names its call."""
    judged = await (await open_client("seller")).run("look")

    [progress], [call] = judged.of("CUSTOM"), judged.of("TOOL_CALL_START")
    assert (progress["name"], progress["value"]) == (
        "tool_progress",
        {"toolCallId": call["toolCallId"], "data": {"seen": 1}},
    )


async def test_history_is_read_once(open_client: Open) -> None:
    """A server that keeps the thread reads what is new; one that does not, as after a restart, reads everything."""
    client = await open_client("seller")
    await client.run("one")
    second = await client.run("again")
    fresh = attrs.evolve(client, thread="fresh")
    third = await fresh.run("three")

    once = "[system] Sell. [user] one"
    twice = f"{once} [assistant] {once} [user] again"
    assert second.text() == twice
    assert third.text() == f"{once} [assistant] {once} [user] again [assistant] {twice} [user] three"


async def test_tools_of_the_client(open_client: Open) -> None:
    """Calls of the client's tools are the run's answer; their results, in the next run, are answered."""
    client = await open_client("seller")
    first = await client.run("weather", tools=[WEATHER])
    [pending] = first.end["outcome"]["pendingToolCallIds"]
    started = {each["toolCallName"]: each["toolCallId"] for each in first.of("TOOL_CALL_START")}
    client.messages.append({"id": "m", "role": "tool", "toolCallId": pending, "content": "sunny"})
    second = await client.run(tools=[WEATHER])
    third = await client.run("thanks", tools=[WEATHER])

    assert started["weather"] == pending
    assert first.calls == {started["weather"]: ["START", "END"], started["look"]: ["START", "END", "RESULT"]}
    assert "MESSAGES_SNAPSHOT" not in first.types
    assert [each["content"] for each in first.messages if each["role"] == "assistant"] == ["Let me see."]
    assert second.text() == "sunny and This call was not carried out."
    assert third.text().endswith("[user] thanks")


async def test_tools_of_the_client_alone(open_client: Open) -> None:
    """A turn that only calls the client's tools leaves no empty message for later requests to the model."""
    client = await open_client("seller")
    first = await client.run("silent", tools=[WEATHER])
    [pending] = first.end["outcome"]["pendingToolCallIds"]
    client.messages.append({"id": "m", "role": "tool", "toolCallId": pending, "content": "rain"})
    second = await client.run(tools=[WEATHER])
    third = await client.run("thanks")

    assert second.text() == "rain"
    assert "[user] silent [assistant]  [tool] rain [assistant] rain [user] thanks" in third.text()


async def test_context_is_for_one_run(open_client: Open) -> None:
    """The page's context goes with the instructions, and is not kept."""
    client = await open_client("seller")
    first = await client.run("hello", context=[{"description": "Open page", "value": "/cart"}])
    second = await client.run("again")

    assert first.text().startswith("[system] Sell.\n\nThe user's page tells:\n\nOpen page:\n/cart [user] hello")
    assert second.text().startswith("[system] Sell. [user] hello [assistant]")


async def test_a_team(open_client: Open) -> None:
    """Runs within are subagents, each in its place; their events name them, and the team's answer is its own."""
    judged = await (await open_client("desk")).run("look")

    started = {each["name"]: each for each in judged.of("SUBAGENT_STARTED")}
    lead, seller = started["lead"]["subagentRunId"], started["seller"]["subagentRunId"]
    assert started["seller"]["parentSubagentRunId"] == lead
    assert [each["metadata"]["agno_rt"]["path"] for each in started.values()] == ["lead#1", "lead#1/seller"]
    assert [judged.text(owner) for owner in (seller, lead, None)] == ["a shop"] * 3
    assert {each["outcome"]["type"] for each in judged.of("SUBAGENT_FINISHED")} == {"success"}
    assert {each["toolCallName"]: each["subagentRunId"] for each in judged.of("TOOL_CALL_START")} == {
        "delegate": lead,
        "look": seller,
    }


async def test_parallel_branches(open_client: Open) -> None:
    """Branches run at once: each event belongs to its branch, and a step is a step of the workflow."""
    judged = await (await open_client("pair")).run("look")

    assert sorted(each["name"] for each in judged.of("SUBAGENT_STARTED")) == ["a", "b"]
    assert [each["stepName"] for each in judged.of("STEP_STARTED")] == ["parallel#1/upper/upper#1"]
    assert judged.end["result"] == ["a shop", "a shop", "LOOK"]
    for each in judged.of("SUBAGENT_STARTED"):
        assert judged.text(each["subagentRunId"]) == "a shop"


async def test_text_that_is_taken_back(open_client: Open) -> None:
    """If a hook changes an answer that was sent, the conversation is sent anew, with the changed answer alone."""
    judged = await (await open_client("loud", *list_broken())).run("hello")

    assert [each["content"] for each in judged.messages] == ["hello", "QUIET WORDS"]
    assert judged.types.count("MESSAGES_SNAPSHOT") == 1


async def test_a_run_that_fails(open_client: Open) -> None:
    """A run that fails on the way ends with RUN_ERROR, which tells what the server tells its clients."""
    judged = await (await open_client("broken", *list_broken())).run("hello")

    assert judged.end["type"] == "RUN_ERROR"
    assert judged.end["code"] == "model"
    assert "secret" not in judged.end["message"]


async def test_attachments(open_client: Open) -> None:
    """Parts of AG-UI 1.0, and those of before, become parts of the model's request."""
    seen: list[Sequence[Message]] = []

    def answer(request: ModelRequest) -> str:
        seen.append(request.messages)
        return "seen"

    png = base64.b64encode(
        base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        )
    ).decode()
    image = {"type": "image", "source": {"type": "data", "value": png, "mimeType": "image/png"}}
    page = {"type": "document", "source": {"type": "url", "value": "https://example.com/a.pdf"}}
    old = {"type": "binary", "mimeType": "image/png", "data": png}
    client = await open_client("eye", Agent(ScriptedModel(answer), "eye"))
    await client.run([{"type": "text", "text": "What is this?"}, image, page, old])
    refused = await attrs.evolve(client, messages=[{"id": "u", "role": "user", "content": [{"type": "song"}]}]).send()

    [content] = [each.content for each in seen[0] if each.role == "user"]
    assert [each if isinstance(each, str) else each.kind for each in content] == [
        "What is this?",
        "image",
        "file",
        "image",
    ]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_body")
    assert "messages[0].content[0] is of type 'song'" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("agent", "body", "status", "problem"),
    [
        ("nobody", {}, 404, "nobody"),
        ("shop", {"messages": []}, 400, "no new message"),
        ("shop", {"messages": [{"id": "1", "role": "robot"}]}, 400, "robot"),
        ("shop", {"messages": 1}, 400, "messages"),
        ("shop", {"tools": [{"name": "pay", "description": ""}]}, 400, "the agent has a tool"),
        ("desk", {"tools": [WEATHER]}, 400, "takes no tools"),
        ("pair", {"context": [{"description": "a", "value": "b"}]}, 400, "takes no context"),
        ("shop", {"threadId": "a\nb"}, 400, "session"),
    ],
)
async def test_refused(open_client: Open, agent: str, body: dict[str, Any], status: int, problem: str) -> None:
    """A request that does not fit is refused before a stream begins, and the answer names the part."""
    client = await open_client(agent)
    client.messages = [{"id": "u", "role": "user", "content": "hello"}]
    answer = await client.send(**body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert problem in answer.text


async def test_capabilities(open_client: Open) -> None:
    """An agent tells its tools and its state, a team its members; an unknown name is 404."""
    client = await open_client("shop")
    found = {
        name: (await client.http.get(f"/agents/{name}/ag-ui/capabilities")).json() for name in ("shop", "desk", "x")
    }

    assert [each["name"] for each in found["shop"]["tools"]["items"]] == ["add", "pay", "fail", "look", "address"]
    assert found["shop"]["state"] == {"snapshots": True, "deltas": True, "persistentState": True}
    assert found["shop"]["humanInTheLoop"]["approveWithEdits"] is True
    assert found["desk"]["multiAgent"] == {
        "supported": True,
        "subagents": [{"name": "seller", "description": "Sells."}, {"name": "lead"}],
    }
    assert found["x"]["status"] == 404
