"""The runnables that the official clients of A2A try."""

from __future__ import annotations

from agno_rt import Agent, Ask, Flow, ModelRequest, Runnable, ToolCall, tool, workflow
from agno_rt.testing import ScriptedModel

__all__ = ["list_runnables"]


@tool(approve=True)
def pay(to: str) -> str:
    """Pay somebody."""
    return f"paid {to}"


def ask_to_pay(request: ModelRequest) -> ToolCall | str:
    """Call `pay` first, and then repeat the result."""
    last = request.messages[-1]
    return last.text if last.role == "tool" else ToolCall("1", "pay", '{"to": "ann"}')


@workflow(name="asker")
async def asker(flow: Flow) -> str:
    """Ask a question."""
    name: str = await flow.ask(Ask(str, "Name?"))
    return f"Hello {name}"


def list_runnables() -> list[Runnable]:
    """Return an agent that repeats, one that pays after an approval, and a workflow that asks."""
    echo = Agent(ScriptedModel(lambda request: f"You said: {request.messages[-1].text}"), "echo")
    return [echo, Agent(ScriptedModel(ask_to_pay), "desk", tools=[pay]), asker]
