"""Whole situations: a thousand agents, requests with an agent each, a hundred agents together; and peaks of memory.

HTTP has a table of its own: here is the cost of making an agent for each request.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from agno_rt import Agent, Limits, Runtime

from .common import (
    INSTANT,
    ParkedModel,
    Times,
    double,
    few,
    in_runtime,
    measured_in,
    ratio,
    remember,
    session_runs,
    simple_runs,
)

TOOLS = (double,)
MANY = Limits(runs=100_000, queue=0, model_calls=100_000)


def _make_thousand() -> list[Agent]:
    return [Agent(INSTANT, f"agent {at}", "You help.", TOOLS) for at in range(1_000)]


class ThousandAgents:
    """A thousand agents, each with a name, instructions and a tool, made and kept."""

    def time_create(self) -> None:
        """Time of making the agents."""
        _make_thousand()

    @measured_in("bytes")
    def track_bytes(self) -> int:
        """Bytes of all agents, with names and list."""
        return _measure_kept(_make_thousand)


class Requests:
    """A thousand requests with a new agent each: one after another, or all at once."""

    params = ("one after another", "at once")
    param_names = ("come",)

    @measured_in("runs/s")
    def track_runs_a_second(self, come: str) -> float:
        """Requests a second, in the best of several rounds."""

        async def body(runtime: Runtime) -> float:
            runs, best = simple_runs(runtime), float("inf")
            for _ in range(few(7)):
                start = time.perf_counter()
                await (runs(1_000) if come == "one after another" else _run_together(lambda: runs(1), 1_000))
                best = min(best, time.perf_counter() - start)
            return 1_000 / best

        return float(in_runtime(body, limits=MANY))

    @measured_in("bytes")
    def track_bytes_held(self, come: str) -> int:
        """Peak of the memory of all requests."""

        async def body(runtime: Runtime) -> int:
            runs = simple_runs(runtime)
            await runs(50)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await (runs(1_000) if come == "one after another" else _run_together(lambda: runs(1), 1_000))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return peak - before

        return int(in_runtime(body, limits=MANY))


class Together:
    """A hundred agents, made and run together in one nursery; their models answer at once."""

    @measured_in("x")
    def track_ratio_to_bare_tasks(self) -> float:
        """Time relative to a hundred bare tasks with one checkpoint each."""

        async def bare(times: int) -> None:
            for _ in range(times):
                await _run_together(trio.lowlevel.checkpoint, 100)

        return float(in_runtime(lambda runtime: ratio(_repeat_hundreds(runtime), bare, times=10)))

    @measured_in("µs")
    def track_microseconds(self) -> float:
        """Time of all agents, in the best of several rounds."""

        async def body(runtime: Runtime) -> float:
            hundreds, best = _repeat_hundreds(runtime), float("inf")
            for _ in range(50):
                start = time.perf_counter()
                await hundreds(1)
                best = min(best, time.perf_counter() - start)
            return best * 1e6

        return float(in_runtime(body))

    @measured_in("bytes")
    def track_bytes(self) -> int:
        """Memory of all agents and tasks while each waits for its model."""

        async def body(runtime: Runtime) -> int:
            model = ParkedModel()
            async with trio.open_nursery() as nursery:
                tracemalloc.start()
                before, _ = tracemalloc.get_traced_memory()
                for at in range(100):
                    nursery.start_soon(runtime.run, Agent(model, f"agent {at}"), "hello")
                await trio.testing.wait_all_tasks_blocked()
                held, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                model.go.set()
            return held - before

        return int(in_runtime(body))


class Peak:
    """Peak of a process's memory, with Python, trio and this benchmark."""

    def peakmem_open_runtime(self) -> None:
        """Opening a runtime, and one simple run: the floor of the others."""
        in_runtime(lambda runtime: simple_runs(runtime)(1))

    def peakmem_10000_agents(self) -> None:
        """Ten thousand agents, all kept."""
        kept = [_make_thousand() for _ in range(10)]
        assert len(kept) == 10

    def peakmem_10000_runs(self) -> None:
        """Ten thousand runs, one after another."""
        in_runtime(lambda runtime: simple_runs(runtime)(10_000))

    def peakmem_10000_waiting_runs(self) -> None:
        """Ten thousand waiting runs at once."""

        async def body(runtime: Runtime) -> None:
            model = ParkedModel()
            agent = Agent(model, "parked")
            async with trio.open_nursery() as nursery:
                for _ in range(10_000):
                    nursery.start_soon(runtime.run, agent, "hello")
                await trio.testing.wait_all_tasks_blocked()
                model.go.set()

        in_runtime(body, limits=MANY)

    def peakmem_session_of_100000_messages(self) -> None:
        """A run in a session of a hundred thousand messages."""

        async def body(runtime: Runtime) -> None:
            await remember(runtime, 100_000)
            await session_runs(runtime)(1)

        in_runtime(body)


def _repeat_hundreds(runtime: Runtime) -> Times:
    async def hundreds(times: int) -> None:
        for _ in range(times):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(runtime.run, Agent(INSTANT, "assistant"), "hello")

    return hundreds


async def _run_together(one: Callable[[], Awaitable[object]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)


def _measure_kept(make: Callable[[], object]) -> int:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return after - before
