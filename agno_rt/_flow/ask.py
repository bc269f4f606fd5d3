"""The questions of a flow to people. A question is an approval of kind `input`; the branch waits for the decision."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from agno_rt._decide.flow_journal import digest_of
from agno_rt._decide.flow_paths import Place
from agno_rt._drive.job import Job
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.scope import Scope
from agno_rt._flow.waits import Waits
from agno_rt._schema.describe import type_decoder, type_schema
from agno_rt.errors import Unanswered, UsageError
from agno_rt.messages import ToolCall
from agno_rt.run_store import ASK, Approval
from agno_rt.runnable import Ask

__all__ = ["Questions"]


class Questions:
    """The questions of one flow. `waiting` has the pending approvals, also of runs within."""

    __slots__ = ("_job", "_record", "_waits", "waiting")

    def __init__(self, job: Job[Any], record: FlowRecord, waits: Waits) -> None:
        self._job = job
        self._record = record
        self._waits = waits
        self.waiting: list[Approval] = []

    async def ask(self, scope: Scope, place: Place, question: Ask) -> Any:
        """Return the person's answer; without one, wait in this branch until the flow pauses. Raises `Unanswered`."""
        self._record.journal_for(f"the question {place.path}")
        what = f"the answer to {place.path}"
        answer = msgspec.defstruct("Answer", [("answer", question.type)], forbid_unknown_fields=True)
        schema = type_schema(answer, what=what, error=UsageError)
        digest = digest_of(question.question, schema)
        done = self._record.find(place, digest)
        if done is not None:
            return type_decoder(answer)(bytes(done.value)).answer
        if scope.overdue is not None:
            raise scope.overdue
        approval = self._record.decided.get((0, place.path))
        if approval is None:
            approval = self._make_approval(place, question, schema)
        if approval.status == "pending":
            await self.wait_with(scope, [approval])
        if approval.status != "answered":
            error = _unanswered_error(place, question, approval)
            await self._record.fail(place, digest, error, began=approval.created_at)
            raise error
        text = (approval.arguments or "null").encode()
        try:
            value = type_decoder(answer)(text).answer
        except msgspec.MsgspecError as exc:
            hint = "Fork the run before the question, and ask again."
            raise UsageError(f"{what} no longer fits its type: {exc}", hint=hint) from exc
        await self._record.end(place, digest, text, began=approval.created_at)
        return value

    async def wait_with(self, scope: Scope, approvals: Sequence[Approval]) -> None:
        """Wait in this branch, for the approvals, until the flow pauses."""
        self.waiting.extend(approvals)
        try:
            await self._waits.wait_for_person(scope)
        except BaseException:
            if not self._waits.is_paused:
                # The branch was cancelled by others: nobody has to answer any more.
                self.waiting[:] = [each for each in self.waiting if each not in approvals]
            raise

    def _make_approval(self, place: Place, question: Ask, schema: Any) -> Approval:
        now, job = time.time(), self._job
        # An id that follows from the run and the place: a question asked again after a crash is the same question.
        journal = self._record.journal_for("a question").id
        digest = hashlib.blake2b(f"{journal}/{place.path}".encode(), digest_size=4).hexdigest()
        return Approval(
            f"{job.run_id}.{digest}",
            job.run_id,
            ToolCall(place.path, ASK, msgspec.json.encode({"question": question.question}).decode()),
            "input",
            agent=job.agent,
            session=None if job.session is None else job.session.id,
            user=job.asked.user,
            schema=schema,
            reason=question.question,
            created_at=now,
            expires_at=None if question.expires is None else now + question.expires,
        )


def _unanswered_error(place: Place, question: Ask, approval: Approval) -> Unanswered:
    if approval.status == "expired":
        problem = f"{place.path} was not answered in time: {question.question}"
    else:
        problem = f"{place.path} was refused: {approval.reason or 'no reason was given'}"
    error = Unanswered(problem, path=place.path, hint="Catch Unanswered in the workflow to go on without an answer.")
    error.reason = approval.reason
    return error
