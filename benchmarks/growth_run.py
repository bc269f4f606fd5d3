"""How cost grows with how much a run has: tools, calls, turns, tokens, listeners, input; and with streams at once.

Times are in bare trio checkpoints, measured in turns with them. What a program has more and more of is in `growth`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from agno_rt import Agent, Emit, Event, Limits, ModelRequest, ModelResponse, Runtime, ToolCall

from .common import ANSWER, INSTANT, Parts, in_runtime, measured_in
from .growth import CHECKPOINTS, in_checkpoints, tools

with Parts() as setup:
    from agno_rt.events import TextDelta

MANY = Limits(runs=100_000, queue=0, model_calls=100_000)


async def runs_of(runtime: Runtime, make: Callable[[], Agent], text: str = "hello", times: int = 100) -> float:
    """What a run costs of an agent that is made anew."""

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(make(), text)

    return await in_checkpoints(runs, times)


class Tools:
    """An agent that has so many tools, and calls none of them."""

    params = ((1, 10, 100, 1_000),)
    param_names = ("tools",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """What a run costs of an agent that is made anew, and its tools were there before."""
        known = tools(count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: Agent(INSTANT, "assistant", "", known))))


class Calling:
    """Calls a tool so many times in each of so many turns, then answers."""

    name = "calling"

    def __init__(self, turns: int, calls: int) -> None:
        self.turns = turns
        self.response = ModelResponse(
            tool_calls=tuple(ToolCall(f"call {at}", "double_0", '{"number": 21}') for at in range(calls))
        )

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer."""
        return ANSWER if request.turn > self.turns else self.response


LONG = Limits(turns=10_000)


def calling(turns: int, calls: int) -> Agent:
    """An agent that does so much before it answers."""
    return Agent(Calling(turns, calls), "assistant", "", tools(1))


class Calls:
    """A turn of so many tool calls; several of them run together, as many at a time as the limit lets them."""

    params = ((1, 2, 10, 100, 1_000),)
    param_names = ("calls",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """What the run costs, all of its calls included."""
        agent = calling(1, count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=max(2, 200 // count))))


class Turns:
    """A run of so many turns, each with one tool call; every turn shows the model all that came before."""

    params = ((1, 10, 100, 1_000),)
    param_names = ("turns",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """What the run costs, all of its turns included."""
        agent = calling(count, 1)
        times = max(2, 200 // count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=times), limits=LONG))


class Talking:
    """Answers a token at a time, if anybody listens."""

    name = "talking"

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        if emit is not None:
            for _ in range(self.tokens):
                await emit(TextDelta("token "))
        return ANSWER


async def read(runtime: Runtime, agent: Agent) -> None:
    """Run the agent and read its events to the end."""
    async with runtime.stream(agent, "hello") as events:
        async for _ in events:
            pass


class Tokens:
    """An answer of so many tokens, read from a stream."""

    params = ((10, 100, 1_000, 10_000),)
    param_names = ("tokens",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """What the run costs, all of its tokens included."""
        agent = Agent(Talking(count), "talker")

        async def body(runtime: Runtime) -> float:
            async def runs(times: int) -> None:
                for _ in range(times):
                    await read(runtime, agent)

            return await in_checkpoints(runs, max(2, 1_000 // count))

        return float(in_runtime(body))


class Streams:
    """So many streams at once, each of a hundred tokens, each with its reader."""

    params = ((1, 10, 100, 1_000),)
    param_names = ("streams",)

    @measured_in(CHECKPOINTS)
    def track_all(self, count: int) -> float:
        """What they cost in all."""
        agent = Agent(Talking(100), "talker")

        async def body(runtime: Runtime) -> float:
            async def streams(times: int) -> None:
                for _ in range(times):
                    async with trio.open_nursery() as nursery:
                        for _ in range(count):
                            nursery.start_soon(read, runtime, agent)

            return await in_checkpoints(streams, max(1, 20 // count), rounds=5)

        return float(in_runtime(body, limits=MANY))


def deaf() -> Callable[[Event], None]:
    """An observer that does nothing."""

    def hear(event: Event) -> None:
        """Hear it."""

    return hear


class Observers:
    """A run of a hundred tokens that so many observers hear, each of which does nothing."""

    params = ((0, 1, 2, 5, 10, 100),)
    param_names = ("observers",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """What the run costs."""
        observers, agent = [deaf() for _ in range(count)], Agent(Talking(100), "talker")
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=20), observers=observers))


class Input:
    """A run whose input is so many characters."""

    params = ((1_000, 100_000, 10_000_000), ("ASCII", "Korean"))
    param_names = ("characters", "text")

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int, text: str) -> float:
        """What the run costs."""
        agent, asked = Agent(INSTANT, "assistant"), ("a" if text == "ASCII" else "가") * count
        times = max(10, min(100, 1_000_000 // count))
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, asked, times)))
