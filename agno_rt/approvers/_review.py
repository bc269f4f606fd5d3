"""Reviews a call that is about to ask a person: by standing approvals, then by the agent's hooks."""

from __future__ import annotations

import time

import attrs
import msgspec

from agno_rt._decide.grants import digest_tool, is_granted, normal_arguments
from agno_rt._decide.journal import Reviewed
from agno_rt._drive import call_hooks
from agno_rt._drive.job import Job
from agno_rt.events import ApprovalReviewed
from agno_rt.hooks import CallReview
from agno_rt.messages import ToolCall
from agno_rt.run_store import MOST_GRANTS, Approval, Grant, GrantStore
from agno_rt.tools import Tool

__all__ = ["review_call"]

BY_GRANT = "grant"


async def review_call(job: Job, tool: Tool, call: ToolCall, approval: Approval) -> Approval | None:
    """Return None for an approved call; else the approval, with the digest of the tool for later calls.

    A review by a hook is in the journal before the call: a resumed run does not ask the hook again, unless the tool or
    the arguments have changed. A standing approval is looked for each time, since it may be revoked.
    """
    approval = attrs.evolve(approval, definition=digest_tool(tool))
    if (grant := await _find_grant(job, call, approval)) is not None:
        await _note(job, call, Reviewed(_turn_of(job), call.id, True, BY_GRANT, grant=grant.id))
        return None
    if job.resolved.hooks is None or not job.resolved.hooks.review_call:
        return approval
    key = f"{approval.definition} {normal_arguments(call.arguments)}"
    replay = None if job.journal is None else job.journal.replay
    known = None if replay is None else replay.reviewed.get((_turn_of(job), call.id))
    if known is not None and known.key == key:
        return None if known.approved else approval
    asked = CallReview(call, tool, msgspec.json.decode(call.arguments or "{}"), approval.reason)
    found = await call_hooks.review_call(job, job.resolved.hooks, asked)
    if found is None:
        return approval
    name, review = found
    assert job.turns is not None, "the run has begun"
    noted = Reviewed(_turn_of(job), call.id, review.approved, name, review.reason, key=key, usage=job.turns.usage)
    await _note(job, call, noted)
    return None if review.approved else approval


async def _find_grant(job: Job, call: ToolCall, approval: Approval) -> Grant | None:
    """Return a standing approval for the call."""
    store = None if job.journal is None else job.journal.store
    if not isinstance(store, GrantStore):
        return None
    known = await store.grants(user=approval.user, unowned=approval.user is None, tool=call.name, limit=MOST_GRANTS)
    now = time.time()
    return next((grant for grant in known if is_granted(grant, call, approval, now)), None)


async def _note(job: Job, call: ToolCall, review: Reviewed) -> None:
    """Store the review in the journal, and send the event."""
    if job.journal is not None:
        await job.journal.reviewed(review)
    if job.emitter is not None:
        event = ApprovalReviewed(job.run_id, call, review.approved, review.by, review.reason, review.grant)
        await job.emitter.send(event)


def _turn_of(job: Job) -> int:
    assert job.turns is not None, "the run has begun"
    return job.turns.turn
