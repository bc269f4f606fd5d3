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
from agno_rt.errors import AgnoError, HookError, JournalMismatch, StepFailed, UsageError
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


async def test_an_answer_is_not_for_another_question() -> None:
    """A person answered a question that the code has changed since: the answer does not count for the new question."""
    asked = ["Delete the draft?"]

    @workflow(name="asker")
    async def asker(flow: Flow) -> bool:
        return bool(await flow.ask(Ask(bool, asked[0])))

    async with Runtime() as rt:
        paused = await rt.run(asker, "go")
        await rt.answer(paused.approvals[0].id, True)
        asked[0] = "Publish?"
        with pytest.raises(JournalMismatch, match=r"ask#1 asks 'Publish\?', and a person was asked 'Delete the draft"):
            await rt.resume(paused.run_id)
        fork = await rt.resume(await rt.fork(paused.run_id))
        assert [each.reason for each in fork.approvals] == ["Publish?"]
        asked[0] = "Delete the draft?"
        assert (await rt.resume(paused.run_id)).output is True


class Shop:
    """Steps that note what they do; the payment fails at first."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.works = False

        @step(name="pay")
        async def pay() -> str:
            self.done.append("pay")
            if not self.works:
                raise ValueError("no money")
            return "paid"

        @step(name="tell")
        async def tell(text: str) -> str:
            self.done.append(text)
            return text

        self.pay, self.tell = pay, tell


@pytest.mark.parametrize("way", ["returns", "another step", "another text", "same step later"])
@pytest.mark.parametrize("within", [False, True])
async def test_another_way_after_a_failure(way: str, within: bool) -> None:
    """A workflow tells of a failed step and fails; resumed, the step works, and the workflow goes another way."""
    shop = Shop()
    expected = {
        "returns": ["pay", "sorry", "pay"],
        "another step": ["pay", "sorry", "pay", "paid", "again"],
        "another text": ["pay", "sorry", "pay", "thanks"],
        "same step later": ["pay", "sorry", "pay", "thanks", "sorry"],
    }[way]

    @step
    async def record(text: str) -> None:
        shop.done.append(text)

    async def sell() -> str:
        try:
            paid = await shop.pay()
        except StepFailed:
            await shop.tell("sorry")
            raise
        if way == "another step":
            await record(paid)
            await record("again")
        elif way != "returns":
            await shop.tell("thanks")
            if way == "same step later":
                await shop.tell("sorry")
        return paid

    @workflow(name="seller")
    async def seller(flow: Flow) -> str:
        if not within:
            return await sell()
        async with flow.group("parts") as parts:
            parts.start(sell)
        return str(parts.results[0])

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(seller, "go")
        shop.works, run = True, caught.value.result.run_id
        assert (await rt.resume(run)).content == "paid"
    assert shop.done == expected


async def test_what_followed_a_failure_is_not_done_twice() -> None:
    """A step that fails again is followed by the recorded steps; a change of the code before it is refused."""
    shop, before = Shop(), ["pack"]

    @workflow(name="seller")
    async def seller(flow: Flow) -> str:
        await shop.tell(before[0])
        try:
            paid = await shop.pay()
        except StepFailed:
            await shop.tell("sorry")
            raise
        return await shop.tell(paid)

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(seller, "go")
        run = caught.value.result.run_id
        with pytest.raises(StepFailed):
            await rt.resume(run)
        assert shop.done == ["pack", "pay", "sorry", "pay"]
        before[0] = "send"
        with pytest.raises(JournalMismatch, match="tell#1 gets other arguments"):
            await rt.resume(run)
        before[0], shop.works = "pack", True
        assert (await rt.resume(run)).content == "paid"
    assert shop.done == ["pack", "pay", "sorry", "pay", "pay", "paid"]


async def test_a_workflow_that_skips_its_steps() -> None:
    """Resumed code that ends before the steps of its journal is refused, by the first step that it leaves out."""
    shop, is_short = Shop(), [True]

    @workflow(name="teller")
    async def teller(flow: Flow) -> str:
        await shop.tell("a")
        if is_short[0] and shop.works:
            return "short"
        async with flow.group("both") as both:
            both.start(shop.tell, "b")
        await flow.ask(Ask(bool, "Go on?"))
        return "long"

    async with Runtime() as rt:
        paused = await rt.run(teller, "go")
        shop.works = True
        with pytest.raises(
            JournalMismatch, match=r"has ended without both#1/0/tell#1, which its journal has"
        ) as caught:
            await rt.resume(paused.run_id)
        assert "flow.changed" in str(caught.value.hint)
        is_short[0] = False
        await rt.answer(paused.approvals[0].id, True)
        assert (await rt.resume(paused.run_id)).content == "long"
    assert shop.done == ["a", "b"]


async def test_a_group_that_cuts_off_its_own_block() -> None:
    """A branch fails while the block takes steps: a resumed run may be cut off earlier, and completes all the same."""
    shop, may_end = Shop(), trio.Event()

    @workflow(name="cutter")
    async def cutter(flow: Flow) -> str:
        async def fail() -> None:
            await may_end.wait()
            raise ValueError("no more")

        try:
            async with flow.group("both") as group:
                group.start(fail)
                await trio.lowlevel.checkpoint()
                if not may_end.is_set():
                    await shop.tell("a")
                    may_end.set()
                await trio.sleep_forever()
        except ValueError:
            if not shop.works:
                await shop.pay()
        return "cut"

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(cutter, "go")
        shop.works = True
        assert (await rt.resume(caught.value.result.run_id)).content == "cut"
    assert shop.done == ["a", "pay"]


@attrs.frozen
class Score:
    """A score with a number."""

    value: float


@pytest.mark.parametrize(
    ("result", "place"),
    [(float("nan"), "nan"), ({"a": [None, float("inf")]}, r"inf at a\[1\]"), ([Score(float("-inf"))], r"\[0\].value")],
)
async def test_numbers_that_json_does_not_have(result: Any, place: str) -> None:
    """A step, a workflow or a signal with `nan` or an infinity is refused by its place: null would come back."""

    @step
    async def score() -> Any:
        return result

    @workflow(name="scorer")
    async def scorer(text: str, flow: Flow) -> Any:
        return await score() if text == "step" else result if text == "answer" else await flow.signal("score")

    async with Runtime() as rt:
        with pytest.raises(UsageError, match=f"step 'score' returned what cannot be stored: .*{place}.* in JSON"):
            await rt.run(scorer, "step")
        with pytest.raises(HookError, match=f"scorer returned .*{place}.* in JSON"):
            await rt.run(scorer, "answer")
        paused = await rt.run(scorer, "signal")
        with pytest.raises(UsageError, match=f"cannot be stored: .*{place}.* in JSON"):
            await rt.signal(paused.run_id, "score", result)
        await rt.signal(paused.run_id, "score", [None, 1.5, "null"])
        assert (await rt.resume(paused.run_id)).output == [None, 1.5, "null"]


async def test_a_forgotten_await() -> None:
    """A step or a workflow that returns a call without `await` fails with the remedy."""

    @step
    async def inner() -> int:
        return 1

    forgotten: list[Any] = []

    def forget() -> Any:
        forgotten.append(inner())
        return forgotten[-1]

    @step
    async def outer() -> Any:
        return [forget()]

    @workflow(name="careless")
    async def careless(text: str, flow: Flow) -> Any:
        return await outer() if text == "step" else forget()

    async with Runtime() as rt:
        for text in ("step", "answer"):
            with pytest.raises(AgnoError) as caught:
                await rt.run(careless, text)
            assert "An `await` is missing" in str(caught.value.hint)
    for each in forgotten:
        each.close()  # else Python warns of it
