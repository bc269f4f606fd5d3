"""The part of `RunContract` on approvals, and helpers of its tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, ApprovalConflict, Decision, Entry, RunChange, RunConflict, RunRecord, RunStore
from agno_rt.testing._checks import StoreContract

__all__ = [
    "ANN",
    "APPROVE",
    "BOB",
    "ApprovalRules",
    "call_for_both",
    "make_approval",
    "make_entries",
    "store_paused_run",
]

ANN, BOB = "owner ann", "owner bob"
APPROVE = Decision("approved")


class ApprovalRules(StoreContract):
    """Rules for the approvals of every `RunStore`."""

    def test_keeps_approvals(self) -> None:
        """Approvals of a paused run come back with all fields, oldest first."""
        schema = {"type": "object", "properties": {"näme": {"type": "string"}}}
        full = attrs.evolve(
            make_approval("a", "r"), kind="input", agent="agent", session="s", user="ann", schema=schema
        )
        full = attrs.evolve(full, reason="why", created_at=5.0, turn=3)

        async def check(store: RunStore) -> None:
            await store_paused_run(store, "r", full, make_approval("b", "r"))
            await store_paused_run(store, "s", make_approval("c", "s"))
            first, second, third = await store.approvals()
            assert first == full
            assert [second.id, third.id] == ["b", "c"]
            assert second.created_at > 0
            assert [each.id for each in await store.approvals(run="r")] == ["a", "b"]
            assert [each.id for each in await store.approvals(limit=1)] == ["a"]

        self._with_memory(check)

    def test_decides_once(self) -> None:
        """A decision is stored with person and time; a second one, also at the same time, raises `ApprovalConflict`."""
        edited = Decision("approved", '{"a": 1}', "fine", "ann")

        async def check(store: RunStore) -> None:
            await store_paused_run(store, "r", *(make_approval(name, "r") for name in "abc"))
            made = await store.decide("a", edited)
            assert (made.status, made.arguments, made.reason, made.by) == ("approved", '{"a": 1}', "fine", "ann")
            assert made.decided_at is not None
            with pytest.raises(ApprovalConflict, match="'a'"):
                await store.decide("a", Decision("denied"))
            assert await store.approvals(run="r", status="approved") == [made]
            outcomes = await call_for_both(lambda who: store.decide("b", Decision("denied", by=who)))
            assert sorted(outcomes) == ["conflict", "done"]
            (denied,) = await store.approvals(status="denied")
            assert denied.by == (ANN, BOB)[outcomes.index("done")]
            assert [each.id for each in await store.approvals(status="pending")] == ["c"]

        self._with_memory(check)

    def test_approvals_expire(self) -> None:
        """An approval past its time reads as `expired` and cannot be decided; a decision made in time stays."""
        late = attrs.evolve(make_approval("late", "r"), expires_at=1.0)
        far = attrs.evolve(make_approval("far", "r"), expires_at=1e12)

        async def check(store: RunStore) -> None:
            await store_paused_run(store, "r", late, far, make_approval("never", "r"))
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


def make_entries(first: int, count: int) -> list[Entry]:
    """Make `count` entries, with bodies of arbitrary bytes."""
    return [Entry(seq, "called", bytes(range(256)) * (seq % 2)) for seq in range(first, first + count)]


def make_approval(id: str, run: str) -> Approval:
    """Make an approval of a payment, for the run."""
    return Approval(id, run, ToolCall("c1", "pay", '{"amount": 5}'))


async def store_paused_run(store: RunStore, run: str, *approvals: Approval) -> None:
    """Store a run that waits for the approvals."""
    await store.create_run(RunRecord(run, "agent", owner=ANN))
    await store.change_run(run, RunChange("paused", approvals=approvals), owner=ANN)


async def call_for_both(one: Callable[[str], Awaitable[object]]) -> list[str]:
    """Call the function for Ann and Bob at once; return the outcome of each: `done` or `conflict`."""
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
