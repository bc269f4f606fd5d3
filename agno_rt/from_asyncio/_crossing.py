"""How asyncio code waits for what happens in the runtime's thread: for the end of a call, or for events one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar, final

import trio

from agno_rt.events import Event
from agno_rt.from_asyncio._host import Crossing, Host
from agno_rt.runs import RunStream
from agno_rt.runtime import Runtime

__all__ = ["STREAM_AHEAD", "Pipe", "crossed", "post", "settled"]

STREAM_AHEAD = 64
"""Events that cross over before the reader asks for them; then the stream's own buffer fills, then the run waits."""

T = TypeVar("T")


async def crossed(crossing: Crossing[T]) -> T:
    """What came of it. Being cancelled cancels it, and waits for its end all the same."""
    try:
        cancelled = await settled(crossing)
        if cancelled is not None:
            # The cancellation is the news, whatever else came of it.
            raise cancelled from _failure(crossing.future)
        return crossing.future.result()
    finally:
        # An error has this frame in its traceback, and the crossing has the error.
        del crossing


async def settled(crossing: Crossing[Any]) -> asyncio.CancelledError | None:
    """Wait for its end, however often the task is cancelled; the first cancellation, if there was one.

    Raises an interrupt or an exit that came of it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    crossing.future.add_done_callback(lambda _: post(loop, done.set_result, None))
    first: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError as exc:
            first = first or exc
            crossing.cancel()
        except GeneratorExit:
            # The loop has been closed, and nothing can be awaited any more.
            crossing.cancel()
            raise
    _failure(crossing.future)
    return first


def _failure(future: Future[Any]) -> Exception | None:
    """What it failed with, if it was not for being cancelled. Raises an interrupt or an exit."""
    failure = future.exception()
    if failure is None or isinstance(failure, CancelledError):
        return None
    if not isinstance(failure, Exception):
        raise failure
    return failure


def post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> bool:
    """Have it called by the event loop, soon; whether the loop is still open."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True


@final
class Pipe:
    """Events on their way from the runtime's thread to a reader in an event loop, so many at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host) -> None:
        self.host = host
        self.ready: deque[Event] = deque()
        self.stream: RunStream | None = None
        self._loop = loop
        self._reader = asyncio.Event()
        self._asleep = False
        self._room: trio.Event | None = None

    # In the runtime's thread.

    async def carry(self, runtime: Runtime, open_: Callable[..., Any], *args: Any) -> None:
        """Run the agent, and let its events cross over."""
        async with open_(runtime, *args) as stream:
            self.stream = stream
            self.wake()
            async for event in stream:
                self.ready.append(event)
                self.wake()
                if len(self.ready) >= STREAM_AHEAD:
                    await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        room = self._room = trio.Event()
        # Looked at again, because the reader may have come this far before it could know that somebody waits.
        if len(self.ready) > STREAM_AHEAD // 2:
            await room.wait()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._asleep:
            self._asleep = False
            post(self._loop, self._reader.set)

    # In the reader's.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, which the other thread makes true."""
        while not condition():
            self._reader.clear()
            self._asleep = True
            # Looked at again, because the other thread may not have seen in time that somebody waits.
            if not condition():
                await self._reader.wait()

    def take(self) -> Event:
        """The next event; there is one."""
        event = self.ready.popleft()
        room = self._room
        if room is not None and len(self.ready) <= STREAM_AHEAD // 2:
            self._room = None
            self.host.post(room.set)
        return event
