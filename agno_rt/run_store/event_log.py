"""The protocol of a store of runs with a log of each run's events, for processes to follow the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["EventLog"]


@runtime_checkable
class EventLog(Protocol):
    """The protocol of a `RunStore` with the events of runs, numbered from 1 without gaps.

    An event is bytes without a meaning for a backend. The events of a run are forgotten with the run, and stay with
    the run's id when `FlowStore.renew_run` gives the run a new journal.
    """

    async def log_events(self, run: str, events: Sequence[bytes], *, first: int, owner: str) -> None:
        """Add events to the run's log, in one step; the first event has the number `first`.

        Only the run's owner may add; while nobody owns the run, only the owner of the last events. Otherwise, and for a
        gap, raises `RunConflict` and stores nothing. Numbers of the same owner that are stored already are left out: a
        writer in doubt about a batch tries the batch again.
        Raises `NotFound` for an unknown run.
        """
        ...

    async def load_events(self, run: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """Return at most `limit` events with numbers above `after`, in order: pairs of number and event.

        Raises `NotFound` for an unknown run.
        """
        ...

    async def find_last_event(self, run: str) -> int:
        """Return the number of the run's last event, 0 for none. Raises `NotFound` for an unknown run."""
        ...

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        """Wait for an event with a number above `after`, and return True if the run has such an event.

        Returns False after `seconds`, and at once for a run without an owner. Raises `NotFound` for an unknown run.
        """
        ...
