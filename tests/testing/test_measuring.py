"""The measuring kit, on bodies with known costs."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import trio

from agno_rt.testing import measuring


def do_nothing() -> None:
    """Return at once, for the cost of a Python call."""


async def make_calls(times: int) -> None:
    """Make three Python calls each time."""
    for _ in range(times):
        do_nothing()
        do_nothing()
        do_nothing()


async def hold_bytes(times: int) -> None:
    """Hold ten thousand bytes each time, one after another."""
    for _ in range(times):
        held = bytearray(10_000)
        del held


async def test_python_calls() -> None:
    """The count has the calls of one repetition of the body."""
    assert await measuring.python_calls(make_calls) == 3


async def test_scheduler_steps() -> None:
    """A checkpoint is a step, in the body's own tasks too."""

    async def children(times: int) -> None:
        for _ in range(times):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                nursery.start_soon(trio.lowlevel.checkpoint)

    assert await measuring.scheduler_steps(measuring.checkpoints) == 1
    assert await measuring.scheduler_steps(make_calls) == 0
    assert await measuring.scheduler_steps(children) == 5


async def test_bytes_held() -> None:
    """The peak has one repetition's bytes, for any number of repetitions; tracing is off afterwards."""
    assert 10_000 <= await measuring.bytes_held(hold_bytes) < 11_000
    assert gc.isenabled()
    assert not tracemalloc.is_tracing()


async def test_bodies_take_turns() -> None:
    """The two bodies of a ratio take turns, each with the requested repetitions."""
    turns: list[tuple[str, int]] = []

    async def one(times: int) -> None:
        turns.append(("one", times))
        await make_calls(times)

    async def other(times: int) -> None:
        turns.append(("other", times))
        await make_calls(times)

    assert await measuring.ratio(one, other, times=7, rounds=2) > 0
    assert turns == [("one", 7), ("other", 7)] * 2


async def test_seconds() -> None:
    """The result is the time of one repetition, measured in rounds of several."""
    asked: list[int] = []

    async def body(times: int) -> None:
        asked.append(times)
        await make_calls(times)

    assert await measuring.seconds(body, times=7, rounds=3) > 0
    assert asked == [7, 7, 7]


@pytest.mark.parametrize("count", [measuring.python_calls, measuring.scheduler_steps, measuring.bytes_held])
async def test_a_body_that_fails(count: measuring.Times) -> None:
    """The body's error goes to the caller, and tracing is off afterwards."""

    async def failing(times: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await count(failing)  # type: ignore[arg-type]  # a counter is called like a body here
    assert gc.isenabled()
    assert not tracemalloc.is_tracing()
