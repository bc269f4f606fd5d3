"""The runtime: opening and closing, background runs, plugins, limits over all runs, observers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import agno_rt
from agno_rt import (
    Agent,
    Event,
    Limits,
    Message,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    Runtime,
    ToolCall,
    tool,
)
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, ModelError, NotFound, UsageError
from agno_rt.events import RunEnded
from agno_rt.models import Emit
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, echo

MakePoint = Callable[..., EntryPoint]


class Closing:
    """A model with `aclose`."""

    def __init__(self, name: str, error: Exception | None = None, seconds: float = 0) -> None:
        self.name = name
        self.closed = 0
        self._error = error
        self._seconds = seconds

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return ModelResponse(self.name)

    async def aclose(self) -> None:
        """Close slowly, or fail."""
        self.closed += 1
        await trio.sleep(self._seconds)
        if self._error is not None:
            raise self._error


@attrs.define
class Fleet:
    """A plugin host whose models and memory must be closed."""

    host: PluginHost
    models: dict[str, Closing]
    memory: list[Any]


@pytest.fixture
def fleet(plugin_point: MakePoint) -> Callable[..., Fleet]:
    """Make a host with the given models under the plugin `fleet`, and the memory `fleet:`."""

    def make(*models: Closing) -> Fleet:
        by_name = {model.name: model for model in models}
        memories: list[Any] = []

        class ClosingMemory(InProcessMemory):
            closed = 0

            async def aclose(self) -> None:
                await trio.lowlevel.checkpoint()
                self.closed += 1

        def make_memory(url: str, settings: Mapping[str, Any]) -> ClosingMemory:
            memories.append(ClosingMemory())
            return memories[-1]  # type: ignore[no-any-return]  # appended a line above

        def register_models(register: Any) -> None:
            for name, model in by_name.items():
                register(name, lambda rest, settings, model=model: model)

        point = plugin_point(
            "fleet",
            agno_rt_register_models=register_models,
            agno_rt_register_memory=lambda register: register("fleet", make_memory),
        )
        return Fleet(PluginHost([point]), by_name, memories)

    return make


class TestOpening:
    """Opening a runtime with `async with`."""

    async def test_is_needed(self) -> None:
        """A closed runtime refuses to run, with a hint."""
        rt = Runtime()
        with pytest.raises(UsageError, match="not open") as before:
            await rt.run(Agent(ScriptedModel([])), "x")
        async with rt:
            pass
        with pytest.raises(UsageError, match="not open"):
            await rt.start(Agent(ScriptedModel([])), "x")

        assert "async with" in before.value.hint

    async def test_once_at_a_time(self) -> None:
        """Opening a runtime twice at once is refused; opening again later is not."""
        rt = Runtime()
        async with rt:
            with pytest.raises(UsageError, match="open already"):
                await rt.__aenter__()
            assert (await rt.run(Agent(ScriptedModel(["x"])), "x")).content == "x"
        async with rt:
            assert (await rt.run(Agent(ScriptedModel(["y"])), "x")).content == "y"

    async def test_nothing_is_opened_before_it_is_used(self, fleet: Callable[..., Fleet]) -> None:
        """Opening a runtime makes neither model nor memory."""
        ships = fleet(Closing("a"))
        async with Runtime(plugins=ships.host, memory="fleet:"):
            pass

        assert ships.memory == []
        assert ships.models["a"].closed == 0

    @pytest.mark.parametrize("memory", [42, None, object()])
    def test_a_memory_that_is_none(self, memory: Any) -> None:
        """A memory other than a URL or a backend is refused when the runtime is made."""
        with pytest.raises(UsageError, match="is not a memory"):
            Runtime(memory=memory)

    async def test_a_bare_error_leaves_it(self) -> None:
        """An error of the block leaves the runtime bare, with background runs running or failed."""
        model = Hanging()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt:
                await rt.start(Agent(model), "x")
                await rt.start(Agent(ScriptedModel([ModelError("down")])), "x")
                await wait_all_tasks_blocked()
                raise ZeroDivisionError

        assert model.cancelled == 1

    async def test_a_bare_error_leaves_it_when_cancelled_too(self) -> None:
        """A cancellation from outside does not replace the block's own error."""
        with pytest.raises(ZeroDivisionError), trio.CancelScope() as scope:  # noqa: PT012 - the whole block is what raises
            async with Runtime() as rt:
                await rt.start(Agent(Hanging()), "x")
                await wait_all_tasks_blocked()
                scope.cancel()
                raise ZeroDivisionError


class TestClosing:
    """The end of the runtime's block."""

    async def test_closes_what_it_made_once(self, fleet: Callable[..., Fleet]) -> None:
        """Models and memory made by the runtime are closed once, even after many runs."""
        ships = fleet(Closing("a"), Closing("b"), Closing("unused"))
        async with Runtime(plugins=ships.host, memory="fleet:") as rt:
            for name in ("a", "b", "a"):
                await rt.run(Agent(f"fleet:{name}"), "x", session="s")
            assert rt.model("fleet:a") is ships.models["a"]

        assert [model.closed for model in ships.models.values()] == [1, 1, 0]
        assert [memory.closed for memory in ships.memory] == [1]

    async def test_does_not_close_what_it_was_given(self) -> None:
        """A model or a memory given as an object is not closed."""
        model, memory = Closing("mine"), InProcessMemory()
        async with Runtime(memory=memory) as rt:
            await rt.run(Agent(model), "x", session="s")

        assert model.closed == 0
        assert (await memory.load("s")).version == 1

    async def test_closes_after_an_error_and_a_cancellation(self, fleet: Callable[..., Fleet]) -> None:
        """The runtime's models are closed after an error or a cancellation too."""
        ships = fleet(Closing("a", seconds=0.001))
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole block is what raises
            async with Runtime(plugins=ships.host) as rt:
                rt.model("fleet:a")
                raise ZeroDivisionError
        with trio.CancelScope() as scope:
            async with Runtime(plugins=ships.host) as rt:
                rt.model("fleet:a")
                scope.cancel()
                await trio.lowlevel.checkpoint()

        assert scope.cancelled_caught
        assert ships.models["a"].closed == 2

    async def test_one_that_cannot_be_closed_does_not_keep_the_others_open(self, fleet: Callable[..., Fleet]) -> None:
        """A failure to close is told by name, and the others are closed."""
        ships = fleet(Closing("a", OSError("stuck")), Closing("b"))
        with pytest.raises(AgnoError, match=r"a .*closed.*OSError: stuck"):  # noqa: PT012 - the whole block is what raises
            async with Runtime(plugins=ships.host, memory="fleet:") as rt:
                rt.model("fleet:a")
                rt.model("fleet:b")
                assert rt.memory

        assert ships.models["b"].closed == ships.memory[0].closed == 1

    async def test_the_blocks_error_goes_first(self, fleet: Callable[..., Fleet]) -> None:
        """The block's error is raised even if closing fails too, with a note on the other error."""
        ships = fleet(Closing("a", OSError("stuck")))
        with pytest.raises(ZeroDivisionError) as caught:  # noqa: PT012 - the whole block is what raises
            async with Runtime(plugins=ships.host) as rt:
                rt.model("fleet:a")
                raise ZeroDivisionError

        assert "OSError: stuck" in "".join(caught.value.__notes__)

    async def test_closing_is_bounded(
        self, fleet: Callable[..., Fleet], autojump_clock: trio.testing.MockClock
    ) -> None:
        """A model that hangs in closing delays the end by a few seconds, and is named."""
        ships = fleet(Closing("a", seconds=1e6), Closing("b"))
        with pytest.raises(AgnoError, match="a took longer than 10 s to close"):  # noqa: PT012 - the whole block is what raises
            async with Runtime(plugins=ships.host) as rt:
                rt.model("fleet:a")
                rt.model("fleet:b")

        assert trio.current_time() == pytest.approx(10)
        assert ships.models["b"].closed == 1

    async def test_waits_for_background_runs(self) -> None:
        """Leaving the block waits for background runs."""
        go = trio.Event()

        async def slow(_: ModelRequest) -> str:
            await go.wait()
            return "done"

        async with trio.open_nursery() as nursery:
            async with Runtime() as rt:
                run = await rt.start(Agent(ScriptedModel([slow])), "x")
                nursery.start_soon(self._set_later, go)

            assert run.result is not None
            assert run.result.content == "done"

    async def _set_later(self, event: trio.Event) -> None:
        await wait_all_tasks_blocked()
        event.set()

    async def test_cancelled_while_waiting(self) -> None:
        """A runtime cancelled while waiting for background runs cancels them."""
        model = Hanging()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cancel_later, scope)
                async with Runtime() as rt:
                    run = await rt.start(Agent(model), "x")

        assert scope.cancelled_caught
        assert model.cancelled == 1
        assert run.result is not None
        assert run.result.status == "cancelled"

    async def _cancel_later(self, scope: trio.CancelScope) -> None:
        await wait_all_tasks_blocked()
        scope.cancel()


class TestBackground:
    """Background runs by `Runtime.start`."""

    async def test_returns_at_once_and_can_be_waited_for(self) -> None:
        """The run goes on by itself, and `wait` returns the result any number of times."""
        async with Runtime() as rt:
            run = await rt.start(Agent(ScriptedModel(["done"])), "x")
            assert run.result is None
            result = await run.wait()
            assert result is await run.wait() is run.result

        assert (result.content, result.run_id) == ("done", run.id)

    async def test_cancel(self) -> None:
        """A cancelled run has a result with the messages so far."""

        async def hang(_: ModelRequest) -> str:
            await trio.sleep_forever()
            return ""

        async with Runtime() as rt:
            model = ScriptedModel([ToolCall("1", "echo", '{"text": "a"}'), hang])
            run = await rt.start(Agent(model, tools=[echo]), "x", session="s")
            await wait_all_tasks_blocked()
            run.cancel()
            run.cancel()
            result = await run.wait()
            stored = await rt.memory.load("s")

        assert (result.status, result.error, result.content) == ("cancelled", None, "")
        assert [message.role for message in result.messages] == ["user", "assistant", "tool"]
        assert list(stored.messages) == []

    async def test_cancel_before_it_has_begun(self) -> None:
        """A run may be cancelled right after the start, or after its end."""
        async with Runtime() as rt:
            run = await rt.start(Agent(ScriptedModel([])), "x")
            run.cancel()
            assert (await run.wait()).status == "cancelled"

            over = await rt.start(Agent(ScriptedModel(["x"])), "x")
            await over.wait()
            over.cancel()
            assert (await over.wait()).status == "completed"

    async def test_its_error_is_raised_by_wait(self) -> None:
        """A failing background run disturbs no other run, and `wait` raises the error."""
        error = ModelError("down")
        async with Runtime() as rt:
            run = await rt.start(Agent(ScriptedModel([error])), "x")
            await wait_all_tasks_blocked()
            assert (await rt.run(Agent(ScriptedModel(["fine"])), "x")).content == "fine"
            for _ in range(2):
                with pytest.raises(ModelError) as caught:
                    await run.wait()
                assert caught.value is error

        assert run.result is error.result

    async def test_waiting_may_be_given_up(self) -> None:
        """Giving up `wait` does not cancel the run."""
        async with Runtime() as rt:
            run = await rt.start(Agent(Hanging()), "x")
            with trio.move_on_after(0) as scope:
                await run.wait()
            assert scope.cancelled_caught
            assert run.result is None
            run.cancel()


class TestObservers:
    """Observers of all runs."""

    async def test_see_the_events_of_all_runs(self) -> None:
        """Every observer gets every event of every run, streamed, started or plain."""
        first: list[Event] = []
        second: list[Event] = []
        async with Runtime(observers=[first.append, second.append]) as rt:
            await rt.run(Agent(ScriptedModel(["x"]), "plain"), "x")
            await (await rt.start(Agent(ScriptedModel(["x"]), "started"), "x")).wait()
            async with rt.stream(Agent(ScriptedModel(["x"]), "streamed"), "x") as events:
                streamed = [event async for event in events]

        assert first == second
        assert [event for event in first if event.run_id == events.run_id] == streamed
        assert len({event.run_id for event in first}) == 3
        assert sum(isinstance(event, RunEnded) for event in first) == 3

    async def test_one_that_raises_is_dropped_and_reported(self) -> None:
        """A raising observer is dropped with a warning. Other observers and the run go on."""
        calls: list[Event] = []
        seen: list[Event] = []

        def broken(event: Event) -> None:
            calls.append(event)
            raise ValueError("cannot")

        async with Runtime(observers=[broken, seen.append]) as rt:
            with pytest.warns(RuntimeWarning, match="broken.*ValueError"):
                assert (await rt.run(Agent(ScriptedModel(["x"])), "x")).content == "x"
            await rt.run(Agent(ScriptedModel(["x"])), "x")

        assert len(calls) == 1
        assert sum(isinstance(event, RunEnded) for event in seen) == 2

    async def test_one_that_cannot_be_hashed_is_dropped_too(self) -> None:
        """A raising observer without a hash is dropped too."""

        @attrs.define
        class Broken:
            calls: int = 0

            def __call__(self, event: Event) -> None:
                self.calls += 1
                raise ValueError("cannot")

        broken = Broken()
        async with Runtime(observers=[broken]) as rt:
            with pytest.warns(RuntimeWarning, match="Broken"):
                await rt.run(Agent(ScriptedModel(["x"])), "x")

        assert broken.calls == 1

    async def test_plugins_observe_by_name(self, plugin_point: MakePoint) -> None:
        """A plugin's name among the observers calls the plugin's hook once, with the runtime."""
        asked: list[Runtime] = []
        seen: list[Event] = []

        def observe(runtime: Runtime) -> Callable[[Event], None]:
            asked.append(runtime)
            return seen.append

        host = PluginHost([plugin_point("watch", agno_rt_observe=observe)])
        async with Runtime(plugins=host, observers=["watch"]) as rt:
            await rt.run(Agent(ScriptedModel(["x"])), "x")
            assert asked == [rt]

        assert isinstance(seen[-1], RunEnded)

    async def test_an_observer_that_is_not_there(self) -> None:
        """An unknown observer is an error when the runtime opens, and nothing stays open."""
        rt = Runtime(observers=["nope"])
        for _ in range(2):
            with pytest.raises(NotFound, match="unknown plugin 'nope'"):
                await rt.__aenter__()

    async def test_a_plugins_observer_that_raises_is_a_failure_of_the_plugin(self, plugin_point: MakePoint) -> None:
        """A plugin's raising observer is a failure of the plugin, and the plugin's models still work."""

        def observe(runtime: Runtime) -> Callable[[Event], None]:
            def broken(event: Event) -> None:
                raise ValueError("cannot")

            return broken

        point = plugin_point(
            "watch",
            agno_rt_observe=observe,
            agno_rt_register_models=lambda register: register("m", lambda rest, settings: ScriptedModel(["x"])),
        )
        async with Runtime(plugins=PluginHost([point]), observers=["watch"]) as rt:
            await rt.run(Agent(ScriptedModel(["x"])), "x")
            assert (await rt.run(Agent("watch:m"), "x")).content == "x"

        assert "ValueError: cannot" in str(rt.plugins.failures["watch"])
        assert [info.error for info in rt.plugins.plugins()] == [rt.plugins.failures["watch"]]


class TestSynchronous:
    """`agno_rt.run`, for code without trio."""

    def test_runs_an_agent(self) -> None:
        """One call opens a runtime, runs the agent, and closes the runtime."""
        result = agno_rt.run(Agent(ScriptedModel(["Hello."])), "Hi")

        assert (result.content, result.status) == ("Hello.", "completed")

    def test_takes_the_runtimes_options(self) -> None:
        """A synchronous run accepts session, user and the runtime's options."""
        memory, seen = InProcessMemory(), list[Event]()
        for word in ("a", "b"):
            agno_rt.run(
                Agent(ScriptedModel([word])), word, session="s", user="u", memory=memory, observers=[seen.append]
            )

        assert len(trio.run(memory.load, "s").messages) == 4
        assert sum(isinstance(event, RunEnded) for event in seen) == 2

    def test_raises_bare_errors(self) -> None:
        """A synchronous run raises a bare error with a result."""
        with pytest.raises(ModelError, match="down") as caught:
            agno_rt.run(Agent(ScriptedModel([ModelError("down")])), "x")

        assert caught.value.result.messages == (Message("user", "x"),)

    async def test_inside_trio_is_refused(self) -> None:
        """A synchronous run inside trio would block everything, and is refused with a hint."""
        with pytest.raises(UsageError, match="inside trio") as caught:
            agno_rt.run(Agent(ScriptedModel([])), "x")

        assert "async with Runtime()" in caught.value.hint

    async def test_in_a_thread_beside_trio(self) -> None:
        """A synchronous run works in a thread, such as in a synchronous tool."""

        @tool
        def ask() -> str:
            """Run another agent."""
            return agno_rt.run(Agent(ScriptedModel(["from a thread"])), "x").content

        async with Runtime() as rt:
            result = await rt.run(Agent(ScriptedModel([ToolCall("1", "ask"), "x"]), tools=[ask]), "x")

        assert result.messages[2].content == "from a thread"
        assert threading.current_thread() is threading.main_thread()


async def test_two_runtimes_share_nothing() -> None:
    """Any number of runtimes may be open at once, each with separate sessions and limits."""
    async with Runtime() as one, Runtime(limits=Limits(runs=1)) as two:
        await one.run(Agent(ScriptedModel(["x"])), "x", session="s")
        assert (await two.memory.load("s")).version == 0
        assert one.statistics()[0].total == 1_000
        assert two.statistics()[0].total == 1


async def test_settings_of_an_agent_hold_for_it_alone() -> None:
    """Two agents on one model keep separate settings."""
    model = ScriptedModel(["a", "b"])
    agents: Sequence[Agent] = [Agent(model, settings=ModelSettings(seed=at)) for at in (1, 2)]
    async with Runtime() as rt:
        for agent in agents:
            await rt.run(agent, "x")

    assert [request.settings.seed for request in model.requests] == [1, 2]
