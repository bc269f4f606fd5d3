"""A run's events reach a reader in an event loop, in order, at the reader's pace; leaving early ends the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall
from agno_rt.errors import LimitExceeded, ModelError, UsageError
from agno_rt.events import Event, ModelStarted, RunEnded, TextDelta, event_type
from agno_rt.from_asyncio import AsyncioRuntime
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel
from tests.asyncio_helpers import Gate, Stepping, Waiting, in_asyncio, settle, ticks
from tests.helpers import echo

pytestmark = pytest.mark.no_orphans


class Pouring:
    """A model with many deltas, and a counter of the emitted ones."""

    name = "pouring"

    def __init__(self, count: int) -> None:
        self.count = count
        self.emitted = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Emit the deltas."""
        assert emit is not None
        for number in range(self.count):
            await emit(TextDelta(f"{number} "))
            self.emitted += 1
        return ModelResponse("done")


def describe(events: Sequence[Event]) -> list[str]:
    """Return the events' types, and the texts of deltas."""
    return [event.text if isinstance(event, TextDelta) else event_type(event) for event in events]


@in_asyncio
async def test_the_events_are_those_of_trio(well_formed: Callable[[Sequence[Event]], None]) -> None:
    """The stream has the same events as under trio, in the same order, and ends with the run."""

    def agent() -> Agent:
        return Agent(ScriptedModel([ToolCall("1", "echo", '{"text": "hi"}'), "Hello there."]), tools=[echo])

    async def in_trio(runtime: Runtime) -> list[Event]:
        async with runtime.stream(agent(), "Hi") as stream:
            return [event async for event in stream]

    async with AsyncioRuntime() as rt:
        expected = await rt.call(in_trio)
        async with rt.stream(agent(), "Hi") as stream:
            events = [event async for event in stream]
            assert stream.result is not None
            assert stream.result.content == "Hello there."
            assert events[0].run_id == stream.run_id == stream.result.run_id
            assert [event async for event in stream] == []

    well_formed(events)
    assert describe(events) == describe(expected)


@in_asyncio
async def test_a_long_stream_arrives_whole() -> None:
    """Thousands of events keep their order, with many readers at once."""
    model = Pouring(2_000)

    async def read() -> list[str]:
        async with rt.stream(Agent(model), "Hi") as stream:
            return [event.text async for event in stream if isinstance(event, TextDelta)]

    async with AsyncioRuntime() as rt:
        texts = await asyncio.gather(*(read() for _ in range(5)))

    assert texts == [[f"{number} " for number in range(2_000)]] * 5


@in_asyncio
async def test_a_slow_reader_slows_the_run() -> None:
    """The buffer between run and reader is bounded: the run waits for a slow reader."""
    model = Pouring(10_000)
    async with AsyncioRuntime() as rt, rt.stream(Agent(model), "Hi") as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await settle(rt)
        ahead = model.emitted
        assert ahead < 400
        assert stream.statistics()[-1].waiting == 1
        for _ in range(200):
            await anext(stream)
        await settle(rt)
        assert ahead < model.emitted < ahead + 400


@in_asyncio
async def test_leaving_early_ends_the_run() -> None:
    """Leaving the block early unwinds the run, without an error."""
    model = Waiting()
    async with AsyncioRuntime() as rt:
        async with rt.stream(Agent(model), "Hi") as stream:
            async for event in stream:
                assert event_type(event) == "run_started"
                break
        assert model.running == 0
        assert stream.result is not None
        assert stream.result.status == "cancelled"
        left = [event async for event in stream]
        assert not left or event_type(left[-1]) in ("model_started", "model_ended", "run_ended")
        assert (await rt.statistics())[0].in_use == 0


@in_asyncio
async def test_an_error_in_the_block_ends_the_run() -> None:
    """An error in the block unwinds the run, and is raised unchanged."""
    model = Waiting()

    async def read() -> None:
        async with rt.stream(Agent(model), "Hi"):
            await model.asked.wait()
            raise ValueError("mine")

    async with AsyncioRuntime() as rt:
        with pytest.raises(ValueError, match="mine"):
            await read()
        assert (model.running, model.unwound) == (0, 1)


@in_asyncio
async def test_the_runs_error_comes_after_its_events() -> None:
    """The last event is `RunEnded`, then the iteration raises; the block raises when nothing has started."""

    async def read(agent: Agent) -> list[Event]:
        events: list[Event] = []
        try:
            async with rt.stream(agent, "Hi") as stream:
                async for event in stream:
                    events.append(event)  # noqa: PERF401 - what came before the error is looked at
        finally:
            seen[:] = events
        return events

    seen: list[Event] = []
    async with AsyncioRuntime() as rt:
        with pytest.raises(ModelError, match="it is down") as caught:
            await read(Agent(ScriptedModel([ModelError("it is down")])))
        assert caught.value.result.status == "failed"
        assert isinstance(seen[-1], RunEnded)
        with pytest.raises(LimitExceeded):
            await read(Agent(ScriptedModel([ToolCall("1", "echo", "{}")]), tools=[echo], limits=Limits(turns=1)))
        assert isinstance(seen[-1], RunEnded)
        with pytest.raises(UsageError, match="agent 'lost'"):
            await read(Agent("nothing:at-all", "lost"))
        assert seen == []


@in_asyncio
async def test_a_stream_is_cancelled() -> None:
    """After `cancel` the remaining events come, up to the last."""
    model = Waiting()
    async with AsyncioRuntime() as rt, rt.stream(Agent(model), "Hi") as stream:
        await model.asked.wait()
        stream.cancel()
        events = [event async for event in stream]

    last = events[-1]
    assert isinstance(last, RunEnded)
    assert last.status == "cancelled"


@in_asyncio
async def test_waiting_for_one_event_is_given_up() -> None:
    """A timeout around one step loses no event and leaves the run alone."""
    gate = Gate()

    async def answer(_: object) -> str:
        await gate.wait()
        return "Done."

    async with AsyncioRuntime() as rt, rt.stream(Agent(ScriptedModel([answer])), "Hi") as stream:
        # The run waits in its model now, and sends nothing.
        while not isinstance(await anext(stream), ModelStarted):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
        await gate.open(rt)
        assert [event async for event in stream][-1] == RunEnded(stream.run_id, "completed", "Done.", usage_of(stream))


def usage_of(stream: Any) -> Any:
    """Return the run's usage."""
    return stream.result.usage


@in_asyncio
async def test_cancelled_at_any_moment() -> None:
    """After a cancellation of the reader at any moment, the run has unwound."""
    model = Stepping(10)
    finished = 0

    async def read() -> str:
        async with rt.stream(Agent(model), "Hi") as stream:
            return "".join([event.text async for event in stream if isinstance(event, TextDelta)])

    async with AsyncioRuntime() as rt:
        for rounds in range(100):
            task = asyncio.create_task(read())
            await ticks(rounds)
            task.cancel()
            with suppress(asyncio.CancelledError):
                assert await task == "".join(f"{step} " for step in range(10))
                finished += 1
            assert model.running == 0
            assert (await rt.statistics())[0].in_use == 0

    assert finished < 100


@in_asyncio
async def test_a_cancelled_reader_waits_until_the_run_has_unwound() -> None:
    """Repeated cancellations do not hurry the reader: the block ends after the run has unwound."""
    gate = Gate()
    model = Waiting(gate)

    async def read() -> None:
        async with rt.stream(Agent(model), "Hi") as stream:
            async for _ in stream:
                pass

    async with AsyncioRuntime() as rt:
        task = asyncio.create_task(read())
        await model.asked.wait()
        for _ in range(3):
            task.cancel()
            await model.unwinding.wait()
            await ticks(5)
            assert not task.done()
        await gate.open(rt)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.running == 0
