"""Contract suite for the leases of a memory backend that processes share."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt.run_store import LeaseStore, RunChange, RunConflict, RunRecord
from agno_rt.testing._approval_rules import ANN, BOB, call_for_both, make_entries
from agno_rt.testing._checks import StoreContract

__all__ = ["LeaseContract"]

LONG = 3_600.0


class LeaseContract(StoreContract):
    """Rules for every `LeaseStore`. Override `make_memory`: each test gets an empty store of its own."""

    def test_is_a_lease_store(self) -> None:
        """The store has the methods of the protocol, and nobody has a lease at first."""

        async def check(store: Any) -> None:
            assert isinstance(store, LeaseStore)
            assert store.lease_seconds >= 0
            assert await store.find_leased([ANN, BOB]) == await store.find_leased([]) == set()
            assert await store.find_lost(["agent"]) == []

        self._with_memory(check)

    def test_takes_and_renews_a_lease(self) -> None:
        """An owner has a lease from the first renewal on, each owner has its own, and many can be asked about."""

        async def check(store: Any) -> None:
            assert await store.renew_lease(ANN, seconds=LONG)
            assert await store.renew_lease(ANN, seconds=LONG)
            assert await store.find_leased([ANN, BOB, "none"]) == {ANN}
            assert await store.renew_lease(BOB, seconds=LONG)
            many = [f"owner {number}" for number in range(2_000)]
            assert await store.find_leased([*many, ANN, BOB]) == {ANN, BOB}

        self._with_memory(check)

    def test_an_ended_lease_stays_so(self) -> None:
        """A lease can be renewed until the end, and not after; a lease may be made shorter."""

        async def check(store: Any) -> None:
            assert await store.renew_lease(ANN, seconds=LONG)
            assert await store.renew_lease(ANN, seconds=0)
            assert await store.find_leased([ANN]) == set()
            assert not await store.renew_lease(ANN, seconds=LONG)
            assert await store.find_leased([ANN]) == set()

        self._with_memory(check)

    def test_releases_a_lease(self) -> None:
        """A released lease is over, also if released twice; the leases of others go on."""

        async def check(store: Any) -> None:
            for owner in (ANN, BOB):
                await store.renew_lease(owner, seconds=LONG)
            for _ in range(2):
                await store.release_lease(ANN)
            await store.release_lease("never there")
            assert await store.find_leased([ANN, BOB, "never there"]) == {BOB}
            assert not await store.renew_lease(ANN, seconds=LONG)

        self._with_memory(check)

    def test_finds_lost_runs(self) -> None:
        """Lost are running runs of the agents asked for whose owner has no lease, the oldest change first."""

        async def check(store: Any) -> None:
            await store.renew_lease(ANN, seconds=LONG)
            await store.renew_lease("gone", seconds=0)
            for run, owner in (("a", "gone"), ("b", ANN), ("c", BOB), ("d", None), ("over", "gone"), ("e", "gone")):
                await store.create_run(RunRecord(run, "agent", owner=owner))
            await store.create_run(RunRecord("other", "another agent", owner="gone"))
            await store.change_run("over", RunChange("completed"), owner="gone")
            await store.write_run("a", make_entries(0, 1), owner="gone")
            assert [each.id for each in await store.find_lost(["agent", "none"])] == ["c", "e", "a"]
            assert [each.id for each in await store.find_lost(["agent", "another agent"], limit=2)] == ["c", "e"]
            assert (await store.find_lost(["agent"]))[2] == (await store.load_run("a"))[0]
            assert await store.find_lost([]) == []
            await store.release_lease(ANN)
            assert [each.id for each in await store.find_lost(["agent"])] == ["b", "c", "e", "a"]

        self._with_memory(check)

    def test_a_run_within_goes_on_with_the_run_around_it(self) -> None:
        """A run within an unfinished run is not lost by itself; without an unfinished run around, the run is lost."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("around", "agent", owner=BOB))
            await store.create_run(RunRecord("within", "agent", parent="around", owner=BOB))
            await store.create_run(RunRecord("alone", "agent", parent="never stored", owner=BOB))
            assert [each.id for each in await store.find_lost(["agent"])] == ["around", "alone"]
            await store.change_run("around", RunChange("paused"), owner=BOB)
            assert [each.id for each in await store.find_lost(["agent"])] == ["alone"]
            await store.claim_run("around", ANN, held_by=None)
            await store.change_run("around", RunChange("failed"), owner=ANN)
            assert [each.id for each in await store.find_lost(["agent"])] == ["within", "alone"]

        self._with_memory(check)

    def test_the_owner_is_the_fence(self) -> None:
        """One of two takes a lost run over, for good; the former owner can neither write nor end the run."""

        async def check(store: Any) -> None:
            for owner in (ANN, BOB):
                await store.renew_lease(owner, seconds=LONG)
            await store.renew_lease("gone", seconds=0)
            await store.create_run(RunRecord("r", "agent", owner="gone"), make_entries(0, 1))
            outcomes = await call_for_both(lambda who: store.claim_run("r", who, held_by="gone"))
            assert sorted(outcomes) == ["conflict", "done"]
            for write in (
                store.write_run("r", make_entries(1, 1), owner="gone"),
                store.change_run("r", RunChange("completed"), owner="gone"),
            ):
                with pytest.raises(RunConflict, match="'r'"):
                    await write
            assert await store.find_lost(["agent"]) == []
            record, entries = await store.load_run("r")
            assert (record.owner, record.status) == ((ANN, BOB)[outcomes.index("done")], "running")
            assert entries == make_entries(0, 1)

        self._with_memory(check)

    def test_counts_takeovers(self) -> None:
        """A claim on a run that somebody owns is counted, also in lists; a claim on a run of nobody begins anew."""

        async def check(store: Any) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            assert (await store.load_run("r"))[0].takeovers == 0
            for number, (owner, held_by) in enumerate(((BOB, ANN), (ANN, BOB), (BOB, ANN)), 1):
                assert (await store.claim_run("r", owner, held_by=held_by)).takeovers == number
                assert (await store.load_run("r"))[0].takeovers == number
            await store.write_run("r", make_entries(1, 1), owner=BOB)
            assert [each.takeovers for each in await store.find_lost(["agent"])] == [3]
            await store.change_run("r", RunChange("paused"), owner=BOB)
            assert [each.takeovers for each in await store.runs()] == [3]
            assert (await store.claim_run("r", ANN, held_by=None)).takeovers == 0
            assert (await store.load_run("r"))[0].takeovers == 0
            assert (await store.claim_run("r", BOB, held_by=ANN)).takeovers == 1

        self._with_memory(check)

    def test_one_of_two_owners_of_one_name(self) -> None:
        """Renewals at once do no harm."""

        async def check(store: Any) -> None:
            assert await call_for_both(lambda _: store.renew_lease(ANN, seconds=LONG)) == ["done", "done"]
            assert await store.find_leased([ANN]) == {ANN}

        self._with_memory(check)

    def test_leases_outlast_the_backend(self) -> None:
        """In a lasting store, leases are there after a reopening, and so are ended leases."""

        async def check(store: Any) -> None:
            await store.renew_lease(ANN, seconds=LONG)
            await store.renew_lease(BOB, seconds=0)
            await store.create_run(RunRecord("r", "agent", owner=BOB))

        async def then(store: Any) -> None:
            assert await store.find_leased([ANN, BOB]) == {ANN}
            assert not await store.renew_lease(BOB, seconds=LONG)
            assert [each.id for each in await store.find_lost(["agent"])] == ["r"]

        self._with_memory_again(check, then)
