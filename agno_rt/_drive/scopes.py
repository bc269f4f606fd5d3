"""Translates trio's scopes and groups for callers: a deadline by its name, one cause for a group, a status.

A stored run has a scope for others to cancel. A flow that pauses or stops ends a part of it.
"""

from __future__ import annotations

import builtins
import math
import sys
import warnings
from types import TracebackType
from typing import NoReturn, Self, TypeAlias
from weakref import WeakKeyDictionary

import msgspec
import trio

from agno_rt.errors import DeadlineExceeded, LimitExceeded, RunCancelled, UsageError
from agno_rt.events import Status
from agno_rt.failures import find_passing, leaves, let_pass, must_pass

__all__ = [
    "DEADLINES",
    "AnyScope",
    "FlowScope",
    "NoScope",
    "RunScope",
    "RunStopped",
    "ScopePart",
    "cause",
    "check_in_trio",
    "check_outside_trio",
    "deadline",
    "ended_as",
    "is_loop_blocked",
    "raise_cause",
    "raise_first",
]


def _is_cancelling() -> bool:
    """Return whether trio cancels this task. Otherwise a `Cancelled` was kept and raised again: a failure."""
    return not trio.lowlevel.in_trio_task() or trio.current_effective_deadline() == -math.inf


let_pass(trio.Cancelled, when=_is_cancelling)


class RunStopped(RunCancelled):
    """Ends a run at a safe point. `run` tells the stopped run from the runs around it."""

    def __init__(self, message: str, *, run: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.run = run


DEADLINES: WeakKeyDictionary[trio.CancelScope, str] = WeakKeyDictionary()
"""The limit behind each deadline under way, for the task tree."""


def deadline(seconds: float, limit: str, what: str, did: str = "took longer than") -> _Deadline:
    """Cancel the block after `seconds`, and raise `DeadlineExceeded` with the limit's name."""
    return _Deadline(seconds, limit, what, did)


class _Deadline:
    """A class: a generator's context manager would set the exception's traceback, and an exception may be frozen."""

    __slots__ = ("_did", "_limit", "_scope", "_seconds", "_what")

    def __init__(self, seconds: float, limit: str, what: str, did: str) -> None:
        self._seconds = seconds
        self._limit = limit
        self._what = what
        self._did = did

    def __enter__(self) -> trio.CancelScope:
        scope = self._scope = trio.move_on_after(self._seconds)
        DEADLINES[scope] = self._limit
        return scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Before the scope takes its Cancelled out of the group, after which the rest would look like a failure.
        bare = None if exc is None else cause(exc)
        self._scope.__exit__(None if bare is None else type(bare), bare, None if bare is None else bare.__traceback__)
        if self._scope.cancelled_caught:
            raise DeadlineExceeded(
                f"{self._what} {self._did} {self._seconds:g} s",
                limit=self._limit,
                hint=f"Raise Limits({self._limit}=...) if it should take longer.",
            )
        if isinstance(exc, BaseExceptionGroup):
            raise_cause(exc)


def cause(exc: BaseException) -> BaseException:
    """Return the exception to raise for a group; the group itself if several parts failed independently.

    An interrupt comes first. Then a cancellation: failures during a cancellation matter less, and trio must get
    `Cancelled` back. Then a failure, if there is only one.
    """
    parts = list(leaves(exc))
    ends = list(find_passing(exc))
    if ends:
        return next((leaf for leaf in ends if not isinstance(leaf, trio.Cancelled)), ends[0])
    return parts[0] if len(parts) == 1 else exc


def raise_cause(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the exception that `cause` picks for the group, keeping the exception's `__cause__`."""
    exc = cause(group)
    try:
        raise exc from exc.__cause__
    finally:
        # Otherwise the exception would hold this frame, and the frame the exception: a cycle for the collector.
        del exc


def raise_first(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the exception that `cause` picks for the group; the first of several failures of equal tasks."""
    exc = cause(group)
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    try:
        raise exc from exc.__cause__
    finally:
        del exc, group  # as above


def ended_as(exc: BaseException) -> Status:
    """Return the status of a run, call or request ended by this exception or group."""
    exc = cause(exc)
    if isinstance(exc, trio.Cancelled) and must_pass(exc):
        return "cancelled"
    return "limited" if isinstance(exc, LimitExceeded) else "failed"


def check_in_trio(what: str) -> None:
    """Raise `UsageError` if trio does not run: under asyncio, or without an event loop."""
    if trio.lowlevel.in_trio_run():
        return
    raise UsageError(
        f"{what} was used outside of trio",
        hint=(
            "In an asyncio program, use agno_rt.from_asyncio.AsyncioRuntime in its place; else begin the program with "
            "trio.run(main). For one run from synchronous code there is agno_rt.run(agent, input)."
        ),
    )


def check_outside_trio() -> None:
    """Raise `UsageError` for `agno_rt.run` inside trio; warn that it blocks a running asyncio loop."""
    if trio.lowlevel.in_trio_run():
        raise UsageError("run() was called inside trio", hint="There, `async with Runtime() as rt: await rt.run(...)`.")
    if is_loop_blocked():
        warnings.warn(
            "run() blocks the asyncio loop in which it was called until the run is over. There, use `async with "
            "agno_rt.from_asyncio.AsyncioRuntime() as rt: await rt.run(...)`.",
            ResourceWarning,
            stacklevel=3,
        )


def is_loop_blocked() -> bool:
    """Return whether a long call here blocks an asyncio loop other than a notebook's.

    IPython and Jupyter make `get_ipython` a builtin; their loop waits for the cell in any case.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or hasattr(builtins, "get_ipython"):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class NoScope:
    """Stands for the scope of a block that nobody cancels: a scope of trio takes longer than a run of an agent."""

    __slots__ = ()

    cancel_called = False

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing."""

    def cancel(self) -> None:
        """Refuse: whoever can cancel the block gives it a scope."""
        raise AssertionError("a block without a scope was cancelled")


class RunScope:
    """A scope of trio, of which `ScopePart` can cancel a part."""

    __slots__ = ("_is_cancelled", "_scope")

    _scope: trio.CancelScope

    def __enter__(self) -> Self:
        self._is_cancelled = False
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._scope.__exit__(kind, exc, traceback)

    @property
    def deadline(self) -> float:
        """The time on trio's clock at which the run is cancelled."""
        return self._scope.deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        """Change the deadline."""
        self._scope.deadline = deadline

    def cancel(self) -> None:
        """Cancel the whole run."""
        self._is_cancelled = True
        self._scope.cancel()

    def cancel_part(self) -> None:
        """Cancel the present part of the run, which then calls `renew`."""
        self._scope.cancel()

    def renew(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End a cancelled part of the run: return True if nothing but the cancellation ended it. The run can go on."""
        deadline = self._scope.deadline
        if self._is_cancelled or trio.current_time() >= deadline:
            return None  # the run is over, too
        try:
            return self._scope.__exit__(kind, exc, traceback)
        finally:
            # A cancelled scope of trio stays so. Nothing was opened inside of it, or trio would have refused.
            self._scope = trio.CancelScope(deadline=deadline)
            self._scope.__enter__()


class ScopePart(msgspec.Struct, eq=False):
    """A scope around a part of a run: cancelled with the run, or by itself. No other scope may be open in between."""

    around: RunScope
    is_cancelled: bool = False
    is_over: bool = False

    @property
    def cancel_called(self) -> bool:
        """True if the part was cancelled by itself."""
        return self.is_cancelled

    def __enter__(self) -> None:
        """Do nothing: the scope around holds the part."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.is_over = True
        return self.around.renew(kind, exc, traceback) if self.is_cancelled else None

    def cancel(self) -> None:
        """Cancel the part."""
        if not self.is_over:
            self.is_cancelled = True
            self.around.cancel_part()


FlowScope: TypeAlias = trio.CancelScope | ScopePart | NoScope
"""A scope around a flow's main function, cancelled for a pause and to stop."""

AnyScope: TypeAlias = trio.CancelScope | RunScope
"""A scope around a run, for others to cancel."""
