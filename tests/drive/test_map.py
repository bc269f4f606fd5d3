"""One agent on many inputs: bounded concurrency, results in the inputs' order, failures raised or kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import Agent, Emit, Limits, ModelRequest, ModelResponse, RunResult, Runtime, tool
from agno_rt.errors import ModelError, UsageError
from agno_rt.from_asyncio import AsyncioRuntime
from agno_rt.messages import ToolCall
from agno_rt.testing import ScriptedModel, run_schedules
from agno_rt.testing.schedules import pause
from tests.asyncio_helpers import in_asyncio
from tests.helpers import Hanging


class Shouting:
    """A model that answers in capitals after a pause, and fails on an input with "fail"."""

    name = "shouting"

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await trio.lowlevel.checkpoint()
            await pause()
        finally:
            self.under_way -= 1
        text = request.messages[-1].text
        if text.startswith("fail"):
            raise ModelError(f"cannot shout {text!r}")
        return ModelResponse(text.upper())


async def test_results_have_the_order_of_the_inputs() -> None:
    """Each result has the place of its input, in any order of completion."""

    async def scenario() -> None:
        async with Runtime() as rt:
            results = await rt.map(Agent(Shouting()), ["a", "b", "c", "d"], concurrency=3)

        assert [result.content for result in results] == ["A", "B", "C", "D"]

    await trio.to_thread.run_sync(run_schedules, scenario, 50)


@pytest.mark.parametrize("concurrency", [1, 3, 100])
async def test_no_more_run_at_once_than_was_asked(concurrency: int) -> None:
    """The concurrency is bounded and fully used."""
    model = Shouting()
    async with Runtime() as rt:
        await rt.map(Agent(model), [str(at) for at in range(20)], concurrency=concurrency)

    assert model.most == min(concurrency, 20)


async def test_a_generator_is_asked_when_there_is_room() -> None:
    """Inputs are taken one by one, so that a file of a million lines is never held whole."""
    taken, done = 0, 0

    def inputs() -> Iterator[str]:
        nonlocal taken
        for at in range(50):
            taken += 1
            assert taken - done <= 2
            yield str(at)

    def count(at: int, result: RunResult) -> None:
        nonlocal done
        done += 1

    async with Runtime() as rt:
        results = await rt.map(Agent(Shouting()), inputs(), concurrency=2, on_result=count)

    assert len(results) == done == 50


async def test_the_first_failure_ends_the_map() -> None:
    """The first failure is raised bare with a note of the input, and other runs are cancelled."""
    hanging = Hanging()

    class Either:
        name = "either"

        async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
            if request.messages[-1].text == "fail":
                raise ModelError("down")
            return await hanging.respond(request, emit)

    async with Runtime() as rt:
        with pytest.raises(ModelError, match="down") as caught:
            await rt.map(Agent(Either()), ["wait", "wait", "fail"], concurrency=3)

    assert "input 2" in "".join(caught.value.__notes__)
    assert (hanging.asked, hanging.cancelled) == (2, 2)


async def test_failures_are_kept() -> None:
    """Failures kept by `keep` are results with an error, among the other results."""
    async with Runtime() as rt:
        results = await rt.map(Agent(Shouting()), ["a", "fail", " ", "b"], on_error="keep")

    assert [result.status for result in results] == ["completed", "failed", "failed", "completed"]
    assert isinstance(results[1].error, ModelError)
    assert isinstance(results[2].error, UsageError)
    assert results[3].content == "B"


async def test_each_result_is_told_when_it_is_there() -> None:
    """A callback in `on_result` gets the input's index and the result, once for each."""
    told: dict[int, str] = {}

    async with Runtime() as rt:
        await rt.map(
            Agent(Shouting()), ["a", "fail", "b"], on_error="keep", on_result=lambda at, r: told.update({at: r.status})
        )

    assert told == {0: "completed", 1: "failed", 2: "completed"}


async def test_a_failing_callback_ends_the_map() -> None:
    """A callback's error is raised unchanged."""

    def refuse(at: int, result: RunResult) -> None:
        raise ValueError("disk full")

    async with Runtime() as rt:
        with pytest.raises(ValueError, match="disk full"):
            await rt.map(Agent(Shouting()), ["a", "b"], on_error="keep", on_result=refuse)


async def test_cancelled_it_leaves_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    """A cancellation around the map cancels all runs of the map."""
    model = Hanging()
    async with Runtime() as rt:
        with trio.move_on_after(0.01) as scope:
            await rt.map(Agent(model), ["a", "b", "c"], concurrency=2)

    assert scope.cancelled_caught
    assert (model.asked, model.cancelled) == (2, 2)


async def test_within_a_run() -> None:
    """A tool may map another agent: the runs need no places beside the outer run's."""
    async with Runtime(limits=Limits(runs=1, queue=0)) as rt:

        @tool
        async def shout_all(words: list[str]) -> list[str]:
            """Shout each."""
            return [result.content for result in await rt.map(Agent(Shouting()), words)]

        agent = Agent(ScriptedModel([ToolCall("1", "shout_all", '{"words": ["a", "b"]}'), "done"]), tools=[shout_all])
        result = await rt.run(agent, "go")

    assert result.messages[2].text == '["A","B"]'


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("abc", {}, "one string"),
        (["a"], {"concurrency": 0}, "concurrency of a map is 0"),
        (["a"], {"concurrency": True}, "concurrency of a map is True"),
        (["a"], {"on_error": "ignore"}, "on_error of a map is 'ignore'"),
    ],
)
async def test_what_cannot_be_mapped(inputs: Any, options: dict[str, Any], message: str) -> None:
    """Wrong options are refused before the first run."""
    model = Shouting()
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=message):
            await rt.map(Agent(model), inputs, **options)

    assert model.most == 0


async def test_an_agent_that_cannot_run_is_refused_at_once() -> None:
    """A fault of the agent is raised, not kept as a failure of an input."""
    async with Runtime() as rt:
        with pytest.raises(UsageError):
            await rt.map(Agent("nowhere:model", "lost"), ["a", "b"], on_error="keep")


async def test_a_runtime_that_is_not_open() -> None:
    """A closed runtime is one error, not an error for each input."""
    with pytest.raises(UsageError, match="not open"):
        await Runtime().map(Agent(Shouting()), ["a"], on_error="keep")


async def test_no_inputs() -> None:
    """A map without inputs has no results."""
    async with Runtime() as rt:
        assert await rt.map(Agent(Shouting()), []) == []


@in_asyncio
async def test_from_asyncio() -> None:
    """A map runs from asyncio code too."""
    async with AsyncioRuntime() as rt:
        results = await rt.map(Agent(Shouting()), ["a", "fail"], on_error="keep", concurrency=2)

    assert [result.status for result in results] == ["completed", "failed"]
