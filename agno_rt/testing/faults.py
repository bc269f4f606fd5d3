"""Makes each call of a run's parts fail in turn, one run for each call."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import final

from agno_rt.testing._repeat import Repeat, make_clock, run_in_trio, try_every_point
from agno_rt.testing._wrapping import Wrapping

__all__ = ["Faults", "InjectedFault", "fail_everywhere"]


class InjectedFault(Exception):
    """The default failure that a test injects."""


@final
class Faults(Wrapping):
    """Wraps the parts of a run, and makes one of their calls fail, the `at`-th; all others pass.

    A call can fail before it does anything. A call with an effect can also fail afterwards: the model has answered, the
    messages are stored, but the caller gets an error. `point(...)` is for code of your own.

    Args:
        at: the number of the failing point, from 1; 0 for none
        error: makes the exception from its text: `InjectedFault`, or say `lambda text: ModelError(text, status=503)`

    `points` names the passed points; `fired` names the failed point, if any.
    """

    def __init__(self, at: int = 0, *, error: Callable[[str], BaseException] = InjectedFault) -> None:
        self._error = error
        self._lock = threading.Lock()
        self.arm(at)

    def arm(self, at: int) -> None:
        """Start over: the `at`-th point from here fails."""
        self._left = at
        self.points: list[str] = []
        self.fired = ""

    @property
    def used(self) -> bool:
        """True if any point was passed."""
        return bool(self.points)

    def point(self, what: str) -> None:
        """Mark a point where your own code may fail. `what` names the point in messages."""
        # Tools in threads also come here, hence the lock.
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
    only: int | range | None = None,
    virtual: bool = False,
) -> int:
    """Run the scenario repeatedly, each time with the next call failing, until no call is left to fail.

    The scenario takes a `Faults`, wraps the parts that may fail (`faults.model(...)`, `.memory`, `.tool`, `.hook`,
    `.observer`), runs, and checks what must hold, whether `faults.fired` or not. Each time it runs in a trio run of its
    own under the same schedule, on a virtual clock if `virtual` (not with tools in threads). `only` tries one point, or
    the points of a range.

    Returns the number of points. Raises the errors of the scenario, with a note that names the point, and
    `AssertionError` for fewer than `at_least` points or more than `limit`.
    """
    faults = Faults(error=error)

    def attempt() -> None:
        run_in_trio(lambda: scenario(faults), make_clock(virtual))

    return try_every_point(faults, attempt, Repeat(at_least, limit, 0, only))
