"""OpenAI's own SDK reads what the tests' servers send, so the tests' bodies are in the format.

The SDK takes most of a second to import, so it is imported by the test that needs it, and skipped where it is missing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno_rt_openai import OpenAIModel, Server

from agno_rt import Message, ModelRequest, tool
from agno_rt.testing import WireReply, open_wire_server

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}


def make_response(*output: dict[str, Any]) -> dict[str, Any]:
    """Make a response object with all fields that the reference requires."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-5",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE,
    }


def make_message(text: str) -> dict[str, Any]:
    """Make a message item."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Oslo"}',
}


@tool(inline=True)
def weather(city: str) -> str:
    """The weather."""
    return city


async def test_the_sdk_and_the_plugin_read_the_same() -> None:
    """A whole response, a stream and a call mean the same to the SDK and to the plugin."""
    openai = pytest.importorskip("openai")
    events = [
        {"type": "response.output_text.delta", "sequence_number": 1, **PLACE, "delta": "Hé"},
        {"type": "response.output_text.delta", "sequence_number": 2, **PLACE, "delta": "llo"},
        {"type": "response.completed", "sequence_number": 3, "response": make_response(make_message("Héllo"))},
    ]
    lines = tuple(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)
    stream = WireReply(lines, content_type="text/event-stream")
    whole = WireReply((json.dumps(make_response(CALL)).encode(),))
    asked = ModelRequest((Message("user", "Hi."),), (weather,))

    async def ignore(delta: object) -> None:
        """Drop the delta."""

    async with open_wire_server(stream, whole, stream, whole) as server:
        async with openai.AsyncOpenAI(api_key="sk-0123456789", base_url=server.url, max_retries=0) as sdk:
            pieces = await sdk.responses.create(model="gpt-5", input="Hi.", stream=True)
            text = "".join([event.delta async for event in pieces if event.type == "response.output_text.delta"])
            answer = await sdk.responses.create(model="gpt-5", input="Hi.")
        model = OpenAIModel("gpt-5", Server(base_url=server.url, api="responses"))
        streamed, called = await model.respond(asked, ignore), await model.respond(asked)
        await model.aclose()
    assert text == streamed.content == "Héllo"
    [item] = answer.output
    [call] = called.tool_calls
    assert (item.call_id, item.name, item.arguments) == (call.id, call.name, call.arguments)
    assert answer.usage.total_tokens == called.usage.total_tokens == 5
    # The two send the same fields for the same question.
    by_sdk, by_plugin = server.requests[1].json(), server.requests[3].json()
    assert server.requests[1].path == server.requests[3].path == "/responses"
    assert by_sdk.keys() <= by_plugin.keys()


async def test_the_sdk_accepts_what_the_plugin_sends() -> None:
    """The plugin's request, given to the SDK as parameters, leaves the SDK unchanged: each field is in the format."""
    openai = pytest.importorskip("openai")
    whole = WireReply((json.dumps(make_response(make_message("Hi."))).encode(),))
    asked = ModelRequest((Message("system", "Be brief."), Message("user", "Hi.")), (weather,), "weather")
    async with open_wire_server(whole) as server:
        model = OpenAIModel("gpt-5", Server(base_url=server.url, api="responses", tool_choice="name"))
        await model.respond(asked)
        await model.aclose()
        sent = server.requests[0].json()
        async with openai.AsyncOpenAI(api_key="sk-0123456789", base_url=server.url, max_retries=0) as sdk:
            await sdk.responses.create(**sent)
    assert server.requests[1].json() == sent
