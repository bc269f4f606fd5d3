"""Responses, `/v1/responses`: whole and streamed, in strict order, kept, continued, refused by name."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from agno_rt import Agent, Hook, Media, Message, ModelRequest, ModelResponse, RunContext, ToolCall, Usage, tool
from agno_rt.errors import ModelError
from agno_rt.events import ReasoningDelta, TextDelta, TurnRestarted
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel
from standards.response_streams import check_events, parse_events, strip_ids

URL = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SEOUL = ToolCall("c1", "weather", '{"city":"Seoul"}')
BUSAN = ToolCall("c2", "weather", '{"city":"Busan"}')
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"

Post = Callable[..., Awaitable[httpx2.Response]]


@tool(inline=True)
def clock() -> str:
    """Tell the time."""
    return "noon"


class Talker:
    """A client of a server."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def refuse(self, **body: Any) -> tuple[int, dict[str, Any]]:
        """Post an unfit request; return status and error."""
        answer = await self.http.post(URL, json={"model": "a", "input": "Hi"} | body)
        return answer.status_code, answer.json()["error"]

    async def create(self, **body: Any) -> dict[str, Any]:
        """Post a request, and return the response, whole or from its stream."""
        answer = await self.http.post(URL, json={"model": "a", "input": "Hi"} | body)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = check_events(parse_events(answer.content)) if body.get("stream") else answer.json()
        return made


@pytest.fixture
async def talk(serve_agents: Any) -> Any:
    """Serve agents and return a client: `await talk(agent, ...)`."""
    clients: list[httpx2.AsyncClient] = []

    async def begin(*agents: Agent, **options: Any) -> Talker:
        served = await serve_agents(*agents, **options)
        clients.append(httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False))
        return Talker(clients[-1])

    yield begin
    for each in clients:
        await each.aclose()


def script() -> list[Any]:
    """Return a run of all kinds of items: reasoning, text, a tool of the agent's, two calls of the client's tools."""
    first = ModelResponse("I look.", (ToolCall("c0", "clock"),), "Hm.", Usage(2, 3, 1, 1))
    return [first, ModelResponse("It is noon.", (SEOUL, BUSAN), "So.", Usage(4, 5, 2))]


async def test_a_stream_is_in_strict_order(talk: Any) -> None:
    """Reasoning, texts and two calls: each item once, and the output of an answer in one piece."""
    agent = Agent(ScriptedModel([*script(), *script()]), "a", tools=[clock])
    client = await talk(agent)
    streamed = await client.create(tools=[WEATHER], stream=True)
    whole = await client.create(tools=[WEATHER])

    kinds = [item["type"] for item in whole["output"]]
    assert kinds == ["reasoning", "message", "reasoning", "message", "function_call", "function_call"]
    assert strip_ids(streamed["output"]) == strip_ids(whole["output"])
    assert [item["call_id"] for item in whole["output"][-2:]] == ["c1", "c2"]
    assert whole["output"][1]["content"][0]["text"] == "I look."
    for made in (streamed, whole):
        assert (made["status"], made["object"], made["model"]) == ("completed", "response", "a")
        assert made["usage"] == {
            "input_tokens": 6,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 14,
        }


@pytest.mark.parametrize(
    ("steps", "texts"),
    [
        ((("r", "Hm."), ("t", "Rig"), "again", ("r", "H"), ("r", "m."), ("t", "Ri"), ("t", "ght.")), ["Hm.", "Right."]),
        ((("t", "Rig"), "again"), ["Right."]),
        ((), ["Right."]),
        ((("t", "Right."), ("r", "Late.")), ["Right.", "Late."]),
    ],
)
async def test_a_turn_that_begins_anew_with_the_same(talk: Any, steps: Any, texts: list[str]) -> None:
    """A turn with the same text again, or without a stream, is a single item to the client."""
    client = await talk(Agent(Restarting(steps), "a"))
    streamed, whole = await client.create(stream=True), await client.create()

    assert [item["content"][0]["text"] for item in streamed["output"]] == texts
    assert strip_ids(streamed["output"]) == strip_ids(whole["output"])


async def test_reasoning_that_differs_the_second_time(talk: Any) -> None:
    """The text stays a single item, even if the model thinks something else the second time."""
    client = await talk(Agent(Restarting((("r", "Hm"), ("t", "Rig"), "again", ("r", "Oh"), ("t", "Right."))), "a"))
    streamed, whole = await client.create(stream=True), await client.create()

    assert [item["content"][0]["text"] for item in streamed["output"]] == ["Hm", "Right."]
    assert [item["content"][0]["text"] for item in whole["output"]] == ["Oh", "Right."]


async def test_a_turn_that_begins_anew_with_something_else(talk: Any) -> None:
    """The stream fails, as text cannot be taken back; a whole answer has the right text alone."""
    client = await talk(Agent(Restarting((("r", "Hm"), ("t", "Wrong"), "again", ("t", "Right."))), "a"))
    streamed, whole = await client.create(stream=True), await client.create()

    assert (streamed["status"], streamed["error"]["code"]) == ("failed", "taken_back")
    assert streamed["output"][-1]["status"] == "incomplete"
    assert [item["content"][0]["text"] for item in whole["output"]] == ["Right."]


async def test_an_answer_that_is_cut_off(talk: Any) -> None:
    """The response is incomplete, says why, and so does its last item."""
    cut = ModelResponse("And so", finish_reason="length")
    client = await talk(Agent(ScriptedModel([cut, cut]), "a"))
    for stream in (False, True):
        made = await client.create(max_output_tokens=20, stream=stream)
        assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert made["output"][-1]["status"] == "incomplete"


async def test_a_failure(talk: Any) -> None:
    """A failing model is an HTTP error, or an error event and a failed response as the end of the stream."""
    failure = ModelError("the model is away", hint="Wait for it.")
    client = await talk(Agent(ScriptedModel([failure, failure]), "a"))
    answer = await client.http.post(URL, json={"model": "a", "input": "Hi"})
    events = parse_events((await client.http.post(URL, json={"model": "a", "input": "Hi", "stream": True})).content)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model")
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert check_events(events)["error"]["code"] == "model"


async def test_the_conversation(talk: Any) -> None:
    """Items become messages: instructions first, consecutive items of the assistant as a single message."""
    model = ScriptedModel(["Done."])
    client = await talk(Agent(model, "a", "Be brief."))
    image = f"data:image/gif;base64,{base64.b64encode(GIF).decode()}"
    await client.create(
        instructions="Speak plainly.",
        input=[
            {"role": "developer", "content": "Be kind."},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Look: "}, image_part(image)],
            },
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "A cat.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "Sun"}]},
        ],
        user="ann",
        temperature=0.5,
        max_output_tokens=50,
    )

    [request] = model.requests
    assert list(request.messages) == [
        Message("system", "Be brief."),
        Message("system", "Speak plainly."),
        Message("system", "Be kind."),
        Message("user", ("Look: ", Media("image", "image/gif", GIF))),
        Message("assistant", "A cat.", (ToolCall("c1", "weather", "{}"),), reasoning="Hm."),
        Message("tool", "Sun", (), "c1", "weather"),
    ]
    assert (request.user, request.settings.temperature, request.settings.max_tokens) == ("ann", 0.5, 50)


def image_part(url: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


class TestKept:
    async def test_a_conversation_goes_on(self, talk: Any) -> None:
        """A response goes on from another, without the instructions; two may go on from the same response."""
        model = ScriptedModel(["One.", SEOUL, "Two.", "Three."])
        client = await talk(Agent(model, "a"))
        first = await client.create(input="1?", instructions="Count.")
        second = await client.create(
            input="2?", previous_response_id=first["id"], instructions="Call.", tools=[WEATHER], stream=True
        )
        output = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}
        await client.create(input=[output], previous_response_id=second["id"], tools=[WEATHER])
        await client.create(input="3?", previous_response_id=first["id"])

        said = [[(each.role, each.text) for each in request.messages] for request in model.requests]
        begun = [("user", "1?"), ("assistant", "One.")]
        assert said[1] == [("system", "Call."), *begun, ("user", "2?")]
        assert said[2] == [*begun, ("user", "2?"), ("assistant", ""), ("tool", "Sun")]
        assert said[3] == [*begun, ("user", "3?")]

    async def test_reading_and_forgetting(self, talk: Any) -> None:
        """A kept response is read as answered, with the items of the input, and forgotten."""
        client = await talk(Agent(ScriptedModel(["One.", "Two."]), "a"))
        first = await client.create(input="1?", metadata={"topic": "numbers"})
        second = await client.create(input="2?", previous_response_id=first["id"], stream=True)

        assert (await client.http.get(f"{URL}/{first['id']}")).json() == first
        assert (await client.http.get(f"{URL}/{second['id']}?include[]=reasoning.encrypted_content")).json() == second
        assert first["metadata"] == {"topic": "numbers"}
        page = (await client.http.get(f"{URL}/{second['id']}/input_items?order=asc&limit=2")).json()
        rest = (await client.http.get(f"{URL}/{second['id']}/input_items?order=asc&after={page['last_id']}")).json()
        texts = [item["content"][0]["text"] for item in (*page["data"], *rest["data"])]
        assert (texts, page["has_more"], rest["has_more"]) == (["1?", "One.", "2?"], True, False)
        newest = (await client.http.get(f"{URL}/{second['id']}/input_items")).json()["data"]
        assert [item["content"][0]["text"] for item in newest] == ["2?", "One.", "1?"]
        assert len({item["id"] for item in newest}) == 3
        gone = (await client.http.delete(f"{URL}/{first['id']}")).json()
        assert gone == {"id": first["id"], "object": "response", "deleted": True}
        for answer in (
            await client.http.get(f"{URL}/{first['id']}"),
            await client.http.delete(f"{URL}/{first['id']}"),
            await client.http.get(f"{URL}/{second['id']}/input_items"),
        ):
            assert answer.status_code == 404

    async def test_a_session_for_people(self, talk: Any) -> None:
        """A kept response is a session for people to read and go on with; the question is the title."""
        client = await talk(Agent(ScriptedModel(["One.", "Two."]), "a"))
        made = await client.create(input="1?")
        session = (await client.http.get(f"/sessions/{made['id']}")).json()
        run = await client.http.post("/agents/a/runs", json={"input": "2?", "session": made["id"]})

        assert (session["title"], session["agent"]) == ("1?", "a")
        assert [each["content"] for each in session["messages"]] == ["1?", "One."]
        assert (run.status_code, run.json()["content"]) == (200, "Two.")

    async def test_not_kept(self, talk: Any) -> None:
        """Nothing is kept of a response with `store` off, and nothing can go on from the response."""
        client = await talk(Agent(ScriptedModel(["One.", "Two."]), "a"))
        for stream in (False, True):
            made = await client.create(store=False, stream=stream)
            assert made["store"] is False
            assert (await client.http.get(f"{URL}/{made['id']}")).status_code == 404
            status, error = await client.refuse(previous_response_id=made["id"])
            assert (status, error["param"]) == (404, "previous_response_id")
        assert (await client.http.get("/sessions")).json()["sessions"] == []

    async def test_users_are_apart(self, talk: Any) -> None:
        """A user's response is unknown to requests that do not name the user."""
        client = await talk(Agent(ScriptedModel(["One.", "Two."]), "a"))
        made = await client.create(user="ann")

        for query in ("", "?user=bob"):
            for path in ("", "/input_items"):
                assert (await client.http.get(f"{URL}/{made['id']}{path}{query}")).status_code == 404
            assert (await client.http.delete(f"{URL}/{made['id']}{query}")).status_code == 404
            assert (await client.http.post(f"{URL}/{made['id']}/cancel{query}")).status_code == 404
        for user in (None, "bob"):
            assert (await client.refuse(user=user, previous_response_id=made["id"]))[0] == 404
        assert (await client.create(user="ann", previous_response_id=made["id"]))["status"] == "completed"
        assert (await client.http.get(f"{URL}/{made['id']}?user=ann")).status_code == 200

    async def test_other_sessions(self, talk: Any) -> None:
        """A session of another kind is not a response, even under a response's name."""
        client = await talk(Agent(ScriptedModel(["One."]), "a"))
        await client.http.post("/agents/a/runs", json={"input": "Hi", "session": "resp_x"})

        assert (await client.http.get(f"{URL}/resp_x")).status_code == 404
        assert (await client.http.delete(f"{URL}/resp_x")).status_code == 404
        assert (await client.http.get("/sessions/resp_x")).status_code == 200


async def test_cancelling(talk: Any, nursery: trio.Nursery) -> None:
    """A response under way can be read and cancelled by id; then the stream ends."""
    begun, ended = trio.Event(), trio.Event()
    received = b""

    async def never(request: ModelRequest) -> str:
        begun.set()
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    async def read() -> None:
        nonlocal received
        async with client.http.stream("POST", URL, json={"model": "a", "input": "Hi", "stream": True}) as answer:
            async for piece in answer.aiter_bytes():
                received += piece
        ended.set()

    client = await talk(Agent(ScriptedModel([never]), "a"))
    nursery.start_soon(read)
    with trio.fail_after(30):
        await begun.wait()
        while b"response.in_progress" not in received:  # noqa: ASYNC110 - there is no event
            await trio.sleep(0.01)
        id_ = received.split(b'"id":"', 1)[1].split(b'"', 1)[0].decode()
        assert (await client.http.get(f"{URL}/{id_}")).json()["status"] == "in_progress"
        assert (await client.http.post(f"{URL}/{id_}/cancel?user=bob")).status_code == 404
        cancelled = (await client.http.post(f"{URL}/{id_}/cancel")).json()
        assert (cancelled["id"], cancelled["status"]) == (id_, "cancelled")
        await ended.wait()

    assert check_events(parse_events(received))["status"] == "cancelled"


async def test_cancelling_what_is_over(talk: Any) -> None:
    """A finished response cannot be cancelled."""
    client = await talk(Agent(ScriptedModel(["One."]), "a"))
    made = await client.create()
    answer = await client.http.post(f"{URL}/{made['id']}/cancel")

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "the response is completed already")


PLACE = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/City"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"City": {"type": "string", "enum": ["Seoul", "Busan"]}},
}


class TestBackground:
    async def test_any_worker_reads_it(self, talk: Any, tmp_path: Path) -> None:
        """The answer comes at once, in progress; any server on the memory has the response when the run is over."""
        go_on = trio.Event()

        async def wait(request: ModelRequest) -> ModelResponse:
            await go_on.wait()
            return ModelResponse("Done.", reasoning="Hm.", usage=Usage(3, 2))

        memory = f"sqlite:///{tmp_path}/a.db"
        first = await talk(Agent(ScriptedModel([wait]), "a"), memory=memory)
        second = await talk(Agent(ScriptedModel(["Next."]), "a"), memory=memory)
        made = await first.create(background=True, user="ann", metadata={"a": "b"})
        path = f"{URL}/{made['id']}?user=ann"
        before = (await second.http.get(path)).json()
        status, error = await second.refuse(previous_response_id=made["id"], user="ann")
        go_on.set()
        with trio.fail_after(30):
            while (after := (await second.http.get(path)).json())["status"] == "in_progress":  # noqa: ASYNC110
                await trio.sleep(0.01)

        assert (made["status"], made["background"], made["output"], before) == ("in_progress", True, [], made)
        assert (status, error["param"]) == (400, "previous_response_id")
        assert (after["status"], after["metadata"], after["usage"]["total_tokens"]) == ("completed", {"a": "b"}, 5)
        assert [(item["type"], item["content"][0]["text"]) for item in after["output"]] == [
            ("reasoning", "Hm."),
            ("message", "Done."),
        ]
        assert (await first.http.get(path)).json() == after
        assert (await first.http.get(f"{URL}/{made['id']}")).status_code == 404
        then = await second.create(previous_response_id=made["id"], user="ann")
        assert then["output"][0]["content"][0]["text"] == "Next."
        messages = (await first.http.get(f"/sessions/{made['id']}?user=ann")).json()["messages"]
        assert [each["content"] for each in messages] == ["Hi", "Done."]

    async def test_cancelling_it(self, talk: Any) -> None:
        """A response in the background is cancelled by id, once."""

        async def never(request: ModelRequest) -> str:
            await trio.sleep_forever()
            raise AssertionError("unreachable")

        client = await talk(Agent(ScriptedModel([never]), "a"))
        made = await client.create(background=True)
        cancelled = (await client.http.post(f"{URL}/{made['id']}/cancel")).json()
        with trio.fail_after(30):
            while (after := (await client.http.get(f"{URL}/{made['id']}")).json())["status"] == "in_progress":  # noqa: ASYNC110
                await trio.sleep(0.01)

        assert (cancelled["id"], cancelled["status"], after["status"]) == (made["id"], "cancelled", "cancelled")
        assert (await client.http.post(f"{URL}/{made['id']}/cancel")).status_code == 400

    async def test_a_failure_of_it(self, talk: Any) -> None:
        """A run that fails, or is deleted, is a failed response."""
        client = await talk(Agent(ScriptedModel([ModelError("away"), "x"]), "a"))
        failed = await client.create(background=True)
        deleted = await client.create(background=True)
        with trio.fail_after(30):
            for each in (failed, deleted):
                run = each["id"].removeprefix("resp_")
                while (await client.http.get(f"/runs/{run}")).json()["status"] == "running":  # noqa: ASYNC110
                    await trio.sleep(0.01)
        await client.http.delete(f"/runs/{deleted['id'].removeprefix('resp_')}")
        ends = [(await client.http.get(f"{URL}/{each['id']}")).json() for each in (failed, deleted)]

        assert [end["status"] for end in ends] == ["failed", "failed"]
        assert [end["error"]["code"] for end in ends] == ["model", "stopped"]


class TestStructured:
    def text(self) -> dict[str, Any]:
        return {"format": {"type": "json_schema", "name": "place", "schema": PLACE, "strict": True}}

    async def test_an_answer_that_fits(self, talk: Any) -> None:
        """The model is given the schema; an unfit answer goes back to the model, and no client sees the answer."""
        model = ScriptedModel(['{"city": "Rome"}', '{"city": "Seoul"}'] * 2)
        client = await talk(Agent(model, "a"))
        streamed, whole = await client.create(text=self.text(), stream=True), await client.create(text=self.text())

        assert strip_ids(streamed["output"]) == strip_ids(whole["output"])
        assert [item["content"][0]["text"] for item in whole["output"]] == ['{"city": "Seoul"}']
        assert model.requests[0].output == PLACE
        assert "$.city is not one of the values" in model.requests[1].messages[-1].text
        assert whole["text"]["format"]["name"] == "place"

    async def test_beside_tools_of_the_client(self, talk: Any) -> None:
        """A call of the client's tool ends the run without JSON; the next response has the answer."""
        model = ScriptedModel([ModelResponse("I look.", (SEOUL,)), '{"city": "Seoul"}'])
        client = await talk(Agent(model, "a"))
        first = await client.create(text=self.text(), tools=[WEATHER], stream=True)
        output = {"type": "function_call_output", "call_id": "c1", "output": "Sun"}
        second = await client.create(
            text=self.text(), tools=[WEATHER], previous_response_id=first["id"], input=[output]
        )

        assert [item["type"] for item in first["output"]] == ["message", "function_call"]
        assert first["output"][0]["content"][0]["text"] == "I look."
        assert second["output"][0]["content"][0]["text"] == '{"city": "Seoul"}'

    async def test_any_object(self, talk: Any) -> None:
        """`json_object` accepts any object, and nothing else."""
        model = ScriptedModel(["[1]", '{"a": 1}'])
        client = await talk(Agent(model, "a"))
        made = await client.create(text={"format": {"type": "json_object"}})

        assert made["output"][-1]["content"][0]["text"] == '{"a": 1}'
        assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f1"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0]"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "f", "defer_loading": True}]}, "tools[0]"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"background": True, "stream": True}, "background"),
        ({"background": True, "store": False}, "background"),
        ({"background": True, "tools": [WEATHER]}, "background"),
        ({"background": True, "temperature": 1}, "background"),
        ({"background": True, "text": {"format": {"type": "json_object"}}}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"top_p": 0.5}, "top_p"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "array"}}}}, "text.format"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"temprature": 1}, "temprature"),
    ],
)
async def test_what_is_refused(talk: Any, body: dict[str, Any], param: str) -> None:
    """An unsupported parameter is refused by name, before the model is asked."""
    model = ScriptedModel([])
    client = await talk(Agent(model, "a"))
    status, error = await client.refuse(**body)

    assert (status, error["param"]) == (404 if param == "previous_response_id" else 400, param)
    assert model.requests == []


async def test_what_changes_nothing(talk: Any) -> None:
    """Parameters for an agent's usual answer, and parameters without an effect, are accepted."""
    client = await talk(Agent(ScriptedModel(["x"]), "a"))
    made = await client.create(
        background=False,
        include=["reasoning.encrypted_content"],
        parallel_tool_calls=True,
        prompt_cache_key="k",
        reasoning={"effort": None, "summary": "auto"},
        safety_identifier="s",
        service_tier="auto",
        text={"format": {"type": "text"}},
        tool_choice="auto",
        tools=[],
        top_p=1,
        truncation="disabled",
    )

    assert (made["prompt_cache_key"], made["safety_identifier"], made["status"]) == ("k", "s", "completed")


async def test_a_run_that_waits_for_a_person(talk: Any) -> None:
    """A paused run has no answer: an error names the tools in question, whole and streamed."""

    @tool(approve=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    client = await talk(Agent(ScriptedModel([ToolCall("1", "pay")] * 2), "a", tools=[pay]))
    status, error = await client.refuse()
    streamed = await client.create(stream=True)

    assert (status, error["code"]) == (422, "paused")
    assert (streamed["status"], streamed["error"]["code"]) == ("failed", "paused")


class Shouting(Hook):
    """Changes each answer after the stream."""

    async def after_run(self, context: RunContext, content: str) -> str | None:
        return f"{content}!"


async def test_a_hook_that_adds_to_the_answer(talk: Any) -> None:
    """A hook's addition comes as the rest of the stream, once."""
    client = await talk(Agent(ScriptedModel(["Right", "Right"]), "a", hooks=[Shouting()]))
    streamed, whole = await client.create(stream=True), await client.create()

    assert streamed["output"][0]["content"][0]["text"] == "Right!"
    assert strip_ids(streamed["output"]) == strip_ids(whole["output"])


class Restarting:
    """A model that says something, takes the turn back, and says something again."""

    name = "restarting"

    def __init__(self, steps: Any) -> None:
        self._steps = steps

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Emit the steps; the answer is always the same."""
        for step in self._steps if emit is not None else ():
            assert emit is not None
            if step == "again":
                await emit(TurnRestarted("the line was cut"))
            else:
                await emit((ReasoningDelta if step[0] == "r" else TextDelta)(step[1]))
        return ModelResponse("Right.")
