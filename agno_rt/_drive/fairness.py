"""A cooperative budget: how long a task may go on with runs in which nothing waits, before it lets other tasks run.

A pass of trio's scheduler costs more than a third of a run whose model answers at once, so a run does not pay one each
time. Tokio bounds its tasks in the same way: https://tokio.rs/blog/2020-04-preemption
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
"""The share: so many runs, or so long since the first of them began, whichever is first.

Measured with runs of 7 µs: 8 runs a share leave a pass at 6 % of a run, 32 at 2 %, 128 at 1 %; 200 µs is what trio
takes for some fifty other tasks, so that a task which waits its turn hardly notices.
"""

UNTOUCHED = object()
"""Marks a task in which nothing has waited since its run began, and which has no share yet."""

_share: tuple[float, float] = RUNS, SECONDS


class Share(msgspec.Struct, eq=False, gc=False):
    """The rest of a task's share: `left` runs, until the clock (`time.monotonic`) shows `until`.

    It lies in the task's `custom_sleep_data`, which trio clears whenever the task is rescheduled: a task that has
    waited begins anew, without anybody's counting.
    """

    left: float
    until: float


def use_share(task: trio.lowlevel.Task, share: object, began: float) -> bool:
    """Take a run in which nothing waited from the task's share, and tell whether the task must let others run now.

    `share` is what the task had when the run began, at `began`.
    """
    if type(share) is not Share:
        runs, seconds = _share
        share = task.custom_sleep_data = Share(runs, began + seconds)
    share.left -= 1
    return share.left <= 0 or time.monotonic() >= share.until


@contextmanager
def sharing(runs: float, seconds: float) -> Iterator[None]:
    """Give every task another share inside the block: `1, 0` to meet every interleaving, `inf, inf` to never yield.

    For the testing and measuring kits: it holds for the whole process.
    """
    global _share  # noqa: PLW0603 - read at each run's end, where anything else costs more
    before, _share = _share, (runs, seconds)
    try:
        yield
    finally:
        _share = before
