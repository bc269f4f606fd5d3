"""What a run's result tells beside the answer: the calls that the model asked for, and how long the run took."""

from __future__ import annotations

import pytest

from agno_rt import Agent, ModelResponse, RunResult, Runtime, ToolCall, run, tool
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel


def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing in {place}"


HALL, BARN = ToolCall("1", "look", '{"place": "hall"}'), ToolCall("2", "look", '{"place": "barn"}')


def test_tool_calls_are_those_of_all_turns_in_order() -> None:
    """Calls of several turns, and several of one, are there in the order in which the model asked for them."""
    model = ScriptedModel([ModelResponse("", (HALL, BARN)), ToolCall("3", "look", '{"place": "attic"}'), "Nowhere."])
    result = run(Agent(model, tools=[look]), "Where is it?")

    assert [call.id for call in result.tool_calls] == ["1", "2", "3"]
    assert result.tool_calls[:2] == (HALL, BARN)


def test_a_run_without_tools_has_no_calls() -> None:
    """There is nothing to list."""
    assert run(Agent(ScriptedModel(["Hello."])), "Hi").tool_calls == ()


async def test_duration_is_from_the_call_to_the_end() -> None:
    """A run within another takes less time than that one, and neither takes none."""
    inner: list[RunResult] = []
    async with Runtime() as rt:

        @tool
        async def ask() -> str:
            """Ask somebody else."""
            inner.append(await rt.run(Agent(ScriptedModel(["yes"])), "Really?"))
            return inner[0].content

        outer = await rt.run(Agent(ScriptedModel([ToolCall("1", "ask", "{}"), "yes"]), tools=[ask]), "Is it?")

    assert 0 < inner[0].duration < outer.duration


def test_a_failed_run_has_them_too() -> None:
    """The result of an error says what was called, and for how long the run went on."""
    model = ScriptedModel([HALL, ModelError("no more")])
    with pytest.raises(ModelError) as caught:
        run(Agent(model, tools=[look]), "Where is it?")

    assert caught.value.result.tool_calls == (HALL,)
    assert caught.value.result.duration > 0


def test_a_result_made_by_hand_took_no_time() -> None:
    """A result that no run made has neither."""
    made: RunResult = RunResult("r", "completed", "Hello.")

    assert (made.duration, made.tool_calls) == (0.0, ())
