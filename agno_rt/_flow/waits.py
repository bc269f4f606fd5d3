"""Counts the busy branches of a flow. Pauses the flow when each branch left waits, and some wait for a person.

A flow that is asked to stop goes on until no branch is busy, and then stops.

A branch waiting for a group of its own is not busy either: the last branch of the group hands a share over. Whatever a
cancellation wakes is busy again at once, before any other task runs, so that a failure is never taken for a pause.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import trio

from agno_rt._drive.news import News
from agno_rt._drive.scopes import FlowScope
from agno_rt._flow.scope import Scope
from agno_rt.errors import UsageError

__all__ = ["LOOK_SECONDS", "SLEEP_SECONDS", "Wait", "Waits"]

LOOK_SECONDS = 1.0
"""Seconds between two looks into the store, while other branches are busy or the wait has an end."""

SLEEP_SECONDS = 10.0
"""The shortest sleep that pauses a flow in a runtime that wakes runs: a pause costs a write, and its end a replay."""


_NO_NEWS = News()
"""The news of flows that are not stored: nobody tells any."""


def _is_free() -> bool:
    return False


@attrs.frozen
class Wait:
    """One wait of a branch.

    Attributes:
        asks: it ends from outside, by a person or a signal: the flow pauses when only such waits are left
        holds: something from outside may end it before its time: the flow does not sleep meanwhile
        until: the time of its end, in seconds since the epoch; `None` without an end
        most: the seconds after which the branch looks again
        topics: the news that end it
    """

    asks: bool = False
    holds: bool = False
    until: float | None = None
    most: float = math.inf
    topics: Sequence[str] = ()


class Waits:
    """The busy and the waiting branches of one flow. `scope` is cancelled for a pause, and to stop.

    `wakes_at` is the earliest end of a wait in a paused flow. With `may_sleep` the flow also pauses if all its branches
    sleep, since the runtime wakes it. While `is_held()` is true, runs in the background are at work, which a pause
    would cut off: branches look again, so that it need not be told of their end.
    """

    __slots__ = (
        "_busy",
        "_news",
        "_waiting",
        "is_held",
        "is_paused",
        "is_stopped",
        "is_stopping",
        "may_sleep",
        "scope",
        "wakes_at",
    )

    def __init__(self, scope: FlowScope, news: News | None = None, *, may_sleep: bool = False) -> None:
        self.scope = scope
        self.is_held: Callable[[], bool] = _is_free
        self.is_paused = False
        self.wakes_at: float | None = None
        self._news = _NO_NEWS if news is None else news
        self.may_sleep = may_sleep
        self.is_stopping = False
        self.is_stopped = False
        self._busy = 1
        self._waiting: dict[trio.lowlevel.Task, Wait] = {}

    def begin(self) -> None:
        """Count a busy branch more."""
        self._busy += 1

    def end(self) -> None:
        """Count a busy branch less, and stop or pause if none is left."""
        self._busy -= 1
        if self._busy:
            return
        waits = self._waiting.values()
        if self.is_stopping:
            self.is_stopped = True
            self._cancel()
        elif (any(wait.asks for wait in waits) or self._is_asleep()) and not self.is_held():
            self.is_paused = True
            self.wakes_at = min((wait.until for wait in waits if wait.until is not None), default=None)
            self._cancel()

    def _cancel(self) -> None:
        self.scope.cancel()
        here = trio.lowlevel.current_task()
        for task in [each for each in self._waiting if each is not here]:
            # The cancellation reached every other wait.
            self._wake(task)
            trio.lowlevel.reschedule(task)

    def _wake(self, task: trio.lowlevel.Task) -> None:
        self._busy += 1
        del self._waiting[task]

    def _is_asleep(self) -> bool:
        """Return whether every branch sleeps for long, in a runtime that wakes runs."""
        if not self.may_sleep or any(wait.holds for wait in self._waiting.values()):
            return False
        ends = [wait.until for wait in self._waiting.values() if wait.until is not None]
        return bool(ends) and min(ends) - time.time() > SLEEP_SECONDS

    def stop(self) -> None:
        """Stop the flow as soon as no branch is busy: each waits, or has come to a safe point."""
        self.is_stopping = True
        self.begin()
        self.end()

    async def wait_for_stop(self, scope: Scope) -> None:
        """Wait in this branch, at a safe point, until the flow stops. The branch's share of a limit is free then."""
        await self._park(scope, Wait())

    async def wait(self, scope: Scope, wait: Wait) -> None:
        """Wait in this branch, without being busy. The branch's share of its group's limit is free meanwhile."""
        seconds = wait.most if wait.until is None else min(wait.most, max(0.0, wait.until - time.time()))
        with trio.move_on_after(seconds) as timed, self._news.waiting_for(wait.topics, timed):
            await self._park(scope, wait)

    async def _park(self, scope: Scope, wait: Wait) -> None:
        await trio.lowlevel.checkpoint()
        scope.give_share()
        task = trio.lowlevel.current_task()
        self._waiting[task] = wait
        self.end()
        if self.scope.cancel_called and trio.current_effective_deadline() != -math.inf:
            self._wake(task)
            raise _shielded_error()

        def abort(raise_cancel: Any) -> trio.lowlevel.Abort:
            # At the moment of the cancellation, not when the task runs again: see above.
            self._wake(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        raise _shielded_error()  # only `_cancel` wakes a wait that is not cancelled


def _shielded_error() -> UsageError:
    hint = "Wait outside of `trio.CancelScope(shield=True)`: a flow that pauses or stops cancels its waits."
    return UsageError("a branch of the flow waits in a shielded scope, and the flow cannot pause", hint=hint)
