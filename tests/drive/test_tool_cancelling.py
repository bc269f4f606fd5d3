"""A turn of tools of every kind, cancelled at each of its steps: nothing is left behind, and what began has ended."""

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
    """Wait for a place, tell of it, and fail at first."""
    await context.progress(text)
    await trio.lowlevel.checkpoint()
    if text.startswith("!"):
        raise OSError(text)
    return text


@tool(parallel=False)
async def alone(cart: State[Cart], thing: str) -> int:
    """Put something in."""
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
    """Tell of it from a thread."""
    context.report("in a thread")
    return "x"


class Passing(Hook):
    """Lets everything pass, after a step of its own."""

    async def before_tool(self, context: RunContext, call: ToolCall) -> None:
        """Before a call."""
        await trio.lowlevel.checkpoint()

    async def after_tool(self, context: RunContext, call: ToolCall, content: str) -> None:
        """After a call."""
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
    """What started has ended, once, and said nothing before or after; the run's end is the last."""
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
    """Wherever it is cancelled: every place is free, each call has ended once, history is whole or as it was."""
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
            # A thread cannot be stopped: it is left behind, perhaps while it tells of itself.
            with left_nothing(tasks=True, resources=False, allow=["Progress._relay"]), point:
                result = await rt.run(agent, "x", session="s", deps=3)
            with trio.fail_after(5):  # until the thread has ended
                while any(limit.in_use for limit in places(rt)):
                    await trio.lowlevel.checkpoint()
            stored = (await rt.memory.load("s")).messages

        in_order(events)
        ended = [event.status for event in events if isinstance(event, RunEnded)]
        assert len(stored) == (12 if ended == ["completed"] else 0)
        if result is not None:
            assert [message.content for message in result.messages if message.role == "tool"] == TOLD

    cancel_everywhere(scenario, at_least=36)
