"""Seeded trio schedules: the one place that knows how trio puts runnable tasks in order, which is private to trio.

trio takes the tasks that can run as a batch, shuffles it with a random number generator of its own, and runs each for
one step. Here that generator is replaced by one with a seed, which may also hold a task back for a while: trio promises
no order, so whatever comes of it may happen to anybody, only seldom. Holding some tasks back far longer than others
finds what a fair shuffle hardly ever shows (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of
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

__all__ = ["Scheduler", "scheduler", "seeded"]

SLOWNESS = (0.0, 0.0, 0.3, 0.6, 0.9)
"""How likely a task is held back each time that it could run: one of these, drawn for each task."""


class Scheduler(random.Random):
    """Stands in for trio's generator. The same seed gives the same order to the same tasks."""

    holding: bool = False
    asked: int = 0

    def shuffle(self, x: Any) -> None:
        """Order a batch, and put the tasks that are held back into the next one."""
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
        trio_run().GLOBAL_RUN_CONTEXT.runner.runq.extend(held)


def trio_run() -> Any:
    """trio's scheduler module. Raises `UsageError` where it is not as it was when this was written."""
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


def scheduler() -> Scheduler | None:
    """The scheduler with a seed that is in force, if any."""
    generator = getattr(trio_run(), "_r", None)
    return generator if isinstance(generator, Scheduler) else None


@contextmanager
def seeded(seed: int, *, holding: bool = False) -> Iterator[Scheduler]:
    """Let trio runs inside the block take the schedule of that seed; `holding` lets most seeds hold tasks back, too.

    Raises `UsageError` when trio does not ask: then the schedule was not the seed's.
    """
    module = trio_run()
    before = module._r, module._ALLOW_DETERMINISTIC_SCHEDULING
    made = Scheduler(seed)
    made.holding = holding and made.random() < 0.75
    module._r, module._ALLOW_DETERMINISTIC_SCHEDULING = made, True
    try:
        # Each run yields, so that a schedule meets every interleaving.
        with sharing(1, 0):
            yield made
    finally:
        module._r, module._ALLOW_DETERMINISTIC_SCHEDULING = before
        made.__dict__.pop("slowness", None)
    if not made.asked:
        raise UsageError(
            f"nothing was run under a schedule: trio {trio.__version__} did not ask for an order",
            hint="Run trio in what is tried; if it does, use trio 0.32 to 0.35, or a newer agno-rt.",
        )
