"""Stored runs in both shipped backends, beyond the contract: times, filters, and SQLite's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError, UsageError
from agno_rt.messages import Message, ToolCall
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Appending, Approval, ApprovalConflict, Decision, Entry, RunChange, RunConflict, RunRecord
from agno_rt.testing import WallClock

Store = InProcessMemory | SQLiteMemory
Timed = tuple[Store, WallClock]

PAY = Approval("a", "r", ToolCall("c", "pay"))


@pytest.fixture(params=["memory", "sqlite"])
def timed(request: pytest.FixtureRequest, tmp_path: Path) -> Timed:
    """Make each of the backends, with its clock."""
    clock = WallClock()
    if request.param == "memory":
        return InProcessMemory(clock), clock
    return SQLiteMemory(tmp_path / "memory.db", clock=clock), clock


async def store_paused_run(store: Store, run: str, *approvals: Approval) -> None:
    """Store a run that waits for the approvals."""
    await store.create_run(RunRecord(run, "agent", owner="me"))
    await store.change_run(run, RunChange("paused", approvals=approvals), owner="me")


async def test_an_approval_expires_by_the_clock(timed: Timed) -> None:
    """An approval expires to the second, in lists, filters and decisions; an earlier decision stays."""
    store, clock = timed
    start = clock()
    await store_paused_run(
        store,
        "r",
        attrs.evolve(PAY, expires_at=start + 60),
        attrs.evolve(PAY, id="b", expires_at=start + 60),
        attrs.evolve(PAY, id="c"),
    )
    await store.decide("a", Decision("approved", by="ann"))
    clock.advance(59)
    before = [each.status for each in await store.approvals()]
    clock.advance(1.5)
    after = [each.status for each in await store.approvals()]
    with pytest.raises(ApprovalConflict, match="'b' of pay in run 'r' has expired"):
        await store.decide("b", Decision("approved"))
    with pytest.raises(ApprovalConflict, match="'a' of pay in run 'r' is approved already by ann"):
        await store.decide("a", Decision("approved"))
    pending, expired = await store.approvals(status="pending"), await store.approvals(status="expired")
    (decided,) = await store.approvals(status="approved")
    await store.aclose()

    assert before == ["approved", "pending", "pending"]
    assert after == ["approved", "expired", "pending"]
    assert [each.id for each in pending] == ["c"]
    assert [each.id for each in expired] == ["b"]
    assert decided.decided_at == pytest.approx(start, abs=1)
    assert decided.created_at == pytest.approx(start, abs=1)


async def test_the_order_of_runs_is_that_of_their_times(timed: Timed) -> None:
    """The run with the latest time comes first, also after the clock was set back: so a page goes on after a time."""
    store, clock = timed
    await store.create_run(RunRecord("a", "agent", owner="me"))
    clock.advance(-1_000)
    await store.create_run(RunRecord("b", "agent", owner="me"))
    first, second = await store.runs()
    [page] = await store.runs(limit=1)
    rest = await store.runs(before=(page.updated_at, page.id))
    clock.advance(5_000)
    await store.write_run("b", [Entry(0, "begun")], owner="me")
    ids = [run.id for run in await store.runs()]
    (changed, _) = await store.load_run("b")
    await store.aclose()

    assert (first.id, second.id) == ("a", "b")
    assert [page, *rest] == [first, second]
    assert first.created_at - second.created_at == pytest.approx(1_000, abs=1)
    assert ids == ["b", "a"]
    assert changed.updated_at - changed.created_at == pytest.approx(5_000, abs=1)


async def test_an_approval_that_is_stored_again(timed: Timed) -> None:
    """Storing the approvals of a paused run again keeps the decisions made in between."""
    store, _ = timed
    await store_paused_run(store, "r", PAY)
    await store.decide("a", Decision("denied", reason="no"))
    await store.claim_run("r", "you", held_by=None)
    await store.change_run("r", RunChange("paused", approvals=[PAY, attrs.evolve(PAY, id="b")]), owner="you")
    found = [(each.id, each.status) for each in await store.approvals()]
    await store.aclose()

    assert found == [("a", "denied"), ("b", "pending")]


async def test_an_approval_of_another_run(timed: Timed) -> None:
    """A change with another run's approval id is refused as a whole."""
    store, _ = timed
    await store_paused_run(store, "r", PAY)
    await store.create_run(RunRecord("s", "agent", owner="me"))
    with pytest.raises(RunConflict, match="approval 'a' of run 's' exists already, in run 'r'"):
        await store.change_run("s", RunChange("paused", entries=[Entry(0, "begun")], approvals=[PAY]), owner="me")
    record, entries = await store.load_run("s")
    await store.aclose()

    assert (record.status, entries) == ("running", [])


async def test_what_was_loaded_stays_as_it_was(timed: Timed) -> None:
    """Loaded records, journals and lists do not change with later writes."""
    store, _ = timed
    await store.create_run(RunRecord("r", "agent", owner="me"), [Entry(0, "begun", b"0")])
    record, entries = await store.load_run("r")
    await store.write_run("r", [Entry(1, "answered", b"1")], owner="me")
    entries.append(Entry(9, "ended"))
    again = await store.load_run("r")
    await store.aclose()

    assert (record.entries, len(entries)) == (1, 2)
    assert again[1] == [Entry(0, "begun", b"0"), Entry(1, "answered", b"1")]


async def test_text_that_is_no_text(tmp_path: Path) -> None:
    """A lone surrogate anywhere in the end of a run raises an error, and nothing is stored, the session included."""
    store = SQLiteMemory(tmp_path / "a.db")
    await store.create_run(RunRecord("r", "agent", owner="me"))
    append = Appending("s", [Message("user", "hi")], 0)
    for change in (
        RunChange("completed", "\udcff", append=append),
        RunChange("paused", approvals=[attrs.evolve(PAY, reason="\udcff")], append=append),
        RunChange("completed", append=attrs.evolve(append, messages=[Message("user", "\udcff")])),
    ):
        with pytest.raises(BackendError, match=r"a\.db") as caught:
            await store.change_run("r", change, owner="me")
        assert "not Unicode text" in caught.value.hint
    record, _ = await store.load_run("r")
    session, approvals = await store.load("s"), await store.approvals()
    await store.aclose()

    assert (record.status, record.owner) == ("running", "me")
    assert (session.version, approvals) == (0, [])


async def test_runs_of_long_ago(tmp_path: Path) -> None:
    """A filter finds a few runs among many."""
    store = SQLiteMemory(tmp_path / "a.db")
    for number in range(200):
        await store.create_run(RunRecord(str(number), "agent", "completed", "busy", "ann"))
    for status in ("paused", "failed"):
        await store.create_run(RunRecord(status, "agent", status, "quiet", "bob"))
    found = [
        await store.runs(status="paused"),
        await store.runs(status="failed", session="quiet"),
        await store.runs(user="bob", limit=1),
        await store.runs(status="completed", user="ann", limit=1),
    ]
    await store.aclose()

    assert [[run.id for run in runs] for runs in found] == [["paused"], ["failed"], ["failed"], ["199"]]


async def test_a_file_with_a_retention(tmp_path: Path) -> None:
    """With `keep` or `older_than` in the URL, old runs are forgotten as others end; those that are not over stay."""
    clock = [1000.0]
    host = PluginHost()
    memory: Any = host.memory(f"sqlite:///{tmp_path}/a.db?keep=2&older_than=1h", {})
    memory._clock = lambda: clock[0]
    for number in range(4):
        await memory.create_run(RunRecord(f"paused{number}", "agent", owner="me"), [Entry(0, "begun")])
        await memory.change_run(f"paused{number}", RunChange("paused"), owner="me")
    for number in range(5):
        clock[0] += 61.0
        await memory.create_run(RunRecord(f"run{number}", "agent", owner="me"), [Entry(0, "begun")])
        await memory.change_run(f"run{number}", RunChange("completed"), owner="me")
    by_count = {each.id for each in await memory.runs()}
    clock[0] += 3600.0
    await memory.create_run(RunRecord("last", "agent", owner="me"), [Entry(0, "begun")])
    await memory.change_run("last", RunChange("failed"), owner="me")
    by_age = {each.id for each in await memory.runs(limit=100)}
    await memory.aclose()

    paused = {f"paused{number}" for number in range(4)}
    assert by_count == {"run3", "run4", *paused}
    assert by_age == {"last", *paused}
    for wrong in ("keep=many", "older_than=soon", "older=1h"):
        with pytest.raises(UsageError, match="option"):
            host.memory(f"sqlite:///{tmp_path}/a.db?{wrong}", {})
