"""Faults known from other engines: joined parts, forks, values of a state over a restart, caches."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Ask, Flow, Runtime, State, ToolCall, Workflow, step, tool, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, UsageError
from agno_rt.testing import ScriptedModel, run_schedules
from agno_rt.workflows import Map, Parallel


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nested_parts_are_joined_whole(depth: int) -> None:
    """A `Map` of three within `depth` groups, beside a plain step: the joined set has all four, in any schedule."""

    async def scenario() -> None:
        async def pick(number: str) -> int:
            await trio.lowlevel.checkpoint()
            return int(number)

        def ten(text: str) -> int:
            return 10

        def flatten(parts: Any) -> list[int]:
            return [parts] if isinstance(parts, int) else [each for part in parts for each in flatten(part)]

        node: Any = [lambda text: ["1", "2", "3"], Map(pick)]
        for _ in range(depth):
            node = Parallel(node, ten)
        async with Runtime() as rt:
            result = await rt.run(Workflow("joined", [node, flatten]), "go")
        assert sorted(result.output) == sorted([1, 2, 3, *[10] * depth])

    run_schedules(scenario, 25)


def test_a_step_behind_a_map_runs_once() -> None:
    """The step behind a `Map` gets the whole list, once, in any schedule."""

    async def scenario() -> None:
        got: list[Any] = []

        async def pick(number: int) -> int:
            await trio.lowlevel.checkpoint()
            return number

        def note(numbers: list[int]) -> str:
            got.append(numbers)
            return "noted"

        async with Runtime() as rt:
            await rt.run(Workflow("collected", [lambda text: [1, 2, 3], Map(pick), note]), "go")
        assert got == [[1, 2, 3]]

    run_schedules(scenario, 50)


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_saved_point_is_forked_twice(at_once: bool) -> None:
    """Two forks of one paused run end alike, one after the other or at once, and leave the run as it was."""
    memory = InProcessMemory()

    @step
    async def work(answer: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        return [answer, "worked"]

    @workflow(name="asker")
    async def asker(flow: Flow) -> list[str]:
        before = await work("before")
        return [*before, *await work(str(await flow.ask(Ask(str, "Name?"))))]

    async with Runtime(memory=memory) as rt:
        paused = await rt.run(asker, "go")
        source = await memory.load_run(paused.run_id)
        results: list[Any] = []

        async def fork_and_answer() -> None:
            fork = await rt.resume(await rt.fork(paused.run_id), asker)
            await rt.answer(fork.approvals[0].id, "Ann")
            results.append((await rt.resume(fork.run_id, asker)).output)

        if at_once:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fork_and_answer)
                nursery.start_soon(fork_and_answer)
        else:
            await fork_and_answer()
            await fork_and_answer()
        after = await memory.load_run(paused.run_id)

    assert results == [["before", "worked", "Ann", "worked"]] * 2
    assert after == source


class Outer:
    """Holds a nested enum."""

    class Kind(enum.Enum):
        """A nested enum."""

        LEFT = "left"
        RIGHT = "right"


class Colour(enum.StrEnum):
    """An enum that is text."""

    RED = "red"


@dataclasses.dataclass
class Counted:
    """A data class with a field that is not among the arguments."""

    name: str = "n"
    length: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.length = len(self.name)


@attrs.define
class Everything:
    """A state with values that other engines lose."""

    kind: Outer.Kind = Outer.Kind.LEFT
    colour: Colour = Colour.RED
    counted: Counted = attrs.Factory(Counted)
    maybe: Outer.Kind | None = None
    many: dict[str, list[Outer.Kind]] = attrs.Factory(dict)


async def test_a_state_comes_back_with_its_types() -> None:
    """Enums nested in classes, enums that are text, and data classes have equal values and types after a restart."""
    memory = InProcessMemory()
    seen: list[Everything] = []

    def change(text: str, state: State[Everything]) -> str:
        state.kind = Outer.Kind.RIGHT
        state.counted = Counted("four")
        state.maybe = Outer.Kind.LEFT
        state.many = {"a": [Outer.Kind.LEFT, Outer.Kind.RIGHT]}
        return text

    def look(text: str, state: State[Everything]) -> str:
        seen.append(state)
        return text

    pipeline = Workflow("pipeline", [change, Ask(str, "Go on?"), look], state=Everything)
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(pipeline, "go")
        await rt.answer(paused.approvals[0].id, "yes")
    async with Runtime(memory=memory) as rt:
        await rt.resume(paused.run_id, pipeline)

    wanted = Everything(
        Outer.Kind.RIGHT, Colour.RED, Counted("four"), Outer.Kind.LEFT, {"a": [Outer.Kind.LEFT, Outer.Kind.RIGHT]}
    )
    assert seen == [wanted]
    for field in attrs.fields(Everything):
        assert type(getattr(seen[0], field.name)) is type(getattr(wanted, field.name))


@attrs.define
class Before:
    """The state of the first version of a workflow."""

    plan: str = ""
    kind: Outer.Kind = Outer.Kind.LEFT


class Renamed(enum.Enum):
    """The enum of the next version, in which a value has another name."""

    LEFT = "left"
    NORTH = "north"


@attrs.define
class After:
    """The state of the next version."""

    plan: str = ""
    kind: Renamed = Renamed.LEFT


async def test_a_class_that_has_changed_since_is_named() -> None:
    """A stored value that its class does not have any more fails the resumed run, and names the field."""
    memory = InProcessMemory()

    def change(text: str, state: Any) -> str:
        state.plan, state.kind = text, Outer.Kind.RIGHT
        return text

    def look(text: str, state: Any) -> str:
        return str(state.plan)

    nodes = [change, Ask(str, "Go on?"), look]
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(Workflow("pipeline", nodes, state=Before), "go")
        await rt.answer(paused.approvals[0].id, "yes")
    async with Runtime(memory=memory) as rt:
        with pytest.raises(AgnoError, match=r"does not fit After: .*\$\.kind"):
            await rt.resume(paused.run_id, Workflow("pipeline", nodes, state=After))
        result = await rt.resume(paused.run_id, Workflow("pipeline", nodes, state=Before))

    assert result.content == "go"


@pytest.mark.parametrize("is_warm", [False, True])
async def test_what_a_process_has_cached_is_not_in_the_journal(is_warm: bool) -> None:
    """A run that began in a warm runtime is resumed in a cold one, and the other way round, without a mismatch."""
    memory = InProcessMemory()

    @tool(approve=True)
    async def send(text: str) -> str:
        """Send."""
        return "sent"

    def make(*answers: Any) -> Any:
        sender = Agent(ScriptedModel(list(answers)), "sender", tools=[send])

        @workflow(name="around")
        async def around(flow: Flow) -> str:
            return (await flow.run(sender, "go")).content

        return around, sender

    async def warm_up(rt: Runtime, sender: Agent) -> None:
        paused = await rt.run(sender, "other")
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id, sender)

    call = ToolCall("1", "send", '{"text": "a"}')
    warm = [call, "other done"]
    around, sender = make(*(warm if is_warm else ()), call)
    async with Runtime(memory=memory) as rt:
        if is_warm:
            await warm_up(rt, sender)
        paused = await rt.run(around, "go")
        await rt.approve(paused.approvals[0].id)
    around, sender = make(*(() if is_warm else warm), "done")
    async with Runtime(memory=memory) as rt:
        if not is_warm:
            await warm_up(rt, sender)
        result = await rt.resume(paused.run_id, around)

    assert result.content == "done"


async def test_a_value_that_would_change_is_refused_when_it_is_written() -> None:
    """A function that leaves a value of another type in the state fails at once, with the name of the field."""

    def change(text: str, state: State[Everything]) -> str:
        state.maybe = "left"  # type: ignore[assignment]
        return text

    async with Runtime() as rt:
        with pytest.raises(UsageError, match=r"change.*Everything\.maybe"):
            await rt.run(Workflow("pipeline", [change], state=Everything), "go")
