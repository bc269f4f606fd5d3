"""Running an agent whose model answers at once: what the runtime itself costs."""

from __future__ import annotations

from collections.abc import Callable

from agno_rt import Agent, Message, Runtime
from agno_rt.defaults.memory import InProcessMemory

from .common import (
    INSTANT,
    Times,
    checkpoints,
    in_runtime,
    python_calls,
    ratio,
    scheduler_steps,
    simple_runs,
    tool_runs,
)

BODIES: dict[str, Callable[[Runtime], Times]] = {"simple": simple_runs, "tool": tool_runs}


class Run:
    """A run of a new agent: `simple` is one turn, `tool` is one tool call and two turns."""

    params = tuple(BODIES)
    param_names = ("run",)

    def setup(self, run: str) -> None:
        """Choose the run."""
        self.body = BODIES[run]

    def time_1000_runs(self, run: str) -> None:
        """A thousand, one after another; opening the runtime is in it too."""
        in_runtime(lambda runtime: self.body(runtime)(1000))

    def track_checkpoints_a_run(self, run: str) -> float:
        """How many bare trio checkpoints a run takes as long as."""
        return float(in_runtime(lambda runtime: ratio(self.body(runtime), checkpoints)))

    def track_python_calls(self, run: str) -> int:
        """Python calls a run: exact."""
        return int(in_runtime(lambda runtime: python_calls(self.body(runtime))))

    def track_scheduler_steps(self, run: str) -> int:
        """Scheduler steps a run: exact."""
        return int(in_runtime(lambda runtime: scheduler_steps(self.body(runtime))))


class History:
    """A simple run in a session that holds many messages already; the agent sees the last hundred."""

    params = (0, 100, 10_000)
    param_names = ("messages",)

    def setup(self, messages: int) -> None:
        """Fill the session."""
        self.past = [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(messages)]

    def track_checkpoints_a_run(self, messages: int) -> float:
        """How many bare trio checkpoints a run takes as long as."""

        async def body(runtime: Runtime) -> float:
            await runtime.memory.append("session", self.past, version=0)
            agent = Agent(INSTANT, "assistant")

            async def runs(times: int) -> None:
                for _ in range(times):
                    await runtime.run(agent, "hello", session="session")

            return await ratio(runs, checkpoints, times=100)

        return float(in_runtime(body, memory=InProcessMemory()))
