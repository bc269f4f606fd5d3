"""Growth of cost with the size of a run: tools, calls, turns, tokens, listeners, input; and with streams at once.

Times are in bare trio checkpoints, measured in turns with them. `growth` grows the parts of a program.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from agno_rt import Agent, Emit, Event, Limits, ModelRequest, ModelResponse, Runtime, ToolCall

from .common import ANSWER, INSTANT, Parts, in_runtime, measured_in, sizes
from .growth import CHECKPOINTS, in_checkpoints, tools

with Parts() as setup:
    from agno_rt.events import TextDelta

MANY = Limits(runs=100_000, queue=0, model_calls=100_000)


async def runs_of(runtime: Runtime, make: Callable[[], Agent], text: str = "hello", times: int = 100) -> float:
    """Return the cost of a run of a new agent."""

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(make(), text)

    return await in_checkpoints(runs, times)


class Tools:
    """An agent with many tools, none of which is called."""

    params = (sizes(1, 10, 100, 1_000),)
    param_names = ("tools",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of a run of a new agent, whose tools existed before."""
        known = tools(count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: Agent(INSTANT, "assistant", "", known))))


class Calling:
    """A model that makes `calls` calls of a tool in each of `turns` turns, and then answers."""

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
    """Make an agent with `turns` turns of `calls` calls before the answer."""
    return Agent(Calling(turns, calls), "assistant", "", tools(1))


class Calls:
    """A turn of many tool calls, which run together up to the limit."""

    params = (sizes(1, 2, 10, 100, 1_000),)
    param_names = ("calls",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of the run, with all calls."""
        agent = calling(1, count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=max(2, 200 // count))))


class Turns:
    """A run of many turns with a tool call each; every turn shows the model all earlier ones."""

    params = (sizes(1, 10, 100, 1_000),)
    param_names = ("turns",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of the run, with all turns."""
        agent = calling(count, 1)
        times = max(2, 200 // count)
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=times), limits=LONG))


class Talking:
    """A model that answers token by token if anybody listens."""

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
    """An answer of many tokens, read from a stream."""

    params = (sizes(10, 100, 1_000, 10_000),)
    param_names = ("tokens",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of the run, with all tokens."""
        agent = Agent(Talking(count), "talker")

        async def body(runtime: Runtime) -> float:
            async def runs(times: int) -> None:
                for _ in range(times):
                    await read(runtime, agent)

            return await in_checkpoints(runs, max(2, 1_000 // count))

        return float(in_runtime(body))


class Streams:
    """Many streams at once, each with a hundred tokens and a reader."""

    params = (sizes(1, 10, 100, 1_000),)
    param_names = ("streams",)

    @measured_in(CHECKPOINTS)
    def track_all(self, count: int) -> float:
        """Cost of all streams."""
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
    """Make an idle observer."""

    def hear(event: Event) -> None:
        """Ignore the event."""

    return hear


class Observers:
    """A run of a hundred tokens with many observers, each of which does nothing."""

    params = ((0, 1, 2, 5, 10, 100),)
    param_names = ("observers",)

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int) -> float:
        """Cost of the run."""
        observers, agent = [deaf() for _ in range(count)], Agent(Talking(100), "talker")
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, times=20), observers=observers))


class Input:
    """A run with an input of many characters."""

    params = (sizes(1_000, 100_000, 10_000_000), ("ASCII", "Korean"))
    param_names = ("characters", "text")

    @measured_in(CHECKPOINTS)
    def track_run(self, count: int, text: str) -> float:
        """Cost of the run."""
        agent, asked = Agent(INSTANT, "assistant"), ("a" if text == "ASCII" else "가") * count
        times = max(10, min(100, 1_000_000 // count))
        return float(in_runtime(lambda runtime: runs_of(runtime, lambda: agent, asked, times)))
