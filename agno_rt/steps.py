"""The journal of a stored run as steps to show: the model's answers, the tools' results, and the times.

Pure: pass the entries of a run, from `RunStore.load_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from agno_rt._decide.journal import (
    Answered,
    Begun,
    Called,
    Checked,
    Paused,
    Received,
    Started,
    StepBegun,
    StepEnded,
    describe_entry,
    read_entry,
)
from agno_rt.errors import BackendError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.run_store import Entry, EntryKind

__all__ = ["Step", "read_steps"]


@attrs.frozen
class Step:
    """One step of a run.

    Attributes:
        seq: the number in the journal, from 0
        kind: `begun`, `answered` (by the model), `checked` (the output), `started` and `called` (a tool), `received`
            (a message to the run), `paused`, `step_begun` and `step_ended` (a workflow's step), or `ended`
        text: the step in a line
        at: the time of writing, in seconds since the epoch; `None` in journals of older versions
        turn: the turn of the step
        content: the model's answer, the result of a tool call as told to the model, or the message to the run
        reasoning: the model's thinking
        tool_calls: the model's tool calls
        call: the id of the tool call that began or ended
        name: the name of its tool, or the path of a workflow's step
        status: the outcome of the call or of the run
        usage: the model's usage for its answer
        error: the reason why the run has no answer, or why the output was refused
        approvals: the ids of the approvals that the run waits for
    """

    seq: int
    kind: EntryKind
    text: str
    at: float | None = None
    turn: int | None = None
    content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    call: str | None = None
    name: str | None = None
    status: str | None = None
    usage: Usage | None = None
    error: str | None = None
    approvals: tuple[str, ...] = ()


def read_steps(entries: Sequence[Entry], run: str = "") -> list[Step]:
    """Read the entries of a run's journal. A damaged entry says so in its step's text, and hides no other."""
    return [_read_step(each, run) for each in entries]


def _read_step(entry: Entry, run: str) -> Step:
    try:
        body = read_entry(entry, run)
        return Step(entry.seq, entry.kind, describe_entry(entry, run), body.at or None, **_read_fields(body))
    except BackendError as exc:
        return Step(entry.seq, entry.kind, f"damaged: {exc.message}")


def _read_fields(body: Any) -> dict[str, Any]:
    """Return the fields of a step that the entry's body has."""
    found: dict[str, Any]
    match body:
        case Begun():
            found = {"content": next((each.text for each in reversed(body.input) if each.role == "user"), "")}
        case Answered():
            found = {name: getattr(body, name) for name in ("turn", "content", "reasoning", "tool_calls")}
            found["usage"] = body.own
        case Called():
            found = {name: getattr(body, name) for name in ("turn", "call", "name", "status")}
            found["content"] = Message("tool", body.content).text
        case Started():
            found = {"turn": body.turn, "call": body.call}
        case Checked():
            found = {"error": body.reason}
        case StepBegun():
            found = {"name": body.path}
        case StepEnded():
            error = None if body.error is None else body.error.message
            found = {"name": body.path, "status": "failed" if body.error else "completed", "error": error}
            found["usage"] = body.usage
        case Received():
            found = {"content": "\n".join(message.text for message in body.messages)}
        case Paused():
            found = {"approvals": tuple(body.approvals)}
        case _:
            found = {"status": body.status, "error": body.error}
    return found
