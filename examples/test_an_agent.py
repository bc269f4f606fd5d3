"""Tests of an agent: scripted models, many schedules, a cancellation at every step, a failure of every call.

Run the file with pytest, or as a program, which calls pytest itself.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest
import trio

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError
from agno_rt.testing import CancelPoint, Faults, Pauses, ScriptedModel

CALL = ToolCall("1", "weather", '{"city": "Seoul"}')


@tool
async def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.mark.no_orphans
async def test_it_uses_the_tool(scripted_model: Callable[..., ScriptedModel]) -> None:
    """The model gets the tool's result, and the run leaves nothing behind."""
    model = scripted_model(CALL, lambda request: f"It is {request.messages[-1].text}.")
    async with Runtime() as runtime:
        result = await runtime.run(Agent(model, tools=[weather]), "What is it like?")

    assert result.content == "It is sunny in Seoul."


@pytest.mark.schedules(200)
async def test_two_runs_on_one_session() -> None:
    """Two runs lose or mix no messages, in any order of their steps."""
    pauses, memory = Pauses(), InProcessMemory()
    agent = Agent(pauses.model(ScriptedModel({"tea?": ["Green."], "milk?": ["No."]})))

    async def ask(text: str) -> None:
        await runtime.run(agent, text, session="alice")

    async with Runtime(memory=pauses.memory(memory)) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(ask, "tea?")
        nursery.start_soon(ask, "milk?")

    texts = [message.text for message in (await memory.load("alice")).messages]
    assert texts in (["tea?", "Green.", "milk?", "No."], ["milk?", "No.", "tea?", "Green."])


def test_cancelled_anywhere(cancel_everywhere: Callable[..., int]) -> None:
    """A cancelled run stores all of its messages or none, wherever the cancellation comes."""

    async def scenario(point: CancelPoint) -> None:
        pauses, memory = Pauses(), InProcessMemory()
        agent = Agent(pauses.model(ScriptedModel([CALL, "Sunny."])), tools=[pauses.tool(weather)])
        async with Runtime(memory=pauses.memory(memory)) as runtime:
            with point:
                await runtime.run(agent, "What is it like?", session="alice")
        assert len((await memory.load("alice")).messages) in (0, 4)

    cancel_everywhere(scenario, at_least=5)


def test_failing_anywhere(fail_everywhere: Callable[..., int]) -> None:
    """After any failure, the caller gets one of our errors, and the session all of the run's messages or none."""

    async def scenario(faults: Faults) -> None:
        memory = InProcessMemory()
        agent = Agent(faults.model(ScriptedModel([CALL, "Sunny."])), tools=[faults.tool(weather)])
        async with Runtime(memory=faults.memory(memory)) as runtime:
            try:
                await runtime.run(agent, "What is it like?", session="alice")
            except AgnoError:
                assert faults.fired
        assert len((await memory.load("alice")).messages) in (0, 4)

    fail_everywhere(scenario, at_least=5)


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]))
