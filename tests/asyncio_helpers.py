"""Helpers for tests of the asyncio bridge: an asyncio test runner, signals from trio to asyncio, models that wait."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, ParamSpec

import trio
import trio.testing

from agno_rt import ModelRequest, ModelResponse
from agno_rt.events import TextDelta
from agno_rt.from_asyncio import AsyncioRuntime
from agno_rt.models import Emit

P = ParamSpec("P")


def in_asyncio(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test from an asyncio coroutine function. The test runs in an event loop of its own, in debug mode."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs), debug=True)

    return run


class Signal:
    """An event of the running event loop. Any thread may set the event."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        """Set the event soon, if the loop still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait until the event is set."""
        await self._event.wait()


class Gate:
    """A trio event that asyncio code opens."""

    def __init__(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        """Wait for the gate, in trio."""
        await self._event.wait()

    async def open(self, rt: AsyncioRuntime) -> None:
        """Open the gate, from asyncio."""
        await rt.call(lambda _: self._event.set())


class Waiting:
    """A model that signals each call and waits to be cancelled. With a gate, unwinding waits until the gate opens."""

    name = "waiting"

    def __init__(self, gate: Gate | None = None) -> None:
        self.asked, self.unwinding, self.gate = Signal(), Signal(), gate
        self.running = 0
        self.unwound = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait for ever."""
        self.running += 1
        self.asked.set()
        try:
            await trio.sleep_forever()
        finally:
            self.unwinding.set()
            if self.gate is not None:
                with trio.CancelScope(shield=True):
                    await self.gate.wait()
            self.running -= 1
            self.unwound += 1


class Stepping:
    """A model that takes a number of trio steps, calls `at` after each, and counts the calls under way."""

    name = "stepping"

    def __init__(self, steps: int, at: Callable[[int], object] = lambda step: None) -> None:
        self.steps, self.at = steps, at
        self.running = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Take the steps."""
        self.running += 1
        try:
            for step in range(self.steps):
                self.at(step)
                await trio.lowlevel.checkpoint()
                if emit is not None:
                    await emit(TextDelta(f"{step} "))
            return ModelResponse("done")
        finally:
            self.running -= 1


async def settle(rt: AsyncioRuntime) -> None:
    """Wait until every task in the runtime's thread is blocked."""

    def blocked(_: object) -> Awaitable[None]:
        return trio.testing.wait_all_tasks_blocked()

    await ticks(2)  # a task made just now needs a round to start
    await rt.call(blocked)


async def ticks(count: int) -> None:
    """Let the event loop go round `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)
