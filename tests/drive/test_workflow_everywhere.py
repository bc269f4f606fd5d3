"""Workflows killed at every write, cancelled at every step, failing at every call, under many schedules."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, Ask, Flow, ModelRequest, Runtime, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import AgnoError, StepUncertain
from agno_rt.events import RunEnded, RunStarted, StepEnded, StepStarted
from agno_rt.steps import read_steps
from agno_rt.testing import (
    Faults,
    KillPoint,
    Pauses,
    ScriptedModel,
    cancel_everywhere,
    fail_everywhere,
    kill_everywhere,
    pause,
    run_schedules,
)
from agno_rt.testing.cancelling import CancelPoint

SEEDS = 20 if os.environ.get("CI") else 5


class Log:
    """What steps did: `begun` and `done` count each step by its argument."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.done: Counter[str] = Counter()


def build(log: Log, *, wrap: Callable[[Any], Any] = lambda model: model) -> Any:
    """Return a workflow with nested parallel branches, agents within, a race, and a step at the end."""

    @step(idempotent=True)
    async def work(name: str) -> str:
        log.begun[name] += 1
        await pause()
        log.done[name] += 1
        return name.upper()

    def answer(request: ModelRequest) -> str:
        return f"<{request.messages[-1].text}>"

    writer = Agent(wrap(ScriptedModel([answer] * 100)), "writer")

    async def part(flow: Flow, name: str) -> list[Any]:
        async with flow.group("inner", limit=1) as inner:
            inner.start(work, f"{name}1")
            inner.start(work, f"{name}2")
        return [*inner.results, (await flow.run(writer, name)).content, await work(f"{name}3")]

    @workflow(name="nested")
    async def nested(topic: str, flow: Flow) -> list[Any]:
        async with flow.group("parts") as parts:
            for name in "ab":
                parts.start(part, flow, name, key=name)
        mapped = await flow.map(work, ["x", "y"])
        race = await flow.first(writer, writer, input="race")
        return [await work(topic), parts.results, mapped, race.content, await flow.random() < 1]

    return nested


WHOLE = ["GO", [["A1", "A2", "<a>", "A3"], ["B1", "B2", "<b>", "B3"]], ["X", "Y"], "<race>", True]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_every_write(seed: int) -> None:
    """Killed after any write, the run goes on in a new runtime: the same result, and no finished step again."""

    async def scenario(point: KillPoint) -> None:
        log, memory = Log(), InProcessMemory()
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(build(log), "go")
        stored = {
            entry.body
            for run in await memory.runs()
            for entry in (await memory.load_run(run.id))[1]
            if entry.kind == "step_ended"
        }
        kept = Counter(name for name in log.done if any(f'"{name.upper()}"'.encode() in body for body in stored))
        before = Counter(log.begun)
        async with Runtime(memory=memory) as rt:
            result = await point.finish(rt, build(log), "go")
        assert result.output == WHOLE
        again = log.begun - before
        assert not again & kept, f"done again: {again & kept}"

    assert kill_everywhere(scenario, at_least=20, seed=seed) >= 20


def test_killed_with_a_file(tmp_path: Path) -> None:
    """The same with an SQLite file that each program opens anew, at some of the points: each has to reach the disk."""
    numbers = iter(range(10_000))

    async def scenario(point: KillPoint) -> None:
        path = tmp_path / f"{next(numbers)}.db"
        first, second = SQLiteMemory(path, synchronous="normal"), SQLiteMemory(path, synchronous="normal")
        with point:
            async with Runtime(memory=point.memory(first)) as rt:
                await rt.run(build(Log()), "go")
        await first.aclose()
        async with Runtime(memory=second) as rt:
            assert (await point.finish(rt, build(Log()), "go")).output == WHOLE
        await second.aclose()

    for at in (1, 2, 5, 9, 14, 20):
        kill_everywhere(scenario, only=at)


def test_killed_within_a_step_that_may_not_be_repeated() -> None:
    """A step that is not idempotent is done at most once: done and recorded, or uncertain."""

    async def scenario(point: KillPoint) -> None:
        done, memory = Counter[str](), InProcessMemory()

        @step
        async def pay(name: str) -> str:
            done[name] += 1
            return name

        @workflow
        async def paying(flow: Flow) -> list[str]:
            return [await pay("one"), await pay("two")]

        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(paying, "go")
        async with Runtime(memory=memory) as rt:
            with suppress(StepUncertain):
                assert (await point.finish(rt, paying, "go")).output == ["one", "two"]
        assert max(done.values(), default=0) <= 1

    assert kill_everywhere(scenario) >= 4


def test_killed_around_questions() -> None:
    """A run with questions in parallel branches is killed anywhere, answered, and killed never: the same result."""

    async def scenario(point: KillPoint) -> None:
        memory, log = InProcessMemory(), Counter[str]()

        @step(idempotent=True)
        async def work(name: str) -> str:
            log[name] += 1
            return name

        async def branch(flow: Flow, name: str) -> str:
            await work(name)
            return f"{name}: {await flow.ask(Ask(str, name))}"

        @workflow(name="inner")
        async def inner(flow: Flow) -> list[str]:
            return await flow.map(lambda name: branch(flow, name), "ab", key=str)

        @workflow(name="asking")
        async def asking(flow: Flow) -> Any:
            return (await flow.run(inner, "go")).output

        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await answer_all(rt, asking, await rt.run(asking, "go"))
        async with Runtime(memory=memory) as rt:
            result = await answer_all(rt, asking, await point.finish(rt, asking, "go"))
        assert result.output == ["a: yes", "b: yes"]
        assert set(log.values()) <= {1, 2}

    assert kill_everywhere(scenario) >= 8


async def answer_all(rt: Runtime, runnable: Any, result: Any) -> Any:
    """Answer one question after another, and resume the run after each."""
    while result.status == "paused":
        await rt.answer(result.approvals[0].id, "yes")
        result = await rt.resume(result.run_id, runnable)
    return result


def check_events(seen: list[Any]) -> None:
    """Check that each run and each step that began has ended once."""
    started = Counter(event.run_id for event in seen if isinstance(event, RunStarted))
    assert started == Counter(event.run_id for event in seen if isinstance(event, RunEnded))
    began = Counter((event.run_id, event.path) for event in seen if isinstance(event, StepStarted))
    assert began == Counter((event.run_id, event.path) for event in seen if isinstance(event, StepEnded))


def test_cancelled_at_every_step() -> None:
    """Cancelled at any step, each run ends once, and the run goes on from its journal to the same result."""

    async def scenario(point: CancelPoint) -> None:
        log, memory, seen = Log(), InProcessMemory(), list[Any]()
        pauses = Pauses()
        async with Runtime(memory=pauses.memory(memory), observers=[seen.append]) as rt:
            with point:
                assert (await rt.run(build(log), "go")).output == WHOLE
            check_events(seen)
            stored = [run for run in await memory.runs() if run.parent is None]
            if point.caught and stored:
                assert stored[0].status == "cancelled"
                assert (await rt.resume(stored[0].id, build(log))).output == WHOLE

    assert cancel_everywhere(scenario, limit=2_000) > 50


def test_failing_at_every_call() -> None:
    """With any call of the memory or a model failing, each run ends once, and the run can go on to the same result."""

    async def scenario(faults: Faults) -> None:
        log, memory, seen = Log(), InProcessMemory(), list[Any]()
        result = None
        async with Runtime(memory=faults.memory(memory), observers=[seen.append]) as rt:
            with suppress(AgnoError):
                result = await rt.run(build(log, wrap=faults.model), "go")
            check_events(seen)
        assert result is None or result.output == WHOLE
        stored = [run for run in await memory.runs() if run.parent is None]
        if stored and stored[0].status != "completed":
            async with Runtime(memory=memory) as rt:
                assert (await rt.resume(stored[0].id, build(log), force=True)).output == WHOLE

    assert fail_everywhere(scenario) > 20


def test_any_schedule_gives_the_same() -> None:
    """Under any schedule the result is the same, and the journal has the same steps."""
    journals: set[frozenset[str]] = set()

    async def scenario() -> None:
        memory = InProcessMemory()
        async with Runtime(memory=memory) as rt:
            result = await rt.run(build(Log()), "go")
        assert result.output == WHOLE
        _, entries = await memory.load_run(result.run_id)

        journals.add(
            frozenset(each.name or each.kind for each in read_steps(entries) if "first" not in (each.name or ""))
        )

    run_schedules(scenario, 5 * SEEDS)
    assert len(journals) == 1


def test_a_map_is_collected_once() -> None:
    """The step behind a map gets the whole list, once, under any schedule."""

    async def scenario() -> None:
        got: list[list[int]] = []

        @step
        async def double(value: int) -> int:
            await pause()
            return 2 * value

        @step
        async def collect(values: list[int]) -> int:
            got.append(values)
            return sum(values)

        @workflow
        async def flow_of(flow: Flow) -> int:
            return await collect(await flow.map(double, [1, 2, 3]))

        async with Runtime() as rt:
            assert (await rt.run(flow_of, "go")).output == 12
        assert got == [[2, 4, 6]]

    run_schedules(scenario, 50)


# A tree: a leaf with a number, a sequence, or a parallel group of trees.
TREES: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 99),
    lambda inner: st.tuples(st.sampled_from(["then", "group", "map"]), st.lists(inner, max_size=3)),
    max_leaves=8,
)


def interpret(tree: Any) -> Any:
    """Evaluate a tree one after another."""
    return 2 * tree if isinstance(tree, int) else [tree[0], *map(interpret, tree[1])]


@settings(max_examples=60, deadline=None)
@given(TREES, st.integers(0, 1_000), st.integers(1, 30))
def test_trees_against_an_interpreter(tree: Any, seed: int, at: int) -> None:
    """Any tree of nested groups gives what a plain interpreter gives, also if killed somewhere and resumed."""

    def build_tree(done: Counter[int]) -> Any:
        @step(idempotent=True)
        async def leaf(value: int) -> int:
            await pause()
            return 2 * value

        def evaluate(flow: Flow, tree: Any) -> Awaitable[Any]:
            return leaf(tree) if isinstance(tree, int) else node(flow, *tree)

        async def node(flow: Flow, kind: str, trees: list[Any]) -> list[Any]:
            if kind == "then":
                return [kind, *[await evaluate(flow, each) for each in trees]]
            if kind == "map":
                return [kind, *await flow.map(lambda each: evaluate(flow, each), trees)]
            async with flow.group(limit=2) as group:
                for each in trees:
                    group.start(evaluate, flow, each)
            return [kind, *group.results]

        @workflow(name="tree")
        async def whole(flow: Flow) -> Any:
            return [await evaluate(flow, tree)]

        return whole

    async def scenario() -> None:
        memory, point = InProcessMemory(), KillPoint()
        point.arm(at)
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(build_tree(Counter()), "go")
        async with Runtime(memory=memory) as rt:
            assert (await point.finish(rt, build_tree(Counter()), "go")).output == [interpret(tree)]

    run_schedules(scenario, 1, first=seed)


async def test_a_thousand_branches_with_a_limit() -> None:
    """A thousand branches run ten at a time, with one journal entry each, and resume from the journal."""
    busy = [0, 0]

    @step(idempotent=True)
    async def work(number: int) -> int:
        busy[0] += 1
        busy[1] = max(busy)
        await trio.lowlevel.checkpoint()
        busy[0] -= 1
        return number

    @workflow
    async def flow_of(flow: Flow) -> int:
        return sum(await flow.map(work, range(1_000), limit=10))

    async with Runtime() as rt:
        result = await rt.run(flow_of, "go")
        record, _ = await rt.memory.load_run(result.run_id)  # type: ignore[attr-defined]

    assert (result.output, busy, record.entries) == (499_500, [0, 10], 1_002)
