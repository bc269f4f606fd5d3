"""A thread that carries out operations for trio's tasks in batches: requests that arrive during a batch form the next.

Knows nothing of SQLite: a `Work` carries out the batches. All its methods are called in the thread.
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
    """An operation that a task waits for, and its outcome: a value or an error."""

    task: trio.lowlevel.Task
    token: trio.lowlevel.TrioToken
    operation: Callable[..., Any]
    args: tuple[Any, ...]
    value: Any = None
    error: Exception | None = None


class Work(Protocol):
    """The work of the thread."""

    def carry_out(self, batch: list[Item]) -> None:
        """Carry out the operations, and set each item's value or error."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class ThreadEnded(Exception):
    """The thread was told to stop before this request."""


class BatchThread:
    """A thread that starts with the first request, and ends when told to stop.

    A daemon: the end of the program drops requests that nobody waits for. Any number of trio runs may share a thread.
    """

    def __init__(self, name: str, work: Work) -> None:
        self._name = name
        self._work = work
        # Reentrant, because garbage collection may finalize the owner, which calls `stop`, while the lock is held.
        self._lock = threading.RLock()
        # In the order of the requests. Whoever takes an item out, under the lock, owns the item: the thread to carry it
        # out, or a cancelled task to give up.
        self._waiting: dict[Item, None] = {}
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._closed = False
        self._at_work = False
        self._on_end: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = []

    def statistics(self) -> tuple[int, int]:
        """Return whether a batch is under way, as 0 or 1, and how many items wait for the next."""
        return int(self._at_work), len(self._waiting)

    @trio.lowlevel.enable_ki_protection
    async def ask(self, operation: Callable[..., T], *args: Any) -> T:
        """Call `operation` in the thread; return its value or raise its error.

        A cancelled task gives up an operation that has not begun, and waits for one that has. Raises `ThreadEnded`
        after `stop`.
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
            # One signal for each batch: the thread takes all waiting items at once.
            if not self._waiting:
                self._signal.put(None)
            self._waiting[item] = None

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            with self._lock:
                # Waiting items have the value None, so `self` means that the thread has taken the item.
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
            # The traceback refers to this frame: without this, the two would be a cycle.
            del error

    def stop(self) -> None:
        """Let the thread end after its pending requests. Any thread may call this."""
        with self._lock:
            self._stopping = True
        self._signal.put(None)

    async def stopped(self) -> None:
        """Wait for the end of the thread, after `stop`."""
        ended = trio.Event()
        with self._lock:
            thread = self._thread
            if thread is None:
                return
            if self._closed:
                ended.set()
            self._on_end.append((trio.lowlevel.current_trio_token(), ended))
        await ended.wait()
        thread.join()  # returns at once: the thread has nothing more to do

    def _run(self) -> None:
        while not (self._stopping and not self._waiting):
            self._signal.get()
            while batch := self._take():
                try:
                    self._work.carry_out(batch)
                except Exception as exc:  # the tasks would wait for ever
                    for item in batch:
                        item.error = exc
                self._at_work = False
                self._wake(batch)
        self._work.close()
        with self._lock:
            self._closed = True
        for token, ended in self._on_end:
            _run_soon(token, ended.set)

    def _take(self) -> list[Item]:
        with self._lock:
            batch = list(self._waiting)
            self._waiting.clear()
            self._at_work = bool(batch)
        return batch

    def _wake(self, batch: list[Item]) -> None:
        # One call for the whole batch, in the usual case of one trio run, wakes its event loop only once.
        token = batch[0].token
        if all(item.token is token for item in batch):
            _run_soon(token, _wake_tasks, batch)
            return
        for item in batch:
            _run_soon(item.token, _wake_tasks, [item])


def _run_soon(token: trio.lowlevel.TrioToken, function: Callable[..., object], *args: Any) -> None:
    with suppress(trio.RunFinishedError):  # then the tasks are gone, too
        token.run_sync_soon(function, *args)


def _wake_tasks(batch: list[Item]) -> None:
    for item in batch:
        trio.lowlevel.reschedule(item.task)
