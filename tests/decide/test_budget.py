"""Budgets of a run: tool calls, tokens and money, also for nested runs."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.models import Emit, ModelProfile, Price
from agno_rt.testing import ScriptedModel
from tests.helpers import echo, told

ECHO = ToolCall("", "echo", '{"text": "x"}')


def calling(*calls: ToolCall, **usage: Any) -> ModelResponse:
    """Make a response with tool calls and usage."""
    return ModelResponse(tool_calls=calls, usage=Usage(**usage), finish_reason="tool_calls")


def answer(text: str = "done", **usage: Any) -> ModelResponse:
    """Make a response that ends the run."""
    return ModelResponse(text, usage=Usage(**usage))


@pytest.mark.parametrize(
    ("limits", "limit", "spent"),
    [
        (Limits(input_tokens=10), "input_tokens", "10 of 10"),
        (Limits(output_tokens=5), "output_tokens", "6 of 5"),
        (Limits(tokens=16), "tokens", "16 of 16"),
        (Limits(cost=0.25), "cost", "0.5 of 0.25"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_spent_ends_the_run_before_the_next_turn(limits: Limits, limit: str, spent: str) -> None:
    """A spent budget ends the run before the next turn. The error has the limit, the amount and the result so far."""
    with ScriptedModel([calling(ECHO, input_tokens=10, output_tokens=6, cost=0.5)]) as model:
        async with Runtime() as rt:
            with pytest.raises(LimitExceeded, match=spent) as caught:
                await rt.run(Agent(model, tools=[echo], limits=limits), "Go!")

    assert caught.value.limit == limit
    assert limit in caught.value.hint
    assert caught.value.result.status == "limited"
    assert caught.value.result.usage.total_tokens == 16
    assert told(caught.value.result) == ["x"]


async def test_an_answer_is_never_refused() -> None:
    """An answer beyond the budget is kept, because no further turn follows."""
    with ScriptedModel([answer("42", input_tokens=1_000)]) as model:
        async with Runtime() as rt:
            result = await rt.run(Agent(model, limits=Limits(tokens=10)), "Go!")

    assert result.content == "42"


async def test_a_turn_that_asks_for_too_many_calls_makes_none() -> None:
    """A turn with more calls than the budget allows makes no call, and the history stays valid."""
    made: list[str] = []

    @tool(inline=True)
    def note(text: str) -> str:
        """Record the text."""
        made.append(text)
        return text

    def call(text: str) -> ToolCall:
        return ToolCall(text, "note", f'{{"text": "{text}"}}')

    with ScriptedModel([call("a"), [call("b"), call("c"), call("d")]]) as model:
        async with Runtime() as rt:
            with pytest.raises(LimitExceeded, match="1 of 3, and 3 more") as caught:
                await rt.run(Agent(model, tools=[note], limits=Limits(tool_calls=3)), "Go!")

    assert caught.value.limit == "tool_calls"
    assert made == ["a"]
    assert [message.role for message in caught.value.result.messages] == ["user", "assistant", "tool"]


class Priced:
    """A model with a price for tokens."""

    name = "priced"
    profile = ModelProfile(price=Price(input=2.0, output=10.0, cached_input=1.0))

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return answer(input_tokens=300_000, output_tokens=100_000, cached_tokens=100_000)


async def test_a_price_makes_a_cost() -> None:
    """The cost is computed from the model's prices, with a separate price for cached input."""
    async with Runtime() as rt:
        result = await rt.run(Agent(Priced()), "Go!")

    assert result.usage.cost == pytest.approx(0.2 * 2 + 0.1 * 1 + 0.1 * 10)


async def test_a_cost_that_the_provider_told_stands() -> None:
    """A cost from the provider is kept."""

    class Telling(Priced):
        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            return answer(input_tokens=1, cost=7.0)

    async with Runtime() as rt:
        result = await rt.run(Agent(Telling()), "Go!")

    assert result.usage.cost == 7.0


class TestWithin:
    """Nested runs."""

    async def test_what_an_inner_run_spends_is_spent_outside_too(self) -> None:
        """Usage of a nested run counts for the outer run's budget."""
        inner = ScriptedModel([answer("inner", input_tokens=100)])
        outer = ScriptedModel([calling(ToolCall("", "ask", "{}"), input_tokens=1)])
        async with Runtime() as rt:

            @tool
            async def ask() -> str:
                """Ask another agent."""
                return (await rt.run(Agent(inner), "Hi")).content

            with pytest.raises(LimitExceeded, match="101 of 50") as caught:
                await rt.run(Agent(outer, tools=[ask], limits=Limits(tokens=50)), "Go!")

        assert told(caught.value.result) == ["inner"]
        assert caught.value.result.usage.total_tokens == 1

    async def test_an_inner_run_has_only_what_is_left(self) -> None:
        """A nested run ends when the outer budget is spent, despite a larger budget of its own."""
        inner = ScriptedModel([calling(ECHO, input_tokens=60)])
        outer = ScriptedModel([calling(ToolCall("", "ask", "{}"), input_tokens=1)])
        async with Runtime() as rt:

            @tool
            async def ask() -> str:
                """Ask another agent."""
                agent = Agent(inner, tools=[echo], limits=Limits(tokens=1_000))
                return (await rt.run(agent, "Hi")).content

            with pytest.raises(LimitExceeded) as caught:
                await rt.run(Agent(outer, tools=[ask], limits=Limits(tokens=50)), "Go!")

        [text] = told(caught.value.result)
        assert "LimitExceeded: the run has spent its tokens: 61 of 50" in text

    async def test_tool_calls_are_shared(self) -> None:
        """Tool calls of a nested run count for the outer budget, and calls beyond are refused."""
        inner = ScriptedModel([[attributed(at) for at in range(3)]])
        outer = ScriptedModel([ToolCall("", "ask", "{}"), "done"])
        async with Runtime() as rt:

            @tool
            async def ask() -> str:
                """Ask another agent."""
                return (await rt.run(Agent(inner, tools=[echo]), "Hi")).content

            result = await rt.run(Agent(outer, tools=[ask], limits=Limits(tool_calls=3)), "Go!")

        assert "spent its tool_calls: 1 of 3, and 3 more" in told(result)[0]

    async def test_a_run_started_in_the_background_is_its_own(self) -> None:
        """A background run spends nothing of the outer run's budget."""
        inner = ScriptedModel([answer("inner", input_tokens=100)])
        outer = ScriptedModel([calling(ToolCall("", "leave", "{}"), input_tokens=1), "done"])
        async with Runtime() as rt:

            @tool
            async def leave() -> str:
                """Start a background run and wait for the answer."""
                run = await rt.start(Agent(inner), "Hi")
                return (await run.wait()).content

            result = await rt.run(Agent(outer, tools=[leave], limits=Limits(tokens=50)), "Go!")

        assert result.content == "done"


def attributed(at: int) -> ToolCall:
    """Make a call of `echo` with an id."""
    return ToolCall(f"c{at}", "echo", '{"text": "x"}')


@pytest.mark.parametrize("name", ["tool_calls", "input_tokens", "output_tokens", "tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"])
def test_a_budget_is_a_whole_number(name: str, value: object) -> None:
    """A budget other than a whole number of at least 1 is refused."""
    with pytest.raises(UsageError, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("value", [0, -0.5, True, "much"])
def test_a_cost_is_an_amount(value: object) -> None:
    """A cost other than an amount above 0 is refused."""
    with pytest.raises(UsageError, match="cost"):
        Limits(cost=value)  # type: ignore[arg-type]  # the point of the test
