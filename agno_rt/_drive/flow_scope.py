"""The scopes of a flow under way: each branch is one task, and names the things that it does."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import trio

from agno_rt._decide.flow_paths import Place, PlaceCounter
from agno_rt.errors import UsageError

__all__ = ["SCOPE", "Scope"]


class Scope:
    """A branch of a flow: its task, its names, and its share of a group's limit, if there is one."""

    __slots__ = ("_limit", "counter", "flow", "task")

    def __init__(self, flow: Any, counter: PlaceCounter, limit: trio.Semaphore | None = None) -> None:
        self.flow = flow
        self.counter = counter
        self.task = trio.lowlevel.current_task()
        self._limit = limit

    def check_task(self, what: str) -> None:
        """Raise `UsageError` if the present task is not the branch's: the flow did not start the task."""
        if trio.lowlevel.current_task() is not self.task:
            path = f"{self.counter.path}/{what}" if self.counter.path else what
            hint = "Start it as a branch: `async with flow.group() as group: group.start(...)`."
            raise UsageError(f"{path} was used in a task that the flow did not start", hint=hint)

    def take(self, name: str) -> Place:
        """Return the place of the next use of the name in this branch. Raises `UsageError` as `check_task`."""
        self.check_task(name)
        return self.counter.take(name)


SCOPE: ContextVar[Scope | None] = ContextVar("agno_rt_scope", default=None)
"""The branch of the present task; unset inside a run within the flow, whose tools are not part of the flow."""
