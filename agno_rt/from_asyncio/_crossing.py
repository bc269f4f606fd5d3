"""Lets asyncio code wait for the runtime's thread: for the end of a call, or for events one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar, final

import trio

from agno_rt.from_asyncio._host import Crossing, Host
from agno_rt.runs import RunStream
from agno_rt.runtime import Runtime

__all__ = ["STREAM_AHEAD", "Pipe", "call_in_loop", "wait_for_end", "wait_for_result"]

STREAM_AHEAD = 64
"""Events that cross over ahead of the reader. Then the stream's own buffer fills, and then the run waits."""

T = TypeVar("T")


async def wait_for_result(crossing: Crossing[T]) -> T:
    """Return the crossing's value or raise its error. A cancelled caller cancels the crossing, then waits for it."""
    try:
        cancelled = await wait_for_end(crossing)
        if cancelled is not None:
            # The caller was cancelled and must end so, whatever the outcome of the crossing.
            raise cancelled from _failure(crossing.future)
        return crossing.future.result()
    finally:
        # A cycle otherwise: the error's traceback refers to this frame, and the crossing to the error.
        del crossing


async def wait_for_end(crossing: Crossing[Any]) -> asyncio.CancelledError | None:
    """Wait for the crossing's end, however often the task is cancelled; return the first cancellation, if any.

    Raises an interrupt or an exit of the crossing.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    crossing.future.add_done_callback(lambda _: call_in_loop(loop, done.set_result, None))
    first: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.shield(done)  # a cancellation must not cancel `done`, which is awaited again
        except asyncio.CancelledError as exc:
            first = first or exc
            crossing.cancel()
        except GeneratorExit:
            # The loop is closed: nothing can be awaited any more.
            crossing.cancel()
            raise
    _failure(crossing.future)
    return first


def _failure(future: Future[Any]) -> Exception | None:
    """Return the error of a future, None for a value or a cancellation. Raises an interrupt or an exit."""
    failure = future.exception()
    if failure is None or isinstance(failure, CancelledError):
        return None
    if not isinstance(failure, Exception):
        raise failure
    return failure


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> bool:
    """Call the function soon, in the event loop. Return False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True


@final
class Pipe:
    """A bounded queue of events from the runtime's thread to a reader in an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host) -> None:
        self.host = host
        # With `within`, pairs of path and event.
        self.ready: deque[Any] = deque()
        self.stream: RunStream | None = None
        self.within: bool | None = None
        self._is_chosen = trio.Event()
        self._loop = loop
        self._reader = asyncio.Event()
        # True while the reader waits: the other thread then has to wake it.
        self._asleep = False
        self._room: trio.Event | None = None

    # Called in the runtime's thread.

    async def carry(self, runtime: Runtime, open_: Callable[..., Any], *args: Any) -> None:
        """Run the agent, and pass its events to the reader."""
        async with open_(runtime, *args) as stream:
            self.stream = stream
            self.wake()
            await self._is_chosen.wait()
            async for event in stream.within() if self.within else stream:
                self.ready.append(event)
                self.wake()
                if len(self.ready) >= STREAM_AHEAD:
                    await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        room = self._room = trio.Event()
        # Check again: the reader may have emptied the queue before it could see `_room`.
        if len(self.ready) > STREAM_AHEAD // 2:
            await room.wait()

    def wake(self) -> None:
        """Let the reader check its condition again."""
        if self._asleep:
            self._asleep = False
            call_in_loop(self._loop, self._reader.set)

    # Called in the reader's thread.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the other thread makes the condition true."""
        while not condition():
            self._reader.clear()
            self._asleep = True
            # Check again: the other thread may have made the condition true before it could see `_asleep`.
            if not condition():
                await self._reader.wait()

    def choose(self, *, within: bool) -> None:
        """Let the events cross, with or without those of the runs within."""
        self.within = within
        self.host.post(self._is_chosen.set)

    def take(self) -> Any:
        """Return the next event of a queue that is not empty."""
        event = self.ready.popleft()
        room = self._room
        if room is not None and len(self.ready) <= STREAM_AHEAD // 2:
            self._room = None
            self.host.post(room.set)
        return event
