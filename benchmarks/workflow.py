"""Workflows: what steps, branches and the record of them cost. The models and steps answer at once."""

from __future__ import annotations

import itertools
from typing import Any

import trio

from agno_rt import Agent, Runtime

from .common import INSTANT, Parts, Times, checkpoints, exact, in_runtime, measured_in, measuring, ratio

with Parts() as setup:
    from agno_rt import Flow, step, workflow
    from agno_rt.memory import MemoryPolicy

    @step(idempotent=True)
    async def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    agent = Agent(INSTANT, "assistant")
    UNSTORED, STORED = MemoryPolicy(), MemoryPolicy(journal=True)

    async def take_steps(flow: Flow) -> int:
        """Ten steps one after another."""
        number = 0
        for _ in range(10):
            number = await double(1)
        return number

    async def take_branches(flow: Flow) -> int:
        """A group of a hundred branches, each with a step."""
        async with flow.group() as group:
            for number in range(100):
                group.start(double, number)
        return len(group.results)

    async def run_agents(flow: Flow) -> int:
        """Ten runs of an agent, one after another."""
        for _ in range(10):
            await flow.run(agent, "hello")
        return 10

    BODIES = {
        "10 steps": take_steps,
        "100 branches": take_branches,
        "10 agents": run_agents,
    }
    WORKFLOWS = {
        (body, kept): workflow(name=body, memory=STORED if kept == "stored" else UNSTORED)(function)
        for body, function in BODIES.items()
        for kept in ("unstored", "stored")
    }


def _repeat(runnable: Any, runtime: Runtime) -> Times:
    async def runs(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await runtime.run(runnable, "go")

    return runs


class Workflow:
    """A run of a workflow: `stored` in `memory:`, or `unstored`."""

    params = (("10 steps", "100 branches", "10 agents"), ("unstored", "stored"))
    param_names = ("body", "kept")

    def setup(self, body: str, kept: str) -> None:
        """Choose the workflow."""
        self.workflow = WORKFLOWS[body, kept]

    def time_100_runs(self, body: str, kept: str) -> None:
        """A hundred, one after another; opening the runtime is in it too."""
        in_runtime(lambda runtime: _repeat(self.workflow, runtime)(100))

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self, body: str, kept: str) -> float:
        """How many bare trio checkpoints a run takes as long as."""

        async def measure(runtime: Runtime) -> float:
            return await ratio(_repeat(self.workflow, runtime), checkpoints, times=20)

        return float(in_runtime(measure))


class Counts:
    """Exact counts of a workflow. Not of branches: trio orders the branches of a group at random."""

    params = (("10 steps", "10 agents"), ("unstored", "stored"))
    param_names = ("body", "kept")

    def setup(self, body: str, kept: str) -> None:
        """Choose the workflow."""
        self.workflow = WORKFLOWS[body, kept]

    @exact("calls")
    def track_python_calls(self, body: str, kept: str) -> int:
        """Python calls of a run."""

        async def measure(runtime: Runtime) -> int:
            return await measuring.python_calls(_repeat(self.workflow, runtime))

        return int(in_runtime(measure))


class Bare:
    """What a group is compared with: a bare nursery of a hundred tasks."""

    @measured_in("checkpoints")
    def track_checkpoints_a_nursery(self) -> float:
        """How many bare trio checkpoints it takes as long as."""

        async def nurseries(times: int) -> None:
            for _ in itertools.repeat(None, times):
                async with trio.open_nursery() as nursery:
                    for number in range(100):
                        nursery.start_soon(double.function, number)

        async def measure(runtime: Runtime) -> float:
            return await ratio(nurseries, checkpoints, times=100)

        return float(in_runtime(measure))
