"""Sessions whose first run waits for a person: they belong to the run's user before the run has stored a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt import Agent, MemoryPolicy, Runtime, State, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import Forbidden
from agno_rt.run_store import Resume
from agno_rt.testing import ScriptedModel


@attrs.define
class Cart:
    """The state of a session."""

    paid: int = 0


@tool(inline=True, approve=True)
def pay(amount: int, cart: State[Cart]) -> str:
    """Pay."""
    cart.paid += amount
    return f"paid {amount}"


def seller(state: type | None = Cart) -> Agent:
    """Return an agent that asks before it pays, and then repeats the result."""

    def answer(request: Any) -> Any:
        last = request.messages[-1]
        return last.text if last.role == "tool" else ToolCall("1", "pay", {"amount": 5})

    return Agent(ScriptedModel(answer), "seller", tools=[pay], memory=MemoryPolicy(state=state))


@pytest.fixture(params=["memory", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A memory in the process, and one in a file."""
    return InProcessMemory() if request.param == "memory" else SQLiteMemory(tmp_path / "agents.db")


async def test_another_user_cannot_begin_the_session(memory: Any) -> None:
    """The session of a run that waits in its first turn belongs to its user; the run ends with its state."""
    other = Agent(ScriptedModel(["hello"]), "other")
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(seller(), "pay", session="s", user="ann")
        with pytest.raises(Forbidden):
            await rt.run(other, "hi", session="s", user="bob")
        with pytest.raises(Forbidden):
            await rt.run(other, "hi", session="s")
        await rt.approve(paused.approvals[0].id)
        done = await rt.run(seller(), Resume(paused.run_id))
        kept = await memory.load("s")
        again = await rt.run(seller(), "pay", session="s", user="ann")

    assert (done.content, done.state) == ("paid 5", Cart(5))
    assert (kept.user, [message.role for message in kept.messages]) == (
        "ann",
        ["user", "assistant", "tool", "assistant"],
    )
    assert again.status == "paused"


async def test_a_session_that_is_taken_ends_the_run_at_once(memory: Any) -> None:
    """If another user has begun the session during the run, the run fails before anybody is asked."""

    @tool(approve=True)
    async def act() -> str:
        """Act."""
        return "done"

    class Late:
        name = "late"

        async def respond(self, request: Any, emit: Any = None) -> Any:
            await memory.append("s", [], version=0, user="bob")
            return await ScriptedModel([ToolCall("1", "act")]).respond(request, emit)

    async with Runtime(memory=memory) as rt:
        with pytest.raises(Forbidden):
            await rt.run(Agent(Late(), "late", tools=[act]), "go", session="s", user="ann")
        waiting = await memory.approvals(status="pending")

    assert waiting == []


async def test_the_user_may_use_the_session_meanwhile(memory: Any) -> None:
    """Another run of the same user goes on in the session, and the paused run's messages follow."""
    other = Agent(ScriptedModel(["hello"]), "other")

    @tool(approve=True)
    async def act() -> str:
        """Act."""
        return "done"

    model = ScriptedModel([ToolCall("1", "act"), "it is done"])
    agent = Agent(model, "actor", tools=[act])
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(agent, "go", session="s", user="ann")
        await rt.run(other, "hi", session="s", user="ann")
        await rt.approve(paused.approvals[0].id)
        await rt.run(agent, Resume(paused.run_id))
        texts = [message.text for message in (await memory.load("s")).messages if message.role != "tool"]

    assert texts == ["hi", "hello", "go", "", "it is done"]
