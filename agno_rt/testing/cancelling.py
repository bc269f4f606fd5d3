"""Cancels a piece of code at each of its trio steps in turn, one run for each step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, final

import trio

from agno_rt.testing._repeat import Repeat, make_clock, run_in_trio, try_every_point
from agno_rt.testing._tasks import describe_task

__all__ = ["CancelPoint", "cancel_everywhere"]


@final
class CancelPoint:
    """A block of code to cancel: `with point:`. `cancelled` tells whether the block was cancelled this time.

    `caught` tells whether the cancellation ended the block. If `cancelled` is true and `caught` is false, the
    cancellation came after the last wait of the block, or the block swallowed it: the work of the block must be done.

    While the block is under way, each step of each task has two points, also in a runtime's background runs: just
    before the step, when the task is already awake, and just after, when it waits again. trio's own tasks do not count.
    A cancelled block ends quietly, as a block of `trio.move_on_after` does.
    """

    def __init__(self) -> None:
        self._left = 0
        self._used = False
        self._fired = ""
        self._caught = False
        self._scope: trio.CancelScope | None = None
        self._counter = _Counter(self._point)

    def arm(self, at: int) -> None:
        """Start over: cancel at the `at`-th point from here."""
        self._left, self._used, self._fired, self._caught, self._scope = at, False, "", False, None

    @property
    def fired(self) -> str:
        """The place of the cancellation; empty without one."""
        return self._fired

    @property
    def used(self) -> bool:
        """True if the block was entered."""
        return self._used

    @property
    def cancelled(self) -> bool:
        """True if the block was cancelled."""
        return bool(self._fired)

    @property
    def caught(self) -> bool:
        """True if the cancellation ended the block."""
        return self._caught

    def __enter__(self) -> Self:
        assert self._scope is None, "a cancel point has one block at a time"
        self._used = True
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        self._counter.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._scope is not None
        scope, self._scope = self._scope, None
        self._counter.end()
        quiet = scope.__exit__(kind, exc, traceback)
        self._caught = scope.cancelled_caught
        return quiet

    def _point(self, task: trio.lowlevel.Task, when: str) -> None:
        self._left -= 1
        if self._left == 0:
            assert self._scope is not None
            self._fired = f"cancelled {when} a step of {describe_task(task)}"
            self._scope.cancel()


@final
class _Counter(trio.abc.Instrument):
    """Calls a function before and after each step of each task, except trio's own tasks."""

    def __init__(self, point: Callable[[trio.lowlevel.Task, str], None]) -> None:
        self._point = point
        self._ours: trio.Nursery | None = None
        self._known: dict[trio.lowlevel.Task, bool] = {}

    def begin(self) -> None:
        """Count steps in the current task's tree of tasks from here on."""
        self._ours = _top_nursery(trio.lowlevel.current_task())
        self._known = {}
        trio.lowlevel.add_instrument(self)

    def end(self) -> None:
        """Stop counting."""
        trio.lowlevel.remove_instrument(self)
        self._known = {}

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._step(task, "before")

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._step(task, "after")

    def _step(self, task: trio.lowlevel.Task, when: str) -> None:
        ours = self._known.get(task)
        if ours is None:
            # Remembered, because a task never moves to another tree, and a climb at each step would be slow.
            ours = self._known[task] = _top_nursery(task) is self._ours
        if ours:
            self._point(task, when)


def _top_nursery(task: trio.lowlevel.Task) -> trio.Nursery | None:
    """Return the task's topmost nursery below trio's root task: the program has one, and trio has others."""
    root, nursery = trio.lowlevel.current_root_task(), task.parent_nursery
    while nursery is not None and nursery.parent_task is not root:
        nursery = nursery.parent_task.parent_nursery
    return nursery


def cancel_everywhere(
    scenario: Callable[[CancelPoint], Awaitable[object]],
    *,
    at_least: int = 1,
    limit: int = 10_000,
    seed: int = 0,
    only: int | range | None = None,
    virtual: bool = False,
) -> int:
    """Run the scenario repeatedly, each time cancelled one point later, until it finishes before its point.

    The scenario takes a `CancelPoint`: it prepares, does the work to cancel in `with point:`, and checks afterwards
    what must hold, whether `point.cancelled` or not. Each time it runs in a trio run of its own, under the schedule of
    `seed`, on a virtual clock if `virtual` (not with tools in threads: trio's virtual clock does not wait for threads).
    `only` tries a single point, or the points of a range. Code that never waits has hardly any steps: put `Pauses`
    around stand-ins that answer at once.

    Returns the number of points. Raises the errors of the scenario, with a note that names the point, and
    `AssertionError` for fewer than `at_least` points or more than `limit`.
    """
    point = CancelPoint()

    def attempt() -> None:
        run_in_trio(lambda: scenario(point), make_clock(virtual))

    return try_every_point(point, attempt, Repeat(at_least, limit, seed, only))
