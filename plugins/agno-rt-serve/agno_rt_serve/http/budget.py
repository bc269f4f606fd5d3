"""The memory that the requests of all connections share. Pure: knows neither sockets, tasks nor clocks."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Budget"]

# A large body leaves the last eighth free, so that a few large ones cannot keep the many small ones out.
_KEPT_FOR_SMALL = 8
_SMALL = 65_536


class Budget:
    """A count of the bytes that all requests hold, each from arrival until answer.

    `free` is the rest of `size`; `reserve` is the part kept for small requests. A request takes bytes as they arrive,
    never before: an announced length costs nobody anything. `shed` is called with the number of missing bytes, and may
    free some.
    """

    __slots__ = ("_shed", "free", "reserve", "size")

    def __init__(self, size: int, shed: Callable[[int], None] = lambda missing: None) -> None:
        self.size = self.free = size
        self.reserve = size // _KEPT_FOR_SMALL
        self._shed = shed

    @property
    def largest(self) -> int:
        """The most bytes that a single body may have."""
        return self.size - self.reserve

    def has_room(self, more: int, held: int) -> bool:
        """Return whether a request of `held` bytes fits, with `more` of them not taken yet. Shed others if needed."""
        kept = 0 if held <= _SMALL else self.reserve
        missing = more + kept - self.free
        if missing > 0:
            self._shed(missing)
        return self.free >= more + kept
