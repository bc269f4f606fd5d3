"""The approvals of a run together with those of the runs within, for protocols that know one run with its questions."""

from __future__ import annotations

from agno_rt.run_store import MOST_APPROVALS, Approval, ApprovalStatus, RunRecord, RunStore

__all__ = ["MOST_WITHIN", "list_approvals"]

MOST_WITHIN = 1_000
"""The most runs within to look at."""


async def list_approvals(store: RunStore, record: RunRecord, status: ApprovalStatus | None = None) -> list[Approval]:
    """Return the approvals of the run, then those of the runs within; with `status`, those of the status alone."""
    found: list[Approval] = []
    known, level = {record.id}, [record.id]
    while level:
        for run in level:
            found += await store.approvals(run=run, status=status, limit=MOST_APPROVALS)
        level = [
            each.id
            for each in await store.runs_within(level)
            if each.user == record.user
            and each.id not in known
            # Runs that are over have no open approvals.
            and (status != "pending" or each.status in ("paused", "running"))
        ][: MOST_WITHIN - len(known)]
        known.update(level)
    return found
