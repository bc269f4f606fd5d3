"""The client against a real server: llama.cpp's llama-server with a small model."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import trio
from agno_rt_openai import OpenAIModel, Server

from agno_rt import Agent, Message, ModelRequest, ModelSettings, Runtime, ToolCall, media, tool
from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from agno_rt.models import Model
from agno_rt.testing import ModelContract

GREEDY = ModelSettings(temperature=0.0, max_tokens=8, seed=1)
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


@pytest.fixture(params=["chat", "responses"])
async def model(llama_url: str, request: pytest.FixtureRequest) -> AsyncIterator[OpenAIModel]:
    """The server's model behind each of the two APIs, closed after the test."""
    model = OpenAIModel("smollm2", Server(base_url=llama_url, api=request.param))
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
        return OpenAIModel("smollm2", base_url=self.url)


class TestContractOfResponses(TestContract):
    """The contract for models, through the responses API."""

    def make_model(self) -> Model:
        """Make the server's model."""
        return OpenAIModel("smollm2", Server(base_url=self.url, api="responses"))


async def test_the_same_answer_streamed_or_not(model: OpenAIModel) -> None:
    """Greedy decoding gives the same answer and usage, whole or streamed in pieces."""
    whole, collected = await model.respond(HELLO), Collected()
    streamed = await model.respond(HELLO, collected)
    assert whole.content == streamed.content == collected.text
    assert len(collected.deltas) > 3
    assert whole.usage == streamed.usage
    assert whole.usage.input_tokens > 5
    assert 0 < whole.usage.output_tokens <= 8


THINKS = 'root ::= "<think>\\nhm, " [a-c]+ "\\n</think>\\n\\nso"'


@pytest.mark.parametrize("reasoning_format", ["none", "deepseek"])
async def test_reasoning_comes_apart(model: OpenAIModel, reasoning_format: str) -> None:
    """With a model forced to write tags, reasoning is separate, whether the server splits the text or not."""
    settings = ModelSettings(
        temperature=0.0, max_tokens=40, extra={"grammar": THINKS, "reasoning_format": reasoning_format}
    )
    request, collected = ModelRequest((Message("user", "Think."),), settings=settings), Collected()
    whole, streamed = await model.respond(request), await model.respond(request, collected)
    assert whole.content == streamed.content == collected.text == "so"
    thought = "".join(delta.text for delta in collected.deltas if isinstance(delta, ReasoningDelta))
    assert whole.reasoning == streamed.reasoning == thought
    assert thought.startswith("hm, ")


async def test_an_image_for_a_model_that_is_blind(model: OpenAIModel) -> None:
    """The error for an image has the server's words; a text file is readable for any model."""
    picture = media.image("data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACwAAAAAAQABAAACAkQBADs=")
    with pytest.raises(ModelError, match="image input is not supported") as caught:
        await model.respond(ModelRequest((Message("user", ("What is this?", picture)),), settings=GREEDY))
    assert not caught.value.retryable or caught.value.status == 500
    notes = media.file(b"Hello, hello!", name="hello.txt")
    answer = await model.respond(ModelRequest((Message("user", ("Repeat this.", notes)),), settings=GREEDY))
    plain = Message("user", "Repeat this.\n\nhello.txt:\n\nHello, hello!")
    assert answer.content == (await model.respond(ModelRequest((plain,), settings=GREEDY))).content


@pytest.mark.parametrize("model", ["chat"], indirect=True)
async def test_structured_output(model: OpenAIModel) -> None:
    """The answer fits the requested schema. This server ignores schemas in its responses API."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "rivers": {"type": "integer", "maximum": 9}},
        "required": ["city", "rivers"],
        "additionalProperties": False,
    }
    question = (Message("user", "A city and the number of its rivers, as JSON."),)
    settings = ModelSettings(temperature=0.0, max_tokens=60)
    answer = await model.respond(ModelRequest(question, output=schema, settings=settings))
    value = json.loads(answer.content)
    assert set(value) == {"city", "rivers"}
    assert isinstance(value["rivers"], int)


@tool
def weather(city: Literal["Paris", "Seoul"]) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@tool
def clock() -> str:
    """The current time."""
    return "noon"


def calling(choice: str, url: str) -> ModelRequest:
    """Make a request that leads even a small model to a tool call."""
    # The model prefers to chat, and the server allows text. A bias towards the start of a call, and towards the end of
    # the text, makes the model write a call; the server enforces the schema.
    bias = [[token(url, "<jupyter_code>"), 100], [token(url, "<|im_end|>"), 150]]
    settings = ModelSettings(temperature=0.0, max_tokens=60, extra={"logit_bias": bias})
    return ModelRequest((Message("user", "Weather in Seoul?"),), (clock, weather), choice, settings=settings)


def token(url: str, text: str) -> int:
    """Return the model's token for the text."""
    body = json.dumps({"content": text, "parse_special": True}).encode()
    with urllib.request.urlopen(url.replace("/v1", "/tokenize"), body, timeout=10) as answer:
        [number] = json.load(answer)["tokens"]
    return int(number)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_required_tool_call(model: OpenAIModel, llama_url: str, stream: bool) -> None:
    """A call has an id, a tool's name and fitting arguments; streamed, the pieces join to the call."""
    collected = Collected()
    response = await model.respond(calling("required", llama_url), collected if stream else None)
    [call] = response.tool_calls
    assert call.id
    assert call.name in ("weather", "clock")
    assert isinstance((weather if call.name == "weather" else clock).decode(call.arguments), dict)
    if stream:
        pieces = [delta for delta in collected.deltas if isinstance(delta, ToolCallDelta)]
        assert "".join(piece.arguments for piece in pieces) == call.arguments


async def test_a_tool_chosen_by_name(model: OpenAIModel, llama_url: str) -> None:
    """The chosen tool is called, even if another tool fits the question."""
    response = await model.respond(calling("clock", llama_url))
    assert [call.name for call in response.tool_calls] == ["clock"]


async def test_a_history_with_broken_arguments(model: OpenAIModel) -> None:
    """Invalid arguments in the history do not break the rest of the conversation."""
    history = (
        Message("user", "Weather in Seoul?"),
        Message("assistant", "", (ToolCall("c1", "weather", '{"city": '),)),
        Message("tool", "The arguments do not fit.", (), "c1", "weather"),
    )
    assert (await model.respond(ModelRequest(history, settings=GREEDY))).content


async def test_cancelled_in_the_middle_of_a_stream(model: OpenAIModel, llama_url: str) -> None:
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
    with urllib.request.urlopen(url.replace("/v1", "/slots"), timeout=10) as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


async def test_several_at_once(model: OpenAIModel) -> None:
    """Six simultaneous streams over two connections each get their own whole answer."""
    answers: list[tuple[str, str]] = []

    async def ask(number: int) -> None:
        collected = Collected()
        question = (Message("user", f"Say hello {number} times."),)
        response = await model.respond(ModelRequest(question, settings=GREEDY), collected)
        answers.append((response.content, collected.text))

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(ask, number)
    assert len(answers) == 6
    assert all(content and content == text for content, text in answers)


async def test_what_the_server_refuses(model: OpenAIModel) -> None:
    """A prompt beyond the context raises an error with the server's words, not worth a retry."""
    with pytest.raises(ModelError, match="exceeds the available context size") as caught:
        await model.respond(ModelRequest((Message("user", "word " * 5_000),)), Collected())
    assert (caught.value.status, caught.value.retryable) == (400, False)


async def test_through_the_runtime(llama_url: str) -> None:
    """A spec and settings lead to a streamed run on the real server."""
    async with Runtime(settings={"openai": {"servers": {"local": {"base_url": llama_url}}}}) as runtime:
        agent = Agent("openai:local:smollm2", instructions="You are brief.", settings=GREEDY)
        async with runtime.stream(agent, "Say hello.") as events:
            text = "".join([event.text async for event in events if isinstance(event, TextDelta)])
        assert events.result is not None
        assert events.result.content == text
        assert events.result.usage.output_tokens > 0
