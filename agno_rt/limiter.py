"""Named limits under trio: admit at once, queue in order, refuse beyond the queue, and report their state.

trio's own CapacityLimiter pays a checkpoint even with room, and lets any number of tasks wait. A run pays its one
checkpoint elsewhere, and no wait here may be without a bound.
"""

from __future__ import annotations

from types import TracebackType

import trio

from agno_rt.errors import Overloaded
from agno_rt.limits import LimitStatistics

__all__ = ["Limiter"]


class Limiter:
    """At most `total` holders at once, and at most `queue` waiters behind them, served in order (`None`: any number).

    Use it as `async with limiter:`. Entering raises `Overloaded`, with the limit's name, if the queue is full. With
    room, entering does not wait and is not a checkpoint.
    """

    __slots__ = ("__weakref__", "_in_use", "_lot", "_parking", "name", "queue", "total")

    def __init__(self, name: str, total: int, queue: int | None = None) -> None:
        self.name = name
        self.total = total
        self.queue = queue
        self._in_use = 0
        self._parking = 0
        self._lot = trio.lowlevel.ParkingLot()

    def try_acquire(self) -> bool:
        """Take a place if one is free, and return whether it was."""
        if self._in_use >= self.total:
            return False
        self._in_use += 1
        return True

    async def acquire(self) -> None:
        """Take a place, waiting in order if necessary. Raises `Overloaded` if the queue is full."""
        if self.try_acquire():
            return
        if self.queue is not None and len(self._lot) >= self.queue:
            raise Overloaded(
                f"limit {self.name} is reached: {self._in_use} under way, {len(self._lot)} waiting",
                limit=self.name,
                hint=f"Try again later, or raise {self.name} ({self.total}) or its queue ({self.queue}).",
            )
        self._parking += 1
        try:
            await self._lot.park()
        finally:
            self._parking -= 1

    def release(self) -> None:
        """Give the place to the first waiter, or else back to the pool."""
        # A woken waiter owns the place from here on, so that no newcomer can slip in between. `_parking` is counted
        # because asking the parking lot costs more than everything else here.
        if not (self._parking and self._lot.unpark()):
            self._in_use -= 1

    def statistics(self) -> LimitStatistics:
        """Return the current state of the limit."""
        return LimitStatistics(self.name, self.total, self._in_use, len(self._lot))

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
