"""What the tables share: models that answer at once, counting, and ratios that are measured in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import trio

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime, ToolCall, tool

ANSWER = ModelResponse("ok")
CALL = ModelResponse(tool_calls=(ToolCall("call", "double", '{"number": 21}'),))


class InstantModel:
    """Answers at once, so that what is timed is the runtime's own cost."""

    name = "instant"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ANSWER


class CallingModel:
    """Calls one tool, then answers: two turns."""

    name = "calling"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer when its result is there."""
        return ANSWER if request.messages[-1].role == "tool" else CALL


@tool(inline=True)
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


INSTANT, CALLING = InstantModel(), CallingModel()

Times = Callable[[int], Awaitable[None]]


async def checkpoints(times: int) -> None:
    """The floor of every run: the one checkpoint that it owes."""
    for _ in range(times):
        await trio.lowlevel.checkpoint()


def simple_runs(runtime: Runtime) -> Times:
    """Runs of a new agent each, with one turn."""

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(Agent(INSTANT, "assistant"), "hello")

    return runs


def tool_runs(runtime: Runtime) -> Times:
    """Runs of a new agent each, with one tool call and two turns."""
    tools = (double,)

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(Agent(CALLING, "assistant", "", tools), "hello")

    return runs


def in_runtime(body: Callable[[Runtime], Awaitable[Any]], **options: Any) -> Any:
    """Open a runtime under trio and return what `body` makes of it."""

    async def main() -> Any:
        async with Runtime(**options) as runtime:
            return await body(runtime)

    return trio.run(main)


async def ratio(one: Times, other: Times, times: int = 500, rounds: int = 15) -> float:
    """How many times longer `one` takes than `other`: the best of rounds in which the two take turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, body in enumerate((one, other)):
            start = time.perf_counter()
            await body(times)
            best[at] = min(best[at], time.perf_counter() - start)
    return best[0] / best[1]


async def python_calls(body: Times) -> int:
    """The Python function calls that one more of `body` makes: exact."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    async def counted(times: int) -> int:
        nonlocal calls
        calls = 0
        sys.setprofile(count)
        try:
            await body(times)
        finally:
            sys.setprofile(None)
        return calls

    await body(3)
    return await counted(2) - await counted(1)


class Steps(trio.abc.Instrument):
    """Counts the steps of trio's scheduler."""

    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count one."""
        self.steps += 1


async def scheduler_steps(body: Times) -> int:
    """The scheduler steps that one more of `body` takes: exact."""

    async def counted(times: int) -> int:
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        try:
            await body(times)
        finally:
            trio.lowlevel.remove_instrument(steps)
        return steps.steps

    await body(3)
    return await counted(2) - await counted(1)
