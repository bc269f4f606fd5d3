"""The API over real sockets: agents with scripted models, and requests like a client's."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx2
import pydantic
import pytest
import trio
from agno_rt_serve.http.asgi import Receive, Scope, Send

from agno_rt import (
    Agent,
    Flow,
    Knowledge,
    Limits,
    Media,
    MemoryPolicy,
    Message,
    ModelRequest,
    ModelResponse,
    Runnable,
    RunResult,
    Team,
    Tool,
    ToolCall,
    Toolkit,
    Usage,
    tool,
)
from agno_rt.context import RunContext
from agno_rt.errors import ModelError
from agno_rt.events import TextDelta, TurnRestarted
from agno_rt.hooks import Verdict
from agno_rt.knowledge import Chunk, Document
from agno_rt.knowledge.documents import number_chunks
from agno_rt.library import KnowledgeContext
from agno_rt.models import Emit, ModelProfile
from agno_rt.teams import Sequence as InSequence
from agno_rt.testing import ScriptedModel
from tests.knowledge.dictionary_store import DictionaryStore

USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "reasoning_tokens": 0,
    "cached_tokens": 0,
    "cost": 0.0,
    "cache_write_tokens": 0,
}
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
"""One pixel."""
SSE = {"Accept": "text/event-stream"}


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@attrs.define
class Stuck:
    """A model with one word, which never ends, and records a cancellation."""

    name: str = "stuck"
    started: trio.Event = attrs.Factory(trio.Event)
    cancelled: trio.Event = attrs.Factory(trio.Event)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        try:
            if emit is not None:
                await emit(TextDelta("Well"))
            self.started.set()
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.set()
            raise


async def happens(event: trio.Event) -> None:
    with trio.fail_after(30):
        await event.wait()


def client(served: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False)


def events(text: str) -> list[tuple[str, int, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return found


async def test_a_run_has_citations(serve_agents: Any) -> None:
    """The answer of a run that searched knowledge has the passages, and whether it names them; no other run has."""
    store = DictionaryStore()
    kb = Knowledge(store, embedder=None)
    fox = Document("fox.md", "A fox eats mice.", title="The fox")
    await store.put(fox, number_chunks(fox, [Chunk(fox.text)]))
    steps: list[ToolCall | str] = [ToolCall("1", "search_knowledge", '{"query": "mice"}'), "Mice [1].", "Hello."]
    agent = Agent(ScriptedModel(steps), "a", memory=MemoryPolicy(context=[KnowledgeContext(kb)]))
    async with client(await serve_agents(agent)) as http:
        cited = (await http.post("/agents/a/runs", json={"input": "What do foxes eat?"})).json()
        other = (await http.post("/agents/a/runs", json={"input": "Hi"})).json()

    fields = {"number": 1, "source": "fox.md", "place": "", "title": "The fox", "used": True}
    assert cited["citations"] == [fields]
    assert "citations" not in other


class TestReading:
    async def test_health_and_agents(self, serve_agents: Any) -> None:
        """The health route answers, and the agents are listed with their tools, without their instructions."""
        model, about = ScriptedModel([]), "Knows the weather."
        helper = Agent(model, "helper", "Keep this secret.", tools=[weather, "files:search"], description=about)
        async with client(await serve_agents(helper)) as http:
            assert (await http.get("/health")).json() == {"status": "ok"}
            listed = (await http.get("/agents")).json()

        shown = [
            {"name": "weather", "description": "Current weather in a city.", "approve": False},
            {"name": "files:search", "description": "", "approve": False},
        ]
        described = {"name": "helper", "kind": "agent", "model": "scripted", "description": about, "tools": shown}
        assert listed == {"agents": [described | {"parts": [], "suggestions": []}]}

    async def test_names_tools_of_plugins(self, serve_agents: Any) -> None:
        """A tool of a plugin is listed with its name and description; an unknown tool, as written."""
        agent = Agent(ScriptedModel([]), "a", tools=["test:weather", "gone:away"])
        async with client(await serve_agents(agent, tools={"weather": lambda rest, settings: weather})) as http:
            listed = (await http.get("/agents")).json()["agents"][0]["tools"]

        assert [tool["name"] for tool in listed] == ["weather", "gone:away"]

    async def test_names_functions_that_are_tools(self, serve_agents: Any) -> None:
        """A function among an agent's tools is listed as a tool."""

        def look(place: str) -> str:
            """Look at a place."""
            return place

        async with client(await serve_agents(Agent(ScriptedModel([]), "a", tools=[look]))) as http:
            listed = (await http.get("/agents")).json()["agents"][0]["tools"]

        assert listed == [{"name": "look", "description": "Look at a place.", "approve": False}]

    async def test_opens_toolkits(self, serve_agents: Any) -> None:
        """A toolkit that has to be opened is listed by its name, opened by the first run, and shared by the others."""
        log: list[str] = []

        @asynccontextmanager
        async def connect() -> AsyncIterator[list[Tool]]:
            log.append("asked")
            if len(log) == 1:
                raise ConnectionRefusedError("port 99")
            yield [weather]

        steps: list[ToolCall | str] = [ToolCall("1", "weather", '{"city": "Seoul"}'), "Sunny."]
        agent = Agent(ScriptedModel(steps * 2), "a", tools=[Toolkit("sky", open=connect)])
        async with client(await serve_agents(agent)) as http:
            listed = (await http.get("/agents")).json()["agents"][0]["tools"]
            failed = await http.post("/agents/a/runs", json={"input": "x"})
            done = await http.post("/agents/a/runs", json={"input": "x"})
            streamed = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        assert [tool["name"] for tool in listed] == ["sky"]
        assert (failed.status_code, failed.json()["error"]["code"]) == (500, "plugin")
        assert done.json()["content"] == "Sunny."
        assert events(streamed.text)[-1][2]["status"] == "completed"
        assert log == ["asked"] * 2

    async def test_outputs_of_pydantic(self, serve_agents: Any) -> None:
        """A pydantic model as output is sent as JSON, with the names of its schema."""

        class Trip(pydantic.BaseModel):
            city: str = pydantic.Field(alias="theCity")

        agent = Agent(ScriptedModel(['{"theCity": "Seoul"}']), "a", output=Trip)
        async with client(await serve_agents(agent)) as http:
            answered = (await http.post("/agents/a/runs", json={"input": "?"})).json()

        assert answered["output"] == {"theCity": "Seoul"}

    async def test_page(self, serve_agents: Any) -> None:
        """The page comes with a policy that allows only its own files."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"))) as http:
            page = await http.get("/")

        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert not [word for word in ("innerHTML", "http://127", "https://") if word in page.text]


class TestRuns:
    async def test_runs_an_agent(self, serve_agents: Any) -> None:
        """A run answers with its result; the next run goes on with the session."""
        model = ScriptedModel(["Hello Ann.", "You are Ann."])
        async with client(await serve_agents(Agent(model, "a"))) as http:
            first = await http.post("/agents/a/runs", json={"input": "I am Ann.", "session": "s", "user": "ann"})
            second = await http.post("/agents/a/runs", json={"input": "Who am I?", "session": "s", "user": "ann"})

        answer = first.json()
        assert first.status_code == 200
        assert answer.pop("run_id")
        assert answer == {
            "status": "completed",
            "content": "Hello Ann.",
            "reasoning": "",
            "output": None,
            "session": "s",
            "usage": USAGE | {"input_tokens": 1, "output_tokens": 2},
            "error": None,
        }
        assert second.json()["content"] == "You are Ann."
        assert [message.content for message in model.requests[1].messages] == ["I am Ann.", "Hello Ann.", "Who am I?"]

    @pytest.mark.parametrize("user", [{"user": "bob"}, {"user": "Ann"}, {"user": None}, {}])
    async def test_the_session_of_another_is_refused(self, serve_agents: Any, user: dict[str, Any]) -> None:
        """A run on another user's session is a 403, streamed or not, before a model is asked, and shows nothing of the
        session.
        """
        model = ScriptedModel(["Noted."])
        asked = {"input": "What is the code?", "session": "s", **user}
        async with client(await serve_agents(Agent(model, "a"), Agent(ScriptedModel([]), "b"))) as http:
            code = {"input": "The code is 4711.", "session": "s", "user": "ann"}
            await http.post("/agents/a/runs", json=code)
            refused = [await http.post(f"/agents/{name}/runs", json=asked) for name in "ab"]
            stream = await http.post("/agents/a/runs", json=asked, headers=SSE)

        assert [answer.status_code for answer in refused] == [403, 403]
        assert {answer.json()["error"]["code"] for answer in refused} == {"forbidden"}
        name, _, end = events(stream.text)[-1]
        assert (name, end["status"], end["code"]) == ("run_ended", "failed", "forbidden")
        assert not [name for name, _, _ in events(stream.text) if name == "model_started"]
        for answer in (*refused, stream):
            assert "4711" not in answer.text
            assert '"ann"' not in answer.text
            assert "'ann'" not in answer.text
        assert len(model.requests) == 1

    @pytest.mark.parametrize("key", ["session", "user"])
    @pytest.mark.parametrize(
        "name", ["", "x" * 9_000_000, "two\nlines", "nna\u202e"], ids=["", "long", "lines", "bidi"]
    )
    async def test_a_name_that_is_none_is_refused(self, serve_agents: Any, key: str, name: str) -> None:
        """A name of a session or user that is empty, too long, or has steering characters is a 400."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"))) as http:
            answer = await http.post("/agents/a/runs", json={"input": "Hi.", key: name})

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "usage")
        assert answer.json()["error"]["message"].startswith(f"a {key}'s name ")
        assert len(answer.content) < 1_000

    async def test_says_what_a_paused_run_waits_for(self, serve_agents: Any) -> None:
        """A paused run is not an error: its status and its approvals are in the answer."""

        @tool(approve=True)
        def pay() -> str:
            """Pay."""
            return "paid"

        agent = Agent(ScriptedModel([ToolCall("1", "pay")]), "payer", tools=[pay])
        async with client(await serve_agents(agent)) as http:
            answer = await http.post("/agents/payer/runs", json={"input": "pay"})

        body = answer.json()
        assert (answer.status_code, body["status"], body["content"]) == (200, "paused", "")
        assert [each["call"]["name"] for each in body["approvals"]] == ["pay"]

    async def test_gives_typed_output(self, serve_agents: Any) -> None:
        """An agent with an output type answers with JSON."""
        agent = Agent(ScriptedModel(['{"celsius": 17}']), "a", output=Temperature)
        async with client(await serve_agents(agent)) as http:
            answer = await http.post("/agents/a/runs", json={"input": "How warm?"})

        assert answer.json()["output"] == {"celsius": 17}

    async def test_streams_events(self, serve_agents: Any) -> None:
        """A streamed run sends each event as it happens: with type, number and JSON."""
        model = ScriptedModel([ToolCall("c1", "weather", '{"city": "Seoul"}'), "Sunny there."])
        async with client(await serve_agents(Agent(model, "a", tools=[weather]))) as http:
            answer = await http.post("/agents/a/runs", json={"input": "Weather?"}, headers=SSE)

        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        got = events(answer.text)
        assert [number for _, number, _ in got] == list(range(1, len(got) + 1))
        assert all(name == data["type"] for name, _, data in got)
        names = [name for name, _, _ in got if not name.endswith("delta")]
        turn = ["model_started", "model_ended"]
        assert names == ["run_started", *turn, "tool_started", "tool_ended", *turn, "run_ended"]
        assert "".join(data["text"] for name, _, data in got if name == "text_delta") == "Sunny there."
        assert next(data for name, _, data in got if name == "tool_ended")["content"] == "Sun in Seoul"
        assert got[-1][2]["status"] == "completed"

    async def test_a_failed_run(self, serve_agents: Any) -> None:
        """A failed run answers with the error's status and the run's id; its stream ends with `run_ended`."""
        failure = ModelError("the model is away", hint="Wait for it.", retry_after=7)
        async with client(await serve_agents(Agent(ScriptedModel([failure, failure]), "a"))) as http:
            plain = await http.post("/agents/a/runs", json={"input": "x"})
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        error = plain.json()["error"]
        hint = f"The server's log says why: run {error['run_id']}."
        assert (plain.status_code, error["code"], error["message"]) == (502, "model", "the model gave no answer")
        assert error["hint"] == hint
        assert plain.headers["retry-after"] == "7"
        name, _, last = events(stream.text)[-1]
        assert (stream.status_code, name, last["status"], last["code"]) == (200, "run_ended", "failed", "model")
        assert last["error"] == f"the model gave no answer\nThe server's log says why: run {last['run_id']}."

    async def test_overload_is_told_at_once(self, serve_agents: Any) -> None:
        """A run beyond the runtime's queue is refused with 503 and `Retry-After`, streamed or not."""
        stuck = Stuck()
        served = await serve_agents(Agent(stuck, "a"), limits=Limits(runs=1, queue=0))
        async with client(served) as http, trio.open_nursery() as nursery:
            nursery.start_soon(_ignore_call, http.post, "/agents/a/runs", {"input": "x"})
            await happens(stuck.started)
            for headers in ({}, SSE):
                refused = await http.post("/agents/a/runs", json={"input": "x"}, headers=headers)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
                assert refused.headers["retry-after"] == "1"
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("headers", [{}, SSE])
    async def test_hanging_up_cancels_the_run(self, serve_agents: Any, headers: dict[str, str]) -> None:
        """Hanging up cancels the run, during a wait for JSON or during a stream."""
        stuck = Stuck()
        served = await serve_agents(Agent(stuck, "a"))
        async with client(served) as http, trio.open_nursery() as nursery:
            nursery.start_soon(_ignore_call, http.post, "/agents/a/runs", {"input": "x"}, headers)
            await happens(stuck.started)
            nursery.cancel_scope.cancel()
        await happens(stuck.cancelled)

    async def test_stopping_ends_streams_with_a_last_word(self, serve_agents: Any) -> None:
        """The grace period's end gives a stream its last event, and a waiting client a 503."""
        stuck, other = Stuck(), Stuck()
        served = await serve_agents(Agent(stuck, "a"), Agent(other, "b"), grace=0.1)
        answers: dict[str, httpx2.Response] = {}
        async with client(served) as http, trio.open_nursery() as nursery:

            async def ask(name: str, headers: dict[str, str]) -> None:
                answers[name] = await http.post(f"/agents/{name}/runs", json={"input": "x"}, headers=headers)

            nursery.start_soon(ask, "a", SSE)
            nursery.start_soon(ask, "b", {})
            await happens(stuck.started)
            await happens(other.started)
            served.server.stop()

        name, _, last = events(answers["a"].text)[-1]
        assert (name, last["status"]) == ("run_ended", "cancelled")
        assert (answers["b"].status_code, answers["b"].json()["error"]["code"]) == (503, "stopping")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class TestMedia:
    async def test_parts_reach_the_model(self, serve_agents: Any) -> None:
        """Parts of an input reach the model: text, bytes with a detected type, URLs unchanged, and a text file."""
        model = ScriptedModel(["A dot."])
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "data": b64(GIF), "name": "dot.gif"},
            {"type": "image", "url": "https://host/cat.png"},
            {"type": "video", "url": "https://host/cat", "media_type": "video/mp4"},
            {"type": "file", "url": f"data:text/csv;base64,{b64(b'a,b')}"},
        ]
        async with client(await serve_agents(Agent(model, "a"))) as http:
            answer = await http.post("/agents/a/runs", json={"input": parts, "session": "s"})

        assert answer.json()["content"] == "A dot."
        assert model.requests[0].messages[-1].content == (
            "What is this?",
            Media("image", "image/gif", GIF, None, "dot.gif"),
            Media("image", "image/png", None, "https://host/cat.png", "cat.png"),
            Media("video", "video/mp4", None, "https://host/cat", "cat"),
            Media("file", "text/csv", b"a,b"),
        )

    async def test_media_for_a_model_that_takes_none(self, serve_agents: Any) -> None:
        """A model for text alone gets no image: a 400 says what the model accepts. A text file becomes text."""
        blind = ScriptedModel(["ok"], profile=ModelProfile(media=()))
        async with client(await serve_agents(Agent(blind, "a"))) as http:
            image = await http.post("/agents/a/runs", json={"input": [{"type": "image", "data": b64(GIF)}]})
            text = await http.post("/agents/a/runs", json={"input": [{"type": "file", "data": b64(b"hi")}]})

        assert (image.status_code, image.json()["error"]["hint"]) == (400, "It accepts text only.")
        assert (text.status_code, text.json()["content"]) == (200, "ok")

    @pytest.mark.parametrize(
        ("parts", "status", "code", "named"),
        [
            ([], 400, "invalid_body", "the input has no parts"),
            ([{"type": "text", "text": " "}], 400, "usage", "the input is empty"),
            ([{"type": "picture", "data": ""}], 400, "invalid_body", "$.input[0]"),
            (["hello"], 400, "invalid_body", "$.input[0]"),
            ([{"type": "text"}], 400, "invalid_body", "text"),
            ([{"type": "image", "data": "?"}], 400, "invalid_body", "$.input[0].data"),
            ([{"type": "image", "date": ""}], 400, "invalid_body", "'data'"),
            ([{"type": "image"}], 400, "invalid_media", "input[0]: has neither data nor a url"),
            ([{"type": "image", "data": b64(GIF), "url": "https://x"}], 400, "invalid_media", "both data and a url"),
            ([{"type": "image", "data": ""}], 400, "invalid_media", "input[0]: the image is empty"),
            ([{"type": "image", "data": b64(b"%PDF-1.4")}], 400, "invalid_media", "is application/pdf, not an image"),
            ([{"type": "audio", "data": b64(GIF), "name": "a.wav"}], 400, "invalid_media", "a.wav is image/gif"),
            ([{"type": "image", "data": b64(GIF), "media_type": "gif"}], 400, "invalid_media", "media_type is 'gif'"),
            ([{"type": "text", "text": "x"}, {"type": "file", "url": "notes.txt"}], 400, "invalid_media", "input[1]"),
            ([{"type": "file", "url": "file:///notes.txt"}], 400, "invalid_media", "is not of http, https or data"),
            ([{"type": "file", "url": __file__}], 400, "invalid_media", "is not of http, https or data"),
            ([{"type": "file", "url": "data:;base64,A"}], 400, "invalid_media", "not base64"),
            ([{"type": "file", "url": "https://"}], 400, "invalid_media", "is not a valid URL"),
            ([{"type": "file", "data": b64(b"x" * 101)}], 413, "too_large", "input[0]: has more than 100 bytes"),
            ([{"type": "file", "url": f"data:;base64,{b64(b'x' * 999)}"}], 413, "too_large", "more than 100 bytes"),
            ([{"type": "file", "url": f"data:,{'x' * 101}"}], 413, "too_large", "more than 100 bytes"),
        ],
    )
    async def test_what_is_refused(
        self, serve_agents: Any, parts: list[Any], status: int, code: str, named: str
    ) -> None:
        """Wrong, large or local media are refused by name with a hint, and no file is read."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"), max_media=100)) as http:
            answer = await http.post("/agents/a/runs", json={"input": parts})

        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert named in f"{error['message']} {error['hint']}"
        assert error["hint"]

    async def test_urls_can_be_turned_off(self, serve_agents: Any) -> None:
        """With `media_urls` off, URLs are refused and bytes are accepted."""
        async with client(await serve_agents(Agent(ScriptedModel(["ok"]), "a"), media_urls=False)) as http:
            by_url = await http.post("/agents/a/runs", json={"input": [{"type": "image", "url": "https://host/a"}]})
            as_data = await http.post("/agents/a/runs", json={"input": [{"type": "image", "data": b64(GIF)}]})

        assert (by_url.status_code, as_data.status_code) == (400, 200)
        assert "media_urls = true" in by_url.json()["error"]["hint"]


class TestWhatElseHappens:
    async def test_reasoning(self, serve_agents: Any) -> None:
        """Reasoning is apart from the answer, in the result and in the stream, with its tokens."""
        thinks = ModelResponse("So.", reasoning="Hm.", usage=Usage(1, 2, 1))
        async with client(await serve_agents(Agent(ScriptedModel([thinks, thinks]), "a"))) as http:
            answer = (await http.post("/agents/a/runs", json={"input": "x"})).json()
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        assert (answer["content"], answer["reasoning"], answer["usage"]["reasoning_tokens"]) == ("So.", "Hm.", 1)
        deltas = [(name, data["text"]) for name, _, data in events(stream.text) if name.endswith("_delta")]
        assert deltas == [("reasoning_delta", "Hm."), ("text_delta", "So.")]

    async def test_a_turn_that_begins_anew(self, serve_agents: Any) -> None:
        """The stream says that the text of the turn so far is void."""
        async with client(await serve_agents(Agent(Restarting("Wrong", "Right."), "a"))) as http:
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        got = [(name, data) for name, _, data in events(stream.text)]
        assert [name for name, _ in got[2:6]] == ["text_delta", "turn_restarted", "text_delta", "model_ended"]
        assert got[3][1]["reason"] == "the model is asked again"
        assert got[-1][1]["content"] == "Right."

    async def test_progress_of_tools(self, serve_agents: Any) -> None:
        """A tool's progress is an event of the stream."""

        @tool
        async def count(context: RunContext) -> str:
            """Count."""
            await context.progress({"done": 0.5})
            return "2"

        model = ScriptedModel([ToolCall("c1", "count"), "Two."])
        async with client(await serve_agents(Agent(model, "a", tools=[count]))) as http:
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        [progress] = [data for name, _, data in events(stream.text) if name == "tool_progress"]
        assert (progress["data"], progress["call"]["name"]) == ({"done": 0.5}, "count")

    async def test_a_guardrail_that_blocks(self, serve_agents: Any) -> None:
        """A blocked run is a 422; a stream names the guardrail, and ends with the code."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a", hooks=[NoX()]))) as http:
            plain = await http.post("/agents/a/runs", json={"input": "x"})
            stream = await http.post("/agents/a/runs", json={"input": "x"}, headers=SSE)

        assert (plain.status_code, plain.json()["error"]["code"]) == (422, "blocked")
        got = [(name, data) for name, _, data in events(stream.text)]
        [tripped] = [data for name, data in got if name == "guard_tripped"]
        assert (tripped["guard"], tripped["action"], got[-1][1]["code"]) == ("no-x", "blocked", "blocked")


@attrs.define
class Restarting:
    """A model that says something, takes back the text, and says something else."""

    first: str
    then: str
    name: str = "restarting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        if emit is not None:
            await emit(TextDelta(self.first))
            await emit(TurnRestarted("the line was cut"))
            await emit(TextDelta(self.then))
        return ModelResponse(self.then)


class NoX:
    """A guardrail against a letter."""

    name = "no-x"

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        return Verdict("an x") if "x" in text else None


class TestBadRequests:
    @pytest.mark.parametrize(
        ("body", "code", "named"),
        [
            ("", "invalid_json", "JSON"),
            ("{", "invalid_json", "JSON"),
            ('{"input": "\xff"}', "invalid_json", "JSON"),
            ("[1]", "invalid_body", "object"),
            ("{}", "invalid_body", "input"),
            ('{"input": 5}', "invalid_body", "$.input"),
            ('{"input": "x", "session": 5}', "invalid_body", "$.session"),
            ('{"input": "x", "sesion": "s"}', "invalid_body", "sesion"),
            ('{"input": ' + "[" * 200_000, "invalid_body", "input"),
        ],
    )
    async def test_bodies(self, serve_agents: Any, body: str, code: str, named: str) -> None:
        """A body that does not describe a run is a 400 that names the fault."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"))) as http:
            headers = {"Content-Type": "application/json; charset=utf-8"}
            answer = await http.post("/agents/a/runs", content=body.encode("latin-1"), headers=headers)

        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, code)
        assert named in error["message"]
        assert error["hint"]

    async def test_a_misspelt_key(self, serve_agents: Any) -> None:
        """An unknown key is answered with the nearest key."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"))) as http:
            answer = await http.post("/agents/a/runs", json={"input": "x", "sesion": "s"})

        assert "'session'" in answer.json()["error"]["hint"]

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status", "named"),
        [
            ("POST", "/agents/assistent/runs", {"Content-Type": "application/json"}, 404, "'assistant'"),
            ("POST", "/agents/assistant/runs", {"Content-Type": "text/plain"}, 415, "text/plain"),
            ("POST", "/agents/assistant/runs", {}, 415, "Content-Type"),
            ("GET", "/agents/assistant/runs", {}, 405, "POST"),
            ("DELETE", "/agents", {}, 405, "GET"),
            ("GET", "/nowhere", {}, 404, "/nowhere"),
        ],
    )
    async def test_routes(
        self, serve_agents: Any, method: str, path: str, headers: dict[str, str], status: int, named: str
    ) -> None:
        """An unknown route, or a wrong method, is a JSON error that says what would be right."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "assistant"))) as http:
            answer = await http.request(method, path, content=b'{"input": "x"}', headers=headers)

        error = answer.json()["error"]
        assert (answer.status_code, set(error)) == (status, {"code", "message", "hint"})
        assert named in f"{error['message']} {error['hint']}"
        assert status != 405 or answer.headers["allow"]


class TestProbes:
    async def test_memory(self, serve_agents: Any, tmp_path: Path) -> None:
        """The server is not ready while its memory cannot be used, and lives all the same."""
        file = tmp_path / "a.db"
        file.write_text("this is text, and long enough to be taken for a header " * 40)
        served = await serve_agents(Agent(ScriptedModel([]), "a"), memory=f"sqlite:///{file}")
        async with client(served) as http:
            before, alive = await http.get("/health/ready"), await http.get("/health")
            file.unlink()
            after = await http.get("/health/ready")

        assert (before.status_code, before.json()) == (503, {"status": "memory"})
        assert (alive.status_code, after.status_code) == (200, 200)


class TestBrowsers:
    @pytest.mark.parametrize(
        ("host", "settings", "status"),
        [
            ("localhost:80", {}, 200),
            ("LOCALHOST", {}, 200),
            ("[::1]:7777", {}, 200),
            ("evil.example", {}, 421),
            ("127.0.0.1.evil.example:7777", {}, 421),
            ("ok.example:1", {"allowed_hosts": ("ok.example",)}, 200),
            ("localhost", {"allowed_hosts": ("ok.example",)}, 200),
            ("evil.example", {"allowed_hosts": ("ok.example",)}, 421),
            ("evil.example", {"allowed_hosts": ("*",)}, 200),
        ],
    )
    async def test_host(self, serve_agents: Any, host: str, settings: dict[str, Any], status: int) -> None:
        """On loopback, only loopback's names and the allowed names are answered: no page can rebind its name here."""
        async with client(await serve_agents(Agent(ScriptedModel([]), "a"), **settings)) as http:
            answer = await http.get("/agents", headers={"Host": host})

        assert answer.status_code == status
        assert status == 200 or answer.json()["error"]["code"] == "host_not_allowed"

    async def test_cors(self, serve_agents: Any) -> None:
        """Other origins are refused unless allowed by name."""
        agent = Agent(ScriptedModel([]), "a")
        ours, theirs = {"Origin": "https://ours.example"}, {"Origin": "https://theirs.example"}
        async with client(await serve_agents(agent)) as http:
            assert "access-control-allow-origin" not in (await http.get("/agents", headers=ours)).headers
        async with client(await serve_agents(agent, cors_origins=("https://ours.example",))) as http:
            allowed = await http.get("/agents", headers=ours)
            assert allowed.headers["access-control-allow-origin"] == "https://ours.example"
            assert "x-request-id" in allowed.headers["access-control-expose-headers"]
            assert "access-control-allow-origin" not in (await http.get("/agents", headers=theirs)).headers


class TestRoutesOfPlugins:
    @pytest.mark.parametrize("failure", [RuntimeError("no such table"), SystemExit("no such table")], ids=repr)
    async def test_mounts_them(self, serve_agents: Any, failure: BaseException) -> None:
        """A plugin's routes are served under their name; broken routes do not harm others."""

        def hello(runtime: Any) -> Any:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": type(runtime).__name__.encode()})

            return app

        def broken(runtime: Any) -> Any:
            raise failure

        agent = Agent(ScriptedModel(["Still here."]), "a")
        async with client(await serve_agents(agent, routes={"hello": hello, "broken": broken})) as http:
            assert (await http.get("/hello/there")).text == "Runtime"
            failed = await http.get("/broken/x")
            assert (failed.status_code, failed.json()["error"]["code"]) == (500, "plugin")
            assert "no such table" not in failed.text
            assert (await http.post("/agents/a/runs", json={"input": "x"})).json()["content"] == "Still here."

    async def test_one_that_exits_ends_its_request_alone(self, serve_agents: Any, caplog: Any) -> None:
        """The server goes on when a route, a model or a tool exits."""

        def leaving(runtime: Any) -> Any:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                raise SystemExit(3)

            return app

        @tool
        def leave() -> str:
            """Exit."""
            raise SystemExit(3)

        calls = Agent(ScriptedModel([ToolCall("1", "leave"), "Still here."]), "calls", tools=[leave])
        exits = Agent(ScriptedModel([SystemExit(3), SystemExit(3)]), "exits")
        async with client(await serve_agents(calls, exits, routes={"leaving": leaving})) as http:
            assert (await http.get("/leaving/x")).status_code == 500
            failed = await http.post("/agents/exits/runs", json={"input": "x"})
            assert (failed.status_code, failed.json()["error"]["code"]) == (502, "model")
            accept = {"accept": "text/event-stream"}
            streamed = await http.post("/agents/exits/runs", json={"input": "x"}, headers=accept)
            assert streamed.text.count("event: run_ended") == 1
            assert (await http.post("/agents/calls/runs", json={"input": "x"})).json()["content"] == "Still here."


@attrs.define
class Temperature:
    """An output type."""

    celsius: int


async def _ignore_call(
    post: Callable[..., Awaitable[Any]], path: str, body: Any, headers: dict[str, str] | None = None
) -> None:
    await post(path, json=body, headers=headers or {})


@attrs.define(eq=False)
class Chain(Runnable[Any, Any]):
    """Runs its steps one after another."""

    name: str
    steps: Sequence[Runnable]
    description: str = ""

    kind = "chain"

    def parts(self) -> Sequence[Runnable]:
        return self.steps

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> RunResult:
        given = input
        for step in self.steps:
            result = await flow.run(step, given)
            given = (Message("user", result.content),)
        return result


class TestOtherRunnables:
    @pytest.fixture
    def chain(self) -> Chain:
        def add(word: str) -> Agent:
            return Agent(ScriptedModel([lambda request: f"{request.messages[-1].text} {word}"] * 9), word)

        return Chain("both", [add("one"), add("two")], "Adds two words.")

    async def test_listed_and_run(self, serve_agents: Any, chain: Chain) -> None:
        """A runnable that is not an agent is listed with its kind and parts, and runs by the same routes."""
        async with client(await serve_agents(chain)) as http:
            [listed] = (await http.get("/agents")).json()["agents"]
            done = (await http.post("/agents/both/runs", json={"input": "zero", "session": "s"})).json()
            streamed = await http.post(
                "/agents/both/runs", json={"input": "more"}, headers={"Accept": "text/event-stream"}
            )

        assert (listed["kind"], listed["model"], listed["parts"]) == ("chain", "", ["one", "two"])
        assert (done["status"], done["content"]) == ("completed", "zero one two")
        names = [name for name, _, _ in events(streamed.text)]
        assert (names[0], names[-1]) == ("run_started", "run_ended")

    async def test_a_team(self, serve_agents: Any) -> None:
        """A team is listed with its members, and keeps a session over HTTP."""

        def count(request: ModelRequest) -> str:
            return f"{len(request.messages)} messages"

        team = Team([Agent(ScriptedModel(count), "a")], InSequence(share="history"), name="desk")
        async with client(await serve_agents(team)) as http:
            [listed] = (await http.get("/agents")).json()["agents"]
            body = {"input": "zero", "session": "s"}
            answers = [(await http.post("/agents/desk/runs", json=body)).json()["content"] for _ in range(2)]

        assert (listed["name"], listed["kind"], listed["parts"]) == ("desk", "team", ["a"])
        assert answers == ["1 messages", "3 messages"]

    async def test_as_a_model(self, serve_agents: Any, chain: Chain) -> None:
        """OpenAI's clients use the runnable as a model; settings of a model are refused by name."""
        body = {"model": "both", "messages": [{"role": "user", "content": "zero"}]}
        async with client(await serve_agents(chain)) as http:
            done = (await http.post("/v1/chat/completions", json=body)).json()
            refused = await http.post("/v1/chat/completions", json=body | {"temperature": 0})

        assert done["choices"][0]["message"]["content"] == "zero one two"
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "temperature"
