"""Fixtures shared by several test modules."""

from __future__ import annotations

import gc
import signal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agno_rt import hookimpl
from agno_rt.events import (
    Event,
    GuardTripped,
    ModelEnded,
    ModelStarted,
    ReasoningDelta,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolCallDelta,
    ToolEnded,
    ToolProgress,
    ToolStarted,
    TurnRestarted,
    event_type,
)

MakePoint = Callable[..., EntryPoint]

# A machine that is busy with other tests is slow: no example fails by the clock.
settings.register_profile("agno_rt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agno_rt")


# A shell starts its background jobs with Ctrl-C ignored, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Exempt the collected modules from garbage collection.

    Seven thousand tests and their imports make a full collection cost half a second. Every test for leaks needs
    several.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def plugin_point() -> Iterator[MakePoint]:
    """Make a plugin of hooks, `plugin_point("mine", agno_rt_observe=...)`, and return its entry point."""
    modules: list[str] = []

    def make(name: str, **hooks: Callable[..., Any]) -> EntryPoint:
        module = types.ModuleType(f"agno_rt_test_plugin_{name}")
        for hook, function in hooks.items():
            setattr(module, hook, hookimpl(function))
        sys.modules[module.__name__] = module
        modules.append(module.__name__)
        return EntryPoint(name, module.__name__, "agno_rt")

    yield make
    for name in modules:
        del sys.modules[name]


@pytest.fixture
def well_formed() -> Callable[[Sequence[Event]], None]:
    """Check the events of one run: each start has one end, all inside `RunStarted` and `RunEnded`."""

    def check(events: Sequence[Event]) -> None:
        if not events:
            return
        names = [event_type(event) for event in events]
        assert names[0] == "run_started", names
        assert names[-1] == "run_ended", names
        assert names.count("run_started") == names.count("run_ended") == 1, names
        assert len({event.run_id for event in events}) == 1
        open_: list[tuple[str, str]] = []
        for event in events:
            _check_event(event, open_)
        assert not open_, names

    return check


def _check_event(event: Event, open_: list[tuple[str, str]]) -> None:
    """Open or close a model or tool call for the event, and check that the event may come here."""
    match event:
        case ModelStarted():
            assert not open_, event
            open_.append(("model", str(event.turn)))
        case ModelEnded():
            open_.remove(("model", str(event.turn)))
        case ToolStarted():
            open_.append(("tool", event.call.id))
        case ToolEnded():
            open_.remove(("tool", event.call.id))
        case ToolProgress():
            assert ("tool", event.call.id) in open_, event
        case TextDelta() | ReasoningDelta() | ToolCallDelta():
            assert [kind for kind, _ in open_] == ["model"], event
        case TurnRestarted() | GuardTripped() | StepStarted() | StepEnded():
            pass
        case _:
            assert not open_, event
