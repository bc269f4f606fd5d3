"""The end of a run in the log of its events: told, or still to come."""

from __future__ import annotations

from agno_rt.events import Event, RunEnded
from agno_rt.run_store.records import RunRecord

__all__ = ["LATE_SECONDS", "tells_end"]

LATE_SECONDS = 10.0
"""Seconds within which the event of a run's end is logged after the record: a killed process never logs the event."""


def tells_end(event: Event | None, record: RunRecord) -> bool:
    """Return whether the last event of a run's log tells the end, or the pause, that the record has.

    The event of an earlier end does not: a run that was paused or failed may have been resumed, and have ended since.
    """
    return isinstance(event, RunEnded) and event.status == record.status
