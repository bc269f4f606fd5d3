"""The scopes of a flow under way: each branch is a task, and names the steps in the task."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from agno_rt._decide.flow_paths import Place, PlaceCounter
from agno_rt.errors import AgnoError, UsageError

__all__ = ["Scope"]


class Scope(msgspec.Struct, eq=False):
    """A branch of a flow: the task, the names of steps, and the share of a group's `limit`, if any.

    `task` is None after the end of the branch. `overdue` is the error of the present block in an earlier process:
    nothing new begins in the block.
    """

    flow: Any
    counter: PlaceCounter
    task: trio.lowlevel.Task | None
    limit: trio.Semaphore | None = None
    overdue: AgnoError | None = None
    has_share: bool = False

    async def retake_share(self) -> None:
        """Take the branch's share of the group's limit, if any. Wait for a free share."""
        if self.limit is not None and not self.has_share:
            await self.limit.acquire()
            self.has_share = True

    def give_share(self) -> None:
        """Give the branch's share of the group's limit to another branch."""
        if self.limit is not None and self.has_share:
            self.has_share = False
            self.limit.release()

    def check_task(self, what: str) -> None:
        """Raise `UsageError` if the present task is not the branch's: the flow did not start the task."""
        if trio.lowlevel.current_task() is not self.task:
            path = f"{self.counter.path}/{what}" if self.counter.path else what
            hint = "Start it as a branch: `async with flow.group() as group: group.start(...)`."
            raise UsageError(f"{path} was used in a task that the flow did not start", hint=hint)

    def take(self, name: str) -> Place:
        """Return the place of the next use of the name in the branch. Raises `UsageError` as `check_task`."""
        if trio.lowlevel.current_task() is not self.task:
            self.check_task(name)
        return self.counter.take(name)
