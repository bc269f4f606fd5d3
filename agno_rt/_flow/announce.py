"""Tells listeners of the steps of a flow: an event at the beginning, and one at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agno_rt import events
from agno_rt._decide.flow_paths import Place
from agno_rt._drive.job import Job
from agno_rt._drive.scopes import cause, ended_as
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.waits import Waits
from agno_rt.failures import text_of

__all__ = ["announce"]

T = TypeVar("T")


async def announce(
    job: Job[Any], record: FlowRecord, waits: Waits, place: Place, work: Callable[[], Awaitable[T]]
) -> T:
    """Do the work between the events of the beginning and the end. Work found in the journal has no events."""
    emitter, path = job.emitter, place.path
    if emitter is None or record.has_ended(place):
        return await work()
    await emitter.send(events.StepStarted(job.run_id, path))
    try:
        value = await work()
    except BaseException as exc:
        status = ended_as(exc)
        if status == "cancelled":
            emitter.post(events.StepEnded(job.run_id, path, "paused" if waits.is_paused else status))
        else:
            emitter.post(events.StepEnded(job.run_id, path, status, text_of(cause(exc))))
        raise
    emitter.post(events.StepEnded(job.run_id, path, "completed"))
    return value
