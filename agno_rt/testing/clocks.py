"""Time in tests: trio's virtual clock, which jumps over every wait, a clock that jumps when told, and a wall clock."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import trio
from trio.testing import MockClock

__all__ = ["EPOCH", "JumpingClock", "WallClock", "run_virtually"]

T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""The start of a wall clock: 2026-01-01 00:00:00 UTC."""


@final
class JumpingClock(trio.abc.Clock):
    """The system's time for a trio run, until a test sets the time forward.

    A test of a timeout names a long one, which a busy machine never reaches by itself, and ends it by `jump`. Pass the
    clock to `trio.run`.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def jump(self, seconds: float) -> None:
        """Set the clock forward: deadlines within these seconds are over."""
        self._ahead += seconds

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return time.monotonic() + self._ahead

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See `trio.abc.Clock`."""
        return deadline - self.current_time()


@final
class WallClock:
    """Seconds since the epoch, as from `time.time`, that pass with trio's time.

    Pass a wall clock to code that needs the time: `InProcessMemory(clock=WallClock())`. Without a `clock`, the clock of
    the current trio run counts. `advance` moves the time of day without a wait, also backwards.
    """

    def __init__(self, clock: MockClock | None = None, *, start: float = EPOCH) -> None:
        self._clock = clock
        self._offset = start
        self._began: float | None = None

    def __call__(self) -> float:
        now = trio.current_time() if self._clock is None else self._clock.current_time()
        # The clock begins at its first use, because outside of trio there is no time to read.
        if self._began is None:
            self._began = now
        return self._offset + now - self._began

    def advance(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._offset += seconds


def run_virtually(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run as `trio.run`, on a virtual clock: whenever all tasks wait, the time jumps to the next deadline.

    The clock does not wait for threads: code with work in threads finds its deadlines past.
    """
    return trio.run(functools.partial(function, *args), clock=MockClock(autojump_threshold=0))
