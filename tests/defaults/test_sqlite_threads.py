"""SQLite's backend writes in batches, reads beside any writer, and ends its threads."""

from __future__ import annotations

import functools
import gc
import sqlite3
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Message
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import AgnoError, BackendError, SessionConflict, UsageError
from agno_rt.limits import LimitStatistics
from agno_rt.plugins import PluginHost
from agno_rt.run_store import Appending, Entry, RunChange, RunConflict, RunRecord
from agno_rt.testing import no_orphans

HI = [Message("user", "hi")]


@contextmanager
def hold_write_lock(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold SQLite's write lock, until the block ends or commits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def wait_until_writing(memory: SQLiteMemory) -> None:
    """Wait until the writing thread is at work."""
    while memory.statistics()[0].in_use == 0:  # noqa: ASYNC110 - a thread sets no event of trio's
        await trio.sleep(0.001)


def count_commits(path: Path) -> int:
    """Return the number of transactions in the write-ahead log: frames with the size of the file after a commit."""
    log = path.with_name(path.name + "-wal").read_bytes()
    (page,) = struct.unpack(">I", log[8:12])
    return sum(log[at + 4 : at + 8] != bytes(4) for at in range(32, len(log), 24 + page))


def list_threads(path: Path) -> list[str]:
    """Return the names of the backend's threads."""
    return sorted(thread.name for thread in threading.enumerate() if str(path) in thread.name)


class TestWriting:
    """One thread writes, in batches."""

    async def test_what_waits_is_one_transaction(self, tmp_path: Path) -> None:
        """Writes gather during another write, and are stored in one transaction."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("first", HI, version=0)
        before = count_commits(path)

        async def append(number: int) -> None:
            assert await memory.append(f"s{number}", HI, version=0) == 1

        async with trio.open_nursery() as nursery:
            with hold_write_lock(path) as other:
                nursery.start_soon(append, 0)
                await wait_until_writing(memory)
                for number in range(1, 100):
                    nursery.start_soon(append, number)
                await wait_all_tasks_blocked()
                assert memory.statistics() == (LimitStatistics(str(path), 1, 1, 99),)
                other.execute("COMMIT")
        assert memory.statistics() == (LimitStatistics(str(path), 1, 0, 0),)
        assert count_commits(path) == before + 2
        assert len(await memory.sessions(limit=1_000)) == 101
        await memory.aclose()

    async def test_one_that_fails_among_others(self, tmp_path: Path) -> None:
        """Each writer gets its own result: early and late failures do not affect other writes of the batch."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        await memory.create_run(RunRecord("r", "agent", owner="me"))
        outcomes: dict[str, object] = {}

        async def note(name: str, write: Callable[[], Awaitable[object]]) -> None:
            try:
                outcomes[name] = await write()
            except AgnoError as exc:
                outcomes[name] = type(exc)

        late = RunChange("completed", "\udcff", entries=[Entry(0, "ended")], append=Appending("late", HI, 0))
        writes: dict[str, Callable[[], Awaitable[object]]] = {
            "good": lambda: memory.append("good", HI, version=0),
            "conflict": lambda: memory.append("s", HI, version=0),
            "taken": lambda: memory.create_run(RunRecord("r", "agent")),
            "late": lambda: memory.change_run("r", late, owner="me"),
            "forgotten": lambda: memory.forget("ann"),
            "new": lambda: memory.create_run(RunRecord("new", "agent")),
        }
        async with trio.open_nursery() as nursery:
            with hold_write_lock(path) as other:
                nursery.start_soon(note, "first", lambda: memory.append("first", HI, version=0))
                await wait_until_writing(memory)
                for name, write in writes.items():
                    nursery.start_soon(note, name, write)
                await wait_all_tasks_blocked()
                other.execute("COMMIT")
        record, _ = await memory.load_run("r")
        versions = [(await memory.load(session)).version for session in ("first", "good", "s", "late")]
        runs = {run.id for run in await memory.runs()}
        await memory.aclose()

        assert outcomes == {
            "first": 1,
            "good": 1,
            "conflict": SessionConflict,
            "taken": RunConflict,
            "late": BackendError,
            "forgotten": 0,
            "new": None,
        }
        assert versions == [1, 1, 1, 0]
        assert (record.status, runs) == ("running", {"r", "new"})

    async def test_those_that_are_cancelled(self, tmp_path: Path) -> None:
        """A cancelled write in the queue is not stored; a cancelled write under way is stored, and returns."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        returned: list[str] = []

        async def append(session: str) -> None:
            await memory.append(session, HI, version=0)
            returned.append(session)

        with hold_write_lock(path) as other:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(append, "begun")
                await wait_until_writing(memory)
                for number in range(50):
                    nursery.start_soon(append, f"s{number}")
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                    nursery.cancel_scope.cancel()
                    await wait_all_tasks_blocked()
                    other.execute("COMMIT")
        stored = {info.id for info in await memory.sessions()}
        await memory.aclose()

        assert returned == ["begun"]
        assert stored == {"s", "begun"}

    async def test_a_batch_in_which_each_call_fails_by_surprise(self, tmp_path: Path) -> None:
        """An unexpected error is raised unchanged, and the next write works."""
        memory = SQLiteMemory(tmp_path / "a.db")
        with pytest.raises(AttributeError):
            await memory.create_run("no record")  # type: ignore[arg-type]  # the point of it
        await memory.append("s", HI, version=0)
        await memory.aclose()


class TestReading:
    """Another thread reads, beside any writer."""

    async def test_does_not_wait_for_whoever_writes(self, tmp_path: Path) -> None:
        """Reads go on while another process writes, and while our own write waits."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        async with trio.open_nursery() as nursery:
            with hold_write_lock(path) as other:
                nursery.start_soon(lambda: memory.append("s", HI, version=1))
                await wait_until_writing(memory)
                assert (await memory.load("s")).version == 1
                assert await memory.runs() == []
                again = SQLiteMemory(path)
                assert (await again.load("s")).version == 1
                await again.aclose()
                other.execute("COMMIT")
        assert (await memory.load("s")).version == 2
        await memory.aclose()

    async def test_sees_what_was_written(self, tmp_path: Path) -> None:
        """A read sees each acknowledged write of the process, and the writes of others."""
        path = tmp_path / "a.db"
        memory, other = SQLiteMemory(path), SQLiteMemory(path)

        async def converse(session: str) -> None:
            for version in range(20):
                writer = (memory, other)[version % 2]
                assert await writer.append(session, [Message("user", str(version))], version=version) == version + 1
                for reader in (memory, other):
                    loaded = await reader.load(session, 3)
                    expected = [str(at) for at in range(max(0, version - 2), version + 1)]
                    assert [message.text for message in loaded.messages] == expected
                    assert (loaded.version, loaded.total) == (version + 1, version + 1)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(converse, f"s{number}")
        await memory.aclose()
        await other.aclose()

    async def test_a_session_that_somebody_else_made_anew(self, tmp_path: Path) -> None:
        """A session deleted and made again by another process, up to the same version, is read anew."""
        path = tmp_path / "a.db"
        memory, other = SQLiteMemory(path), SQLiteMemory(path)
        await memory.append("s", [Message("user", "old")] * 3, version=0)
        old = await memory.load("s")
        await other.delete("s")
        gone = await memory.load("s")
        await other.append("s", [Message("user", "new")] * 3, version=0)
        new = await memory.load("s")
        await other.delete("s")
        await other.append("s", [Message("user", "newer")] * 3, version=0)
        newer = await memory.load("s")
        await memory.aclose()
        await other.aclose()

        assert {message.text for message in old.messages} == {"old"}
        assert (gone.version, gone.total, list(gone.messages)) == (0, 0, [])
        assert [message.text for message in new.messages] == ["new"] * 3
        assert [message.text for message in newer.messages] == ["newer"] * 3

    @pytest.mark.parametrize("lasts", [(3, None, 1), (None, 2, 600), (1, 500, 0, None), (300, 301, 299)])
    async def test_any_number_of_last_messages(self, tmp_path: Path, lasts: tuple[int | None, ...]) -> None:
        """Earlier reads do not change the last messages of a later read, even of a long session."""
        memory = SQLiteMemory(tmp_path / "a.db")
        texts: list[str] = []
        for version in range(6):
            new = [f"{version} {at}" for at in range(100)]
            await memory.append("s", [Message("user", text) for text in new], version=version)
            texts += new
            for last in lasts:
                loaded = await memory.load("s", last)
                expected = texts if last is None else texts[max(0, len(texts) - last) :]
                assert [message.text for message in loaded.messages] == expected
        await memory.aclose()

    async def test_large_messages(self, tmp_path: Path) -> None:
        """Sessions larger than the reader's cache are read whole."""
        memory = SQLiteMemory(tmp_path / "a.db")
        for number in range(6):
            await memory.append(f"s{number}", [Message("user", str(number) * 8_000_000)], version=0)
        for number in (0, 5, 3, 0):
            (message,) = (await memory.load(f"s{number}")).messages
            assert message.text == str(number) * 8_000_000
        await memory.aclose()


class TestThreads:
    """Threads start at the first use, and end with the backend."""

    async def test_none_before_the_first_use(self, tmp_path: Path) -> None:
        """A new backend starts no thread; closing an unused backend does nothing."""
        memory = SQLiteMemory(tmp_path / "a.db")
        assert memory.statistics()[0].in_use == 0
        assert list_threads(tmp_path) == []
        await memory.aclose()

    def test_leaves_nothing(self, tmp_path: Path) -> None:
        """Two trio runs use the backend one after another and close it; no thread and no file is left."""
        memory = SQLiteMemory(tmp_path / "a.db")

        async def main(version: int) -> None:
            await memory.append("s", HI, version=version)
            assert len(list_threads(tmp_path)) == 1
            assert (await memory.load("s")).version == version + 1
            assert len(list_threads(tmp_path)) == 2
            await memory.aclose()
            assert list_threads(tmp_path) == []

        with no_orphans():
            for version in range(3):
                trio.run(main, version)

    def test_used_by_one_run_after_another(self, tmp_path: Path) -> None:
        """An open backend serves the next trio run as well."""
        memory = SQLiteMemory(tmp_path / "a.db")

        async def main(version: int) -> int:
            assert (await memory.load("s")).version == version
            return await memory.append("s", HI, version=version)

        with no_orphans():
            assert [trio.run(main, version) for version in range(3)] == [1, 2, 3]
            trio.run(memory.aclose)

    def test_used_by_two_runs_at_once(self, tmp_path: Path) -> None:
        """Two trio runs in separate threads share a backend, and each gets its own results."""
        memory = SQLiteMemory(tmp_path / "a.db")

        async def main(name: str) -> None:
            async def converse(session: str) -> None:
                for version in range(10):
                    assert await memory.append(session, [Message("user", session)], version=version) == version + 1
                    loaded = await memory.load(session)
                    assert [message.text for message in loaded.messages] == [session] * (version + 1)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(converse, f"{name} {number}")
            done.append(name)

        done: list[str] = []
        threads = [threading.Thread(target=trio.run, args=(main, name)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        trio.run(memory.aclose)

        assert sorted(done) == ["a", "b"]

    def test_one_that_is_dropped(self, tmp_path: Path) -> None:
        """A dropped backend, although never closed, ends its threads and closes its file."""

        async def main() -> None:
            memory = SQLiteMemory(tmp_path / "a.db")
            await memory.append("s", HI, version=0)
            await memory.load("s")

        with no_orphans():
            trio.run(main)
            gc.collect()

    async def test_closing_stores_what_was_asked_for(self, tmp_path: Path) -> None:
        """Closing first stores the waiting writes; the backend can be used again afterwards."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)

        async def append(number: int) -> None:
            await memory.append(f"s{number}", HI, version=0)

        async with trio.open_nursery() as nursery:
            with hold_write_lock(path) as other:
                nursery.start_soon(append, 0)
                await wait_until_writing(memory)
                for number in range(1, 10):
                    nursery.start_soon(append, number)
                await wait_all_tasks_blocked()
                nursery.start_soon(memory.aclose)
                await wait_all_tasks_blocked()
                other.execute("COMMIT")
        assert list_threads(path) == []
        assert len(await memory.sessions()) == 11
        await memory.aclose()

    async def test_closing_while_it_is_cancelled(self, tmp_path: Path) -> None:
        """Closing waits for its threads, even when cancelled."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        with trio.CancelScope() as scope:
            scope.cancel()
            await memory.aclose()
        assert list_threads(path) == []

    async def test_closed_by_two_at_once(self, tmp_path: Path) -> None:
        """Two tasks can close a backend at once, while others use it."""
        memory = SQLiteMemory(tmp_path / "a.db")
        for version in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(functools.partial(memory.append, "s", HI, version=version))
                nursery.start_soon(memory.aclose)
                nursery.start_soon(memory.aclose)
                nursery.start_soon(memory.load, "s")
        assert (await memory.load("s")).version == 20
        await memory.aclose()
        assert list_threads(tmp_path) == []


class TestOptions:
    """Options after the file in a URL."""

    @pytest.mark.parametrize(
        ("options", "level"), [("", 2), ("?", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)]
    )
    async def test_synchronous(self, tmp_path: Path, options: str, level: int) -> None:
        """`synchronous` sets the wait for the disk; by default a write waits until the data are on the disk."""
        memory = PluginHost().memory(f"sqlite:///{tmp_path}/a.db{options}", {})
        await memory.append("s", HI, version=0)
        found = await memory._threads.write(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
        await memory.aclose()

        assert memory.path == tmp_path / "a.db"
        assert found == (level,)

    @pytest.mark.parametrize(
        ("options", "hint"),
        [
            ("?synchronus=full", "Did you mean 'synchronous'?"),
            ("?synchronous=off", "Known: full, normal"),
            ("?synchronous", "Known: full, normal"),
            (
                "?synchronous=full&x=1",
                "Known: keep, lease, older_than, sessions_keep, sessions_older_than, synchronous",
            ),
        ],
    )
    def test_unknown(self, options: str, hint: str) -> None:
        """An unknown option or value raises an error with the known ones."""
        with pytest.raises(UsageError, match=r"a\.db") as caught:
            PluginHost().memory(f"sqlite:///a.db{options}", {})

        assert hint in caught.value.hint
