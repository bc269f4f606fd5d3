"""Contract suite for what long workflows need of a memory backend: early questions, new journals, times, pruning."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agno_rt.errors import NotFound
from agno_rt.run_store import (
    ApprovalConflict,
    Decision,
    Entry,
    FlowStore,
    Renewal,
    RunChange,
    RunConflict,
    RunRecord,
    RunStatus,
    SignalsWaiting,
    WithdrawStore,
)
from agno_rt.testing._approval_rules import ANN, BOB, call_for_both, make_approval, make_entries
from agno_rt.testing._checks import StoreContract

__all__ = ["FlowContract"]

FAR = 1e12
"""A time that no clock reaches."""


class FlowContract(StoreContract):
    """Rules for every `FlowStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_is_a_flow_store(self) -> None:
        """The store has the methods of the protocol."""

        async def check(store: Any) -> None:
            assert isinstance(store, FlowStore)

        self._with_memory(check)

    def test_keeps_early_approvals(self) -> None:
        """An approval of a run under way can be decided before the pause; stored again, it keeps the decision."""

        async def check(store: Any) -> None:
            for run in ("r", "s"):
                await store.create_run(RunRecord(run, "agent", owner=ANN), make_entries(0, 1))
            await store.add_approvals("r", [make_approval("a", "r"), make_approval("b", "r")], owner=ANN)
            assert (await store.decide("a", Decision("answered", "1"))).status == "answered"
            await store.add_approvals("r", [make_approval("a", "r")], owner=ANN)
            assert [each.status for each in await store.approvals(run="r")] == ["answered", "pending"]
            assert (await store.load_run("r"))[0].status == "running"
            for run, owner in (("r", BOB), ("s", ANN)):
                with pytest.raises(RunConflict):
                    await store.add_approvals(run, [make_approval("a", run)], owner=owner)
            with pytest.raises(NotFound):
                await store.add_approvals("none", [], owner=ANN)

        self._with_memory(check)

    def test_a_pause_sees_every_decision(self) -> None:
        """A run cannot pause for an approval that is decided: nothing is changed, and the run keeps its owner."""
        approvals = [make_approval("a", "r"), make_approval("b", "r")]

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.add_approvals("r", approvals, owner=ANN)
            await store.decide("b", Decision("denied"))
            with pytest.raises(SignalsWaiting, match="'b'"):
                await store.change_run("r", RunChange("paused", waits_for=("a", "b")), owner=ANN)
            assert (await store.load_run("r"))[0].owner == ANN
            await store.change_run("r", RunChange("paused", waits_for=("a", "none")), owner=ANN)
            assert (await store.load_run("r"))[0].status == "paused"

        self._with_memory(check)

    def test_withdraws_approvals(self) -> None:
        """A withdrawn approval expires if pending, keeps its decision otherwise; an unknown one is ignored."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.add_approvals("r", [make_approval("a", "r"), make_approval("b", "r")], owner=ANN)
            await store.decide("a", Decision("approved"))
            await store.change_run("r", RunChange("completed", withdrawn=("a", "b", "none")), owner=ANN)
            assert [each.status for each in await store.approvals(run="r")] == ["approved", "expired"]
            with pytest.raises(ApprovalConflict, match="'b'"):
                await store.decide("b", Decision("approved"))

        self._with_memory(check)

    def test_withdraws_approvals_at_once(self) -> None:
        """A `WithdrawStore` lets pending approvals expire while the run goes on; decided and unknown ones stay."""

        async def check(store: Any) -> None:
            withdrawing: object = store
            if not isinstance(withdrawing, WithdrawStore):
                pytest.skip("the store is not a WithdrawStore")
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.add_approvals("r", [make_approval(each, "r") for each in ("a", "b", "c")], owner=ANN)
            await store.decide("a", Decision("approved"))
            await withdrawing.withdraw_approvals(["b", "a", "none", "b"])
            await withdrawing.withdraw_approvals([])
            assert [each.status for each in await store.approvals(run="r")] == ["approved", "expired", "pending"]
            with pytest.raises(ApprovalConflict, match="'b'"):
                await store.decide("b", Decision("approved"))
            await store.decide("c", Decision("denied", reason="no"))
            assert (await store.load_run("r"))[0].owner == ANN

        self._with_memory(check)

    def test_renews_a_run(self) -> None:
        """A run gets a new journal in one step; the old one moves to a completed run, with its approvals."""
        last, first = Entry(2, "ended", b"last"), Entry(0, "begun", b"first")
        renewal = Renewal("r~1", last, first, "again")

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", user="ann", input="one", owner=BOB), make_entries(0, 2))
            await store.claim_run("r", ANN, held_by=BOB)
            await store.create_run(RunRecord("child", "agent", parent="r"))
            await store.add_approvals("r", [make_approval("a", "r")], owner=ANN)
            with pytest.raises(RunConflict):
                await store.renew_run("r", renewal, owner=BOB)
            await store.renew_run("r", renewal, owner=ANN)
            record, entries = await store.load_run("r")
            assert entries == [first]
            assert (record.status, record.owner, record.entries, record.input) == ("running", ANN, 1, "again")
            assert (record.continues, record.continued_by, record.takeovers) == ("r~1", None, 0)
            before, entries = await store.load_run("r~1")
            assert entries == [*make_entries(0, 2), last]
            assert (before.status, before.owner, before.entries, before.user) == ("completed", None, 3, "ann")
            assert (before.continued_by, before.input, before.takeovers) == ("r", "one", 1)
            assert (await store.load_run("child"))[0].parent == "r~1"
            assert [(each.id, each.status) for each in await store.approvals(run="r~1")] == [("a", "expired")]
            assert await store.approvals(run="r") == []
            await store.write_run("r", make_entries(1, 1), owner=ANN)

        self._with_memory(check)

    def test_renews_again(self) -> None:
        """Each journal names the next one. A renewal whose id is taken, or with a gap, changes nothing."""
        first = Entry(0, "begun", b"")

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.renew_run("r", Renewal("r~1", Entry(1, "ended"), first), owner=ANN)
            bad = Renewal("r~1", Entry(1, "ended"), first), Renewal("r~2", Entry(2, "ended"), first)
            for renewal in (*bad, Renewal("r~2", Entry(1, "ended"), Entry(1, "begun"))):
                with pytest.raises(RunConflict):
                    await store.renew_run("r", renewal, owner=ANN)
            assert len(await store.runs()) == 2
            await store.renew_run("r", Renewal("r~2", Entry(1, "ended"), first), owner=ANN)
            links = {each.id: (each.continues, each.continued_by) for each in await store.runs()}
            assert links == {"r": ("r~2", None), "r~2": ("r~1", "r"), "r~1": (None, "r~2")}
            await store.delete_run("r")
            assert await store.runs() == []

        self._with_memory(check)

    def test_carries_signals_over(self) -> None:
        """The signals that a run has not taken belong to its next journal, in order, and none is lost meanwhile."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            for at in range(5):
                await store.send_signal("r", f"s{at}", b"%d" % at)
            renewal = Renewal("r~1", Entry(1, "ended"), Entry(0, "begun"), taken=(1, 3))
            await store.renew_run("r", renewal, owner=ANN)
            assert [(each.seq, each.name) for each in await store.signals("r")] == [(1, "s1"), (2, "s3"), (3, "s4")]
            assert [each.name for each in await store.signals("r~1")] == ["s0", "s2"]
            await store.send_signal("r", "new", b"null")
            assert [each.seq for each in await store.signals("r", after=3)] == [4]
            with pytest.raises(SignalsWaiting):
                await store.change_run("r", RunChange("paused", signals=3), owner=ANN)

        self._with_memory(check)

    def test_finds_due_runs(self) -> None:
        """Paused runs of the agents are due from their time on, the earliest first, until one process claims them."""

        async def check(store: Any) -> None:
            for run, agent, at in (("b", "x", 20.0), ("a", "x", 10.0), ("c", "y", 5.0), ("d", "x", FAR)):
                await store.create_run(RunRecord(run, agent, owner=ANN), make_entries(0, 1))
                await store.change_run(run, RunChange("paused", wakes_at=at), owner=ANN)
            await store.create_run(RunRecord("never", "x", owner=ANN), make_entries(0, 1))
            await store.change_run("never", RunChange("paused"), owner=ANN)
            due = await store.find_due(["x"], before=20.0)
            assert [(each.id, each.wakes_at) for each in due] == [("a", 10.0), ("b", 20.0)]
            assert [each.id for each in await store.find_due(["y", "x"], before=20.0, limit=1)] == ["c"]
            assert await store.find_due([], before=20.0) == []
            outcomes = await call_for_both(lambda who: store.claim_run("a", who, held_by=None))
            assert sorted(outcomes) == ["conflict", "done"]
            assert (await store.load_run("a"))[0].wakes_at is None
            assert [each.id for each in await store.find_due(["x"], before=20.0)] == ["b"]

        self._with_memory(check)

    def test_prunes_runs(self) -> None:
        """Old runs that are over go, with the runs within them; runs under way, paused, or around such runs stay."""

        async def check(store: Any) -> None:
            await _store_runs(store)
            assert await store.prune_runs() == []
            planned = await store.prune_runs(keep=1, dry_run=True)
            assert planned == ["failed", "old"]
            assert len(await store.runs()) == 9
            assert await store.prune_runs(keep=1) == planned
            left = {each.id for each in await store.runs()}
            assert left == {"new", "paused", "running", "around", "within"}
            assert await store.prune_runs(older_than=3600.0) == []
            assert await store.prune_runs(older_than=-1.0) == ["new"]

        self._with_memory(check)

    def test_deletes_the_runs_within(self) -> None:
        """A deleted run takes the runs within it along, to any depth, and no others."""

        async def check(store: Any) -> None:
            for run, parent in (("r", None), ("child", "r"), ("grandchild", "child"), ("other", None)):
                await store.create_run(RunRecord(run, "agent", parent=parent))
            assert await store.delete_run("r")
            assert [each.id for each in await store.runs()] == ["other"]
            assert not await store.delete_run("child")

        self._with_memory(check)


async def _store_runs(store: Any) -> None:
    """Store runs of all kinds; the first was changed longest ago."""
    runs: list[tuple[str, RunStatus, str | None]] = [
        ("old", "completed", None),
        ("inner", "completed", "old"),
        ("innermost", "failed", "inner"),
        ("failed", "failed", None),
        ("paused", "paused", None),
        ("running", "running", None),
        ("around", "completed", None),
        ("within", "paused", "around"),
        ("new", "completed", None),
    ]
    for run, status, parent in runs:
        await store.create_run(attrs.evolve(RunRecord(run, "agent", owner=ANN), parent=parent), make_entries(0, 1))
        if status != "running":
            await store.change_run(run, RunChange(status), owner=ANN)
