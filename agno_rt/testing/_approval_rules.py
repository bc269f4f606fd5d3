"""The part of `RunContract` that is about approvals, and what its tests are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, ApprovalConflict, Decision, Entry, RunChange, RunConflict, RunRecord, RunStore
from agno_rt.testing._checks import StoreContract

__all__ = ["ANN", "APPROVE", "BOB", "ApprovalRules", "approval_of", "both", "entries_from", "paused"]

ANN, BOB = "owner ann", "owner bob"
APPROVE = Decision("approved")


class ApprovalRules(StoreContract):
    """What every `RunStore` does with approvals."""

    def test_keeps_approvals(self) -> None:
        """What a paused run waits for comes back with all that was said of it, oldest first."""
        schema = {"type": "object", "properties": {"näme": {"type": "string"}}}
        full = attrs.evolve(approval_of("a", "r"), kind="input", agent="agent", session="s", user="ann", schema=schema)
        full = attrs.evolve(full, reason="why", created_at=5.0, turn=3)

        async def check(store: RunStore) -> None:
            await paused(store, "r", full, approval_of("b", "r"))
            await paused(store, "s", approval_of("c", "s"))
            first, second, third = await store.approvals()
            assert first == full
            assert [second.id, third.id] == ["b", "c"]
            assert second.created_at > 0
            assert [each.id for each in await store.approvals(run="r")] == ["a", "b"]
            assert [each.id for each in await store.approvals(limit=1)] == ["a"]

        self._with_memory(check)

    def test_decides_once(self) -> None:
        """A decision is stored with who made it and when; a second is `ApprovalConflict`; of two at once, one is."""
        edited = Decision("approved", '{"a": 1}', "fine", "ann")

        async def check(store: RunStore) -> None:
            await paused(store, "r", *(approval_of(name, "r") for name in "abc"))
            made = await store.decide("a", edited)
            assert (made.status, made.arguments, made.reason, made.by) == ("approved", '{"a": 1}', "fine", "ann")
            assert made.decided_at is not None
            with pytest.raises(ApprovalConflict, match="'a'"):
                await store.decide("a", Decision("denied"))
            assert await store.approvals(run="r", status="approved") == [made]
            outcomes = await both(lambda who: store.decide("b", Decision("denied", by=who)))
            assert sorted(outcomes) == ["conflict", "done"]
            (denied,) = await store.approvals(status="denied")
            assert denied.by == (ANN, BOB)[outcomes.index("done")]
            assert [each.id for each in await store.approvals(status="pending")] == ["c"]

        self._with_memory(check)

    def test_approvals_expire(self) -> None:
        """One whose time is over reads as `expired` and can be decided no longer; one decided in time stays decided."""
        late = attrs.evolve(approval_of("late", "r"), expires_at=1.0)
        far = attrs.evolve(approval_of("far", "r"), expires_at=1e12)

        async def check(store: RunStore) -> None:
            await paused(store, "r", late, far, approval_of("never", "r"))
            assert {each.id: each.status for each in await store.approvals()} == {
                "late": "expired",
                "far": "pending",
                "never": "pending",
            }
            assert [each.id for each in await store.approvals(status="expired")] == ["late"]
            assert [each.id for each in await store.approvals(status="pending")] == ["far", "never"]
            with pytest.raises(ApprovalConflict, match="'late'"):
                await store.decide("late", APPROVE)
            assert (await store.decide("far", APPROVE)).status == "approved"

        self._with_memory(check)


def entries_from(first: int, count: int) -> list[Entry]:
    """So many entries, whose bodies are bytes of any kind."""
    return [Entry(seq, "called", bytes(range(256)) * (seq % 2)) for seq in range(first, first + count)]


def approval_of(id: str, run: str) -> Approval:
    """What the run waits for: whether it may pay."""
    return Approval(id, run, ToolCall("c1", "pay", '{"amount": 5}'))


async def paused(store: RunStore, run: str, *approvals: Approval) -> None:
    """Store a run that waits for these."""
    await store.create_run(RunRecord(run, "agent", owner=ANN))
    await store.change_run(run, RunChange("paused", approvals=approvals), owner=ANN)


async def both(one: Callable[[str], Awaitable[object]]) -> list[str]:
    """What became of Ann's and Bob's call, made at once: `done`, or `conflict`."""
    outcomes = ["", ""]

    async def call(at: int, who: str) -> None:
        try:
            await one(who)
            outcomes[at] = "done"
        except (RunConflict, ApprovalConflict):
            outcomes[at] = "conflict"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, 0, ANN)
        nursery.start_soon(call, 1, BOB)
    return outcomes
