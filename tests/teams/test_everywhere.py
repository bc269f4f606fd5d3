"""Teams in every mode, nested and with a pause: killed, failing and cancelled everywhere, under many schedules."""

from __future__ import annotations

import functools
import os
from collections import Counter
from typing import Any

import msgspec
import pytest
import trio

from agno_rt import Limits, Runtime, Team
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError
from agno_rt.events import RunEnded, RunStarted, ToolEnded, ToolStarted
from agno_rt.result import RunResult
from agno_rt.run_store import RunStore
from agno_rt.testing import (
    Faults,
    KillPoint,
    Pauses,
    cancel_everywhere,
    fail_everywhere,
    kill_everywhere,
    run_schedules,
)
from agno_rt.testing.cancelling import CancelPoint
from tests.teams.modes import MODES, finish, make_team

SEEDS = 5 if os.environ.get("CI") else 1
LIMITS = Limits(depth=20)
LARGE = ("nested", "flow_of_teams")
"""The teams with most points. They are made of the others, which are tried at every point with every seed."""
SOME = range(1, 10_000, 3)
"""A third of the points. Many calls have two points, before and after, and an odd stride has some of both."""


@functools.cache
def undisturbed(mode: str) -> tuple[str, Any, dict[str, int]]:
    """Return the answer, the output, and the calls of a run without a fault."""
    log = Counter[str]()

    async def run() -> RunResult[Any]:
        async with Runtime(limits=LIMITS) as rt:
            team = make_team(mode, lambda line: log.update([line]))
            return await finish(rt, team, await rt.run(team, "go"))

    result = trio.run(run)
    assert result.status == "completed"
    return result.content, result.output, dict(log)


async def count_stored(memory: RunStore) -> Counter[str]:
    """Return the number of stored results of each tool, and of stored answers of each agent."""
    found = Counter[str]()
    for run in await memory.runs(limit=1_000):
        _, entries = await memory.load_run(run.id)
        for entry in entries:
            body = msgspec.json.decode(entry.body)
            if entry.kind == "answered":
                found[run.agent] += 1
            elif entry.kind == "called":
                found[f"{run.agent} {body['name']}"] += 1
    return found


def count_calls(log: Counter[str]) -> Counter[str]:
    """Return the number of calls of each agent's model, and of each agent's tool, from the lines of the log."""
    found = Counter[str]()
    for line, number in log.items():
        agent, _, rest = line.partition(" ")
        found[f"{agent} pay" if rest == "pays" else agent] += number
    return found


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_every_write(mode: str, seed: int) -> None:
    """Killed after any write, before or after the decision: the same result, and no finished call is made again."""
    content, output, calls = undisturbed(mode)

    async def scenario(point: KillPoint) -> None:
        log, memory = Counter[str](), InProcessMemory()
        team = make_team(mode, lambda line: log.update([line]))
        with point:
            async with Runtime(memory=point.memory(memory), limits=LIMITS) as rt:
                await finish(rt, team, await rt.run(team, "go"))
        stored, before = await count_stored(memory), count_calls(log)
        async with Runtime(memory=memory, limits=LIMITS) as rt:
            result = await finish(rt, team, await point.finish(rt, team, "go"))
        assert (result.status, result.content, result.output) == ("completed", content, output)
        # Whatever was stored was made once, and is not made again: the others are made again at most.
        after, whole = count_calls(log), count_calls(Counter(calls))
        for name, number in whole.items():
            assert after[name] - before[name] <= max(0, number - stored[name]), f"{name} was done again"

    # The seeds share the points of a large team: each point is tried, under one of the schedules.
    only = range(1 + seed, 10_000, SEEDS) if mode in LARGE else None
    assert kill_everywhere(scenario, at_least=5, seed=seed, only=only) >= 5


@pytest.mark.parametrize("mode", MODES)
def test_failing_everywhere(mode: str) -> None:
    """Any call of a model or the store fails: one of our errors, or the answer; a resumed run has the answer."""
    content, output, _ = undisturbed(mode)

    async def scenario(faults: Faults) -> None:
        memory, seen, fault = InProcessMemory(), list[Any](), faults

        def wrap(part: Any) -> Any:
            return fault.model(part)

        team = make_team(mode, lambda line: None, wrap=wrap)
        run = ""
        try:
            async with Runtime(memory=fault.memory(memory), limits=LIMITS, observers=[seen.append]) as rt:
                result = await finish(rt, team, await rt.run(team, "go"))
        except AgnoError as exc:
            run = exc.result.run_id if exc.result is not None else ""
        else:
            assert result.status == "completed"
        check_events(seen)
        runs = [each for each in await memory.runs(limit=1_000) if each.parent is None]
        if run and runs and runs[0].status != "completed":
            async with Runtime(memory=memory, limits=LIMITS) as rt:
                result = await finish(rt, team, await rt.resume(runs[0].id, team, force=True))
            assert (result.status, result.content, result.output) == ("completed", content, output)

    assert fail_everywhere(scenario, at_least=5, only=SOME if mode in LARGE else None) >= 5


@pytest.mark.parametrize("mode", MODES)
def test_cancelled_everywhere(mode: str) -> None:
    """Cancelled at any step: what started has ended, and the run goes on to the same answer."""
    content, output, _ = undisturbed(mode)

    async def scenario(point: CancelPoint) -> None:
        memory, seen = InProcessMemory(), list[Any]()
        team = make_team(mode, lambda line: None)
        with point:
            async with Runtime(memory=memory, limits=LIMITS, observers=[seen.append]) as rt:
                await finish(rt, team, await rt.run(team, "go"))
        check_events(seen)
        runs = [each for each in await memory.runs(limit=1_000) if each.parent is None]
        if runs and runs[0].status != "completed":
            async with Runtime(memory=memory, limits=LIMITS) as rt:
                result = await finish(rt, team, await rt.resume(runs[0].id, team))
            assert (result.status, result.content, result.output) == ("completed", content, output)

    assert cancel_everywhere(scenario, at_least=5, only=SOME if mode in LARGE else None) >= 5


@pytest.mark.parametrize("mode", MODES)
def test_schedules(mode: str) -> None:
    """Under any schedule the answer is the same, and the calls are made once."""
    content, output, calls = undisturbed(mode)

    async def scenario() -> None:
        log = Counter[str]()
        team = make_team(mode, lambda line: log.update([line]), wrap=Pauses().model)
        async with Runtime(memory=Pauses().memory(InProcessMemory()), limits=LIMITS) as rt:
            result = await finish(rt, team, await rt.run(team, "go"))
        assert (result.status, result.content, result.output) == ("completed", content, output)
        assert log == calls

    run_schedules(scenario, 20)


@pytest.mark.parametrize("mode", MODES)
def test_a_pause_changes_nothing(mode: str) -> None:
    """The answer with a pause is the answer of the same team that does not ask; its usage too."""

    async def run(*, pays: bool) -> RunResult[Any]:
        async with Runtime(limits=LIMITS) as rt:
            team: Team = make_team(mode, lambda line: None, pays=pays)
            result = await rt.run(team, "go")
            assert (result.status == "paused") is pays
            return await finish(rt, team, result)

    with_pause, without = trio.run(functools.partial(run, pays=True)), trio.run(functools.partial(run, pays=False))
    assert (with_pause.content, with_pause.usage) == (without.content, without.usage)


def check_events(seen: list[Any]) -> None:
    """Check that whatever began has ended, once: runs, and calls of tools."""
    runs, calls = Counter[Any](), Counter[Any]()
    for event in seen:
        match event:
            case RunStarted():
                runs[event.run_id] += 1
            case RunEnded():
                runs[event.run_id] -= 1
            case ToolStarted():
                calls[event.run_id, event.call.id] += 1
            case ToolEnded():
                calls[event.run_id, event.call.id] -= 1
            case _:
                continue
        assert set(runs.values()) | set(calls.values()) <= {0, 1}
    assert not +runs
    assert not +calls
