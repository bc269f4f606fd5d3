"""Faults of SQLite's file raise errors with the file and a remedy, and lose nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trio

from agno_rt import Message
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.defaults.sqlite import sessions as _sessions
from agno_rt.defaults.sqlite.batches import Writing
from agno_rt.defaults.sqlite.file import SQLiteFile
from agno_rt.defaults.sqlite.sessions import NewMessages, encode_messages
from agno_rt.defaults.sqlite.thread import BatchThread
from agno_rt.errors import BackendError
from agno_rt.memory import DamagedWarning
from agno_rt.messages import ToolCall
from agno_rt.run_store import Approval, Decision, Entry, RunChange, RunRecord

HI = [Message("user", "hi")]
LARGE = "x" * 200_000


class SmallFile(SQLiteFile):
    """A file with a bound on its pages: SQLite treats the disk as full."""

    pages = 60

    def open(self, *, to_write: bool) -> sqlite3.Connection:
        """Open the file, and set the bound."""
        connection = super().open(to_write=to_write)
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection


class TestFull:
    """A full disk."""

    async def test_what_fits_is_stored(self, tmp_path: Path) -> None:
        """Of several writes in one batch, only the too large one fails; each caller gets its own result."""
        writer = BatchThread("writer", Writing(SmallFile(tmp_path / "a.db", 1.0, "full")))
        outcomes: dict[str, object] = {}

        async def append(session: str, text: str, version: int = 0) -> None:
            new = NewMessages(session, encode_messages([Message("user", text)]), version, None, None, 0.0, "", None)
            try:
                outcomes[session] = await writer.ask(_sessions.append_messages, new)
            except sqlite3.OperationalError as exc:
                outcomes[session] = str(exc)

        await append("first", "hi")
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(append, "second", "hi")
                while writer.statistics() != (1, 0):  # noqa: ASYNC110 - a thread sets no event of trio's
                    await trio.sleep(0.001)
                for session in "abc":
                    nursery.start_soon(append, session, "hi")
                nursery.start_soon(append, "large", LARGE * 3)
                await trio.testing.wait_all_tasks_blocked()
                other.execute("COMMIT")
        await append("last", "hi")
        writer.stop()
        await writer.stopped()
        memory = SQLiteMemory(tmp_path / "a.db")
        stored = {info.id: info.messages for info in await memory.sessions()}
        await memory.aclose()

        assert outcomes.pop("large") == "database or disk is full"
        assert outcomes == dict.fromkeys(["first", "second", "a", "b", "c", "last"], 1)
        assert stored == dict.fromkeys(outcomes, 1)

    async def test_a_full_disk(self, small_disk: Path) -> None:
        """On a full disk every write raises an error with the reason, and reads go on; with room, writes work again."""
        path, filler = small_disk / "a.db", small_disk / "filler"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        await memory.create_run(RunRecord("r", "agent", owner="me"), [Entry(0, "begun", b"0")])
        filler.write_bytes(b"")
        fill(filler)
        version, seq = 1, 1
        refused: list[BackendError] = []
        while len(refused) < 3:
            try:
                version = await memory.append("s", [Message("user", LARGE[:20_000])], version=version)
                await memory.write_run("r", [Entry(seq, "called", b"1" * 20_000)], owner="me")
                seq += 1
            except BackendError as exc:
                refused.append(exc)
            session, (record, entries) = await memory.load("s"), await memory.load_run("r")
            assert (session.version, session.total, record.entries, len(entries)) == (version, version, seq, seq)
        filler.unlink()
        assert await memory.append("s", [Message("user", LARGE[:20_000])], version=version) == version + 1
        await memory.write_run("r", [Entry(seq, "called", b"1" * 20_000)], owner="me")
        await memory.aclose()
        again = SQLiteMemory(path)
        session, (record, entries) = await again.load("s"), await again.load_run("r")
        await again.aclose()

        assert all(str(path) in exc.message and "make room" in exc.hint for exc in refused)
        assert (session.version, session.total) == (version + 1, version + 1)
        assert [entry.seq for entry in entries] == list(range(seq + 1))

    async def test_a_full_disk_at_the_first_use(self, small_disk: Path) -> None:
        """Without room for the tables the first use raises an error; with room, the same backend works."""
        path, filler = small_disk / "a.db", small_disk / "filler"
        filler.write_bytes(b"")
        fill(filler)
        memory = SQLiteMemory(path)
        with pytest.raises(BackendError) as caught:
            await memory.append("s", HI, version=0)
        filler.unlink()
        assert await memory.append("s", HI, version=0) == 1
        await memory.aclose()

        assert str(path) in caught.value.message
        assert "make room" in caught.value.hint

    def test_a_file_that_may_not_grow(self, tmp_path: Path) -> None:
        """A limit of the operating system on file sizes raises the same errors, and keeps all acknowledged messages."""
        path = tmp_path / "a.db"
        done = subprocess.run([sys.executable, "-c", BOUNDED, str(path)], capture_output=True, text=True, check=True)
        acknowledged, *errors = done.stdout.splitlines()
        with closing(sqlite3.connect(path)) as opened:
            (stored,) = opened.execute("SELECT version FROM sessions WHERE id = 's'").fetchone()

        assert int(acknowledged) == stored > 1
        assert errors == ["BackendError True True"] * 3 + ["works again"]


BOUNDED = """
import resource, sys, trio
from pathlib import Path
from agno_rt import Message
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError

async def main(path):
    memory = SQLiteMemory(Path(path))
    message = [Message("user", "x" * 20_000)]
    version = await memory.append("s", message, version=0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    lines = []
    while len(lines) < 3:
        try:
            version = await memory.append("s", message, version=version)
        except BackendError as exc:
            lines.append(f"{type(exc).__name__} {path in exc.message} {'make room' in exc.hint}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    version = await memory.append("s", message, version=version)
    session = await memory.load("s")
    assert (session.version, session.total) == (version, version)
    print(version, *lines, "works again", sep="\\n")
    await memory.aclose()

trio.run(main, sys.argv[1])
"""


def fill(file: Path) -> None:
    """Write to the file until the disk is full."""
    with file.open("ab", buffering=0) as filler, suppress(OSError):
        for size in (65_536, 4_096, 1):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Make a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can be made by root on Linux alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class TestReadOnly:
    """A file without write permission."""

    async def test_a_file_that_becomes_writable(self) -> None:
        """Reads work; writes raise an error with a remedy, and work after the remedy."""
        with somebodys_folder() as folder:
            path = folder / "a.db"
            made = SQLiteMemory(path)
            await made.append("s", HI, version=0)
            await made.aclose()
            path.chmod(0o444)
            memory = SQLiteMemory(path)
            assert (await memory.load("s")).total == 1
            for write in (
                lambda: memory.append("s", HI, version=1),
                lambda: memory.create_run(RunRecord("r", "agent")),
                lambda: memory.remember("ann", "one"),
            ):
                with pytest.raises(BackendError) as caught:
                    await write()
                assert str(path) in caught.value.message
                assert "this user may write" in caught.value.hint
            assert (await memory.load("s")).total == 1
            for each in folder.iterdir():
                each.chmod(0o644)
            assert await memory.append("s", HI, version=1) == 2
            assert (await memory.load("s")).total == 2
            await memory.aclose()

    async def test_a_file_at_rest(self) -> None:
        """A cleanly closed file in a read-only folder can be read; the backend leaves nothing in the folder."""
        with somebodys_folder() as folder:
            made = SQLiteMemory(folder / "a b?.db")
            await made.append("s", HI, version=0)
            await made.create_run(RunRecord("r", "agent"), [Entry(0, "begun", b"0")])
            await made.aclose()
            folder.chmod(0o555)
            memory = SQLiteMemory(folder / "a b?.db")
            session, record = await memory.load("s"), (await memory.load_run("r"))[0]
            infos = await memory.sessions()
            with pytest.raises(BackendError) as caught:
                await memory.append("s", HI, version=1)
            left = [each.name for each in folder.iterdir()]
            folder.chmod(0o755)
            version = await memory.append("s", HI, version=1)
            after = await memory.load("s")
            await memory.aclose()

        assert (session.total, record.agent, [info.id for info in infos]) == (1, "agent", ["s"])
        assert "this user may write" in caught.value.hint
        assert left == ["a b?.db"]
        assert (version, after.total) == (2, 2)

    async def test_a_file_in_use(self) -> None:
        """A file with a -wal beside it is never read without the -wal: an error is raised instead."""
        with somebodys_folder() as folder:
            path = folder / "a.db"
            made = SQLiteMemory(path)
            await made.append("s", HI, version=0)
            copy = folder / "copy.db"
            shutil.copy(path, copy)
            shutil.copy(f"{path}-wal", f"{copy}-wal")
            await made.aclose()
            folder.chmod(0o555)
            memory = SQLiteMemory(copy)
            with pytest.raises(BackendError) as caught:
                await memory.load("s")
            await memory.aclose()
            folder.chmod(0o755)

        assert caught.value.hint


@contextmanager
def somebodys_folder() -> Iterator[Path]:
    """Yield a folder of the user's own; root, who may write anywhere, becomes another user for the block."""
    folder, root, nobody = Path(tempfile.mkdtemp()), os.geteuid() == 0, 65534
    if root:
        os.chown(folder, nobody, nobody)
        os.seteuid(nobody)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


class TestLocked:
    """Another process locks the file for too long."""

    async def test_by_another_process(self, tmp_path: Path) -> None:
        """A write raises an error with the reason, and reads go on; after the other process has ended, writes work."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path, busy_seconds=0.05)
        await memory.append("s", HI, version=0)
        await memory.create_run(RunRecord("r", "agent", owner="me"))
        with subprocess.Popen([sys.executable, "-c", LOCKING, str(path)], stdout=subprocess.PIPE) as other:  # noqa: ASYNC220 - it answers at once
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            for _ in range(2):
                with pytest.raises(BackendError, match="locked") as caught:
                    await memory.write_run("r", [Entry(0, "begun")], owner="me")
            assert (await memory.load("s")).version == 1
            assert (await memory.load_run("r"))[1] == []
            other.kill()
        await memory.write_run("r", [Entry(0, "begun")], owner="me")
        assert len((await memory.load_run("r"))[1]) == 1
        await memory.aclose()

        assert str(path) in caught.value.message
        assert "Another process" in caught.value.hint

    async def test_a_whole_batch(self, tmp_path: Path) -> None:
        """All writes of a batch get the error, and none is stored."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path, busy_seconds=0.2)
        await memory.append("s", HI, version=0)
        refused: list[str] = []

        async def append(session: str) -> None:
            with pytest.raises(BackendError, match="locked"):
                await memory.append(session, HI, version=0)
            refused.append(session)

        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(append, f"s{number}")
        stored = await memory.sessions()
        await memory.aclose()

        assert len(refused) == 20
        assert [info.id for info in stored] == ["s"]


LOCKING = """
import signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
signal.pause()
"""


class TestDamaged:
    """Rows with garbage."""

    @pytest.mark.parametrize(
        "garbage", ["'junk'", "x'ff00'", "x''", "7", "CAST(replace(body, 'hi', 'no') AS BLOB)", "CAST(body AS TEXT)"]
    )
    async def test_a_message(self, tmp_path: Path, garbage: str) -> None:
        """The error names table, session and message; others can be read, and the damaged session can be deleted."""
        memory = await self._make_changed_file(
            tmp_path, f"UPDATE messages SET body = {garbage} WHERE session = 's' AND seq = 2"
        )
        with pytest.raises(BackendError, match=r"a\.db: table messages, message 2 of session 's'") as caught:
            await memory.load("s")
        assert len((await memory.load("s", 1)).messages) == 1
        assert (await memory.load("t")).total == 3
        assert {info.id for info in await memory.sessions()} == {"s", "t"}
        assert await memory.append("s", HI, version=1, user="ann") == 2
        assert await memory.delete("s")
        assert await memory.append("s", HI, version=0) == 1
        await memory.aclose()

        assert "damaged" in caught.value.hint
        assert "others can be read" in caught.value.hint

    @pytest.mark.parametrize("change", ["data = x'7b7d'", "data = x''", "data = 7", "user = CAST(x'ff' AS TEXT)"])
    async def test_a_session(self, tmp_path: Path, change: str) -> None:
        """A damaged state or summary raises an error with the session's name; other sessions can be read."""
        memory = await self._make_changed_file(tmp_path, f"UPDATE sessions SET {change} WHERE id = 's'")
        with pytest.raises(BackendError, match=r"table sessions, .*session 's'") as caught:
            await memory.load("s")
        assert (await memory.load("t")).data == b"state"
        await memory.aclose()

        assert "damaged" in caught.value.hint

    @pytest.mark.parametrize("missing", ["seq = 2", "seq >= 2"])
    @pytest.mark.parametrize("last", [None, 3])
    async def test_a_message_that_is_missing(self, tmp_path: Path, missing: str, last: int | None) -> None:
        """A missing message, in the middle or at the end, raises the same error."""
        memory = await self._make_changed_file(tmp_path, f"DELETE FROM messages WHERE session = 's' AND {missing}")
        with pytest.raises(BackendError, match=r"table messages, message 2 of session 's'.*missing"):
            await memory.load("s", last)
        assert (await memory.load("t")).total == 3
        await memory.aclose()

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE entries SET body = 'junk' WHERE run = 'r' AND seq = 1",
            "UPDATE entries SET body = x'00' WHERE run = 'r' AND seq = 1",
            "UPDATE entries SET kind = 'nonsense' WHERE run = 'r' AND seq = 1",
            "DELETE FROM entries WHERE run = 'r' AND seq = 1",
            "DELETE FROM entries WHERE run = 'r' AND seq >= 1",
        ],
    )
    async def test_an_entry(self, tmp_path: Path, change: str) -> None:
        """A damaged entry is never returned; other runs can be read, and the run itself is listed."""
        memory = await self._make_changed_file(tmp_path, change)
        with pytest.raises(BackendError, match=r"a\.db: table entries, entry 1 of run 'r'") as caught:
            await memory.load_run("r")
        assert len((await memory.load_run("q"))[1]) == 3
        assert {run.id for run in await memory.runs()} == {"r", "q"}
        assert await memory.delete_run("r")
        await memory.aclose()

        assert "damaged" in caught.value.hint

    @pytest.mark.parametrize(
        "change", ["status = 'nonsense'", "input = CAST(x'ff' AS TEXT)", "created_at = 'then'", "entries = x'00'"]
    )
    async def test_a_record(self, tmp_path: Path, change: str) -> None:
        """The error names the run; other runs can be read and listed."""
        memory = await self._make_changed_file(tmp_path, f"UPDATE runs SET {change} WHERE id = 'r'")
        with pytest.raises(BackendError, match="table runs, run 'r'") as caught:
            await memory.load_run("r")
        assert len((await memory.load_run("q"))[1]) == 3
        with pytest.warns(DamagedWarning, match=r"(?s)a\.db: table runs, run 'r'.*others can be read"):
            assert [run.id for run in await memory.runs()] == ["q"]
        assert await memory.delete_run("r")
        assert [run.id for run in await memory.runs()] == ["q"]
        await memory.aclose()

        assert "damaged" in caught.value.hint

    @pytest.mark.parametrize("column", ["id", "user"])
    async def test_a_session_in_a_list(self, tmp_path: Path, column: str) -> None:
        """A list has the other sessions, and a warning names the damaged session, even if its id is damaged."""
        memory = await self._make_changed_file(
            tmp_path, f"UPDATE sessions SET {column} = CAST(x'73ff' AS TEXT) WHERE id = 's'"
        )
        with pytest.warns(DamagedWarning, match=r"table sessions, session 's.*'"):
            assert [info.id for info in await memory.sessions()] == ["t"]
        await memory.aclose()

    async def test_an_approval(self, tmp_path: Path) -> None:
        """The error names the approval and its run; approvals of other runs can be listed and decided."""
        memory = await self._make_changed_file(tmp_path, "UPDATE approvals SET body = 'junk' WHERE run = 'r'")
        for ask in (lambda: memory.approvals(run="r"), lambda: memory.decide("of r", Decision("approved"))):
            with pytest.raises(BackendError, match=r"a\.db: table approvals, approval 'of r' of run 'r'"):
                await ask()
        with pytest.warns(DamagedWarning, match="table approvals, approval 'of r' of run 'r'"):
            assert [approval.id for approval in await memory.approvals()] == ["of q"]
        assert (await memory.decide("of q", Decision("approved"))).status == "approved"
        await memory.aclose()

    @pytest.mark.parametrize("change", ["topics = 'junk'", "text = CAST(x'ff' AS TEXT)"])
    @pytest.mark.parametrize("query", [None, "one two"])
    async def test_a_fact(self, tmp_path: Path, change: str, query: str | None) -> None:
        """A warning names the fact, and the user's other facts are listed."""
        memory = await self._make_changed_file(tmp_path, f"UPDATE facts SET {change} WHERE user = 'ann'")
        await memory.remember("ann", "two")
        with pytest.warns(DamagedWarning, match="table facts, fact 'f1'"):
            assert [fact.text for fact in await memory.facts("ann", query=query)] == ["two"]
        assert len(await memory.facts("bob")) == 1
        await memory.aclose()

    async def _make_changed_file(self, folder: Path, change: str) -> SQLiteMemory:
        """Make a file with some contents, and change the file behind the backend's back."""
        path = folder / "a.db"
        memory = SQLiteMemory(path)
        for session, run, user in (("s", "r", "ann"), ("t", "q", "bob")):
            await memory.append(session, HI * 3, version=0, user=user, data=b"state")
            await memory.remember(user, "one")
            await memory.create_run(RunRecord(run, "agent", owner="me"), [Entry(at, "called", b"x") for at in range(3)])
            approval = Approval(f"of {run}", run, ToolCall("c", "pay"))
            await memory.change_run(run, RunChange("paused", approvals=[approval]), owner="me")
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(change)
        return memory


class TestGone:
    """The file disappears under the backend."""

    async def test_moved_and_put_back(self, tmp_path: Path) -> None:
        """While the file is away, every use raises an error and makes no new file; afterwards all contents are back."""
        path, away = tmp_path / "a.db", tmp_path / "away.db"
        memory = SQLiteMemory(path)
        await memory.append("s", HI, version=0)
        await memory.load("s")
        path.rename(away)
        for use in (lambda: memory.append("s", HI, version=1), lambda: memory.load("s"), memory.runs):
            with pytest.raises(BackendError, match=r"a\.db: the file is gone") as caught:
                await use()
            assert not path.exists()
        away.rename(path)
        assert await memory.append("s", HI, version=1) == 2
        assert (await memory.load("s")).total == 2
        await memory.aclose()

        assert "put it back" in caught.value.hint

    async def test_replaced_by_a_backup(self, tmp_path: Path) -> None:
        """The backend continues with a backup in the file's place, and forgets what the backup does not have."""
        path, backup = tmp_path / "a.db", tmp_path / "backup.db"
        memory = SQLiteMemory(path)
        await memory.append("s", [Message("user", "old")], version=0)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
            source.backup(target)
        await memory.append("s", [Message("user", "lost")], version=1)
        assert (await memory.load("s")).total == 2
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        with pytest.raises(BackendError, match="the file is gone"):
            await memory.load("s")
        backup.rename(path)
        restored = await memory.load("s")
        assert await memory.append("s", [Message("user", "new")], version=1) == 2
        session = await memory.load("s")
        await memory.aclose()
        again = SQLiteMemory(path)
        kept = await again.load("s")
        await again.aclose()

        assert [message.text for message in restored.messages] == ["old"]
        assert [message.text for message in session.messages] == ["old", "new"]
        assert kept == session

    async def test_deleted_before_anything_was_written(self, tmp_path: Path) -> None:
        """The first write after the loss of a file that was only read does not make a new file."""
        path = tmp_path / "a.db"
        memory = SQLiteMemory(path)
        await memory.load("s")
        path.unlink()
        with pytest.raises(BackendError, match="the file is gone"):
            await memory.append("s", HI, version=0)
        await memory.aclose()
        assert await memory.append("s", HI, version=0) == 1
        await memory.aclose()


KILLS = 60 if os.environ.get("CI") else 20

STEPS = """
import sys, trio
from pathlib import Path
from agno_rt import Message
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.run_store import Appending, Entry, RunChange, RunRecord

async def steps(memory, run):
    await memory.create_run(RunRecord(run, "agent", session=run, owner="me"), [Entry(0, "begun", b"0")])
    print(run, 1, flush=True)
    for seq in range(1, 10_000):
        if seq % 10 == 0:
            message = [Message("user", str(seq))]
            change = RunChange("paused", entries=[Entry(seq, "paused")], append=Appending(run, message, seq // 10 - 1))
            await memory.change_run(run, change, owner="me")
            await memory.claim_run(run, "me", held_by=None)
        else:
            await memory.write_run(run, [Entry(seq, "called", bytes(seq % 5_000))], owner="me")
        print(run, seq + 1, flush=True)

async def main(path):
    memory = SQLiteMemory(Path(path))
    async with trio.open_nursery() as nursery:
        for run in ("a", "b", "c", "d"):
            nursery.start_soon(steps, memory, run)

trio.run(main, sys.argv[1])
"""


async def test_kill_9(tmp_path: Path, free_random: Callable[[int], int]) -> None:
    """After a kill at any moment, every acknowledged step is stored, and no journal has a gap."""
    for number in range(KILLS):
        path = tmp_path / f"{number}.db"
        acknowledged = run_until_killed(path, free_random(400))
        memory = SQLiteMemory(path)
        for run, steps in acknowledged.items():
            record, entries = await memory.load_run(run)
            assert [entry.seq for entry in entries] == list(range(len(entries)))
            assert len(entries) >= steps
            assert all(len(entry.body) == entry.seq % 5_000 for entry in entries if entry.kind == "called")
            session = await memory.load(run)
            assert session.version == session.total == (len(entries) - 1) // 10
            await memory.claim_run(run, "next", held_by=record.owner)
            await memory.write_run(run, [Entry(len(entries), "called")], owner="next")
        await memory.aclose()


def run_until_killed(path: Path, lines: int) -> dict[str, int]:
    """Kill a process after some lines; return the number of acknowledged steps of each run."""
    acknowledged: dict[str, int] = {}
    with subprocess.Popen([sys.executable, "-c", STEPS, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            if number == lines:
                child.send_signal(signal.SIGKILL)
            if line.endswith("\n"):  # a kill may cut the last line
                run, steps = line.split()
                acknowledged[run] = int(steps)
    assert child.returncode == -signal.SIGKILL
    return acknowledged


@pytest.fixture
def free_random() -> Callable[[int], int]:
    """Return a function for random numbers below a bound, different in each run of the tests."""
    return lambda bound: int.from_bytes(os.urandom(4), "big") % bound
