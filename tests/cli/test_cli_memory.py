"""`agno-rt memory`: copy everything into another memory, migrate, measure; `agno-rt sessions prune`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from agno_rt import Message, ToolCall
from agno_rt.cli.copy_memory import CopyReport, copy_memory
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError
from agno_rt.memory import MemoryBackend
from agno_rt.run_store import Approval, Entry, Grant, RunChange, RunRecord
from agno_rt.testing import Faults, fail_everywhere
from agno_rt.upkeep import RunCopy, SessionCopy

Agno = Callable[..., subprocess.CompletedProcess[str]]

GONE = "another-host/1/1/runtime"
CALL = ToolCall("c1", "pay", "{}")


def make_messages(count: int) -> list[Message]:
    """Make messages with their numbers."""
    return [Message("user", f"message {number}") for number in range(count)]


async def fill(store: Any) -> None:
    """Store some of everything."""
    for number, session in enumerate(("one", "two", "three"), 1):
        messages = make_messages(450 if session == "two" else number)
        await store.append(session, messages, version=0, user="ann" if number > 1 else None, data=b"data", agent="a")
    await store.rename("two", "A title")
    for text in ("Ann drinks tea.", "Ann has a cat."):
        await store.remember("ann", text, topics=["life"])
    await store.create_run(RunRecord("lost", "a", session="one"), [Entry(0, "begun", b"x")])
    await store.create_run(RunRecord("paused", "a", user="ann", owner=GONE), [Entry(0, "begun", b"y")])
    await store.send_signal("paused", "mail", b"1")
    await store.log_events("paused", [b"1", b"2"], first=1, owner=GONE)
    call = Approval("paused.1", "paused", CALL)
    await store.change_run("paused", RunChange("paused", approvals=[call]), owner=GONE)
    await store.add_grant(Grant("g1", "pay", "digest", user="ann", created_at=5.0, pattern={"to": "*"}))
    await store.add_grant(Grant("g2", "pay", "digest", session="one", arguments="{}", expires_at=9e9))
    await store.cache("key", b"value")


async def read_all(store: Any) -> dict[str, Any]:
    """Return everything that is to be copied."""
    found: dict[str, Any] = {}
    for session in await store.list_ids("sessions"):
        found[session] = await store.export_session(session)
    for user in await store.list_ids("facts"):
        found[user] = await store.facts(user)
    for run in await store.list_ids("runs"):
        record, entries = await store.load_run(run)
        events = [event for _, event in await store.load_events(run)]
        found[run] = RunCopy(record, entries, await store.approvals(run=run), await store.signals(run), events)
    return {**found, "grants": await store.grants()}


async def copy(source: MemoryBackend, target: MemoryBackend) -> CopyReport:
    """Copy without showing anything."""
    return await copy_memory(source, target, lambda kind, total: lambda: None)


async def test_copies_everything_between_any_two(tmp_path: Path) -> None:
    """From memory to a file and back, nothing changes: times, owners, versions and order are the same."""
    first, file, last = InProcessMemory(), SQLiteMemory(tmp_path / "memory.db"), InProcessMemory()
    await fill(first)
    there = await copy(first, file)
    back = await copy(file, last)
    again = await copy(first, file)
    everything = [await read_all(store) for store in (first, file, last)]
    await file.aclose()

    assert everything[0] == everything[1] == everything[2]
    assert list(everything[0]) == list(everything[1]) == list(everything[2])
    assert there.copied == back.copied == {"sessions": 3, "facts": 1, "runs": 2, "grants": 2}
    assert (sum(again.copied.values()), again.same) == (0, 8)
    assert there.left == ["cached answers: they are made anew"]


async def test_a_second_copy_brings_what_has_changed(tmp_path: Path) -> None:
    """Later messages, titles, facts and steps come over; what was changed in the target stays, and is named."""
    source, target = InProcessMemory(), SQLiteMemory(tmp_path / "memory.db")
    await fill(source)
    await copy(source, target)
    await source.append("two", make_messages(3), version=1, user="ann")
    await source.rename("three", "Renamed")
    await source.remember("ann", "Ann was born in Seoul.")
    await source.claim_run("paused", GONE, held_by=None)
    await source.change_run("paused", RunChange("completed", "done", entries=[Entry(1, "ended", b"z")]), owner=GONE)
    await target.append("one", make_messages(1), version=1)
    await source.add_grant(Grant("g3", "pay", "digest", agent="a"))
    report = await copy(source, target)
    copied = {name: found for name, found in (await read_all(source)).items() if name != "one"}
    kept = {name: found for name, found in (await read_all(target)).items() if name != "one"}
    await target.aclose()

    assert kept == copied
    assert report.copied == {"sessions": 2, "facts": 1, "runs": 1, "grants": 1}
    assert report.left[0] == "session 'one': another session has its id there"


def test_a_copy_goes_on_after_a_cut() -> None:
    """Wherever the target fails, the same copy once more completes it, and nothing is there twice."""

    async def scenario(faults: Faults) -> None:
        source, target = InProcessMemory(), InProcessMemory()
        await fill(source)
        try:
            await copy(source, faults.memory(target))
        except BackendError:
            assert faults.fired
        await copy(source, target)
        assert await read_all(target) == await read_all(source)

    assert fail_everywhere(scenario, error=BackendError, at_least=10) >= 10


async def test_a_run_under_way_is_left_out(tmp_path: Path) -> None:
    """A run whose owner has a lease is named, and not copied; a run whose owner has none is copied."""
    source, target = SQLiteMemory(tmp_path / "memory.db"), InProcessMemory()
    await fill(source)
    for run, owner in (("goes on", GONE), ("gone", "another-host/2/2/runtime")):
        await source.create_run(RunRecord(run, "a", owner=owner))
    await source.renew_lease(GONE, seconds=60)
    report = await copy(source, target)
    await source.aclose()

    assert report.left[0] == "run 'goes on': it is under way: try again when it is over"
    assert sorted(await target.list_ids("runs")) == ["gone", "lost", "paused"]


async def test_another_sessions_id(tmp_path: Path) -> None:
    """A session that another user has in the target stays as it is."""
    source, target = InProcessMemory(), InProcessMemory()
    await source.append("s", make_messages(2), version=0, user="ann")
    await target.import_session(SessionCopy("s", "bob", 1, 1.0, 2.0, messages=make_messages(1)))
    report = await copy(source, target)

    assert report.left[0] == "session 's': another session has its id there"
    assert (await target.load("s")).user == "bob"


def store(path: Path) -> None:
    """Store some of everything in a file."""

    async def main() -> None:
        memory = SQLiteMemory(path)
        await fill(memory)
        await memory.aclose()

    trio.run(main)


def test_the_command_copies(agno: Agno, tmp_path: Path) -> None:
    """The command tells what it copied, and what it did not; once more, there is nothing to do."""
    store(tmp_path / "a.db")
    urls = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    first = agno("memory", "copy", *urls)
    again = agno("memory", "copy", *urls)

    assert (first.returncode, again.returncode) == (0, 0)
    assert (
        "Copied 3 sessions, 1 user with facts and 2 runs, and 2 standing approvals; 0 were there already."
        in first.stderr
    )
    assert "not copied: cached answers" in first.stderr
    assert "Copied 0 sessions, 0 users with facts and 0 runs; 8 were there already." in again.stderr
    wrong = agno("memory", "copy", f"sqlite:///{tmp_path}/none.db", urls[1])
    assert (wrong.returncode, (tmp_path / "none.db").exists()) == (2, False)
    assert "there is no memory at" in wrong.stderr
    assert agno("memory", "copy", urls[0], urls[0]).returncode == 2


def test_damaged_things_are_named(agno: Agno, tmp_path: Path) -> None:
    """A copy leaves damaged facts, grants, and runs with a damaged approval out, brings the rest, and fails."""
    store(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as file, file:
        file.execute("UPDATE facts SET topics = x'7b' WHERE id = 'f1'")
        file.execute("UPDATE grants SET body = x'7b' WHERE id = 'g1'")
        file.execute("UPDATE approvals SET body = x'7b'")
    urls = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    done = agno("memory", "copy", *urls)
    facts, runs = (agno(kind, "export", "--memory", urls[0]) for kind in ("facts", "runs"))

    assert done.returncode == 1
    assert "Copied 3 sessions, 1 user with facts and 1 run, and 1 standing approval; 0 were there" in done.stderr
    assert "not copied: run 'paused': " in done.stderr
    assert all(each in done.stderr for each in ("fact 'f1'", "standing approval 'g1'", "approval 'paused.1'"))
    assert "Ann has a cat." in agno("facts", "list", "--memory", urls[1]).stdout
    assert (facts.returncode, facts.stdout.count('"fact"')) == (1, 1)
    assert (runs.returncode, runs.stdout.count('"kind":"run"')) == (1, 1)
    assert "not exported: run 'paused': " in runs.stderr


def test_plans_and_migrates(agno: Agno, tmp_path: Path) -> None:
    """The plan is the SQL of what is missing, and creates nothing; the migration applies it, once."""
    url = f"sqlite:///{tmp_path}/a.db"
    plan = agno("memory", "migrate", "--plan", url)
    assert not (tmp_path / "a.db").exists()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(plan.stdout)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    done = agno("memory", "migrate", url)

    assert {"sessions", "messages", "runs", "leases", "events"} <= tables
    assert plan.stdout.startswith("-- 1. sessions and messages\nCREATE TABLE sessions (")
    assert len(done.stdout.splitlines()) == plan.stdout.count("-- ")
    assert "applied" in done.stderr
    for more in ((), ("--plan",)):
        assert agno("memory", "migrate", *more, url).stderr == "The schema is up to date.\n"
    none = agno("memory", "migrate", "memory:")
    assert (none.returncode, "has no migrations" in none.stderr) == (2, True)


def test_shows_the_size(agno: Agno, tmp_path: Path) -> None:
    """Each part has its number, size and times, also as JSON."""
    store(tmp_path / "a.db")
    url = f"sqlite:///{tmp_path}/a.db"
    table = agno("memory", "stats", url).stdout.splitlines()
    size = json.loads(agno("memory", "stats", "--json", url).stdout)

    assert table[0].split() == ["PART", "COUNT", "SIZE", "OLDEST", "NEWEST"]
    assert {part["name"]: part["count"] for part in size["parts"]} == {
        "sessions": 3,
        "messages": 454,
        "runs": 2,
        "entries": 2,
        "approvals": 1,
        "signals": 1,
        "events": 2,
        "facts": 2,
        "grants": 2,
        "cache": 1,
    }
    assert size["bytes"] > sum(part["bytes"] for part in size["parts"])


def test_prunes_sessions(agno: Agno, tmp_path: Path) -> None:
    """Old sessions go, when confirmed; a session of a running run stays."""
    store(tmp_path / "a.db")
    memory = "--memory", f"sqlite:///{tmp_path}/a.db"
    dry = agno("sessions", "prune", "--keep", "1", "--dry-run", *memory)
    done = agno("sessions", "prune", "--keep", "1", "--yes", *memory)

    assert dry.stdout == "would delete two\n"
    assert done.stdout == "deleted two\n"
    assert agno("sessions", "prune", "--older-than", "1d", *memory).stderr == "No sessions to delete.\n"
    assert agno("sessions", "prune", *memory).returncode == 2
