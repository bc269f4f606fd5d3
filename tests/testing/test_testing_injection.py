"""Cancelling a scenario at every step, and failing each call of its parts: the faults found, and the reports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from agno_rt import Agent, Event, Message, ModelRequest, ModelResponse, Runtime, ToolCall, Toolkit, tool
from agno_rt.context import RunContext
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, ModelError, UsageError
from agno_rt.events import Delta, RunEnded, TextDelta
from agno_rt.hooks import Guard, Guardrail, Hook, Verdict
from agno_rt.memory import MemoryBackend
from agno_rt.models import Emit, Model
from agno_rt.testing import (
    CancelPoint,
    Faults,
    InjectedFault,
    Pauses,
    ScriptedModel,
    WallClock,
    cancel_everywhere,
    fail_everywhere,
    no_orphans,
    pause,
    run_virtually,
)
from agno_rt.testing.clocks import JumpingClock
from agno_rt.wrappers.retry import Retry

HI = ModelRequest([Message("user", "hi")])


def joined_notes(caught: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the notes of the exception."""
    return "\n".join(caught.value.__notes__)


class TestCancelEverywhere:
    """One run for each step, cancelled one step later each time."""

    def test_counts_the_steps_of_all_tasks(self) -> None:
        """Each point is tried once: before and after each step of each task in the block, until the block completes."""
        outcomes: list[bool] = []

        async def scenario(point: CancelPoint) -> None:
            with point:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.lowlevel.checkpoint)
                    nursery.start_soon(trio.lowlevel.checkpoint)
            outcomes.append(point.cancelled)

        count = cancel_everywhere(scenario, at_least=10)

        assert outcomes == [True] * count + [False]

    def test_finds_a_cancellation_that_is_swallowed(self) -> None:
        """Code that treats `Cancelled` as its own failure goes on without an answer, and is found."""

        async def ask() -> str | None:
            try:
                await trio.lowlevel.checkpoint()
            except BaseException:
                return None
            return "answer"

        async def scenario(point: CancelPoint) -> None:
            answer: str | None = ""
            with point:
                answer = await ask()
            assert point.caught or answer == "answer"

        with pytest.raises(AssertionError) as caught:
            cancel_everywhere(scenario)

        assert re.search(r"at point \d+: cancelled .* in ask \(.*test_testing_injection.py:\d+\)", joined_notes(caught))

    def test_finds_half_of_a_change(self) -> None:
        """State changed on both sides of an await is found between the two changes."""

        async def move(accounts: dict[str, int]) -> None:
            accounts["a"] -= 1
            await trio.lowlevel.checkpoint()
            accounts["b"] += 1

        async def scenario(point: CancelPoint) -> None:
            accounts = {"a": 1, "b": 0}
            with point:
                await move(accounts)
            assert sum(accounts.values()) == 1

        with pytest.raises(AssertionError):
            cancel_everywhere(scenario)

    def test_a_point_can_be_tried_alone(self) -> None:
        """The number in the note repeats the failure at once; a number beyond the last point is an error."""

        async def scenario(point: CancelPoint) -> None:
            done = []
            with point:
                await trio.lowlevel.checkpoint()
                done.append(1)
                await trio.lowlevel.checkpoint()
                done.append(2)
            assert len(done) != 1

        with pytest.raises(AssertionError) as caught:
            cancel_everywhere(scenario)
        found = re.search(r"at point (\d+): .*only=\1, or --agno-rt-point=\1", joined_notes(caught))
        assert found is not None
        with pytest.raises(AssertionError) as again:
            cancel_everywhere(scenario, only=int(found[1]))

        assert joined_notes(again) == joined_notes(caught)
        with pytest.raises(AssertionError, match="there is no point 1000"):
            cancel_everywhere(scenario, only=1_000)

    def test_some_points(self) -> None:
        """A range of points is tried in its order, up to its end or the last point."""
        cancelled: list[int] = []

        async def scenario(point: CancelPoint) -> None:
            done = 0
            with point:
                for _ in range(10):
                    await trio.lowlevel.checkpoint()
                    done += 1
            if point.cancelled:
                cancelled.append(done)

        points = cancel_everywhere(scenario)
        every, cancelled[:] = list(cancelled), []
        assert cancel_everywhere(scenario, only=range(2, 1_000, 3)) == len(every[1::3])
        assert cancelled == every[1::3]
        assert cancel_everywhere(scenario, only=range(1, 4)) == 3 < points
        with pytest.raises(AssertionError, match=r"there were \d+ points to try, fewer than 100"):
            cancel_everywhere(scenario, only=range(1, 1_000), at_least=100)

    def test_a_scenario_that_tries_too_little(self) -> None:
        """Fewer points than `at_least`, more than `limit`, and a scenario without a block are failures."""

        async def short(point: CancelPoint) -> None:
            with point:
                await trio.lowlevel.checkpoint()

        async def without(point: CancelPoint) -> None:
            await trio.lowlevel.checkpoint()

        with pytest.raises(AssertionError, match=r"there were \d+ points to try, fewer than 100"):
            cancel_everywhere(short, at_least=100)
        with pytest.raises(AssertionError, match="after 1 points there are more"):
            cancel_everywhere(short, limit=1)
        with pytest.raises(AssertionError, match="nothing could happen to the attempt"):
            cancel_everywhere(without)

    def test_one_block_at_a_time(self) -> None:
        """A point cannot be entered within itself."""

        async def scenario(point: CancelPoint) -> None:
            with point, point:
                await trio.lowlevel.checkpoint()

        with pytest.raises(AssertionError, match="one block at a time"):
            cancel_everywhere(scenario)

    def test_errors_of_the_block_come_out(self) -> None:
        """The block's own error is raised, not treated as a cancellation."""

        async def scenario(point: CancelPoint) -> None:
            with point:
                await trio.lowlevel.checkpoint()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            cancel_everywhere(scenario)

    def test_a_hang_is_found_on_a_virtual_clock(self) -> None:
        """A scenario with an endless wait fails at once, and the error has the place of each waiting task."""

        async def waits() -> None:
            await trio.Event().wait()

        async def scenario(point: CancelPoint) -> None:
            with point:
                await trio.sleep(3_600)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(waits)

        with pytest.raises(AssertionError, match=r"it hangs: .*in waits \(.*test_testing_injection.py:\d+\)"):
            cancel_everywhere(scenario, virtual=True)

    async def test_needs_a_test_that_is_not_async(self) -> None:
        """The function runs trio itself, and raises `UsageError` within a trio run."""

        async def scenario(point: CancelPoint) -> None:
            raise NotImplementedError

        with pytest.raises(UsageError, match="it is running already") as caught:
            cancel_everywhere(scenario)

        assert "not async" in caught.value.hint

    def test_a_run_ends_once_wherever_it_is_cancelled(self) -> None:
        """A cancelled stream with parallel tools in a session has one end, and stores all of its history or none."""

        @tool
        async def slow(text: str) -> str:
            """Take a moment."""
            await trio.lowlevel.checkpoint()
            return text

        calls = [ToolCall("1", "slow", '{"text": "a"}'), ToolCall("2", "slow", '{"text": "b"}')]
        events: list[Event] = []
        through: list[bool] = []

        async def scenario(point: CancelPoint) -> None:
            events.clear()
            pauses, memory = Pauses(), InProcessMemory()
            agent = Agent(pauses.model(ScriptedModel([calls, "done"])), tools=[pauses.tool(slow)])
            with no_orphans(resources=False):
                async with Runtime(memory=pauses.memory(memory), observers=[events.append]) as rt:
                    with point:
                        async with rt.stream(agent, "x", session="s") as run:
                            async for _ in run:
                                await pause()
            ended = [event for event in events if isinstance(event, RunEnded)]
            assert len(ended) == (1 if events else 0)
            history = (await memory.load("s")).messages
            assert len(history) in (0, 5)
            assert bool(history) == (bool(ended) and ended[0].status == "completed")
            through.append(not point.cancelled)

        assert cancel_everywhere(scenario, at_least=60) == len(through) - 1
        assert through.count(True) == 1


class TestFailEverywhere:
    """One run for each call, failing one call later each time."""

    def test_each_call_fails_before_and_after(self) -> None:
        """A call with an effect fails before and after the effect; a read fails once."""
        fired: list[str] = []
        told: list[str] = []

        async def scenario(faults: Faults) -> None:
            memory = faults.memory(InProcessMemory())
            try:
                await memory.load("s")
                await memory.append("s", [Message("user", "x")], version=0)
            except InjectedFault as exc:
                told.append(str(exc))
            fired.append(faults.fired)

        assert fail_everywhere(scenario) == 3
        assert fired == ["memory.load", "memory.append", "memory.append, done", ""]
        assert told == [f"injected at point {number}, {what}" for number, what in enumerate(fired[:3], 1)]

    def test_finds_half_of_a_change(self) -> None:
        """Code that stores the first half early leaves a half when the rest fails, and is found."""

        async def answer(memory: MemoryBackend, model: Model) -> None:
            version = await memory.append("s", [Message("user", "hi")], version=0)
            answer = await model.respond(HI)
            await memory.append("s", [Message("assistant", answer.content)], version=version)

        async def scenario(faults: Faults) -> None:
            memory = InProcessMemory()
            with suppress(InjectedFault):
                await answer(faults.memory(memory), faults.model(ScriptedModel(["hello"])))
            assert len((await memory.load("s")).messages) in (0, 2)

        with pytest.raises(AssertionError) as caught:
            fail_everywhere(scenario)

        assert "at point 2: memory.append, done. Try it alone: only=2" in joined_notes(caught)

    def test_with_an_error_of_its_own(self) -> None:
        """The injected error may be of a kind that the code handles, here by a retry."""
        answers: list[str] = []

        async def scenario(faults: Faults) -> None:
            model = Retry(faults.model(ScriptedModel(["one", "two"])), attempts=2)
            answers.append((await model.respond(HI)).content)

        def busy(text: str) -> ModelError:
            return ModelError(text, status=503, retryable=True)

        assert fail_everywhere(scenario, error=busy, virtual=True) == 2
        assert answers == ["one", "two", "one"]

    def test_points_of_ones_own(self) -> None:
        """A test may put points into its own code."""

        async def scenario(faults: Faults) -> None:
            with suppress(InjectedFault):
                faults.point("first")
                faults.point("second")

        assert fail_everywhere(scenario, at_least=2) == 2

    def test_tools_in_threads(self) -> None:
        """A call in a worker thread fails like any other."""

        @tool
        def slow(text: str) -> str:
            """Take a thread."""
            return text

        told: list[str] = []

        async def scenario(faults: Faults) -> None:
            model = ScriptedModel([ToolCall("1", "slow", '{"text": "a"}'), "done"])
            async with Runtime() as rt:
                result = await rt.run(Agent(model, tools=[faults.tool(slow)]), "x")
            told.append(result.messages[2].text)

        assert fail_everywhere(scenario) == 2
        assert told[2] == "a"
        assert all("injected at point" in text for text in told[:2])

    def test_a_run_fails_as_one_of_ours_at_every_step(self) -> None:
        """A failure in any part of a run yields an `AgnoError`, one end, and all of the history or none."""

        class Noting(Hook):
            async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> None:
                await trio.lowlevel.checkpoint()

            async def after_model(self, context: RunContext, response: ModelResponse) -> None:
                await trio.lowlevel.checkpoint()

        @tool
        async def weather(city: str) -> str:
            """Tell the weather."""
            return "sunny"

        call = ToolCall("1", "weather", '{"city": "Seoul"}')
        events: list[Event] = []
        lost: list[bool] = []

        async def scenario(faults: Faults) -> None:
            events.clear()
            memory, model = InProcessMemory(), ScriptedModel([call, "sunny"])
            agent = Agent(faults.model(model), tools=[faults.tool(weather)], hooks=[faults.hook(Noting())])
            async with Runtime(memory=faults.memory(memory), observers=[events.append]) as rt:
                try:
                    await rt.run(agent, "x", session="s")
                except AgnoError as exc:
                    lost.append(exc.result is None)
            ended = [event for event in events if isinstance(event, RunEnded)]
            assert len(ended) == 1
            assert len((await memory.load("s")).messages) in (0, 4)

        fail_everywhere(scenario, at_least=12)
        assert lost
        assert not any(lost)


class Asking(Hook):
    """A guardrail with a model: the runtime uses the result of `bound` instead."""

    def __init__(self, model: Any = "mine:small") -> None:
        self.model = model

    def bound(self, binder: Any) -> Asking:
        """Return a copy with the runtime's model."""
        return self if not isinstance(self.model, str) else Asking(ScriptedModel([]))

    async def before_run(self, context: RunContext, input: tuple[Message, ...]) -> None:
        """Look at the input."""


@tool(process=True)
def heavy() -> str:
    """Work hard."""
    return ""


class Rail:
    """A guardrail without objections."""

    name = "rail"

    async def check(self, context: RunContext, text: str) -> Verdict | None:
        """Let the text pass."""
        return None


class Offering(InProcessMemory):
    """A memory backend with an attribute outside the protocol."""

    url = "offering:"


class TestWrapping:
    """Wrapped parts behave like the parts themselves."""

    async def test_models(self) -> None:
        """A wrapped model keeps its name and other attributes, and has a point before each delta."""
        faults, heard = Faults(), list[Delta]()

        async def hear(delta: Delta) -> None:
            heard.append(delta)

        with ScriptedModel(["a b"], name="m") as model:
            wrapped: Any = faults.model(model)
            await wrapped.respond(HI, hear)

        is_model = isinstance(wrapped, Model)
        assert is_model
        assert (wrapped.name, wrapped.requests, wrapped.profile) == ("m", [HI], model.profile)
        assert not hasattr(wrapped, "statistics")
        assert heard == [TextDelta("a "), TextDelta("b")]
        assert faults.points == ["model m", "model m, emitting", "model m, emitting", "model m, done"]

    async def test_memory(self) -> None:
        """A wrapped backend keeps the protocol and all other attributes."""
        faults = Faults()
        memory = faults.memory(Offering())

        assert isinstance(memory, MemoryBackend)
        assert (memory.url, repr(memory)[:8]) == ("offering:", "wrapped(")
        assert await memory.sessions() == []
        with pytest.raises(AttributeError):
            _ = memory.nothing  # type: ignore[attr-defined]

    async def test_toolkits(self) -> None:
        """Each tool of a wrapped toolkit is wrapped, async or not, and keeps its name and schema."""

        @tool
        async def one(text: str) -> str:
            """One."""
            return text

        @tool(inline=True)
        def two() -> str:
            """Two."""
            return "2"

        faults = Faults()
        kit = faults.tool(Toolkit("kit", [one, two]))

        assert [each.parameters for each in kit.tools] == [one.parameters, two.parameters]
        assert (await kit.tools[0](text="x"), kit.tools[1]()) == ("x", "2")
        assert faults.points == ["tool one", "tool one, done", "tool two", "tool two, done"]

    def test_a_tool_in_a_process(self) -> None:
        """A tool in a process of its own cannot be wrapped, and raises `UsageError`."""

        with pytest.raises(UsageError, match="'heavy' runs in a process of its own"):
            Faults().tool(heavy)

    async def test_hooks(self) -> None:
        """A wrapped hook has the methods of the hook alone, so that missing methods cost nothing."""
        faults = Faults()
        hook = faults.hook(Asking(ScriptedModel([])))

        assert isinstance(hook, Hook)
        assert type(hook).before_run is not Hook.before_run
        assert type(hook).after_run is Hook.after_run
        assert hook.bound(None) is hook

    async def test_a_hook_that_is_bound(self) -> None:
        """The hook returned by `bound` is wrapped, too."""
        faults = Faults()
        with ScriptedModel(["ok"]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, hooks=[faults.hook(Asking())]), "x")

        assert faults.points == ["hook Asking.before_run", "hook Asking.before_run, done"]

    async def test_guardrails(self) -> None:
        """A guardrail, bare or in a `Guard`, is wrapped with its name."""
        faults = Faults()
        hooks: list[Guardrail | Guard] = [faults.hook(Rail()), faults.hook(Guard(Rail(), on=("output",)))]
        with ScriptedModel(["ok"]) as model:
            async with Runtime() as rt:
                await rt.run(Agent(model, hooks=hooks), "x")

        assert faults.points == ["hook rail.check", "hook rail.check, done"] * 2

    async def test_observers(self) -> None:
        """An observer has a point before each event."""
        faults, seen = Faults(), list[Event]()

        def watch(event: Event) -> None:
            seen.append(event)

        with ScriptedModel(["ok"]) as model:
            async with Runtime(observers=[faults.observer(watch)]) as rt:
                await rt.run(Agent(model), "x")

        assert faults.points == ["observer watch"] * len(seen)
        assert len(seen) >= 4

    async def test_wrappers(self) -> None:
        """The runtime binds a wrapper inside a wrapped model, even around a spec, like a bare wrapper."""
        faults = Faults()
        with ScriptedModel(["ok"]) as model:
            async with Runtime() as rt:
                wrapped = faults.model(Retry(Pauses().model(model)))
                result = await rt.run(Agent(wrapped), "x")

        assert (result.content, faults.points) == ("ok", ["model scripted", "model scripted, done"])


class TestClocks:
    """Time in tests."""

    def test_a_virtual_run_takes_no_time(self) -> None:
        """`run_virtually` jumps over every wait, passes arguments and returns the result."""

        async def sleep(seconds: float) -> float:
            began = trio.current_time()
            await trio.sleep(seconds)
            return trio.current_time() - began

        assert run_virtually(sleep, 1_000_000) == 1_000_000

    def test_a_clock_jumps_over_a_deadline(self) -> None:
        """A `JumpingClock` is the system's clock until a jump; the deadlines within the jump are over at once."""
        clock = JumpingClock()

        async def wait() -> tuple[bool, bool, bool]:
            began = trio.current_time()
            with trio.move_on_after(3_600) as short, trio.move_on_after(36_000) as long:
                await trio.sleep(0.001)
                clock.jump(3_601)
                await trio.sleep_forever()
            return short.cancelled_caught, long.cancelled_caught, 3_601 < trio.current_time() - began < 4_000

        assert trio.run(wait, clock=clock) == (True, False, True)

    async def test_a_wall_clock_follows_trio(self, autojump_clock: MockClock) -> None:
        """The clock begins at a fixed time, follows trio's clock, and may be set, also back."""
        clock, follower = WallClock(), WallClock(autojump_clock, start=100)
        assert (clock(), follower()) == (1_767_225_600, 100)
        await trio.sleep(60)
        clock.advance(-3_600)
        follower.advance(5)

        assert (clock(), follower()) == (1_767_225_600 - 3_540, 165)


class Broken:
    """A model without attributes beyond the protocol."""

    name = "broken"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ModelResponse("x")


def test_a_fault_that_nobody_armed() -> None:
    """Without `at`, every call passes, and its points are counted."""
    faults = Faults()
    made: Sequence[ModelResponse] = [run_virtually(faults.model(Broken()).respond, HI)]

    assert (made[0].content, faults.fired, faults.used) == ("x", "", True)
