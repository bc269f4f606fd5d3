"""The groups of a flow: a nursery whose tasks are named branches."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import trio

from agno_rt._decide.flow_paths import Place, PlaceCounter, name_branch
from agno_rt._drive.scopes import cause
from agno_rt._flow.scope import Scope
from agno_rt.errors import JournalMismatch, UsageError
from agno_rt.failures import must_pass
from agno_rt.runnable import Group, OnError, Runnable
from agno_rt.workflows.functions import SCOPE

__all__ = ["LiveGroup"]


class LiveGroup(Group):
    """A group under way. `flow` is the `LiveFlow`; the scope is the branch around the group."""

    def __init__(self, flow: Any, scope: Scope, name: str, limit: int | None, on_error: OnError) -> None:
        if on_error not in ("cancel", "keep"):
            raise UsageError(f"on_error of the group {name!r} is {on_error!r}", hint="Give 'cancel' or 'keep'.")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise UsageError(f"limit of the group {name!r} is {limit!r}", hint="Give a whole number of at least 1.")
        self._flow = flow
        self._scope = scope
        self._place: Place = flow.take_place(scope, name)
        self.path = self._place.path
        if not flow.record.is_new:
            flow.record.check_group(self._place)
        self._keep = on_error == "keep"
        self._limit = None if limit is None else trio.Semaphore(limit)
        self._names: dict[str, None] = {}
        self._left = 0
        self._is_waiting = False
        self._failure: BaseException | None = None
        self._nursery: trio.Nursery | None = None
        self._manager: Any = None
        self.results: list[Any] = []

    def cancel(self) -> None:
        """Cancel the branches that have not ended."""
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    def start(self, what: Runnable | Callable[..., Any], *args: Any, key: str | None = None, **options: Any) -> None:
        """See `Group.start`."""
        if trio.lowlevel.current_task() is not self._scope.task:
            self._scope.check_task(f"the group {self.path}")
        if self._nursery is None:
            hint = "Start branches inside `async with flow.group(...) as group:`, before the block ends."
            raise UsageError(f"the group {self.path} is not open", hint=hint)
        number = len(self.results)
        name = name_branch(self._place, key, self._names, number)
        self._names[name] = None
        counter = PlaceCounter(f"{self.path}/{name}", (*self._place.trail, number))
        self.results.append(None)
        self._left += 1
        self._flow.waits.begin()
        self._nursery.start_soon(self._carry_out, number, counter, what, args, options, name=counter.path)

    async def _carry_out(
        self, number: int, counter: PlaceCounter, what: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        scope = Scope(self._flow, counter, trio.lowlevel.current_task(), self._limit, self._scope.overdue)
        try:
            if self._limit is not None:
                await scope.retake_share()
            if isinstance(what, Runnable):
                self.results[number] = await self._flow.run_in(scope, what, *args, **options)
            else:
                SCOPE.set(scope)
                value = what(*args, **options)
                self.results[number] = await value if inspect.isawaitable(value) else value
        except BaseException as exc:
            bare = cause(exc)
            if must_pass(bare) or not self._keep or isinstance(bare, JournalMismatch):
                self._fail(bare)
                raise
            self.results[number] = bare
        finally:
            if self._limit is not None:
                scope.give_share()
            self._left -= 1
            if self._left or not self._is_waiting:
                self._flow.waits.end()
            else:
                # The owner of the group takes over this branch's share of being busy.
                self._is_waiting = False
            # The task keeps its context, and so this scope: without the cycle it goes at once, not at a collection.
            scope.task = None

    def _fail(self, exc: BaseException) -> None:
        """Cancel the group for a failure, while this branch still counts as busy."""
        if not must_pass(exc):
            if self._failure is None:
                self._failure = exc
            else:
                self._flow.record.relate(self._failure, exc)
        self.cancel()

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if exc is not None:
            self._flow.record.is_cut |= not self._scope.counter.path
            self.cancel()
        if self._left:
            # The owner waits for the branches, and does nothing itself: it does not count as busy.
            self._is_waiting = True
            self._flow.waits.end()
        try:
            quiet: bool | None = await self._manager.__aexit__(kind, exc, traceback)
            inbox = self._flow.job.inbox
            if exc is None and inbox is not None and inbox.dropped:
                await self._flow.questions.withdraw()
            return quiet
        except BaseException as group:
            bare = cause(group)
            if not must_pass(bare) and self._failure is not None and isinstance(bare, BaseExceptionGroup):
                bare = self._failure  # the first failure is the reason for the others
            while isinstance(bare, BaseExceptionGroup) and not must_pass(bare):
                bare = bare.exceptions[0]
            if bare is group:
                raise
            try:
                raise bare from bare.__cause__
            finally:
                del bare, group
        finally:
            self._nursery = None
