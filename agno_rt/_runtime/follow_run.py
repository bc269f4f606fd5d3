"""Follows a stored run of any process by the log of its events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
import trio

from agno_rt._runtime.store_errors import backend_errors, load_run
from agno_rt.errors import BackendError, UsageError
from agno_rt.events import Event, RunEnded
from agno_rt.run_store import LATE_SECONDS, EventLog, RunStore, tells_end

__all__ = ["follow_run"]

WAIT_SECONDS = 5.0
"""The longest wait for an event before a look whether the run is still there."""

LINGER_SECONDS = 2.0
"""The wait for another event of a run that is over, by a follower who has seen none, or an earlier end."""

LINGER_LOOK_SECONDS = 0.05

_decode = msgspec.json.Decoder(Event).decode


@asynccontextmanager
async def follow_run(
    store: RunStore, run: str, after: int, user: str | None
) -> AsyncIterator[AsyncIterator[tuple[int, Event]]]:
    """Offer the events of a run with numbers above `after`. Raises `NotFound`, and `UsageError` without a log.

    The iteration ends after the event of the run's end, or of its pause.
    """
    if not isinstance(store, EventLog):
        hint = "Use one that does, such as 'sqlite:///agents.db'."
        raise UsageError(f"the memory backend {type(store).__name__} logs no events", hint=hint)
    with backend_errors(run):
        await load_run(store, run, user)
    async with aclosing(_read_events(store, store, run, after)) as events:
        yield events


async def _read_events(store: RunStore, log: EventLog, run: str, after: int) -> AsyncGenerator[tuple[int, Event]]:
    last: Event | None = None
    ends = float("inf")
    while True:
        with backend_errors(run):
            page = await log.load_events(run, after=after)
        for number, body in page:
            after = number
            try:
                last = _decode(body)
            except msgspec.MsgspecError as exc:
                hint = "A newer version of agno_rt may have written it: upgrade this one."
                raise BackendError(f"event {number} of run {run!r} cannot be read: {exc}", hint=hint) from exc
            yield number, last
        if page:
            ends = float("inf")
            continue
        with backend_errors(run):
            if await log.wait_events(run, after=after, seconds=WAIT_SECONDS):
                continue
            record, _ = await store.load_run(run)
        if record.status == "running" and record.owner is not None:
            continue
        if tells_end(last, record) or trio.current_time() >= ends:
            return
        # The last event is logged just after the end is stored.
        is_cut = last is not None and not isinstance(last, RunEnded)
        ends = min(ends, trio.current_time() + (LATE_SECONDS if is_cut else LINGER_SECONDS))
        await trio.sleep(LINGER_LOOK_SECONDS)
