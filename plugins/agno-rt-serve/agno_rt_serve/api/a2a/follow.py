"""Tasks as they go on, from the log of their run's events, in any worker."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
import trio

from agno_rt.events import RunEnded
from agno_rt.run_store import RunRecord
from agno_rt_serve.api.a2a.shapes import TERMINAL, A2AStatus, StreamAnswer
from agno_rt_serve.api.a2a.stream import TaskEvents
from agno_rt_serve.api.a2a.tasks import Shown, Tasks, context_of
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.site import Site

__all__ = ["Followers", "Tell"]

Tell: TypeAlias = Callable[[StreamAnswer], Awaitable[None]]

LOOK_SECONDS = 0.25
"""The time between two looks at a run that waits for somebody: a store tells nobody of its going on."""

LAST_SECONDS = 1.0
"""The time to wait for the last events of a run that is over: they are logged just after the end is stored."""

LOOKS_AT_RUN = 8
"""Every so many looks the run itself is looked at: a cancelled one has no new event."""


class Followers:
    """Follows the runs of tasks."""

    def __init__(self, site: Site, background: BackgroundRuns, tasks: Tasks, faults: Faults) -> None:
        self._site = site
        self._background = background
        self._tasks = tasks
        self._faults = faults

    async def find_last(self, record: RunRecord) -> int:
        """Return the number of the run's last event; for a paused run, of the event of the pause.

        That event is logged just after the pause is stored, and must not be taken for one of the next turn.
        """
        last = await self._site.event_log().find_last_event(record.id)
        if record.status == "paused":
            async with self._site.runtime.follow(record.id, max(0, last - 1)) as events:
                async for number, _ in events:
                    last = number
        return last

    async def wait_end(self, run: str, after: int = 0) -> None:
        """Wait until the run is over or waits for somebody. A run that sleeps goes on by itself."""
        while True:
            started = self._background.find(run)
            if started is not None:
                await started.over.wait()
            else:
                async with self._site.runtime.follow(run, after) as events:
                    async for number, _ in events:
                        after = number
            record, _ = await self._site.run_store().load_run(run)
            if (await self._tasks.read_status(record)).state != "TASK_STATE_WORKING":
                return
            await trio.sleep(LOOK_SECONDS)

    async def follow(
        self, run: str, tell: Tell, *, after: int | None = None, history: int | None = None, whole: bool = False
    ) -> None:
        """Tell the task as it is, then its updates until it ends or waits for somebody; for `whole`, until it ends.

        The updates begin after the event with the number `after`, by default after the last.
        """
        record, entries = await self._site.run_store().load_run(run)
        last = await self.find_last(record) if after is None else after
        events = TaskEvents(run, context_of(record), typed=self._tasks.is_typed(record.agent))
        await self._catch_up(events, run, last)
        task = await self._tasks.render(record, entries, Shown(history))
        status = task.status
        if after is not None:
            # The run may be farther than the event: the updates tell the rest.
            status = A2AStatus("TASK_STATE_WORKING" if after else events.state, None, status.timestamp)
        events.state = status.state
        await tell(StreamAnswer(task=msgspec.structs.replace(task, status=status, artifacts=events.artifacts)))
        while events.state not in TERMINAL and (whole or events.state != "TASK_STATE_INPUT_REQUIRED"):
            if not await self._await_next(run, last):
                record, _ = await self._site.run_store().load_run(run)
                await tell(events.tell_status(await self._tasks.read_status(record), None))
                return
            last = await self._follow_turn(events, run, last, tell)

    async def _catch_up(self, events: TaskEvents, run: str, last: int) -> None:
        if not last:
            return
        async with self._site.runtime.follow(run) as seen:
            async for number, event in seen:
                for _ in events.feed(number, event):
                    pass
                if number >= last:
                    return

    async def _follow_turn(self, events: TaskEvents, run: str, last: int, tell: Tell) -> int:
        """Tell the updates until the run ends or pauses. Return the number of the last event."""
        async with self._site.runtime.follow(run, last) as seen:
            async for number, event in seen:
                last = number
                for update in events.feed(number, self._faults.event(event, None)):
                    await tell(update)
                if isinstance(event, RunEnded):
                    await self._tell_end(events, event, number, tell)
                    return last  # the events of the next turn may be there already
        return last

    async def _tell_end(self, events: TaskEvents, end: RunEnded, number: int, tell: Tell) -> None:
        record, _ = await self._site.run_store().load_run(end.run_id)
        status = await self._tasks.read_status(record)
        if record.status != end.status:  # somebody has resumed the run meanwhile, which may be over already
            status = A2AStatus(events.state, None, status.timestamp)
        events.state = status.state
        await tell(events.tell_status(status, number))

    async def _await_next(self, run: str, last: int) -> bool:
        """Wait for an event after the last, and return True; False if the run is over without another event."""
        log, store, looks, ends = self._site.event_log(), self._site.run_store(), 0, math.inf
        while True:
            if await log.find_last_event(run) > last:
                return True
            if trio.current_time() >= ends:
                return False
            if looks % LOOKS_AT_RUN == 0 and ends == math.inf:
                record, _ = await store.load_run(run)
                if record.status not in ("running", "paused"):
                    ends = trio.current_time() + LAST_SECONDS
            looks += 1
            await trio.sleep(LOOK_SECONDS)
