"""A bounded pool of things slow to make: a task takes a thing, gives it back to be reset, and the next task follows.

A pool pays for a browser, a client or a process, and for agents with such a thing in their tools. Making a plain
agent takes less time than taking an agent from a pool.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast, final

import attrs
import trio

from agno_rt._drive.scopes import cause, check_in_trio, raise_cause
from agno_rt.agent import Agent
from agno_rt.errors import UsageError
from agno_rt.failures import add_note, must_pass, named
from agno_rt.limiter import Limiter
from agno_rt.limits import LimitStatistics

__all__ = ["AgentPool", "Pool"]

T = TypeVar("T")

Made: TypeAlias = Awaitable[T] | AbstractAsyncContextManager[T]


@attrs.define(eq=False)
class _Kept(Generic[T]):
    """A thing of the pool. Once `unwanted` is set, the task of the thing closes the thing."""

    thing: T
    unwanted: trio.Event = attrs.Factory(trio.Event)
    closed: trio.Event = attrs.Factory(trio.Event)


class Pool(Generic[T]):
    """At most `size` things at once, each made when it is first needed, and used by one task at a time:

    `async with Pool(4, open_browser, reset=clear) as pool:`, and in any task `async with pool.take() as browser:`.

    Args:
        size: the most things at once; further tasks wait in order
        make: an async function that returns a thing, or an async context manager of one. The pool closes a thing by
            leaving its context manager, or by its `aclose`, if it has one
        reset: prepares a thing for the next task; async or not. If `reset` raises, the pool closes the thing, and makes
            another one in its place
        queue: the most tasks that may wait; the next task gets `Overloaded`. `None` lets any number wait
        timeout: seconds for a reset, and for closing a thing
        name: the pool's name in errors and `statistics()`

    At the end of the block that took a thing, even by an error or a cancellation, the thing is reset and given back
    before the block is left. Things are made, used and closed in the pool's scope: leaving the pool waits until all
    things are given back, and then closes them.

    Attributes:
        made: the number of things made so far
        dropped: the number of things that could not be reset, ended by themselves, or failed to close
        last_error: the reason why the last of the dropped things was dropped
    """

    def __init__(
        self,
        size: int,
        make: Callable[[], Made[T]],
        *,
        reset: Callable[[T], object] | None = None,
        queue: int | None = None,
        timeout: float = 10.0,
        name: str = "pool",
    ) -> None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise UsageError(f"{name}: size is {size!r}", hint="Give a whole number of at least 1.")
        if not timeout > 0:
            raise UsageError(f"{name}: timeout is {timeout!r}", hint="Give seconds above 0.")
        self.name = name
        self.made = 0
        self.dropped = 0
        self.last_error: Exception | None = None
        self._make: Callable[[], Any] = make
        self._reset = reset
        self._timeout = timeout
        self._places = Limiter(name, size, queue)
        self._idle: list[_Kept[T]] = []
        self._all: set[_Kept[T]] = set()
        self._nursery_manager: Any = None
        self._nursery: trio.Nursery | None = None
        self._left: trio.Event | None = None
        self._failures: list[Exception] = []

    @property
    def idle(self) -> int:
        """The number of things free to be taken."""
        return len(self._idle)

    def take(self) -> _Taking[T]:
        """Take a thing for a block: `async with pool.take() as thing:`.

        Waits while all things are taken. Entering with an idle thing does not wait, and is not a checkpoint. Raises as
        `make`, `Overloaded` when the queue is full, and `UsageError` if the pool is not open. To bound the time for
        waiting and making, use a cancel scope.
        """
        return _Taking(self)

    def statistics(self) -> LimitStatistics:
        """Return the size, the number of things taken, and the number of tasks waiting."""
        return self._places.statistics()

    async def aclose(self) -> None:
        """Refuse further tasks, wait until all things are given back, and close them. Leaving `async with` does this.

        A cancellation closes the things at once. Raises the first error of closing a thing.
        """
        if self._nursery is None:
            return
        if self._left is None:
            self._left = trio.Event()
        try:
            if self._places.statistics().in_use:
                await self._left.wait()
        finally:
            await self._close(*self._all)
        if self._failures:
            first, *others = self._failures
            self._failures = []
            for other in others:
                add_note(first, f"{self.name}: {named(other)}")
            raise first

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise UsageError(f"{self.name} is open already", hint="Open a pool once; share it among tasks.")
        check_in_trio(self.name)
        self._left = None
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._nursery is not None
        try:
            await self.aclose()
        except Exception as failure:
            if exc is None:
                raise
            add_note(exc, f"{self.name}: {named(failure)}")
        finally:
            try:
                await self._nursery_manager.__aexit__(None, None, None)
            except BaseExceptionGroup as group:
                raise_cause(group)
            finally:
                self._nursery = None

    async def _acquire(self) -> _Kept[T]:
        """Wait for a place, and return a thing, idle or new, which the caller gives back with the place."""
        if self._nursery is None or self._left is not None:
            raise UsageError(f"{self.name} is not open", hint="Take from it inside `async with` the pool.")
        await self._places.acquire()
        try:
            if self._left is not None:
                raise UsageError(f"{self.name} was closed meanwhile", hint="Keep it open while it is waited for.")
            # With a place there is an idle thing or room for a new one, since things are never more than places. The
            # thing used last is the likeliest to be warm.
            if self._idle:
                return self._idle.pop()
            kept: _Kept[T] = await self._nursery.start(self._keep, name=f"a thing of {self.name}")
        except BaseException as exc:
            self._leave()
            if isinstance(exc, BaseExceptionGroup):
                raise_cause(exc)
            raise
        self.made += 1
        return kept

    async def _give_back(self, kept: _Kept[T]) -> None:
        try:
            if not kept.closed.is_set() and await self._try_reset(kept):
                self._idle.append(kept)
            else:
                await self._close(kept)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._places.release()
        if self._left is not None and not self._places.statistics().in_use:
            self._left.set()

    async def _try_reset(self, kept: _Kept[T]) -> bool:
        if self._reset is None:
            return True
        try:
            # Shielded: a cancelled task must give the thing back reset, too.
            with trio.move_on_after(self._timeout, shield=True) as scope:
                done = self._reset(kept.thing)
                if inspect.isawaitable(done):
                    await done
        except BaseException as exc:
            if must_pass(exc):
                raise
            self._drop(_as_failure(exc))
            return False
        if scope.cancelled_caught:
            self._drop(TimeoutError(f"the reset took longer than {self._timeout:g} s"))
        return not scope.cancelled_caught

    def _drop(self, reason: Exception) -> None:
        self.dropped += 1
        self.last_error = reason

    async def _close(self, *all: _Kept[T]) -> None:
        # Waiting keeps the number of open things within the size. `_keep` bounds the wait by the timeout.
        for kept in all:
            kept.unwanted.set()
        with trio.CancelScope(shield=True):
            for kept in all:
                await kept.closed.wait()

    async def _keep(self, task_status: trio.TaskStatus[_Kept[T]]) -> None:
        """Make a thing and close it, in one task, since a context manager must be left in the task of its entering."""
        kept: _Kept[T] | None = None
        # `_hand_over` shields this scope: from then on a cancellation ends the user of the thing first, then the thing.
        with trio.CancelScope() as scope:
            try:
                made = self._make()
                if isinstance(made, AbstractAsyncContextManager):
                    async with made as thing:
                        kept = self._wrap(thing)
                        await self._hand_over(kept, scope, task_status)
                else:
                    kept = self._wrap(await made if inspect.isawaitable(made) else made)
                    try:
                        await self._hand_over(kept, scope, task_status)
                    finally:
                        close = getattr(kept.thing, "aclose", None)
                        if close is not None:
                            await close()
            except BaseException as exc:
                reason = cause(exc)
                if kept is None:
                    raise
                if not scope.shield or must_pass(reason):
                    self._remove(kept, None)
                    raise
                self._remove(kept, _as_failure(reason))
            else:
                self._remove(kept, None if kept.unwanted.is_set() else RuntimeError("it ended by itself"))
        if scope.cancelled_caught:
            assert kept is not None
            self._remove(kept, TimeoutError(f"closing took longer than {self._timeout:g} s"))

    def _wrap(self, thing: T) -> _Kept[T]:
        """Wrap the thing that `make` made."""
        return _Kept(thing)

    async def _hand_over(self, kept: _Kept[T], scope: trio.CancelScope, status: trio.TaskStatus[_Kept[T]]) -> None:
        """Hand the thing over, and return when it is to be closed."""
        self._all.add(kept)
        status.started(kept)
        # Before the shield, a cancellation of the task that asked for the thing ends this task, too.
        await trio.lowlevel.checkpoint_if_cancelled()
        scope.shield = True
        await kept.unwanted.wait()
        scope.deadline = trio.current_time() + self._timeout

    def _remove(self, kept: _Kept[T], reason: Exception | None) -> None:
        """Forget a thing that was closed or ended. A `reason` counts it as dropped, and as a failure while closing."""
        kept.closed.set()
        self._all.discard(kept)
        if kept in self._idle:
            self._idle.remove(kept)
        if reason is not None:
            self._drop(reason)
            if self._left is not None:
                self._failures.append(reason)


def _as_failure(exc: BaseException) -> Exception:
    """Return the exception as a failure that can be raised again without ending the program."""
    if isinstance(exc, Exception):
        return exc
    failure = RuntimeError(named(exc))
    failure.__cause__ = exc
    return failure


@final
class AgentPool(Pool[Agent]):
    """A pool of agents whose tools close over something slow to open, such as a browser. See `Pool`.

    Let `make` be an async context manager that opens the browser, yields the agent, and closes the browser; a plain
    function that returns an agent works too. If tools can ask for the browser as `Deps`, keep a `Pool` of browsers
    instead, pass one as `deps=` and share one agent. Make other agents anew: a pool of them costs more.
    """

    def __init__(
        self,
        size: int,
        make: Callable[[], Agent | Made[Agent]],
        *,
        reset: Callable[[Agent], object] | None = None,
        queue: int | None = None,
        timeout: float = 10.0,
        name: str = "agents",
    ) -> None:
        super().__init__(size, cast(Any, make), reset=reset, queue=queue, timeout=timeout, name=name)

    def _wrap(self, thing: Agent) -> _Kept[Agent]:
        if not isinstance(thing, Agent):
            hint = "Let `make` return or yield an Agent, or use Pool."
            raise UsageError(f"{self.name}: {type(thing).__name__} was made, which is not an Agent", hint=hint)
        return _Kept(thing)


@final
class _Taking(Generic[T]):
    """The async context manager of `Pool.take`: one thing for one block."""

    __slots__ = ("_kept", "_pool")

    def __init__(self, pool: Pool[T]) -> None:
        self._pool = pool
        self._kept: _Kept[T] | None = None

    async def __aenter__(self) -> T:
        if self._kept is not None:
            raise UsageError(f"{self._pool.name}: this thing was taken already", hint="Call take() for each block.")
        self._kept = await self._pool._acquire()
        return self._kept.thing

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kept, self._kept = self._kept, None
        assert kept is not None
        await self._pool._give_back(kept)
