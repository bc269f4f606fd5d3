"""Anthropic's own SDK against the server of these tests: the server speaks the format that the SDK reads.

The SDK runs in another process, because importing it takes seconds and thousands of modules.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import trio
from agno_rt_anthropic import AnthropicModel, Server
from agno_rt_anthropic.answers import Reading, read_message
from agno_rt_anthropic.wire import request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, media, tool
from agno_rt.events import Delta
from agno_rt.wire.refusals import Peer
from tests.servers.messages_server import KEY, MessagesServer, Reply, Turn, error, event, events, sse

PROGRAM = """
import json, sys
import anthropic

url, key, *hows = sys.argv[1:]
client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
asked = dict(
    model="m", max_tokens=100, messages=[{"role": "user", "content": "Hi."}],
    tools=[{"name": "weather", "input_schema": {"type": "object"}}],
)
for how in hows:
    try:
        if how == "stream":
            with client.messages.stream(**asked) as events:
                for event in events:
                    pass
                answer = events.get_final_message()
        else:
            answer = client.messages.create(**asked)
        print(answer.model_dump_json(exclude_unset=True))
    except anthropic.APIStatusError as exc:
        print(json.dumps({"status": exc.status_code, "kind": exc.type, "request_id": exc.request_id}))
"""

CHECK = """
import json, sys, warnings
import pydantic
from anthropic.types import beta
from anthropic.types.beta import message_create_params
from typing_extensions import is_typeddict

warnings.simplefilter("ignore")
for name in dir(beta):
    if is_typeddict(each := getattr(beta, name)):
        each.__pydantic_config__ = {**getattr(each, "__pydantic_config__", {}), "extra": "forbid"}
names = {"text": "Text", "image": "Image", "document": "RequestDocument", "tool_use": "ToolUse"}
names |= {"tool_result": "ToolResult", "thinking": "Thinking", "redacted_thinking": "RedactedThinking"}
adapters = {type: pydantic.TypeAdapter(getattr(beta, f"Beta{name}BlockParam")) for type, name in names.items()}
whole = pydantic.TypeAdapter(message_create_params.MessageCreateParamsNonStreaming)

def check(value):
    # Iterables are validated while they are read.
    if isinstance(value, dict):
        for each in value.values():
            check(each)
    elif not isinstance(value, str) and hasattr(value, "__iter__"):
        for each in value:
            check(each)

for line in sys.stdin:
    body = json.loads(line)
    try:
        check(whole.validate_python(body))
        for message in body["messages"]:
            for block in message["content"]:
                check(adapters[block["type"]].validate_python(block))
        print()
    except pydantic.ValidationError as exc:
        print(json.dumps(str(exc)))
"""

BLOCKS = (
    {"type": "thinking", "thinking": "One é.", "signature": "c2ln+/=="},
    {"type": "text", "text": "Let me see."},
    {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Séoul"}},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "tool_use", "id": "b", "name": "weather", "input": {}},
)


@pytest.fixture
async def server(nursery: trio.Nursery) -> MessagesServer:
    """A listening server."""
    messages = MessagesServer()
    await nursery.start(messages.serve)
    return messages


@tool
def weather(city: str = "Seoul") -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


async def ask(url: str, *hows: str) -> list[dict[str, Any]]:
    """Return the SDK's answers, whole and streamed, or the errors that the SDK raised."""
    command = [sys.executable, "-c", PROGRAM, url, KEY, *hows]
    done = await trio.run_process(command, capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def discard(delta: Delta) -> None:
    """Drop the delta."""


async def test_the_same_answer(server: MessagesServer) -> None:
    """The SDK and this plugin read the same blocks, stop reason and counts, whole and streamed."""
    server.script = [Turn(BLOCKS, "tool_use")]
    model = AnthropicModel("m", base_url=server.url)
    for answer, emit in zip(await ask(server.url, "whole", "stream"), (None, discard), strict=True):
        blocks = [{key: value for key, value in block.items() if value is not None} for block in answer["content"]]
        assert blocks == [dict(block) for block in BLOCKS]
        response = await model.respond(ModelRequest((Message("user", "Hi."),)), emit)
        assert [(call.id, call.name, json.loads(call.arguments)) for call in response.tool_calls] == [
            (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ]
        assert (response.content, response.reasoning) == ("Let me see.", "One é.")
        assert (response.finish_reason, answer["stop_reason"]) == ("tool_calls", "tool_use")
        assert response.usage.output_tokens == answer["usage"]["output_tokens"]
    await model.aclose()


async def test_the_same_errors(server: MessagesServer) -> None:
    """The SDK reads a refusal as its documented kind, with the request's id, and an error event as an error, too."""
    fault = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    refusal = Reply(error(529, "overloaded_error", "Busy."))
    cut = Reply(sse(*map(event, [*list(events(Turn(BLOCKS)))[:5], fault])))
    server.script = [refusal, refusal, cut]
    whole, stream, within = await ask(server.url, "whole", "stream", "stream")
    assert whole == stream == {"status": 529, "kind": "overloaded_error", "request_id": "req_1"}
    assert within["kind"] == "overloaded_error"


def make_bodies() -> list[bytes]:
    """Make requests with every feature of the format that this plugin uses."""
    picture = media.image("data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=")
    paper = media.file(b"%PDF-1.4\n%%EOF\n", name="a.pdf")
    call = ToolCall("a", "weather", '{"city": "Seoul"}')
    thoughts = read_message(
        json.dumps({"content": BLOCKS, "stop_reason": "tool_use"}).encode(),
        Reading(peer=Peer(name="m", provider="m", model="m", url="u"), model="claude-sonnet-5-5"),
    )
    history = (
        Message("system", "You are brief."),
        Message("user", ("Look.", picture, paper, media.image("https://example.com/cat.png"))),
        Message("assistant", "I look.", (call,)),
        Message("tool", ("Here:", picture, paper), (), "a", "weather"),
        Message("assistant", thoughts.content, tuple(thoughts.tool_calls), native=thoughts.native),
        Message("tool", "", (), "a", "weather"),
        Message("tool", "Sun", (), "b", "weather"),
    )
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    edits = ({"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 9}},)
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    servers = (
        (Server(cache="1h", effort="low", server_tools=(search,)), "claude-sonnet-5-5"),
        (Server(thinking="off", context_management={"edits": edits}, parallel_tools=False), "claude-sonnet-5-5"),
        (Server(thinking=2_000), "claude-haiku-4-5"),
        (Server(), "claude-opus-4-8"),
    )
    settings = ModelSettings(temperature=0.5, max_tokens=4_000, stop=("END",))
    return [
        request_bytes(request, AnthropicModel(model, server).dialect, stream=False)
        for server, model in servers
        for request in (
            ModelRequest(history, (weather,), settings=ModelSettings(max_tokens=4_000)),
            ModelRequest(history, (weather,), "weather", output=schema, settings=settings),
            ModelRequest(history, (weather,), "none"),
            ModelRequest(history),
        )
    ]


async def test_requests_have_the_types_of_the_sdk() -> None:
    """Every field of a request, and of each block, is one that the SDK declares, with a value of the declared type."""
    bodies = make_bodies()
    assert sum(b"redacted_thinking" in body for body in bodies) == 8  # of the model that wrote them
    wrong = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "txt": ""}]}]}'
    known = [json.dumps({k: v for k, v in json.loads(body).items() if k != "temperature"}).encode() for body in bodies]
    done = await trio.run_process(
        [sys.executable, "-c", CHECK], stdin=b"\n".join([*known, wrong]), capture_stdout=True, capture_stderr=True
    )
    *results, refused = done.stdout.decode().split("\n")[: len(known) + 1]
    assert results == [""] * len(known)
    assert "Field required" in refused
