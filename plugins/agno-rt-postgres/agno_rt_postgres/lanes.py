"""Lets one waiting task carry out the operations of all, so that many operations share a round trip and a commit.

There is neither a thread nor a background task: the first task becomes the leader of a batch, takes the waiting
operations, carries out the batch, wakes the other tasks, and makes the next waiting task a leader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import trio

from agno_rt_postgres.statements import Make

__all__ = ["Item", "Lanes"]

T = TypeVar("T")


@attrs.define(eq=False)
class Item:
    """An operation of a waiting task, and the outcome: a value or an error.

    `keys` name the changed rows. Operations with a key in common are never in the same batch. With `is_alone`, the
    operation has a batch to itself.
    """

    make: Make[Any]
    keys: frozenset[str] = frozenset()
    is_alone: bool = False
    task: trio.lowlevel.Task | None = None
    value: Any = None
    error: Exception | None = None
    is_over: bool = False


@attrs.define(eq=False)
class _Queue:
    """The waiting operations of one trio run, in the order of arrival."""

    waiting: dict[Item, None] = attrs.field(factory=dict)
    leaders: int = 0


class Lanes:
    """A number of batches at once. `carry_out` sets the value or the error of each item, shielded from cancellation.

    Trio runs in several threads have queues of their own.
    """

    def __init__(self, number: int, most: int, carry_out: Callable[[list[Item]], Awaitable[None]]) -> None:
        self.number = number
        self._most = most
        self._carry_out = carry_out
        self._queues: trio.lowlevel.RunVar[_Queue] = trio.lowlevel.RunVar("queue")

    def statistics(self) -> tuple[int, int]:
        """Return how many batches are under way, and how many operations wait."""
        try:
            queue = self._queues.get()
        except (LookupError, RuntimeError):  # nothing was asked yet, or there is no trio run
            return 0, 0
        return queue.leaders, len(queue.waiting)

    @trio.lowlevel.enable_ki_protection
    async def ask(self, item: Item) -> Any:
        """Carry out an operation, and return its value or raise its error.

        A cancelled task gives up an operation that has not begun, and waits for one that has.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        queue = self._find_queue()
        if queue.leaders < self.number:
            queue.leaders += 1
            try:
                # Tasks that are about to run join this batch.
                await trio.lowlevel.checkpoint()
            except BaseException:
                self._step_down(queue)
                raise
            await self._lead(queue, item)
        else:
            await self._follow(queue, item)
        if item.error is None:
            return item.value
        error, item.error = item.error, None
        try:
            raise error
        finally:
            del error  # the traceback refers to this frame: the two would be a cycle

    async def _follow(self, queue: _Queue, item: Item) -> None:
        item.task = trio.lowlevel.current_task()
        queue.waiting[item] = None

        def abort(raise_cancel: object) -> trio.lowlevel.Abort:
            # Waiting items have the value None, so `self` means: a leader has taken the item.
            mine = queue.waiting.pop(item, self) is None
            return trio.lowlevel.Abort.SUCCEEDED if mine else trio.lowlevel.Abort.FAILED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if not item.is_over:
            await self._lead(queue, item)

    async def _lead(self, queue: _Queue, own: Item) -> None:
        batch = _take(queue, own, self._most)
        try:
            with trio.CancelScope(shield=True):
                await self._carry_out(batch)
        except Exception as exc:  # the tasks would wait for ever
            for item in batch:
                item.error = exc
        finally:
            for item in batch:
                item.is_over = True
                if item is not own and item.task is not None:
                    trio.lowlevel.reschedule(item.task)
            self._step_down(queue)

    def _step_down(self, queue: _Queue) -> None:
        """Make the next waiting task a leader, or let the lane be free."""
        following = next(iter(queue.waiting), None)
        if following is None or following.task is None:
            queue.leaders -= 1
            return
        del queue.waiting[following]
        trio.lowlevel.reschedule(following.task)

    def _find_queue(self) -> _Queue:
        try:
            return self._queues.get()
        except LookupError:
            queue = _Queue()
            self._queues.set(queue)
            return queue


def _take(queue: _Queue, own: Item, most: int) -> list[Item]:
    """Take the operations for a batch with the leader's own."""
    batch = [own]
    if own.is_alone:
        return batch
    taken = set(own.keys)
    for item in queue.waiting:
        if len(batch) == most:
            break
        if not item.is_alone and taken.isdisjoint(item.keys):
            batch.append(item)
        # An operation left behind keeps its place before later operations on the same rows.
        taken |= item.keys
    for item in batch[1:]:
        del queue.waiting[item]
    return batch
