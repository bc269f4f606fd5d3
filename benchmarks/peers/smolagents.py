"""The peer smolagents: its ToolCallingAgent, whose answer is a tool call too (`final_answer`). Run by the driver.

smolagents has no asynchronous API, so its runs are timed one after another. The history is the agent's own memory of
steps: fifty tasks and fifty answers. Its default logging prints to the terminal; most rows turn logging off.
"""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

from smolagents import LogLevel, Model, Tool, ToolCallingAgent
from smolagents.memory import ActionStep, TaskStep
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole
from smolagents.monitoring import Timing

from .protocol import HISTORY, Row, made, serve, versions


def _make_call(name: str, arguments: dict[str, Any]) -> ChatMessage:
    function = ChatMessageToolCallFunction(name=name, arguments=json.dumps(arguments))
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        content="",
        tool_calls=[ChatMessageToolCall(function=function, id="call", type="function")],
    )


class InstantModel(Model):
    """A model with an immediate answer."""

    def generate(self, messages: list[ChatMessage], *args: Any, **kwargs: Any) -> ChatMessage:
        """Answer."""
        return _make_call("final_answer", {"answer": "ok"})


class CallingModel(InstantModel):
    """A model with a tool call before its answer."""

    def generate(self, messages: list[ChatMessage], *args: Any, **kwargs: Any) -> ChatMessage:
        """Call the tool, or answer once the tool's result is there."""
        if messages[-1].role == MessageRole.TOOL_RESPONSE:
            return super().generate(messages)
        return _make_call("double", {"number": 21})


class Double(Tool):
    """The tool."""

    name = "double"
    description = "Twice the number."
    inputs: ClassVar = {"number": {"type": "integer", "description": "the number"}}
    output_type = "integer"

    def forward(self, number: int) -> int:
        """Twice the number."""
        return 2 * number


INSTANT, CALLING = InstantModel(), CallingModel()
DOUBLE = Double()


def simple(level: LogLevel = LogLevel.OFF) -> ToolCallingAgent:
    """Make an agent as the first in the documentation."""
    return ToolCallingAgent(tools=[], model=INSTANT, name="assistant", verbosity_level=level)


def calling() -> ToolCallingAgent:
    """Make the agent with a tool."""
    return ToolCallingAgent(tools=[DOUBLE], model=CALLING, name="assistant", verbosity_level=LogLevel.OFF)


def _make_past() -> list[Any]:
    steps: list[Any] = []
    for at in range(HISTORY // 2):
        steps.append(TaskStep(task="hello"))
        steps.append(ActionStep(step_number=at + 1, timing=Timing(0.0, 0.0), model_output="hello"))
    return steps


def again(make: Any, *, reset: bool, past: bool = False) -> Row:
    """Return the row of runs of the same agent, which forgets or continues earlier runs."""

    async def row(times: int) -> float:
        agent = make()
        agent.run("hello")
        agent.memory.steps = _make_past() if past else []
        start = time.perf_counter()
        for _ in range(times):
            agent.run("hello", reset=reset)
        return time.perf_counter() - start

    return row


def anew(make: Any) -> Row:
    """Return the row of runs of a new agent each."""

    async def row(times: int) -> float:
        make().run("hello")
        start = time.perf_counter()
        for _ in range(times):
            make().run("hello")
        return time.perf_counter() - start

    return row


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    return {
        "create": made(simple),
        "create_tool": made(calling),
        "run": anew(simple),
        "run_logging": anew(lambda: simple(LogLevel.INFO)),
        "run_again": again(simple, reset=True),
        "run_history": again(simple, reset=False, past=True),
        "tool": anew(calling),
        "tool_history": again(calling, reset=False, past=True),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": versions("smolagents"),
            "import": "from smolagents import ToolCallingAgent",
            # The history grows with each run, so only few runs stay near a hundred messages.
            "most": dict.fromkeys(("run_history", "tool_history"), 10),
            "notes": {
                "create_memory": "an agent always has its memory",
                "memory_add": "its memory is a plain list",
                "concurrent": "it has no asynchronous API",
            },
        },
        rows(),
        make=simple,
    )
