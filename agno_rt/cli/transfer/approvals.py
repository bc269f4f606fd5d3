"""Approvals as JSON lines: exported with their decisions, imported as decisions on approvals that are there.

An approval belongs to its run, and moves to another store with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast

import msgspec

from agno_rt.cli.transfer.base import Outcome, Skipped, Store, check_owner
from agno_rt.cli.transfer.lines import FORMAT, Line, encode_line
from agno_rt.errors import UsageError
from agno_rt.names import check_name
from agno_rt.run_store import MOST_APPROVALS, Approval, Decision

__all__ = ["ApprovalLine", "ApprovalTransfer"]


class ApprovalLine(Line, kw_only=True):
    """An approval. To decide it, set the status to approved, denied or answered, with `arguments`, `reason` or `by`."""

    approval: Approval

    def check(self) -> None:
        """Raise `UsageError` for names that cannot be stored, and for a denial without a reason."""
        check_name("the approval's id", self.approval.id)
        if self.approval.status == "denied" and not self.approval.reason:
            raise UsageError("the denial has no reason", hint="Say why, in `reason`: the model reads it.")
        if self.approval.arguments is not None:
            try:
                msgspec.json.decode(self.approval.arguments)
            except msgspec.MsgspecError as exc:
                hint = "Write JSON within the text."
                raise UsageError(f"the approval's arguments are not JSON: {exc}", hint=hint) from exc


class ApprovalTransfer:
    """Moves approvals and decisions, see `Transfer`. Its store is the runtime, which checks decisions."""

    kind = "approval"
    line = ApprovalLine

    async def find(self, store: Store, ids: Sequence[str], user: str | None) -> list[Approval]:
        """Return the approvals themselves, as they are small."""
        from agno_rt.cli.open_memory import MANY, match_id, run_store

        found = {each.id: each for each in await run_store(store).approvals(user=user, limit=MANY)}
        wanted = dict.fromkeys(match_id("approval", each, found) for each in ids) if ids else found
        return [found[each] for each in wanted]

    async def export(self, store: Store, key: Approval, write: Callable[[bytes], object]) -> bool:
        """Write an approval."""
        write(encode_line(ApprovalLine(format=FORMAT, kind=self.kind, approval=key)))
        return True

    async def load(self, store: Store, line: ApprovalLine, user: str | None) -> Outcome:
        """Store the decision of an approval that is pending here. Values are checked as by `agno-rt approvals`."""
        from agno_rt.cli.open_memory import run_store
        from agno_rt.cli.run_agent.conversation import decide

        given = line.approval
        check_owner(given.user, user)
        known = await run_store(store).approvals(run=given.run, limit=MOST_APPROVALS)
        there = next((each for each in known if each.id == given.id), None)
        if there is None or there.call != given.call or (user is not None and there.user != user):
            hint = "Import its run, which brings it: agno-rt runs import FILE."
            raise Skipped(f"there is no approval {given.id!r} of run {given.run!r}", hint=hint)
        if given.status in ("pending", "expired") or _is_decided_so(there, given):
            return "same"
        if given.status == "denied" and there.status == "pending" and given.reason == there.reason:
            raise Skipped("the denial has no reason of its own", hint="Say why, in `reason`: the model reads it.")
        try:
            await decide(store, given.id, _find_decision(given), user)
        except UsageError as exc:
            raise Skipped(exc.message, hint=exc.hint) from exc
        return "stored"


def _is_decided_so(there: Approval, given: Approval) -> bool:
    """Tell whether the approval has the status and the values of the line. Who decided, and why, does not count."""
    return there.status == given.status and _read_values(there) == _read_values(given)


def _read_values(approval: Approval) -> object:
    values = msgspec.json.decode(approval.arguments or "null")
    # A bare answer to a workflow's question is stored as an object.
    return values["answer"] if isinstance(values, dict) and values.keys() == {"answer"} else values


def _find_decision(approval: Approval) -> Decision:
    status = cast("Literal['approved', 'denied', 'answered']", approval.status)
    return Decision(status, approval.arguments, approval.reason, approval.by)
