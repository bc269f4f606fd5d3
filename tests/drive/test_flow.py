"""Flows: groups, the first of several, maps and bounded blocks within a run, each thing named by its place."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Flow, Limits, Message, ModelRequest, ModelResponse, Runnable, Runtime, Usage
from agno_rt.errors import DeadlineExceeded, LimitExceeded, ModelError, UsageError
from agno_rt.events import RunEnded
from agno_rt.testing import ScriptedModel, run_schedules


@attrs.define(eq=False)
class Doing(Runnable[Any, Any]):
    """Does what a function does with the flow."""

    do: Callable[[Flow], Awaitable[Any]]
    name: str = "doing"
    limits: Limits | None = None

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        return await self.do(flow)


def echo(name: str, tokens: int = 1) -> Agent:
    """Return an agent that puts its name behind its input."""

    def answer(request: ModelRequest) -> ModelResponse:
        return ModelResponse(f"{request.messages[-1].text} {name}", usage=Usage(tokens, 0))

    return Agent(ScriptedModel([answer] * 50), name)


def slow(name: str, seconds: float) -> Agent:
    """Return an agent that answers after some seconds."""

    async def answer(request: ModelRequest) -> str:
        await trio.sleep(seconds)
        return name

    return Agent(ScriptedModel([answer] * 50), name)


def failing(name: str = "failing") -> Agent:
    """Return an agent whose model fails."""
    return Agent(ScriptedModel([ModelError("no", provider=name)] * 9), name)


async def test_a_group_has_results_in_the_order_of_start() -> None:
    """Branches run at once, and the results come in the order in which the branches were started."""

    async def double(number: int) -> int:
        await trio.sleep(1 / number)
        return 2 * number

    async def do(flow: Flow) -> Any:
        async with flow.group("parts") as parts:
            parts.start(slow("late", 2), "x", key="late")
            parts.start(echo("soon"), "y", key="soon")
            parts.start(double, 3)
        return [parts.results[0].content, parts.results[1].content, parts.results[2]]

    async with Runtime() as rt:
        result = await rt.run(Doing(do), "go")

    assert result.output == ["late", "y soon", 6]


@pytest.mark.parametrize("on_error", ["cancel", "keep"])
async def test_a_failing_branch(on_error: Any) -> None:
    """With `cancel` the failure is raised bare and ends the other branches; with `keep` the failure is a result."""
    seen: list[Any] = []

    async def do(flow: Flow) -> Any:
        async with flow.group(on_error=on_error) as group:
            group.start(failing(), "x")
            group.start(slow("other", 0.01), "y")
        return [getattr(each, "content", type(each).__name__) for each in group.results]

    async with Runtime(observers=[seen.append]) as rt:
        if on_error == "keep":
            assert (await rt.run(Doing(do), "go")).output == ["ModelError", "other"]
        else:
            with pytest.raises(ModelError):
                await rt.run(Doing(do), "go")
    ended = [event.status for event in seen if isinstance(event, RunEnded)]
    # A branch that was to be started when the other failed may not have begun a run.
    assert set(ended) - {"cancelled"} == ({"failed", "completed"} if on_error == "keep" else {"failed"})


async def test_a_limit_of_branches() -> None:
    """At most `limit` branches are under way, and all of them get their turn."""
    busy = [0, 0]

    async def work(number: int) -> int:
        busy[0] += 1
        busy[1] = max(busy)
        await trio.lowlevel.checkpoint()
        busy[0] -= 1
        return number

    async def do(flow: Flow) -> Any:
        return await flow.map(work, range(100), limit=10)

    async with Runtime() as rt:
        assert (await rt.run(Doing(do), "go")).output == list(range(100))
    assert busy == [0, 10]


async def test_the_first_result_wins() -> None:
    """`first` returns the first result and cancels the others; a failure does not count, unless all fail."""

    async def race(flow: Flow) -> Any:
        return await flow.first(slow("never", 1e6), failing(), slow("soon", 0.01), input="go")

    async def lose(flow: Flow) -> Any:
        return await flow.first(failing("a"), failing("b"), input="go")

    async with Runtime() as rt:
        assert (await rt.run(Doing(race), "go")).content == "soon"
        with pytest.raises(ModelError):
            await rt.run(Doing(lose), "go")


async def test_a_block_with_limits() -> None:
    """The block's budget ends the block alone, and its deadline is named."""

    async def spend(flow: Flow) -> Any:
        try:
            with flow.limits(Limits(tokens=100)):
                while True:
                    await flow.run(echo("agent", 60), "go")
        except LimitExceeded as exc:
            return [exc.limit, (await flow.run(echo("after"), "go")).content]

    async def wait(flow: Flow) -> Any:
        with flow.limits({"run_timeout": 0.01}):
            await trio.sleep_forever()

    async with Runtime() as rt:
        result = await rt.run(Doing(spend), "go")
        assert (result.output, result.usage.input_tokens) == (["tokens", "go after"], 121)
        with pytest.raises(DeadlineExceeded, match="the block limits#1 took longer"):
            await rt.run(Doing(wait), "go")
        with pytest.raises(UsageError, match="turns does not hold for a block"):
            await rt.run(Doing(lambda flow: _enter(flow.limits(Limits(turns=2)))), "go")


async def _enter(block: Any) -> None:
    with block:
        pass


async def test_a_task_that_the_flow_did_not_start() -> None:
    """A run in a task of a bare nursery is refused by name; so is a flow that is over, or another run's."""
    flows: list[Flow] = []

    async def do(flow: Flow) -> Any:
        flows.append(flow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flow.run, echo("agent"), "go")

    async with Runtime() as rt:
        with pytest.raises(UsageError, match="agent was used in a task that the flow did not start"):
            await rt.run(Doing(do), "go")
        with pytest.raises(UsageError, match="agent was used outside of its run"):
            await flows[0].run(echo("agent"), "go")


async def test_a_branch_leaves_nothing_to_the_garbage_collector() -> None:
    """The task of a branch is gone once its group is over, without a collection."""
    tasks: list[weakref.ref[trio.lowlevel.Task]] = []

    async def work() -> None:
        tasks.append(weakref.ref(trio.lowlevel.current_task()))

    async def do(flow: Flow) -> Any:
        async with flow.group() as group:
            for _ in range(3):
                group.start(work)
        await trio.lowlevel.checkpoint()  # trio holds the last task until it runs another one
        return [each() for each in tasks]

    gc.disable()
    try:
        async with Runtime() as rt:
            result = await rt.run(Doing(do), "go")
    finally:
        gc.enable()
    assert result.output == [None, None, None]


async def test_keys_are_unique_and_paths_tell_the_place() -> None:
    """Two branches with one key are refused; a branch knows its path, whatever signs its key has."""
    paths: list[str] = []

    async def look(flow: Flow) -> None:
        paths.append(flow.path)

    async def do(flow: Flow) -> Any:
        async with flow.group("a/b") as group:
            group.start(look, flow, key="x#y")
            group.start(look, flow)
        async with flow.group("a/b") as group:
            group.start(look, flow, key="x")
            group.start(look, flow, key="x")

    async with Runtime() as rt:
        with pytest.raises(UsageError, match="two branches 'x'"):
            await rt.run(Doing(do), "go")
    assert {"a%2Fb#1/1", "a%2Fb#1/x%23y"} <= set(paths) <= {"a%2Fb#1/1", "a%2Fb#1/x%23y", "a%2Fb#2/x"}


async def test_results_and_values_are_inputs() -> None:
    """The input of a run may be a result, a list of results and texts, or a value for JSON."""

    async def do(flow: Flow) -> Any:
        one = await flow.run(echo("one"), "zero")
        two = await flow.run(echo("two"), one)
        many = await flow.run(echo("many"), [one, "and", two])
        return [two.content, many.content, (await flow.run(echo("json"), {"a": 1})).content]

    async with Runtime() as rt:
        result = await rt.run(Doing(do), "go")

    assert result.output[0] == "zero one two"
    assert result.output[1].split() == ["zero", "one", "and", "zero", "one", "two", "many"]
    assert result.output[2] == '{"a":1} json'


def test_nested_groups_join_everything() -> None:
    """An outer group of nested maps joins every part, under any schedule and at each depth."""

    async def same(value: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return value

    def nest(depth: int) -> Callable[[Flow], Awaitable[Any]]:
        async def do(flow: Flow) -> Any:
            async with flow.group() as group:
                if depth:
                    group.start(nest(depth - 1), flow)
                else:
                    group.start(flow.map, same, [1, 2, 3])
                group.start(same, 10)
            return group.results

        return do

    async def scenario() -> None:
        async with Runtime() as rt:
            for depth in range(4):
                output: Any = (await rt.run(Doing(nest(depth)), "go")).output
                for _ in range(depth + 1):
                    output, ten = output
                    assert ten == 10
                assert output == [1, 2, 3]

    run_schedules(scenario, 20)
