"""Finds leftovers of a block of code: tasks, threads, processes, open files and sockets, unawaited coroutines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import trio

from agno_rt.testing._leaks import ResourceWatch
from agno_rt.testing._tasks import TaskWatch

__all__ = ["left_nothing", "no_orphans"]


@contextmanager
def no_orphans(*, resources: bool = True, allow: Sequence[str] = ()) -> Iterator[None]:
    """Raise `AssertionError` at the end of the block if the block left anything behind: `with no_orphans():`.

    Leftovers are new tasks anywhere in trio's tree, including trio's own; threads and child processes; open files,
    sockets and pipes; files, sockets and async generators that were dropped without being closed; coroutines that were
    never awaited. The message names each with its origin if known; `python -X tracemalloc=10` makes more origins known.
    Idle worker threads of trio may stay.

    Without `resources`, only tasks are checked, which takes next to no time: for blocks that run a thousand times.
    `allow` are regular expressions: lines of the message that match one may stay. A block that raises is not checked.
    Outside of trio, the block may contain any number of `trio.run`.
    """
    with left_nothing(tasks=trio.lowlevel.in_trio_run(), resources=resources, allow=allow):
        yield


@contextmanager
def left_nothing(*, tasks: bool = False, resources: bool = True, allow: Sequence[str] = ()) -> Iterator[None]:
    """Check as `no_orphans`, for tasks or resources alone: resources take some 50 ms, tasks next to nothing."""
    with ExitStack() as stack:
        watches: list[TaskWatch | ResourceWatch] = []
        if tasks:
            watches.append(stack.enter_context(TaskWatch()))
        if resources:
            watches.append(stack.enter_context(ResourceWatch()))
        yield
        found = [line for watch in watches for line in watch.left()]
    left = [line for line in found if not any(re.search(pattern, line) for pattern in allow)]
    if left:
        lines = "".join(f"\n- {line}" for line in left)
        raise AssertionError(f"{len(left)} {'thing was' if len(left) == 1 else 'things were'} left behind:{lines}")
