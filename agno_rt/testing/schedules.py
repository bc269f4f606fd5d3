"""The schedule fuzzer: the same code under many seeded trio schedules, which is what a race detector is to threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import trio

from agno_rt.testing._repeat import clock_of, in_trio
from agno_rt.testing._scheduling import scheduler, seeded
from agno_rt.testing._wrapping import Wrapping

__all__ = ["Pauses", "pause", "run_schedules", "try_schedules"]

PAUSES = (0, 0, 1, 1, 2, 5)
"""How many checkpoints a pause takes: one of these."""


async def pause() -> None:
    """Let others run, for a few steps or not at all, as the schedule's seed has it; one checkpoint without a seed.

    For stand-ins of what really waits: a fake service that answers at once hides the races that a real one has.
    """
    seeds = scheduler()
    for _ in range(1 if seeds is None else seeds.choice(PAUSES)):
        await trio.lowlevel.checkpoint()


@final
class Pauses(Wrapping):
    """Wraps models, tools, memory backends and hooks so that they `pause` before and after they do their work."""

    async def _before(self, what: str) -> None:
        await pause()

    async def _after(self, what: str) -> None:
        await pause()


def try_schedules(attempt: Callable[[], object], count: int, *, first: int = 0) -> int:
    """Call `attempt`, which runs trio itself, under `count` schedules with the seeds from `first` on.

    Returns `count`. What an attempt raises says in a note which seed it was.
    """
    for seed in range(first, first + count):
        try:
            with seeded(seed, holding=True):
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
    """Run the scenario under `count` schedules, those with the seeds from `first` on, each in a trio run of its own.

    A schedule decides in which order tasks that could run do run, and which are held back and for how long. The same
    seed gives the same schedule to the same code, as long as nothing comes from outside: no threads, no network; and no
    clock, so it is a virtual one unless `virtual` is false.

    Returns `count`, and raises what the scenario raises, with a note that names the seed.
    """
    return try_schedules(lambda: in_trio(scenario, clock_of(virtual)), count, first=first)
