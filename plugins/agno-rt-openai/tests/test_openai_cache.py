"""Marks for OpenAI's prompt cache: where they are, that they stay, and who gets none.

Bodies as in OpenAI's API reference, "Create chat completion" and "Create a model response", `prompt_cache_options` and
`prompt_cache_breakpoint`.
"""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from agno_rt_openai import OpenAIModel, Server
from agno_rt_openai.facts import known_official
from agno_rt_openai.profile import choose

from agno_rt import Agent, Media, Message, ModelRequest, ModelSettings, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel, WireReply, open_wire_server

MARK = "prompt_cache_breakpoint"
EXPLICIT = {"mode": "explicit"}
BRIEF, HELLO = Message("system", "Be brief."), Message("user", "Hello")


@tool
async def read_page(number: int) -> str:
    """Read a page."""
    return f"page {number}"


async def send(messages: Sequence[Message], api: str = "chat", **given: Any) -> dict[str, Any]:
    """Return the body of the request that the model sends for the messages."""
    extra = given.pop("extra", {})
    async with open_wire_server(WireReply((b"{}",), 500)) as server:
        table = {"base_url": f"{server.url}/v1", "api": api, "cache_marks": True, **given}
        model = OpenAIModel("m", Server(**table))
        with pytest.raises(ModelError):
            await model.respond(ModelRequest(messages, settings=ModelSettings(extra=extra)))
        await model.aclose()
        return dict(server.requests[0].json())


def list_items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages or the items of a body."""
    return list(body.get("messages") or body["input"])


def list_marks(body: dict[str, Any]) -> list[int]:
    """Return the places of the marked messages; each mark is on the last part."""
    marks = []
    for at, item in enumerate(list_items(body)):
        parts = item.get("content") or item.get("output") or []
        marked = [MARK in part for part in parts] if isinstance(parts, list) else []
        assert not any(marked[:-1])
        if marked and marked[-1]:
            assert parts[-1][MARK] == EXPLICIT
            marks.append(at)
    return marks


def drop_marks(item: dict[str, Any]) -> bytes:
    """Return the item's JSON without its mark."""
    return json.dumps(item).replace(f', "{MARK}": {json.dumps(EXPLICIT)}', "").encode()


async def record_requests(count: int) -> list[ModelRequest]:
    """Return the requests of two runs of one session, whose turns have `count` calls each."""
    calls = [[ToolCall(f"c{turn}_{at}", "read_page", {"number": at}) for at in range(count)] for turn in range(4)]
    model = ScriptedModel([calls[0], calls[1], "Done.", calls[2], calls[3], "Bye."])
    agent = Agent(model, name="reader", instructions="You read.", tools=[read_page])
    async with Runtime() as runtime:
        await runtime.run(agent, "Read.", session="s")
        await runtime.run(agent, "Read on.", session="s")
    return list(model.requests)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("count", [1, 12])
async def test_a_mark_stays_where_the_last_request_had_one(api: str, count: int) -> None:
    """Trap M3: each request repeats the last one byte for byte up to a mark that both have, whatever the calls."""
    bodies = [await send(request.messages, api) for request in await record_requests(count)]
    assert len(bodies) == 6
    for before, after in itertools.pairwise(bodies):
        end = len(list_items(before)) - 1
        assert end in list_marks(before)
        assert end in list_marks(after)
        assert [*map(drop_marks, list_items(after))][: end + 1] == [*map(drop_marks, list_items(before))]
    for body in bodies:
        assert list_marks(body)[0] == 0
        assert len(list_marks(body)) <= 4
        assert body["prompt_cache_options"] == EXPLICIT


async def test_instructions_of_responses_are_the_first_item() -> None:
    """Only items have marks; instructions of the caller's own stay as they are."""
    body = await send([BRIEF, HELLO], "responses")
    assert "instructions" not in body
    first = {"role": "system", "content": [{"type": "input_text", "text": "Be brief.", MARK: EXPLICIT}]}
    assert body["input"][0] == first
    own = await send([HELLO], "responses", extra={"instructions": "Mine."})
    assert (own["instructions"], list_marks(own)) == ("Mine.", [0])


async def test_a_picture_is_marked_and_an_empty_text_is_not() -> None:
    """The mark is on the last part; a part without text would be refused."""
    picture = Message("user", ("Look.", Media("image", "image/png", b"\x89PNG")))
    assert list_marks(await send([BRIEF, picture])) == [0, 1]
    assert list_marks(await send([BRIEF, Message("user", "")])) == [0]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_who_gets_no_marks(api: str) -> None:
    """Other servers, a model of the time before, and a stored conversation; the caller's options come first."""
    assert MARK not in json.dumps(await send([BRIEF, HELLO], api, cache_marks=None))
    assert MARK not in json.dumps(await send([BRIEF, HELLO], "responses", store=True))
    options = {"mode": "implicit", "ttl": "30m"}
    assert (await send([HELLO], api, extra={"prompt_cache_options": options}))["prompt_cache_options"] == options


@pytest.mark.parametrize(
    ("model", "marks"),
    [("gpt-5.6-sol", True), ("gpt-6.2-astra", True), ("gpt-5.5", None), ("gpt-5", None), ("gpt-4.1", None)],
)
def test_models_with_marks(model: str, marks: bool | None) -> None:
    """GPT-5.6 and later have marks; a setting says otherwise."""
    assert known_official(model).cache_marks is marks
    name, _, server = choose(model, {"cache_marks": False})
    assert server.facts(name).cache_marks is False


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_the_sdk_knows_the_fields(api: str) -> None:
    """OpenAI's own SDK has the marks in the types of its parts, and the options in the parameters of its requests."""
    pytest.importorskip("openai")
    chat = api == "chat"
    part = importlib.import_module(
        "openai.types.chat.chat_completion_content_part_text_param"
        if chat
        else "openai.types.responses.response_input_text_content_param"
    )
    text = part.ChatCompletionContentPartTextParam if chat else part.ResponseInputTextContentParam
    params = importlib.import_module(
        "openai.types.chat.completion_create_params" if chat else "openai.types.responses.response_create_params"
    )
    base = params.CompletionCreateParamsBase if chat else params.ResponseCreateParamsBase
    body = await send([BRIEF, HELLO], api)
    for item in list_items(body):
        assert set(item["content"][-1]) <= set(text.__annotations__)
    assert set(body["prompt_cache_options"]) <= set(params.PromptCacheOptions.__annotations__)
    assert set(body) - {"stream"} <= set(base.__annotations__)
