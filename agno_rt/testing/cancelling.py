"""Cancels a piece of code at every step that trio takes in it, one run for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, final

import trio

from agno_rt.testing._repeat import Repeat, clock_of, everywhere, in_trio
from agno_rt.testing._tasks import where

__all__ = ["CancelPoint", "cancel_everywhere"]


@final
class CancelPoint:
    """The piece of code that is cancelled: put it into `with point:`. `cancelled` says whether it was, this time.

    `caught` says whether the cancellation is what ended the block. Where `cancelled` is true and `caught` is not, it
    came when the block had nothing left to wait for, or was swallowed in it: what the block was to do must be done.

    Every step of every task counts while the block is under way, those of a runtime's background runs included: just
    before it, when the task has been woken already, and just after it, when it waits again. What trio does for itself
    does not count. A block that was cancelled ends quietly, as that of `trio.move_on_after` does.
    """

    def __init__(self) -> None:
        self._left = 0
        self._used = False
        self._fired = ""
        self._caught = False
        self._scope: trio.CancelScope | None = None
        self._counter = _Counter(self._point)

    def arm(self, at: int) -> None:
        """Begin anew: cancel at the `at`-th point from here."""
        self._left, self._used, self._fired, self._caught, self._scope = at, False, "", False, None

    @property
    def fired(self) -> str:
        """Where it was cancelled; empty where it was not."""
        return self._fired

    @property
    def used(self) -> bool:
        """Whether the block was entered."""
        return self._used

    @property
    def cancelled(self) -> bool:
        """Whether the block was cancelled."""
        return bool(self._fired)

    @property
    def caught(self) -> bool:
        """Whether the block ended because it was cancelled."""
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
            self._fired = f"cancelled {when} a step of {where(task)}"
            self._scope.cancel()


@final
class _Counter(trio.abc.Instrument):
    """Calls a function before and after each step of each task that is not trio's own."""

    def __init__(self, point: Callable[[trio.lowlevel.Task, str], None]) -> None:
        self._point = point
        self._ours: trio.Nursery | None = None
        self._known: dict[trio.lowlevel.Task, bool] = {}

    def begin(self) -> None:
        """Count in the tree of tasks that the current one is in."""
        self._ours = _top(trio.lowlevel.current_task())
        self._known = {}
        trio.lowlevel.add_instrument(self)

    def end(self) -> None:
        """Count no more."""
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
            ours = self._known[task] = _top(task) is self._ours
        if ours:
            self._point(task, when)


def _top(task: trio.lowlevel.Task) -> trio.Nursery | None:
    """The nursery right below trio's root task that the task is in: there is one for ours, and others for trio's."""
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
    only: int | None = None,
    virtual: bool = False,
) -> int:
    """Run the scenario again and again, each time cancelled one point later, until it is through before its point.

    The scenario is given a `CancelPoint`: it makes ready, does in `with point:` what is to be cancelled, and checks
    after the block what must hold then, whether `point.cancelled` or not. Each time it runs in a trio run of its own,
    under the schedule of `seed`, on a virtual clock if `virtual` (not with tools in threads: trio's virtual clock does
    not wait for them). `only` tries a single point. Code that never waits has hardly any steps: put `Pauses` around
    stand-ins that answer at once.

    Returns how many points there were, and raises what the scenario raises, with a note that says at which point; an
    `AssertionError` where there were fewer than `at_least` points or more than `limit`.
    """
    point = CancelPoint()

    def attempt() -> None:
        in_trio(lambda: scenario(point), clock_of(virtual))

    return everywhere(point, attempt, Repeat(at_least, limit, seed, only))
