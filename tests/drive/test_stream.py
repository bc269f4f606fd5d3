"""Streams of runs: events in order, back-pressure, leaving early, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, Event, Limits, Message, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import DeadlineExceeded, ModelError, Overloaded, UsageError
from agno_rt.events import ModelEnded, ModelStarted, ReasoningDelta, RunEnded, TextDelta, ToolCallDelta
from agno_rt.models import Emit
from agno_rt.runs import STREAM_BUFFER
from agno_rt.testing import ScriptedModel

WellFormed = Callable[[Sequence[Event]], None]


@tool
async def nap() -> str:
    """Yield."""
    await trio.lowlevel.checkpoint()
    return "rested"


class Talker:
    """A model that emits a number of words, and counts the words taken."""

    name = "talker"

    def __init__(self, words: int) -> None:
        self.words = words
        self.emitted = 0
        self.cancelled = False

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Emit the words."""
        assert emit is not None
        try:
            for at in range(self.words):
                await emit(TextDelta(f"{at} "))
                self.emitted += 1
        except trio.Cancelled:
            self.cancelled = True
            raise
        return ModelResponse("".join(f"{at} " for at in range(self.words)))


async def test_events_come_in_order(well_formed: WellFormed) -> None:
    """A reader gets every event, and the result at the end."""
    steps = [
        ModelResponse(tool_calls=[ToolCall("1", "nap"), ToolCall("2", "nap")]),
        ModelResponse("Good morning.", reasoning="hm"),
    ]
    async with Runtime() as rt, rt.stream(Agent(ScriptedModel(steps), tools=[nap]), "Hi") as events:
        assert events.result is None
        seen = [event async for event in events]
        result = events.result

    well_formed(seen)
    assert result is not None
    assert (result.content, result.status) == ("Good morning.", "completed")
    assert {event.run_id for event in seen} == {events.run_id} == {result.run_id}
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "Good morning."
    assert [event.text for event in seen if isinstance(event, ReasoningDelta)] == ["hm"]
    assert [event.index for event in seen if isinstance(event, ToolCallDelta)] == [0, 1]


async def test_a_run_streams_or_not_the_same_way() -> None:
    """A streamed run has the same result as an unstreamed run."""

    def agent() -> Agent:
        return Agent(ScriptedModel([ToolCall("1", "nap"), "done"]), tools=[nap])

    async with Runtime() as rt:
        plain = await rt.run(agent(), "x")
        async with rt.stream(agent(), "x") as events:
            async for _ in events:
                pass

    assert events.result is not None
    assert (events.result.messages, events.result.usage) == (plain.messages, plain.usage)


async def test_without_a_listener_the_model_is_not_asked_to_emit() -> None:
    """A model gets `emit` only with a listener."""
    emits: list[bool] = []

    class Watching:
        name = "watching"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            emits.append(emit is not None)
            return ModelResponse("x")

    async with Runtime() as rt:
        await rt.run(Agent(Watching()), "x")
        async with rt.stream(Agent(Watching()), "x"):
            await wait_all_tasks_blocked()

    assert emits == [False, True]


async def test_a_slow_reader_slows_the_run_and_loses_nothing() -> None:
    """A run stays ahead of its reader by at most the buffer, and every event arrives."""
    model = Talker(3 * STREAM_BUFFER)
    async with Runtime() as rt, rt.stream(Agent(model), "x") as events:
        await wait_all_tasks_blocked()
        assert model.emitted <= STREAM_BUFFER
        first = await events.__anext__()
        await wait_all_tasks_blocked()
        ahead = model.emitted
        seen = [first]
        async for event in events:
            seen.append(event)
            if len(seen) % 50 == 0:
                await wait_all_tasks_blocked()
                assert model.emitted <= len(seen) + STREAM_BUFFER

    assert ahead <= STREAM_BUFFER
    assert [e.text for e in seen if isinstance(e, TextDelta)] == [f"{at} " for at in range(3 * STREAM_BUFFER)]
    assert isinstance(seen[-1], RunEnded)


async def test_parallel_tools_behind_a_slow_reader() -> None:
    """Many tools waiting for one reader all get their turn."""
    calls = [ToolCall(str(at), "nap") for at in range(2 * STREAM_BUFFER)]
    agent = Agent(ScriptedModel([calls, "x"]), tools=[nap])
    async with Runtime(limits=Limits(tools=20)) as rt, rt.stream(agent, "x") as events:
        seen = 0
        with trio.fail_after(60):
            async for _ in events:
                seen += 1
                await trio.lowlevel.checkpoint()

    assert seen == 2 + 2 * 2 + len(calls) * 3 + 1


async def test_leaving_early_cancels_and_waits(well_formed: WellFormed) -> None:
    """Leaving the block early cancels the model and waits until the model has unwound."""
    model = Talker(10_000)
    seen: list[Event] = []
    async with Runtime(observers=[seen.append]) as rt:
        async with rt.stream(Agent(model), "x", session="s") as events:
            async for _ in events:
                break
        assert model.cancelled
        assert events.result is not None
        assert events.result.status == "cancelled"
        assert rt.statistics()[0].in_use == 0
        assert list((await rt.memory.load("s")).messages) == []

    well_formed(seen)


async def test_leaving_at_once() -> None:
    """A stream left unread is cancelled."""
    async with Runtime() as rt:
        async with rt.stream(Agent(ScriptedModel([])), "x") as events:
            pass
        assert events.result is not None
        assert events.result.status == "cancelled"


async def test_cancelled_in_a_full_buffer(well_formed: WellFormed) -> None:
    """Observers get an end for every start, even after a cancellation at a full buffer."""
    for words in range(STREAM_BUFFER - 4, STREAM_BUFFER + 2):
        seen: list[Event] = []

        async def talk_and_call(request: ModelRequest, words: int = words) -> ModelResponse:
            if request.turn > 1:
                return ModelResponse("done")
            return ModelResponse("x" + " x" * (words - 1), [ToolCall("1", "nap"), ToolCall("2", "nap")])

        model = ScriptedModel([talk_and_call, talk_and_call])
        async with Runtime(observers=[seen.append]) as rt, rt.stream(Agent(model, tools=[nap]), "x"):
            await wait_all_tasks_blocked()

        well_formed(seen)
        assert isinstance(seen[-1], RunEnded)


async def test_cancel_still_delivers_the_end() -> None:
    """A cancelled run still delivers its last events with `RunEnded`, and the iteration ends."""
    model = Talker(10_000)
    async with Runtime() as rt, rt.stream(Agent(model), "x") as events:
        seen = []
        async for event in events:
            seen.append(event)
            if len(seen) == 5:
                events.cancel()

    assert isinstance(seen[-2], ModelEnded)
    assert isinstance(seen[-1], RunEnded)
    assert seen[-1].status == seen[-2].status == "cancelled"
    assert events.result is not None
    assert events.result.status == "cancelled"


class TestErrors:
    """Runs without an answer."""

    async def test_the_error_comes_after_the_last_event(self, well_formed: WellFormed) -> None:
        """The reader first gets `RunEnded`, then the run's own error, bare, at each further step."""
        error = ModelError("down")
        seen: list[Event] = []
        async with Runtime() as rt, rt.stream(Agent(ScriptedModel([error])), "x") as events:
            with pytest.raises(ModelError) as caught:  # noqa: PT012 - the whole block is what raises
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - events before the error count
            with pytest.raises(ModelError):
                await events.__anext__()

        well_formed(seen)
        assert caught.value is error
        assert isinstance(seen[-1], RunEnded)
        assert (seen[-1].status, seen[-1].code) == ("failed", "model")
        assert events.result is error.result

    async def test_it_leaves_the_blocks_bare(self) -> None:
        """An uncaught error leaves both blocks bare."""
        with pytest.raises(ModelError, match="down"):  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt, rt.stream(Agent(ScriptedModel([ModelError("down")])), "x") as events:
                async for _ in events:
                    pass

    async def test_a_bodys_own_error_stays_bare(self) -> None:
        """An error of the reader leaves both blocks bare, and the run is cancelled."""
        model = Talker(10_000)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt, rt.stream(Agent(model), "x") as events:
                async for _ in events:
                    raise ZeroDivisionError

        assert model.cancelled

    async def test_a_refused_run(self) -> None:
        """A run beyond the queue has only an error, and no events."""
        async with Runtime(limits=Limits(runs=1, queue=0)) as rt, rt.stream(Agent(Talker(10_000)), "x"):
            await wait_all_tasks_blocked()
            async with rt.stream(Agent(ScriptedModel([])), "x") as events:
                with pytest.raises(Overloaded):
                    await events.__anext__()

    async def test_bad_input_is_refused_at_the_door(self) -> None:
        """Invalid input is refused when the block is entered."""
        async with Runtime() as rt:
            with pytest.raises(UsageError, match="empty"):
                async with rt.stream(Agent(ScriptedModel([])), " "):
                    pass

    async def test_nonsense_from_a_models_emit(self, well_formed: WellFormed) -> None:
        """Emitting another object than a delta is a failure of the model."""

        class Odd:
            name = "odd"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                assert emit is not None
                await emit("text")  # type: ignore[arg-type]  # the point of the test
                return ModelResponse("x")

        seen: list[Event] = []
        async with Runtime() as rt, rt.stream(Agent(Odd()), "x") as events:
            with pytest.raises(ModelError, match="odd"):  # noqa: PT012 - the whole block is what raises
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - events before the error count
        well_formed(seen)


class TestDeadlines:
    """Deadlines around streams and of runs."""

    async def test_the_callers_own(self, autojump_clock: trio.testing.MockClock) -> None:
        """A `move_on_after` around or inside the block ends only the run."""

        async def slow(_: ModelRequest) -> str:
            await trio.sleep(100)
            return "late"

        async with Runtime() as rt:
            with trio.move_on_after(2) as around:
                async with rt.stream(Agent(ScriptedModel([slow])), "x") as events:
                    async for _ in events:
                        pass
            async with rt.stream(Agent(ScriptedModel([slow])), "x") as others:
                with trio.move_on_after(2) as inside:
                    async for _ in others:
                        pass
                assert others.result is None

        assert around.cancelled_caught
        assert inside.cancelled_caught
        assert trio.current_time() == pytest.approx(4)
        assert events.result is not None
        assert events.result.status == "cancelled"

    async def test_the_runs(self, autojump_clock: trio.testing.MockClock) -> None:
        """The run's deadline raises in the iteration, after the events so far."""

        class Trailing:
            name = "trailing"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                assert emit is not None
                await emit(TextDelta("so..."))
                await trio.sleep_forever()

        async with Runtime(limits=Limits(run_timeout=1)) as rt, rt.stream(Agent(Trailing()), "x") as events:
            seen: list[Event] = []
            with pytest.raises(DeadlineExceeded):  # noqa: PT012 - the whole block is what raises
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - events before the error count

        assert [type(event).__name__ for event in seen][-3:] == ["TextDelta", "ModelEnded", "RunEnded"]
        assert isinstance(seen[-1], RunEnded)
        assert (seen[-1].status, seen[-1].code) == ("limited", "deadline")


async def test_a_shared_delta_belongs_to_each_run_that_it_is_sent_in() -> None:
    """A delta emitted in two concurrent runs belongs to both."""
    constant = TextDelta("hello")

    class Constant:
        name = "constant"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            assert emit is not None
            for _ in range(3):
                await emit(constant)
                await trio.lowlevel.checkpoint()
            return ModelResponse("x")

    async def read(rt: Runtime) -> None:
        async with rt.stream(Agent(Constant()), "x") as events:
            assert {event.run_id async for event in events} == {events.run_id}

    async with Runtime() as rt, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(read, rt)


async def test_a_streamed_session_is_stored() -> None:
    """A streamed run is stored in the session."""
    async with Runtime() as rt:
        for word in ("a", "b"):
            async with rt.stream(Agent(ScriptedModel([word.upper()])), word, session="s") as events:
                started = [event async for event in events if isinstance(event, ModelStarted)]
            assert len(started) == 1
        stored = await rt.memory.load("s")

    assert list(stored.messages)[2:] == [Message("user", "b"), Message("assistant", "B")]
