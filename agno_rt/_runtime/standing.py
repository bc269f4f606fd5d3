"""Grants and revokes standing approvals in the store of a runtime."""

from __future__ import annotations

import sys
import time
from typing import Any

import attrs

from agno_rt._decide.grants import make_grant
from agno_rt._drive.ids import new_id
from agno_rt._runtime.run_values import encode_value
from agno_rt._runtime.stored_runs import StoredRuns
from agno_rt.errors import UsageError
from agno_rt.run_store import (
    MOST_GRANTS,
    Approval,
    Grant,
    GrantStore,
    RunStore,
    Standing,
    too_many_grants,
    unknown_grant,
)

__all__ = ["approve_standing", "grant_store", "revoke_grant"]


def grant_store(store: RunStore) -> GrantStore:
    """Return the store as a `GrantStore`. Raises `UsageError`."""
    if isinstance(store, GrantStore):
        return store
    hint = "Use one that does, such as 'sqlite:///agents.db'."
    raise UsageError(f"standing approvals need a GrantStore; {type(store).__name__} is not one", hint=hint)


async def approve_standing(
    stored: StoredRuns, approval: str, standing: Standing, arguments: Any, *, by: str | None, user: str | None
) -> Approval:
    """Approve the call, and then store the standing approval.

    A refused decision grants nothing, and a user with too many grants approves nothing. If the program ends in between,
    the call alone is approved. Raises as `Runtime.approve`.
    """
    store = grant_store(stored.store)
    found = await stored.approval(approval, user)
    text = encode_value(arguments, needed=False)
    grant = make_grant(found, standing, text, by, new_id())
    await _check_room(store, grant)
    decided = await stored.decide(approval, "approved", arguments, by=by, user=user)
    now = time.time()
    ends = None if standing.seconds is None else now + standing.seconds
    await store.add_grant(attrs.evolve(grant, created_at=now, expires_at=ends))
    return decided


async def _check_room(store: GrantStore, grant: Grant) -> None:
    """Raise `UsageError` for a user with `MOST_GRANTS` for the tool: the decision could not be taken back."""
    same = await store.grants(user=grant.user, unowned=grant.user is None, tool=grant.tool, limit=MOST_GRANTS)
    if len(same) >= MOST_GRANTS:
        raise too_many_grants(grant)


async def revoke_grant(store: RunStore, grant: str, user: str | None) -> Grant:
    """Forget the grant, and return the grant. Raises `NotFound`."""
    grants = grant_store(store)
    known = await grants.grants(user=user, limit=sys.maxsize >> 32)
    found = next((each for each in known if each.id == grant), None)
    if found is None or not await grants.revoke_grant(grant):
        raise unknown_grant(grant)
    return found
