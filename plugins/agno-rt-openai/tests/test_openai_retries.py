"""Streams that break within retries, fallbacks and deadlines of a run, over a real socket, for both APIs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from agno_rt import Agent, Event, Fallback, Limits, ModelSettings, Retry, Runtime, tool
from agno_rt.errors import DeadlineExceeded
from agno_rt.events import TextDelta, ToolStarted, TurnRestarted
from agno_rt.testing import WireReply, WireServer, open_wire_server
from agno_rt.testing.wire.server import Ending

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def event(value: dict[str, Any]) -> bytes:
    """Make an event."""
    return f"data: {json.dumps(value)}\n\n".encode()


def text(piece: str, api: str) -> bytes:
    """Make an event with a piece of text."""
    if api == "responses":
        return event({"type": "response.output_text.delta", "output_index": 0, "delta": piece})
    return event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})


def call(arguments: str, api: str) -> list[bytes]:
    """Make events with a call to the tool, without the end of the answer."""
    if api == "responses":
        item = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "send", "arguments": ""}
        return [
            event({"type": "response.output_item.added", "output_index": 0, "item": item}),
            event({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": arguments}),
        ]
    function = {"name": "send", "arguments": arguments}
    calls = [{"index": 0, "id": "c1", "type": "function", "function": function}]
    return [event({"choices": [{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": None}]})]


def end(api: str, said: str = "", calls: bool = False) -> list[bytes]:
    """Make the events that end an answer."""
    if api == "responses":
        content = [{"type": "output_text", "text": said}]
        output = [{"id": "msg_1", "type": "message", "role": "assistant", "content": content}] if said else []
        body = {"id": "r", "object": "response", "status": "completed", "output": output, "usage": USAGE}
        return [event({"type": "response.completed", "response": body})]
    return [event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})]


def stream(pieces: list[bytes], ending: Ending = "whole") -> WireReply:
    """Make a reply with a stream."""
    return WireReply(tuple(pieces), content_type="text/event-stream", ending=ending)


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    """A listening server."""
    async with open_wire_server() as server:
        yield server


@pytest.fixture(params=["chat", "responses"])
async def api(request: pytest.FixtureRequest) -> str:
    """The API to ask."""
    return str(request.param)


def open_runtime(server: WireServer, api: str, **limits: Any) -> Runtime:
    """Make a runtime whose server `s` is the test's."""
    return Runtime(
        settings={"openai": {"servers": {"s": {"base_url": server.url, "api": api}}}}, limits=Limits(**limits)
    )


ran: list[str] = []


@tool(inline=True)
def send(to: str) -> str:
    """Send a letter."""
    ran.append(to)
    return "Sent."


async def read(runtime: Runtime, agent: Agent) -> tuple[list[Event], str, list[str]]:
    """Run in a session; return the events, the answer and the texts that the session keeps of the model."""
    async with runtime.stream(agent, "Go.", session="s") as events:
        seen = [event async for event in events]
    assert events.result is not None
    kept = [message.text for message in events.result.messages if message.role == "assistant"]
    return seen, str(events.result.content), kept


@pytest.mark.parametrize("wrapper", ["retry", "fallback"])
@pytest.mark.parametrize("ending", ["cut", "reset", "whole"])
async def test_a_text_that_breaks_off_is_begun_anew(server: WireServer, api: str, wrapper: str, ending: Ending) -> None:
    """An event voids the broken beginning: the deltas after it are the answer, and one copy is kept."""
    server.play(
        stream([text("The sun ", api), text("shi", api)], ending),
        stream([text("The sun ", api), text("shines.", api), *end(api, "The sun shines.")]),
    )
    model = Retry("openai:s:m", wait=0.0) if wrapper == "retry" else Fallback("openai:s:m", "openai:s:other")
    async with open_runtime(server, api) as runtime:
        seen, content, kept = await read(runtime, Agent(model))
    restarts = [at for at, event in enumerate(seen) if isinstance(event, TurnRestarted)]
    assert len(restarts) == 1
    assert "".join(event.text for event in seen[restarts[0] :] if isinstance(event, TextDelta)) == content
    assert content == "The sun shines."
    assert kept == [content]


async def test_a_call_that_breaks_off_is_not_run(server: WireServer, api: str) -> None:
    """Half a call never runs, though its arguments so far are JSON; the call of the retry runs once."""
    ran.clear()
    server.play(
        stream(call('{"to": "Ann"}', api), "cut"),
        stream([*call('{"to": "Bob"}', api), *end(api, calls=True)]),
        stream([text("Sent.", api), *end(api, "Sent.")]),
    )
    async with open_runtime(server, api) as runtime:
        seen, content, _ = await read(runtime, Agent(Retry("openai:s:m", wait=0.0), tools=(send,)))
    assert ran == ["Bob"]
    assert len([event for event in seen if isinstance(event, ToolStarted)]) == 1
    assert content == "Sent."


@pytest.mark.parametrize("beginning", [True, False])
async def test_a_stream_that_stalls_ends_by_the_idle_deadline(server: WireServer, api: str, beginning: bool) -> None:
    """The run ends, before and within an answer; the server sees the connection closed."""
    server.play(stream([] if beginning else [text("The", api)], "stall"))
    async with open_runtime(server, api, idle_timeout=0.2) as runtime:
        with trio.fail_after(60), pytest.raises(DeadlineExceeded, match="idle_timeout"):
            await read(runtime, Agent("openai:s:m", settings=ModelSettings(max_tokens=9)))
        with trio.fail_after(60):
            await server.wait_idle()
