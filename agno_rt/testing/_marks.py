"""What the pytest plugin does for marked tests, and where it puts cassettes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
from trio.testing import MockClock

from agno_rt.errors import UsageError
from agno_rt.testing._repeat import clock_of, in_trio
from agno_rt.testing.orphans import left_nothing, no_orphans
from agno_rt.testing.schedules import try_schedules

__all__ = ["Schedules", "cassette_path", "checked_for_resources", "checked_for_tasks", "run_marked"]

MAX_NAME = 120


@attrs.frozen
class Schedules:
    """What the marker `schedules` asks for."""

    count: int = 1_000
    first: int = 0
    virtual: bool = True

    def narrowed(self, seed: int | None, count: int | None) -> Schedules:
        """The same, with what the command line says."""
        if seed is not None:
            return attrs.evolve(self, first=seed, count=1)
        return self if count is None else attrs.evolve(self, count=count)


def run_marked(test: Callable[..., Any], given: Mapping[str, Any], schedules: Schedules) -> None:
    """Run the test function under each schedule, with those of the fixtures' values that it takes."""
    arguments = {name: given[name] for name in inspect.signature(test).parameters if name in given}
    for name, value in arguments.items():
        if type(value).__name__ == "TrioFixture" or inspect.isawaitable(value) or inspect.isasyncgen(value):
            raise UsageError(
                f"fixture {name!r} is async, and a test under many schedules runs trio anew for each of them",
                hint="Make what it makes within the test: `async with ...:`.",
            )
    # One that the test itself asked for takes the place of ours: a new one each time, as time begins anew.
    clocks = {name: value for name, value in arguments.items() if isinstance(value, MockClock)}

    def attempt() -> None:
        if not inspect.iscoroutinefunction(test):
            test(**arguments)
            return
        clock = clock_of(schedules.virtual)
        for asked in clocks.values():
            clock = MockClock(rate=asked.rate, autojump_threshold=asked.autojump_threshold)
        in_trio(lambda: test(**(arguments | dict.fromkeys(clocks, clock))), clock)

    try_schedules(attempt, schedules.count, first=schedules.first)


def checked_for_tasks(
    test: Callable[..., Any], *, resources: bool = True, allow: Sequence[str] = ()
) -> Callable[..., Any]:
    """The test function, failing if it leaves a task behind, for as long as trio runs."""
    if not inspect.iscoroutinefunction(test):
        return test

    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> Any:
        with no_orphans(resources=False, allow=allow):
            return await test(*args, **kwargs)

    return checked


def checked_for_resources(*, resources: bool = True, allow: Sequence[str] = ()) -> AbstractContextManager[None]:
    """Fails if the block leaves anything but tasks behind."""
    return left_nothing(resources=resources, allow=allow)


def cassette_path(file: Path, node: str, name: str) -> Path:
    """Where the cassette of a test is: `cassettes/test_module/TestClass.test_name.json`, beside the test's file."""
    test = ".".join(node.split("::")[1:])
    stem = re.sub(r"[^\w.\-\[\]]+", "-", f"{test}.{name}" if name else test)
    if len(stem) > MAX_NAME:
        stem = f"{stem[:MAX_NAME]}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
    return file.parent / "cassettes" / file.stem / f"{stem}.json"
