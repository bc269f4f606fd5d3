"""Facts in a run's result beside the answer: tool calls and duration."""

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
    """Tool calls of all turns are listed in the model's order."""
    model = ScriptedModel([ModelResponse("", (HALL, BARN)), ToolCall("3", "look", '{"place": "attic"}'), "Nowhere."])
    result = run(Agent(model, tools=[look]), "Where is it?")

    assert [call.id for call in result.tool_calls] == ["1", "2", "3"]
    assert result.tool_calls[:2] == (HALL, BARN)


def test_a_run_without_tools_has_no_calls() -> None:
    """A run without tools has an empty list of calls."""
    assert run(Agent(ScriptedModel(["Hello."])), "Hi").tool_calls == ()


async def test_duration_is_from_the_call_to_the_end() -> None:
    """An inner run has a shorter duration than the outer run, and both are above zero."""
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
    """An error's result has calls and duration too."""
    model = ScriptedModel([HALL, ModelError("no more")])
    with pytest.raises(ModelError) as caught:
        run(Agent(model, tools=[look]), "Where is it?")

    assert caught.value.result.tool_calls == (HALL,)
    assert caught.value.result.duration > 0


def test_a_result_made_by_hand_took_no_time() -> None:
    """A result made by hand has no calls and no duration."""
    made: RunResult = RunResult("r", "completed", "Hello.")

    assert (made.duration, made.tool_calls) == (0.0, ())
