"""Declared workflows under every schedule and every end of the program, against a plain sequential interpreter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, Runtime, Workflow, step
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.failures import leaves, let_pass
from agno_rt.result import RunResult
from agno_rt.testing import ScriptedModel, run_schedules
from agno_rt.testing._wrapping import Wrapping
from agno_rt.testing.schedules import pause
from agno_rt.workflows import Condition, Goal, Loop, Map, Parallel, Router, add, append


@attrs.define
class Log:
    """A state: what was added, and how often."""

    added: Annotated[list[int], append] = attrs.Factory(list)
    count: Annotated[int, add] = 0


class Killed(BaseException):
    """The end of the program."""


let_pass(Killed)


class Program(Wrapping):
    """A program that ends after its `at`-th write, and then neither writes nor reads."""

    def __init__(self, at: int) -> None:
        self.left = at

    @property
    def is_dead(self) -> bool:
        """True after the end."""
        return self.left <= 0

    async def _before(self, what: str) -> None:
        if self.is_dead:
            raise Killed

    async def _after(self, what: str) -> None:
        self.left -= 1
        if self.is_dead:
            raise Killed


async def run_and_kill(made: Workflow, input: str, at: int) -> tuple[RunResult, bool, set[str]]:
    """Run the workflow in a program that ends after `at` writes, and go on in another.

    Returns the result, False if the program lived, and the paths of the steps that had ended.
    """
    memory, program = InProcessMemory(), Program(at)
    try:
        async with Runtime(memory=program.memory(memory)) as rt:
            result = await rt.run(made, input)
    except BaseException as exc:
        if not any(isinstance(leaf, Killed) for leaf in leaves(exc)):
            raise
    if not program.is_dead:
        return result, False, set()
    runs = [run for run in await memory.runs() if run.parent is None]
    async with Runtime(memory=memory) as rt:
        if not runs:
            return await rt.run(made, input), True, set()
        _, entries = await memory.load_run(runs[0].id)
        ended = set(_paths_of(str(entry.body) for entry in entries if entry.kind == "step_ended"))
        run = await rt.fork(runs[0].id) if runs[0].status == "completed" else runs[0].id
        return await rt.resume(run, made), True, ended


def _paths_of(texts: Iterable[str]) -> Iterable[str]:
    return (text.partition('"path":"')[2].partition('"')[0] for text in texts)


def test_killed_at_every_write() -> None:
    """The program ends after each write in turn, under 20 schedules: another one brings the same result and state.

    No step that had ended runs again.
    """
    calls: list[str] = []

    @step(idempotent=True)
    async def work(name: str, state: Log) -> int:
        await pause()
        calls.append(f"map#1/{name}/work#1")
        state.added.append(len(name))
        state.count += 1
        return len(name)

    @step(idempotent=True)
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @step(idempotent=True)
    def grow(number: int, state: Log) -> int:
        state.count += 1
        return number * 2

    @step(idempotent=True)
    def show(number: int, state: Log) -> list[Any]:
        return [number, state.added, state.count]

    def check(number: int) -> bool:
        return number > 20

    def agent(name: str) -> Agent:
        return Agent(ScriptedModel([name] * 9_999), name)

    @step(idempotent=True)
    def split(text: str) -> list[str]:
        return text.split()

    made = Workflow(
        "all",
        [
            split,
            Map(work, key=str, limit=2),
            total,
            Loop([grow], until="state.count >= 6", at_most=9),
            Parallel([agent("a"), step(idempotent=True)(lambda _: 1)], step(idempotent=True)(lambda n: n)),
            total,
            Goal(step(idempotent=True)(lambda n: n), step(idempotent=True)(check)),
            Condition("output > 1", show),
        ],
        state=Log,
    )
    tried, seen = 0, set[str]()
    for at in range(1, 100):
        lived: list[bool] = []

        async def scenario(at: int = at) -> None:
            calls.clear()
            result, was_killed, ended = await run_and_kill(made, "a bb ccc", at)
            lived.append(not was_killed)
            seen.update(ended & set(calls))
            assert not [path for path in ended if calls.count(path) > 1], "a step that had ended ran again"
            assert result.output == [49, [1, 2, 3], 6]
            assert result.status == "completed"

        run_schedules(scenario, 20)
        if all(lived):
            break
        tried += 1
    assert tried >= 15
    assert seen == {f"map#1/{name}/work#1" for name in ("a", "bb", "ccc")}


Spec = tuple[Any, ...]


def specs() -> st.SearchStrategy[Spec]:
    """Make trees of nodes."""
    leaf = st.tuples(st.just("add"), st.integers(-3, 5))

    def extend(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
        several = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            st.tuples(st.just("chain"), several),
            st.tuples(st.just("parallel"), several),
            st.tuples(st.just("map"), inner, st.integers(0, 3)),
            st.tuples(st.just("loop"), several, st.integers(1, 3)),
            st.tuples(st.just("if"), inner, inner),
            st.tuples(st.just("route"), several),
            st.tuples(st.just("workflow"), inner),
        )

    return st.recursive(leaf, extend, max_leaves=8)


def interpret(spec: Spec, value: int, log: list[int]) -> int:
    """Carry out a tree, one node after the other."""
    match spec:
        case ("add", number):
            log.append(number)
            return value + int(number)
        case ("chain", parts):
            for part in parts:
                value = interpret(part, value, log)
            return value
        case ("parallel", parts):
            return sum([interpret(part, value, log) for part in parts])
        case ("map", part, times):
            return sum([interpret(part, value + at, log) for at in range(times)])
        case ("loop", parts, times):
            for _ in range(times):
                value = interpret(("chain", parts), value, log)
                if value > 10:
                    break
            return value
        case ("if", then, otherwise):
            return interpret(then if value % 2 else otherwise, value, log)
        case ("route", parts):
            return interpret(parts[value % len(parts)], value, log)
        case ("workflow", part):
            return interpret(part, value, [])
    raise AssertionError(spec)


def build(spec: Spec) -> Any:
    """Make nodes of a tree."""
    match spec:
        case ("add", number):

            @step(idempotent=True)
            async def plus(value: int, state: Log) -> int:
                await pause()
                state.added.append(number)
                state.count += 1
                return value + int(number)

            return plus
        case ("chain", parts):
            return [build(part) for part in parts]
        case ("parallel", parts):
            return [Parallel(*map(build, parts)), step(idempotent=True)(_add_up)]
        case ("map", part, times):
            return [
                Map(build(part), over=lambda value: [value + at for at in range(times)], limit=2),
                step(idempotent=True)(_add_up),
            ]
        case ("loop", parts, times):
            return Loop([build(part) for part in parts], until="output > 10", at_most=times)
        case ("if", then, otherwise):
            return Condition(lambda value: value % 2, build(then), build(otherwise))
        case ("route", parts):
            return Router(lambda value: value % len(parts), dict(enumerate(map(build, parts))))
        case ("workflow", part):
            return Workflow("inner", [step(idempotent=True)(_read_number), build(part)], state=Log)
    raise AssertionError(spec)


def _add_up(numbers: list[int]) -> int:
    return sum(numbers)


def _read_number(number: int) -> int:
    return number


def _show(number: int, state: Log) -> list[Any]:
    return [number, state.added, state.count]


@settings(max_examples=60, deadline=None)
@given(specs(), st.integers(0, 20), st.integers(1, 30))
def test_trees_against_an_interpreter(spec: Spec, value: int, at: int) -> None:
    """Any tree of nodes gives what a sequential interpreter gives, also if the program ends after any write."""
    log: list[int] = []
    expected = [interpret(spec, value, log), log, len(log)]
    idempotent = step(idempotent=True)
    made = Workflow("tree", [idempotent(_read_number), build(spec), idempotent(_show)], state=Log)

    async def scenario() -> None:
        async with Runtime() as rt:
            assert (await rt.run(made, str(value))).output == expected
        result, _, _ = await run_and_kill(made, str(value), at)
        assert result.output == expected

    run_schedules(scenario, 2)


async def test_a_thousand_branches_with_a_limit() -> None:
    """A map of 1,000 items runs at most ten at once, and joins their states in order."""
    most, now = 0, 0

    async def work(number: int, state: Log) -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        now -= 1
        state.added.append(number)
        return number

    def show(numbers: list[int], state: Log) -> bool:
        return numbers == state.added == list(range(1000))

    async with Runtime() as rt:
        result = await rt.run(Workflow("w", [lambda: [*range(1000)], Map(work, limit=10), show], state=Log), "go")

    assert (result.output, most) == (True, 10)
