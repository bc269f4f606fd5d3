"""`no_orphans` finds leaked tasks, threads, processes, files and sockets, and objects dropped without closing."""

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
from functools import partial
from pathlib import Path

import pytest
import trio

from agno_rt import Agent, Runtime
from agno_rt.testing import ScriptedModel, _leaks, no_orphans

HERE = r"\(.*test_testing_orphans.py:\d+\)"


def expect_leak(text: str, *, flags: int = 0) -> pytest.RaisesExc[AssertionError]:
    """Expect a single leak with the text."""
    return pytest.raises(AssertionError, match=re.compile(rf"^1 thing was left behind:\n- {text}", flags))


class TestTasks:
    """No task outlives its block."""

    async def test_a_system_task(self) -> None:
        """System tasks are searched, too; the message has the place of the start."""

        async def lost() -> None:
            await trio.sleep_forever()

        with expect_leak(rf"task .*lost, in lost {HERE}, started in test_a_system_task {HERE}"), no_orphans():
            trio.lowlevel.spawn_system_task(lost)

    async def test_a_task_in_a_nursery_outside(self) -> None:
        """A task in an outer nursery is a leak, except if started before the block."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="before")
            with expect_leak("task mine"), no_orphans():
                nursery.start_soon(trio.sleep_forever, name="mine")
            with no_orphans():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    async def test_tasks_that_have_ended(self) -> None:
        """Ended tasks are not leaks."""
        with no_orphans():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 0)

    async def test_a_run(self) -> None:
        """A runtime with background runs leaves nothing."""
        with no_orphans():
            async with Runtime() as rt:
                run = await rt.start(Agent(ScriptedModel(["one"])), "x")
                await run.wait()
                await rt.start(Agent(ScriptedModel(["two"])), "x")


class TestResources:
    """Resources that stay open."""

    def test_a_socket_that_is_dropped(self) -> None:
        """A dropped socket is a leak."""
        with expect_leak(r"unclosed <socket.socket .*> \(noticed at .*\)"), no_orphans():
            socket.socket()

    def test_a_socket_that_is_kept(self) -> None:
        """An open socket with a reference is a leak."""
        with expect_leak(r"open file \d+, socket:.*: <socket.socket fd="), no_orphans():
            kept = socket.socket()
        kept.close()

    def test_a_file_that_is_kept(self, tmp_path: Path) -> None:
        """An open file is reported with its path."""
        with expect_leak(r"open file \d+, .*notes.txt: <_io.FileIO name="), no_orphans():
            kept = (tmp_path / "notes.txt").open("w")
        kept.close()

    def test_a_descriptor_without_an_object(self) -> None:
        """A descriptor without a Python object is a leak."""
        with pytest.raises(AssertionError, match=r"2 things were left behind:\n- open file \d+, pipe:"), no_orphans():
            ends = os.pipe()
        for end in ends:
            os.close(end)

    def test_what_is_closed(self, tmp_path: Path) -> None:
        """Files opened before the block, or closed in the block, are not leaks."""
        with (tmp_path / "a").open("w"), no_orphans(), (tmp_path / "b").open("w"), socket.socket():
            pass

    def test_in_a_cycle(self) -> None:
        """A socket in a reference cycle is found by a garbage collection."""

        class Holder:
            def __init__(self) -> None:
                self.me = self
                self.socket = socket.socket()

        with expect_leak("unclosed <socket.socket"), no_orphans():
            Holder()

    def test_garbage_of_before(self) -> None:
        """Garbage from before the block is not a leak of the block."""
        ring: list[object] = []
        ring.extend((ring, socket.socket()))
        del ring
        with pytest.warns(ResourceWarning, match="unclosed <socket"), no_orphans():
            pass

    def test_says_where_it_was_made(self) -> None:
        """With tracemalloc the message has the place of creation."""
        tracemalloc.start(10)
        try:
            with expect_leak(r"unclosed <socket.socket .*, made at .*test_testing_orphans.py:\d+$"), no_orphans():
                socket.socket()
        finally:
            tracemalloc.stop()

    def test_other_warnings_pass(self) -> None:
        """Warnings about unclosed objects are collected; other warnings pass."""
        with pytest.warns(UserWarning, match="mind this"), no_orphans():
            warnings.warn("mind this", UserWarning, stacklevel=1)

    async def test_a_coroutine(self) -> None:
        """A coroutine never awaited is a leak, with the line of its creation."""
        found = r"coroutine 'sleep' was never awaited\n.*line \d+, in test_a_coroutine\n.*trio.sleep\(1\)"
        with expect_leak(found, flags=re.DOTALL), no_orphans():
            trio.sleep(1)  # type: ignore[unused-coroutine]  # noqa: ASYNC105 - that is what is found

    async def test_an_async_generator(self) -> None:
        """An async generator left before its end is a leak."""

        async def numbers() -> AsyncGenerator[int, None]:
            yield 1
            yield 2

        with expect_leak("Async generator .*numbers' was garbage collected"), no_orphans():
            async for _ in numbers():
                break

    @pytest.mark.usefixtures("impatient")
    async def test_a_thread_that_is_abandoned(self) -> None:
        """An abandoned worker thread at work is a leak, even if idle before the block."""
        go_on, begun = threading.Event(), threading.Event()
        await trio.to_thread.run_sync(int)
        with expect_leak(rf"thread work from .*, in work {HERE}"), no_orphans():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(trio.to_thread.run_sync, work, go_on, begun, abandon_on_cancel=True))
                while not begun.is_set():
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        go_on.set()

    async def test_idle_worker_threads(self) -> None:
        """trio's idle worker threads are not leaks, and ending threads get a short time."""
        go_on = threading.Event()
        with no_orphans():
            await trio.to_thread.run_sync(int)
            threading.Thread(target=work, args=(go_on,)).start()
            go_on.set()

    @pytest.mark.usefixtures("impatient")
    def test_a_thread(self) -> None:
        """A running thread is a leak, with its current place."""
        go_on, begun = threading.Event(), threading.Event()
        thread = threading.Thread(target=work, args=(go_on, begun), name="worker")
        with expect_leak(f"thread worker, in work {HERE}"), no_orphans():
            thread.start()
            assert begun.wait(60)
        go_on.set()
        thread.join()

    @pytest.mark.usefixtures("impatient")
    def test_a_process(self, program: Callable[[str], subprocess.Popen[bytes]]) -> None:
        """A running process is a leak, with its command; so is an ended process without a wait."""
        with expect_leak(r"process \d+ \(.*python.* -c input\(\)\)"), no_orphans():
            process = program("input()")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.wait()

        with expect_leak(r"process \d+ \(.*\), which has ended and was not waited for"), no_orphans():
            process = program("")
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    async def test_a_process_that_was_waited_for(self) -> None:
        """An ended and reaped process is not a leak."""
        with no_orphans():
            await trio.run_process([sys.executable, "-c", ""])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time for leaks to end."""
    monkeypatch.setattr(_leaks, "GRACE", 0.05)


@pytest.fixture
def program() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start Python programs, killed at the end. They share one pipe, so that no file of theirs counts as a leak."""
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


def work(go_on: threading.Event, begun: threading.Event | None = None) -> None:
    """Wait for the event, after saying that the work has begun."""
    if begun is not None:
        begun.set()
    go_on.wait()


class TestTheBlock:
    """Conditions of the search."""

    def test_a_block_that_raises(self) -> None:
        """A block's own error is raised, without its leaks."""
        kept: list[socket.socket] = []
        with pytest.raises(ZeroDivisionError), no_orphans():  # noqa: PT012 - what comes before the error is left
            kept.append(socket.socket())
            raise ZeroDivisionError
        kept[0].close()

    def test_what_is_allowed(self) -> None:
        """Patterns in `allow` match the words of the message."""
        with expect_leak("open file .* socket:"), no_orphans(allow=["open file .* pipe:"]):
            kept = socket.socket()
        kept.close()
        with no_orphans(allow=["^thread ", "socket"]):
            kept = socket.socket()
        kept.close()

    async def test_tasks_alone(self) -> None:
        """`resources=False` skips the slow part, for a scenario with a thousand runs."""
        with no_orphans(resources=False):
            kept = socket.socket()
        kept.close()
        with expect_leak("task trio.sleep_forever"), no_orphans(resources=False):
            trio.lowlevel.spawn_system_task(trio.sleep_forever)

    def test_around_a_whole_trio_run(self) -> None:
        """Outside of trio, the block checks the leaks of a whole trio run."""

        async def main() -> None:
            await trio.open_tcp_listeners(0, host="127.0.0.1")

        with pytest.raises(AssertionError, match="unclosed <socket"), no_orphans():
            trio.run(main)

    def test_leaves_python_as_it_was(self) -> None:
        """Filters, the display of warnings and coroutine tracking are restored."""
        before = (list(warnings.filters), warnings.showwarning, sys.get_coroutine_origin_tracking_depth())
        with no_orphans():
            gc.collect()

        assert (list(warnings.filters), warnings.showwarning, sys.get_coroutine_origin_tracking_depth()) == before
