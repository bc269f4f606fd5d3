"""What a plain run asks of Python and of trio, counted: what is not used must not cost."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import trio

from agno_rt import Agent, Message, Runtime
from benchmarks.common import INSTANT, Times, python_calls, scheduler_steps, simple_runs, tool_runs

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="the baseline was counted on CPython 3.11; others count differently"
)


def session_runs(runtime: Runtime) -> Times:
    """Runs in a session that has a hundred messages."""
    agent = Agent(INSTANT, "assistant")

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(agent, "hello", session="s")

    return runs


async def counted(count: Callable[[Times], Awaitable[int]], body: Callable[[Runtime], Times]) -> int:
    """Count in a runtime whose session has a hundred messages."""
    async with Runtime() as rt:
        past = [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(100)]
        await rt.memory.append("s", past, version=0)
        return await count(body(rt))


BASELINE: dict[Callable[[Runtime], Times], int] = {simple_runs: 58, tool_runs: 94, session_runs: 85}
"""Python calls of the first slice, the benchmark's own model and trio's checkpoint included."""


@pytest.mark.parametrize("body", BASELINE)
def test_python_calls(body: Callable[[Runtime], Times]) -> None:
    """A run makes at most a tenth more Python calls than in the first slice, which could do far less."""
    assert trio.run(counted, python_calls, body) <= BASELINE[body] * 1.1


@pytest.mark.parametrize("body", BASELINE)
def test_scheduler_steps(body: Callable[[Runtime], Times]) -> None:
    """A run is one step of the scheduler: the one checkpoint that it owes."""
    assert trio.run(counted, scheduler_steps, body) == 1


async def held_at_most(body: Times) -> int:
    """The most bytes that one run holds at a time: the least of several counts, since other threads allocate too."""
    await body(50)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        return min([await _peak(body) for _ in range(20)])
    finally:
        tracemalloc.stop()
        gc.enable()


async def _peak(body: Times) -> int:
    await body(1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    await body(1)
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.parametrize(("body", "baseline"), [(simple_runs, 2_608), (tool_runs, 3_996)])
def test_bytes_held(body: Callable[[Runtime], Times], baseline: int) -> None:
    """A run holds at most a tenth more than in the first slice."""
    assert trio.run(counted, held_at_most, body) <= baseline * 1.1
