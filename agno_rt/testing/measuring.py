"""Measures what an async body costs under trio: in time, against another, and in counts that no noise can touch.

For benchmarks, `agno-rt bench`, and plugin authors who hold their own costs in a test. Knows no agent and no runtime.
A body is an async function that is told how often to do its thing, so that one `trio.run` times many.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from types import FrameType

import trio

from agno_rt._drive.fairness import sharing

__all__ = ["Times", "bytes_held", "checkpoints", "python_calls", "ratio", "scheduler_steps", "seconds", "unshared"]

Times = Callable[[int], Awaitable[None]]


async def checkpoints(times: int) -> None:
    """The body that other bodies are compared with: bare trio checkpoints, the floor of every run."""
    for _ in range(times):
        await trio.lowlevel.checkpoint()


async def seconds(body: Times, times: int = 500, rounds: int = 15) -> float:
    """How many seconds one of `body` takes: the best of the rounds, each of which does it so many times."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        await body(times)
        best = min(best, time.perf_counter() - start)
    return best / times


async def ratio(one: Times, other: Times, times: int = 500, rounds: int = 15) -> float:
    """How many times as long `one` takes as `other`: the best of rounds in which the two take turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, body in enumerate((one, other)):
            start = time.perf_counter()
            await body(times)
            best[at] = min(best[at], time.perf_counter() - start)
    return best[0] / best[1]


async def python_calls(body: Times) -> int:
    """The Python function calls that one more of `body` makes: exact, for one version of Python.

    Without those of the scheduler's pass that a task owes after many runs in which nothing waited.
    """
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

    # Here and not in a function for both: a frame more would be resumed, and counted, at each wait.
    async with unshared():
        await body(3)
        return await counted(2) - await counted(1)


@asynccontextmanager
async def unshared() -> AsyncIterator[None]:
    """Let no task owe the scheduler a pass inside the block, however many runs it makes in which nothing waits.

    So counts do not depend on how many runs came before, nor on time.
    """
    with sharing(inf, inf):
        await trio.lowlevel.checkpoint()  # an older share ends here
        yield


class _Steps(trio.abc.Instrument):
    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1


async def scheduler_steps(body: Times) -> int:
    """The steps of trio's scheduler that one more of `body` takes, in all tasks: exact.

    Without the pass that a task owes after many runs in which nothing waited: such a run takes none.
    """

    async def counted(times: int) -> int:
        steps = _Steps()
        trio.lowlevel.add_instrument(steps)
        try:
            await body(times)
        finally:
            trio.lowlevel.remove_instrument(steps)
        return steps.steps

    # Here and not in a function for both: a frame more would be resumed, and counted, at each wait.
    async with unshared():
        await body(3)
        return await counted(2) - await counted(1)


async def bytes_held(body: Times, rounds: int = 20) -> int:
    """The most bytes that one of `body` holds at a time: the least of the rounds, since other threads allocate too."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        async with unshared():
            await body(50)
            tracemalloc.start()
            return min([await _peak(body) for _ in range(rounds)])
    finally:
        tracemalloc.stop()
        if collecting:
            gc.enable()


async def _peak(body: Times) -> int:
    await body(1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    await body(1)
    return tracemalloc.get_traced_memory()[1] - before
