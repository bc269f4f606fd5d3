"""The scope of a stored run, for others to cancel; a flow that pauses or stops ends a part of it.

A scope of trio takes longer than a run of an agent, so a flow has none of its own in the scope of its run.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeAlias

import msgspec
import trio

__all__ = ["AnyScope", "FlowScope", "NoScope", "RunScope", "ScopePart"]


class NoScope:
    """Stands for the scope of a block that nobody cancels."""

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
