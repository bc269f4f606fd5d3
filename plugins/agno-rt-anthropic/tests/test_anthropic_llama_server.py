"""The client against a real server: llama.cpp's llama-server, which speaks the messages format, with a small model."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import trio
from agno_rt_anthropic import AnthropicModel, Server

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.events import Delta, TextDelta, ToolCallDelta
from agno_rt.models import Model
from agno_rt.testing import ModelContract

GREEDY = ModelSettings(temperature=0.0, max_tokens=8)
HELLO = ModelRequest((Message("user", "Say hello."),), settings=GREEDY)


class Collected:
    """An `emit` that keeps the deltas."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    async def __call__(self, delta: Delta) -> None:
        """Keep the delta."""
        self.deltas.append(delta)

    @property
    def text(self) -> str:
        """The text deltas, joined."""
        return "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))


@pytest.fixture
async def model(llama_url: str) -> AsyncIterator[AnthropicModel]:
    """The server's model, closed after the test."""
    model = AnthropicModel("smollm2", base_url=llama_url)
    yield model
    await model.aclose()


class TestContract(ModelContract):
    """The contract for models. The model never calls a tool unasked."""

    calls_tools = False

    @pytest.fixture(autouse=True)
    def _server(self, llama_url: str) -> None:
        self.url = llama_url

    def make_model(self) -> Model:
        """Make the server's model."""
        return AnthropicModel("smollm2", Server(base_url=self.url, output="prompt", max_tokens=64))


async def test_the_same_answer_streamed_or_not(model: AnthropicModel) -> None:
    """Greedy decoding gives the same answer and usage, whole or streamed in pieces."""
    whole, collected = await model.respond(HELLO), Collected()
    streamed = await model.respond(HELLO, collected)
    assert whole.content == streamed.content == collected.text
    assert len(collected.deltas) > 3
    assert whole.usage.input_tokens == streamed.usage.input_tokens > 5
    assert 0 < whole.usage.output_tokens <= 8
    assert whole.finish_reason == streamed.finish_reason


@tool
def weather(city: Literal["Paris", "Seoul"]) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


def calling() -> ModelRequest:
    """Make a request that leads even a small model to a tool call: after several calls, it continues another one."""
    messages: list[Message] = []
    for number, city in enumerate(("Paris", "Seoul", "Paris", "Seoul")):
        call = ToolCall(f"c{number}", "weather", json.dumps({"city": city}))
        messages += [Message("user", f"Weather in {city}?"), Message("assistant", ".", (call,))]
        messages += [Message("tool", f"Sun in {city}", (), call.id, "weather"), Message("assistant", f"Sun in {city}.")]
    # The server does not enforce a choice, so the answer is begun with the token that begins a call.
    messages += [Message("user", "Weather in Paris?"), Message("assistant", "<jupyter_code>")]
    return ModelRequest(messages, (weather,), settings=ModelSettings(temperature=0.0, max_tokens=60))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call(model: AnthropicModel, stream: bool) -> None:
    """A call has an id, the tool's name and fitting arguments; streamed, the pieces join to the call."""
    collected = Collected()
    response = await model.respond(calling(), collected if stream else None)
    [call] = response.tool_calls
    assert call.id
    assert call.name == "weather"
    assert isinstance(weather.decode(call.arguments), dict)
    assert response.finish_reason == "tool_calls"
    if stream:
        pieces = [delta for delta in collected.deltas if isinstance(delta, ToolCallDelta)]
        assert "".join(piece.arguments for piece in pieces) == call.arguments


async def test_a_history_with_calls(model: AnthropicModel) -> None:
    """A call with broken arguments and its result do not break the rest of the conversation."""
    history = (
        Message("system", "You are brief."),
        Message("user", "Weather in Seoul?"),
        Message("assistant", "", (ToolCall("c1", "weather", '{"city": '),)),
        Message("tool", "The arguments do not fit.", (), "c1", "weather"),
    )
    assert (await model.respond(ModelRequest(history, (weather,), settings=GREEDY))).content


async def test_cancelled_in_the_middle_of_a_stream(model: AnthropicModel, llama_url: str) -> None:
    """Cancelled streams free their slots: the server stops at once, and answers the next request."""
    endless = ModelRequest(
        (Message("user", "Count to a million."),), settings=ModelSettings(extra={"ignore_eos": True})
    )
    with trio.fail_after(60):
        for _ in range(3):
            with trio.CancelScope() as scope:

                async def emit(delta: Delta, scope: trio.CancelScope = scope) -> None:
                    scope.cancel()

                await model.respond(endless, emit)
            assert scope.cancelled_caught
        assert (await model.respond(HELLO)).content
        assert await all_free(llama_url)


async def all_free(url: str) -> bool:
    """Return True once all slots of the server are idle; the server may report late."""
    for _ in range(100):
        if not await trio.to_thread.run_sync(busy_slots, url):
            return True
        await trio.sleep(0.05)
    return False


def busy_slots(url: str) -> int:
    """Return the number of busy slots."""
    with urllib.request.urlopen(f"{url}/slots", timeout=10) as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


async def test_what_the_server_refuses(model: AnthropicModel) -> None:
    """A prompt beyond the context raises an error with the server's words, not worth a retry."""
    with pytest.raises(ModelError, match="exceeds the available context size") as caught:
        await model.respond(ModelRequest((Message("user", "word " * 5_000),)), Collected())
    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_through_the_runtime(llama_url: str) -> None:
    """A spec and settings lead to a streamed run on the real server."""
    settings = {"anthropic": {"servers": {"local": {"base_url": llama_url}}}}
    async with Runtime(settings=settings) as runtime:
        agent = Agent("anthropic:local:smollm2", instructions="You are brief.", settings=GREEDY)
        async with runtime.stream(agent, "Say hello.") as events:
            text = "".join([event.text async for event in events if isinstance(event, TextDelta)])
        assert events.result is not None
        assert events.result.content == text
        assert events.result.usage.output_tokens > 0
