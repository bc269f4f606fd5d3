"""Declared workflows under every schedule and every end of the program, against a plain sequential interpreter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
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


def make_workflow(calls: list[str]) -> Workflow:
    """Make a workflow with every kind of node, whose map logs the paths of its steps."""

    @step(idempotent=True)
    async def work(name: str, state: Log) -> int:
        await pause()
        calls.append(f"map#1/{name}/work#1")
        state.added.append(len(name))
        state.count += 1
        return len(name)

    @step(idempotent=True)
    def grow(number: int, state: Log) -> int:
        state.count += 1
        return number * 2

    def same(number: int) -> int:
        return number

    def check(number: int) -> bool:
        return number > 20

    idempotent = step(idempotent=True)
    agent = Agent(ScriptedModel(["a"] * 9_999), "a")
    return Workflow(
        "all",
        [
            idempotent(_split),
            Map(work, key=str, limit=2),
            idempotent(_add_up),
            Loop([grow], until="state.count >= 6", at_most=9),
            Parallel([agent, idempotent(lambda _: 1)], idempotent(same)),
            idempotent(_add_up),
            Goal(idempotent(same), idempotent(check)),
            Condition("output > 1", idempotent(_show)),
        ],
        state=Log,
    )


def test_killed_at_every_write() -> None:
    """The program ends after each write in turn, under 20 schedules: another one brings the same result and state.

    No step that had ended runs again.
    """
    calls: list[str] = []
    made, tried, seen = make_workflow(calls), 0, set[str]()

    async def scenario(at: int, lived: list[bool]) -> None:
        calls.clear()
        result, was_killed, ended = await run_and_kill(made, "a bb ccc", at)
        lived.append(not was_killed)
        seen.update(ended & set(calls))
        assert not [path for path in ended if calls.count(path) > 1], "a step that had ended ran again"
        assert (result.status, result.output) == ("completed", [49, [1, 2, 3], 6])

    for at in range(1, 100):
        lived: list[bool] = []
        run_schedules(functools.partial(scenario, at, lived), 20)
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
    return _INTERPRETERS[spec[0]](value, log, *spec[1:])


def _interpret_add(value: int, log: list[int], number: int) -> int:
    log.append(number)
    return value + number


def _interpret_chain(value: int, log: list[int], parts: list[Spec]) -> int:
    for part in parts:
        value = interpret(part, value, log)
    return value


def _interpret_loop(value: int, log: list[int], parts: list[Spec], times: int) -> int:
    for _ in range(times):
        value = _interpret_chain(value, log, parts)
        if value > 10:
            break
    return value


_INTERPRETERS: dict[str, Callable[..., int]] = {
    "add": _interpret_add,
    "chain": _interpret_chain,
    "parallel": lambda value, log, parts: sum([interpret(part, value, log) for part in parts]),
    "map": lambda value, log, part, times: sum([interpret(part, value + at, log) for at in range(times)]),
    "loop": _interpret_loop,
    "if": lambda value, log, then, otherwise: interpret(then if value % 2 else otherwise, value, log),
    "route": lambda value, log, parts: interpret(parts[value % len(parts)], value, log),
    "workflow": lambda value, log, part: interpret(part, value, []),
}


def build(spec: Spec) -> Any:
    """Make nodes of a tree."""
    return _BUILDERS[spec[0]](*spec[1:])


def _build_add(number: int) -> Any:
    @step(idempotent=True)
    async def plus(value: int, state: Log) -> int:
        await pause()
        state.added.append(number)
        state.count += 1
        return value + number

    return plus


def _build_map(part: Spec, times: int) -> Any:
    def spread(value: int) -> list[int]:
        return [value + at for at in range(times)]

    return [Map(build(part), over=spread, limit=2), step(idempotent=True)(_add_up)]


_BUILDERS: dict[str, Callable[..., Any]] = {
    "add": _build_add,
    "chain": lambda parts: [build(part) for part in parts],
    "parallel": lambda parts: [Parallel(*map(build, parts)), step(idempotent=True)(_add_up)],
    "map": _build_map,
    "loop": lambda parts, times: Loop([build(part) for part in parts], until="output > 10", at_most=times),
    "if": lambda then, otherwise: Condition(lambda value: value % 2, build(then), build(otherwise)),
    "route": lambda parts: Router(lambda value: value % len(parts), dict(enumerate(map(build, parts)))),
    "workflow": lambda part: Workflow("inner", [step(idempotent=True)(_read_number), build(part)], state=Log),
}


def _split(text: str) -> list[str]:
    return text.split()


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
