"""The journal of a stored run as steps that can be shown: what the model said, what its tools did, and when.

Pure: whoever has the entries of a run, from `RunStore.load_run`, reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from agno_rt._decide.journal import Answered, Begun, Called, Checked, Paused, Started, describe_entry, read_entry
from agno_rt.errors import BackendError
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.run_store import Entry, EntryKind

__all__ = ["Step", "read_steps"]


@attrs.frozen
class Step:
    """One step of a run.

    Attributes:
        seq: its number in the journal, from 0
        kind: `begun`, `answered` (by the model), `checked` (the output), `started` and `called` (a tool), `paused` or
            `ended`
        text: the step in a line
        at: when it was written, in seconds since the epoch; `None` where an older version wrote it
        turn: the turn that it is of
        content: what the model answered, or what it was told of a tool call
        reasoning: what the model thought
        tool_calls: what the model called
        call: the id of the tool call that began or ended
        name: the name of its tool
        status: how the call, or the run, ended
        usage: what the model used for its answer
        error: why the run has no answer; why the output was refused
        approvals: the ids of what the run waits for
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
    """Read the entries of a run's journal. One that is damaged says so in its text, and hides no other."""
    return [_read_step(each, run) for each in entries]


def _read_step(entry: Entry, run: str) -> Step:
    try:
        body = read_entry(entry, run)
        return Step(entry.seq, entry.kind, describe_entry(entry, run), body.at or None, **_describe(body))
    except BackendError as exc:
        return Step(entry.seq, entry.kind, f"damaged: {exc.message}")


def _describe(body: Any) -> dict[str, Any]:
    """Return the fields of a step that the body of its entry has."""
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
        case Paused():
            found = {"approvals": tuple(body.approvals)}
        case _:
            found = {"status": body.status, "error": body.error}
    return found
