"""Runs of an agent whose model answers at once: the cost of the runtime itself, and the growth of the cost."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime, Tool, tool

from .common import (
    ANSWER,
    CALL,
    INSTANT,
    CallingModel,
    Times,
    checkpoints,
    double,
    exact,
    in_runtime,
    measured_in,
    measuring,
    ratio,
    remember,
    session_runs,
    simple_runs,
    sizes,
    sqlite_url,
    tool_runs,
)
from .counting import allocations, memray_is_here

BODIES: dict[str, Callable[[Runtime], Times]] = {
    "simple": simple_runs,
    "tool": tool_runs,
    "session of 100 messages": session_runs,
}


class Run:
    """A run: `simple` is one turn of a new agent, `tool` one tool call and two turns; the session is in memory."""

    params = tuple(BODIES)
    param_names = ("run",)

    def setup(self, run: str) -> None:
        """Choose the run."""
        self.body = BODIES[run]

    def time_1000_runs(self, run: str) -> None:
        """A thousand, one after another; opening the runtime is in it too."""
        in_runtime(lambda runtime: self.body(runtime)(1000))

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, run: str) -> float:
        """How many bare trio checkpoints a run takes as long as."""

        async def body(runtime: Runtime) -> float:
            await remember(runtime, 100)
            return await ratio(self.body(runtime), checkpoints)

        return float(in_runtime(body))

    @exact("calls")
    def track_python_calls(self, run: str) -> int:
        """Python calls a run, trio's checkpoint and the benchmark's own model included."""
        return self._counted(measuring.python_calls)

    @exact("steps")
    def track_scheduler_steps(self, run: str) -> int:
        """Steps of trio's scheduler a run."""
        return self._counted(measuring.scheduler_steps)

    @exact("allocations", setup=memray_is_here)
    def track_allocations(self, run: str) -> int:
        """How often a run asks for memory."""
        return self._counted(allocations)

    @exact("bytes")
    def track_bytes_held(self, run: str) -> int:
        """The most that a run holds at a time."""
        return self._counted(measuring.bytes_held)

    def _counted(self, count: Callable[[Times], Awaitable[int]]) -> int:
        async def body(runtime: Runtime) -> int:
            await remember(runtime, 100)
            return await count(self.body(runtime))

        return int(in_runtime(body))


class Tools:
    """A run of an agent with many tools, whose model makes many calls at once."""

    params = ((0, 1, 10), (0, 1, 10))
    param_names = ("calls", "defined")

    def setup(self, calls: int, defined: int) -> None:
        """Make the agent."""
        if calls and not defined:
            raise NotImplementedError("no tool to call")
        tools = (double, *(_make_tool(at) for at in range(1, defined)))[:defined]
        self.agent = Agent(CallingModel(calls) if calls else INSTANT, "assistant", "", tools)

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, calls: int, defined: int) -> float:
        """Time of a run in bare trio checkpoints."""
        return checkpoints_a_run(self.agent)


def _make_tool(number: int) -> Tool:
    @tool(name=f"double_{number}", inline=True)
    def another(number: int) -> int:
        """Twice the number."""
        return 2 * number

    return another


class SteadyModel:
    """A model that calls a tool in each of `turns` turns, and then answers."""

    name = "steady"

    def __init__(self, turns: int) -> None:
        self._turns = turns

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer after the last turn."""
        return ANSWER if sum(message.role == "tool" for message in request.messages) == self._turns else CALL


class Turns:
    """A run with many tool calls one after another, each in a new turn."""

    params = (1, 10)
    param_names = ("calls",)

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, calls: int) -> float:
        """Time of a run in bare trio checkpoints."""
        return checkpoints_a_run(Agent(SteadyModel(calls), "assistant", "", (double,)))


class History:
    """A simple run in a session with many messages; the agent sees the last hundred."""

    params = sizes(0, 100, 10_000)
    param_names = ("messages",)

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, messages: int) -> float:
        """How many bare trio checkpoints a run takes as long as."""

        async def body(runtime: Runtime) -> float:
            await remember(runtime, messages)
            return await ratio(session_runs(runtime), checkpoints, times=100)

        return float(in_runtime(body))


class Payload:
    """A simple run with an input of many bytes: by itself, and in a new session on SQLite, which stores the input."""

    params = (sizes(10, 10_000, 1_000_000), ("nowhere", "sqlite"))
    param_names = ("bytes", "stored")

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, bytes: int, stored: str) -> float:
        """Time of a run in bare trio checkpoints."""
        agent, text = Agent(INSTANT, "assistant"), "x" * bytes
        if stored == "nowhere":
            return checkpoints_a_run(agent, text)
        sessions = itertools.count()

        async def body(runtime: Runtime) -> float:
            async def runs(times: int) -> None:
                for _ in range(times):
                    await runtime.run(agent, text, session=f"session {next(sessions)}")

            return await ratio(runs, checkpoints, times=5, rounds=5)

        with sqlite_url("normal") as url:
            return float(in_runtime(body, memory=url))


def checkpoints_a_run(agent: Agent, text: str = "hello") -> float:
    """Return the time of a run of the agent in bare trio checkpoints."""

    async def body(runtime: Runtime) -> float:
        async def runs(times: int) -> None:
            for _ in range(times):
                await runtime.run(agent, text)

        return await ratio(runs, checkpoints, times=100)

    return float(in_runtime(body))
