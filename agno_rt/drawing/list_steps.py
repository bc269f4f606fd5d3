"""Lists the steps of a stored run in the order of their beginnings, each with its path, kind, state and times. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from agno_rt._decide.journal import Answered, Called, StepBegun, StepEnded, read_entry
from agno_rt.drawing.step_tree import StepNode
from agno_rt.drawing.stored_run import StoredRun, guess_path
from agno_rt.errors import BackendError
from agno_rt.run_store import ASK, Approval

__all__ = ["StepRow", "list_steps"]


@attrs.frozen
class StepRow:
    """A step of a run: `path` names a workflow's step, `turn 1` an agent's answer, and `turn 1/call` a tool call.

    Attributes:
        kind: `step`, `run` (within), `question`, `signal`, `sleep`; `model` and `tool` in an agent's run
        state: `completed`, `failed`, `running`, `waiting`, `unfinished`, or the status of a tool call
        began: the time of the beginning in seconds since the epoch; None if unknown
        seconds: the duration; None for a step without an end
        entry: the number of the step's last entry in the journal; None for a step without one
        run: the id of the run within
    """

    path: str
    kind: str
    state: str
    began: float | None = None
    seconds: float | None = None
    entry: int | None = None
    run: str | None = None


def list_steps(run: StoredRun) -> list[StepRow]:
    """Return the steps. Damaged entries are left out."""
    rows: dict[str, StepRow] = {}
    questions = {each.call.id: each for each in run.approvals if each.call.name == ASK}
    last = run.record.created_at or None
    for entry in run.entries:
        try:
            body = read_entry(entry, run.record.id)
        except BackendError:
            continue
        if isinstance(body, StepBegun):
            kind = "sleep" if body.until else "step"
            rows[body.path] = StepRow(body.path, kind, _open_state(run, kind), body.at or None, None, entry.seq)
        elif isinstance(body, StepEnded):
            rows[body.path] = _end_step(body, entry.seq, rows.get(body.path), body.path in questions)
        elif isinstance(body, Answered):
            path = f"turn {body.turn}"
            rows[path] = StepRow(path, "model", "completed", last, _span(last, body.at), entry.seq)
            for call in body.tool_calls:
                path = f"turn {body.turn}/{call.id}"
                rows[path] = StepRow(path, "tool", _open_state(run, "tool"), body.at or None, None, entry.seq)
        elif isinstance(body, Called):
            path = f"turn {body.turn}/{body.call}"
            began = rows[path].began if path in rows else None
            rows[path] = StepRow(path, "tool", body.status, began, _span(began, body.at), entry.seq)
        last = body.at or last
    for row in (*_list_questions(questions), *_list_open_runs(run, rows)):
        rows.setdefault(row.path, row)
    return sorted(rows.values(), key=lambda row: row.began or 0.0)


def _end_step(body: StepEnded, entry: int, begun: StepRow | None, is_question: bool) -> StepRow:
    kind = "step" if begun is None else begun.kind
    if body.run is not None:
        kind = "run"
    elif is_question:
        kind = "question"
    elif body.signal:
        kind = "signal"
    times = [each for each in (body.began, None if begun is None else begun.began) if each]
    began = min(times, default=None)
    state = "failed" if body.error else "completed"
    return StepRow(body.path, kind, state, began, _span(began, body.at), entry, body.run)


def _list_questions(questions: dict[str, Approval]) -> Iterator[StepRow]:
    for path, asked in questions.items():
        state = "waiting" if asked.status == "pending" else asked.status
        yield StepRow(path, "question", state, asked.created_at or None)


def _list_open_runs(run: StoredRun, rows: dict[str, StepRow]) -> Iterator[StepRow]:
    """Yield the runs within that have no end in the journal of the workflow."""
    ended, root = {row.run for row in rows.values()}, StepNode("")
    for path in rows:
        root.add(path)
    for child in run.within:
        if child.record.id not in ended:
            path = guess_path(run.record.id, child.record, root)
            yield StepRow(path, "run", child.state, child.record.created_at or None, None, None, child.record.id)


def _open_state(run: StoredRun, kind: str) -> str:
    if run.state == "running":
        return "running"
    return "waiting" if run.state == "paused" and kind != "step" else "unfinished"


def _span(began: float | None, ended: float) -> float | None:
    return max(0.0, ended - began) if began and ended else None
