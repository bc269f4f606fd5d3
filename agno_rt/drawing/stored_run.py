"""Reads the picture of a run from the run's journal: the turns and tool calls of an agent, the steps of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._decide.flow_journal import child_id
from agno_rt._decide.journal import Answered, Called, Checked, Ended, Paused, Started, StepBegun, StepEnded, read_entry
from agno_rt.drawing.step_tree import StepNode
from agno_rt.errors import BackendError
from agno_rt.messages import ToolCall
from agno_rt.run_store import ASK, Approval, Entry, RunRecord
from agno_rt.runnable import Drawing

__all__ = ["StoredRun", "draw_stored_run", "guess_path"]

_GUESSES = 100
"""The most branches of a group, and uses of a name, in which a run is looked for."""


@attrs.frozen
class StoredRun:
    """A run as stored, with the runs `within`. `is_gone`: the process of the run ended before the run."""

    record: RunRecord
    entries: Sequence[Entry]
    approvals: Sequence[Approval] = ()
    within: Sequence[StoredRun] = ()
    is_gone: bool = False

    @property
    def state(self) -> str:
        """The state of the run in a picture."""
        return "unfinished" if self.is_gone else self.record.status


def draw_stored_run(run: StoredRun) -> Drawing:
    """Return the picture of the run, with times and states. A damaged entry is a box of its own, and hides no other."""
    bodies, damaged = [], []
    for entry in run.entries:
        try:
            bodies.append(read_entry(entry, run.record.id))
        except BackendError:
            damaged.append(Drawing(f"entry {entry.seq}", "damaged", state="failed"))
    if any(isinstance(body, Answered) for body in bodies):
        kind, parts = "agent", _draw_turns(run, bodies)
    else:
        kind, parts = "run", _draw_steps(run, bodies)
    if kind == "agent" and len(parts) == 1 and parts[0].kind == "model":
        parts = []  # the box of the agent says it all
    ends = [body.at for body in bodies if isinstance(body, Ended) and body.at]
    is_over = run.state not in ("running", "paused", "unfinished")
    ended = (ends[-1] if ends else run.record.updated_at or None) if is_over else None
    notes = [run.record.error] if run.record.error else []
    began = run.record.created_at or None
    name = run.record.agent or "run"
    return Drawing(name, kind, notes, [*parts, *damaged], state=run.state, began=began, ended=ended)


def _draw_turns(run: StoredRun, bodies: Sequence[Any]) -> list[Drawing]:
    """Return the turns of an agent: each an answer of the model, then the calls of tools, then checks of answers."""
    called = {(body.turn, body.call): body for body in bodies if isinstance(body, Called)}
    starts = {(body.turn, body.call): body.at for body in bodies if isinstance(body, Started)}
    left = list(run.within)
    parts: list[Drawing] = []
    last = 0.0
    for body in bodies:
        if isinstance(body, Answered):
            parts.append(Drawing(f"turn {body.turn}", "model", state="completed", began=last or None, ended=body.at))
            calls = []
            for call in body.tool_calls:
                key = (body.turn, call.id)
                asked = next((each for each in run.approvals if (each.turn, each.call.id) == key), None)
                calls.append(_draw_call(run, call, asked, called.get(key), starts.get(key, body.at)))
            calls = [_take_within(call, left) for call in calls]
            parts += calls if len(calls) < 2 else [Drawing(form="parallel", parts=calls)]
        elif isinstance(body, Checked):
            notes = [body.reason] if body.reason else []
            state = "failed" if notes else "completed"
            parts.append(Drawing("check", "output", notes, state=state, began=last or None, ended=body.at))
        last = _find_resumption(run, body) if isinstance(body, Paused | Ended) else body.at
    return [*parts, *map(draw_stored_run, left)]


def _find_resumption(run: StoredRun, body: Paused | Ended) -> float:
    """Return the time at which a run went on after a pause: of the last decision; 0 if unknown."""
    asked = body.approvals if isinstance(body, Paused) else []
    return max((each.decided_at or 0.0 for each in run.approvals if each.id in asked), default=0.0)


def _draw_call(run: StoredRun, call: ToolCall, asked: Approval | None, done: Called | None, began: float) -> Drawing:
    """Return a call of a tool, behind the question to a person if there was one."""
    question = None
    if asked is not None:
        question = _draw_question(asked, f"may {call.name} run?" if asked.kind == "approval" else call.name)
        began = max(began, asked.decided_at or 0.0)
    if done is None and asked is not None and asked.status == "pending":
        tool = Drawing(call.name, "tool")
    elif done is None:
        tool = Drawing(call.name, "tool", state=_open_state(run), began=began)
    else:
        tool = Drawing(call.name, "tool", state=done.status, began=min(began, done.at), ended=done.at)
    return tool if question is None else Drawing(parts=[question, tool])


def _take_within(call: Drawing, left: list[StoredRun]) -> Drawing:
    """Move the runs that began during the call from `left` into the call."""
    tool = call.parts[-1] if call.parts else call
    if tool.began is None:
        return call
    ended = float("inf") if tool.ended is None else tool.ended
    own = [each for each in left if tool.began <= each.record.created_at <= ended]
    if not own:
        return call
    left[:] = [each for each in left if each not in own]
    tool = attrs.evolve(tool, parts=list(map(draw_stored_run, own)))
    return attrs.evolve(call, parts=[*call.parts[:-1], tool]) if call.parts else tool


def _draw_question(asked: Approval, name: str) -> Drawing:
    notes = [asked.reason] if asked.reason else []
    state = "waiting" if asked.status == "pending" else asked.status
    return Drawing(name, "question", notes, state=state, began=asked.created_at or None, ended=asked.decided_at)


def _open_state(run: StoredRun) -> str:
    """Return the state of a part that began and has no end in the journal."""
    return "running" if run.state == "running" else "unfinished"


def _draw_steps(run: StoredRun, bodies: Sequence[Any]) -> list[Drawing]:
    """Return the steps of a workflow by their places; groups have their branches side by side."""
    root = StepNode("")
    begun: dict[str, StepBegun] = {}
    ended: dict[str, StepEnded] = {}
    for body in bodies:
        # Times, random numbers, ids and marks have no digest; they are not worth a box.
        if isinstance(body, StepBegun | StepEnded) and body.digest:
            (begun if isinstance(body, StepBegun) else ended)[body.path] = body  # type: ignore[assignment]
            root.add(body.path, body.trail)
    questions = {each.call.id: each for each in run.approvals if each.call.name == ASK}
    for path in questions:
        root.add(path)
    within = {each.record.id: each for each in run.within}
    runs = {path: within.pop(body.run) for path, body in ended.items() if body.run in within}
    for child in within.values():
        path = guess_path(run.record.id, child.record, root)
        runs[path] = child
        root.add(path)

    def draw_step(path: str, name: str) -> Drawing:
        drawing = _draw_step(run, begun.get(path), ended.get(path), name)
        if path in questions:
            drawing = _draw_asking(drawing, questions[path])
        if path in runs:
            drawing = _draw_run_within(drawing, runs[path])
        return drawing

    return root.draw_places(draw_step)


def _draw_step(run: StoredRun, begun: StepBegun | None, ended: StepEnded | None, name: str) -> Drawing:
    kind = "sleep" if begun is not None and begun.until else "step"
    if ended is not None:
        began = min(filter(None, (ended.began, None if begun is None else begun.at)), default=None)
        notes = [ended.error.message] if ended.error else []
        state = "failed" if ended.error else "completed"
        return Drawing(name, "run" if ended.run else kind, notes, state=state, began=began, ended=ended.at or None)
    state = "waiting" if kind == "sleep" and run.state == "paused" else _open_state(run)
    return Drawing(name, kind, state=state, began=None if begun is None else begun.at or None)


def _draw_asking(drawing: Drawing, asked: Approval) -> Drawing:
    """Return the step as a question: the answer comes from a person, and counts before the run goes on."""
    question = _draw_question(asked, drawing.name)
    try:
        # The decision may have replaced the reason; the question itself stays in the call.
        text = msgspec.json.decode(asked.call.arguments, type=dict[str, str]).get("question", "")
    except msgspec.MsgspecError:
        text = asked.reason
    question = attrs.evolve(question, notes=[text] if text else [])
    return attrs.evolve(question, state=drawing.state) if drawing.state == "failed" else question


def _draw_run_within(drawing: Drawing, child: StoredRun) -> Drawing:
    """Return the step with the parts of its run. The step's own end counts, if the step has one."""
    whole = draw_stored_run(child)
    return attrs.evolve(
        whole,
        name=drawing.name,
        notes=drawing.notes or whole.notes,
        state=drawing.state if drawing.ended is not None else whole.state,
        ended=whole.ended or drawing.ended,
    )


def guess_path(run: str, child: RunRecord, root: StepNode) -> str:
    """Return the path of a run that has not ended: ids follow from paths, so likely paths are tried."""
    for scope in _list_scopes(root):
        for number in range(1, _GUESSES):
            path = f"{scope}{child.agent}#{number}"
            if child_id(run, path) == child.id:
                return path
    return child.agent


def _list_scopes(root: StepNode) -> Iterator[str]:
    """Yield the beginnings of paths: the workflow's, each known branch's, and those of numbered branches."""
    yield ""
    for group in root.list_groups():
        branches = dict.fromkeys([*group.parts, *map(str, range(_GUESSES))])
        yield from (f"{group.path}/{branch}/" for branch in branches)
