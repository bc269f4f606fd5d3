"""Google's own SDK against the server of these tests, and the plugin's requests against the SDK's types.

The SDK runs in another process, because importing it takes seconds and thousands of modules.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pytest
import trio
from agno_rt_google import GoogleModel, Server
from agno_rt_google.answers import Reading, read_content
from agno_rt_google.wire import request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, media, tool
from agno_rt.errors import ModelError
from agno_rt.events import Delta
from agno_rt.testing import WireReply, open_wire_server
from agno_rt.wire.refusals import Peer

KEY = "AIza-0123456789abcdef"
PROGRAM = """
import json, sys
from google import genai
from google.genai import errors, types

url, key, *hows = sys.argv[1:]
options = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
client = genai.Client(api_key=key, http_options=options, vertexai=False)
asked = dict(model="m", contents="Hi.")
for how in hows:
    try:
        if how == "stream":
            answers = list(client.models.generate_content_stream(**asked))
        else:
            answers = [client.models.generate_content(**asked)]
        print(json.dumps([each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in answers]))
    except errors.APIError as exc:
        print(json.dumps({"status": exc.code, "kind": exc.status, "message": exc.message}))
"""

CHECK = """
import json, sys
import pydantic
from google.genai import types

FIELDS = {
    "contents": pydantic.TypeAdapter(list[types.Content]),
    "systemInstruction": pydantic.TypeAdapter(types.Content),
    "tools": pydantic.TypeAdapter(list[types.Tool]),
    "toolConfig": pydantic.TypeAdapter(types.ToolConfig),
    "safetySettings": pydantic.TypeAdapter(list[types.SafetySetting]),
    "generationConfig": pydantic.TypeAdapter(types.GenerationConfig),
}
for line in sys.stdin:
    try:
        for name, value in json.loads(line).items():
            FIELDS[name].validate_json(json.dumps(value))
        print()
    except (KeyError, pydantic.ValidationError) as exc:
        print(json.dumps(repr(exc)))
"""

PARTS: list[dict[str, Any]] = [
    {"text": "One é.", "thought": True},
    {"text": "Let me see.", "thoughtSignature": "c2ln-_8="},
    {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Séoul"}}},
    {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "bW9yZQ=="},
]
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 17}


@tool
def weather(city: str = "Seoul") -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


def make_value(parts: list[dict[str, Any]], reason: str = "") -> dict[str, Any]:
    """Return an answer, or a value of a stream."""
    candidate = {"content": {"role": "model", "parts": parts}, **({"finishReason": reason} if reason else {})}
    value = {"candidates": [candidate], "responseId": "r1", "modelVersion": "m"}
    return {**value, "usageMetadata": USAGE} if reason else value


def reply(value: Any, status: int = 200) -> WireReply:
    """Return the reply with a whole body."""
    return WireReply((json.dumps(value).encode(),), status)


def stream(*values: Any) -> WireReply:
    """Return the reply with a stream."""
    events = tuple(b"data: %b\r\n\r\n" % json.dumps(value).encode() for value in values)
    return WireReply(events, content_type="text/event-stream")


WHOLE = reply(make_value(PARTS, "STOP"))
STREAM = stream(*(make_value([part]) for part in PARTS), make_value([], "STOP"))


async def ask(url: str, *hows: str) -> list[Any]:
    """Return the SDK's answers, whole and streamed, or the errors that the SDK raised."""
    command = [sys.executable, "-c", PROGRAM, url, KEY, *hows]
    done = await trio.run_process(command, capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def discard(delta: Delta) -> None:
    """Drop the delta."""


async def test_the_same_answer() -> None:
    """The SDK and this plugin read the same parts, reason and counts, whole and streamed, and send alike."""
    async with open_wire_server(WHOLE, STREAM, WHOLE, STREAM) as server:
        answers = await ask(server.url, "whole", "stream")
        model = GoogleModel("m", Server(base_url=server.url, api_key=KEY, version="v1"))
        responses = [await model.respond(ModelRequest((Message("user", "Hi."),)), emit) for emit in (None, discard)]
        await model.aclose()
    for chunks, response in zip(answers, responses, strict=True):
        parts = [part for each in chunks for part in each["candidates"][0].get("content", {}).get("parts", ())]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        assert [(call.name, json.loads(call.arguments)) for call in response.tool_calls] == [
            (call["name"], call["args"]) for call in calls
        ]
        assert (response.content, response.reasoning) == ("Let me see.", "One é.")
        assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
        counted = chunks[-1]["usageMetadata"]
        assert response.usage.output_tokens == counted["candidatesTokenCount"] + counted["thoughtsTokenCount"]
        signatures = [
            base64.urlsafe_b64decode(part["thoughtSignature"]) for part in parts if "thoughtSignature" in part
        ]
        assert signatures == [b"sig\xfb\xff", b"more"]
    for theirs, ours in zip(server.requests[:2], server.requests[2:], strict=True):
        assert theirs.path == ours.path
        assert theirs.headers["x-goog-api-key"] == ours.headers["x-goog-api-key"] == KEY
        assert theirs.json()["contents"] == ours.json()["contents"]


async def test_the_same_errors() -> None:
    """The SDK and this plugin read a refusal with the same status and words."""
    error = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}
    async with open_wire_server(reply(error, 429)) as server:
        theirs = await ask(server.url, "whole", "stream")
        model = GoogleModel("m", base_url=server.url, api_key=KEY)
        with pytest.raises(ModelError, match="Slow down") as caught:
            await model.respond(ModelRequest((Message("user", "Hi."),)))
        await model.aclose()
    assert theirs == [{"status": 429, "kind": "RESOURCE_EXHAUSTED", "message": "Slow down."}] * 2
    assert caught.value.status == 429


def make_bodies() -> list[bytes]:
    """Make requests with every feature of the format that this plugin uses."""
    picture = media.image("data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=")
    paper = media.file(b"%PDF-1.4\n%%EOF\n", name="a.pdf")
    peer = Peer(name="m", provider="m", model="m", url="u")
    body = json.dumps(make_value(PARTS, "STOP")).encode()
    thoughts = read_content(body, Reading(peer=peer, model="gemini-3.8-flash"))
    history = (
        Message("system", "You are brief."),
        Message("user", ("Look.", picture, paper, media.image("https://example.com/cat.png"))),
        Message("assistant", "I look.", (ToolCall("a", "weather", '{"city": "Seoul"}'),)),
        Message("tool", ("Here:", picture, paper), (), "a", "weather"),
        Message("assistant", thoughts.content, tuple(thoughts.tool_calls), native=thoughts.native),
        *(Message("tool", "Sun", (), call.id, call.name) for call in thoughts.tool_calls),
    )
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    harm = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}
    settings = ModelSettings(temperature=0.5, max_tokens=4_000, seed=3, stop=("END",))
    servers = (
        (Server(thinking="low", safety_settings=(harm,)), "gemini-3.8-flash"),
        (Server(thinking=2_000, server_tools=({"googleSearch": {}},)), "gemini-2.5-flash"),
    )
    return [
        request_bytes(request, GoogleModel(model, server).dialect)
        for server, model in servers
        for request in (
            ModelRequest(history, (weather,), settings=settings),
            ModelRequest(history, (weather,), "weather", output=schema),
            ModelRequest(history, (weather,), "none"),
            ModelRequest(history, output=schema),
        )
    ]


async def test_requests_have_the_types_of_the_sdk() -> None:
    """Every field of a request is one that the SDK declares, with a value of the declared type."""
    bodies = make_bodies()
    assert sum(b"c2ln-_8=" in body for body in bodies) == 4  # of the model that wrote them
    wrong = [b'{"contents": [{"role": "user", "parts": [{"txt": ""}]}]}', b'{"contnts": []}']
    done = await trio.run_process(
        [sys.executable, "-c", CHECK], stdin=b"\n".join([*bodies, *wrong]), capture_stdout=True, capture_stderr=True
    )
    *results, first, second = done.stdout.decode().split("\n")[: len(bodies) + len(wrong)]
    assert results == [""] * len(bodies)
    assert "txt" in first
    assert "contnts" in second
