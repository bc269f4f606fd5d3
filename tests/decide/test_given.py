"""Settings, limits and memory policies as dicts."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt import Agent, Limits, MemoryPolicy, ModelRequest, ModelResponse, ModelSettings, Runtime, ToolCall
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.testing import ScriptedModel


def a_model(*answers: str) -> tuple[ScriptedModel, list[ModelRequest]]:
    """Make a model, and a list of its requests."""
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> ModelResponse:
        asked.append(request)
        return ModelResponse(answers[len(asked) - 1])

    return ScriptedModel([answer] * len(answers)), asked


async def test_settings_may_be_a_dict() -> None:
    """The model gets the settings of the dict."""
    model, asked = a_model("yes")
    agent = Agent(model, settings={"temperature": 0, "stop": ["."], "extra": {"top_k": 3}})

    async with Runtime() as rt:
        await rt.run(agent, "?")

    assert asked[0].settings == ModelSettings(temperature=0.0, stop=(".",), extra={"top_k": 3})


async def test_limits_may_be_a_dict() -> None:
    """Limits from a dict hold for an agent and for a runtime."""
    echo = ToolLoop()
    async with Runtime(limits={"turns": 2}) as rt:
        with pytest.raises(LimitExceeded, match="turns"):
            await rt.run(Agent(ScriptedModel(echo.steps(3)), tools=[echo.ping]), "?")
        with pytest.raises(LimitExceeded, match="turns"):
            await rt.run(Agent(ScriptedModel(echo.steps(3)), tools=[echo.ping], limits={"turns": 1}), "?")

    assert rt.limits == Limits(turns=2)
    assert echo.pings == 2 + 1


class ToolLoop:
    """A tool for repeated calls."""

    def __init__(self) -> None:
        self.pings = 0

    async def ping(self) -> str:
        """Answer."""
        self.pings += 1
        return "pong"

    def steps(self, times: int) -> list[Any]:
        """Make a number of turns with a call."""
        return [ToolCall(str(time), "ping") for time in range(times)]


async def test_a_memory_policy_may_be_a_dict() -> None:
    """A policy from a dict bounds the history."""
    model, asked = a_model("one", "two")
    agent = Agent(model, memory={"messages": 0})

    async with Runtime() as rt:
        await rt.run(agent, "first", session="s")
        await rt.run(agent, "second", session="s")

    assert [message.text for message in asked[1].messages] == ["second"]


async def test_a_dict_that_changes_holds_from_the_next_run() -> None:
    """A dict is read anew for each run."""
    model, asked = a_model("one", "two")
    settings: dict[str, Any] = {"seed": 1}
    agent = Agent(model, settings=settings)

    async with Runtime() as rt:
        await rt.run(agent, "first")
        settings["seed"] = 2
        await rt.run(agent, "second")

    assert [request.settings.seed for request in asked] == [1, 2]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"settings": {"temprature": 0}}, "settings has an unknown key 'temprature'", "temperature"),
    ({"limits": {"turn": 1}}, "limits has an unknown key 'turn'", "turns"),
    ({"memory": {"mesages": 1}}, "memory has an unknown key 'mesages'", "messages"),
    ({"settings": {"temperature": "hot"}}, "settings.temperature is 'hot', not a number", ""),
    ({"settings": {"stop": [1]}}, "stop is [1]", ""),
    ({"limits": {"turns": "1"}}, "limit turns is '1'", ""),
    ({"limits": {"runs": 3}}, "limit runs holds for a whole runtime", "Runtime"),
    ({"memory": {"messages": -1}}, "messages of a memory policy is -1", ""),
    ({"memory": {"messages": 1, "summary": {"promt": ""}}}, "summary of memory has an unknown key 'promt'", "prompt"),
    ({"settings": 3}, "settings is 3", "ModelSettings"),
    ({"settings": ModelSettings}, "settings is", "ModelSettings"),
    ({"limits": [("turns", 1)]}, "limits is", "Limits"),
    ({"memory": None}, "memory is None", "MemoryPolicy"),
    ({"settings": {1: 2}}, "unknown key 1", ""),
]


@pytest.mark.parametrize(("fields", "problem", "hint"), WRONG)
async def test_a_dict_that_cannot_be_used(fields: dict[str, Any], problem: str, hint: str) -> None:
    """An error for an unknown key, a wrong value or a wrong kind names the agent and the nearest key."""
    agent = Agent(ScriptedModel([]), "clerk", **fields)
    async with Runtime() as rt:
        with pytest.raises(UsageError) as caught:
            await rt.run(agent, "?")

    assert "agent 'clerk'" in str(caught.value)
    assert problem in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("limits", [{"turn": 1}, {"turns": 0}, 5, Limits, [MemoryPolicy()]])
def test_limits_of_a_runtime_that_cannot_be_used(limits: Any) -> None:
    """Limits of a runtime are checked when the runtime is made."""
    with pytest.raises(UsageError, match="limit"):
        Runtime(limits=limits)
