"""Wakes paused runs when their time has come: a sleep or a wait of a workflow is over, or an approval has expired.

Any number of processes may wake the runs of a store. A run is claimed before it goes on, and one process gets it.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable

import trio

from agno_rt._runtime.stored_runs import StoredRuns
from agno_rt.errors import AgnoError, BackendError, NotFound
from agno_rt.run_store import Resume, RunRecord
from agno_rt.runnable import Runnable

__all__ = ["WAKE_SECONDS", "wake_runs"]

WAKE_SECONDS = 1.0
"""Seconds between two looks for runs to wake: a run wakes that much late at most."""


async def wake_runs(
    stored: StoredRuns,
    scope: trio.CancelScope,
    start: Callable[[Runnable, Resume], Awaitable[object]],
    count_room: Callable[[], int],
) -> None:
    """Start each due run until the scope is cancelled; `count_room` returns how many runs may begin now."""
    begun: set[str] = set()

    async def wake(record: RunRecord, runnable: Runnable) -> None:
        try:
            await start(runnable, Resume(record.id))
        except BackendError:
            # Another process was faster. If the backend failed, the next look finds the run again.
            begun.discard(record.id)
        except AgnoError as exc:
            if isinstance(exc, NotFound) and exc.kind == "run":
                return  # deleted meanwhile
            # Not tried again: this runtime cannot run it, and another one may.
            text = f"run {record.id!r} of {record.agent!r} cannot go on by itself: {exc.message}\n{exc.hint}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        else:
            begun.discard(record.id)

    with scope:
        async with trio.open_nursery() as nursery:
            while True:
                for record, runnable in await stored.find_due(count_room()):
                    if record.id not in begun:
                        begun.add(record.id)
                        nursery.start_soon(wake, record, runnable, name=f"wakes run {record.id}")
                await trio.sleep(WAKE_SECONDS)
