"""A limiter admits at once, queues in order, refuses beyond the queue, and reports statistics."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from agno_rt import Limiter
from agno_rt.errors import Overloaded
from agno_rt.limits import LimitStatistics


async def test_admits_up_to_its_total_without_waiting() -> None:
    """Entering and leaving below the total are not checkpoints."""
    limiter = Limiter("runs", 2)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with limiter, limiter:
            assert limiter.statistics() == LimitStatistics("runs", 2, 2, 0)
            assert not limiter.try_acquire()

    assert not scope.cancelled_caught
    assert limiter.statistics() == LimitStatistics("runs", 2, 0, 0)


async def test_serves_waiters_in_order() -> None:
    """Waiters are served in order, and a newcomer cannot overtake a waiter just woken."""
    limiter = Limiter("runs", 1)
    served: list[int] = []

    async def wait(number: int) -> None:
        async with limiter:
            served.append(number)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        await limiter.acquire()
        for number in range(5):
            nursery.start_soon(wait, number)
            await wait_all_tasks_blocked()
        assert limiter.statistics() == LimitStatistics("runs", 1, 1, 5)
        limiter.release()
        assert not limiter.try_acquire()

    assert served == [0, 1, 2, 3, 4]
    assert limiter.statistics().in_use == 0


async def test_refuses_beyond_its_queue() -> None:
    """A caller beyond the queue is refused at once, with the limit's name and a remedy."""
    limiter = Limiter("runs", 1, 1)

    async with trio.open_nursery() as nursery:
        await limiter.acquire()
        nursery.start_soon(limiter.acquire)
        await wait_all_tasks_blocked()
        with pytest.raises(Overloaded, match="limit runs is reached: 1 under way, 1 waiting") as caught:
            await limiter.acquire()
        limiter.release()

    assert caught.value.limit == "runs"
    assert caught.value.hint == "Try again later, or raise runs (1) or its queue (1)."


async def test_no_queue_at_all() -> None:
    """A queue of 0 refuses every caller who would have to wait."""
    limiter = Limiter("runs", 1, 0)

    async with limiter:
        with pytest.raises(Overloaded):
            await limiter.acquire()
    assert limiter.try_acquire()


async def test_one_that_gave_up_waiting_is_passed_over() -> None:
    """A cancelled waiter leaves the queue, and the next waiter gets the place."""
    limiter = Limiter("runs", 1)
    served: list[str] = []

    async def wait(name: str) -> None:
        async with limiter:
            served.append(name)

    async with trio.open_nursery() as nursery:
        await limiter.acquire()
        with trio.move_on_after(0):
            await wait("cancelled")
        nursery.start_soon(wait, "next")
        await wait_all_tasks_blocked()
        limiter.release()

    assert served == ["next"]
    assert limiter.statistics() == LimitStatistics("runs", 1, 0, 0)


async def test_a_place_given_to_a_task_that_is_cancelled_is_not_lost() -> None:
    """A waiter woken and cancelled in the same moment gives the place back."""
    limiter = Limiter("runs", 1)

    async def wait(scope: trio.CancelScope) -> None:
        with scope:
            async with limiter:
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await limiter.acquire()
        nursery.start_soon(wait, scope)
        await wait_all_tasks_blocked()
        limiter.release()
        scope.cancel()

    assert limiter.statistics() == LimitStatistics("runs", 1, 0, 0)


async def test_gives_its_place_back_on_an_error() -> None:
    """An error inside gives the place back."""
    limiter = Limiter("runs", 1)
    with pytest.raises(ValueError, match="oops"):
        async with limiter:
            raise ValueError("oops")

    assert limiter.statistics().in_use == 0


@given(st.integers(1, 4), st.integers(0, 4), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=25))
def test_never_more_than_its_total(total: int, queue: int, tasks: list[tuple[int, bool]]) -> None:
    """No more than `total` tasks are inside, and no more than `queue` wait; in the end, no place is taken."""
    limiter = Limiter("x", total, queue)
    inside = 0

    async def work(steps: int, give_up: bool) -> None:
        nonlocal inside
        with trio.CancelScope() as scope:
            if give_up:
                scope.cancel()
            try:
                async with limiter:
                    inside += 1
                    try:
                        assert inside <= total
                        assert limiter.statistics().waiting <= queue
                        for _ in range(steps):
                            await trio.lowlevel.checkpoint()
                    finally:
                        inside -= 1
            except Overloaded:
                assert limiter.statistics().waiting == queue

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(work, *task)

    trio.run(main)
    assert limiter.statistics() == LimitStatistics("x", total, 0, 0)
