"""Sends a run's events to its listeners: observers, called in place, and at most one reader of a stream.

A run without listeners has no emitter, and builds no event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
import trio

from agno_rt.events import Delta, Event, stamped
from agno_rt.failures import must_pass
from agno_rt.limits import LimitStatistics

__all__ = ["Emitter", "EventBuffer", "ObserverFailed"]

ObserverFailed = Callable[[Callable[[Event], None], BaseException], None]


class EventBuffer:
    """A bounded channel of events from one run to one reader. With room, neither side pays a checkpoint.

    Its policy when full is to wait: a slow reader slows the run, and nothing is dropped. Runs within the run send their
    events here, too, if `takes_within` is true, or not decided yet.
    """

    __slots__ = ("_closed", "_events", "_reader", "_reading", "_size", "_writers", "_writing", "takes_within")

    def __init__(self, size: int) -> None:
        self._size = size
        self._events: deque[Event] = deque()
        self._closed = False
        self.takes_within: bool | None = None
        self._writers = trio.lowlevel.ParkingLot()
        self._reader = trio.lowlevel.ParkingLot()
        # A waiting reader and the number of waiting writers, because unpark() on an empty lot costs more than handing
        # an event over. A waking task counts the woken one off; a cancelled task counts itself off.
        self._reading = False
        self._writing = 0

    async def room(self) -> None:
        """Wait while the buffer is full."""
        while len(self._events) >= self._size and not self._closed:
            self._writing += 1
            try:
                await self._writers.park()
            except BaseException:
                self._writing -= 1
                raise

    def post(self, event: Event) -> None:
        """Hand the event over without waiting, past the bound: for events sent while the run is being cancelled.

        Nobody reads the events of a background run that goes on after the end of the run around it.
        """
        if self._closed:
            return
        self._events.append(event)
        if self._reading:
            self._reading = False
            self._reader.unpark()

    def close(self) -> None:
        """End the stream: the reader gets the remaining events, then the end."""
        self._closed = True
        self._reading = False
        self._reader.unpark_all()
        self._writing = 0
        self._writers.unpark_all()

    async def receive(self) -> Event | None:
        """Wait for the next event and return it; `None` at the end."""
        while not self._events:
            if self._closed:
                return None
            self._reading = True
            try:
                await self._reader.park()
            finally:
                self._reading = False
        event = self._events.popleft()
        if self._writing:
            self._writing -= 1
            self._writers.unpark()
        return event

    def statistics(self) -> LimitStatistics:
        """Return the number of events the reader is behind, and of writers that wait for the reader."""
        return LimitStatistics("stream_buffer", self._size, len(self._events), len(self._writers))


class Emitter(msgspec.Struct, eq=False):
    """Sends one run's events to its listeners. A failing observer is reported to `observer_failed` and dropped.

    `cached` counts the tokens of the run's last request that the model's provider has cached; -1 before a request.
    """

    run_id: str
    observers: tuple[Callable[[Event], None], ...]
    buffer: EventBuffer | None
    observer_failed: ObserverFailed
    started: bool = False
    cached: int = -1

    def start(self, event: Event) -> None:
        """Send the run's first event."""
        self.started = True
        self.post(event)

    async def send(self, event: Event) -> None:
        """Send the event to all listeners, after waiting for a reader too far behind; cancelled, send to none."""
        if self.buffer is not None:
            await self.buffer.room()
        self.post(event)

    async def send_delta(self, delta: Delta) -> None:
        """Send a model's delta as an event of this run."""
        await self.send(stamped(delta, self.run_id))

    def post(self, event: Event) -> None:
        """Send the event without waiting, for end events, which are sent even while the run is being cancelled."""
        self._observe(event)
        if self.buffer is not None:
            self.buffer.post(event)

    def _observe(self, event: Event) -> None:
        for observer in self.observers:
            try:
                observer(event)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                self.observers = tuple(other for other in self.observers if other is not observer)
                self.observer_failed(observer, exc)
