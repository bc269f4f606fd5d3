"""The memory that the requests of all connections share. Pure: knows neither sockets, tasks nor clocks."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Budget"]

# A large body leaves the last eighth free, so that a few large ones cannot keep the many small ones out.
_KEPT_FOR_SMALL = 8
_SMALL = 65_536


class Budget:
    """A count of the bytes that all requests hold, each from its arrival until it is answered.

    `free` is what is left of `size`; `reserve` is the part of it that is kept for small requests. A request takes its
    bytes as they arrive, never before: a length that is only announced costs nobody anything. `shed` is called with the
    number of bytes that are missing, and may give some back.
    """

    __slots__ = ("_shed", "free", "reserve", "size")

    def __init__(self, size: int, shed: Callable[[int], None] = lambda missing: None) -> None:
        self.size = self.free = size
        self.reserve = size // _KEPT_FOR_SMALL
        self._shed = shed

    @property
    def largest(self) -> int:
        """The most that a single body may have."""
        return self.size - self.reserve

    def has_room(self, more: int, held: int) -> bool:
        """Tell whether a request of `held` bytes fits, for which `more` bytes are not taken yet; shed if it must."""
        kept = 0 if held <= _SMALL else self.reserve
        missing = more + kept - self.free
        if missing > 0:
            self._shed(missing)
        return self.free >= more + kept
