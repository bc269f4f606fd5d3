"""Facts about every run, whatever its cost; the gate (`benchmarks/gate.py`) holds the cost."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from agno_rt import Event, Runtime, events
from agno_rt.testing import measuring
from benchmarks.common import remember, session_runs, simple_runs, tool_runs

Bodies = Callable[[Runtime], measuring.Times]
every_run = pytest.mark.parametrize("body", [simple_runs, tool_runs, session_runs])


@every_run
async def test_scheduler_steps(body: Bodies) -> None:
    """A run with an immediate model takes no scheduler step of its own."""
    async with Runtime() as rt:
        await remember(rt, 100)

        assert await measuring.scheduler_steps(body(rt)) == 0


@every_run
async def test_events(body: Bodies) -> None:
    """Without an observer no event object is made; with an observer there are some."""
    heard: list[Event] = []
    async with Runtime() as rt, Runtime(observers=[heard.append]) as listened:
        for runtime in (rt, listened):
            await remember(runtime, 100)
            await body(runtime)(1)

        assert await lines_that_make_events(body(rt)) == set()
        assert await lines_that_make_events(body(listened))
        assert heard


async def lines_that_make_events(body: measuring.Times) -> set[tuple[str, int]]:
    """Return the kernel's lines that make events and run in the body."""
    ran: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place in EVENT_LINES:
            ran.add(place)
        return trace if frame.f_code.co_filename in EVENT_FILES else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await body(1)
    finally:
        sys.settrace(before)
    return ran


def event_lines() -> Iterator[tuple[str, int]]:
    """Yield each line of the kernel that calls an event class."""
    made = {name for name, value in vars(events).items() if isinstance(value, type) and issubclass(value, Event)}
    for path in Path(events.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in made:
                    yield str(path), node.lineno


EVENT_LINES = frozenset(event_lines())
EVENT_FILES = {path for path, _ in EVENT_LINES}
