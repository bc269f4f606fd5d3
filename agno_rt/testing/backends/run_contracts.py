"""Contract suite for the runs of a memory backend: records, journals and approvals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
import trio

from agno_rt.errors import BackendError, NotFound, SessionConflict, UsageError
from agno_rt.memory import MemoryBackend
from agno_rt.messages import Message
from agno_rt.run_store import (
    Appending,
    RunChange,
    RunConflict,
    RunRecord,
    RunStatus,
    RunStore,
)
from agno_rt.testing._approval_rules import (
    ANN,
    APPROVE,
    BOB,
    ApprovalRules,
    call_for_both,
    make_approval,
    make_entries,
    store_paused_run,
)
from agno_rt.testing._ownership import RunOwnership

__all__ = ["RunContract"]

OVER: tuple[RunStatus, ...] = ("completed", "failed", "cancelled", "limited")


class RunContract(ApprovalRules, RunOwnership):
    """Rules for every `RunStore`. Override `make_memory`: each test gets an empty store of its own.

    Each protocol of a backend has its suite. For a backend with all protocols, write
    `class TestMine(MemoryContract, RunContract, FactContract, CacheContract)`.
    """

    def test_is_a_run_store(self) -> None:
        """The store has the methods of the protocol, and no runs at first."""

        async def check(store: RunStore) -> None:
            assert isinstance(store, RunStore)
            assert await store.runs() == []
            assert await store.approvals() == []
            assert await store.cancels([]) == set()

        self._with_memory(check)

    def test_keeps_a_record(self) -> None:
        """A run comes back with all fields, and with the times of its creation and last change."""
        run = RunRecord("r", "agent", "running", "s", "ann", "p", "o", "in\n👋", owner=ANN, request="7c2f-1")

        async def check(store: RunStore) -> None:
            await store.create_run(run)
            record, entries = await store.load_run("r")
            assert entries == []
            assert record.created_at > 0
            assert record.updated_at >= record.created_at
            assert attrs.evolve(record, created_at=0.0, updated_at=0.0) == run
            assert await store.runs() == [record]
            await store.create_run(RunRecord("old", "agent", created_at=5.0))
            assert (await store.load_run("old"))[0].created_at == 5.0

        self._with_memory(check)

    def test_lists_runs_after_a_place(self) -> None:
        """A list goes on after a run, also a deleted one, with the other filters, to the last digit of the time."""
        times = {"a": 1000000001.25, "b": 1000000002.000001, "c": 1000000002.000002, "d": 1000000003.0}

        async def check(store: RunStore) -> None:
            for run, at in times.items():
                user = "ann" if run in "ac" else "bob"
                await store.create_run(RunRecord(run, "agent", "paused", user=user, created_at=1.0, updated_at=at))
            found = {run: [each.id for each in await store.runs(before=(at, run))] for run, at in times.items()}
            assert found == {"a": [], "b": ["a"], "c": ["b", "a"], "d": ["c", "b", "a"]}
            last = times["d"], "d"
            assert [each.id for each in await store.runs(before=last, limit=2)] == ["c", "b"]
            assert [each.id for each in await store.runs(before=last, user="ann", status="paused")] == ["c", "a"]
            assert [each.id for each in await store.runs(before=(times["d"], "e"))] == ["d", "c", "b", "a"]
            assert await store.runs(before=(1.0, "z")) == []
            await store.delete_run("c")
            assert [each.id for each in await store.runs(before=(times["c"], "c"))] == ["b", "a"]

        self._with_memory(check)

    def test_pages_show_each_run_once(self) -> None:
        """Pages have each run once, in the order of time and then of the id, with any filters.

        Some runs are under way, some were stored late with an early time, and many have the same time.
        """
        statuses: tuple[RunStatus, ...] = ("running", "paused", *OVER)
        ids = [*(f"r{number:02}" for number in range(40)), "é", "z~1", "z", "Z"]

        async def check(store: RunStore) -> None:
            for number, run in enumerate(ids):
                at = 1000000000.0 + number * 7 % 5
                user, session = (None, "ann", "bob")[number % 3], ("s", "t", None)[number % 3]
                made = RunRecord(run, "agent", statuses[number % 6], session, user, created_at=1.0, updated_at=at)
                await store.create_run(made)
            every = await store.runs()
            assert [(each.updated_at, each.id) for each in every] == sorted(
                ((each.updated_at, each.id) for each in every), reverse=True
            )
            assert {each.id for each in every} == set(ids)
            filters: list[dict[str, Any]] = [{}, {"user": "ann"}, {"unowned": True}, {"session": "s"}]
            filters += [more | {"status": status} for more in filters for status in statuses]
            for wanted in filters:
                seen: list[RunRecord] = []
                while page := await store.runs(**wanted, before=_place_of(seen), limit=3):
                    assert len(page) <= 3
                    seen += page
                assert seen == await store.runs(**wanted)
            with_filters = await store.runs(user="ann", status="running")
            assert with_filters == [each for each in every if (each.user, each.status) == ("ann", "running")]

        self._with_memory(check)

    def test_lists_the_runs_of_a_request(self) -> None:
        """The runs that began in a request are found by its id, the last changed first, until they are deleted."""

        async def check(store: RunStore) -> None:
            for number, (run, request) in enumerate(
                [("a", "1-1"), ("b", "1-2"), ("c", "1-1"), ("d", None), ("e", "1-1")]
            ):
                await store.create_run(
                    RunRecord(run, "agent", request=request, owner=ANN, created_at=1.0, updated_at=2.0 + number)
                )
            assert [each.id for each in await store.runs_of_request("1-1")] == ["e", "c", "a"]
            assert [each.id for each in await store.runs_of_request("1-1", limit=2)] == ["e", "c"]
            assert await store.runs_of_request("1-2") == [(await store.load_run("b"))[0]]
            assert await store.runs_of_request("1") == []
            await store.change_run("b", RunChange("failed"), owner=ANN)
            assert [(each.id, each.request) for each in await store.runs_of_request("1-2")] == [("b", "1-2")]
            assert (await store.claim_run("b", BOB, held_by=None)).request == "1-2"
            await store.delete_run("c")
            assert [each.id for each in await store.runs_of_request("1-1")] == ["e", "a"]
            with pytest.raises(UsageError, match="request"):
                await store.create_run(RunRecord("f", "agent", request="a\nb"))

        self._with_memory(check)

    def test_lists_runs_within(self) -> None:
        """The runs within are found by the run around, oldest first, and not the runs within these, or in others."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", created_at=1.0))
            for at, (run, parent) in enumerate([("b", "r"), ("a", "r"), ("within", "a"), ("c", "other"), ("d", None)]):
                await store.create_run(RunRecord(run, "agent", parent=parent, user="ann", created_at=2.0 + at))
            assert [each.id for each in await store.runs_within(["r"])] == ["b", "a"]
            assert [each.id for each in await store.runs_within(["a", "none", "r", "r"])] == ["b", "a", "within"]
            assert await store.runs_within(["none"]) == []
            assert await store.runs_within([]) == []
            assert (await store.runs_within(["a"])) == [(await store.load_run("within"))[0]]
            await store.delete_run("a")
            assert [each.id for each in await store.runs_within(["r", "a"])] == ["b"]

        self._with_memory(check)

    def test_keeps_a_journal(self) -> None:
        """Entries come back in order, with any bytes unchanged, and the record counts them."""
        steps = make_entries(0, 3)

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), steps[:1])
            assert (await store.load_run("r"))[0].entries == 1
            await store.write_run("r", steps[1:], owner=ANN)
            await store.write_run("r", [], owner=ANN)
            record, entries = await store.load_run("r")
            assert entries == steps
            assert record.entries == 3
            await store.create_run(RunRecord("other", "agent", owner=ANN), steps[:1])
            assert (await store.load_run("r"))[1] == steps

        self._with_memory(check)

    def test_refuses_an_id_that_is_taken(self) -> None:
        """A second run of an id raises `RunConflict` and changes nothing; of two at once, one is stored."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "one"), make_entries(0, 1))
            with pytest.raises(RunConflict, match="'r'"):
                await store.create_run(RunRecord("r", "two"), make_entries(0, 2))
            record, entries = await store.load_run("r")
            assert (record.agent, len(entries)) == ("one", 1)
            outcomes = await call_for_both(lambda who: store.create_run(RunRecord("s", who)))
            assert sorted(outcomes) == ["conflict", "done"]

        self._with_memory(check)

    def test_refuses_a_gap(self) -> None:
        """Entries with a gap to the journal or among themselves raise `RunConflict`: nothing is stored."""
        bad = (
            make_entries(2, 1),
            make_entries(0, 1),
            [*make_entries(1, 1), *make_entries(3, 1)],
            [*make_entries(1, 1), *make_entries(1, 1)],
        )

        async def check(store: RunStore) -> None:
            with pytest.raises(RunConflict, match="'r'"):
                await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(1, 1))
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            for entries in bad:
                with pytest.raises(RunConflict, match="'r'"):
                    await store.write_run("r", entries, owner=ANN)
                with pytest.raises(RunConflict, match="'r'"):
                    await store.change_run("r", RunChange("paused", entries=entries), owner=ANN)
            record, kept = await store.load_run("r")
            assert (kept, record.entries, record.status) == (make_entries(0, 1), 1, "running")

        self._with_memory(check)

    def test_only_the_owner_writes(self) -> None:
        """Only the owner can write to a run or end its ownership; without an owner, nobody can."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            await store.create_run(RunRecord("nobodys", "agent", "paused"))
            for run, owner in (("r", BOB), ("nobodys", ANN)):
                with pytest.raises(RunConflict, match=f"'{run}'"):
                    await store.write_run(run, make_entries(0, 1), owner=owner)
                with pytest.raises(RunConflict, match=f"'{run}'"):
                    await store.change_run(run, RunChange("failed"), owner=owner)
                record, entries = await store.load_run(run)
                assert (record.status, entries) == ("running" if run == "r" else "paused", [])

        self._with_memory(check)

    def test_lets_go_of_a_run(self) -> None:
        """`change_run` stores status, answer or error, and last entries, and removes the owner."""
        change = RunChange("failed", "so far", "too late", "deadline", make_entries(1, 2))

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            assert await store.change_run("r", change, owner=ANN) is None
            record, entries = await store.load_run("r")
            assert entries == make_entries(0, 3)
            assert (record.status, record.content, record.error) == ("failed", "so far", "too late")
            assert (record.code, record.owner, record.entries) == ("deadline", None, 3)
            with pytest.raises(RunConflict):
                await store.write_run("r", make_entries(3, 1), owner=ANN)

        self._with_memory(check)

    def test_the_end_of_a_run_is_one_step(self) -> None:
        """A run's end and its messages are stored together; if the session has changed, nothing is stored."""
        told = [Message("user", "hi"), Message("assistant", "hello")]
        approval = make_approval("a", "r")

        async def check(store: RunStore) -> None:
            sessions = store
            assert isinstance(sessions, MemoryBackend)
            for run in ("r", "late"):
                await store.create_run(RunRecord(run, "agent", owner=ANN), make_entries(0, 1))
            append = Appending("s", told, 0, "ann", b"state")
            change = RunChange("completed", "hello", entries=make_entries(1, 1), approvals=[approval], append=append)
            assert await store.change_run("r", change, owner=ANN) == 1
            late = attrs.evolve(change, approvals=[attrs.evolve(approval, id="b", run="late")])
            with pytest.raises(SessionConflict, match="'s'"):
                await store.change_run("late", late, owner=ANN)
            session = await sessions.load("s")
            assert (list(session.messages), session.version, session.data) == (told, 1, b"state")
            assert session.user == "ann"
            record, entries = await store.load_run("late")
            assert (record.status, record.owner, entries) == ("running", ANN, make_entries(0, 1))
            assert [each.id for each in await store.approvals()] == ["a"]
            again = attrs.evolve(change, approvals=(), append=Appending("s", told, 1, "ann"))
            assert await store.change_run("late", again, owner=ANN) == 2
            assert (await sessions.load("s")).total == 4

        self._with_memory(check)

    def test_a_refused_end_leaves_the_session_alone(self) -> None:
        """An end that is refused for a wrong owner or a gap adds nothing to the session."""

        async def check(store: RunStore) -> None:
            assert isinstance(store, MemoryBackend)
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            change = RunChange("completed", append=Appending("s", [Message("user", "hi")], 0))
            gap = RunChange("completed", entries=make_entries(1, 1), append=Appending("t", [], 0))
            with pytest.raises(RunConflict):
                await store.change_run("r", change, owner=BOB)
            with pytest.raises(RunConflict):
                await store.change_run("r", gap, owner=ANN)
            assert (await store.load("s")).version == (await store.load("t")).version == 0
            assert await store.sessions() == []

        self._with_memory(check)

    def test_claims_a_run(self) -> None:
        """A claim makes the claimant the owner; the previous owner cannot write any more."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            with pytest.raises(RunConflict, match="'r'"):
                await store.claim_run("r", BOB, held_by=None)
            with pytest.raises(RunConflict, match="'r'"):
                await store.claim_run("r", BOB, held_by="somebody else")
            record = await store.claim_run("r", BOB, held_by=ANN)
            assert record == (await store.load_run("r"))[0]
            assert (record.owner, record.status, record.entries) == (BOB, "running", 1)
            with pytest.raises(RunConflict):
                await store.write_run("r", make_entries(1, 1), owner=ANN)
            await store.write_run("r", make_entries(1, 1), owner=BOB)

        self._with_memory(check)

    def test_one_of_two_claims_wins(self) -> None:
        """Of two concurrent claims, one succeeds and the other raises `RunConflict`."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", "paused"))
            outcomes = await call_for_both(lambda who: store.claim_run("r", who, held_by=None))
            assert sorted(outcomes) == ["conflict", "done"]
            winner = (ANN, BOB)[outcomes.index("done")]
            assert (await store.load_run("r"))[0].owner == winner

        self._with_memory(check)

    def test_a_run_that_is_over(self) -> None:
        """A completed run cannot be claimed; a run with another end can, and is then running."""

        async def check(store: RunStore) -> None:
            for status in OVER:
                await store.create_run(RunRecord(status, "agent", owner=ANN))
                await store.change_run(status, RunChange(status), owner=ANN)
            with pytest.raises(RunConflict, match="'completed'"):
                await store.claim_run("completed", BOB, held_by=None)
            for status in OVER[1:]:
                assert (await store.claim_run(status, BOB, held_by=None)).status == "running"

        self._with_memory(check)

    def test_lists_runs(self) -> None:
        """Runs are listed by their last change, newest first, and filtered by status, session and user."""

        async def check(store: RunStore) -> None:
            for run, session, user in (("a", "s", "ann"), ("b", "s", "bob"), ("c", None, "ann"), ("d", "t", None)):
                await store.create_run(RunRecord(run, "agent", session=session, user=user, owner=ANN))
            await store.write_run("b", make_entries(0, 1), owner=ANN)
            await store.change_run("a", RunChange("completed"), owner=ANN)
            await store.change_run("d", RunChange("paused"), owner=ANN)
            await store.claim_run("d", ANN, held_by=None)
            assert [run.id for run in await store.runs()] == ["d", "a", "b", "c"]
            assert [run.id for run in await store.runs(limit=2)] == ["d", "a"]
            assert [run.id for run in await store.runs(status="running")] == ["d", "b", "c"]
            assert [run.id for run in await store.runs(status="completed")] == ["a"]
            assert [run.id for run in await store.runs(session="s")] == ["a", "b"]
            assert [run.id for run in await store.runs(user="ann")] == ["a", "c"]
            assert [run.id for run in await store.runs(unowned=True)] == ["d"]
            assert await store.runs(unowned=True, status="completed") == []
            assert [run.id for run in await store.runs(session="s", user="bob", status="running")] == ["b"]
            assert (
                await store.runs(status="limited") == await store.runs(session="S") == await store.runs(user="") == []
            )

        self._with_memory(check)

    def test_cancels_runs(self) -> None:
        """Cancelling marks a run with an owner, cancels a run without one, and does not change a finished run."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("owned", "agent", owner=ANN))
            await store.create_run(RunRecord("paused", "agent", "paused"))
            await store.create_run(RunRecord("other", "agent", owner=ANN))
            await store.create_run(RunRecord("over", "agent", owner=ANN))
            await store.change_run("over", RunChange("completed"), owner=ANN)
            assert [await store.cancel_run(run) for run in ("owned", "paused", "over")] == [True, True, False]
            assert await store.cancels(["owned", "other", "over", "never there"]) == {"owned"}
            found = {run.id: (run.status, run.cancel_requested, run.owner) for run in await store.runs()}
            assert found["owned"] == ("running", True, ANN)
            assert found["other"] == ("running", False, ANN)
            assert found["paused"][0] == "cancelled"
            assert found["over"] == ("completed", False, None)
            await store.write_run("owned", make_entries(0, 1), owner=ANN)
            assert await store.cancels(["owned"]) == {"owned"}
            await store.change_run("owned", RunChange("cancelled"), owner=ANN)
            assert await store.cancel_run("owned") is False
            # More ids than a database may take as parameters of one statement.
            many = [f"r{number}" for number in range(2_000)]
            assert await store.cancels([*many, "owned"]) <= {"owned"}

        self._with_memory(check)

    def test_a_claim_undoes_a_cancellation(self) -> None:
        """A claim removes the request for cancellation."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", "paused"))
            await store.cancel_run("r")
            assert (await store.claim_run("r", ANN, held_by=None)).cancel_requested is False
            assert await store.cancels(["r"]) == set()

        self._with_memory(check)

    def test_deletes_runs(self) -> None:
        """Deleting a run removes its journal and approvals, and no others; a second delete returns False."""

        async def check(store: RunStore) -> None:
            for run in ("r", "other"):
                await store.create_run(RunRecord(run, "agent", owner=ANN), make_entries(0, 2))
                change = RunChange("paused", approvals=[make_approval(f"of {run}", run)])
                await store.change_run(run, change, owner=ANN)
            assert (await store.delete_run("r"), await store.delete_run("r")) == (True, False)
            assert [run.id for run in await store.runs()] == ["other"]
            assert [each.id for each in await store.approvals()] == ["of other"]
            with pytest.raises(NotFound):
                await store.decide("of r", APPROVE)
            await store.create_run(RunRecord("r", "agent"))
            assert (await store.load_run("r"))[1] == []
            assert len((await store.load_run("other"))[1]) == 2

        self._with_memory(check)

    def test_a_run_that_nobody_knows(self) -> None:
        """Every method that needs the run raises `NotFound`."""

        async def check(store: RunStore) -> None:
            asked: list[Callable[[], Awaitable[object]]] = [
                lambda: store.load_run("r"),
                lambda: store.write_run("r", make_entries(0, 1), owner=ANN),
                lambda: store.change_run("r", RunChange("completed"), owner=ANN),
                lambda: store.claim_run("r", ANN, held_by=None),
                lambda: store.cancel_run("r"),
                lambda: store.decide("r", APPROVE),
            ]
            for ask in asked:
                with pytest.raises(NotFound, match="'r'"):
                    await ask()
            assert await store.approvals(run="r") == []

        self._with_memory(check)

    def test_a_write_that_is_cancelled_first_does_nothing(self) -> None:
        """In a cancelled scope, a write is stored and returns, or raises and stores nothing; the store works on."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN))
            written = False
            with trio.CancelScope() as scope:
                scope.cancel()
                await store.write_run("r", make_entries(0, 3), owner=ANN)
                written = True
            record, entries = await store.load_run("r")
            assert record.entries == len(entries) == (3 if written else 0)
            await store.write_run("r", make_entries(len(entries), 1), owner=ANN)

        self._with_memory(check)

    def test_a_journal_in_a_store_that_fails(self) -> None:
        """Writes to a failing store raise `BackendError`; afterwards the journal goes on without a gap."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            for at, fault in enumerate(self.make_faults(), 1):
                with fault, pytest.raises(BackendError) as caught:
                    await store.write_run("r", make_entries(at, 1), owner=ANN)
                assert not isinstance(caught.value, RunConflict)
                await store.write_run("r", make_entries(at, 1), owner=ANN)
                assert (await store.load_run("r"))[1] == make_entries(0, at + 1)

        self._with_memory(check)

    def test_runs_outlast_the_backend(self) -> None:
        """In a lasting store, runs, journals and approvals are there after a reopening."""

        async def check(store: RunStore) -> None:
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 1))
            await store.write_run("r", make_entries(1, 2), owner=ANN)
            await store_paused_run(store, "p", make_approval("a", "p"))

        async def then(store: RunStore) -> None:
            record, entries = await store.load_run("r")
            assert (record.owner, record.status, entries) == (ANN, "running", make_entries(0, 3))
            assert [run.id for run in await store.runs(status="paused")] == ["p"]
            assert (await store.decide("a", APPROVE)).status == "approved"

        self._with_memory_again(check, then)


def _place_of(seen: Sequence[RunRecord]) -> tuple[float, str] | None:
    return (seen[-1].updated_at, seen[-1].id) if seen else None
