"""The inspection socket of a runtime: after any request, the next one is answered."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec
import pytest
import trio

from agno_rt import Agent, Runtime
from agno_rt._watch.socket import Gone, Inspection, Report, ask, sockets
from agno_rt.defaults.inspect import inspect
from agno_rt.errors import BackendError
from agno_rt.tasktree import TaskTree
from agno_rt.testing import ScriptedModel


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder for the test's sockets, with a short path."""
    with tempfile.TemporaryDirectory(prefix="insp") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


async def ask_process(path: Path, patience: float = 60.0) -> Report:
    """Ask like another process, outside of trio."""
    return await trio.to_thread.run_sync(ask, path, patience)


async def send(path: Path, *pieces: bytes) -> bytes:
    """Send the pieces, and return the answer."""

    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(os.fspath(path))
            for piece in pieces:
                peer.sendall(piece)
            peer.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: peer.recv(4096), b""))

    return await trio.to_thread.run_sync(talk)


class TestAnswers:
    """Reports for other processes."""

    async def test_a_runtime(self) -> None:
        """A report has the process id, the origin of the configuration, and the task tree."""
        async with Runtime(origin="agno-rt.toml") as rt:
            inspector = inspect(rt)
            report = await ask_process(inspector.path)
            inspector.close()

        assert (report.pid, report.origin, report.error) == (os.getpid(), "agno-rt.toml", "")
        assert report.tasks == TaskTree((), rt.statistics())

    async def test_a_tree_that_cannot_be_taken(self) -> None:
        """A failing snapshot is reported, and does not affect trio or the next report."""
        trees: list[TaskTree] = []

        def look() -> TaskTree:
            return trees.pop()

        inspection = Inspection(look)
        failed = await ask_process(inspection.path)
        trees.append(TaskTree())
        report = await ask_process(inspection.path)
        inspection.close()

        assert failed.error == "its tasks cannot be read: IndexError: pop from empty list"
        assert (report.error, report.tasks) == ("", TaskTree())

    @pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"\xff" * 4_096])
    async def test_garbage(self, garbage: bytes) -> None:
        """An unreadable request gets no answer, and the next request is answered."""
        inspection = Inspection(TaskTree)
        nothing = await send(inspection.path, garbage)
        report = await ask_process(inspection.path)
        inspection.close()

        assert nothing == b""
        assert report.tasks == TaskTree()

    async def test_a_request_in_pieces(self) -> None:
        """A request may come in pieces; unknown fields are ignored."""
        inspection = Inspection(TaskTree)
        answer = await send(inspection.path, b'{"patience": 60', b', "later": 1}\n')
        inspection.close()

        assert msgspec.json.decode(answer, type=Report).tasks == TaskTree()

    async def test_an_answer_that_comes_too_late(self) -> None:
        """A late answer of a blocked event loop is not used for the next request."""
        numbers = iter(range(10))
        inspection = Inspection(lambda: TaskTree(limits=tuple(rt.statistics()[: next(numbers)])))
        async with Runtime() as rt:
            reports: list[Report] = []
            # trio's own thread waits here, until the other thread reports the loop as blocked.
            thread = threading.Thread(target=lambda: reports.append(ask(inspection.path, 0.05)))
            thread.start()
            thread.join()
            report = await ask_process(inspection.path)
        inspection.close()

        assert reports[0].blocked is not None
        assert "test_an_answer_that_comes_too_late" in "".join(reports[0].blocked.stack)
        assert report.tasks is not None
        assert len(report.tasks.limits) == 1


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can be somebody else")
async def test_somebody_else_is_told_nothing(place: Path) -> None:
    """Other users get no answer, even if the folder's permissions let them in."""
    inspection = Inspection(TaskTree)
    for path, mode in ((place, 0o755), (place / "agno-rt", 0o755), (inspection.path, 0o666)):
        os.chmod(path, mode)
    talk = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(9))"
    command = ["python3", "-I", "-S", "-c", talk, str(inspection.path)]

    done = await trio.run_process(command, user=65_534, capture_stdout=True)
    report = await ask_process(inspection.path)
    inspection.close()

    assert done.stdout == b"b''\n"
    assert report.tasks == TaskTree()


class TestClosing:
    """Closing of the socket."""

    async def test_leaves_nothing(self, place: Path) -> None:
        """Closing, even twice, removes the socket and the thread, and later callers get `Gone`."""
        before = set(threading.enumerate())
        inspection = Inspection(TaskTree)
        assert sockets() == [(os.getpid(), inspection.path)]
        await inspection.aclose()
        await inspection.aclose()

        assert set(threading.enumerate()) <= before  # idle threads of tests before may have ended
        assert os.listdir(place / "agno-rt") == []
        with pytest.raises(Gone):
            ask(inspection.path)

    async def test_while_somebody_asks(self) -> None:
        """A waiting caller gets an error at once."""
        entered = threading.Event()

        def look() -> TaskTree:
            raise AssertionError("not before it is closed")

        inspection = Inspection(look)
        reports: list[Report | None] = []

        def talk() -> None:
            entered.set()
            try:
                reports.append(ask(inspection.path, 60.0))
            except Gone:
                reports.append(None)

        thread = threading.Thread(target=talk)
        thread.start()
        entered.wait()
        inspection.close()
        thread.join()

        assert [report and report.error for report in reports] in ([None], ["its runtime has been closed"])


class TestFolder:
    """The folder of the sockets."""

    async def test_without_a_runtime_folder(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without `XDG_RUNTIME_DIR` the sockets are in a temporary folder; searches always include the folder."""
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        inspection = Inspection(TaskTree)
        assert inspection.path.parent == place / f"agno-rt-{os.getuid()}"
        assert inspection.path.parent.stat().st_mode & 0o777 == 0o700

        monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
        assert sockets() == [(os.getpid(), inspection.path)]
        inspection.close()

    async def test_of_others(self, place: Path) -> None:
        """A folder writable by others is refused, and its sockets are not listed."""
        (place / "agno-rt").mkdir(mode=0o777)
        (place / "agno-rt" / "1.0.sock").touch()
        with pytest.raises(BackendError, match="not a folder that belongs to this user alone") as caught:
            Inspection(TaskTree)

        assert "chmod 700" in caught.value.hint
        assert sockets() == []

    async def test_a_link(self, place: Path) -> None:
        """A link instead of the folder is not followed."""
        (place / "elsewhere").mkdir(mode=0o700)
        (place / "agno-rt").symlink_to(place / "elsewhere")
        with pytest.raises(BackendError, match="not a folder that belongs to this user alone"):
            Inspection(TaskTree)

    async def test_a_path_that_is_too_long(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names a path beyond the length of sockets, and a remedy."""
        long = place / ("x" * 100)
        long.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
        with pytest.raises(BackendError, match="cannot be made") as caught:
            Inspection(TaskTree)

        assert "short path" in caught.value.hint
        assert list((long / "agno-rt").iterdir()) == []

    async def test_the_plugin_says_why(self, place: Path) -> None:
        """A runtime with a failing inspect plugin does not open."""
        (place / "agno-rt").mkdir(mode=0o755)
        with pytest.raises(BackendError, match="alone"):
            async with Runtime(observers=["inspect"]):
                pass


async def test_it_changes_no_run() -> None:
    """The inspect observer does not change a run's result, and raises at no event."""
    async with Runtime(observers=["inspect"]) as rt:
        result = await rt.run(Agent(ScriptedModel(["ok"])), "x")
        (_, path), *_ = sockets()
        report = await ask_process(path)
        for observer in rt._observers.heard:
            if isinstance(observer, Inspection):
                observer.close()

    assert result.content == "ok"
    assert report.tasks is not None
    assert report.tasks.runs == ()


def test_a_process_of_another_version() -> None:
    """A malformed answer is reported as another version of the process."""
    with tempfile.TemporaryDirectory(prefix="insp") as name, socket.socket(socket.AF_UNIX) as listener:
        path = Path(name) / f"{os.getpid()}.0.sock"
        listener.bind(os.fspath(path))
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b'{"pid": "one"}')

        thread = threading.Thread(target=answer)
        thread.start()
        report = ask(path)
        thread.join()

    assert "another version" in report.error
    assert attrs.evolve(report, error="") == Report(os.getpid())
