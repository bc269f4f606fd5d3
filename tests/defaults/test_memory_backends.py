"""The shipped memory backends keep the contract; SQLite's file survives upgrades, locks and other processes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Message, Runtime, ToolCall
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SCHEMA_VERSION, SQLiteMemory
from agno_rt.defaults.sqlite.sessions import WantedSessions, list_sessions
from agno_rt.errors import BackendError, Forbidden, SessionConflict, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.memory import MemoryBackend, MemoryPolicy
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Entry, RunRecord
from agno_rt.testing import ScriptedModel, WallClock
from agno_rt.testing.contracts import (
    CacheContract,
    CopyContract,
    EventLogContract,
    FactContract,
    FlowContract,
    GrantContract,
    LeaseContract,
    LockContract,
    MemoryContract,
    MigrationContract,
    RetentionContract,
    RunContract,
    SignalContract,
)

HI = [Message("user", "hi")]


class TestInProcessMemory(
    MemoryContract,
    RunContract,
    SignalContract,
    FlowContract,
    GrantContract,
    LeaseContract,
    EventLogContract,
    CopyContract,
    RetentionContract,
    FactContract,
    CacheContract,
):
    """`memory:` keeps the contract of backends."""

    def make_memory(self) -> InProcessMemory:
        """Make a new backend."""
        return InProcessMemory()


class TestSQLiteMemory(
    MemoryContract,
    RunContract,
    SignalContract,
    FlowContract,
    GrantContract,
    LeaseContract,
    EventLogContract,
    MigrationContract,
    CopyContract,
    RetentionContract,
    FactContract,
    CacheContract,
):
    """`sqlite:` keeps the contract of backends."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_memory(self) -> SQLiteMemory:
        """Make a backend with a new file."""
        return SQLiteMemory(self.folder / "memory.db", busy_seconds=0.05)

    def open_again(self) -> SQLiteMemory:
        """Open the same file."""
        return SQLiteMemory(self.folder / "memory.db")

    def make_faults(self) -> list[AbstractContextManager[object]]:
        """Return faults: the file is locked, and the file is moved away."""
        return [hold_write_lock(self.folder / "memory.db"), move_away(self.folder / "memory.db")]


@pytest.mark.skipif(sys.platform != "linux", reason="locks among processes are Linux's")
class TestSQLiteLocks(LockContract):
    """`sqlite:` locks sessions among processes."""

    path: Path

    @pytest.fixture(autouse=True)
    def _a_path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "memory.db"

    def make_memory(self) -> SQLiteMemory:
        """Make a backend with a new file."""
        return SQLiteMemory(self.path)

    def open_again(self) -> SQLiteMemory:
        """Open the same file, as another process does."""
        return SQLiteMemory(self.path)


@contextmanager
def hold_write_lock(path: Path) -> Iterator[None]:
    """Hold SQLite's write lock on the file, like another process."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def move_away(path: Path) -> Iterator[None]:
    """Move the file away for the block."""
    away = path.with_suffix(".away")
    path.rename(away)
    yield
    away.rename(path)


@pytest.fixture(params=["memory", "sqlite"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryBackend:
    """Make each of the backends."""
    return InProcessMemory() if request.param == "memory" else SQLiteMemory(tmp_path / "memory.db")


async def test_both_are_backends(memory: MemoryBackend) -> None:
    """Both backends fulfil the protocol."""
    assert isinstance(memory, MemoryBackend)
    await memory.aclose()


@pytest.mark.parametrize("last", [0, 1, 3, 4, 99, None])
async def test_last_is_a_bound(memory: MemoryBackend, last: int | None) -> None:
    """`last` bounds the number of loaded messages: none for 0, all for `None`."""
    await memory.append("s", [Message("user", str(at)) for at in range(4)], version=0)
    loaded = await memory.load("s", last)
    await memory.aclose()

    assert [m.content for m in loaded.messages] == [str(at) for at in range(4)][
        -last if last else (4 if last == 0 else 0) :
    ]
    assert loaded.version == 1


async def test_a_session_keeps_its_first_user(memory: MemoryBackend) -> None:
    """A session keeps the user of its first append, and refuses others."""
    await memory.append("s", HI, version=0, user="ann")
    await memory.append("s", HI, version=1, user="ann")
    with pytest.raises(Forbidden):
        await memory.append("s", HI, version=2, user="bob")
    session = await memory.load("s")
    infos = await memory.sessions(user="ann")
    await memory.aclose()

    assert session.user == "ann"
    assert [(info.id, info.user, info.messages) for info in infos] == [("s", "ann", 2)]


async def test_a_deleted_session_starts_anew(memory: MemoryBackend) -> None:
    """After deletion the id is free, from version 0, without the old messages."""
    await memory.append("s", HI * 3, version=0, user="ann")
    await memory.delete("s")
    with pytest.raises(SessionConflict):
        await memory.append("s", HI, version=1)
    await memory.append("s", [Message("user", "new")], version=0)
    session = await memory.load("s")
    await memory.aclose()

    assert ([m.content for m in session.messages], session.user, session.version) == (["new"], None, 1)


async def test_appending_nothing_is_a_write(memory: MemoryBackend) -> None:
    """An empty append makes the session and counts as a version."""
    assert await memory.append("s", [], version=0) == 1
    assert [info.messages for info in await memory.sessions()] == [0]
    await memory.aclose()


async def test_sessions_are_listed_newest_first() -> None:
    """The most recently written session comes first, with the times of its first and last write."""
    times = iter([1.0, 2.0, 3.0])
    memory = InProcessMemory(clock=lambda: next(times))
    await memory.append("a", HI, version=0)
    await memory.append("b", HI, version=0)
    await memory.append("a", HI, version=1)

    assert [(i.id, i.created_at, i.updated_at) for i in await memory.sessions()] == [("a", 1.0, 3.0), ("b", 2.0, 2.0)]


async def test_sqlite_lists_sessions_newest_first(tmp_path: Path) -> None:
    """SQLite lists the most recently written session first, by the system's clock by default."""
    memory = SQLiteMemory(tmp_path / "a.db")
    await memory.append("a", HI, version=0)
    await memory.append("b", HI, version=0)
    await memory.append("a", HI, version=1)
    infos = await memory.sessions()
    await memory.aclose()

    assert infos[0].updated_at >= infos[1].updated_at >= infos[1].created_at >= infos[0].created_at > 1e9
    assert {info.id: info.messages for info in infos} == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    "asked",
    [{}, {"user": "ann"}, {"unowned": True}, {"before": (5.0, "s")}, {"user": "ann", "before": (5.0, "s")}],
    ids=str,
)
async def test_sqlite_lists_sessions_by_an_index(tmp_path: Path, asked: dict[str, Any]) -> None:
    """An index serves each list in order: SQLite neither sorts nor reads more sessions than the list shows."""
    memory = SQLiteMemory(tmp_path / "a.db")
    await memory.append("s", HI, version=0)
    await memory.aclose()
    wanted = WantedSessions(**{"user": None, "unowned": False, "query": "", "before": None, "limit": 3} | asked)
    plans: list[str] = []
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.set_trace_callback(plans.append)
        list_sessions(connection, wanted)
        (statement,) = (plan for plan in plans if plan.startswith("SELECT id, user"))
        connection.set_trace_callback(None)
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))

    index = "sessions_by_user" if "user" in asked or "unowned" in asked else "sessions_by_update"
    assert f"USING INDEX {index}" in plan
    assert "USE TEMP B-TREE" not in plan.replace("SCALAR SUBQUERY", "")


@pytest.fixture(params=["memory", "sqlite"])
def timed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[InProcessMemory | SQLiteMemory, WallClock]:
    """Make each of the backends, with its clock."""
    clock = WallClock()
    if request.param == "memory":
        return InProcessMemory(clock), clock
    return SQLiteMemory(tmp_path / "memory.db", clock=clock), clock


Timed = tuple[InProcessMemory | SQLiteMemory, WallClock]


class TestTime:
    """Callers may set the clock of a backend."""

    async def test_sessions(self, timed: Timed) -> None:
        """A session's times follow the clock; a clock set back does not change the order of messages or versions."""
        memory, clock = timed
        await memory.append("a", HI, version=0)
        clock.advance(100)
        await memory.append("a", HI, version=1)
        (info,) = await memory.sessions()
        clock.advance(-1_000)
        await memory.append("a", [Message("user", "later")], version=2)
        session = await memory.load("a")
        await memory.aclose()

        assert info.updated_at - info.created_at == pytest.approx(100, abs=1)
        assert [message.content for message in session.messages] == ["hi", "hi", "later"]

    async def test_facts(self, timed: Timed) -> None:
        """Facts have times of their making and correction; the newest come first, even after the clock was set back."""
        memory, clock = timed
        await memory.remember("ann", "one")
        clock.advance(60)
        one = await memory.correct("ann", "f1", "one again")
        clock.advance(-1_000)
        await memory.remember("ann", "two")
        texts = [fact.text for fact in await memory.facts("ann")]
        await memory.aclose()

        assert one.updated_at - one.created_at == pytest.approx(60, abs=1)
        assert texts == ["two", "one again"]

    async def test_cached_answers(self, timed: Timed) -> None:
        """A cached value lives for its seconds; a read does not prolong the time."""
        memory, clock = timed
        await memory.cache("short", b"1", seconds=60)
        await memory.cache("long", b"2", seconds=600)
        await memory.cache("endless", b"3")
        clock.advance(30)
        there = [await memory.cached(key) for key in ("short", "long", "endless")]
        clock.advance(31)
        later = [await memory.cached(key) for key in ("short", "long", "endless")]
        clock.advance(1e9)
        end = [await memory.cached(key) for key in ("short", "long", "endless")]
        await memory.aclose()

        assert there == [b"1", b"2", b"3"]
        assert later == [None, b"2", b"3"]
        assert end == [None, None, b"3"]


class TestFile:
    """SQLite's file."""

    async def test_is_durable(self, tmp_path: Path) -> None:
        """An append is still there after closing and opening the file."""
        path = tmp_path / "a.db"
        calls = (ToolCall("c", "t", '{"a": 1}'),)
        first = SQLiteMemory(path)
        await first.append("s", [Message("assistant", "x", calls)], version=0, user="ann")
        await first.aclose()
        again = SQLiteMemory(path)
        session = await again.load("s")
        await again.aclose()

        assert list(session.messages) == [Message("assistant", "x", calls)]
        assert (session.version, session.user) == (1, "ann")

    async def test_is_made_at_the_first_use(self, tmp_path: Path) -> None:
        """A new backend opens nothing until its first use; closing an unused backend does nothing."""
        memory = SQLiteMemory(tmp_path / "a.db")
        await memory.aclose()

        assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a local folder

    @pytest.mark.parametrize("umask", [0o022, 0o000])
    @pytest.mark.parametrize("through_a_link", [False, True])
    async def test_is_its_owners_alone(self, tmp_path: Path, umask: int, through_a_link: bool) -> None:
        """Only the owner can read and write the database and the files beside it."""
        folder = tmp_path / "there"
        folder.mkdir()
        path = tmp_path / "link.db" if through_a_link else folder / "a.db"
        if through_a_link:
            path.symlink_to(folder / "a.db")
        before = os.umask(umask)
        try:
            memory = SQLiteMemory(path)
            await memory.append("s", HI, version=0)
            await memory.lock_session("s", wait=False)
            made = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
            await memory.aclose()
        finally:
            os.umask(before)

        assert {"a.db", "a.db-wal", "a.db-shm"} <= made.keys()
        assert set(made.values()) == {0o600}

    @pytest.mark.parametrize("mode", [0o640, 0o666])
    async def test_keeps_the_rights_that_it_has(self, tmp_path: Path, mode: int) -> None:
        """An existing file keeps its permissions, and the files beside it get the same."""
        path = tmp_path / "a.db"
        path.touch()
        path.chmod(mode)
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        await memory.lock_session("s", wait=False)
        made = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}  # noqa: ASYNC240
        await memory.aclose()

        assert made == {mode}

    async def test_is_usable_after_closing(self, tmp_path: Path) -> None:
        """Closing twice does no harm."""
        memory = SQLiteMemory(tmp_path / "a.db")
        await memory.append("s", HI, version=0)
        await memory.aclose()
        await memory.aclose()

    async def test_an_operation_that_was_cancelled_has_not_happened_or_has(self, tmp_path: Path) -> None:
        """A cancelled append is stored whole or not at all."""
        memory = SQLiteMemory(tmp_path / "a.db")
        with trio.CancelScope() as scope:
            scope.cancel()
            await memory.append("s", HI * 5, version=0)
        session = await memory.load("s")
        await memory.aclose()

        assert (len(session.messages), session.version) in ((0, 0), (5, 1))

    async def test_trios_thread_does_not_wait_for_it(self, tmp_path: Path) -> None:
        """While another connection locks the file, other tasks go on."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: memory.append("s", HI, version=1))
                for _ in range(10):
                    await trio.sleep(0.001)
                assert nursery.child_tasks
                other.execute("COMMIT")
        await memory.aclose()

    async def test_locked(self, tmp_path: Path) -> None:
        """A lasting lock raises an error with the reason; later the backend works again."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path, busy_seconds=0.05)
        await memory.append("s", HI, version=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(BackendError, match="locked") as caught:
                await memory.append("s", HI, version=1)
        assert str(path) in caught.value.message
        assert "Another process" in caught.value.hint
        assert await memory.append("s", HI, version=1) == 2
        await memory.aclose()

    async def test_locked_before_it_is_opened(self, tmp_path: Path) -> None:
        """A lasting lock at the first use raises the same error."""
        path = tmp_path / "a.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            memory = SQLiteMemory(path, busy_seconds=0.05)
            with pytest.raises(BackendError, match="locked"):
                await memory.load("s")
        assert (await memory.load("s")).version == 0
        await memory.aclose()

    async def test_not_a_database(self, tmp_path: Path) -> None:
        """A file of another kind is left unchanged, and the error names the file."""
        path = tmp_path / "notes.txt"
        path.write_text("my notes, which are quite long, and are certainly no database at all " * 20)
        before = path.read_bytes()
        with pytest.raises(BackendError, match="not a database") as caught:
            await SQLiteMemory(path).load("s")

        assert str(path) in caught.value.message
        assert "name another" in caught.value.hint
        assert path.read_bytes() == before

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """A missing folder is not made; the error names the folder to check."""
        path = tmp_path / "no" / "a.db"
        with pytest.raises(BackendError, match="unable to open") as caught:
            await SQLiteMemory(path).load("s")

        assert str(path) in caught.value.message
        assert "folder exists" in caught.value.hint

    async def test_written_by_a_newer_version(self, tmp_path: Path) -> None:
        """A file with a newer schema is left unchanged."""
        path = tmp_path / "a.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA user_version = 99")
        with pytest.raises(BackendError, match=r"newer agno_rt .schema 99") as caught:
            await SQLiteMemory(path).load("s")

        assert "Upgrade" in caught.value.hint

    async def test_a_file_of_version_1(self, tmp_path: Path) -> None:
        """A file of the first release is migrated, with its contents."""
        path = tmp_path / "a.db"
        make_version_1(path)
        memory = SQLiteMemory(path)
        session = await memory.load("old")
        await memory.append("old", [Message("assistant", "new")], version=2, user="ann", data=b"state")
        await memory.remember("ann", "Ann drinks tea.")
        await memory.cache("key", b"value")
        await memory.aclose()
        again = SQLiteMemory(path)
        after, infos = await again.load("old", 1), await again.sessions()
        kept = [fact.text for fact in await again.facts("ann")], await again.cached("key")
        await again.aclose()

        assert [message.text for message in session.messages] == ["hi", "hello"]
        assert (session.version, session.user, session.total, session.data) == (2, "ann", 2, b"")
        assert ([message.text for message in after.messages], after.version, after.data) == (["new"], 3, b"state")
        assert [(info.id, info.user, info.messages, info.created_at) for info in infos] == [("old", "ann", 3, 10.0)]
        assert kept == (["Ann drinks tea."], b"value")
        assert user_version(path) == SCHEMA_VERSION == 11

    async def test_a_file_of_version_2(self, tmp_path: Path) -> None:
        """A file of the second version keeps its sessions, data, facts and answers, and can store runs."""
        path = tmp_path / "a.db"
        make_version_1(path)
        with closing(sqlite3.connect(path)) as made, made:
            made.executescript(VERSION_2)
        memory = SQLiteMemory(path)
        session, infos = await memory.load("old"), await memory.sessions()
        facts, answer = await memory.facts("ann"), await memory.cached("key")
        await memory.append("old", [Message("user", "more")], version=2, user="ann")
        await memory.create_run(RunRecord("r", "agent", owner="me"), [Entry(0, "begun", b"0")])
        await memory.aclose()
        again = SQLiteMemory(path)
        after, (record, entries) = await again.load("old"), await again.load_run("r")
        await again.delete("old")
        await again.append("old", [Message("user", "new"), *HI], version=0)
        anew = await again.load("old")
        await again.aclose()

        assert [message.text for message in session.messages] == ["hi", "hello"]
        assert (session.version, session.total, session.data) == (2, 2, b"data")
        assert [(info.id, info.messages) for info in infos] == [("old", 2)]
        assert [(fact.id, fact.text, fact.topics) for fact in facts] == [("f1", "Ann drinks tea.", ("drinks",))]
        assert answer == b"value"
        assert [message.text for message in after.messages] == ["hi", "hello", "more"]
        assert (record.agent, entries) == ("agent", [Entry(0, "begun", b"0")])
        assert [message.text for message in anew.messages] == ["new", "hi"]
        assert user_version(path) == SCHEMA_VERSION

    async def test_sessions_that_were_stored_without_titles(self, tmp_path: Path) -> None:
        """Sessions of an older release get their first words as a title, which can be searched and renamed."""
        path = tmp_path / "a.db"
        make_version_1(path)
        with closing(sqlite3.connect(path)) as made, made:
            made.execute("INSERT INTO sessions VALUES ('odd', 'ann', 1, 10.0, 10.0)")
            made.execute("INSERT INTO messages VALUES ('odd', 1, 'no JSON')")
        memory = SQLiteMemory(path)
        infos, found = await memory.sessions(), await memory.sessions(query="HI")
        await memory.rename("old", "Called so")
        await memory.append("old", [Message("user", "more")], version=2, user="ann", agent="helper")
        info = await memory.session_info("old")
        await memory.aclose()

        assert [(each.id, each.title, each.agent) for each in infos] == [("old", "hi", ""), ("odd", "", "")]
        assert [each.id for each in found] == ["old"]
        assert info is not None
        assert (info.title, info.agent) == ("Called so", "helper")

    async def test_what_was_stored_without_checksums(self, tmp_path: Path) -> None:
        """Messages and states without checksums, from older releases, are read; new messages have checksums."""
        path = tmp_path / "a.db"
        make_version_1(path)
        with closing(sqlite3.connect(path)) as made, made:
            made.executescript(VERSION_2)
        memory = SQLiteMemory(path)
        await memory.append("old", [Message("user", "more")], version=2, user="ann")
        session = await memory.load("old")
        with closing(sqlite3.connect(path)) as other, other:
            seals = [seal for (seal,) in other.execute("SELECT seal FROM messages ORDER BY seq")]
        await memory.aclose()

        assert ([message.text for message in session.messages], session.data) == (["hi", "hello", "more"], b"data")
        assert seals[:2] == [None, None]
        assert isinstance(seals[2], int)

    async def test_a_migration_is_all_or_nothing(self, tmp_path: Path) -> None:
        """A failed migration leaves the file unchanged, for the version of its writer."""
        path = tmp_path / "a.db"
        make_version_1(path)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TABLE cache (x)")
        with pytest.raises(BackendError, match="cache already exists"):
            await SQLiteMemory(path).load("old")

        with closing(sqlite3.connect(path)) as other:
            columns = [row[1] for row in other.execute("PRAGMA table_info(sessions)")]
            tables = {row[0] for row in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert user_version(path) == 1
        assert columns == ["id", "user", "version", "created_at", "updated_at"]
        assert tables == {"sessions", "messages", "cache"}

    async def test_migrated_by_several_at_once(self, tmp_path: Path) -> None:
        """Of several backends that open an old file together, one migrates the file, and all work."""
        for number in range(20):
            path = tmp_path / f"{number}.db"
            make_version_1(path)
            together = [SQLiteMemory(path) for _ in range(6)]
            async with trio.open_nursery() as nursery:
                for memory in together:
                    nursery.start_soon(memory.load, "old")
            for memory in together:
                assert (await memory.load("old")).total == 2
                await memory.aclose()

    async def test_facts_and_answers_are_durable(self, tmp_path: Path) -> None:
        """Facts, their ids and cached answers outlast the process; an id is not used again."""
        first = SQLiteMemory(tmp_path / "a.db")
        await first.remember("ann", "one", topics=["a", "b"], session="s")
        await first.remember("ann", "two")
        await first.forget("ann", "f2")
        for key in "abc":
            await first.cache(key, key.encode())
        await first.aclose()
        second = SQLiteMemory(tmp_path / "a.db")
        three = await second.remember("ann", "three")
        facts = await second.facts("ann")
        await second.cached("a")
        await second.cache("d", b"d", size=2)
        cached = [await second.cached(key) for key in "abcd"]
        await second.aclose()

        assert three.id == "f3"
        assert [(fact.id, fact.text, fact.topics, fact.session) for fact in facts] == [
            ("f3", "three", (), None),
            ("f1", "one", ("a", "b"), "s"),
        ]
        assert cached == [b"a", None, None, b"d"]

    async def test_all_of_a_user_is_forgotten(self, tmp_path: Path) -> None:
        """After all facts of a user are forgotten, the tables do not contain the user's name."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.remember("ann-with-a-long-name", "one")
        await memory.forget("ann-with-a-long-name")
        await memory.aclose()

        with closing(sqlite3.connect(path)) as other:
            assert "ann-with-a-long-name" not in "\n".join(other.iterdump())

    async def test_an_append_that_fails_halfway_stores_nothing(self, tmp_path: Path) -> None:
        """An append with one message that cannot be stored stores nothing: no message, no data, no version."""
        memory = SQLiteMemory(tmp_path / "a.db")
        await memory.append("s", HI, version=0, data=b"one")
        with pytest.raises(BackendError):
            await memory.append("s", [*HI, Message("user", "\udcff")], version=1, data=b"two")
        session = await memory.load("s")
        await memory.aclose()

        assert (session.version, session.total, session.data) == (1, 1, b"one")

    async def test_what_has_begun_is_finished(self, tmp_path: Path) -> None:
        """A cancelled append finishes once its write has begun; a cancelled append in the queue is not begun."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        returned: list[str] = []

        async def append(session: str, version: int) -> None:
            await memory.append(session, HI, version=version, data=b"x")
            returned.append(session)

        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(append, "s", 1)
                while memory.statistics()[0].in_use == 0:  # noqa: ASYNC110 - a thread sets no event of trio's
                    await trio.sleep(0.001)
                nursery.start_soon(append, "t", 0)
                await trio.testing.wait_all_tasks_blocked()
                assert memory.statistics() == (LimitStatistics(str(path), 1, 1, 1),)
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                assert memory.statistics() == (LimitStatistics(str(path), 1, 1, 0),)
                other.execute("COMMIT")
        session, waited = await memory.load("s"), await memory.load("t")
        await memory.aclose()

        assert returned == ["s"]
        assert (session.version, session.total, session.data) == (2, 2, b"x")
        assert waited.version == 0

    async def test_a_database_of_somebody_else(self, tmp_path: Path) -> None:
        """Foreign tables with our names raise an error, not a crash."""
        path = tmp_path / "a.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE sessions (x)")
        with pytest.raises(BackendError, match="already exists"):
            await SQLiteMemory(path).load("s")

    async def test_a_damaged_message(self, tmp_path: Path) -> None:
        """An unreadable message raises an error with a hint about damage."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE messages SET body = 'junk'")
        with pytest.raises(BackendError) as caught:
            await memory.load("s")
        await memory.aclose()

        assert "damaged" in caught.value.hint

    async def test_text_that_is_no_text(self, tmp_path: Path) -> None:
        """A lone surrogate in a message or an id raises `BackendError`."""
        memory = SQLiteMemory(tmp_path / "a.db")
        with pytest.raises(BackendError):
            await memory.append("s", [Message("user", "\udcff")], version=0)
        with pytest.raises(BackendError):
            await memory.load("\udcff")
        await memory.aclose()

    async def test_read_only(self) -> None:
        """A file without write permission raises an error with a remedy at the first use."""
        with unwritable_folder() as path, pytest.raises(BackendError, match=r"readonly|unable to open") as caught:
            await SQLiteMemory(path).load("s")

        assert str(path) in caught.value.message
        assert caught.value.hint

    async def test_made_by_several_at_once(self, tmp_path: Path) -> None:
        """Several backends make one file together, and none is refused."""
        for number in range(40):
            together = [SQLiteMemory(tmp_path / f"{number}.db") for _ in range(6)]
            async with trio.open_nursery() as nursery:
                for memory in together:
                    nursery.start_soon(memory.load, "s")
            for memory in together:
                await memory.aclose()

    async def test_shared_by_processes(self, tmp_path: Path) -> None:
        """Several processes make a file and append at once, and nothing is lost."""
        path, processes, appends = tmp_path / "a.db", 4, 10
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number), str(appends)])  # noqa: ASYNC220 - the test only waits for them
            for number in range(processes)
        ]
        assert [writer.wait(120) for writer in writers] == [0] * processes
        memory = SQLiteMemory(path)
        shared, infos = await memory.load("shared"), await memory.sessions()
        facts = await memory.facts("shared", limit=1_000)
        await memory.aclose()

        assert shared.version == len(shared.messages) == processes * appends
        assert len({fact.text for fact in facts}) == len({fact.id for fact in facts}) == (processes + 1) * appends
        for number in range(processes):
            assert [m.content for m in shared.messages if m.name == str(number)] == [str(at) for at in range(appends)]
        assert {info.id: info.messages for info in infos if info.id != "shared"} == {
            f"own {number}": appends for number in range(processes)
        }


VERSION_1 = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, user TEXT, version INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_update ON sessions (updated_at);
CREATE TABLE messages (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO sessions VALUES ('old', 'ann', 2, 10.0, 20.0);
"""


VERSION_2 = """
ALTER TABLE sessions ADD COLUMN data BLOB NOT NULL DEFAULT x'';
CREATE TABLE fact_users (user TEXT PRIMARY KEY, steps INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (
    user TEXT NOT NULL REFERENCES fact_users (user) ON DELETE CASCADE, id TEXT NOT NULL, step INTEGER NOT NULL,
    sameness TEXT NOT NULL, text TEXT NOT NULL, topics BLOB NOT NULL, session TEXT,
    created_at REAL NOT NULL, updated_at REAL NOT NULL,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX facts_by_sameness ON facts (user, sameness);
CREATE TABLE cache (
    entry TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX cache_by_use ON cache (used);
CREATE INDEX cache_by_end ON cache (expires_at) WHERE expires_at IS NOT NULL;
PRAGMA user_version = 2;
UPDATE sessions SET data = CAST('data' AS BLOB);
INSERT INTO fact_users VALUES ('ann', 1);
INSERT INTO facts VALUES
    ('ann', 'f1', 1, 'ann drinks tea', 'Ann drinks tea.', CAST('["drinks"]' AS BLOB), NULL, 1.0, 1.0);
INSERT INTO cache VALUES ('key', CAST('value' AS BLOB), NULL, 1);
"""


def make_version_1(path: Path) -> None:
    """Write a file of agno-rt 0.1, with a session of two messages."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA journal_mode = WAL")
        made.executescript(VERSION_1)
        for seq, body in enumerate((b'{"role":"user","content":"hi"}', b'{"role":"assistant","content":"hello"}'), 1):
            made.execute("INSERT INTO messages VALUES ('old', ?, ?)", (seq, body))


def user_version(path: Path) -> int:
    """Return the version of the file's schema."""
    with closing(sqlite3.connect(path)) as opened:
        (version,) = opened.execute("PRAGMA user_version").fetchone()
    return int(version)


WRITER = """
import sys, trio
from pathlib import Path
from agno_rt import Message
from agno_rt.defaults.sqlite import SCHEMA_VERSION, SQLiteMemory
from agno_rt.errors import SessionConflict

async def main(path, number, appends):
    memory = SQLiteMemory(Path(path))
    for at in range(int(appends)):
        message = Message("user", str(at), name=number)
        await memory.append("own " + number, [message], version=at)
        await memory.remember("shared", "fact %s" % at)
        await memory.remember("shared", "fact %s of %s" % (at, number))
        await memory.cache("key %s" % at, number.encode(), size=5)
        while True:
            version = (await memory.load("shared", 1)).version
            try:
                await memory.append("shared", [message], version=version)
                break
            except SessionConflict:
                pass
    await memory.aclose()

trio.run(main, *sys.argv[1:])
"""


@contextmanager
def unwritable_folder() -> Iterator[Path]:
    """Yield a database in a folder, both without write permission for the process."""
    # Root may write anywhere, so root changes to another user for the block. The folder is a new one, because the other
    # user cannot enter pytest's own folders.
    folder = Path(tempfile.mkdtemp())
    path = folder / "a.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA user_version = 0")
        made.execute("CREATE TABLE other (x)")
    path.chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield path
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


class TestThroughTheRuntime:
    """URLs lead to the backends."""

    async def test_urls(self, tmp_path: Path) -> None:
        """`memory:` and `sqlite:///FILE` are URLs of backends, with relative and absolute paths."""
        host = PluginHost()
        absolute = host.memory(f"sqlite:///{tmp_path}/a.db", {})

        assert isinstance(host.memory("memory:", {}), InProcessMemory)
        assert absolute.path == tmp_path / "a.db"
        assert host.memory("sqlite:///a.db", {}).path == Path("a.db")

    @pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite:a.db", "sqlite://a.db", "sqlite:///:memory:"])
    async def test_a_url_without_file(self, url: str) -> None:
        """A URL without a file raises an error with an example."""
        with pytest.raises(UsageError, match="names no file") as caught:
            PluginHost().memory(url, {})

        assert "sqlite:///agents.db" in caught.value.hint

    async def test_a_session_survives_the_process(self, tmp_path: Path) -> None:
        """A second runtime on the same file continues the conversation."""
        url = f"sqlite:///{tmp_path}/a.db"
        with ScriptedModel(["one", "two"]) as model:
            for word in ("a", "b"):
                async with Runtime(memory=url) as rt:
                    await rt.run(Agent(model), word, session="s")

        assert [message.content for message in model.requests[1].messages] == ["a", "one", "b"]

    async def test_another_process_that_writes_without_a_lock(self, tmp_path: Path) -> None:
        """A run is stored despite another process's writes without the session's lock, and after them."""
        url = f"sqlite:///{tmp_path}/a.db"
        other = SQLiteMemory(tmp_path / "a.db")

        async def meanwhile(_: object) -> str:
            await other.append("s", [Message("user", "meanwhile")], version=0)
            return "late"

        async with Runtime(memory=url) as rt:
            result = await rt.run(Agent(ScriptedModel([meanwhile])), "a", session="s")
        stored = await other.load("s")
        await other.aclose()

        assert result.content == "late"
        assert [message.content for message in stored.messages] == ["meanwhile", "a", "late"]


@pytest.mark.parametrize("messages", [-1, 1.5, "3"])
def test_a_policy_that_makes_no_sense(messages: int) -> None:
    """The number of past messages to show is a whole number from 0 on, or `None`."""
    with pytest.raises(UsageError, match="messages"):
        MemoryPolicy(messages=messages)
