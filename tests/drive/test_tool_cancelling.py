"""A turn with tools of every kind, cancelled at each step: no leftovers, and every start has an end."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio

from agno_rt import Agent, Runtime, ToolCall, tool
from agno_rt.context import Deps, RunContext, State
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.events import Event, RunEnded, ToolEnded, ToolProgress, ToolStarted
from agno_rt.hooks import Hook
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import CancelPoint, ScriptedModel, Step, cancel_everywhere
from agno_rt.testing.orphans import left_nothing
from tests.helpers import places


@attrs.define
class Cart:
    """A session's state."""

    things: list[str] = attrs.Factory(list)


@tool(concurrency=1, retries=1, timeout=60)
async def bounded(context: RunContext, text: str) -> str:
    """Wait for a place, report progress, and fail on demand."""
    await context.progress(text)
    await trio.lowlevel.checkpoint()
    if text.startswith("!"):
        raise OSError(text)
    return text


@tool(parallel=False)
async def alone(cart: State[Cart], thing: str) -> int:
    """Put a thing into the cart."""
    await trio.lowlevel.checkpoint()
    cart.things.append(thing)
    return len(cart.things)


@tool(batch=True)
async def batch(factor: Deps[int], numbers: list[int]) -> list[int]:
    """Multiply."""
    await trio.lowlevel.checkpoint()
    return [number * factor for number in numbers]


@tool(concurrency=1)
def threaded(context: RunContext) -> str:
    """Report progress from a thread."""
    context.report("in a thread")
    return "x"


class Passing(Hook):
    """A hook with checkpoints and without changes."""

    async def before_tool(self, context: RunContext, call: ToolCall) -> None:
        """Pass the call."""
        await trio.lowlevel.checkpoint()

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        """Pass the result."""
        await trio.lowlevel.checkpoint()


CALLS = [
    ToolCall("1", "bounded", '{"text": "a"}'),
    ToolCall("2", "batch", '{"item": 1}'),
    ToolCall("3", "bounded", '{"text": "!b"}'),
    ToolCall("4", "alone", '{"thing": "tea"}'),
    ToolCall("5", "batch", '{"item": 2}'),
    ToolCall("6", "bounded", '{"text": "c"}'),
]
TOLD = ["a", "3", "bounded failed: OSError: !b (2 attempts)", "1", "6", "c", "x", "x"]


def in_order(events: list[Event]) -> None:
    """Check that each start has one end, with progress in between, and that the run's end is last."""
    open_: Counter[str] = Counter()
    for event in events:
        if isinstance(event, ToolStarted):
            assert not open_[event.call.id]
            open_[event.call.id] += 1
        elif isinstance(event, ToolProgress):
            assert open_[event.call.id]
        elif isinstance(event, ToolEnded):
            open_[event.call.id] -= 1
    assert not any(open_.values())
    assert not events or isinstance(events[-1], RunEnded)
    assert sum(isinstance(event, RunEnded) for event in events) <= 1


@pytest.mark.parametrize("hooked", [False, True])
def test_at_every_step(hooked: bool) -> None:
    """A cancellation at any step frees all places, ends each call once, and leaves a whole history or none."""
    tools = [bounded, alone, batch, threaded]

    async def scenario(point: CancelPoint) -> None:
        steps: list[Step] = [CALLS, [ToolCall("7", "threaded"), ToolCall("8", "threaded")], "done"]
        memory = InProcessMemory()
        agent = Agent(
            ScriptedModel(steps),
            tools=tools,
            hooks=[Passing()] if hooked else (),
            memory=MemoryPolicy(state=Cart),
        )
        events: list[Event] = []
        result = None
        async with Runtime(memory=memory, observers=[events.append]) as rt:
            # A thread cannot be stopped, and is left behind, perhaps while reporting progress.
            with left_nothing(tasks=True, resources=False, allow=["Progress._relay"]), point:
                result = await rt.run(agent, "x", session="s", deps=3)
            with trio.fail_after(60):  # a thread keeps its place until its end
                while any(limit.in_use for limit in places(rt)):
                    await trio.lowlevel.checkpoint()
            stored = (await rt.memory.load("s")).messages

        in_order(events)
        ended = [event.status for event in events if isinstance(event, RunEnded)]
        assert len(stored) == (12 if ended == ["completed"] else 0)
        if result is not None:
            assert [message.content for message in result.messages if message.role == "tool"] == TOLD

    cancel_everywhere(scenario, at_least=36)
