"""Requests of the chat completions format: settings, and tools of the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
import openai
import pytest
import trio

from agno_rt import Agent, Hook, Message, ModelResponse, ModelSettings, RunContext, ToolCall, tool
from agno_rt.testing import ScriptedModel

T = TypeVar("T")
URL = "/v1/chat/completions"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Current weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "strict": True,
    },
}
CALL = ToolCall("c1", "weather", '{"city": "Seoul"}')
OTHER = ToolCall("c2", "weather", '{"city": "Oslo"}')


def nested(depth: int) -> Any:
    """Return a tool whose parameters are objects nested so many deep."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth // 2):
        schema = {"type": "object", "properties": {"x": schema}}
    return {"type": "function", "function": {"name": "x", "parameters": schema}}


@tool
def clock() -> str:
    """The time."""
    return "noon"


def question(text: str = "Weather?") -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def ask(serve_agents: Any) -> Callable[..., Any]:
    """Serve an agent named a, and run a function of the official client against it."""

    async def call(agent: Agent, function: Callable[[Callable[..., Any]], T]) -> T:
        served = await serve_agents(agent)

        def work() -> T:
            with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
                return function(lambda **more: client.chat.completions.create(model="a", **more))

        return await trio.to_thread.run_sync(work)

    return call


async def answer(serve_agents: Any, agent: Agent, body: Any) -> httpx2.Response:
    served = await serve_agents(agent)
    async with httpx2.AsyncClient(base_url=served.url, timeout=30, verify=False) as http:
        return await http.post(URL, json={"model": "a", "messages": question()} | body)


class TestSettings:
    @pytest.mark.parametrize(
        ("body", "own", "expected"),
        [
            ({}, {"temperature": 0.5}, {"temperature": 0.5}),
            ({"temperature": 2}, {"temperature": 0.5}, {"temperature": 2}),
            ({"temperature": 0}, {}, {"temperature": 0}),
            ({"temperature": None, "stop": None}, {"temperature": 0.5}, {"temperature": 0.5}),
            ({"max_tokens": 9}, {}, {"max_tokens": 9}),
            ({"max_completion_tokens": 9}, {"max_tokens": 20}, {"max_tokens": 9}),
            ({"max_tokens": 99}, {"max_tokens": 20}, {"max_tokens": 20}),
            ({"max_tokens": 9, "max_completion_tokens": 8}, {}, {"max_tokens": 8}),
            ({"seed": -(2**63)}, {"seed": 1}, {"seed": -(2**63)}),
            ({"stop": "a"}, {}, {"stop": ("a",)}),
            ({"stop": ["a", "b"]}, {"stop": ("b", "c")}, {"stop": ("b", "c", "a")}),
        ],
    )
    async def test_that_are_honoured(self, serve_agents: Any, body: Any, own: Any, expected: Any) -> None:
        """A client's settings reach the model for this run alone; the agent's bound of tokens is not raised."""
        model = ScriptedModel(["x", "x"])
        agent = Agent(model, "a", settings=ModelSettings(**own))

        assert (await answer(serve_agents, agent, body)).status_code == 200
        assert model.requests[0].settings == ModelSettings(**expected)
        assert (await answer(serve_agents, agent, {})).status_code == 200
        assert model.requests[1].settings == ModelSettings(**own)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("temperature", value) for value in (99, 2.001, -0.001, "hot", True)),
            *(("max_tokens", value) for value in (0, -1, 1.5, 2**31)),
            *(("max_completion_tokens", value) for value in (0, "9")),
            *(("stop", value) for value in ("", [""], ["a", "b", "c", "d", "e"], 5)),
            *(("seed", value) for value in (2**63, 1.5, "1")),
            *(("top_p", value) for value in (0.5, 0, 1.1, -1)),
            *(("n", value) for value in (0, 2, 129)),
            *(("frequency_penalty", value) for value in (0.1, 3)),
            *(("presence_penalty", value) for value in (-0.1, -3)),
            *(("logprobs", value) for value in (True, 1)),
            *(("top_logprobs", value) for value in (1, 21, -1)),
            ("logit_bias", {"50256": -100}),
            *(("response_format", {"type": kind}) for kind in ("json_schema", "xml")),
            ("modalities", ["text", "audio"]),
            ("audio", {"voice": "alloy", "format": "wav"}),
            ("functions", [{"name": "f"}]),
            ("function_call", {"name": "f"}),
            ("store", True),
            ("service_tier", "priority"),
            ("reasoning_effort", "high"),
            ("verbosity", "low"),
            ("web_search_options", {}),
            ("parallel_tool_calls", False),
            ("tool_choice", "required"),
            ("tool_choice", {"type": "function", "function": {"name": "f"}}),
            ("top_k", 40),
            ("temprature", 1),
        ],
    )
    async def test_that_are_refused(self, serve_agents: Any, name: str, value: Any) -> None:
        """Unsupported, unknown and out-of-range parameters are refused by name."""
        model = ScriptedModel([])
        refused = await answer(serve_agents, Agent(model, "a"), {name: value})

        error = refused.json()["error"]
        assert (refused.status_code, error["type"], error["param"]) == (400, "invalid_request_error", name)
        assert name in error["message"]
        assert model.requests == []

    async def test_that_change_nothing(self, serve_agents: Any) -> None:
        """Parameters that ask for an agent's usual answer, or do not affect the answer, are accepted."""
        body = {
            "top_p": 1,
            "n": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0.0,
            "logprobs": False,
            "logit_bias": {},
            "modalities": ["text"],
            "response_format": {"type": "text"},
            "store": False,
            "service_tier": "auto",
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "functions": None,
            "metadata": {"a": "b"},
            "safety_identifier": "x",
            "prompt_cache_key": "x",
        }

        assert (await answer(serve_agents, Agent(ScriptedModel(["x"]), "a"), body)).status_code == 200


class TestToolsOfTheClient:
    async def test_whole(self, ask: Any) -> None:
        """A call of the client's tool is the answer; the next request brings the result, and gets the answer to it."""
        model = ScriptedModel([ModelResponse("I look.", (CALL, OTHER)), "Sunny in both."])
        agent = Agent(model, "a", "Be brief.")

        def talk(create: Callable[..., Any]) -> tuple[Any, Any]:
            first = create(messages=question(), tools=[WEATHER])
            results = [
                {"role": "tool", "tool_call_id": call.id, "content": "Sun"}
                for call in first.choices[0].message.tool_calls
            ]
            said = first.choices[0].message.model_dump(exclude_none=True)
            return first, create(messages=[*question(), said, *results], tools=[WEATHER])

        first, second = await ask(agent, talk)
        choice = first.choices[0]
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
        calls = [
            (call.id, call.type, call.function.name, call.function.arguments) for call in choice.message.tool_calls
        ]
        assert calls == [(call.id, "function", call.name, call.arguments) for call in (CALL, OTHER)]
        assert (second.choices[0].finish_reason, second.choices[0].message.content) == ("stop", "Sunny in both.")
        [offered] = model.requests[0].tools
        assert (offered.name, offered.description) == ("weather", "Current weather in a city.")
        assert offered.parameters == WEATHER["function"]["parameters"]
        assert model.requests[1].messages == (
            Message("system", "Be brief."),
            Message("user", "Weather?"),
            Message("assistant", "I look.", (CALL, OTHER)),
            Message("tool", "Sun", (), "c1", "weather"),
            Message("tool", "Sun", (), "c2", "weather"),
        )

    @pytest.mark.parametrize("text", ["", "I look."])
    @pytest.mark.parametrize("reasoning", ["", "Hm."])
    async def test_streamed(self, ask: Any, text: str, reasoning: str) -> None:
        """A stream has text and reasoning once, then the calls, then the reason."""
        model = ScriptedModel([ModelResponse(text, (CALL, OTHER), reasoning)])

        def stream(create: Callable[..., Any]) -> Any:
            return list(create(messages=question(), tools=[WEATHER], stream=True))

        chunks = await ask(Agent(model, "a"), stream)
        deltas = [chunk.choices[0].delta for chunk in chunks]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        assert "".join(delta.content or "" for delta in deltas) == text
        assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == reasoning
        assert [(call.index, call.id, call.function.name, call.function.arguments) for call in calls] == [
            (0, "c1", "weather", CALL.arguments),
            (1, "c2", "weather", OTHER.arguments),
        ]
        assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "tool_calls"

    async def test_beside_the_agents_own(self, ask: Any) -> None:
        """The agent calls its own tools as ever; if a turn calls tools of both sides, the client's are the answer."""
        own = ToolCall("c0", "clock")
        model = ScriptedModel([own, ModelResponse("", (own, CALL))])
        first = await ask(Agent(model, "a", tools=[clock]), lambda create: create(messages=question(), tools=[WEATHER]))

        assert model.requests[1].messages[-1].content == "noon"
        assert [call.id for call in first.choices[0].message.tool_calls] == ["c1"]
        assert first.choices[0].message.content is None

    async def test_with_hooks_of_the_agents(self, ask: Any) -> None:
        """The agent's own hooks see the calls before the client does."""
        seen: list[Any] = []

        class Watching(Hook):
            async def after_model(self, context: RunContext, response: ModelResponse) -> ModelResponse | None:
                seen.extend(response.tool_calls)
                return None

        agent = Agent(ScriptedModel([CALL]), "a", hooks=[Watching()])
        await ask(agent, lambda create: create(messages=question(), tools=[WEATHER]))

        assert seen == [CALL]

    async def test_one_at_a_time(self, ask: Any) -> None:
        """Without parallel calls the client gets the first call; calls without ids get some."""
        same = ToolCall("", "weather", "{}")
        model = ScriptedModel([ModelResponse("", (CALL, OTHER)), ModelResponse("", (same, same))])

        def both(create: Callable[..., Any]) -> list[Any]:
            first = create(messages=question(), tools=[WEATHER], parallel_tool_calls=False)
            return [first, create(messages=question(), tools=[WEATHER])]

        first, second = await ask(Agent(model, "a"), both)
        assert [call.id for call in first.choices[0].message.tool_calls] == ["c1"]
        assert len({call.id for call in second.choices[0].message.tool_calls if call.id}) == 2

    @pytest.mark.parametrize(
        ("choice", "own", "expected"),
        [
            ("auto", False, "auto"),
            ("required", False, "required"),
            ("required", True, "weather"),
            ({"type": "function", "function": {"name": "weather"}}, True, "weather"),
        ],
    )
    async def test_choice(self, serve_agents: Any, choice: Any, own: bool, expected: str) -> None:
        """The model is told which tool to call."""
        model = ScriptedModel([CALL])
        agent = Agent(model, "a", tools=[clock] if own else [])
        await answer(serve_agents, agent, {"tools": [WEATHER], "tool_choice": choice})

        assert model.requests[0].tool_choice == expected

    async def test_with_a_deep_schema(self, serve_agents: Any) -> None:
        """Parameters may be nested up to the bound."""
        model = ScriptedModel(["x"])
        await answer(serve_agents, Agent(model, "a"), {"tools": [nested(90)]})

        assert [each.name for each in model.requests[0].tools] == ["x"]

    async def test_choice_of_none(self, serve_agents: Any) -> None:
        """With the choice none, the client's tools are not offered."""
        model = ScriptedModel(["x"])
        await answer(serve_agents, Agent(model, "a", tools=[clock]), {"tools": [WEATHER], "tool_choice": "none"})

        assert [each.name for each in model.requests[0].tools] == ["clock"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
            ({"tools": [{"type": "function"}]}, "tools[0]"),
            ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
            ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
            ({"tools": [{"type": "function", "function": {"name": "x" * 65}}]}, "tools[0].function.name"),
            ({"tools": [{"type": "function", "function": {"name": "clock"}}]}, "tools[0].function.name"),
            ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
            (
                {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}]},
                "tools[0].function.parameters",
            ),
            *(({"tools": [nested(depth)]}, "tools[0].function.parameters") for depth in (101, 900)),
            ({"tools": [WEATHER] * 129}, "tools"),
            ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice"),
            ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
            ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": "x"}}, "tool_choice"),
            ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ],
    )
    async def test_that_are_refused(self, serve_agents: Any, body: Any, param: str) -> None:
        """A malformed tool is refused by its place."""
        refused = await answer(serve_agents, Agent(ScriptedModel([]), "a", tools=[clock]), body)

        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)

    async def test_with_an_output_type(self, serve_agents: Any) -> None:
        """An agent with an output type refuses tools of the client."""
        refused = await answer(serve_agents, Agent(ScriptedModel([]), "a", output=list[int]), {"tools": [WEATHER]})

        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")


CALLED = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "x", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([*question(), {"role": "tool", "tool_call_id": "c", "content": "x"}], "messages[1]"),
        ([*question(), {"role": "tool", "content": "x"}], "messages[1]"),
        ([*question(), CALLED], "messages"),
        ([*question(), CALLED, *question()], "messages[2]"),
        ([*question(), CALLED, {"role": "tool", "tool_call_id": "d", "content": "x"}], "messages[2]"),
        ([*question(), CALLED, *[{"role": "tool", "tool_call_id": "c", "content": "x"}] * 2], "messages[3]"),
        ([{**CALLED, "role": "user"}], "messages[0]"),
        ([{**CALLED, "tool_calls": CALLED["tool_calls"] * 2}], "messages[0]"),  # type: ignore[operator]
        ([{"role": "assistant", "function_call": {"name": "x"}}], "messages[0]"),
        ([{"role": "assistant", "audio": {"id": "x"}}], "messages[0]"),
    ],
)
async def test_calls_and_results_belong_together(serve_agents: Any, messages: Any, param: str) -> None:
    """A call without a result, or a result without a call, is refused by its place in the history."""
    refused = await answer(serve_agents, Agent(ScriptedModel([]), "a"), {"messages": messages})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
