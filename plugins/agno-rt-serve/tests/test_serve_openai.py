"""The official client talks to agents as if they were models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
import openai
import pytest
import trio

from agno_rt import Agent, ModelRequest, ModelResponse, ToolCall, Usage, tool
from agno_rt.errors import ModelError
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel

T = TypeVar("T")
URL = "/v1/chat/completions"


@tool
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sun in {city}"


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Run a function of the official client against a server, in a thread: it is a synchronous client."""

    async def call(served: Any, function: Callable[[openai.OpenAI], T]) -> T:
        def work() -> T:
            with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
                return function(client)

        return await trio.to_thread.run_sync(work)

    return call


def question(text: str = "Weather?") -> list[Any]:
    return [{"role": "user", "content": text}]


class TestOfficialClient:
    async def test_a_completion(self, serve_agents: Any, ask: Any) -> None:
        """An agent answers like a model; its tool calls stay its own, and its usage is reported."""
        model = ScriptedModel([ToolCall("c1", "weather", '{"city": "Seoul"}'), "Sunny."])
        served = await serve_agents(Agent(model, "forecaster", "Be brief.", tools=[weather]))
        conversation = [
            {"role": "developer", "content": "Speak plainly."},
            {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": "Hello."},
            *question(),
        ]
        answer = await ask(
            served,
            lambda client: client.chat.completions.create(
                model="forecaster", messages=conversation, temperature=0.1, max_tokens=9, user="ann"
            ),
        )

        choice = answer.choices[0]
        assert (choice.message.content, choice.message.role, choice.finish_reason) == ("Sunny.", "assistant", "stop")
        assert choice.message.tool_calls is None
        assert answer.model == "forecaster"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens == 4
        asked = [(message.role, message.content) for message in model.requests[0].messages]
        assert asked[-4:] == [
            ("system", "Speak plainly."),
            ("user", "Hi there"),
            ("assistant", "Hello."),
            ("user", "Weather?"),
        ]
        assert asked[0] == ("system", "Be brief.")

    async def test_an_answer_that_was_cut_off_says_so(self, serve_agents: Any, ask: Any) -> None:
        """The model's own reason to stop comes through, whole and streamed."""
        cut = ModelResponse("And so", finish_reason="length")
        served = await serve_agents(Agent(ScriptedModel([cut, cut]), "a"))

        def both(client: openai.OpenAI) -> list[Any]:
            whole = client.chat.completions.create(model="a", messages=question())
            chunks = list(client.chat.completions.create(model="a", messages=question(), stream=True))
            return [whole.choices[0].finish_reason, chunks[-1].choices[0].finish_reason]

        assert await ask(served, both) == ["length", "length"]

    async def test_a_stream(self, serve_agents: Any, ask: Any) -> None:
        """Text streams as it is written; the usage comes last where it was asked for."""
        first = ModelResponse("I look.", (ToolCall("c1", "weather", '{"city": "Seoul"}'),), usage=Usage(2, 3))
        served = await serve_agents(Agent(ScriptedModel([first, "It is sunny."]), "a", tools=[weather]))

        def stream(client: openai.OpenAI) -> list[Any]:
            options: Any = {"include_usage": True}
            return list(
                client.chat.completions.create(model="a", messages=question(), stream=True, stream_options=options)
            )

        chunks = await ask(served, stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "I look.\n\nIt is sunny."
        assert chunks[0].choices[0].delta.role == "assistant"
        assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 9)
        assert len({chunk.id for chunk in chunks}) == 1

    async def test_a_model_that_does_not_stream(self, serve_agents: Any, ask: Any) -> None:
        """An answer that came in one piece is streamed in one piece."""
        served = await serve_agents(Agent(InOnePiece(), "a"))

        def stream(client: openai.OpenAI) -> list[str | None]:
            chunks = client.chat.completions.create(model="a", messages=question(), stream=True)
            return [chunk.choices[0].delta.content for chunk in chunks]

        assert "All at once." in await ask(served, stream)

    async def test_models(self, serve_agents: Any, ask: Any) -> None:
        """The agents are listed as models, and each can be looked up."""
        served = await serve_agents(Agent(ScriptedModel([]), "a"), Agent(ScriptedModel([]), "b"))

        listed = await ask(served, lambda client: [model.id for model in client.models.list()])
        assert listed == ["a", "b"]
        assert (await ask(served, lambda client: client.models.retrieve("b"))).id == "b"

    async def test_errors(self, serve_agents: Any, ask: Any) -> None:
        """Errors come as the client's own exceptions, with what to do about them."""
        failure = ModelError("the model is away", hint="Wait for it.")
        served = await serve_agents(Agent(ScriptedModel([failure, failure]), "agent"))

        def create(client: openai.OpenAI, **more: Any) -> Any:
            return client.chat.completions.create(**({"model": "agent", "messages": question()} | more))

        with pytest.raises(openai.NotFoundError, match="Did you mean 'agent'") as missing:
            await ask(served, lambda client: create(client, model="agemt"))
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match="tools of the client are not supported") as refused:
            await ask(served, lambda client: create(client, tools=[{"type": "function", "function": {"name": "x"}}]))
        assert (refused.value.type, refused.value.param) == ("invalid_request_error", "tools")
        with pytest.raises(openai.InternalServerError, match="the model is away") as away:
            await ask(served, create)
        assert (away.value.status_code, away.value.code) == (502, "model")
        with pytest.raises(openai.APIError, match="the model is away"):
            await ask(served, lambda client: list(create(client, stream=True)))

    async def test_hanging_up_cancels_the_run(self, serve_agents: Any) -> None:
        """A client that stops reading its stream cancels the run."""
        cancelled = trio.Event()

        async def never(request: ModelRequest) -> str:
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()

        served = await serve_agents(Agent(ScriptedModel([never]), "a"))
        body = json.dumps({"model": "a", "messages": question(), "stream": True}).encode()
        async with await served.dial() as wire:
            head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % URL.encode()
            await wire.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (await wire.answer(head_only=True)).status == 200
        with trio.fail_after(30):
            await cancelled.wait()


class InOnePiece:
    """A model that emits nothing."""

    name = "in-one-piece"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        return ModelResponse("All at once.")


@pytest.mark.parametrize(
    ("body", "param", "named"),
    [
        ({"messages": []}, "messages", "no messages"),
        ({"messages": "hi"}, "messages", "array"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[].content", "content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]", "'robot'"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0]", "'tool'"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0]", "calls tools"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]",
            "'image_url'",
        ),
        ({"n": 2}, "n", "n is 2"),
        ({"functions": [{"name": "f"}]}, "functions", "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "json_object"),
        ({"modalities": ["text", "audio"]}, "modalities", "text"),
        ({"model": None}, "model", "str"),
    ],
)
async def test_what_is_refused(serve_agents: Any, body: dict[str, Any], param: str, named: str) -> None:
    """What an agent cannot do for a client is refused by name, in the shape that its API has for errors."""
    served = await serve_agents(Agent(ScriptedModel([]), "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        answer = await http.post(URL, json={"model": "a", "messages": question()} | body)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert set(error) == {"message", "type", "code", "param"}
    assert error["param"].replace("[0].content", "[].content") == param.replace("[0].content", "[].content")
    assert named in error["message"]


async def test_broken_requests(serve_agents: Any) -> None:
    """Broken JSON, a wrong content type, method or path are answered in the same shape."""
    served = await serve_agents(Agent(ScriptedModel([]), "a"))
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        as_json = {"Content-Type": "application/json"}
        answers = [
            await http.post(URL, content=b"{", headers=as_json),
            await http.post(URL, content=b"{}", headers={"Content-Type": "text/plain"}),
            await http.get(URL),
            await http.get("/v1/nothing"),
        ]

    assert [answer.status_code for answer in answers] == [400, 415, 405, 404]
    assert all(set(answer.json()["error"]) == {"message", "type", "code", "param"} for answer in answers)
