"""Leases, logs of events and word of requests, for processes with shared runs: a part of `RedisMemory`."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from agno_rt.defaults.rules import check_logged, skip_logged
from agno_rt.run_store import RunRecord, unknown_run
from agno_rt_redis.approvals import RUNS
from agno_rt_redis.listen import Listener
from agno_rt_redis.runs import AT_ONCE, read_record
from agno_rt_redis.store import Store

__all__ = ["RedisSharing"]

LOOK_SECONDS = 5.0
"""How long to wait for a message before looking at the log itself: a connection may be dead without a sign."""


class RedisSharing(Store):
    """A `LeaseStore`, an `EventLog` and a `RequestStore`."""

    lease_seconds: float
    _listeners: trio.lowlevel.RunVar[Listener | None]

    async def renew_lease(self, owner: str, *, seconds: float) -> bool:
        """See `LeaseStore.renew_lease`."""
        return bool((await self._write(RUNS, "renew_lease", owner=owner, seconds=float(seconds)))[1])

    async def release_lease(self, owner: str) -> None:
        """See `LeaseStore.release_lease`."""
        await self._write(RUNS, "release_lease", owner=owner)

    async def find_leased(self, owners: Sequence[str]) -> set[str]:
        """See `LeaseStore.find_leased`."""
        found: set[str] = set()
        for at in range(0, len(owners), AT_ONCE):
            some = list(owners[at : at + AT_ONCE])
            _, leased = await self._read(RUNS, "leased", owners=some)
            found.update(owner for owner, has_lease in zip(some, leased, strict=True) if has_lease)
        return found

    async def find_lost(self, agents: Sequence[str], *, limit: int = 100) -> list[RunRecord]:
        """See `LeaseStore.find_lost`."""
        found: list[RunRecord] = []
        # By rank: a run that another one pushes to a rank read already is found by the next look.
        start: int | None = 0 if agents else None
        while start is not None and len(found) < limit:
            wanted = {"agents": list(agents), "limit": limit - len(found), "from": start}
            _, start, rows = await self._read(RUNS, "lost", **wanted)
            found += self._read_all(rows, lambda row: read_record(*row))
        return found

    async def log_events(self, run: str, events: Sequence[bytes], *, first: int, owner: str) -> None:
        """See `EventLog.log_events`."""
        answer = await self._write(RUNS, "log", run=run, events=list(events), first=first, owner=owner)
        if answer[0] == b"unknown":
            raise unknown_run(run)
        if answer[0] == b"log":
            owned_by, writer = (None if who is None else who.decode(errors="replace") for who in answer[1:3])
            check_logged(run, owned_by, writer, owner)
            skip_logged(run, int(answer[3]), writer, first, owner)

    async def load_events(self, run: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """See `EventLog.load_events`."""
        answer = await self._read(RUNS, "events", run=run, after=after, limit=limit)
        if answer[0] != b"ok":
            raise unknown_run(run)
        return list(enumerate(answer[1], after + 1))[: max(limit, 0)]

    async def find_last_event(self, run: str) -> int:
        """See `EventLog.find_last_event`."""
        return (await self._read_log(run))[1]

    async def wait_events(self, run: str, *, after: int, seconds: float) -> bool:
        """See `EventLog.wait_events`."""
        until = trio.current_time() + seconds
        owned, last = await self._read_log(run)
        if last > after or not owned or seconds <= 0:
            return last > after
        with self._known_listener().follow(self._prefix + b"e:" + run.encode()) as topic:
            while True:
                # Taken before the look, so that no later message is missed.
                changed, heard = topic.changed, topic.heard
                with trio.move_on_at(min(until, trio.current_time() + LOOK_SECONDS)):
                    await heard.wait()
                owned, last = await self._read_log(run)
                if last > after or not owned or trio.current_time() >= until:
                    return last > after
                with trio.move_on_at(min(until, trio.current_time() + LOOK_SECONDS)):
                    await changed.wait()

    async def wait_requests(self, runs: Sequence[str], *, seconds: float) -> None:
        """See `RequestStore.wait_requests`."""
        wanted = {run.encode() for run in runs}
        # Kept between two calls, so that a request that comes in between ends the next call.
        topic = self._known_listener().keep(self._prefix + b"q:")
        with trio.move_on_after(seconds):
            if not topic.heard.is_set():
                await topic.heard.wait()
                return  # nothing was heard before
            while wanted.isdisjoint(topic.texts):
                heard = topic.heard
                await topic.changed.wait()
                if topic.heard is not heard:
                    return  # the connection was lost, and a message may be, too
        for run in wanted:
            topic.texts.pop(run, None)

    async def _read_log(self, run: str) -> tuple[bool, int]:
        answer = await self._read(RUNS, "log_now", run=run)
        if answer[0] != b"ok":
            raise unknown_run(run)
        return bool(answer[1]), int(answer[2])

    def _known_listener(self) -> Listener:
        listener = self._listeners.get()
        if listener is None:
            listener = Listener(self._link())
            self._listeners.set(listener)
        return listener

    async def _stop_listening(self) -> None:
        listener = self._listeners.get()
        if listener is not None:
            self._listeners.set(None)
            await listener.close()
