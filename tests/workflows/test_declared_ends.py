"""Declared workflows that a node ends, first states given by the caller, and events of a user's own."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from agno_rt import Again, Ask, Flow, Runtime, State, Stop, Workflow, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import UsageError
from agno_rt.events import Emitted
from agno_rt.testing import KillPoint, kill_everywhere
from agno_rt.workflows import Loop, Map, Parallel


@attrs.define
class Notes:
    """A state."""

    lines: list[str] = attrs.Factory(list)
    limit: int = 3


def stop_at_three(number: str) -> str | Stop:
    """Stop the workflow at 3."""
    return Stop("three is enough") if str(number) == "3" else f"{number}!"


def note(text: str, state: State[Notes]) -> str:
    """Keep the text."""
    state.lines.append(text)
    return ",".join(state.lines)


def after(text: Any) -> str:
    """Say that the workflow went on."""
    return f"went on with {text}"


@pytest.mark.parametrize(
    ("nodes", "given", "content"),
    [
        ([stop_at_three, after], "3", "three is enough"),
        ([stop_at_three, after], "2", "went on with 2!"),
        ([Map(stop_at_three, on_error="keep"), after], '["1", "3"]', "three is enough"),
        ([Parallel(stop_at_three, Ask(str, "Name?")), after], "3", "three is enough"),
        ([Loop([[stop_at_three], after], at_most=5)], "3", "three is enough"),
    ],
)
async def test_a_node_ends_the_workflow(nodes: list[Any], given: str, content: str) -> None:
    """A `Stop` ends the whole workflow from any depth, also beside branches that wait or keep failures."""

    def parse(text: str) -> Any:
        return __import__("json").loads(text) if text.startswith("[") else text

    async with Runtime() as rt:
        result = await rt.run(Workflow("ending", [parse, *nodes]), given)

    assert (result.status, result.content) == ("completed", content)


async def test_a_stop_within_ends_the_inner_workflow() -> None:
    """A workflow that is a node of another ends alone."""
    inner = Workflow("inner", [stop_at_three, after])
    async with Runtime() as rt:
        assert (await rt.run(Workflow("outer", [inner, after]), "3")).content == "went on with three is enough"


async def test_a_node_begins_the_workflow_again() -> None:
    """An `Again` gives the workflow its next input, and the next journal."""

    def count(number: str, state: State[Notes]) -> Any:
        state.lines.append(number)
        return Again(int(number) - 1) if number != "0" else f"done, {len(state.lines)} line"

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        result = await rt.run(Workflow("counting", [count, after], state=Notes), "3")

    assert result.content == "went on with done, 1 line"
    assert len(await memory.runs()) == 4


def test_killed_around_a_stop() -> None:
    """Killed at any write, the workflow stops with the same reason, and no node runs after it."""

    async def scenario(point: KillPoint) -> None:
        went_on: list[str] = []
        memory = InProcessMemory()
        again = step(idempotent=True)
        nodes = [again(note), again(lambda text: "3"), again(stop_at_three), went_on.append]
        ending = Workflow("ending", nodes, state=Notes)
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(ending, "go")
        async with Runtime(memory=memory) as rt:
            result = await point.finish(rt, ending, "go")
        assert (result.content, went_on) == ("three is enough", [])

    assert kill_everywhere(scenario) >= 4


async def test_the_caller_gives_the_first_state() -> None:
    """A state among the caller's `deps` is the run's first state: copied, recorded, and the same after a restart."""
    pipeline = Workflow("pipeline", [note, Ask(str, "More?"), note], state=Notes)
    memory = InProcessMemory()
    mine = Notes(["before"])
    async with Runtime(memory=memory) as rt:
        plain = await rt.run(pipeline, "one")
        paused = await rt.run(pipeline, "one", deps=("other", mine))
        mine.lines.append("changed by the caller later")
        for each in (plain, paused):
            await rt.answer(each.approvals[0].id, "two")
    async with Runtime(memory=memory) as rt:
        results = [await rt.resume(each.run_id, pipeline) for each in (plain, paused)]

    assert [each.content for each in results] == ["one,two", "before,one,two"]
    assert mine.lines == ["before", "changed by the caller later"]


async def test_a_first_state_that_cannot_be_stored() -> None:
    """A state with a value of another type than declared is refused, with the name of the field."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match=r"the caller left .*limit"):
            await rt.run(Workflow("pipeline", [note], state=Notes), "one", deps=Notes(limit=2.5))  # type: ignore[arg-type]


async def test_events_of_a_users_own() -> None:
    """`flow.emit` tells observers and streams, with the path of the branch, and once over a restart."""
    memory, seen = InProcessMemory(), list[Any]()

    async def branch(flow: Flow, number: int) -> None:
        await flow.emit("progress", {"part": number, "state": Notes(["x"])})
        await flow.now()

    @workflow(name="teller")
    async def teller(flow: Flow) -> str:
        await flow.emit("begun")
        async with flow.group("parts") as group:
            for number in range(2):
                group.start(branch, flow, number)
        await flow.ask(Ask(bool, "Go on?"))
        await flow.emit("ended", "well")
        return "done"

    async with Runtime(memory=memory) as rt:
        async with rt.stream(teller, "go") as events:
            first = [event async for event in events if isinstance(event, Emitted)]
        await rt.answer((await memory.approvals())[0].id, True)
    async with Runtime(memory=memory, observers=[seen.append]) as rt:
        await rt.resume(events.run_id, teller)

    state = {"lines": ["x"], "limit": 3}
    assert sorted((each.path, each.name) for each in first) == [
        ("", "begun"),
        ("parts#1/0", "progress"),
        ("parts#1/1", "progress"),
    ]
    assert [each.value for each in first if each.path.endswith("/1")] == [{"part": 1, "state": state}]
    assert [each for each in seen if isinstance(each, Emitted)] == [Emitted(events.run_id, "", "ended", "well")]


async def test_emitting_costs_nothing_without_a_listener() -> None:
    """Without a listener the value is not even looked at; with one, a value that JSON lacks is refused by name."""

    @workflow(name="teller")
    async def teller(flow: Flow) -> str:
        await flow.emit("odd", trio)
        return "done"

    async with Runtime() as rt:
        assert (await rt.run(teller, "go")).content == "done"
    async with Runtime(observers=[lambda event: None]) as rt:
        with pytest.raises(UsageError, match="'odd' cannot be sent"):
            await rt.run(teller, "go")
