"""Runs one attempt after another, each with something happening at its next point, until one meets no more points."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio
from trio.testing import MockClock

from agno_rt.errors import UsageError
from agno_rt.testing._scheduling import seeded
from agno_rt.testing._tasks import tasks, where

__all__ = ["ATTEMPT_SECONDS", "VIRTUAL_SECONDS", "Points", "Repeat", "clock_of", "everywhere", "in_trio"]

ATTEMPT_SECONDS = 60.0
"""How long one attempt may take, before what it does counts as a hang."""

VIRTUAL_SECONDS = 24 * 3600.0
"""The same for an attempt on a virtual clock, where waiting takes no time."""


class Points(Protocol):
    """What happens at one point of an attempt, the `at`-th."""

    @property
    def fired(self) -> str:
        """Where it happened in this attempt; empty while it has not."""
        ...

    @property
    def used(self) -> bool:
        """Whether this attempt came to where it might have happened at all."""
        ...

    def arm(self, at: int) -> None:
        """Begin an attempt."""
        ...


@attrs.frozen
class Repeat:
    """How to go through the points: how many there must and may be at least and most, or which one alone."""

    at_least: int = 1
    limit: int = 10_000
    seed: int = 0
    only: int | None = None


def everywhere(points: Points, attempt: Callable[[], object], repeat: Repeat) -> int:
    """Attempt with each point in turn and return how many there were. Whatever an attempt raises says which it was."""
    if repeat.only is not None:
        _attempt(points, attempt, repeat.only, repeat.seed)
        assert points.fired, f"there is no point {repeat.only}: there are fewer"
        return 1
    for at in range(1, repeat.limit + 2):
        _attempt(points, attempt, at, repeat.seed)
        if not points.fired:
            tried = at - 1
            assert tried >= repeat.at_least, f"there were {tried} points to try, fewer than {repeat.at_least}"
            return tried
    raise AssertionError(f"after {repeat.limit} points there are more: give a higher `limit`, or try less at once")


def _attempt(points: Points, attempt: Callable[[], object], at: int, seed: int) -> None:
    points.arm(at)
    try:
        with seeded(seed):
            attempt()
    except BaseException as exc:
        if points.fired:
            exc.add_note(f"agno_rt: at point {at}: {points.fired}. Try it alone: only={at}, or --agno-rt-point={at}.")
        raise
    assert points.used, "nothing could happen to the attempt: use what it is given (`with point:`, `faults.model(...)`)"


def in_trio(function: Callable[[], Awaitable[object]], clock: MockClock | None = None) -> None:
    """Run the function under trio, on that virtual clock if any, but not for ever: a hang is an `AssertionError`."""
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "trio is to be run for each attempt, but it is running already",
            hint="Call this from a test that is not async, with an async function that is defined in it.",
        )
    seconds = ATTEMPT_SECONDS if clock is None else VIRTUAL_SECONDS
    waiting: list[str] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            trio.lowlevel.spawn_system_task(watch, trio.lowlevel.current_task(), scope)
            await function()
        if waiting:
            time = "seconds" if clock is None else "virtual seconds"
            raise AssertionError(f"still not over after {seconds:g} {time}, it hangs: {'; '.join(waiting)}")

    async def watch(main_task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        await trio.sleep(seconds)
        nursery = main_task.parent_nursery
        waiting.extend(where(task) for task in tasks() if _is_within(task, nursery))
        scope.cancel()

    trio.run(main, clock=clock)


def clock_of(virtual: bool) -> MockClock | None:
    """A virtual clock that jumps over every wait, if wanted."""
    return MockClock(autojump_threshold=0) if virtual else None


def _is_within(task: trio.lowlevel.Task, nursery: trio.Nursery | None) -> bool:
    parent = task.parent_nursery
    return parent is not None and (parent is nursery or _is_within(parent.parent_task, nursery))
