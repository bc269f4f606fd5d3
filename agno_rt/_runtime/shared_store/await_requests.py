"""Waits for requests to runs that come from other processes, where the store tells of them."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from agno_rt.failures import must_pass
from agno_rt.run_store import RequestStore, RunStore

__all__ = ["await_requests"]

LEAST_SECONDS = 0.01
"""The least time between two looks: a store may return for no reason, again and again."""


async def await_requests(store: RunStore, runs: Sequence[str], seconds: float) -> None:
    """Wait for `seconds`, or until something may have been asked of one of the runs."""
    if not runs or not isinstance(store, RequestStore):
        await trio.sleep(seconds)
        return
    until = trio.current_time() + seconds
    await trio.sleep(min(LEAST_SECONDS, seconds))
    try:
        with trio.move_on_at(until):
            await store.wait_requests(runs, seconds=seconds)
    except BaseException as exc:
        if must_pass(exc):
            raise
        # A run that writes to the broken store gets the error; here, the next look comes at its usual time.
        await trio.sleep_until(until)
