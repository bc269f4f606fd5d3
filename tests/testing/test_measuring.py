"""The measuring kit, on bodies whose costs are known."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
import trio

from agno_rt.testing import measuring


def nothing() -> None:
    """One Python call."""


async def calls(times: int) -> None:
    """Three Python calls each."""
    for _ in range(times):
        nothing()
        nothing()
        nothing()


async def holding(times: int) -> None:
    """Ten thousand bytes each, one after another."""
    for _ in range(times):
        held = bytearray(10_000)
        del held


async def test_python_calls() -> None:
    """Each call counts, and only those of one more of the body."""
    assert await measuring.python_calls(calls) == 3


async def test_scheduler_steps() -> None:
    """A checkpoint is a step; the steps of tasks that the body starts are among them."""

    async def children(times: int) -> None:
        for _ in range(times):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                nursery.start_soon(trio.lowlevel.checkpoint)

    assert await measuring.scheduler_steps(measuring.checkpoints) == 1
    assert await measuring.scheduler_steps(calls) == 0
    assert await measuring.scheduler_steps(children) == 5


async def test_bytes_held() -> None:
    """The most at a time is one of them, however many there are; nothing is left on."""
    assert 10_000 <= await measuring.bytes_held(holding) < 11_000
    assert gc.isenabled()
    assert not tracemalloc.is_tracing()


async def test_bodies_take_turns() -> None:
    """A ratio is of rounds in which the two take turns, each as often as asked."""
    turns: list[tuple[str, int]] = []

    async def one(times: int) -> None:
        turns.append(("one", times))
        await calls(times)

    async def other(times: int) -> None:
        turns.append(("other", times))
        await calls(times)

    assert await measuring.ratio(one, other, times=7, rounds=2) > 0
    assert turns == [("one", 7), ("other", 7)] * 2


async def test_seconds() -> None:
    """The time is that of one, in rounds of so many."""
    asked: list[int] = []

    async def body(times: int) -> None:
        asked.append(times)
        await calls(times)

    assert await measuring.seconds(body, times=7, rounds=3) > 0
    assert asked == [7, 7, 7]


@pytest.mark.parametrize("count", [measuring.python_calls, measuring.scheduler_steps, measuring.bytes_held])
async def test_a_body_that_fails(count: measuring.Times) -> None:
    """Its error goes to the caller, and nothing is left on."""

    async def failing(times: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await count(failing)  # type: ignore[arg-type]  # a counter is called like a body here
    assert gc.isenabled()
    assert not tracemalloc.is_tracing()
