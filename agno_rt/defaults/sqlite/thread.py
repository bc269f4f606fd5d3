"""A thread that carries out what trio's tasks ask for, in batches: whatever is asked in the meantime is done together.

Knows nothing of SQLite: what is done with a batch is `work`'s, all of whose methods are called in that thread alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import attrs
import trio

__all__ = ["BatchThread", "Item", "ThreadEnded", "Work"]

T = TypeVar("T")


@attrs.define(eq=False)
class Item:
    """What one task asks for, and what came of it: a value, or an error."""

    task: trio.lowlevel.Task
    token: trio.lowlevel.TrioToken
    operation: Callable[..., Any]
    args: tuple[Any, ...]
    value: Any = None
    error: Exception | None = None


class Work(Protocol):
    """What is done in the thread."""

    def carry_out(self, batch: list[Item]) -> None:
        """Give each item its value or its error."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class ThreadEnded(Exception):
    """The thread was told to stop before it was asked."""


class BatchThread:
    """The thread; it is started when it is first asked for something, and ends when it is told to stop.

    A daemon: what is not waited for when the program ends is not done. Any number of trio runs may use one.
    """

    def __init__(self, name: str, work: Work) -> None:
        self._name = name
        self._work = work
        # Reentrant, because Python may throw away the owner of a thread, and tell it to stop, at any moment.
        self._lock = threading.RLock()
        # In the order in which they were asked for. Whoever takes an item out, under the lock, decides what becomes of
        # it: the thread that carries it out, or its task that is cancelled first.
        self._waiting: dict[Item, None] = {}
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._closed = False
        self._at_work = False
        self._on_end: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = []

    def statistics(self) -> tuple[int, int]:
        """Whether a batch is under way, as 0 or 1, and how many items wait for the next."""
        return int(self._at_work), len(self._waiting)

    @trio.lowlevel.enable_ki_protection
    async def ask(self, operation: Callable[..., T], *args: Any) -> T:
        """Have `operation` called in the thread, and return what it returns or raise what it raises.

        Cancelled before it is begun, it is not called; once begun, it is waited for. Raises `ThreadEnded` after a stop.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        item = Item(trio.lowlevel.current_task(), trio.lowlevel.current_trio_token(), operation, args)
        with self._lock:
            if self._stopping:
                raise ThreadEnded
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            if not self._waiting:
                self._signal.put(None)
            self._waiting[item] = None

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            with self._lock:
                mine = self._waiting.pop(item, self) is None
            return trio.lowlevel.Abort.SUCCEEDED if mine else trio.lowlevel.Abort.FAILED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if item.error is None:
            value: T = item.value
            return value
        error, item.error = item.error, None
        try:
            raise error
        finally:
            # It refers to this frame, which would refer to it.
            del error

    def stop(self) -> None:
        """Let the thread end when it has done what it was asked for until now. Any thread may say so."""
        with self._lock:
            self._stopping = True
        self._signal.put(None)

    async def stopped(self) -> None:
        """Wait for the end of the thread, which was told to stop."""
        ended = trio.Event()
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            if self._closed:
                ended.set()
            self._on_end.append((trio.lowlevel.current_trio_token(), ended))
        await ended.wait()
        thread.join()  # it has nothing more to do

    def _run(self) -> None:
        while not (self._stopping and not self._waiting):
            self._signal.get()
            while batch := self._take():
                try:
                    self._work.carry_out(batch)
                except Exception as exc:  # it would leave tasks waiting for ever
                    for item in batch:
                        item.error = exc
                self._at_work = False
                self._wake(batch)
        self._work.close()
        with self._lock:
            self._closed = True
        for token, ended in self._on_end:
            _soon(token, ended.set)

    def _take(self) -> list[Item]:
        with self._lock:
            batch = list(self._waiting)
            self._waiting.clear()
            self._at_work = bool(batch)
        return batch

    def _wake(self, batch: list[Item]) -> None:
        token = batch[0].token
        if all(item.token is token for item in batch):
            _soon(token, _reschedule, batch)
            return
        for item in batch:
            _soon(item.token, _reschedule, [item])


def _soon(token: trio.lowlevel.TrioToken, function: Callable[..., object], *args: Any) -> None:
    with suppress(trio.RunFinishedError):  # its tasks with it: nobody waits
        token.run_sync_soon(function, *args)


def _reschedule(batch: list[Item]) -> None:
    for item in batch:
        trio.lowlevel.reschedule(item.task)
