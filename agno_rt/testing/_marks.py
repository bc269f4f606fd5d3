"""The pytest plugin's handling of marked tests, and the paths of its cassettes."""

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
from agno_rt.testing._repeat import make_clock, run_in_trio
from agno_rt.testing.orphans import left_nothing, no_orphans
from agno_rt.testing.schedules import try_schedules

__all__ = ["Schedules", "cassette_path", "check_for_resources", "check_for_tasks", "run_marked"]

MAX_NAME = 120
"""Characters of a file's name before a hash takes over: file systems limit a name to 255 bytes."""


@attrs.frozen
class Schedules:
    """The arguments of the marker `schedules`."""

    count: int = 1_000
    first: int = 0
    virtual: bool = True

    def narrowed(self, seed: int | None, count: int | None) -> Schedules:
        """Return the schedules with the command line's seed or count applied."""
        if seed is not None:
            return attrs.evolve(self, first=seed, count=1)
        return self if count is None else attrs.evolve(self, count=count)


def run_marked(test: Callable[..., Any], given: Mapping[str, Any], schedules: Schedules) -> None:
    """Run the test function under each schedule, with the fixtures' values for its parameters."""
    arguments = {name: given[name] for name in inspect.signature(test).parameters if name in given}
    for name, value in arguments.items():
        # By its name, because pytest-trio need not be installed.
        if type(value).__name__ == "TrioFixture" or inspect.isawaitable(value) or inspect.isasyncgen(value):
            raise UsageError(
                f"fixture {name!r} is async, and a test under many schedules runs trio anew for each of them",
                hint="Move the fixture's work into the test: `async with ...:`.",
            )
    # A clock that the test asked for replaces ours. Each attempt gets a new one, because time starts over.
    clocks = {name: value for name, value in arguments.items() if isinstance(value, MockClock)}

    def attempt() -> None:
        if not inspect.iscoroutinefunction(test):
            test(**arguments)
            return
        clock = make_clock(schedules.virtual)
        for asked in clocks.values():
            clock = MockClock(rate=asked.rate, autojump_threshold=asked.autojump_threshold)
        run_in_trio(lambda: test(**(arguments | dict.fromkeys(clocks, clock))), clock)

    try_schedules(attempt, schedules.count, first=schedules.first)


def check_for_tasks(
    test: Callable[..., Any], *, resources: bool = True, allow: Sequence[str] = ()
) -> Callable[..., Any]:
    """Wrap the test function to fail if it leaves a task behind while trio runs."""
    if not inspect.iscoroutinefunction(test):
        return test

    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> Any:
        with no_orphans(resources=False, allow=allow):
            return await test(*args, **kwargs)

    return checked


def check_for_resources(*, resources: bool = True, allow: Sequence[str] = ()) -> AbstractContextManager[None]:
    """Make a block that fails if it leaves anything but tasks behind."""
    return left_nothing(resources=resources, allow=allow)


def cassette_path(file: Path, node: str, name: str) -> Path:
    """Return the path of a cassette: `cassettes/test_module/TestClass.test_name.json`, beside the test's file."""
    test = ".".join(node.split("::")[1:])
    stem = re.sub(r"[^\w.\-\[\]]+", "-", f"{test}.{name}" if name else test)
    if len(stem) > MAX_NAME:
        stem = f"{stem[:MAX_NAME]}-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
    return file.parent / "cassettes" / file.stem / f"{stem}.json"
