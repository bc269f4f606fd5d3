"""A cooperative budget: the time a task may spend on runs without waiting, before it lets other tasks run.

A pass of trio's scheduler costs more than a third of a run whose model answers at once, so not every run makes one.
Tokio bounds its tasks in the same way: https://tokio.rs/blog/2020-04-preemption
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import trio

__all__ = ["UNTOUCHED", "Share", "sharing", "use_share"]

RUNS = 32
SECONDS = 200e-6
"""The share ends after this number of runs, or this long after its first run began, whichever is first.

Measured with runs of 7 µs: with 8 runs a share, a pass costs 6 % of a run, with 32 runs 2 %, with 128 runs 1 %. In
200 µs trio runs some fifty other tasks, so a task waiting its turn hardly notices the delay.
"""

UNTOUCHED = object()
"""Marks a task without a share in which nothing has waited since the run began."""

_share: tuple[float, float] = RUNS, SECONDS


class Share(msgspec.Struct, eq=False, gc=False):
    """The rest of a task's share: `left` runs, until the clock (`time.monotonic`) shows `until`.

    Stored in the task's `custom_sleep_data`, which trio clears whenever it reschedules the task. So a task that has
    waited gets a new share, without bookkeeping.
    """

    left: float
    until: float


def use_share(task: trio.lowlevel.Task, share: object, began: float) -> bool:
    """Take a run without waiting from the task's share; return whether the task must let others run now.

    `share` is the task's share when the run began, at `began`.
    """
    if type(share) is not Share:
        runs, seconds = _share
        share = task.custom_sleep_data = Share(runs, began + seconds)
    share.left -= 1
    return share.left <= 0 or time.monotonic() >= share.until


@contextmanager
def sharing(runs: float, seconds: float) -> Iterator[None]:
    """Give every task another share inside the block: `1, 0` to meet every interleaving, `inf, inf` to never yield.

    For the testing and measuring kits. The share holds for the whole process.
    """
    global _share  # noqa: PLW0603 - read at each run's end, and a global is the cheapest read
    before, _share = _share, (runs, seconds)
    try:
        yield
    finally:
        _share = before
