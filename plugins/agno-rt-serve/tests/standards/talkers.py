"""Agents with the whole request in the answer, for clients of other programs."""

from __future__ import annotations

from agno_rt import Agent, ModelRequest, ModelResponse, ToolCall, Usage, tool
from agno_rt.testing import ScriptedModel

__all__ = ["echo", "thinker"]


def answer(request: ModelRequest) -> ModelResponse:
    """Answer with JSON for a schema, with a call of `weather` among the tools, or with all messages."""
    last = request.messages[-1]
    usage = Usage(11, 7)
    if last.role == "tool":
        results = [message.text for message in request.messages if message.role == "tool"]
        if request.output is not None:
            return ModelResponse('{"city": "Seoul", "degrees": 21}', usage=usage)
        return ModelResponse(f"It is {' and '.join(results)}.", usage=usage)
    if any(each.name == "weather" for each in request.tools):
        return ModelResponse("", (ToolCall("call_1", "weather", '{"city": "Seoul"}'),), usage=usage)
    if request.output is not None:
        return ModelResponse('{"city": "Seoul", "degrees": 21}', usage=usage)
    said = [f"[{message.role}] {message.text}" for message in request.messages]
    return ModelResponse(" ".join(said), usage=usage)


def think(request: ModelRequest) -> ModelResponse:
    """Answer after some thought, and after a look at the agent's own clock."""
    if request.messages[-1].role == "tool":
        return ModelResponse("It is noon.", reasoning="The clock says so.", usage=Usage(5, 6, 2))
    return ModelResponse("", (ToolCall("own_1", "clock"),), "I should look.", Usage(3, 4, 1))


@tool(inline=True)
def clock() -> str:
    """Tell the time."""
    return "noon"


def echo() -> Agent:
    """Return the agent for repetitions."""
    return Agent(ScriptedModel(answer), "echo")


def thinker() -> Agent:
    """Return the agent with reasoning and a tool."""
    return Agent(ScriptedModel(think), "thinker", tools=[clock])
