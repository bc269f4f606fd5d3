"""Repeats an attempt with an event at one point after another, until no point is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio
from trio.testing import MockClock

from agno_rt.errors import UsageError
from agno_rt.testing._scheduling import use_seed
from agno_rt.testing._tasks import describe_task, list_tasks

__all__ = ["ATTEMPT_SECONDS", "VIRTUAL_SECONDS", "Points", "Repeat", "make_clock", "run_in_trio", "try_every_point"]

ATTEMPT_SECONDS = 60.0
"""How long one attempt may take before it counts as a hang."""

VIRTUAL_SECONDS = 24 * 3600.0
"""The same for an attempt on a virtual clock, on which waiting takes no time."""


class Points(Protocol):
    """An event at one point of an attempt, the `at`-th."""

    @property
    def fired(self) -> str:
        """The place of the event in this attempt; empty before the event."""
        ...

    @property
    def used(self) -> bool:
        """True if this attempt has come to any place for points."""
        ...

    def arm(self, at: int) -> None:
        """Begin an attempt."""
        ...


@attrs.frozen
class Repeat:
    """The bounds on the number of points, the seed of the schedule, and `only` for a single point or some points."""

    at_least: int = 1
    limit: int = 10_000
    seed: int = 0
    only: int | range | None = None


def try_every_point(points: Points, attempt: Callable[[], object], repeat: Repeat) -> int:
    """Try the points in turn, and return their number. Errors of an attempt get a note with the point."""
    if isinstance(repeat.only, int):
        _try_point(points, attempt, repeat.only, repeat.seed)
        assert points.fired, f"there is no point {repeat.only}: there are fewer"
        return 1
    # One attempt more than the limit, since the last one may find no point left.
    chosen = range(1, repeat.limit + 2) if repeat.only is None else repeat.only
    for tried, at in enumerate(chosen):
        _try_point(points, attempt, at, repeat.seed)
        if not points.fired:
            assert tried >= repeat.at_least, f"there were {tried} points to try, fewer than {repeat.at_least}"
            return tried
    if repeat.only is not None:
        return len(repeat.only)
    raise AssertionError(f"after {repeat.limit} points there are more: give a higher `limit`, or try less at once")


def _try_point(points: Points, attempt: Callable[[], object], at: int, seed: int) -> None:
    points.arm(at)
    try:
        with use_seed(seed):
            attempt()
    except BaseException as exc:
        if points.fired:
            exc.add_note(f"agno_rt: at point {at}: {points.fired}. Try it alone: only={at}, or --agno-rt-point={at}.")
        raise
    assert points.used, "nothing could happen to the attempt: use what it is given (`with point:`, `faults.model(...)`)"


def run_in_trio(function: Callable[[], Awaitable[object]], clock: MockClock | None = None) -> None:
    """Run the function under trio, on the virtual clock if given. Raises `AssertionError` for a hang."""
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "trio is to be run for each attempt, but it is running already",
            hint="Call this from a test that is not async, and pass an async function.",
        )
    seconds = ATTEMPT_SECONDS if clock is None else VIRTUAL_SECONDS
    waiting: list[str] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            # A system task: its steps are not points to cancel at, and the run does not wait for its end.
            trio.lowlevel.spawn_system_task(watch, trio.lowlevel.current_task(), scope)
            await function()
        if waiting:
            time = "seconds" if clock is None else "virtual seconds"
            raise AssertionError(f"still not over after {seconds:g} {time}, it hangs: {'; '.join(waiting)}")

    async def watch(main_task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        await trio.sleep(seconds)
        nursery = main_task.parent_nursery
        waiting.extend(describe_task(task) for task in list_tasks() if _is_within(task, nursery))
        scope.cancel()

    trio.run(main, clock=clock)


def make_clock(virtual: bool) -> MockClock | None:
    """Make a virtual clock that jumps over every wait, or None for real time."""
    return MockClock(autojump_threshold=0) if virtual else None


def _is_within(task: trio.lowlevel.Task, nursery: trio.Nursery | None) -> bool:
    parent = task.parent_nursery
    return parent is not None and (parent is nursery or _is_within(parent.parent_task, nursery))
