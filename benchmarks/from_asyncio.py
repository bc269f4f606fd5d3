"""Cost of crossing over from asyncio, beside the cost of the run itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime
from agno_rt.events import TextDelta

from .common import ANSWER, INSTANT, Parts, measured_in

with Parts() as setup:
    from agno_rt.from_asyncio import AsyncioRuntime

EVENTS = 2_000


class Pouring:
    """A model that emits many deltas."""

    name = "pouring"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Emit the deltas."""
        assert emit is not None
        for _ in range(EVENTS):
            await emit(TextDelta("a"))
        return ANSWER


def measured(body: Callable[[AsyncioRuntime], Awaitable[int]]) -> float:
    """Return the microseconds for each operation of `body`, which returns their number: the best of several rounds."""

    async def main() -> float:
        best = float("inf")
        async with AsyncioRuntime() as rt:
            for _ in range(7):
                start = time.perf_counter()
                count = await body(rt)
                best = min(best, (time.perf_counter() - start) / count)
        return best * 1e6

    return asyncio.run(main())


class Cross:
    """Crossings from an asyncio program to the runtime in its thread, and back."""

    @measured_in("µs")
    def track_microseconds_a_run(self) -> float:
        """Runs one after another, each of which waits for the thread twice."""

        async def body(rt: AsyncioRuntime) -> int:
            for _ in range(300):
                await rt.run(Agent(INSTANT, "assistant"), "hello")
            return 300

        return measured(body)

    @measured_in("µs")
    def track_microseconds_a_run_of_many(self) -> float:
        """A thousand runs at once."""

        async def body(rt: AsyncioRuntime) -> int:
            await asyncio.gather(*(rt.run(Agent(INSTANT, "assistant"), "hello") for _ in range(1_000)))
            return 1_000

        return measured(body)

    @measured_in("µs")
    def track_microseconds_an_event(self) -> float:
        """Events of a stream."""

        async def body(rt: AsyncioRuntime) -> int:
            count = 0
            async with rt.stream(Agent(Pouring(), "pouring"), "hello") as stream:
                async for _ in stream:
                    count += 1
            return count

        return measured(body)


class Stay:
    """The same stream within trio, to compare with."""

    @measured_in("µs")
    def track_microseconds_an_event(self) -> float:
        """Events of a stream."""

        async def main() -> float:
            best, count = float("inf"), 0
            async with Runtime() as runtime:
                for _ in range(7):
                    start = time.perf_counter()
                    count = 0
                    async with runtime.stream(Agent(Pouring(), "pouring"), "hello") as stream:
                        async for _event in stream:
                            count += 1
                    best = min(best, (time.perf_counter() - start) / count)
            return best * 1e6

        result: Any = trio.run(main)
        return float(result)
