"""The routes of Agno-Go's AgentOS in the shapes of AgentOS: paths, bodies, answers, errors, events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import attrs
import httpx2
import pytest

from agno_rt import (
    Agent,
    Knowledge,
    MemoryPolicy,
    ModelRequest,
    ModelResponse,
    Team,
    ToolCall,
    Usage,
    tool,
)
from agno_rt.config import Config
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel


@tool(inline=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def answer(request: ModelRequest) -> ModelResponse:
    """Call the tool once if asked to, fail if asked to, summarise if told to; otherwise repeat the conversation."""
    last = request.messages[-1]
    if last.role == "tool":
        return ModelResponse(f"It is\n  {last.text}.", reasoning="Doubled.", usage=Usage(5, 3, 1))
    if last.text == "Double 21.":
        return ModelResponse("", (ToolCall("c1", "double", '{"number": 21}'),), usage=Usage(2, 1))
    if last.text == "Fail.":
        raise ModelError("the model is away")
    if request.messages[0].text.startswith("Summarise"):
        return ModelResponse(f"Summary of: {last.text}", usage=Usage(7, 2))
    said = " ".join(message.text for message in request.messages if message.role != "system")
    return ModelResponse(said, usage=Usage(2, 1))


@attrs.define
class Counter:
    """The state of a session."""

    number: int = 0


@pytest.fixture(scope="module")
def api(serve_in_thread: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Serve an agent with stored runs, a plain agent, a team and two knowledges; open a client."""
    stored = MemoryPolicy(journal=True, state=Counter)
    agent = Agent(ScriptedModel(answer), "helper", tools=[double], memory=stored)
    plain = Agent(ScriptedModel(answer), "plain")
    config = Config(
        knowledge={
            "docs": Knowledge(embedder="test:words", chunker="markdown:200"),
            "other": Knowledge(f"sqlite:///{tmp_path_factory.mktemp('other')}/kb.db", embedder=None),
        }
    )
    url = serve_in_thread(agent, plain, Team([agent, plain], name="duo"), config=config)
    with httpx2.Client(base_url=f"{url}/api/v1", timeout=30) as client:
        yield client


def begin(api: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/sessions", json={"agent_id": "helper"} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def read_events(body: str) -> list[dict[str, Any]]:
    """Return the events of a stream; check each name against the data."""
    events = []
    for block in body.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


class TestSessions:
    def test_a_life(self, api: httpx2.Client) -> None:
        """A session is created, read, changed, listed and deleted, with the fields of AgentOS."""
        made = begin(api, user_id="ann", team_id="t", workflow_id="w", name="First", metadata={"a": [1]})
        one = f"/sessions/{made['session_id']}"
        changed = api.put(one, json={"name": "Second", "metadata": {"b": 2}, "state": {"c": 3}}).json()

        assert made == {
            "session_id": made["session_id"],
            "agent_id": "helper",
            "user_id": "ann",
            "team_id": "t",
            "workflow_id": "w",
            "name": "First",
            "metadata": {"a": [1]},
            "run_count": 0,
            "created_at": made["created_at"],
            "updated_at": made["updated_at"],
            "runs": [],
        }
        assert isinstance(made["created_at"], int)
        assert (changed["name"], changed["metadata"], changed["state"]) == ("Second", {"b": 2}, {"c": 3})
        assert api.get(one).json() == changed
        for query in ("user_id=ann", "team_id=t", "workflow_id=w", "agent_id=helper&user_id=ann"):
            listed = api.get(f"/sessions?{query}").json()
            assert (listed["count"], listed["sessions"]) == (1, [changed]), query
        assert api.get("/sessions?user_id=bob").json() == {"sessions": [], "count": 0}
        assert api.get(f"{one}?user_id=bob").status_code == 404
        assert api.delete(one).json() == {"message": "session deleted successfully"}
        for gone in (api.get(one), api.delete(one), api.put(one, json={}), api.get(f"{one}/history")):
            assert (gone.status_code, gone.json()["code"]) == (404, "SESSION_NOT_FOUND")

    def test_what_is_kept_beside_a_run(self, api: httpx2.Client) -> None:
        """A run of an agent with a state leaves AgentOS's metadata unchanged."""
        made = begin(api, metadata={"a": 1})
        api.post("/agents/helper/run", json={"input": "Hi", "session_id": made["session_id"]}).raise_for_status()
        after = api.get(f"/sessions/{made['session_id']}").json()

        assert (after["metadata"], after["run_count"]) == ({"a": 1}, 1)
        [run] = after["runs"]
        assert set(run) == {"run_id", "status", "started_at", "completed_at"}
        assert run["status"] == "completed"

    def test_reuse(self, api: httpx2.Client) -> None:
        """A session gets other targets; the user stays, and a request without a target is a 400."""
        one = f"/sessions/{begin(api, user_id='ann')['session_id']}"
        moved = api.post(f"{one}/reuse", json={"agent_id": "plain", "team_id": "t2", "user_id": "ann"}).json()
        refused = [api.post(f"{one}/reuse", json=body) for body in ({}, {"user_id": "bob"})]

        assert (moved["agent_id"], moved["team_id"], moved["user_id"]) == ("plain", "t2", "ann")
        assert [each.status_code for each in refused] == [400, 400]
        assert refused[0].json()["error"] == "at least one target identifier is required"

    def test_history(self, api: httpx2.Client) -> None:
        """The history has all or the last messages, with calls, and the stored runs."""
        id_ = begin(api)["session_id"]
        api.post("/agents/helper/run", json={"input": "Double 21.", "session_id": id_}).raise_for_status()
        whole = api.get(f"/sessions/{id_}/history?stream_events=true").json()
        last = api.get(f"/sessions/{id_}/history?num_messages=1").json()
        huge = [api.get(f"/sessions/{id_}/history?num_messages={'9' * digits}") for digits in (20, 400, 5000)]

        assert (whole["session_id"], whole["stream_events"], len(whole["runs"])) == (id_, True, 1)
        assert [(each["role"], each["content"]) for each in whole["messages"]] == [
            ("user", "Double 21."),
            ("assistant", ""),
            ("tool", "42"),
            ("assistant", "It is\n  42."),
        ]
        function = {"name": "double", "arguments": '{"number": 21}'}
        assert whole["messages"][1]["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
        assert whole["messages"][2]["tool_call_id"] == "c1"
        assert whole["messages"][3]["reasoning_content"] == {"content": "Doubled."}
        assert last["messages"] == whole["messages"][-1:]
        assert [each.status_code for each in huge] == [200] * 3
        assert all(each.json()["messages"] == whole["messages"] for each in huge)
        assert len({each["id"] for each in whole["messages"]}) == 4

    def test_summary(self, api: httpx2.Client) -> None:
        """The session's agent makes a summary; without a summary, a 404."""
        id_ = begin(api)["session_id"]
        one = f"/sessions/{id_}/summary"
        missing, empty = api.get(one), api.post(one)
        api.post("/agents/helper/run", json={"input": "Hi", "session_id": id_}).raise_for_status()
        made = api.post(one).json()

        assert (missing.status_code, missing.json()["code"]) == (404, "SUMMARY_NOT_FOUND")
        assert empty.status_code == 400
        assert made["summary"]["content"] == "Summary of: user: Hi\n\nassistant: Hi"
        assert (made["summary"]["run_count"], made["summary"]["total_tokens"]) == (1, 9)
        assert api.get(one).json()["summary"]["content"] == made["summary"]["content"]
        assert api.get(f"/sessions/{id_}/history").json()["summary"]["content"] == made["summary"]["content"]

    def test_summary_later(self, api: httpx2.Client) -> None:
        """With `async` the answer comes at once, and the summary a moment later."""
        id_ = begin(api)["session_id"]
        one = f"/sessions/{id_}/summary"
        api.post("/agents/helper/run", json={"input": "Hi", "session_id": id_}).raise_for_status()
        later = api.post(f"{one}?async=true")
        ends = time.monotonic() + 30
        while (found := api.get(one)).status_code == 404 and time.monotonic() < ends:
            time.sleep(0.01)

        assert (later.status_code, later.json()) == (202, {"status": "scheduled", "session_id": id_})
        assert found.json()["summary"]["content"] == "Summary of: user: Hi\n\nassistant: Hi"

    @pytest.mark.parametrize("body", [{}, {"agent_id": ""}, {"agent_id": 5}, []])
    def test_a_body_that_does_not_fit(self, api: httpx2.Client, body: Any) -> None:
        """A session without an agent is a 400 in the shape of AgentOS."""
        refused = api.post("/sessions", json=body)

        assert (refused.status_code, refused.json()["code"], refused.json()["status"]) == (
            400,
            "INVALID_REQUEST",
            "error",
        )


class TestRuns:
    def test_whole(self, api: httpx2.Client) -> None:
        """A run answers with id, status, content and metadata; the session goes on."""
        id_ = begin(api, user_id="ann")["session_id"]
        first = api.post("/agents/helper/run", json={"input": "One.", "session_id": id_}).json()
        context = {"session_id": id_, "user_id": "ann", "run_id": "rc-1"}
        second = api.post("/agents/helper/run", json={"input": "Two.", "run_context": context}).json()

        assert first == {
            "run_id": first["run_id"],
            "status": "completed",
            "content": "One.",
            "session_id": id_,
            "metadata": {
                "agent_id": "helper",
                "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3, "reasoning_tokens": 0},
            },
        }
        assert (second["content"], second["session_id"]) == ("One. One. Two.", id_)

    @pytest.mark.parametrize("way", ["run/stream", "run?stream_events=true", "body"])
    def test_stream(self, api: httpx2.Client, way: str) -> None:
        """Each way to ask for a stream gives the same events; tokens keep blanks, and calls have events."""
        id_ = begin(api)["session_id"]
        body = {"input": "Double 21.", "session_id": id_, "run_context": {"run_id": "rc-7"}}
        path = "/agents/helper/run" if way == "body" else f"/agents/helper/{way}"
        streamed = api.post(path, json=body | ({"stream": True} if way == "body" else {}))
        events = read_events(streamed.text)

        assert streamed.headers["content-type"].startswith("text/event-stream")
        kinds = [event["type"] for event in events]
        assert [kind for at, kind in enumerate(kinds) if kind != "token" or kinds[at - 1] != "token"] == [
            "run_start",
            "tool_call",
            "token",
            "reasoning",
            "complete",
        ]
        for event in events:
            assert set(event) == {"type", "timestamp", "data", "session_id", "agent_id", "run_context_id"}
            ids = (event["session_id"], event["agent_id"], event["run_context_id"])
            assert ids == (id_, "helper", "rc-7")
        tokens = [event["data"] for event in events if event["type"] == "token"]
        assert [each["index"] for each in tokens] == list(range(len(tokens)))
        assert len(tokens) > 1
        assert "".join(each["token"] for each in tokens) == "It is\n  42."
        assert events[0]["data"] == {"input": "Double 21.", "session_id": id_}
        call = next(event for event in events if event["type"] == "tool_call")
        assert call["data"] == {"tool_name": "double", "arguments": {"number": 21}, "result": "42"}
        last = events[-1]["data"]
        assert (last["output"], last["status"], last["token_count"]) == ("It is\n  42.", "completed", 11)
        assert last["usage"]["prompt_tokens"] == 7
        assert last["reasoning"]["content"] == "Doubled."
        assert last["duration"] >= 0

    def test_some_events(self, api: httpx2.Client) -> None:
        """`types` leaves the other events out."""
        events = read_events(api.post("/agents/helper/run/stream?types=complete,tool_call", json={"input": "Hi"}).text)

        assert [event["type"] for event in events] == ["complete"]

    def test_a_failure(self, api: httpx2.Client) -> None:
        """A failed run is an error of AgentOS; a stream has the event `error`, without `complete`."""
        failed = api.post("/agents/helper/run", json={"input": "Fail."})
        events = read_events(api.post("/agents/helper/run/stream", json={"input": "Fail."}).text)

        assert failed.status_code == 502
        assert (failed.json()["error"], failed.json()["code"]) == ("agent execution failed", "EXECUTION_ERROR")
        assert [event["type"] for event in events] == ["run_start", "error"]
        assert set(events[-1]["data"]) == {"error", "code"}

    def test_media(self, api: httpx2.Client) -> None:
        """Attachments by URL reach the agent; without an input, a sentence says how many; paths are refused."""
        url = "https://host/cat.png"
        given = api.post("/agents/plain/run", json={"media": [{"type": "image", "url": url}]}).json()
        refused = [
            api.post("/agents/plain/run", json={"input": "x", "media": media})
            for media in ([{"type": "image", "path": "/etc/passwd"}], [{"type": "hologram", "url": url}])
        ]

        assert given["content"] == "Media request (1 attachment)"
        assert given["metadata"]["media"][0]["url"] == url
        assert [(each.status_code, each.json()["code"]) for each in refused] == [(400, "INVALID_MEDIA")] * 2

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("/agents/helper/run", {"input": " "}, 400, "INVALID_REQUEST"),
            ("/agents/helper/run", {"input": 5}, 400, "INVALID_REQUEST"),
            ("/agents/nobody/run", {"input": "x"}, 404, "AGENT_NOT_FOUND"),
            ("/agents/helper/run", {"input": "x", "session_id": "none"}, 404, "SESSION_NOT_FOUND"),
            ("/agents/helper/run/stream", {"input": "x", "session_id": "none"}, 404, "SESSION_NOT_FOUND"),
        ],
    )
    def test_refusals(self, api: httpx2.Client, path: str, body: Any, status: int, code: str) -> None:
        """A run without an input, an agent or a session is refused at once."""
        refused = api.post(path, json=body)

        assert (refused.status_code, refused.json()["code"]) == (status, code)

    def test_lists(self, api: httpx2.Client) -> None:
        """Agents are listed with id and name; a team's tools once each, as definitions."""
        listed = api.get("/agents").json()
        tools = api.get("/teams/duo/tools").json()
        missing = api.get("/teams/helper/tools")

        assert listed["count"] == 3
        assert {"id": "helper", "name": "helper"} in listed["agents"]
        assert tools["team_id"] == "duo"
        [only] = tools["tools"]
        assert (only["type"], only["function"]["name"]) == ("function", "double")
        assert only["function"]["parameters"]["properties"]["number"]["type"] == "integer"
        assert (missing.status_code, missing.json()["code"]) == (404, "TEAM_NOT_FOUND")


class TestKnowledge:
    def test_adding_and_searching(self, api: httpx2.Client) -> None:
        """Texts are added as JSON, as plain text and as a file; a search finds texts, by page and by metadata."""
        added = [
            api.post("/knowledge/content", json={"content": "Red apples are sweet.", "metadata": {"kind": "apple"}}),
            api.post("/knowledge/content", content="Green apples are sour.", headers={"Content-Type": "text/plain"}),
            api.post(
                "/knowledge/upload",
                files={"file": ("plums.txt", b"Blue plums\r\nare red.\n", "text/plain")},
                data={"metadata": '{"kind": "plum"}', "collection_name": "docs"},
            ),
        ]
        assert [each.status_code for each in added] == [201, 201, 201], [each.text for each in added]
        one = added[0].json()
        assert set(one) == {"document_ids", "chunk_count", "chunker_type", "collection", "message"}
        assert (one["chunk_count"], one["collection"], len(one["document_ids"])) == (1, "docs", 1)
        assert one["message"] == "successfully ingested 1 chunks"
        found = api.post("/knowledge/search", json={"query": "red apples", "limit": 2}).json()
        assert found["results"][0]["content"] == "Red apples are sweet."
        assert set(found["results"][0]) == {"id", "content", "score", "distance", "metadata"}
        assert found["results"][0]["metadata"]["kind"] == "apple"
        meta = {"total_count": 3, "page": 1, "page_size": 2, "total_pages": 2, "offset": 0}
        assert found["meta"] == meta | {"has_more": True, "next_offset": 2}
        rest = api.post("/knowledge/search", json={"query": "red apples", "limit": 2, "offset": 2}).json()
        assert (len(rest["results"]), rest["meta"]["has_more"]) == (1, False)
        plums = api.post("/knowledge/search", json={"query": "red", "filters": {"kind": "plum"}}).json()["results"]
        assert [each["content"] for each in plums] == ["Blue plums\r\nare red."]
        assert plums[0]["metadata"]["source"].endswith("/plums.txt")
        other = api.post("/knowledge/search", json={"query": "red", "collection_name": "other"}).json()
        assert other["results"] == []

    def test_config_and_health(self, api: httpx2.Client) -> None:
        """The configuration names collections, chunkers and the embedder; the health counts documents."""
        config = api.get("/knowledge/config").json()
        health = api.get("/knowledge/health").json()

        assert (config["default_collection"], config["allowed_collections"]) == ("docs", ["docs", "other"])
        assert config["embedding_model"] == {"provider": "test", "model": "words", "dimensions": 64}
        assert config["default_chunker"] == "markdown:200"
        assert config["limits"] == {"default_limit": 10, "max_limit": 100}
        assert (health["status"], health["collection"]) == ("ok", "docs")
        assert isinstance(health["documents"], int)

    @pytest.mark.parametrize(
        ("path", "given", "code"),
        [
            ("search", {"json": {"query": ""}}, "INVALID_REQUEST"),
            ("search", {"json": {"query": "x", "collection_name": "none"}}, "INVALID_COLLECTION"),
            ("search", {"json": {"query": "x", "filters": {"a": {}}}}, "INVALID_REQUEST"),
            ("content", {"json": {"content": ""}}, "INVALID_REQUEST"),
            ("content", {"json": {"content": "x", "metadata": {"a": []}}}, "INVALID_METADATA"),
            ("content", {"content": b"\xff\xfe", "headers": {"Content-Type": "text/plain"}}, "INVALID_REQUEST"),
            ("upload", {"files": {"other": ("a", b"x")}}, "INVALID_REQUEST"),
            ("upload", {"files": {"file": ("a", b"x")}, "data": {"metadata": "{"}}, "INVALID_METADATA"),
            (
                "upload",
                {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
                "INVALID_REQUEST",
            ),
            ("content", {"content": b"x", "headers": {"Content-Type": "image/png"}}, "INVALID_CONTENT_TYPE"),
        ],
    )
    def test_refusals(self, api: httpx2.Client, path: str, given: Any, code: str) -> None:
        """An unfit request is a 400 or a 415 with a code."""
        refused = api.post(f"/knowledge/{path}", **given)

        assert (refused.status_code, refused.json()["code"]) == (415 if "TYPE" in code else 400, code)


def test_another_prefix(serve_in_thread: Any) -> None:
    """The setting `agentos` moves or removes the routes; a project without a knowledge has no routes for knowledge."""
    agent = Agent(ScriptedModel([]), "a")
    moved, gone = serve_in_thread(agent, agentos="/chat/api/v1/"), serve_in_thread(agent, agentos="")

    assert httpx2.get(f"{moved}/chat/api/v1/agents").json()["count"] == 1
    assert httpx2.get(f"{moved}/api/v1/agents").status_code == 404
    assert httpx2.get(f"{moved}/chat/api/v1/knowledge/config").status_code == 404
    assert httpx2.get(f"{gone}/api/v1/agents").status_code == 404
