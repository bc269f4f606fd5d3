"""Workflows: what steps, branches and the record of them cost. The models and steps answer at once."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import tracemalloc
from contextlib import nullcontext
from typing import Any

import trio

from agno_rt import Agent, Runtime

from .common import (
    INSTANT,
    Parts,
    Times,
    checkpoints,
    exact,
    few,
    in_runtime,
    measured_in,
    measuring,
    ratio,
    seconds,
    sqlite_url,
)
from .counting import Statements, statements
from .sqlite import measure_rate

with Parts() as setup:
    from agno_rt import Flow, step, workflow
    from agno_rt import Workflow as Declared
    from agno_rt.errors import StepFailed
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
            return await ratio(_repeat(self.workflow, runtime), checkpoints, times=2, rounds=150)

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


async def _open_nurseries(times: int) -> None:
    """Open bare nurseries of a hundred tasks, with which a group is compared."""
    for _ in itertools.repeat(None, times):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(double.function, number)


class Bare:
    """A bare nursery of a hundred tasks."""

    @measured_in("checkpoints")
    def track_checkpoints_a_nursery(self) -> float:
        """Time of the nursery in bare trio checkpoints."""

        async def measure(runtime: Runtime) -> float:
            return await ratio(_open_nurseries, checkpoints, times=100)

        return float(in_runtime(measure))


class Beside:
    """A run of a workflow beside the same work without a workflow."""

    params = ("unstored", "stored")
    param_names = ("kept",)

    @measured_in("x")
    def track_ratio_to_bare_nursery(self, kept: str) -> float:
        """A group of a hundred branches with a step each, relative to a bare nursery of a hundred tasks."""

        async def measure(runtime: Runtime) -> float:
            groups = _repeat(WORKFLOWS["100 branches", kept], runtime)
            return await ratio(groups, _open_nurseries, times=1, rounds=100)

        return float(in_runtime(measure))

    @measured_in("x")
    def track_ratio_to_simple_runs(self, kept: str) -> float:
        """Ten runs of an agent one after another, relative to a single run of the agent."""

        async def measure(runtime: Runtime) -> float:
            flows = _repeat(WORKFLOWS["10 agents", kept], runtime)
            return await ratio(flows, _repeat(agent, runtime), times=5, rounds=100)

        return float(in_runtime(measure))


class Long:
    """A workflow of a thousand steps, of which the last fails at first."""

    params = ("memory", "sqlite")
    param_names = ("backend",)

    @measured_in("ms")
    def track_milliseconds_replayed(self, backend: str) -> float:
        """Time from the resumption to the end of the run: a thousand steps are found, and one is taken again."""

        async def measure(runtime: Runtime) -> float:
            failing = True

            @step(idempotent=True)
            async def last() -> int:
                """Fail, once."""
                if failing:
                    raise LookupError("not yet")
                return 1

            @workflow
            async def thousand(flow: Flow) -> int:
                """Take a thousand steps, and the last one."""
                for _ in range(1_000):
                    await double(1)
                return await last()

            best = float("inf")
            for _ in range(5):
                failing = True
                try:
                    await runtime.run(thousand, "go")
                except StepFailed as error:
                    run = error.result.run_id
                failing = False
                start = time.perf_counter()
                await runtime.resume(run, thousand)
                best = min(best, time.perf_counter() - start)
            return best * 1e3

        with sqlite_url("normal") if backend == "sqlite" else nullcontext("memory:") as url:
            return float(in_runtime(measure, memory=url))


class Durable:
    """A workflow of ten steps, each stored in an SQLite file before the next begins (`synchronous=full`)."""

    timeout = 300

    @measured_in("ms")
    def track_milliseconds(self) -> float:
        """Time of one run, which also stores its beginning and its end; the best of several."""

        async def measure(runtime: Runtime) -> float:
            return await seconds(_repeat(WORKFLOWS["10 steps", "stored"], runtime), 1, rounds=50) * 1e3

        with sqlite_url("full") as url:
            return float(in_runtime(measure, memory=url))

    @exact("statements")
    def track_statements(self) -> int:
        """Statements of one run that SQLite gets, with beginnings and ends of transactions."""
        with sqlite_url() as url, Statements() as opened:

            async def count(runtime: Runtime) -> int:
                return await statements(_repeat(WORKFLOWS["10 steps", "stored"], runtime), opened)

            return int(in_runtime(count, memory=url))

    @measured_in("steps/s")
    def track_steps_a_second(self) -> float:
        """Steps of a hundred runs at once, beginnings and ends included: the best of several rounds."""

        async def measure(runtime: Runtime) -> float:
            async def one(number: int, turn: int) -> None:
                await runtime.run(WORKFLOWS["10 steps", "stored"], "go")

            return 12 * max([await measure_rate(one, 5) for _ in range(few(5))])

        with sqlite_url("full") as url:
            return float(in_runtime(measure, memory=url))


RESUME = """
import sys
from agno_rt import Ask, Flow, Runtime, workflow
import trio

@workflow
async def question(flow: Flow) -> bool:
    return await flow.ask(Ask(bool, "Go on?"))

async def main():
    async with Runtime(memory=sys.argv[1]) as runtime:
        if len(sys.argv) > 2:
            result = await runtime.resume(sys.argv[2], question)
            assert result.output is True
        else:
            result = await runtime.run(question, "go")
            await runtime.answer(result.approvals[0].id, True)
            print(result.run_id)

trio.run(main)
"""


class Elsewhere:
    """A workflow that pauses in a process for a question, which is answered there, and goes on in another process."""

    @measured_in("s")
    def track_seconds_to_resumed(self) -> float:
        """Time from the start of the other process to its end: imports, the resumed run, and closing. The best of 7."""
        best = float("inf")
        # With compiled modules, as an installed program has: otherwise most of the time is Python's compiler.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        with sqlite_url() as url:
            for _ in range(few(7)):
                run = subprocess.run(
                    [sys.executable, "-c", RESUME, url], check=True, capture_output=True, text=True, env=environment
                ).stdout.strip()
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", RESUME, url, run], check=True, env=environment)
                best = min(best, time.perf_counter() - start)
        return best


class HundredAgents:
    """A hundred agents in one workflow, one after another: made, run, and kept."""

    def _make(self) -> Any:
        return Declared("hundred", [Agent(INSTANT, f"agent {at}") for at in range(100)], memory=UNSTORED)

    def time_create(self) -> None:
        """Time of making the workflow and its agents."""
        self._make()

    def time_run(self) -> None:
        """Time of opening a runtime, and of the first run."""
        in_runtime(lambda runtime: _repeat(self._make(), runtime)(1))

    @measured_in("x")
    def track_ratio_to_simple_runs(self) -> float:
        """A run of the workflow, relative to a hundred runs one after another without a workflow."""

        async def measure(runtime: Runtime) -> float:
            async def hundreds(times: int) -> None:
                await _repeat(agent, runtime)(100 * times)

            return await ratio(_repeat(self._make(), runtime), hundreds, times=1, rounds=100)

        return float(in_runtime(measure))

    @measured_in("bytes")
    def track_bytes(self) -> int:
        """Bytes of the workflow and its agents, with their names."""
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            kept = self._make()
            after, _ = tracemalloc.get_traced_memory()
            del kept
            return after - before
        finally:
            tracemalloc.stop()
