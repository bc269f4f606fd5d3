"""Finds what a piece of code leaves behind: tasks, threads, processes, open files and sockets, unawaited coroutines."""

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
    """Raise `AssertionError` at the end of the block if it left anything behind: `with no_orphans():`.

    That is a task anywhere in trio's tree, trio's own included, that was not there before; a thread or a child process;
    a file, socket or pipe that is open; a file, socket or async generator that was dropped without being closed; a
    coroutine that was never awaited. The message says what it is and where it came from, as far as that is known; with
    `python -X tracemalloc=10` it is for more of them. trio's idle worker threads may stay.

    Without `resources` it looks for tasks alone, which takes next to no time: for what runs a thousand times. `allow`
    has regular expressions: what one of them is found in, as the message has it, may stay. A block that raises is not
    checked. Outside of trio, the block may have any number of `trio.run` in it.
    """
    with left_nothing(tasks=trio.lowlevel.in_trio_run(), resources=resources, allow=allow):
        yield


@contextmanager
def left_nothing(*, tasks: bool = False, resources: bool = True, allow: Sequence[str] = ()) -> Iterator[None]:
    """`no_orphans` for tasks or for the rest alone: looking for resources takes some 50 ms, for tasks next to none."""
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
