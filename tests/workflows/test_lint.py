"""The lint of workflows: calls whose results are not recorded, and no false alarm for steps."""

from __future__ import annotations

import datetime as dt
import os
import random
import secrets
import time
import uuid
from datetime import datetime
from pathlib import Path
from time import time as read_clock
from typing import Any

import pytest
import trio
import trio.lowlevel

from agno_rt import Agent, Flow, Workflow, step, workflow
from agno_rt.testing import check_workflow
from agno_rt.workflows.lint import find_unrecorded


@step
async def fetch(at: float = 0.0) -> float:
    """Read the clock, where it may be read."""
    await trio.sleep(1)
    return time.time() + random.random()


def helper() -> int:
    """Draw a number."""
    return random.randint(1, 6)


async def branch(flow: Flow) -> str:
    """Draw an id."""
    await fetch()
    return str(uuid.uuid4())


def unused() -> float:
    """Read the clock, for others."""
    return time.time()


@workflow
async def wrong(topic: str, flow: Flow) -> Any:
    """Do everything wrong."""
    import random as chance

    moments: list[Any] = [time.time(), datetime.now(), dt.date.today(), read_clock()]
    drawn: list[Any] = [chance.choice([1]), os.urandom(2), secrets.token_hex(), helper()]
    time.sleep(0)  # noqa: ASYNC251
    await trio.sleep(1)
    async with trio.open_nursery():
        pass
    async with flow.group() as group:
        group.start(branch, flow)
    return [*moments, *drawn, await fetch(time.monotonic()), [uuid.uuid1() for _ in range(2)]]


@workflow
async def right(topic: str, flow: Flow) -> Any:
    """Take everything from the flow and from steps."""

    @step
    async def inner() -> float:
        return time.time()

    time_of = {"time": 1.0}
    uuid = time_of.get("time")  # a variable of the same name as a module
    drawn = random.Random(7).random()
    moment = datetime.fromtimestamp(await flow.now(), dt.UTC) + dt.timedelta(seconds=3)
    await flow.sleep(0)
    return [str(moment), uuid, drawn, await inner(), await fetch(), await flow.random(), await flow.id()]


def test_names_each_call() -> None:
    """Each call is named with its line and a remedy, also in functions of the module that the workflow uses."""
    found = find_unrecorded(wrong)

    assert sorted(each.name for each in found) == sorted(
        [
            "time.time",
            "datetime.now",
            "dt.date.today",
            "read_clock",
            "chance.choice",
            "os.urandom",
            "secrets.token_hex",
            "random.randint",
            "time.sleep",
            "trio.sleep",
            "trio.open_nursery",
            "uuid.uuid4",
            "time.monotonic",
            "uuid.uuid1",
        ]
    )
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert all(each.name in lines[each.line - 1] for each in found)
    assert {each.file for each in found} == {__file__}
    by_name = {each.name: each.hint for each in found}
    assert "flow.now()" in by_name["time.time"]
    assert "flow.group()" in by_name["trio.open_nursery"]


def test_no_false_alarm() -> None:
    """Steps, also nested ones, the flow's own methods, seeded numbers, and variables with the names of modules pass."""
    assert find_unrecorded(right) == []
    check_workflow(right)


def test_the_check_of_the_testing_kit() -> None:
    """`check_workflow` fails with a line for each call."""
    with pytest.raises(AssertionError, match=r"test_lint\.py:\d+: time\.time is not recorded\. Use `await flow\.now"):
        check_workflow(wrong)


@pytest.mark.parametrize("value", [Agent("answers:a", "a"), Workflow("declared", [fetch]), len])
def test_values_without_a_function(value: Any) -> None:
    """Agents, declared workflows, whose functions are steps, and builtins have nothing to read."""
    assert find_unrecorded(value) == []
