"""What `no_orphans` finds: tasks, threads, processes, files and sockets, and what is dropped unclosed."""

from __future__ import annotations

import gc
import os
import re
import socket
import subprocess
import sys
import threading
import tracemalloc
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest
import trio

from agno_rt import Agent, Runtime
from agno_rt.testing import ScriptedModel, _leaks, no_orphans

HERE = r"\(.*test_testing_orphans.py:\d+\)"


def left(text: str, *, flags: int = 0) -> pytest.RaisesExc[AssertionError]:
    """Expect one thing that is left behind, in these words."""
    return pytest.raises(AssertionError, match=re.compile(rf"^1 thing was left behind:\n- {text}", flags))


class TestTasks:
    """No task outlives its block."""

    async def test_a_system_task(self) -> None:
        """Trio's own branch of the tree is looked at, too; the message says where the task was started."""

        async def lost() -> None:
            await trio.sleep_forever()

        with left(rf"task .*lost, in lost {HERE}, started in test_a_system_task {HERE}"), no_orphans():
            trio.lowlevel.spawn_system_task(lost)

    async def test_a_task_in_a_nursery_outside(self) -> None:
        """A task that was given to somebody else's nursery is left as well; one that was there before is not."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="before")
            with left("task mine"), no_orphans():
                nursery.start_soon(trio.sleep_forever, name="mine")
            with no_orphans():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    async def test_tasks_that_have_ended(self) -> None:
        """Those that ended in time are nobody's business."""
        with no_orphans():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0)

    async def test_a_run(self) -> None:
        """A whole runtime with background runs leaves nothing."""
        with no_orphans():
            async with Runtime() as rt:
                run = await rt.start(Agent(ScriptedModel(["one"])), "x")
                await run.wait()
                await rt.start(Agent(ScriptedModel(["two"])), "x")


class TestResources:
    """Nothing stays open."""

    def test_a_socket_that_is_dropped(self) -> None:
        """One that nobody has any more."""
        with left(r"unclosed <socket.socket .*> \(noticed at .*\)"), no_orphans():
            socket.socket()

    def test_a_socket_that_is_kept(self) -> None:
        """One that somebody still has."""
        with left(r"open file \d+, socket:.*: <socket.socket fd="), no_orphans():
            kept = socket.socket()
        kept.close()

    def test_a_file_that_is_kept(self, tmp_path: Path) -> None:
        """Named by its path."""
        with left(r"open file \d+, .*notes.txt: <_io.FileIO name="), no_orphans():
            kept = (tmp_path / "notes.txt").open("w")
        kept.close()

    def test_a_descriptor_without_an_object(self) -> None:
        """One that only the system knows."""
        with pytest.raises(AssertionError, match=r"2 things were left behind:\n- open file \d+, pipe:"), no_orphans():
            ends = os.pipe()
        for end in ends:
            os.close(end)

    def test_what_is_closed(self, tmp_path: Path) -> None:
        """What was open before, and what is closed in time, is nobody's business."""
        with (tmp_path / "a").open("w"), no_orphans(), (tmp_path / "b").open("w"), socket.socket():
            pass

    def test_in_a_cycle(self) -> None:
        """Garbage that only the collector finds."""

        class Holder:
            def __init__(self) -> None:
                self.me = self
                self.socket = socket.socket()

        with left("unclosed <socket.socket"), no_orphans():
            Holder()

    def test_garbage_of_before(self) -> None:
        """What was dropped before the block is not the block's."""
        ring: list[object] = []
        ring.extend((ring, socket.socket()))
        del ring
        with pytest.warns(ResourceWarning, match="unclosed <socket"), no_orphans():
            pass

    def test_says_where_it_was_made(self) -> None:
        """While tracemalloc is on."""
        tracemalloc.start(10)
        try:
            with left(r"unclosed <socket.socket .*, made at .*test_testing_orphans.py:\d+$"), no_orphans():
                socket.socket()
        finally:
            tracemalloc.stop()

    def test_other_warnings_pass(self) -> None:
        """Only what tells of something unclosed is taken; the rest goes where it went."""
        with pytest.warns(UserWarning, match="mind this"), no_orphans():
            warnings.warn("mind this", UserWarning, stacklevel=1)

    async def test_a_coroutine(self) -> None:
        """One that was never awaited, with the line that made it."""
        found = r"coroutine 'sleep' was never awaited\n.*line \d+, in test_a_coroutine\n.*trio.sleep\(1\)"
        with left(found, flags=re.DOTALL), no_orphans():
            trio.sleep(1)  # type: ignore[unused-coroutine]  # noqa: ASYNC105 - that is what is found

    async def test_an_async_generator(self) -> None:
        """One that was left before its end."""

        async def numbers() -> AsyncGenerator[int, None]:
            yield 1
            yield 2

        with left("Async generator .*numbers' was garbage collected"), no_orphans():
            async for _ in numbers():
                break

    @pytest.mark.usefixtures("impatient")
    async def test_a_thread_that_is_abandoned(self) -> None:
        """A worker thread at work, even where it had nothing to do before."""
        go_on = threading.Event()
        await trio.to_thread.run_sync(int)
        with left(rf"thread work from .*, in work {HERE}"), no_orphans():
            with trio.move_on_after(0.01):
                await trio.to_thread.run_sync(work, go_on, abandon_on_cancel=True)
        go_on.set()

    async def test_idle_worker_threads(self) -> None:
        """Those that trio keeps may stay, and threads that are about to end are waited for."""
        go_on = threading.Event()
        with no_orphans():
            await trio.to_thread.run_sync(int)
            threading.Thread(target=work, args=(go_on,)).start()
            go_on.set()

    @pytest.mark.usefixtures("impatient")
    def test_a_thread(self) -> None:
        """One that goes on, with what it is at."""
        go_on = threading.Event()
        thread = threading.Thread(target=work, args=(go_on,), name="worker")
        with left(f"thread worker, in work {HERE}"), no_orphans():
            thread.start()
        go_on.set()
        thread.join()

    @pytest.mark.usefixtures("impatient")
    def test_a_process(self, program: Callable[[str], subprocess.Popen[bytes]]) -> None:
        """One that goes on, with its command; and one that ended, but was not waited for."""
        with left(r"process \d+ \(.*python.* -c input\(\)\)"), no_orphans():
            process = program("input()")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.wait()

        with left(r"process \d+ \(.*\), which has ended and was not waited for"), no_orphans():
            process = program("")
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    async def test_a_process_that_was_waited_for(self) -> None:
        """Nothing is left of one that ended and was reaped."""
        with no_orphans():
            await trio.run_process([sys.executable, "-c", ""])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for what will not end."""
    monkeypatch.setattr(_leaks, "GRACE", 0.05)


@pytest.fixture
def program() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start Python programs that are killed in the end. They have no pipe here, only a terminal's end that waits."""
    made: list[subprocess.Popen[bytes]] = []
    reader, writer = os.pipe()

    def start(code: str) -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, "-c", code], stdin=reader))
        return made[-1]

    yield start
    os.close(reader)
    os.close(writer)
    for process in made:
        process.kill()
        process.wait()


def work(go_on: threading.Event) -> None:
    """Wait until it may go on."""
    go_on.wait()


class TestTheBlock:
    """When it looks, and when it does not."""

    def test_a_block_that_raises(self) -> None:
        """It has a reason of its own; what it left behind only follows from it."""
        kept: list[socket.socket] = []
        with pytest.raises(ZeroDivisionError), no_orphans():  # noqa: PT012 - what comes before the error is left
            kept.append(socket.socket())
            raise ZeroDivisionError
        kept[0].close()

    def test_what_is_allowed(self) -> None:
        """Patterns name what may stay, in the words of the message."""
        with left("open file .* socket:"), no_orphans(allow=["open file .* pipe:"]):
            kept = socket.socket()
        kept.close()
        with no_orphans(allow=["^thread ", "socket"]):
            kept = socket.socket()
        kept.close()

    async def test_tasks_alone(self) -> None:
        """For a scenario that runs a thousand times, the slow part of it may be left out."""
        with no_orphans(resources=False):
            kept = socket.socket()
        kept.close()
        with left("task trio.sleep_forever"), no_orphans(resources=False):
            trio.lowlevel.spawn_system_task(trio.sleep_forever)

    def test_around_a_whole_trio_run(self) -> None:
        """Outside of trio it looks at what the run has left."""

        async def main() -> None:
            await trio.open_tcp_listeners(0, host="127.0.0.1")

        with pytest.raises(AssertionError, match="unclosed <socket"), no_orphans():
            trio.run(main)

    def test_leaves_python_as_it_was(self) -> None:
        """Filters, the way in which warnings are shown, and the tracking of coroutines."""
        before = (list(warnings.filters), warnings.showwarning, sys.get_coroutine_origin_tracking_depth())
        with no_orphans():
            gc.collect()

        assert (list(warnings.filters), warnings.showwarning, sys.get_coroutine_origin_tracking_depth()) == before
