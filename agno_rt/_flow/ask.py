"""The questions of a flow to people. A question is an approval of kind `input`; the branch waits for the decision."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio

from agno_rt._decide.flow_journal import digest_of
from agno_rt._decide.flow_paths import Place
from agno_rt._drive.inbox import drop_approvals
from agno_rt._drive.job import NO_SIGNALS, Job
from agno_rt._drive.news import signal_topic
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.scope import Scope
from agno_rt._flow.waits import LOOK_SECONDS, Wait, Waits
from agno_rt._schema.describe import type_decoder, type_schema
from agno_rt.errors import JournalMismatch, Unanswered, UsageError
from agno_rt.events import ApprovalAsked
from agno_rt.messages import ToolCall
from agno_rt.run_store import ASK, MOST_APPROVALS, Approval, SignalStore, WithdrawStore, unknown_approval
from agno_rt.runnable import Ask

__all__ = ["Questions"]


class Questions:
    """The questions of one flow.

    `waiting` has the pending approvals, also of runs within, and `announced` the ids of those with an event. `signals`
    has the number of signals seen by each run within that waits for more.
    """

    __slots__ = ("_job", "_looked", "_looking", "_record", "_waits", "announced", "signals", "waiting")

    def __init__(self, job: Job[Any], record: FlowRecord, waits: Waits) -> None:
        self._job = job
        self._record = record
        self._waits = waits
        self.announced: set[str] = set()
        self._looking: trio.Lock | None = None
        # The approvals by run, each with the time of the look.
        self._looked: dict[str, tuple[float, Mapping[str, Approval]]] = {}
        self.waiting: list[Approval] = []
        self.signals: list[tuple[str, int]] = []

    async def ask(self, scope: Scope, place: Place, question: Ask) -> Any:
        """Return the person's answer; without one, wait in this branch until the flow pauses.

        Raises `Unanswered`, and `JournalMismatch` for another question than before.
        """
        journal = self._record.journal_for(f"the question {place.path}")
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
            await trio.lowlevel.checkpoint_if_cancelled()  # careless code goes on in a flow that pauses
            approval = self._make_approval(place, question, schema)
            # People may decide from now on, while other branches go on.
            try:
                await journal.ask(approval)
            except BaseException:
                if not self._waits.is_paused:
                    # Cancelled while it is written: the question may be there already.
                    drop_approvals(self._job, [approval])
                raise
        _check_question(place, question, approval)
        if _is_withdrawn(approval, question):
            # The branch is taken again after a restart, and is about to be cancelled again.
            await self._waits.wait(scope, Wait(asks=True))
        if approval.status == "pending":
            approval = await self._wait_for_decision(scope, approval)
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

    async def _wait_for_decision(self, scope: Scope, approval: Approval) -> Approval:
        if self._record.keeps_questions:
            self.announce(approval)
        decided: Approval | None = None
        while decided is None:
            await self.wait_with(scope, [approval])
            found = self._looked[approval.run][1].get(approval.id)
            if found is None:
                raise unknown_approval(approval.id)
            decided = None if found.status == "pending" else found
        self._record.note_decision(decided)
        return decided

    async def wait_with(
        self,
        scope: Scope,
        approvals: Sequence[Approval],
        until: float | None = None,
        signals: Mapping[str, int] = NO_SIGNALS,
    ) -> None:
        """Wait in this branch until one of the approvals is decided or has expired, or until a time, or a signal.

        If the flow pauses before, its approvals in `waiting` are those to decide.
        """
        self.waiting.extend(approvals)
        self.signals.extend(signals.items())
        try:
            if not self._record.keeps_questions:
                await self._waits.wait(scope, Wait(asks=True, until=until))
            else:
                while not await self._look_later(scope, approvals, until, signals):
                    pass
            await scope.retake_share()
        except BaseException:
            if not self._waits.is_paused:
                # The branch was cancelled by others: nobody has to answer any more.
                self._forget(approvals, signals)
                drop_approvals(self._job, approvals)
            raise
        self._forget(approvals, signals)

    async def _look_later(
        self, scope: Scope, approvals: Sequence[Approval], until: float | None, signals: Mapping[str, int]
    ) -> bool:
        """Wait a little, and return whether the wait for a decision is over."""
        began, now = trio.current_time(), time.time()
        ends = [each for each in (until, *(approval.expires_at for approval in approvals)) if each is not None]
        # A time that has passed does not end the wait again: by the store's clock, it may be still to come.
        end = min((each for each in ends if each > now), default=None)
        topics = [*(approval.id for approval in approvals), *map(signal_topic, signals)]
        await self._waits.wait(scope, Wait(asks=True, until=end, most=LOOK_SECONDS, topics=topics))
        is_fresh = trio.current_time() - began < LOOK_SECONDS  # woken by news, or at an end
        is_decided = await self._look(approvals, is_fresh=is_fresh)
        return is_decided or (until is not None and time.time() >= until) or await self.has_signal(signals)

    async def has_signal(self, signals: Mapping[str, int]) -> bool:
        """Return whether one of the runs has more signals than so many."""
        for run, seen in signals.items():
            store = self._record.journal_for("a signal").store
            if isinstance(store, SignalStore) and await store.signals(run, after=seen):
                return True
        return False

    async def withdraw(self) -> None:
        """Withdraw the approvals of cancelled branches, once a group with such branches has ended well.

        Not while a failure ends the run: a resumed run takes these branches again. A store that cannot withdraw them
        now does at the run's end.
        """
        inbox = self._job.inbox
        if inbox is None or not inbox.dropped or not self._record.is_stored:
            return
        dropped, inbox.dropped = inbox.dropped, []
        store = self._record.journal_for("a question").store
        if isinstance(store, WithdrawStore):
            await store.withdraw_approvals(dropped)

    def _forget(self, approvals: Sequence[Approval], signals: Mapping[str, int]) -> None:
        # One of each: two branches may wait for the same run.
        for approval in approvals:
            self.waiting.remove(approval)
        for each in signals.items():
            self.signals.remove(each)

    async def _look(self, approvals: Sequence[Approval], *, is_fresh: bool) -> bool:
        """Return whether one of the approvals is not pending, by the store, or by what another branch just saw."""
        found: dict[str, Approval] = {}
        if self._looking is None:
            self._looking = trio.Lock()
        for run in dict.fromkeys(each.run for each in approvals):
            async with self._looking:
                at, known = self._looked.get(run, (float("-inf"), {}))
                if is_fresh or trio.current_time() - at >= LOOK_SECONDS / 2:
                    store = self._record.journal_for("a question").store
                    known = {each.id: each for each in await store.approvals(run=run, limit=MOST_APPROVALS)}
                    self._looked[run] = trio.current_time(), known
            found.update(known)
        return any(each.id not in found or found[each.id].status != "pending" for each in approvals)

    def announce(self, approval: Approval) -> None:
        """Send the event of a question of this run, once."""
        if approval.run == self._job.run_id and approval.id not in self.announced:
            self.announced.add(approval.id)
            if self._job.emitter is not None:
                event = ApprovalAsked(approval.run, approval.id, approval.call, approval.kind, approval.reason)
                self._job.emitter.post(event)

    def _make_approval(self, place: Place, question: Ask, schema: Any) -> Approval:
        now, job = time.time(), self._job
        # An id that follows from the journal and the place: a question asked again after a crash is the same question.
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


def _check_question(place: Place, question: Ask, approval: Approval) -> None:
    """Raise `JournalMismatch` if the person was asked another question at the place: the answer is not for this one."""
    known = msgspec.json.decode(approval.call.arguments).get("question")
    if known != question.question:
        problem = f"{place.path} asks {question.question!r}, and a person was asked {known!r} there"
        hint = (
            "Fork the run to ask the new question; or ask the old one in runs that began with the old code, "
            "by @workflow(version=2) and `flow.version`. A question must be the same each time: take times and random "
            "numbers from the flow."
        )
        raise JournalMismatch(problem, path=place.path, hint=hint)


def _is_withdrawn(approval: Approval, question: Ask) -> bool:
    """Return whether the approval has expired before its time."""
    if approval.status != "expired" or approval.expires_at is None:
        return False
    return question.expires is None or approval.expires_at < approval.created_at + question.expires


def _unanswered_error(place: Place, question: Ask, approval: Approval) -> Unanswered:
    if approval.status == "expired":
        problem = f"{place.path} was not answered in time: {question.question}"
    else:
        problem = f"{place.path} was refused: {approval.reason or 'no reason was given'}"
    error = Unanswered(problem, path=place.path, hint="Catch Unanswered in the workflow to go on without an answer.")
    error.reason = approval.reason
    return error
