"""Counts the busy branches of a flow. Pauses the flow when each branch left waits, and some wait for a person.

A flow that is asked to stop goes on until no branch is busy, and then stops.

A branch waiting for a group of its own is not busy either: the last branch of the group hands a share over. Whatever a
cancellation wakes is busy again at once, before any other task runs, so that a failure is never taken for a pause.
"""

from __future__ import annotations

from typing import Any

import trio

from agno_rt._flow.scope import Scope

__all__ = ["Waits"]


class Waits:
    """The busy and the waiting branches of one flow. `scope` is cancelled for a pause, and to stop."""

    __slots__ = ("_asking", "_busy", "is_paused", "is_stopped", "is_stopping", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_paused = False
        self.is_stopping = False
        self.is_stopped = False
        self._busy = 1
        self._asking = 0

    def begin(self) -> None:
        """Count a busy branch more."""
        self._busy += 1

    def end(self) -> None:
        """Count a busy branch less, and stop or pause if none is left."""
        self._busy -= 1
        if self._busy:
            return
        if self.is_stopping:
            self.is_stopped = True
            self.scope.cancel()
        elif self._asking:
            self.is_paused = True
            self.scope.cancel()

    def stop(self) -> None:
        """Stop the flow as soon as no branch is busy: each waits, or has come to a safe point."""
        self.is_stopping = True
        self.begin()
        self.end()

    async def wait_for_stop(self, scope: Scope) -> None:
        """Wait in this branch, at a safe point, until the flow stops. The branch's share of a limit is free then."""
        await self._park(scope, asks=False)

    async def wait_for_person(self, scope: Scope) -> None:
        """Wait in this branch until the flow pauses. The branch's share of its group's limit is free meanwhile."""
        await self._park(scope, asks=True)

    async def wait(self, scope: Scope, seconds: float, *, pauses: bool = False) -> None:
        """Wait in this branch for some seconds, without being busy. With `pauses` the flow may pause meanwhile."""
        with trio.move_on_after(seconds):
            await self._park(scope, asks=pauses)
        await scope.retake_share()

    async def _park(self, scope: Scope, *, asks: bool) -> None:
        await trio.lowlevel.checkpoint()
        scope.give_share()
        self._asking += asks
        self.end()

        def abort(raise_cancel: Any) -> trio.lowlevel.Abort:
            # At the moment of the cancellation, not when the task runs again: see above.
            self._busy += 1
            self._asking -= asks
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
