"""A bounded pool of things that take a while to make: taken by one at a time, put right, and given to the next.

An agent by itself is no such thing: it is made in less time than it is taken from a pool. What pays is a browser, a
client or a process, and an agent whose tools close over one.
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
    """A thing of the pool. The task that made it closes it, when it is told that nobody wants it any more."""

    thing: T
    unwanted: trio.Event = attrs.Factory(trio.Event)
    closed: trio.Event = attrs.Factory(trio.Event)


class Pool(Generic[T]):
    """At most `size` things at once, made when they are first needed and used one by one:

    `async with Pool(4, open_browser, reset=clear) as pool:`, and in any task `async with pool.take() as browser:`.

    Args:
        size: how many there are at most; who takes one more waits in order
        make: makes one: an async function that returns it, or an async context manager of it, which is left when the
            thing is no longer wanted. What an async function made is closed by its `aclose`, if it has one
        reset: puts a thing right for the next who takes it; async or not. Whatever it raises, the thing is closed, and
            another is made in its place
        queue: how many may wait; one more is refused with `Overloaded`. `None` is any number
        timeout: seconds that a reset may take, and closing a thing
        name: what errors and `statistics()` call it

    Whatever ends the block that took a thing, an error or a cancellation too, the thing is reset and given back before
    the block is left. A thing is made, used and closed in this pool's scope: leaving the pool waits until all are given
    back, and then closes them.

    Attributes:
        made: how many things were made so far
        dropped: how many of them could not be reset, ended by themselves, or failed to close
        last_error: why the last of those was dropped
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
        """How many things wait to be taken."""
        return len(self._idle)

    def take(self) -> _Taking[T]:
        """Take a thing for a block: `async with pool.take() as thing:`.

        Waits while all are taken. With an idle one it does not wait, so entering is then no checkpoint. Raises what
        `make` raises, `Overloaded` when the queue is full, and `UsageError` where the pool is not open. Bound the wait,
        and the time that making may take, by a cancel scope.
        """
        return _Taking(self)

    def statistics(self) -> LimitStatistics:
        """How many there may be, how many are taken, and how many wait for one."""
        return self._places.statistics()

    async def aclose(self) -> None:
        """Let nobody take any more, wait until all are given back, and close them. `async with` does it.

        Cancelled, it closes them at once. Raises what closing a thing raises.
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

    async def _taken(self) -> _Kept[T]:
        """A thing, and with it a place, which is one's own from here on."""
        if self._nursery is None or self._left is not None:
            raise UsageError(f"{self.name} is not open", hint="Take from it inside `async with` the pool.")
        await self._places.acquire()
        try:
            if self._left is not None:
                raise UsageError(f"{self.name} was closed meanwhile", hint="Keep it open while it is waited for.")
            # Who holds a place finds a thing, or room for one: there are never more things than places. The one used
            # last is the likeliest to be warm.
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

    async def _given_back(self, kept: _Kept[T]) -> None:
        try:
            if not kept.closed.is_set() and await self._was_reset(kept):
                self._idle.append(kept)
            else:
                await self._close(kept)
        finally:
            self._leave()

    def _leave(self) -> None:
        self._places.release()
        if self._left is not None and not self._places.statistics().in_use:
            self._left.set()

    async def _was_reset(self, kept: _Kept[T]) -> bool:
        if self._reset is None:
            return True
        try:
            # Whoever is being cancelled gives the thing back as it should be all the same.
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
        # Waited for, so that there are never more open than the size says. It takes no longer than the timeout.
        for kept in all:
            kept.unwanted.set()
        with trio.CancelScope(shield=True):
            for kept in all:
                await kept.closed.wait()

    async def _keep(self, task_status: trio.TaskStatus[_Kept[T]]) -> None:
        """The task of a thing: makes it, and closes it. A context manager has to be left where it was entered."""
        kept: _Kept[T] | None = None
        # Once the thing is there, a cancellation reaches whoever uses it, and the thing is closed after that.
        with trio.CancelScope() as scope:
            try:
                made = self._make()
                if isinstance(made, AbstractAsyncContextManager):
                    async with made as thing:
                        kept = self._checked(thing)
                        await self._wanted(kept, scope, task_status)
                else:
                    kept = self._checked(await made if inspect.isawaitable(made) else made)
                    try:
                        await self._wanted(kept, scope, task_status)
                    finally:
                        close = getattr(kept.thing, "aclose", None)
                        if close is not None:
                            await close()
            except BaseException as exc:
                reason = cause(exc)
                if kept is None:
                    raise
                if not scope.shield or must_pass(reason):
                    self._ended(kept, None)
                    raise
                self._ended(kept, _as_failure(reason))
            else:
                self._ended(kept, None if kept.unwanted.is_set() else RuntimeError("it ended by itself"))
        if scope.cancelled_caught:
            assert kept is not None
            self._ended(kept, TimeoutError(f"closing took longer than {self._timeout:g} s"))

    def _checked(self, thing: T) -> _Kept[T]:
        """What was made, as the pool keeps it."""
        return _Kept(thing)

    async def _wanted(self, kept: _Kept[T], scope: trio.CancelScope, status: trio.TaskStatus[_Kept[T]]) -> None:
        """Hand the thing over, and return when nobody wants it any more."""
        self._all.add(kept)
        status.started(kept)
        # Where whoever asked for it is cancelled, it is still within their scope, and ends with that.
        await trio.lowlevel.checkpoint_if_cancelled()
        scope.shield = True
        await kept.unwanted.wait()
        scope.deadline = trio.current_time() + self._timeout

    def _ended(self, kept: _Kept[T], reason: Exception | None) -> None:
        """A thing is closed: by itself, or because nobody wanted it, or its closing has failed."""
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
    """A pool of agents whose tools close over something that takes a while to open. See `Pool`.

    `make` is best an async context manager that opens it, yields the agent, and closes it; a plain function that
    returns an agent will do. Where tools can ask for it as `Deps`, keep it in a `Pool`, pass it as `deps=` and share
    one agent. Agents without anything of the kind are made anew: that is cheaper.
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

    def _checked(self, thing: Agent) -> _Kept[Agent]:
        if not isinstance(thing, Agent):
            hint = "Let `make` return or yield an Agent, or use Pool."
            raise UsageError(f"{self.name}: {type(thing).__name__} was made, which is no Agent", hint=hint)
        return _Kept(thing)


@final
class _Taking(Generic[T]):
    """One thing, taken for one block."""

    __slots__ = ("_kept", "_pool")

    def __init__(self, pool: Pool[T]) -> None:
        self._pool = pool
        self._kept: _Kept[T] | None = None

    async def __aenter__(self) -> T:
        if self._kept is not None:
            raise UsageError(f"{self._pool.name}: this was taken already", hint="Call take() for each block.")
        self._kept = await self._pool._taken()
        return self._kept.thing

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kept, self._kept = self._kept, None
        assert kept is not None
        await self._pool._given_back(kept)
