"""Ollama's own SDK against the bodies of these tests, in both directions.

The SDK runs in another process, because importing it takes long and loads another HTTP library.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import trio
from agno_rt_ollama import OllamaModel
from agno_rt_ollama.profile import Facts
from agno_rt_ollama.wire import request_bytes

from agno_rt import Message, ModelRequest, ModelSettings, ToolCall, tool
from agno_rt.events import Delta
from agno_rt.messages import Media, Usage
from agno_rt.models import ModelResponse
from agno_rt.testing import WireAnswer
from agno_rt.testing.wire.contract import CALLS, THOUGHTS
from agno_rt.testing.wire.server import WireReply, WireServer, open_wire_server
from tests.servers.ollama_format import PULL_STEPS, PULLED, OllamaFormat

ASK = """
import json, sys
import ollama

url, *hows = sys.argv[1:]
client = ollama.Client(host=url)
for how in hows:
    try:
        if how == "stream":
            parts = list(client.chat("m", [{"role": "user", "content": "Hi."}], stream=True))
            print(json.dumps([part.model_dump(mode="json", exclude_none=True) for part in parts]))
        elif how == "pull":
            parts = list(client.pull("m", stream=True))
            print(json.dumps([part.model_dump(mode="json", exclude_none=True) for part in parts]))
        else:
            answer = client.chat("m", [{"role": "user", "content": "Hi."}])
            print(json.dumps([answer.model_dump(mode="json", exclude_none=True)]))
    except ollama.ResponseError as exc:
        print(json.dumps({"error": exc.error, "status": exc.status_code}))
"""

READ = """
import json, sys
from ollama import Message
from ollama._types import ChatRequest

for line in sys.stdin:
    body = json.loads(line)
    for message in body["messages"]:
        if "images" in message:
            message["images"] = [{"value": image} for image in message["images"]]
    # The type of a request accepts any objects as messages.
    body["messages"] = [Message(**message) for message in body["messages"]]
    print(json.dumps(ChatRequest(**body).model_dump(mode="json", exclude_none=True)))
"""


@tool
def weather(city: str, days: int = 1) -> str:
    """Current weather in a city."""
    return f"Sun in {city} for {days}"


async def run_sdk(program: str, *arguments: str, stdin: bytes = b"") -> list[Any]:
    """Run a program with the SDK, and return the values that it printed."""
    done = await trio.run_process([sys.executable, "-c", program, *arguments], stdin=stdin, capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def ask_plugin(server: WireServer, *, stream: bool) -> ModelResponse:
    """Return the plugin's answer of the server."""

    async def discard(delta: Delta) -> None:
        """Drop the delta."""

    model = OllamaModel("m", base_url=server.url)
    try:
        return await model.respond(ModelRequest((Message("user", "Hi."),)), discard if stream else None)
    finally:
        await model.aclose()


async def test_the_same_answer() -> None:
    """The SDK and the plugin read the same texts, thoughts, calls, reason and counts, whole and streamed."""
    answer = WireAnswer("Look — 맑음.", THOUGHTS[:1], CALLS, Usage(26, 9), "tool_calls")
    whole = WireReply((OllamaFormat().render_answer(answer),))
    streamed = WireReply(tuple(OllamaFormat().render_stream(answer)), content_type=OllamaFormat.stream_type)
    async with open_wire_server(whole, streamed, whole, streamed) as server:
        read = await run_sdk(ASK, server.url, "whole", "stream")
        ours = [await ask_plugin(server, stream=stream) for stream in (False, True)]
    for parts, response in zip(read, ours, strict=True):
        messages = [part["message"] for part in parts]
        assert "".join(each.get("content", "") for each in messages) == response.content == answer.text
        assert "".join(each.get("thinking", "") for each in messages) == response.reasoning
        calls = [call["function"] for each in messages for call in each.get("tool_calls", ())]
        assert [(call["name"], call["arguments"]) for call in calls] == [
            (call.name, json.loads(call.arguments or "{}")) for call in response.tool_calls
        ]
        assert (parts[-1]["done"], parts[-1]["done_reason"]) == (True, "stop")
        assert (parts[-1]["prompt_eval_count"], parts[-1]["eval_count"]) == (
            response.usage.input_tokens,
            response.usage.output_tokens,
        )


async def test_the_same_errors() -> None:
    """The SDK reads the errors of these tests as errors: a refusal, and a line of a stream."""
    format_ = OllamaFormat()
    refused = WireReply((format_.render_error(404, "model 'm' not found"),), 404)
    broken = WireReply((format_.render_stream_error("crashed"),), content_type=format_.stream_type)
    async with open_wire_server(refused, broken) as server:
        read = await run_sdk(ASK, server.url, "whole", "stream")
    assert [each["error"] for each in read] == ["model 'm' not found", "crashed"]
    assert read[0]["status"] == 404


async def test_the_same_steps_of_a_download() -> None:
    """The SDK reads the steps that the tests of downloads play."""
    async with open_wire_server(PULLED) as server:
        [read] = await run_sdk(ASK, server.url, "pull")
    assert read == list(PULL_STEPS)


async def test_the_sdk_reads_the_requests() -> None:
    """Nothing that the plugin sends is lost on the SDK's types, except the ids, which only the server knows."""
    image = Media("image", "image/png", b"\x89PNG dot")
    calls = (ToolCall("a", "weather", '{"city": "Seoul"}'),)
    messages = (
        Message("system", "Be brief."),
        Message("user", ("See:", image)),
        Message("assistant", "I look.", calls, reasoning="Hm."),
        Message("tool", "Sun", (), "a", "weather"),
    )
    settings = ModelSettings(0.5, 64, 7, "END")
    facts = Facts(num_ctx=8_192, keep_alive="1h", think="high", options={"top_k": 20})
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    asked = (
        request_bytes(ModelRequest(messages, (weather,), settings=settings), "m", facts, stream=True),
        request_bytes(ModelRequest(messages, output=schema), "m", facts, stream=False),
    )
    read = await run_sdk(READ, stdin=b"\n".join(asked))
    for sent, seen in zip(map(json.loads, asked), read, strict=True):
        assert _lose_ids(sent) == seen


def _lose_ids(sent: dict[str, Any]) -> dict[str, Any]:
    """Return the request without the fields that the SDK's types leave out."""
    for message in sent["messages"]:
        message.pop("tool_call_id", None)
        for call in message.get("tool_calls", ()):
            call.pop("id")
    for each in sent.get("tools", ()):
        parameters = each["function"]["parameters"]
        parameters.pop("additionalProperties", None)
        for property_ in parameters["properties"].values():
            property_.pop("default", None)
            property_.pop("title", None)
    return sent
