"""Streaming: the cost of a token on its way to a listener, and without a listener."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from agno_rt import Agent, Emit, Event, ModelRequest, ModelResponse, Runtime
from agno_rt.events import TextDelta

from .common import Times, exact, in_runtime, measured_in, measuring, seconds
from .counting import allocations, memray_is_here

TOKENS = 10_000


class TalkingModel:
    """A model that writes an answer of many tokens, without waiting."""

    name = "talking"

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        if emit is not None:
            for _ in itertools.repeat(None, self.tokens):
                await emit(TextDelta("token "))
        return ModelResponse("token ")


def _ignore(event: Event) -> None:
    """Ignore the event."""


def _read(runtime: Runtime) -> Times:
    async def read(tokens: int) -> None:
        async with runtime.stream(Agent(TalkingModel(tokens), "talker"), "go") as events:
            async for _ in events:
                pass

    return read


def _run(runtime: Runtime) -> Times:
    async def run(tokens: int) -> None:
        await runtime.run(Agent(TalkingModel(tokens), "talker"), "go")

    return run


class Stream:
    """A run whose model writes many tokens: with a reader of its stream, an observer, or neither."""

    params = ("reader", "observer", "nobody")
    param_names = ("listener",)

    def setup(self, listener: str) -> None:
        """Choose the listener."""
        self.body = _read if listener == "reader" else _run
        self.observers = (_ignore,) if listener == "observer" else ()

    @measured_in("µs")
    def track_microseconds_a_token(self, listener: str) -> float:
        """The time of the run by the number of its tokens; the best of several."""

        async def body(runtime: Runtime) -> float:
            return await seconds(self.body(runtime), TOKENS, rounds=7) * 1e6

        return float(in_runtime(body, observers=self.observers))

    @exact("calls")
    def track_python_calls_1000_tokens(self, listener: str) -> int:
        """Python calls that a thousand more tokens make, the reader's and the model's own included."""
        return self._counted(measuring.python_calls)

    @exact("steps")
    def track_scheduler_steps_1000_tokens(self, listener: str) -> int:
        """Steps of trio's scheduler that a thousand more tokens take: the reader and the model take turns."""
        return self._counted(measuring.scheduler_steps)

    @exact("allocations", setup=memray_is_here)
    def track_allocations_1000_tokens(self, listener: str) -> int:
        """How often a thousand more tokens ask for memory, for the events themselves too."""
        return self._counted(lambda body: allocations(body, times=4))

    def _counted(self, count: Callable[[Times], Awaitable[int]]) -> int:
        async def body(runtime: Runtime) -> int:
            talk = self.body(runtime)

            async def thousands(times: int) -> None:
                await talk(1_000 * times)

            return await count(thousands)

        return int(in_runtime(body, observers=self.observers))
