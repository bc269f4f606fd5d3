"""Contract suites for the upkeep of a memory backend: copies, sizes, and old sessions."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agno_rt.errors import Forbidden, SessionConflict
from agno_rt.memory import Fact
from agno_rt.messages import Message
from agno_rt.run_store import Grant, RunChange, RunConflict, RunRecord, Signal
from agno_rt.testing._approval_rules import ANN, BOB, make_approval, make_entries
from agno_rt.testing._checks import StoreContract
from agno_rt.upkeep import CopyStore, RunCopy, SessionCopy, SessionPruning, SizedStore

__all__ = ["CopyContract", "RetentionContract"]

FAR = 3_600.0


def make_messages(first: int, count: int) -> list[Message]:
    """Make messages with numbers as texts."""
    return [Message("user", str(number)) for number in range(first, first + count)]


SESSION = SessionCopy("s", "ann", 7, 5.25, 6.5, "A title", "agent", b"\0data", 5, 1, make_messages(1, 3))


class CopyContract(StoreContract):
    """Rules for every `CopyStore` with all other protocols. Override `make_memory`: each test gets an empty store."""

    def test_is_a_copy_store(self) -> None:
        """The store has the methods of the protocol, and nothing to copy at first."""

        async def check(store: Any) -> None:
            assert [await store.list_ids(kind) for kind in ("sessions", "facts", "runs")] == [[], [], []]
            assert await store.export_session("s") is None
            assert isinstance(store, CopyStore)

        self._with_memory(check)

    def test_lists_every_id(self) -> None:
        """All sessions and runs are listed, the least recently changed first, and all users with facts."""

        async def check(store: Any) -> None:
            for session in ("b", "c", "a"):
                await store.append(session, make_messages(1, 1), version=0)
            for run in ("y", "z", "x"):
                await store.create_run(RunRecord(run, "agent", owner=ANN))
            await store.write_run("y", make_entries(0, 1), owner=ANN)
            for user in ("ann", "bob"):
                await store.remember(user, "Tea.")
            await store.remember("gone", "Tea.")
            await store.forget("gone")
            assert sorted(await store.list_ids("sessions")) == ["a", "b", "c"]
            assert await store.list_ids("runs") == ["z", "x", "y"]
            assert sorted(await store.list_ids("facts")) == ["ann", "bob"]

        self._with_memory(check)

    def test_exports_a_session(self) -> None:
        """A session comes out with all fields, and with the messages asked for."""

        async def check(store: Any) -> None:
            await store.append("s", make_messages(1, 2), version=0, user="ann", agent="agent")
            await store.append("s", make_messages(3, 3), version=1, user="ann", data=b"data")
            await store.rename("s", "A title")
            info = await store.session_info("s")
            whole = await store.export_session("s")
            times = info.created_at, info.updated_at
            assert whole == SessionCopy("s", "ann", 2, *times, "A title", "agent", b"data", 5, 1, make_messages(1, 5))
            part = attrs.evolve(whole, first=3, messages=make_messages(3, 2))
            assert await store.export_session("s", after=2, limit=2) == part
            assert list((await store.export_session("s", limit=0)).messages) == []
            assert list((await store.export_session("s", after=5)).messages) == []

        self._with_memory(check)

    def test_imports_a_session_in_parts(self) -> None:
        """A session is stored unchanged, with version and times, part by part, and goes on like any other."""
        rest = attrs.evolve(SESSION, first=4, messages=make_messages(4, 2))

        async def check(store: Any) -> None:
            await store.import_session(SESSION)
            for wrong in (SESSION, attrs.evolve(rest, first=5), attrs.evolve(rest, first=2)):
                with pytest.raises(SessionConflict, match="'s'"):
                    await store.import_session(wrong)
            with pytest.raises(Forbidden):
                await store.import_session(attrs.evolve(rest, user="bob"))
            assert (await store.export_session("s", limit=0)).total == 3
            await store.import_session(rest)
            assert await store.export_session("s") == attrs.evolve(SESSION, messages=make_messages(1, 5))
            (info,) = await store.sessions(user="ann")
            assert (info.title, info.agent, info.messages) == ("A title", "agent", 5)
            assert (info.created_at, info.updated_at) == (5.25, 6.5)
            assert await store.append("s", make_messages(6, 1), version=7, user="ann") == 8
            assert (await store.load("s", 2)).messages == make_messages(5, 2)
            empty = SessionCopy("empty", None, 3, 5.0, 6.0)
            await store.import_session(empty)
            assert await store.export_session("empty") == empty

        self._with_memory(check)

    def test_imports_facts(self) -> None:
        """Facts keep ids, times and order; known ids and texts are left out; a new fact gets an id of its own."""
        facts = [
            Fact("f9", "ann", "Ann has a cat.", 5.0, 7.5, "s", ("pets",)),
            Fact("other", "ann", "Ann drinks tea.", 4.0, 6.0),
        ]

        async def check(store: Any) -> None:
            assert await store.import_facts("ann", facts) == 2
            assert await store.import_facts("ann", facts) == 0
            assert await store.import_facts("ann", [Fact("x", "ann", "ann HAS a cat", 1.0, 1.0)]) == 0
            assert await store.facts("ann") == facts
            made = [await store.remember("ann", f"Fact {number}.") for number in range(12)]
            assert len({fact.id for fact in [*facts, *made]}) == 14
            assert (await store.remember("ann", "Ann drinks tea")).id == "other"
            assert (await store.correct("ann", "f9", "Ann has two cats.")).created_at == 5.0
            assert await store.import_facts("bob", []) == 0
            assert await store.list_ids("facts") == ["ann"]

        self._with_memory(check)

    def test_imports_a_run(self) -> None:
        """A run is stored with owner, times, journal, approvals, signals and events, and goes on like any other."""
        record = RunRecord("r", "agent", "paused", "s", "ann", "p", "o", "in", "so far", owner=None, entries=2)
        record = attrs.evolve(record, created_at=5.25, updated_at=6.5, wakes_at=9.75, continues="before", takeovers=2)
        record = attrs.evolve(record, request="7c2f-1")
        approval = attrs.evolve(make_approval("a", "r"), user="ann", created_at=6.0)
        signals = [Signal("r", 1, "mail", b"1", 6.25), Signal("r", 2, "mail", b"\xff", 6.375)]
        copy = RunCopy(record, make_entries(0, 2), [approval], signals, [b"1", b"\xff"])

        async def check(store: Any) -> None:
            assert await store.import_run(copy)
            assert not await store.import_run(copy)
            assert await store.load_run("r") == (record, make_entries(0, 2))
            assert await store.runs(user="ann", status="paused") == await store.runs_of_request("7c2f-1") == [record]
            assert await store.approvals(run="r") == [approval]
            assert await store.signals("r") == signals
            assert await store.load_events("r") == [(1, b"1"), (2, b"\xff")]
            await store.send_signal("r", "mail", b"3")
            await store.claim_run("r", BOB, held_by=None)
            await store.write_run("r", make_entries(2, 1), owner=BOB)
            await store.log_events("r", [b"3"], first=3, owner=BOB)
            assert [each.seq for each in await store.signals("r")] == [1, 2, 3]

        self._with_memory(check)

    def test_a_later_copy_replaces_an_older_one(self) -> None:
        """A run changed since the last copy is replaced, with the entries; a run changed here is not."""
        old = RunCopy(RunRecord("r", "agent", owner=ANN, entries=3, created_at=1.0, updated_at=2.0), make_entries(0, 3))
        within = RunCopy(RunRecord("within", "agent", parent="r", owner=ANN, created_at=1.0, updated_at=2.0))
        new = attrs.evolve(old, record=attrs.evolve(old.record, owner=None, status="failed", updated_at=3.0))

        async def check(store: Any) -> None:
            for copy in (old, within):
                assert await store.import_run(copy)
            assert (await store.load_run("r"))[0].owner == ANN
            assert await store.import_run(new)
            assert await store.load_run("r") == (new.record, make_entries(0, 3))
            assert (await store.load_run("within"))[0] == within.record
            assert await store.list_ids("runs") == ["within", "r"]
            assert not await store.import_run(old)
            await store.create_run(RunRecord("here", "agent", owner=ANN))
            assert not await store.import_run(RunCopy(attrs.evolve(old.record, id="here")))
            clash = RunCopy(RunRecord("clash", "agent", updated_at=1.0), approvals=[make_approval("a", "clash")])
            await store.create_run(RunRecord("p", "agent", owner=ANN))
            await store.change_run("p", RunChange("paused", approvals=[make_approval("a", "p")]), owner=ANN)
            with pytest.raises(RunConflict, match="'a'"):
                await store.import_run(clash)
            assert "clash" not in await store.list_ids("runs")

        self._with_memory(check)

    def test_copies_outlast_the_backend(self) -> None:
        """In a lasting store, what was imported is there after a reopening, also for another import."""

        async def check(store: Any) -> None:
            await store.import_session(SESSION)
            await store.import_facts("ann", [Fact("f3", "ann", "Tea.", 1.0, 2.0)])
            await store.import_run(RunCopy(RunRecord("r", "agent", "failed", created_at=1.0, updated_at=2.0)))

        async def then(store: Any) -> None:
            await store.import_session(attrs.evolve(SESSION, first=4, messages=make_messages(4, 2)))
            assert list((await store.export_session("s")).messages) == make_messages(1, 5)
            assert [fact.id for fact in await store.facts("ann")] == ["f3"]
            assert [each.updated_at for each in await store.runs()] == [2.0]

        self._with_memory_again(check, then)


class RetentionContract(StoreContract):
    """Rules for every `SizedStore` that is `SessionPruning`. Override `make_memory`: each test gets an empty store."""

    def test_knows_its_size(self) -> None:
        """Every part is counted, with the oldest and newest time, if any."""

        async def check(store: Any) -> None:
            assert {part.count for part in (await store.find_size()).parts} == {0}
            for session in ("a", "b"):
                await store.append(session, make_messages(1, 3), version=0)
            await store.create_run(RunRecord("r", "agent", owner=ANN), make_entries(0, 2))
            await store.send_signal("r", "mail", b"1")
            await store.log_events("r", [b"1", b"2", b"3"], first=1, owner=ANN)
            await store.change_run("r", RunChange("paused", approvals=[make_approval("a", "r")]), owner=ANN)
            await store.remember("ann", "Tea.")
            await store.add_grant(Grant("g", "send", "digest", created_at=5.0))
            found = await store.find_size()
            counts = {part.name: part.count for part in found.parts}
            assert counts == {"sessions": 2, "messages": 6, "runs": 1, "entries": 2, "approvals": 1, "signals": 1} | {
                "events": 3,
                "facts": 1,
                "grants": 1,
                "cache": 0,
            }
            assert found.bytes is None or found.bytes > 0
            times = {part.name: (part.oldest, part.newest) for part in found.parts}
            for name in ("sessions", "runs", "facts"):
                oldest, newest = times[name]
                assert oldest is not None
                assert newest is not None
                assert 0 < oldest <= newest
            assert isinstance(store, SizedStore)

        self._with_memory(check)

    def test_prunes_sessions(self) -> None:
        """Sessions beyond the last ones, and old ones, go with their messages; `dry_run` only names them."""

        async def check(store: Any) -> None:
            for number, session in enumerate("abcd", 1):
                await store.import_session(SessionCopy(session, None, 1, 1.0, float(number), total=1))
            await store.append("new", make_messages(1, 1), version=0)
            assert await store.prune_sessions() == []
            assert sorted(await store.prune_sessions(keep=3, dry_run=True)) == ["a", "b"]
            assert len(await store.sessions()) == 5
            assert sorted(await store.prune_sessions(keep=3)) == ["a", "b"]
            assert [info.id for info in await store.sessions()] == ["new", "d", "c"]
            assert sorted(await store.prune_sessions(older_than=FAR, keep=99)) == ["c", "d"]
            assert await store.prune_sessions(older_than=FAR) == []
            assert [info.id for info in await store.sessions()] == ["new"]
            assert await store.prune_sessions(keep=0) == ["new"]
            assert (await store.load("new")).version == 0
            assert isinstance(store, SessionPruning)

        self._with_memory(check)

    def test_a_session_in_use_stays(self) -> None:
        """A session of a running or paused run stays, until the run is over."""

        async def check(store: Any) -> None:
            for session in ("running", "paused", "over"):
                await store.append(session, make_messages(1, 1), version=0)
                await store.create_run(RunRecord(session, "agent", session=session, owner=ANN))
            await store.change_run("paused", RunChange("paused"), owner=ANN)
            await store.change_run("over", RunChange("failed"), owner=ANN)
            assert await store.prune_sessions(keep=0) == ["over"]
            for run in ("running", "paused"):
                await store.delete_run(run)
            assert sorted(await store.prune_sessions(keep=0)) == ["paused", "running"]

        self._with_memory(check)
