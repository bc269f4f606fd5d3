"""Lets every call of a run's parts fail in turn, one run for each."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import final

from agno_rt.testing._repeat import Repeat, clock_of, everywhere, in_trio
from agno_rt.testing._wrapping import Wrapping

__all__ = ["Faults", "InjectedFault", "fail_everywhere"]


class InjectedFault(Exception):
    """The failure that a test asked for, unless it asked for one of its own kind."""


@final
class Faults(Wrapping):
    """Wraps the parts of a run, and lets one of their calls fail, the `at`-th; all others pass.

    A call can fail before it does anything, and one that does something also when it is done: the model has answered,
    the messages are stored, and whoever asked is told that it failed. `point(...)` is for code of your own.

    Args:
        at: which point fails, counted from 1; 0 for none
        error: makes the exception from its text: `InjectedFault`, or say `lambda text: ModelError(text, status=503)`

    `points` names the points that were passed; `fired` is the one that failed, if it has.
    """

    def __init__(self, at: int = 0, *, error: Callable[[str], BaseException] = InjectedFault) -> None:
        self._error = error
        self._lock = threading.Lock()
        self.arm(at)

    def arm(self, at: int) -> None:
        """Begin anew: the `at`-th point from here fails."""
        self._left = at
        self.points: list[str] = []
        self.fired = ""

    @property
    def used(self) -> bool:
        """Whether any point was passed."""
        return bool(self.points)

    def point(self, what: str) -> None:
        """A point of your own code, which may fail here. `what` names it in messages."""
        # Tools in threads come here, too.
        with self._lock:
            self.points.append(what)
            self._left -= 1
            if self._left != 0:
                return
            self.fired = what
            number = len(self.points)
        raise self._error(f"injected at point {number}, {what}")

    def _at(self, what: str) -> None:
        self.point(what)


def fail_everywhere(
    scenario: Callable[[Faults], Awaitable[object]],
    *,
    error: Callable[[str], BaseException] = InjectedFault,
    at_least: int = 1,
    limit: int = 10_000,
    only: int | None = None,
    virtual: bool = False,
) -> int:
    """Run the scenario again and again, each time with the next call failing, until it is through without.

    The scenario is given a `Faults`, wraps with it what may fail (`faults.model(...)`, `.memory`, `.tool`, `.hook`,
    `.observer`), runs, and checks what must hold whether `faults.fired` or not. Each time it runs in a trio run of its
    own under the same schedule, on a virtual clock if `virtual` (not with tools in threads). `only` tries one point.

    Returns how many points there were, and raises what the scenario raises, with a note that says at which point; an
    `AssertionError` where there were fewer than `at_least` points or more than `limit`.
    """
    faults = Faults(error=error)

    def attempt() -> None:
        in_trio(lambda: scenario(faults), clock_of(virtual))

    return everywhere(faults, attempt, Repeat(at_least, limit, 0, only))
