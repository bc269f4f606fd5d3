"""Runnables for the tests of AG-UI: an agent with tools and a state, with questions, a team and a workflow."""

from __future__ import annotations

from typing import Any

import attrs

from agno_rt import (
    Agent,
    Ask,
    Flow,
    FromUser,
    Hook,
    MemoryPolicy,
    ModelRequest,
    ModelResponse,
    RunContext,
    State,
    Team,
    ToolCall,
    Workflow,
    tool,
    workflow,
)
from agno_rt.errors import ModelError
from agno_rt.teams import Leader
from agno_rt.testing import ScriptedModel
from agno_rt.workflows import Parallel

__all__ = ["Shout", "list_broken", "list_runnables"]


@attrs.define
class Cart:
    """The state of a session."""

    items: list[str] = attrs.field(factory=list)
    paid: bool = False


@tool(inline=True)
def add(item: str, cart: State[Cart]) -> str:
    """Put an item into the cart."""
    cart.items.append(item)
    return f"added {item}"


@tool(inline=True, approve=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(inline=True)
def fail() -> str:
    """Fail."""
    raise ValueError("the shop is closed")


@tool(inline=True)
async def look(context: RunContext) -> str:
    """Look around, and tell of it."""
    await context.progress({"seen": 1})
    return "a shop"


@tool(inline=True)
def address(street: FromUser[str]) -> str:
    """Ask the user for the street."""
    return f"lives in {street}"


_CALLS: dict[str, list[ToolCall]] = {
    "buy": [ToolCall("1", "add", '{"item":"tea"}')],
    "pay": [ToolCall("1", "pay", '{"amount":5}')],
    "both": [ToolCall("1", "pay", '{"amount":5}'), ToolCall("2", "fail")],
    "two": [ToolCall("1", "pay", '{"amount":1}'), ToolCall("2", "pay", '{"amount":2}')],
    "look": [ToolCall("1", "look")],
    "where": [ToolCall("1", "address")],
}


def shop(request: ModelRequest) -> ModelResponse:
    """Call the tools that the word names; `weather` is a tool of the client. Then answer with all results."""
    last = request.messages[-1]
    if last.role == "tool":
        results: list[str] = []
        for message in reversed(request.messages):
            if message.role != "tool":
                break
            results.insert(0, message.text)
        return ModelResponse(" and ".join(results))
    word = last.text
    if word == "weather":
        return ModelResponse("Let me see.", (ToolCall("1", "weather", '{"city":"Oslo"}'), ToolCall("2", "look")))
    if word == "silent":
        return ModelResponse("", (ToolCall("1", "weather", '{"city":"Rome"}'),))
    if word in _CALLS:
        return ModelResponse("One moment.", tuple(_CALLS[word]), "I need a tool.")
    said = [f"[{message.role}] {message.text}" for message in request.messages]
    return ModelResponse(" ".join(said), (), "Easy.")


def lead(request: ModelRequest) -> Any:
    """Give the user's message to the seller, and repeat the answer."""
    last = request.messages[-1]
    return ToolCall("1", "delegate", {"member": "seller", "task": last.text}) if last.role == "user" else last.text


@workflow(name="publish")
async def publish(text: str, flow: Flow) -> str:
    """Ask whether to publish."""
    await flow.emit("draft", {"length": len(text)})
    return "published" if await flow.ask(Ask(bool, "Publish it?")) else "dropped"


class Shout(Hook):
    """Changes the answer after it was streamed."""

    async def after_run(self, context: RunContext, content: str) -> str:
        """Return the answer in capitals."""
        return content.upper()


def refuse(request: ModelRequest) -> ModelResponse:
    """Fail as a model's service does."""
    raise ModelError("secret: the key is wrong", provider="m", status=401)


def list_broken() -> list[Any]:
    """Return an agent whose streamed answers are changed, and one whose model fails."""
    loud = Agent(ScriptedModel(lambda request: "quiet words"), "loud", hooks=[Shout()])
    return [loud, Agent(ScriptedModel(refuse), "broken")]


def upper(text: str) -> str:
    """Return the text in capitals."""
    return text.upper()


def list_runnables() -> list[Any]:
    """Return the runnables."""
    seller = Agent(ScriptedModel(shop), "seller", "Sell.", [add, pay, fail, look, address], description="Sells.")
    policy = MemoryPolicy(state=Cart)
    return [
        attrs.evolve(seller, name="shop", memory=policy),
        seller,
        Team([seller], Leader(Agent(ScriptedModel(lead), "lead")), name="desk"),
        publish,
        Workflow("pair", [Parallel(attrs.evolve(seller, name="a"), attrs.evolve(seller, name="b"), upper)]),
    ]
