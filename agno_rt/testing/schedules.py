"""The schedule fuzzer: runs code under many seeded trio schedules, as a race detector for tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import trio

from agno_rt.testing._repeat import make_clock, run_in_trio
from agno_rt.testing._scheduling import current_scheduler, use_seed
from agno_rt.testing._wrapping import Wrapping

__all__ = ["Pauses", "pause", "run_schedules", "try_schedules"]

PAUSES = (0, 0, 1, 1, 2, 5)
"""The possible lengths of a pause, in checkpoints."""


async def pause() -> None:
    """Let other tasks run for a few steps or none, as the seed decides; one checkpoint without a seed.

    For stand-ins of slow services: a fake service that answers at once hides races of the real service.
    """
    seeds = current_scheduler()
    for _ in range(1 if seeds is None else seeds.choice(PAUSES)):
        await trio.lowlevel.checkpoint()


@final
class Pauses(Wrapping):
    """Wraps models, tools, memory backends and hooks so that they `pause` before and after their work."""

    async def _before(self, what: str) -> None:
        await pause()

    async def _after(self, what: str) -> None:
        await pause()


def try_schedules(attempt: Callable[[], object], count: int, *, first: int = 0) -> int:
    """Call `attempt`, which runs trio itself, under `count` schedules, with seeds from `first` on.

    Returns `count`. Errors of an attempt get a note that names the seed.
    """
    for seed in range(first, first + count):
        try:
            with use_seed(seed, holding=True):
                attempt()
        except BaseException as exc:
            exc.add_note(
                f"agno_rt: under the schedule of seed {seed}, after {seed - first} that passed. "
                f"Replay it: first={seed}, count=1, or pytest --agno-rt-seed={seed}."
            )
            raise
    return count


def run_schedules(
    scenario: Callable[[], Awaitable[object]], count: int = 1_000, *, first: int = 0, virtual: bool = True
) -> int:
    """Run the scenario under `count` schedules, with seeds from `first` on, each in a trio run of its own.

    A schedule decides the order of runnable tasks, and how long some tasks are held back. The same seed gives the same
    schedule to the same code, unless something comes from outside: threads, the network, or a real clock. The clock is
    virtual unless `virtual` is false.

    Returns `count`. Raises the errors of the scenario, with a note that names the seed.
    """
    return try_schedules(lambda: run_in_trio(scenario, make_clock(virtual)), count, first=first)
