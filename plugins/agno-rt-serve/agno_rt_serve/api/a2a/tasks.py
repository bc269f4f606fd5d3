"""Stored runs as tasks: state, questions, artifacts and history, each read from the store."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from agno_rt import Usage
from agno_rt.events import RunEnded, Status
from agno_rt.run_store import Approval, Entry, RunRecord
from agno_rt.steps import read_steps
from agno_rt_serve.api.a2a.decisions import write_decision
from agno_rt_serve.api.a2a.messages import ask_approvals, last_of, read_question, write_message
from agno_rt_serve.api.a2a.shapes import A2AMessage, A2AStatus, A2ATask, State, write_time
from agno_rt_serve.api.a2a.stream import make_answer, state_of_end
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.openai.structured import is_typed
from agno_rt_serve.api.runs.approvals_within import list_approvals
from agno_rt_serve.api.site import Site

__all__ = ["Shown", "Tasks", "context_of"]


@attrs.frozen
class Shown:
    """The parts of a task to show: the last messages, all for `None`, and whether the artifacts."""

    history: int | None = None
    artifacts: bool = True


def context_of(record: RunRecord) -> str:
    """Return the context of a run: the session, or else the run itself."""
    return record.session or record.id


class Tasks:
    """Shows stored runs as tasks."""

    def __init__(self, site: Site, faults: Faults) -> None:
        self._site = site
        self._faults = faults

    async def render(self, record: RunRecord, entries: Sequence[Entry], shown: Shown) -> A2ATask:
        """Return the task."""
        approvals = [] if shown.history == 0 else await list_approvals(self._site.run_store(), record)
        history = None if shown.history == 0 else last_of(_list_messages(record, entries, approvals), shown.history)
        artifacts = None
        if shown.artifacts and record.status == "completed" and record.content:
            artifacts = [make_answer(record.content, typed=self.is_typed(record.agent))]
        return A2ATask(record.id, context_of(record), await self.read_status(record), artifacts, history)

    async def read_status(self, record: RunRecord) -> A2AStatus:
        """Return the status of the task: questions for a run that waits, a reason for a run that failed."""
        since, context = write_time(record.updated_at), context_of(record)
        state = state_of_end(record.status, record.code)
        if record.status in ("running", "paused"):
            pending = await self.load_pending(record)
            if record.status == "paused":
                state = _state_of_pause(record, pending)
            message = ask_approvals(pending, record.id, context) if pending else None
            return A2AStatus(state, message, since)
        if record.status in ("failed", "limited"):
            message = write_message(f"{record.id}-end", self._describe_end(record), record.id, context)
            return A2AStatus(state, message, since)
        return A2AStatus(state, None, since)

    async def load_pending(self, record: RunRecord) -> list[Approval]:
        """Return the open approvals of a run, and of the runs within."""
        return await list_approvals(self._site.run_store(), record, "pending")

    def is_typed(self, agent: str) -> bool:
        """Return whether the answers of the runnable have a type."""
        found = self._site.project.runnables.get(agent)
        return found is not None and is_typed(found)

    def _describe_end(self, record: RunRecord) -> str:
        status: Status = "limited" if record.status == "limited" else "failed"
        end = RunEnded(record.id, status, "", Usage(), record.error or "the run failed", record.code)
        told = self._faults.event(end, None)
        return (told.error if isinstance(told, RunEnded) else None) or "the run failed"


def _state_of_pause(record: RunRecord, pending: Sequence[Approval]) -> State:
    """Return the state of a paused run: a run that sleeps goes on by itself."""
    return "TASK_STATE_WORKING" if not pending and record.wakes_at is not None else "TASK_STATE_INPUT_REQUIRED"


def _list_messages(record: RunRecord, entries: Sequence[Entry], approvals: Sequence[Approval]) -> list[A2AMessage]:
    """Return the messages between client and agent in their order, without the answer, which is an artifact."""
    run, context = record.id, context_of(record)
    found: list[tuple[float, A2AMessage]] = []
    for step in read_steps(entries, run):
        if step.kind in ("begun", "received") and step.content:
            told = write_message(f"{run}-{step.seq}", step.content, run, context, by_user=True)
            found.append((step.at or record.created_at, told))
    for each in approvals:
        if each.status == "pending":
            continue  # the status has the question
        found.append((each.created_at, write_message(f"{each.id}-asked", read_question(each), run, context)))
        said = write_message(f"{each.id}-said", write_decision(each), run, context, by_user=True)
        found.append((each.decided_at or each.created_at, said))
    return [message for _, message in sorted(found, key=lambda each: each[0])]
