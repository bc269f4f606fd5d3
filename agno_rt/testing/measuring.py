"""Measure the cost of an async body under trio: in time, against another body, and in exact counts.

For benchmarks, `agno-rt bench`, and plugin authors who test their own costs. Knows no agent and no runtime. A body is
an async function with a parameter for the number of repetitions, so that one `trio.run` times many.
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
    """Run bare trio checkpoints: the least cost of any run, for comparison with other bodies."""
    for _ in range(times):
        await trio.lowlevel.checkpoint()


async def seconds(body: Times, times: int = 500, rounds: int = 15) -> float:
    """Return the seconds for one repetition of `body`: the best of the rounds, each with `times` repetitions."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        await body(times)
        best = min(best, time.perf_counter() - start)
    return best / times


async def ratio(one: Times, other: Times, times: int = 500, rounds: int = 15) -> float:
    """Return the time of `one` divided by the time of `other`, each the best of rounds in which they take turns."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, body in enumerate((one, other)):
            start = time.perf_counter()
            await body(times)
            best[at] = min(best[at], time.perf_counter() - start)
    return best[0] / best[1]


async def python_calls(body: Times) -> int:
    """Count the Python function calls of one more repetition of `body`: exact, for one version of Python.

    The count excludes the scheduler's pass that a task owes after many runs without a wait.
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
    """Prevent a task in the block from owing the scheduler a pass, however many runs it makes without a wait.

    Counts then depend neither on the number of earlier runs nor on time.
    """
    with sharing(inf, inf):
        await trio.lowlevel.checkpoint()  # ends the share of time that began before
        yield


class _Steps(trio.abc.Instrument):
    def __init__(self) -> None:
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1


async def scheduler_steps(body: Times) -> int:
    """Count the steps of trio's scheduler for one more repetition of `body`, in all tasks: exact.

    The count excludes the pass that a task owes after many runs without a wait, since such a run takes no step.
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
    """Return the most bytes that one repetition of `body` holds at a time: the least of the rounds.

    Other threads allocate memory, too, and can only add to a round.
    """
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        async with unshared():
            await body(50)
            tracemalloc.start()
            return min([await _measure_peak(body) for _ in range(rounds)])
    finally:
        tracemalloc.stop()
        if collecting:
            gc.enable()


async def _measure_peak(body: Times) -> int:
    await body(1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    await body(1)
    return tracemalloc.get_traced_memory()[1] - before
