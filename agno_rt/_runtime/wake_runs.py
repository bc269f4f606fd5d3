"""Wakes paused runs when their time has come: a sleep or a wait of a workflow is over, or an approval has expired.

Also takes over runs whose owner is gone, when its lease has ended. Any number of processes may wake the runs of a
store. A run is claimed before it goes on, and one process gets it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import trio

from agno_rt._runtime.shared_store.lease_keeper import lease_store
from agno_rt._runtime.stored_runs import StoredRuns
from agno_rt.errors import AgnoError, BackendError, NotFound, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.result import RunResult
from agno_rt.run_store import FlowStore, Resume, RunRecord, RunSetAside
from agno_rt.runnable import Runnable
from agno_rt.runs import Run

__all__ = ["MOST_WOKEN", "WAKE_SECONDS", "OnEnd", "begin_waking", "find_due", "wake_runs"]

OnEnd: TypeAlias = Callable[[RunRecord, RunResult], Awaitable[None]]
"""A function that is told of the end of a run, with the record from before the run went on."""

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
    """Return at most `limit` paused runs that are due or lost, each with its runnable; none if the store fails."""
    store = stored.store
    if limit < 1 or not isinstance(store, FlowStore):
        return []
    limit, agents = min(limit, MOST_WOKEN), list(stored.runnables)
    leases = lease_store(store)
    try:
        due = await store.find_due(agents, before=time.time(), limit=limit)
        if leases is not None and len(due) < limit:
            due += await leases.find_lost(agents, limit=limit - len(due))
    except BaseException as exc:
        if must_pass(exc):
            raise
        return []  # the next look asks again
    return stored.select_known(due)


async def wake_runs(
    stored: StoredRuns,
    scope: trio.CancelScope,
    start: Callable[[Runnable, Resume], Awaitable[Run[Any]]],
    count_room: Callable[[], int],
    on_end: OnEnd | None = None,
) -> None:
    """Start each due run until the scope is cancelled; `count_room` returns how many runs may begin now.

    `on_end` is told of the end of each run that was started.
    """
    begun: set[str] = set()

    async def wake(record: RunRecord, runnable: Runnable) -> None:
        try:
            run = await start(runnable, Resume(record.id))
        except RunSetAside as exc:
            warnings.warn(f"{exc.message}\n{exc.hint}", RuntimeWarning, stacklevel=2)
            await _tell_end(record, exc, on_end)
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
            await _tell_end(record, run, on_end)

    with scope:
        async with trio.open_nursery() as nursery:
            while True:
                for record, runnable in await find_due(stored, count_room()):
                    if record.id not in begun:
                        begun.add(record.id)
                        nursery.start_soon(wake, record, runnable, name=f"wakes run {record.id}")
                await trio.sleep(WAKE_SECONDS)


async def _tell_end(record: RunRecord, run: Run[Any] | RunSetAside, on_end: OnEnd | None) -> None:
    """Wait for the end of the run, if somebody wants to know of it, and tell."""
    if on_end is None:
        return
    if isinstance(run, RunSetAside):
        result: RunResult | None = RunResult(record.id, "failed", error=run)
    else:
        with suppress(AgnoError):
            await run.wait()
        result = run.result
    if result is None:
        return
    try:
        await on_end(record, result)
    except BaseException as exc:
        if must_pass(exc):
            raise
        # The end of one run, or a memory that is away, must not end the runtime with all other runs.
        text = f"the end of run {record.id!r} of {record.agent!r} was not told: {named(exc)}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
