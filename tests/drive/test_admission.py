"""Limits over all runs, also for runs made by tools."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import (
    Agent,
    Event,
    Limits,
    Runtime,
    ToolCall,
    tool,
)
from agno_rt.errors import ModelError, Overloaded
from agno_rt.hookspecs import Register
from agno_rt.limits import LimitStatistics
from agno_rt.plugins import PluginHost
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging

MakePoint = Callable[..., EntryPoint]


class TestRunsWithinRuns:
    """Runs made by tools never wait for places of the outer run."""

    async def test_takes_no_place_of_its_own(self) -> None:
        """Nested runs two deep get through a limit of one run, also from threads."""
        async with Runtime(limits=Limits(runs=1, queue=0)) as rt:
            inner = Agent(ScriptedModel(["deep", "deep"]))

            @tool
            async def middle() -> str:
                """Ask another agent."""
                return (await rt.run(inner, "x", session="inner")).content

            @tool
            def threaded() -> str:
                """Ask another agent from a thread."""
                return trio.from_thread.run(rt.run, inner, "x").content

            calls = [ToolCall("1", "middle"), ToolCall("2", "threaded")]
            between = Agent(ScriptedModel([calls, "between"]), tools=[middle, threaded])

            @tool
            async def outer() -> str:
                """Ask an agent with an inner agent."""
                async with rt.stream(between, "x") as events:
                    async for _ in events:
                        pass
                assert events.result is not None
                return events.result.content

            result = await rt.run(
                Agent(ScriptedModel([ToolCall("1", "outer"), "done"]), tools=[outer]), "x", session="s"
            )

        assert [message.content for message in result.messages if message.role == "tool"] == ["between"]

    async def test_may_not_wait_for_the_session_around_it(self) -> None:
        """A nested run on the outer run's session is an error told to the model, not a deadlock."""
        async with Runtime() as rt:

            @tool
            async def again() -> str:
                """Ask in the same session."""
                return (await rt.run(Agent(ScriptedModel([])), "x", session="s")).content

            with trio.fail_after(60):
                agent = Agent(ScriptedModel([ToolCall("1", "again"), "done"]), tools=[again])
                result = await rt.run(agent, "x", session="s")

        assert "session 's' is in use by the run that this one is within" in result.messages[2].content

    async def test_one_that_is_started_follows(self) -> None:
        """A background run on the same session waits for the outer run, and comes after."""
        async with Runtime() as rt:
            started = []

            @tool
            async def later() -> str:
                """Go on afterwards."""
                started.append(await rt.start(Agent(ScriptedModel(["second"])), "y", session="s"))
                return "started"

            agent = Agent(ScriptedModel([ToolCall("1", "later"), "first"]), tools=[later])
            await rt.run(agent, "x", session="s")
            await started[0].wait()
            stored = await rt.memory.load("s")

        said = [message.content for message in stored.messages if message.role == "assistant"]
        assert said == ["", "first", "second"]


class TestAdmission:
    """Limits over all runs."""

    async def test_statistics_include_what_models_limit_themselves(self, plugin_point: Callable[..., Any]) -> None:
        """Statistics include the limits of a model made from a spec."""

        class Limited(ScriptedModel):
            def statistics(self) -> tuple[LimitStatistics, ...]:
                return (LimitStatistics("slots", 1, 0, 0),)

        def models(register: Register) -> None:
            register("one", lambda rest, settings: Limited(["ok"]))

        async with Runtime(plugins=PluginHost([plugin_point("p", agno_rt_register_models=models)])) as rt:
            await rt.run(Agent("p:one"), "x")

            assert [limit.name for limit in rt.statistics()] == [
                "runs",
                "model_calls",
                "threads",
                "abandoned_threads",
                "slots",
            ]

    async def test_runs_wait_in_order_and_are_refused_beyond_the_queue(self) -> None:
        """Runs beyond `runs` wait in order. A run beyond `queue` is refused by the limit's name, and starts nothing."""
        model, refused, seen = Hanging(), ScriptedModel([]), list[Event]()
        async with Runtime(limits=Limits(runs=2, queue=1), observers=[seen.append]) as rt:
            runs = []
            for _ in range(3):
                runs.append(await rt.start(Agent(model), "x"))
                await wait_all_tasks_blocked()
            assert rt.statistics()[:2] == (
                LimitStatistics("runs", 2, 2, 1),
                LimitStatistics("model_calls", 1_000, 2, 0),
            )
            before = list(seen)

            with pytest.raises(Overloaded, match="limit runs is reached: 2 under way, 1 waiting") as caught:
                await rt.run(Agent(refused), "x", session="s")
            late = await rt.start(Agent(refused), "x")
            with pytest.raises(Overloaded):
                await late.wait()
            assert seen == before
            assert (await rt.memory.load("s")).version == 0

            runs[0].cancel()
            await wait_all_tasks_blocked()
            assert model.asked == 3
            for run in runs:
                run.cancel()

        assert caught.value.limit == "runs"
        assert caught.value.result.status == "limited"
        assert refused.requests == []
        assert all(limit.in_use == limit.waiting == 0 for limit in rt.statistics())

    async def test_a_run_gives_its_place_back_however_it_ends(self) -> None:
        """A failed, refused or cancelled run gives its place back."""
        async with Runtime(limits=Limits(runs=1)) as rt:
            with pytest.raises(ModelError):
                await rt.run(Agent(ScriptedModel([ModelError("down")])), "x")
            with trio.move_on_after(0):
                await rt.run(Agent(Hanging()), "x")
            assert (await rt.run(Agent(ScriptedModel(["fine"])), "x")).content == "fine"
