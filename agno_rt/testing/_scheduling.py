"""Seeded trio schedules: the only module that uses trio's private order of runnable tasks.

trio takes the runnable tasks as a batch, shuffles the batch with a random number generator of its own, and runs each
task for one step. Here a seeded generator replaces trio's, which may also hold tasks back for a while. trio promises no
order, so every schedule may happen to anybody, only seldom. Holding some tasks back far longer than others finds bugs
that a fair shuffle hardly ever shows (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of
Finding Bugs", ASPLOS 2010).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from agno_rt._drive.fairness import sharing
from agno_rt.errors import UsageError

__all__ = ["Scheduler", "current_scheduler", "use_seed"]

SLOWNESS = (0.0, 0.0, 0.3, 0.6, 0.9)
"""The chances, one drawn for each task, that the task is held back when it could run."""


class Scheduler(random.Random):
    """Replaces trio's random number generator. The same seed gives the same order to the same tasks."""

    holding: bool = False
    asked: int = 0

    def shuffle(self, x: Any) -> None:
        """Shuffle a batch, and move held tasks to the next batch."""
        self.asked += 1
        super().shuffle(x)
        if not self.holding:
            return
        slowness: dict[Any, float] = self.__dict__.setdefault("slowness", {})
        held = []
        for task in list(x):
            if task not in slowness:
                slowness[task] = self.choice(SLOWNESS)
            if slowness[task] and self.random() < slowness[task]:
                held.append(task)
                x.remove(task)
        find_trio_scheduler().GLOBAL_RUN_CONTEXT.runner.runq.extend(held)


def find_trio_scheduler() -> Any:
    """Return trio's scheduler module. Raises `UsageError` for a trio without the expected private names."""
    module = getattr(getattr(trio, "_core", None), "_run", None)
    names = ("_r", "_ALLOW_DETERMINISTIC_SCHEDULING", "GLOBAL_RUN_CONTEXT")
    missing = [name for name in names if not hasattr(module, name)]
    if missing:
        raise _unknown_trio(f"has no {missing[0]}")
    return module


def _unknown_trio(problem: str) -> UsageError:
    return UsageError(
        f"schedules cannot be seeded with trio {trio.__version__}: its scheduler {problem}",
        hint="Use trio 0.32 to 0.35, or a newer agno-rt.",
    )


def current_scheduler() -> Scheduler | None:
    """Return the seeded scheduler in force, if any."""
    generator = getattr(find_trio_scheduler(), "_r", None)
    return generator if isinstance(generator, Scheduler) else None


@contextmanager
def use_seed(seed: int, *, holding: bool = False) -> Iterator[Scheduler]:
    """Schedule trio runs inside the block by the seed; with `holding`, most seeds also hold tasks back.

    Raises `UsageError` if trio never asked for an order: then the seed had no effect.
    """
    module = find_trio_scheduler()
    before = module._r, module._ALLOW_DETERMINISTIC_SCHEDULING
    made = Scheduler(seed)
    # A quarter of the seeds keep the fair shuffle, which is closest to trio's own.
    made.holding = holding and made.random() < 0.75
    module._r, module._ALLOW_DETERMINISTIC_SCHEDULING = made, True
    try:
        # Make each run yield at every chance, so that schedules reach all interleavings.
        with sharing(1, 0):
            yield made
    finally:
        module._r, module._ALLOW_DETERMINISTIC_SCHEDULING = before
        # The keys are the tasks of the runs, which must not be kept alive.
        made.__dict__.pop("slowness", None)
    if not made.asked:
        raise UsageError(
            f"nothing was run under a schedule: trio {trio.__version__} did not ask for an order",
            hint="Run trio in the attempt. If it does run, use trio 0.32 to 0.35, or a newer agno-rt.",
        )
