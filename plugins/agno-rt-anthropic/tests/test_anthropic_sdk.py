"""Anthropic's own SDK against the server of these tests: the server speaks the format that the SDK reads.

The SDK runs in another process, because importing it takes seconds and thousands of modules.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import trio
from agno_rt_anthropic import AnthropicModel

from agno_rt import Message, ModelRequest
from agno_rt.events import Delta
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
