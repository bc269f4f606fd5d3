"""The typed state of declared workflows: copies for branches, reducers, conflicts, and types that survive a restart."""

from __future__ import annotations

import dataclasses
import enum
import operator
from typing import Annotated, Any

import attrs
import msgspec
import pytest

from agno_rt import Ask, Runtime, State, Workflow, step
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import JournalMismatch, StateConflict, StepFailed, UsageError
from agno_rt.testing import run_schedules
from agno_rt.testing.schedules import pause
from agno_rt.workflows import Condition, Loop, Map, Parallel, add, append, last, union


class Kinds:
    """A class around an enum."""

    class Colour(enum.Enum):
        """A choice."""

        RED = "red"
        BLUE = "blue"


class Word(enum.StrEnum):
    """A choice of texts."""

    YES = "yes"
    NO = "no"


@dataclasses.dataclass
class Point:
    """A data class with a field that its constructor does not take."""

    x: int
    double: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.double = self.x * 2


@attrs.define
class Report:
    """A state with and without reducers."""

    notes: Annotated[list[str], append] = attrs.Factory(list)
    count: Annotated[int, operator.add] = 0
    title: str = ""
    newest: Annotated[str, last] = ""
    tags: Annotated[set[str], union] = attrs.Factory(set)


@dataclasses.dataclass
class DataReport:
    """The same as a data class."""

    notes: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)
    count: Annotated[int, add] = 0


class StructReport(msgspec.Struct):
    """The same as a Struct."""

    notes: Annotated[list[str], append] = []
    count: Annotated[int, add] = 0


def split(text: str) -> list[str]:
    """Split a text into words."""
    return text.split()


async def run(nodes: Any, input: str = "go", state: type[Any] = Report) -> Any:
    """Run a workflow of the nodes with a state, and return the output or the content."""
    async with Runtime() as rt:
        result = await rt.run(Workflow("test", nodes, state=state), input)
        return result.content if result.output is None else result.output


@pytest.mark.parametrize("kind", [Report, DataReport, StructReport])
def test_branches_are_joined_by_reducers(kind: type[Any]) -> None:
    """Each branch has a copy; the changes come together in the order of the items, under 50 schedules."""

    async def note(text: str, state: Any) -> str:
        assert state.count == 0
        await pause()
        state.notes.append(text)
        state.count += 1
        return text

    def show(parts: list[str], state: Any) -> str:
        assert type(state) is kind
        return f"{parts} {state.notes} {state.count}"

    async def scenario() -> None:
        assert await run([split, Map(note), show], "a b c", kind) == "['a', 'b', 'c'] ['a', 'b', 'c'] 3"

    run_schedules(scenario, 50)


async def test_groups_within_groups_are_joined() -> None:
    """The states of inner groups come together before those of the outer ones."""

    def note(text: str, state: State[Report]) -> str:
        state.notes.append(text)
        state.tags.add(text)
        state.count += 1
        state.newest = text
        return text

    def show(_: Any, state: State[Report]) -> list[Any]:
        return [state.notes, state.count, state.newest, sorted(state.tags)]

    def letter(name: str) -> list[Any]:
        return [lambda _: name, note]

    nodes = [letter("a"), Parallel([letter("b"), Parallel(letter("c"), letter("d"))], letter("e")), letter("f"), show]
    assert await run(nodes) == [[*"abcdef"], 6, "f", [*"abcdef"]]


async def test_two_writers_without_a_reducer_conflict() -> None:
    """The error names the field and both branches; a single writer in any branch does not conflict."""

    def name(text: str, state: Report) -> str:
        state.title = text
        return text

    def read(_: Any, state: Report) -> str:
        return state.title

    with pytest.raises(StateConflict, match=r"map#1/0 and map#1/2 both changed Report.title, and it has") as caught:
        await run([split, Map(Condition("output != 'b'", name)), read], "a b a")
    assert (caught.value.field, caught.value.path) == ("title", "map")
    assert "title: Annotated" in caught.value.hint
    assert await run([Parallel([name], split, names=["left", "right"]), read]) == "go"


async def test_a_reducer_that_fails_is_a_conflict() -> None:
    """A list with a reducer that appends may not be shortened by two branches."""

    def fill(text: str, state: Report) -> str:
        state.notes = ["x", "y"]
        return text

    def drop(text: str, state: Report) -> str:
        state.notes = state.notes[:1]
        return text

    with pytest.raises(StateConflict, match=r"Report.notes, and its reducer failed: ValueError: a branch did not only"):
        await run([fill, Parallel(drop, drop)])


async def test_a_failed_attempt_leaves_no_trace() -> None:
    """A function that fails and is tried again gets the state as it was; a failed branch changes nothing."""
    attempts: list[int] = []

    @step(retries=1, backoff=0)
    def work(text: str, state: Report) -> str:
        state.notes.append(text)
        attempts.append(len(state.notes))
        if len(attempts) == 1:
            raise OSError
        return text

    def fail(text: str, state: Report) -> str:
        state.notes.append("failed")
        raise OSError

    def show(_: Any, state: Report) -> list[str]:
        return state.notes

    assert await run([work, Parallel(fail, split, on_error="keep"), show]) == ["go"]
    assert attempts == [1, 1]


async def test_conditions_read_the_state() -> None:
    """Expressions and functions see the state, and a function that changes it changes a copy."""

    def count(text: str, state: Report) -> str:
        state.count += 1
        return text

    def spoil(output: str, state: Report) -> bool:
        state.count += 100
        return True

    def show(_: Any, state: Report) -> int:
        return state.count

    assert await run([Loop(count, until="state.count >= 3"), Condition(spoil, show)]) == 3
    with pytest.raises(UsageError, match=r"until of 'loop': .*state does not have 'cuont', only notes, count"):
        Workflow("w", [Loop(count, until="state.cuont > 3")], state=Report)


@attrs.define
class Kept:
    """A state with types that are lost easily."""

    colour: Kinds.Colour = Kinds.Colour.RED
    word: Word = Word.NO
    point: Point = attrs.Factory(lambda: Point(0))
    pair: tuple[int, str] = (0, "")
    names: dict[str, Kinds.Colour] = attrs.Factory(dict)
    anything: Any = None


async def test_the_types_of_a_state_survive_a_restart() -> None:
    """Enums, data classes and tuples are the same values of the same types in the next process."""
    memory, seen = InProcessMemory(), list[Kept]()

    def change(text: str, state: Kept) -> str:
        state.colour, state.word, state.point = Kinds.Colour.BLUE, Word.YES, Point(4)
        state.pair, state.names = (1, "a"), {"a": Kinds.Colour.BLUE}
        seen.append(state)
        return text

    def show(answer: bool, state: Kept) -> bool:
        seen.append(state)
        return answer

    made = Workflow("w", [change, Ask(bool, "Go?"), show], state=Kept)
    async with Runtime(memory=memory) as rt:
        first = await rt.run(made, "go")
    async with Runtime(memory=memory) as rt:
        await rt.answer(first.approvals[0].id, True)
        await rt.resume(first.run_id, made)

    before, after = map(attrs.astuple, seen)
    assert before == after
    assert seen[0] == seen[1]
    assert list(map(type, before)) == list(map(type, after))
    assert type(seen[1].point) is Point


@attrs.define
class Before:
    """A state, before it was renamed."""

    colour: Kinds.Colour = Kinds.Colour.RED
    count: int = 0


@attrs.define
class Renamed:
    """The same state with another name."""

    colour: Kinds.Colour = Kinds.Colour.RED
    count: int = 0


@attrs.define
class Changed:
    """A state of another shape."""

    colour: int = 0
    count: int = 0


async def test_a_state_whose_class_was_renamed() -> None:
    """A class with another name has the stored values, of the same types; a class of another shape is refused."""
    seen: list[Any] = []

    def make(kind: type[Any]) -> Workflow:
        def change(text: str, state: Any) -> str:
            state.colour, state.count = Kinds.Colour.BLUE, 3
            return text

        def show(answer: bool, state: Any) -> bool:
            seen.append(state)
            return answer

        return Workflow("w", [change, Ask(bool, "Go?"), show], state=kind)

    for kind in (Renamed, Changed):
        memory = InProcessMemory()
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(make(Before), "go")
        async with Runtime(memory=memory) as rt:
            await rt.answer(paused.approvals[0].id, True)
            if kind is Renamed:
                await rt.resume(paused.run_id, make(kind))
            else:
                with pytest.raises(JournalMismatch, match="change#1 gets other arguments"):
                    await rt.resume(paused.run_id, make(kind))

    assert seen == [Renamed(Kinds.Colour.BLUE, 3)]
    assert type(seen[0].colour) is Kinds.Colour


async def test_a_value_that_does_not_survive_is_refused_by_name() -> None:
    """A state that would come back as another value fails the step, with the field and both values."""

    def change(text: str, state: Kept) -> str:
        state.anything = (1, 2)
        return text

    def break_json(text: str, state: Kept) -> str:
        state.anything = object()
        return text

    with pytest.raises(UsageError, match=r"'change' left Kept.anything = \(1, 2\), which is stored as \[1, 2\]"):
        await run([change], state=Kept)
    with pytest.raises(UsageError, match="'break_json' left a state that cannot be stored"):
        await run([break_json], state=Kept)


def test_a_state_must_be_usable() -> None:
    """A class without defaults, a frozen class, and a class without fields are refused when declared."""

    @attrs.define
    class Needs:
        name: str

    @attrs.frozen
    class Frozen:
        name: str = ""

    for state, match in ((Needs, "missing 1 required"), (Frozen, "FrozenInstance"), (dict, "is dict")):
        with pytest.raises(UsageError, match=match):
            Workflow("w", [split], state=state)


async def test_each_run_has_a_state_of_its_own() -> None:
    """A workflow within has its own state, and a second run begins with the defaults."""

    def note(text: str, state: Report) -> str:
        state.notes.append(text)
        return ",".join(state.notes)

    inner = Workflow("inner", [note], state=Report)
    outer = Workflow("outer", [note, inner, note], state=Report)
    async with Runtime() as rt:
        assert (await rt.run(outer, "a")).content == "a,a"
        assert (await rt.run(outer, "b")).content == "b,b"


async def test_a_state_is_kept_without_a_journal() -> None:
    """A run that is not stored has its state, too."""

    def note(text: str, state: Report) -> list[str]:
        state.notes.append(text)
        return state.notes

    async with Runtime() as rt:
        made = Workflow("w", [note, lambda _: "b", note], state=Report, memory={"journal": False})
        assert (await rt.run(made, "a")).output == ["a", "b"]
        assert await rt.memory.runs() == []  # type: ignore[attr-defined]


async def test_a_state_of_another_type_is_refused() -> None:
    """A function that takes another class than the workflow's state fails by name."""

    def take(text: str, state: State[Report]) -> str:
        return text

    with pytest.raises((UsageError, StepFailed), match="Report"):
        await run([take], state=Kept)


@pytest.mark.parametrize(
    ("reducer", "before", "ours", "theirs", "joined"),
    [
        (add, 1, 3, 6, 8),
        (append, [1], [1, 2], [1, 3], [1, 2, 3]),
        (append, "a", "ab", "ac", "abc"),
        (append, (1,), (1, 2), (1, 3), (1, 2, 3)),
        (last, 1, 2, 3, 3),
        (union, {1, 2}, {1, 2, 3}, {1, 4}, {1, 3, 4}),
        (union, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"b": 3, "c": 4}, {"b": 3, "c": 4}),
    ],
)
def test_reducers(reducer: Any, before: Any, ours: Any, theirs: Any, joined: Any) -> None:
    """Reducers join changes, and leave the values that they get alone."""
    copies = [msgspec.convert(value, type(value)) for value in (before, ours, theirs)]

    assert reducer(before, ours, theirs) == joined
    assert copies == [before, ours, theirs]
