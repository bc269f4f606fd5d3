"""Progress of a run in words, from the run's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_rt.events import (
    ApprovalAsked,
    Event,
    RunStarted,
    StepEnded,
    StepStarted,
    TextDelta,
    ToolEnded,
    ToolProgress,
    ToolStarted,
)

__all__ = ["describe_event"]

_LONGEST = 300


def describe_event(path: str, event: Event) -> str | None:
    """Return a line about the event, or None for an event that says nothing to people. `path` names the run within."""
    line = _describe(event)
    return f"{path}: {line}" if line and path else line


def _describe(event: Event) -> str | None:
    line = None
    match event:
        case RunStarted():
            line = f"{event.agent or 'the run'} {'goes on' if event.resumed else 'begins'}"
        case ToolStarted():
            line = f"calls {event.call.name}"
        case ToolEnded():
            line = f"{event.call.name} {'has ended' if event.status == 'completed' else event.status}"
        case ToolProgress():
            line = f"{event.call.name}: {_show_data(event.data)}"
        case StepStarted():
            line = f"step {event.path}"
        case StepEnded() if event.status != "completed":
            line = f"step {event.path}: {event.status}"
        case ApprovalAsked():
            line = f"waits for a person: {event.call.name}"
        case TextDelta():
            line = "writes"
    return line


def _show_data(data: Any) -> str:
    if isinstance(data, Mapping):
        message = data.get("message")
        done, total = data.get("progress"), data.get("total")
        counted = f"{done} of {total}" if total is not None else "" if done is None else f"{done}"
        if message or counted:
            return " ".join(str(each) for each in (counted, message) if each)[:_LONGEST]
    return str(data)[:_LONGEST]
