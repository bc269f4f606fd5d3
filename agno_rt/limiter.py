"""The named limits under trio: admit at once, queue in order, refuse beyond the queue, and say how things stand.

trio's own CapacityLimiter pays a checkpoint even when there is room and lets any number wait; a run pays its one
checkpoint elsewhere, and nothing here may wait without bound.
"""

from __future__ import annotations

from types import TracebackType

import trio

from agno_rt.errors import Overloaded
from agno_rt.limits import LimitStatistics

__all__ = ["Limiter"]


class Limiter:
    """At most `total` holders at once; at most `queue` waiters behind them, served in order (`None`: any number).

    Use it as `async with limiter:`. Entering raises `Overloaded`, naming the limit, when the queue is full. With room
    it does not wait, so it is not a checkpoint.
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
        """Take a place if one is free and nobody is before us; whether it was."""
        if self._in_use >= self.total:
            return False
        self._in_use += 1
        return True

    async def acquire(self) -> None:
        """Take a place, waiting for one in order. Raises `Overloaded` when the queue is full."""
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
        """Give the place back: to the first who waits, else to the pool."""
        # A waiter that is woken owns the place from here on, so no newcomer can slip in between. The counter is there
        # because asking the parking lot costs more than all the rest of this.
        if not (self._parking and self._lot.unpark()):
            self._in_use -= 1

    def statistics(self) -> LimitStatistics:
        """How the limit stands now."""
        return LimitStatistics(self.name, self.total, self._in_use, len(self._lot))

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
