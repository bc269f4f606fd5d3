"""Opens the toolkits of a runtime, each in a task of its own, and closes them.

A toolkit may hold cancel scopes and nurseries of trio open. trio requires the same task to enter and leave a nursery.
So each open toolkit has an owner: a task to enter the context manager, hand the tools to the resolver, wait until the
runtime closes, and leave. The owners' nursery outlives the runs. Knows no agents.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import trio

from agno_rt._drive.nesting import OUTER
from agno_rt._drive.scopes import cause, check_in_trio, raise_cause
from agno_rt._runtime.closing import CLOSE_SECONDS
from agno_rt._runtime.opened import ToolkitsClosed
from agno_rt._runtime.resolve import Resolver
from agno_rt.errors import AgnoError, PluginError, UsageError
from agno_rt.events import Event, ToolkitChanged
from agno_rt.failures import add_note, must_pass, named, repr_of, text_of
from agno_rt.limits import LimitStatistics
from agno_rt.tools import Tool, Toolkit
from agno_rt.tools import tool as as_tool

__all__ = ["Toolkits", "not_open_error"]

T = TypeVar("T")

ATTEMPTS = 3
"""The most attempts to open an agent's toolkits, if a toolkit is lost before the run begins."""

OPEN_SECONDS = 60.0
"""Seconds that a toolkit may take to open."""

MOST_OPEN = 100
"""The number of open toolkits at which the runtime begins to close idle toolkits."""


class Toolkits:
    """The open toolkits of a runtime.

    A toolkit is opened once for all waiting runs, and stays open until the runtime closes. Agents made for each run may
    have toolkits of their own, without a bound: from `MOST_OPEN` on, each opening closes the toolkit used longest ago,
    except toolkits in use by a run.
    """

    def __init__(self, resolver: Resolver, tell: Callable[[Event], None]) -> None:
        self._resolver = resolver
        self._tell = tell
        self._owners: dict[Toolkit, _Owner] = {}
        self._manager: Any = None
        self._nursery: trio.Nursery | None = None
        self._may_open = False

    async def enter(self) -> None:
        """Make the nursery of the owners. `leave` must be called by the same task."""
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._may_open = True

    async def leave(self) -> None:
        """Wait for the end of the owners, after all released toolkits were closed."""
        assert self._nursery is not None
        # All owners are leaving, so a cancellation from outside has nothing to add.
        self._nursery.cancel_scope.shield = True
        try:
            await self._manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            raise_cause(group)

    def release(self) -> list[Any]:
        """Refuse to open more, and return the open toolkits to close, the last opened first."""
        self._may_open = False
        return list(reversed(self._owners.values()))

    async def open_for(self, resolve: Callable[[], T], place: Callable[[AgnoError], AgnoError]) -> T:
        """Call `resolve` until all toolkits are open, and return the result. Nothing waits after the last call.

        Raises as `resolve`, and `UsageError` or `PluginError`, with a `place`, for a toolkit that cannot be opened.
        """
        opened: list[_Owner] = []
        try:
            for _ in range(ATTEMPTS):
                try:
                    return resolve()
                except ToolkitsClosed as exc:
                    closed = exc.toolkits
                if failures := await self._open_all(closed, opened):
                    raise place(failures[0])
            try:
                return resolve()
            except ToolkitsClosed as exc:
                raise place(_make_lost_error(exc.toolkits, opened)) from None
        finally:
            for owner in opened:
                owner.wanted -= 1

    async def _open_all(self, toolkits: Mapping[Toolkit, str], opened: list[_Owner]) -> list[AgnoError]:
        """Open the toolkits, given with their specs or "", side by side, and add the owners to `opened`.

        Returns the errors of failed openings, after all are open or have failed.
        """
        check_in_trio("a Runtime")
        failures: list[AgnoError] = []
        try:
            async with trio.open_nursery() as nursery:
                for toolkit, spec in toolkits.items():
                    nursery.start_soon(self._open, toolkit, spec, failures, opened)
        except BaseExceptionGroup as group:
            raise_cause(group)
        for other in failures[1:]:
            add_note(failures[0], text_of(other))
        return failures

    def statistics(self) -> Iterator[LimitStatistics]:
        """Yield the number of open toolkits, and of runs that wait for one to open; nothing without toolkits."""
        if self._owners:
            waiting = sum(owner.waiting for owner in self._owners.values())
            yield LimitStatistics("toolkits", MOST_OPEN, len(self._owners), waiting)

    async def _open(self, toolkit: Toolkit, spec: str, failures: list[AgnoError], opened: list[_Owner]) -> None:
        """Wait until the toolkit is open, and open it if nobody does."""
        while toolkit not in self._resolver.opened:
            owner = self._owners.get(toolkit)
            if owner is None:
                owner = self._start(toolkit, spec)
            if owner.is_leaving:
                # Two connections of one toolkit are never open at once.
                await owner.gone.wait()
                continue
            await owner.wait_open()
            if owner.has_opened:
                opened.append(owner)
                owner.wanted += 1
                return  # a toolkit lost already is opened again by `open_for`, which counts the attempts
            if owner.failure is not None:
                failures.append(_make_error(toolkit, spec, owner.failure))
                return

    def _start(self, toolkit: Toolkit, spec: str) -> _Owner:
        if not self._may_open:
            raise not_open_error()
        assert self._nursery is not None
        if len(self._owners) >= MOST_OPEN:
            idle = (self._owners[other] for other in self._resolver.idle_toolkits())
            if (first := next((other for other in idle if not (other.waiting or other.wanted)), None)) is not None:
                first.leave()
        owner = self._owners[toolkit] = _Owner(toolkit, self._resolver, self._tell)
        # The toolkit outlives the first run: its task must not keep the run alive, nor count as a part of the run.
        context = contextvars.copy_context()
        context.run(OUTER.set, None)
        hold = functools.partial(self._hold, owner)
        context.run(functools.partial(self._nursery.start_soon, hold, name=owner.name))
        return owner

    async def _hold(self, owner: _Owner) -> None:
        try:
            await owner.hold()
        finally:
            del self._owners[owner.toolkit]
            owner.gone.set()


class _Owner:
    """Holds a toolkit open, from entering to leaving its context manager.

    `waiting` counts tasks waiting for the opening; `wanted` counts tasks between the opening and the start of a run.
    """

    def __init__(self, toolkit: Toolkit, resolver: Resolver, tell: Callable[[Event], None]) -> None:
        self.toolkit = toolkit
        self.name = f"toolkit {toolkit.name!r}"
        self.waiting = 0
        self.wanted = 0
        self.failure: BaseException | None = None
        self.has_opened = False
        self.is_leaving = False
        self.gone = trio.Event()
        self._resolver = resolver
        self._tell_observers = tell
        self._is_lost = False
        self._ready = trio.Event()
        self._told_to_leave = trio.Event()
        # Shielded: also in a cancelled runtime, toolkits are left after the runs.
        self._scope = trio.CancelScope(shield=True, deadline=trio.current_time() + OPEN_SECONDS)

    async def hold(self) -> None:
        """Enter the toolkit's context manager, publish the tools, wait for `leave`, and leave."""
        try:
            with self._scope:
                async with _check_manager(self.toolkit) as given:
                    await self._serve(given)
            if self._scope.cancelled_caught and not self.is_leaving:
                raise TimeoutError(f"it took longer than {OPEN_SECONDS:g} s")
        except BaseException as exc:
            if must_pass(exc):
                raise
            self.failure = cause(exc)
            self._tell("failed", error=text_of(self.failure))
        else:
            if self.has_opened:
                self._tell("closed")
        finally:
            self.is_leaving = True
            self._ready.set()

    def _tell(self, state: Any, **more: Any) -> None:
        self._tell_observers(ToolkitChanged(self.toolkit.name, state, **more))

    async def _serve(self, given: object) -> None:
        """Let runs use the yielded tools until `leave` is called or the toolkit is lost."""
        try:
            if isinstance(given, AsyncIterable):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._follow, given)
                    await self._told_to_leave.wait()
                    nursery.cancel_scope.cancel()
            else:
                self._publish(given)
                await self._told_to_leave.wait()
        finally:
            self._forget()
            self._is_lost = not self._told_to_leave.is_set()
            self._scope.deadline = trio.current_time() + CLOSE_SECONDS

    async def _follow(self, changing: AsyncIterable[object]) -> None:
        """Publish the tools each time they change, and tell observers of what the toolkit tells of itself."""
        async for given in changing:
            if isinstance(given, ToolkitChanged):
                self._tell_observers(msgspec.structs.replace(given, toolkit=self.toolkit.name))
            else:
                self._publish(given)
        if not self.has_opened:
            raise UsageError("it yielded no tools", hint="Send a list of tools first; it may be empty.")

    def _publish(self, given: object) -> None:
        tools = _make_tools(given)
        # A cancelled opening may still succeed, if the context manager waits no more.
        if not self.is_leaving:
            self._resolver.publish(self.toolkit, tools)
            self._scope.deadline = math.inf
            self._tell("changed" if self.has_opened else "opened", tools=len(tools))
            self.has_opened = True
            self._ready.set()

    async def wait_open(self) -> None:
        """Wait until the toolkit is open or has failed. If all waiting tasks are cancelled, cancel the opening."""
        self.waiting += 1
        try:
            await self._ready.wait()
        finally:
            self.waiting -= 1
            if not self.waiting and not self._ready.is_set():
                self._cancel()

    def leave(self) -> None:
        """Tell the owner of an open toolkit to leave."""
        self._forget()
        self._told_to_leave.set()

    async def aclose(self) -> None:
        """Leave the context manager and wait for the end. Raises the error of leaving, but not the error of a loss."""
        self.leave()
        if not self.has_opened:
            self._scope.cancel()
        try:
            await self.gone.wait()
        except trio.Cancelled:
            self._scope.cancel()  # `close_all` waits no longer
            raise
        if self.failure is not None and self.has_opened and not self._is_lost:
            raise self.failure

    def _cancel(self) -> None:
        self.is_leaving = True
        self._scope.cancel()

    def _forget(self) -> None:
        self.is_leaving = True
        self._resolver.forget(self.toolkit)


def not_open_error() -> UsageError:
    """Return the error of a runtime that is used before or after it is open. Raises `UsageError` outside of trio."""
    check_in_trio("a Runtime")
    return UsageError("this runtime is not open", hint="Use it inside `async with Runtime() as rt:`.")


def _check_manager(toolkit: Toolkit) -> Any:
    """Return the toolkit's context manager. Raises `UsageError` if `open` returns anything else."""
    assert toolkit.open is not None
    made: Any = toolkit.open()
    if hasattr(made, "__aenter__"):
        return made
    if inspect.iscoroutine(made):
        made.close()  # Python would warn that it was never awaited
    hint = "Put `@contextlib.asynccontextmanager` above the function, and let it yield the tools."
    raise UsageError(f"its open() returned {repr_of(made)}, not an async context manager", hint=hint)


def _make_tools(given: object) -> Sequence[Tool]:
    """Return the yielded sequence of tools and functions as tools. Raises `UsageError` for anything else."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"it yielded {repr_of(given)}, not a sequence of tools", hint="Yield a list of tools.")
    for entry in given:
        if isinstance(entry, type) or not callable(entry):
            raise UsageError(f"{repr_of(entry)} among its tools is not a tool", hint="Yield tools and functions.")
    return tuple(entry if isinstance(entry, Tool) else as_tool(entry) for entry in given)


def _make_error(toolkit: Toolkit, spec: str, failure: BaseException) -> AgnoError:
    """Return a new error for a run with a failed opening. Waiting runs must not share an error."""
    said, hint = (failure.message, failure.hint) if isinstance(failure, AgnoError) else (named(failure), "")
    problem = f"toolkit {toolkit.name!r} cannot be opened: {said}"
    hint = hint or _REMEDY
    error: AgnoError
    if isinstance(failure, UsageError):
        error = UsageError(problem, hint=hint)
    else:
        error = PluginError(problem, plugin=spec.partition(":")[0] or toolkit.name, hint=hint)
    error.__cause__ = failure
    return error


def _make_lost_error(toolkits: Mapping[Toolkit, str], opened: Sequence[_Owner]) -> PluginError:
    """Return the error of a run for toolkits lost again and again before the start of the run."""
    toolkit, spec = next(iter(toolkits.items()))
    failures = [owner.failure for owner in opened if owner.toolkit is toolkit and owner.failure is not None]
    said = f": {named(failures[-1])}" if failures else ""
    problem = f"toolkit {toolkit.name!r} is lost as soon as it is open{said}"
    error = PluginError(problem, plugin=spec.partition(":")[0] or toolkit.name, hint=_REMEDY)
    error.__cause__ = failures[-1] if failures else None
    return error


_REMEDY = "Mend what the cause says. The next run tries to open it again."
