"""Streaming: what a token costs on its way to whoever listens, and what it costs when nobody does."""

from __future__ import annotations

import time

from agno_rt import Agent, Emit, Event, ModelRequest, ModelResponse, Runtime
from agno_rt.events import TextDelta

from .common import in_runtime

TOKENS = 10_000


class TalkingModel:
    """Writes a long answer, a token at a time, without waiting for anything."""

    name = "talking"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        if emit is not None:
            for _ in range(TOKENS):
                await emit(TextDelta("token "))
        return ModelResponse("token " * TOKENS)


def _ignore(event: Event) -> None:
    """Listen."""


async def _streamed(runtime: Runtime) -> None:
    async with runtime.stream(Agent(TalkingModel(), "talker"), "go") as events:
        async for _ in events:
            pass


async def _run(runtime: Runtime) -> None:
    await runtime.run(Agent(TalkingModel(), "talker"), "go")


class Stream:
    """A run whose model writes ten thousand tokens: with a reader of its stream, an observer, or nobody."""

    params = ("reader", "observer", "nobody")
    param_names = ("listener",)

    def track_microseconds_a_token(self, listener: str) -> float:
        """The time of the run by the number of its tokens; the best of several."""
        run = _streamed if listener == "reader" else _run
        observers = (_ignore,) if listener == "observer" else ()

        async def best(runtime: Runtime) -> float:
            times = []
            for _ in range(7):
                start = time.perf_counter()
                await run(runtime)
                times.append(time.perf_counter() - start)
            return min(times) / TOKENS * 1e6

        return float(in_runtime(best, observers=observers))
