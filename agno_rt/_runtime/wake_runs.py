"""Wakes paused runs when their time has come: a sleep or a wait of a workflow is over, or an approval has expired.

Any number of processes may wake the runs of a store. A run is claimed before it goes on, and one process gets it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable

import trio

from agno_rt._runtime.stored_runs import StoredRuns
from agno_rt.errors import AgnoError, BackendError, NotFound, UsageError
from agno_rt.failures import must_pass
from agno_rt.run_store import FlowStore, Resume, RunRecord
from agno_rt.runnable import Runnable

__all__ = ["MOST_WOKEN", "WAKE_SECONDS", "begin_waking", "find_due", "wake_runs"]

WAKE_SECONDS = 1.0
"""Seconds between two looks for runs to wake: a run wakes that much late at most."""

MOST_WOKEN = 100
"""The most runs to wake at one look."""


def begin_waking(stored: StoredRuns) -> trio.CancelScope:
    """Return the scope in which to wake runs, until `stored` is closed. Workflows may sleep outside of memory then.

    Raises `UsageError` for a store that knows no times, and for a second call.
    """
    if not isinstance(stored.store, FlowStore):
        hint = "Use one that does, such as 'sqlite:///agents.db' or 'memory:'."
        name = type(stored.store).__name__
        raise UsageError(f"the memory backend {name} cannot wake runs: not a FlowStore", hint=hint)
    if stored.waking is not None:
        raise UsageError("this runtime wakes runs already", hint="Call wake_runs once.")
    stored.waking = trio.CancelScope()
    return stored.waking


async def find_due(stored: StoredRuns, limit: int) -> list[tuple[RunRecord, Runnable]]:
    """Return at most `limit` paused runs that are due, each with its runnable; none if the store fails."""
    store = stored.store
    if limit < 1 or not isinstance(store, FlowStore):
        return []
    try:
        due = await store.find_due(list(stored.runnables), before=time.time(), limit=min(limit, MOST_WOKEN))
    except BaseException as exc:
        if must_pass(exc):
            raise
        return []  # the next look asks again
    return stored.select_known(due)


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
                for record, runnable in await find_due(stored, count_room()):
                    if record.id not in begun:
                        begun.add(record.id)
                        nursery.start_soon(wake, record, runnable, name=f"wakes run {record.id}")
                await trio.sleep(WAKE_SECONDS)
