"""Deadlines of a run's parts: queue, turn, idle. Deadlines of runs, models and tools are in test_run."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import DeadlineExceeded
from agno_rt.events import TextDelta
from agno_rt.models import Emit
from agno_rt.testing import ScriptedModel, Step
from tests.helpers import Hanging


class Slow:
    """A model that writes a word after each wait."""

    name = "slow"

    def __init__(self, *waits: float) -> None:
        self.waits = waits

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait and write in turn."""
        for wait in self.waits:
            await trio.sleep(wait)
            if emit is not None:
                await emit(TextDelta("word "))
        return ModelResponse("word " * len(self.waits))


class TestIdle:
    """The limit `idle_timeout`."""

    async def test_signs_of_life_keep_a_stream_going(self, autojump_clock: MockClock) -> None:
        """A slow model with short silences is not stopped."""
        agent = Agent(Slow(2, 2, 2, 2), limits=Limits(idle_timeout=3))
        async with Runtime() as rt, rt.stream(agent, "Go!") as events:
            words = [event async for event in events if isinstance(event, TextDelta)]

        assert len(words) == 4

    @pytest.mark.parametrize("waits", [(4,), (1, 1, 4)])
    async def test_silence_ends_the_run(self, waits: tuple[float, ...], autojump_clock: MockClock) -> None:
        """Silence for too long raises an error with the limit's name, before the first word or later."""
        agent = Agent(Slow(*waits), limits=Limits(idle_timeout=3))
        async with Runtime() as rt, rt.stream(agent, "Go!") as events:
            with pytest.raises(DeadlineExceeded, match="silent for more than 3 s") as caught:
                async for _ in events:
                    pass

        assert caught.value.limit == "idle_timeout"
        assert trio.current_time() - 0 < 10

    async def test_a_slow_reader_is_not_the_models_silence(self, autojump_clock: MockClock) -> None:
        """The clock stops while the model waits for the reader."""
        agent = Agent(Slow(*[0.001] * 600), limits=Limits(idle_timeout=3))
        async with Runtime() as rt, rt.stream(agent, "Go!") as events:
            words = 0
            async for event in events:
                words += isinstance(event, TextDelta)
                if words == 1:
                    await trio.sleep(60)

        assert words == 600

    async def test_without_a_stream_it_is_the_whole_answer(self, autojump_clock: MockClock) -> None:
        """The whole answer counts as silence without a stream."""
        async with Runtime() as rt:
            with pytest.raises(DeadlineExceeded) as caught:
                await rt.run(Agent(Slow(2, 2), limits=Limits(idle_timeout=3)), "Go!")

        assert caught.value.limit == "idle_timeout"


async def test_a_turn_is_the_model_and_its_tools(autojump_clock: MockClock) -> None:
    """Each turn is bounded by `turn_timeout`. The error names the turn, and earlier messages are kept."""

    @tool
    async def wait(seconds: float) -> str:
        """Wait."""
        await trio.sleep(seconds)
        return "waited"

    steps = [ToolCall("a", "wait", '{"seconds": 4}'), ToolCall("b", "wait", '{"seconds": 6}')]
    async with Runtime() as rt:
        with pytest.raises(DeadlineExceeded, match="turn 2 took longer than 5 s") as caught:
            await rt.run(Agent(ScriptedModel(steps), tools=[wait], limits=Limits(turn_timeout=5)), "Go!")

    assert caught.value.limit == "turn_timeout"
    assert [message.role for message in caught.value.result.messages] == ["user", "assistant", "tool"]


async def test_turns_within_their_time_go_on(autojump_clock: MockClock) -> None:
    """A run of many short turns is not stopped by `turn_timeout`."""

    @tool
    async def wait(seconds: float) -> str:
        """Wait."""
        await trio.sleep(seconds)
        return "waited"

    steps: list[Step] = [*[ToolCall(f"c{at}", "wait", '{"seconds": 4}') for at in range(5)], "done"]
    async with Runtime() as rt:
        result = await rt.run(Agent(ScriptedModel(steps), tools=[wait], limits=Limits(turn_timeout=5)), "Go!")

    assert result.content == "done"


class TestQueue:
    """The limit `queue_timeout`."""

    async def test_the_wait_for_a_place(self, autojump_clock: MockClock) -> None:
        """A run that waits too long for a place is refused by the limit's name, and leaves the queue."""
        async with Runtime(limits=Limits(runs=1, queue_timeout=5)) as rt:
            first = await rt.start(Agent(Hanging()), "Go!")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(DeadlineExceeded, match="wait for a place") as caught:
                await rt.run(Agent(ScriptedModel([])), "Go!")
            assert rt.statistics()[0].waiting == 0
            first.cancel()

        assert caught.value.limit == "queue_timeout"
        assert caught.value.http_status == 504

    async def test_the_wait_for_a_session(self, autojump_clock: MockClock) -> None:
        """The wait for another run on the session is bounded too."""
        async with Runtime(limits=Limits(queue_timeout=5)) as rt:
            first = await rt.start(Agent(Hanging()), "Go!", session="s")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(DeadlineExceeded, match="session 's'") as caught:
                await rt.run(Agent(ScriptedModel([])), "Go!", session="s")
            first.cancel()

        assert caught.value.limit == "queue_timeout"

    async def test_the_wait_for_the_model(self, autojump_clock: MockClock) -> None:
        """The wait for a place among the model calls is bounded too."""
        async with Runtime(limits=Limits(model_calls=1, queue_timeout=5)) as rt:
            first = await rt.start(Agent(Hanging()), "Go!")
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(DeadlineExceeded, match="model_calls"):
                await rt.run(Agent(ScriptedModel([])), "Go!")
            first.cancel()


async def test_an_inner_run_ends_with_the_outer_ones_deadline(autojump_clock: MockClock) -> None:
    """A nested run ends at the outer run's deadline, despite a longer deadline of its own."""
    inner = Hanging()
    outer = ScriptedModel([ToolCall("a", "ask", "{}")])
    async with Runtime() as rt:

        @tool
        async def ask() -> str:
            """Ask another agent."""
            return (await rt.run(Agent(inner, limits=Limits(run_timeout=100)), "Hi")).content

        with pytest.raises(DeadlineExceeded, match="the run took longer than 5 s"):
            await rt.run(Agent(outer, tools=[ask], limits=Limits(run_timeout=5)), "Go!")

    assert inner.cancelled == 1
