"""The shipped memory backends withstand size, every character, other writers and kills; a turn stores what it adds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Message, Runtime
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.defaults.sqlite.sessions import WantedSessions, list_sessions
from agno_rt.memory import MemoryPolicy
from agno_rt.testing import EnduranceContract, ScriptedModel
from agno_rt.upkeep import SessionCopy


class TestInProcessEndurance(EnduranceContract):
    """`memory:` withstands what can happen to it."""

    def make_memory(self) -> InProcessMemory:
        """Make a new backend."""
        return InProcessMemory()


class TestSQLiteEndurance(EnduranceContract):
    """`sqlite:` withstands what can happen to it."""

    path: Path

    @pytest.fixture(autouse=True)
    def _a_path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "memory.db"

    def make_memory(self) -> SQLiteMemory:
        """Make a backend with a new file."""
        return SQLiteMemory(self.path)

    def open_again(self) -> SQLiteMemory:
        """Open the same file."""
        return SQLiteMemory(self.path)

    def memory_url(self) -> str:
        """Return the file's URL."""
        return f"sqlite:///{self.path}"

    def count_work(self, memory: Any) -> int:
        """Return the pages that were written to the log and have not been moved to the file yet, and those moved."""
        with closing(sqlite3.connect(self.path)) as connection:
            return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


@pytest.mark.parametrize("journal", [False, True])
async def test_a_turn_stores_what_it_adds(tmp_path: Path, journal: bool) -> None:
    """The file grows by the same at turn 10 and at turn 10,000 of a session, with and without a journal."""
    policy = MemoryPolicy(20, journal=journal)
    grown = {}
    for turns in (10, 10_000):
        path = tmp_path / f"{turns}.db"
        store = SQLiteMemory(path)
        messages = [Message("user" if at % 2 == 0 else "assistant", f"message {at}") for at in range(2 * turns)]
        await store.import_session(SessionCopy("s", None, turns, 1.0, 2.0, messages=messages))
        agent = Agent(ScriptedModel(["an answer"] * 40), "clerk", memory=policy)
        async with Runtime(memory=store) as rt:
            await rt.run(agent, "a question", session="s")
            before = await _count_bytes(store)
            for _ in range(30):
                await rt.run(agent, "a question", session="s")
            grown[turns] = await _count_bytes(store) - before
        await store.aclose()

    # The numbers in the session's row and in the journal have more digits, and no more.
    assert abs(grown[10_000] - grown[10]) <= grown[10] / 20


async def _count_bytes(store: SQLiteMemory) -> int:
    return sum(part.bytes or 0 for part in (await store.find_size()).parts)


@pytest.mark.parametrize(("user", "unowned"), [("ann", False), (None, True)])
@pytest.mark.parametrize("before", [None, (5.0, "s")])
async def test_a_users_sessions_have_an_index(
    tmp_path: Path, user: str | None, unowned: bool, before: tuple[float, str] | None
) -> None:
    """Listing the sessions of a user neither reads those of others nor sorts."""
    store = SQLiteMemory(tmp_path / "memory.db")
    await store.append("s", [Message("user", "hi")], version=0, user="ann")
    await store.aclose()
    plans: list[str] = []

    class Explaining(sqlite3.Connection):
        """A connection that explains its queries."""

        def execute(self, query: str, *args: Any) -> sqlite3.Cursor:
            """Note the plan of a query, and carry the query out."""
            if query.startswith("SELECT"):
                plans.extend(row[3] for row in super().execute(f"EXPLAIN QUERY PLAN {query}", *args))
            return super().execute(query, *args)

    with closing(sqlite3.connect(tmp_path / "memory.db", factory=Explaining)) as connection:
        list_sessions(connection, WantedSessions(user, unowned, "", before, 10))

    assert "sessions_by_user (user=?" in plans[0]
    assert not any("TEMP B-TREE" in plan or plan.startswith("SCAN") for plan in plans)
