"""The paused run of a thread: which interrupts are open, and the client's answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from agno_rt import Runnable
from agno_rt.errors import NotFound
from agno_rt.run_store import Approval, ApprovalConflict, RunRecord, RunStore
from agno_rt_serve.api.ag_ui.asked import ResumeEntry
from agno_rt_serve.api.ag_ui.interrupts import Choice, read_choice
from agno_rt_serve.api.runs.approvals_within import list_approvals
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import Reach, caller_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope

__all__ = ["PausedRun", "Thread"]


@attrs.frozen
class PausedRun:
    """A paused run, with its approvals and those of the runs within."""

    record: RunRecord
    approvals: Sequence[Approval]

    @property
    def open(self) -> list[str]:
        """The interrupts that an answer has to address: the open approvals, or the run that waits for no person."""
        pending = [each.id for each in self.approvals if each.status == "pending"]
        return pending or ([] if self.approvals else [self.record.id])


@attrs.frozen
class Thread:
    """The runs of a runnable in a session, as far as they are within reach of the request."""

    site: Site
    runnable: Runnable
    session: str | None
    reach: Reach

    async def find_paused(self) -> PausedRun | None:
        """Return the thread's paused run, the last one if there are several."""
        memory = self.site.runtime.memory
        if not isinstance(memory, RunStore) or self.session is None:
            return None
        records = await memory.runs(
            status="paused", session=self.session, user=self.reach.user, unowned=self.reach.unowned, limit=20
        )
        own = [each for each in records if each.agent == self.runnable.name and each.parent is None]
        return None if not own else PausedRun(own[0], await list_approvals(memory, own[0]))

    async def find_answered(self, entries: Sequence[ResumeEntry]) -> PausedRun:
        """Return the run that the entries answer. Raises `HttpError` 404 for an unknown interrupt, and for several."""
        store = self.site.run_store()
        found: dict[str, RunRecord] = {}
        for entry in entries:
            record = await self._find_root(store, entry.interrupt_id)
            found[record.id] = record
        if len(found) != 1:
            raise HttpError(409, "invalid_resume", "the answers are for several runs", "Resume one run at a time.")
        (record,) = found.values()
        return PausedRun(record, await list_approvals(store, record))

    async def _find_root(self, store: RunStore, interrupt: str) -> RunRecord:
        """Return the outermost run that waits for the interrupt, which is an approval or the run itself."""
        try:
            try:
                run = (await self.site.runtime.approval(interrupt)).run
            except NotFound:
                run = interrupt
            record, _ = await store.load_run(run)
            while record.parent is not None:
                record, _ = await store.load_run(record.parent)
        except NotFound as exc:
            raise _unknown_interrupt(interrupt) from exc
        is_own = record.session == self.session and record.agent == self.runnable.name
        if not is_own or not self.reach.has(record.user):
            raise _unknown_interrupt(interrupt)
        return record

    async def decide(self, scope: Scope, paused: PausedRun, entries: Sequence[ResumeEntry]) -> None:
        """Take the decisions. An entry that was taken before, with the same answer, changes nothing.

        Raises `HttpError` for entries that leave an interrupt open, or that do not fit; nothing is decided then.
        """
        by_id = {each.id: each for each in paused.approvals}
        addressed = {each.interrupt_id for each in entries}
        if left := [each for each in paused.open if each not in addressed]:
            hint = "Answer all interrupts of the run in one `resume`; `cancelled` denies one."
            raise HttpError(409, "interrupts_open", f"no answer to the interrupts {', '.join(left)}", hint)
        choices = self._read_choices(by_id, entries)
        if not choices:
            return
        # A question of a run within is about the agent within, as over the server's own routes.
        for name in {self.runnable.name, *(approval.agent for approval, _ in choices)}:
            self.site.check(scope, "decide", name)
        caller = caller_of(scope)
        by = None if caller.scopes.for_users else caller.user
        for approval, choice in choices:
            await self._take(approval, choice, by)
            caller.note("approval_decided", approval=approval.id, run=approval.run, decision=choice.verb, by=by)

    def _read_choices(
        self, by_id: Mapping[str, Approval], entries: Sequence[ResumeEntry]
    ) -> list[tuple[Approval, Choice]]:
        """Return the choices that are still to be taken."""
        choices = []
        for entry in entries:
            if (approval := by_id.get(entry.interrupt_id)) is None:
                continue  # the run itself, which waits for no person
            choice = read_choice(entry, approval)
            if approval.status == "expired" and entry.status == "cancelled":
                continue
            if approval.status != "pending" and not choice.was_made(approval):
                hint = "Send `cancelled` for an expired interrupt." if approval.status == "expired" else ""
                raise HttpError(409, "approval_conflict", f"the interrupt {approval.id} is {approval.status}", hint)
            if approval.status == "pending":
                choices.append((approval, choice))
        return choices

    async def _take(self, approval: Approval, choice: Choice, by: str | None) -> None:
        runtime = self.site.runtime
        try:
            if choice.verb == "approve":
                await runtime.approve(approval.id, choice.value, by=by)
            elif choice.verb == "deny":
                await runtime.deny(approval.id, choice.reason, by=by)
            else:
                await runtime.answer(approval.id, choice.value, by=by)
        except ApprovalConflict as exc:
            # Another request was faster: the same answer, sent twice at once, does not conflict.
            if not choice.was_made(await runtime.approval(approval.id)):
                raise HttpError(409, exc.code, exc.message, exc.hint) from exc


def _unknown_interrupt(interrupt: str) -> HttpError:
    hint = "Send the id of an interrupt of this thread's last run."
    return HttpError(404, "unknown_interrupt", f"this thread has no interrupt {interrupt!r}", hint)
