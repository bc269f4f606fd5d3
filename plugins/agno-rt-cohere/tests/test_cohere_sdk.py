"""Cohere's own SDK against the bodies of these tests, in both directions.

The SDK runs in another process, because importing it takes seconds and loads another HTTP library.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import trio
from agno_rt_cohere import CohereModel
from agno_rt_cohere.facts import Facts
from agno_rt_cohere.wire import request_bytes

from agno_rt import Message, ModelRequest, ModelResponse, ModelSettings, ToolCall, tool
from agno_rt.events import Delta
from agno_rt.messages import Media, Usage
from agno_rt.testing import WireAnswer
from agno_rt.testing.wire.contract import CALLS, THOUGHTS
from agno_rt.testing.wire.server import WireReply, WireServer, open_wire_server
from agno_rt.wire.native import seal_native
from tests.servers.cohere_format import CohereFormat

ASK = """
import json, sys
import cohere

url, *hows = sys.argv[1:]
client = cohere.ClientV2(api_key="sk-0123456789abcdef", base_url=url, log_warning_experimental_features=False)
asked = dict(model="m", messages=[{"role": "user", "content": "Hi."}], request_options={"max_retries": 0})
for how in hows:
    try:
        if how == "stream":
            events = client.chat_stream(**asked)
            print(json.dumps([event.model_dump(mode="json", exclude_none=True) for event in events]))
        else:
            print(json.dumps(client.chat(**asked).model_dump(mode="json", exclude_none=True)))
    except cohere.core.ApiError as exc:
        print(json.dumps({"status": exc.status_code, "body": exc.body}))
"""

READ = """
import json, sys
import pydantic
from cohere import ChatMessageV2, CitationOptions, JsonObjectResponseFormatV2, Thinking, ToolV2
from cohere.core.unchecked_base_model import construct_type

def check(type_, value):
    # Unchecked models accept anything: what a model did not declare is in its extras.
    made = construct_type(type_=type_, object_=value)
    todo = [made]
    while todo:
        each = todo.pop()
        if isinstance(each, pydantic.BaseModel):
            assert not each.model_extra, (type(each), each.model_extra)
            todo += list(each.__dict__.values())
        elif isinstance(each, list):
            todo += each
    assert isinstance(made, pydantic.BaseModel), made
    return made.model_dump(mode="json", exclude_none=True, by_alias=True)

for line in sys.stdin:
    body = json.loads(line)
    seen = {"messages": [check(ChatMessageV2, message) for message in body["messages"]]}
    for name, type_ in (("thinking", Thinking), ("citation_options", CitationOptions)):
        if name in body:
            seen[name] = check(type_, body[name])
    if "response_format" in body:
        seen["response_format"] = check(JsonObjectResponseFormatV2, body["response_format"])
    if "tools" in body:
        seen["tools"] = [check(ToolV2, each) for each in body["tools"]]
    print(json.dumps(seen))
"""


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


async def run_sdk(program: str, *arguments: str, stdin: bytes = b"") -> list[Any]:
    """Run a program with the SDK, and return the values that it printed."""
    done = await trio.run_process([sys.executable, "-c", program, *arguments], stdin=stdin, capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


async def ask_plugin(server: WireServer, *, stream: bool) -> ModelResponse:
    """Return the plugin's answer of the server."""

    async def discard(delta: Delta) -> None:
        """Drop the delta."""

    model = CohereModel("m", base_url=server.url)
    try:
        return await model.respond(ModelRequest((Message("user", "Hi."),)), discard if stream else None)
    finally:
        await model.aclose()


def join_events(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the events that the SDK read as one answer."""
    found: dict[str, Any] = {"text": "", "thinking": "", "calls": {}}
    for event in events:
        message = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "content-delta":
                for kind in ("text", "thinking"):
                    found[kind] += message["content"].get(kind, "")
            case "tool-call-start":
                found["calls"][event["index"]] = [message["tool_calls"]["function"]["name"], ""]
            case "tool-call-delta":
                found["calls"][event["index"]][1] += message["tool_calls"]["function"]["arguments"]
            case "message-end":
                found |= event["delta"]
    return found


async def test_the_same_answer() -> None:
    """The SDK and the plugin read the same texts, thoughts, calls, reason and counts, whole and streamed."""
    answer = WireAnswer("Look — 맑음.", THOUGHTS[:1], CALLS, Usage(26, 9, 0, 3), "tool_calls")
    format_ = CohereFormat()
    whole = WireReply((format_.render_answer(answer),))
    streamed = WireReply(tuple(format_.render_stream(answer)), content_type=format_.stream_type)
    async with open_wire_server(whole, streamed, whole, streamed) as server:
        read_whole, events = await run_sdk(ASK, server.url, "whole", "stream")
        ours = [await ask_plugin(server, stream=stream) for stream in (False, True)]
    message = read_whole["message"]
    blocks = {block["type"]: block for block in message["content"]}
    calls = [[call["function"]["name"], call["function"]["arguments"]] for call in message["tool_calls"]]
    read_stream = join_events(events)
    for response in ours:
        assert response.content == blocks["text"]["text"] == read_stream["text"] == answer.text
        assert response.reasoning == blocks["thinking"]["thinking"] == read_stream["thinking"]
        assert [[call.name, call.arguments] for call in response.tool_calls] == calls
        assert calls == list(read_stream["calls"].values())
        for read in (read_whole, read_stream):
            assert read["finish_reason"] == "TOOL_CALL"
            assert read["usage"]["tokens"]["input_tokens"] == response.usage.input_tokens
            assert read["usage"]["tokens"]["output_tokens"] == response.usage.output_tokens
            assert read["usage"]["cached_tokens"] == response.usage.cached_tokens
    assert read_whole["id"] == ours[0].request_id == ours[1].request_id


async def test_the_same_errors() -> None:
    """The SDK reads a refusal of these tests as an error with the same words."""
    refused = WireReply((CohereFormat().render_error(429, "slow down"),), 429)
    async with open_wire_server(refused) as server:
        [read] = await run_sdk(ASK, server.url, "whole")
    assert (read["status"], read["body"]["message"]) == (429, "slow down")


async def test_the_sdk_reads_the_requests() -> None:
    """Everything that the plugin sends is in the SDK's types."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Seoul"}'}}
    own = {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call]}
    calls = (ToolCall("a", "weather", '{"city": "Seoul"}'),)
    native = seal_native("cohere", json.dumps(own).encode(), "", calls)
    messages = (
        Message("system", "Be brief."),
        Message("user", ("See:", Media("image", "image/png", b"\x89PNG dot"))),
        Message("assistant", "", calls, None, None, "I look.", native),
        Message("tool", "Sun", (), "a", "weather"),
        Message("assistant", "It is sunny.", calls),
    )
    facts = Facts(thinking=500, citations="fast")
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    asked = (
        request_bytes(ModelRequest(messages, (weather,), settings=ModelSettings(0.5)), "m", facts, stream=True),
        request_bytes(ModelRequest(messages, output=schema), "m", Facts(thinking=False), stream=False),
    )
    read = await run_sdk(READ, stdin=b"\n".join(asked))
    for sent, seen in zip(map(json.loads, asked), read, strict=True):
        assert {name: sent[name] for name in seen} == seen
    assert set(read[0]) == {"messages", "thinking", "citation_options", "tools"}
    assert set(read[1]) == {"messages", "thinking", "response_format"}
