"""Tests for lists of runs in SQLite: the steps of a page at any depth, and files of the version before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agno_rt.defaults.sqlite import SCHEMA_VERSION, SQLiteMemory
from agno_rt.defaults.sqlite.runs import WantedRuns, list_runs
from agno_rt.run_store import Entry, RunChange, RunRecord

RUNS = 20_000
LIMIT = 50

MANY_RUNS = f"""
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {RUNS - 1})
INSERT INTO runs (id, agent, status, session, user, input, content, cancel_requested, entries, created_at, updated_at,
    changed)
SELECT printf('r%05d', n), 'agent',
    CASE WHEN n % 1000 = 1 THEN 'running' WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END,
    's' || (n % 3), CASE WHEN n % 4 THEN 'u' || (n % 4) END, 'in', 'out', 0, 0, n, n, {{changed}} FROM numbers
"""
"""Of the runs, 20 are under way, and one in 50 has failed."""


async def make_tables(path: Path, versions: int) -> None:
    """Write a file with the tables of a version of the schema."""
    migrations = await SQLiteMemory(path).migrations()
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA journal_mode = WAL")
        for each in migrations[:versions]:
            made.executescript(each.sql)
        made.execute(f"PRAGMA user_version = {versions}")


def count_steps(connection: sqlite3.Connection, wanted: WantedRuns) -> int:
    """Return the number of steps of SQLite's machine for a page, which has to be full."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 1)
    try:
        found, _ = list_runs(connection, wanted)
    finally:
        connection.set_progress_handler(None, 0)
    assert len(found) == LIMIT
    return steps


@pytest.mark.parametrize(
    "asked",
    [{}, {"status": "completed"}, {"status": "failed"}, {"user": "u1"}, {"unowned": True}, {"session": "s1"}],
    ids=str,
)
async def test_a_page_far_back_takes_no_more_steps(tmp_path: Path, asked: dict[str, Any]) -> None:
    """SQLite finds the place of a page by an index: neither the runs before nor those of other filters are read."""
    path = tmp_path / "a.db"
    await make_tables(path, SCHEMA_VERSION)
    every: dict[str, Any] = {"status": None, "session": None, "user": None, "unowned": False, "limit": LIMIT}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(MANY_RUNS.format(changed=0))
        near, far = (
            count_steps(connection, WantedRuns(**every | asked, before=(float(at), "r")))
            for at in (RUNS - 1, RUNS // 4)
        )

    assert far <= near
    # Some 40 for each run of the page, and for each of the runs under way.
    assert near < 50 * (LIMIT + 20)


async def test_a_step_of_a_run_moves_nothing_in_an_index(tmp_path: Path) -> None:
    """A step of a run under way writes as many pages as the entry and the record have, however many runs there are."""
    path = tmp_path / "a.db"
    await make_tables(path, SCHEMA_VERSION)
    with closing(sqlite3.connect(path)) as made, made:
        made.execute(MANY_RUNS.format(changed=0))
    memory = SQLiteMemory(path)
    await memory.create_run(RunRecord("r10000x", "agent", session="s1", user="u1", owner="me"))
    log = path.with_name("a.db-wal")
    before = log.stat().st_size
    await memory.write_run("r10000x", [Entry(0, "begun", b"0")], owner="me")
    pages = (log.stat().st_size - before) // (4096 + 24)
    await memory.aclose()

    assert pages == 2


async def test_a_file_of_version_10(tmp_path: Path) -> None:
    """Runs of a file before requests were stored are listed by their times, have no request, and go on."""
    path = tmp_path / "a.db"
    await make_tables(path, 10)
    with closing(sqlite3.connect(path)) as made, made:
        made.execute(MANY_RUNS.format(changed="n + 1"))
    memory = SQLiteMemory(path)
    last = await memory.runs(limit=3)
    running = await memory.runs(status="running", limit=1)
    await memory.create_run(RunRecord("new", "agent", owner="me", request="7c2f-1"))
    await memory.change_run("new", RunChange("paused"), owner="me")
    await memory.claim_run(running[0].id, "me", held_by=None)
    await memory.aclose()
    again = SQLiteMemory(path)
    after, of_request = await again.runs(limit=3), await again.runs_of_request("7c2f-1")
    pruned = await again.prune_runs(keep=1)
    await again.aclose()

    assert [each.id for each in last] == ["r19999", "r19998", "r19997"]
    assert {each.request for each in last} == {None}
    assert [each.id for each in running] == ["r19001"]
    assert [each.id for each in after] == ["r19001", "new", "r19999"]
    assert [each.id for each in of_request] == ["new"]
    assert len(pruned) == RUNS - 20 - 1
