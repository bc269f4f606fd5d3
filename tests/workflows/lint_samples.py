"""Workflows for the lint to read: one does everything wrong, the other everything right."""

from __future__ import annotations

import datetime as dt
import os
import random
import secrets
import time
import uuid
from datetime import datetime
from time import time as read_clock
from typing import Any

import trio

from agno_rt import Flow, step, workflow


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
