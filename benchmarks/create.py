"""Creating agents: the time and bytes of one agent, and the time of many agents in tasks or threads."""

from __future__ import annotations

import itertools
import os
import sys
import time
import tracemalloc
from collections.abc import Callable

import attrs
import trio

from agno_rt import Agent
from agno_rt.memory import MemoryPolicy

from .common import INSTANT, Times, double, exact, measured_in, ratio
from .counting import allocations, memray_is_here

TOOLS = (double,)
POLICY = MemoryPolicy(20)
MANY = 10_000


Bare = attrs.make_class(
    "Bare",
    {field.name: attrs.field(default=None) for field in attrs.fields(Agent)},
    eq=False,
    slots=True,
    weakref_slot=False,
)
"""The floor: a slotted attrs object with as many fields as an agent."""

MAKERS: dict[str, Callable[[], object]] = {
    "simple": lambda: Agent(INSTANT, "assistant"),
    "with tools": lambda: Agent(INSTANT, "assistant", "", TOOLS),
    "with memory": lambda: Agent(INSTANT, "assistant", "", (), None, POLICY),
}


class Create:
    """An agent, made as a program makes one. Its time includes two calls of the benchmark's own.

    The table beside other frameworks has less, because its agents are made in a loop.
    """

    params = tuple(MAKERS)
    param_names = ("agent",)

    def setup(self, agent: str) -> None:
        """Choose the agent."""
        self.make = MAKERS[agent]

    def time_create(self, agent: str) -> None:
        """One agent."""
        self.make()

    @measured_in("x")
    def track_ratio_to_bare_object(self, agent: str) -> float:
        """How much longer it takes than a bare slotted object, made in turns with it."""
        bare: Callable[[], object] = lambda: Bare(INSTANT, "assistant")  # noqa: E731 - the same call as the agents'
        best = [float("inf"), float("inf")]
        for _ in range(200):
            for at, make in enumerate((self.make, bare)):
                start = time.perf_counter()
                for _ in range(500):
                    make()
                best[at] = min(best[at], time.perf_counter() - start)
        return best[0] / best[1]

    @exact("bytes")
    def track_bytes(self, agent: str) -> int:
        """The bytes that each of 10,000 agents holds, the garbage collector's header included."""
        made: list[object] = [None] * MANY
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for at in range(len(made)):
                made[at] = self.make()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return round((after - before) / len(made))

    @exact("allocations", setup=memray_is_here)
    def track_allocations(self, agent: str) -> int:
        """How often making one asks for memory."""

        async def make(times: int) -> None:
            for _ in itertools.repeat(None, times):
                self.make()

        return trio.run(allocations, make)


class Python:
    """The Python of the tables."""

    @measured_in("threads")
    def track_threads_at_once(self) -> int:
        """Number of threads that run Python at a time: all processors, or one with the global lock."""
        has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
        return 1 if has_lock() else os.cpu_count() or 1


class Parallel:
    """Ten thousand agents made by a hundred tasks of a nursery, or by two threads, against one loop."""

    params = ("tasks", "threads")
    param_names = ("made_by",)

    @measured_in("x")
    def track_ratio_to_one_loop(self, made_by: str) -> float:
        """Time relative to the loop: below 1 pays. With the global lock, only a single thread runs Python."""
        several: Times = self._in_tasks if made_by == "tasks" else self._in_threads

        async def one_loop(times: int) -> None:
            for _ in range(times):
                self._make_agents(MANY)

        return trio.run(ratio, several, one_loop, 3, 10)

    def _make_agents(self, count: int) -> None:
        for _ in range(count):
            Agent(INSTANT, "assistant")

    async def _in_tasks(self, times: int) -> None:
        async def task() -> None:
            self._make_agents(MANY // 100)

        for _ in range(times):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(task)

    async def _in_threads(self, times: int) -> None:
        for _ in range(times):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(trio.to_thread.run_sync, self._make_agents, MANY // 2)
