"""The worker threads of one runtime, where its sync tools run; and those that were given up and have not ended.

A thread cannot be stopped. One whose call timed out or was cancelled gives its place back at once, so that tools which
hang keep nobody else waiting; it is counted until it ends, and once too many are, no further thread is begun.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import trio

from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics

if TYPE_CHECKING:
    from agno_rt._drive.tool_process import Processes

__all__ = ["Thread", "Threads", "Workers"]


class Threads:
    """The threads of one runtime: `places` bounds those that somebody waits for.

    Take a place before `run`, and give it back afterwards, however the call ended.
    """

    __slots__ = ("_abandoned", "_most_abandoned", "places")

    def __init__(self, total: int, most_abandoned: int) -> None:
        self.places = Limiter("threads", total)
        self._most_abandoned = most_abandoned
        self._abandoned: set[Thread] = set()

    def refusal(self, tool: str) -> str | None:
        """Return why no further thread may be begun, naming the tools that hang; `None` if one may."""
        if len(self._abandoned) < self._most_abandoned:
            return None
        counts = Counter(thread.tool for thread in self._abandoned)
        hanging = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5))
        return (
            f"{tool} was not called: {len(self._abandoned)} threads whose calls were given up have not ended, and no "
            f"more than {self._most_abandoned} may (Limits(abandoned_threads=...)). They are in {hanging}."
        )

    async def run(self, tool: str, call: Callable[[], Any], ended: Callable[[], None]) -> Any:
        """Call the function in a thread. A cancellation leaves the thread behind.

        `ended` is called under trio once: when the thread has ended, be it long after this returned, or if none was
        begun.
        """
        thread = Thread(tool, call, ended, self._abandoned)
        try:
            value = await trio.to_thread.run_sync(thread.run, abandon_on_cancel=True, limiter=thread)  # type: ignore[arg-type]  # all of a limiter that trio asks of one
        finally:
            thread.leave()
        return value if thread.coroutine is None else await thread.coroutine

    def statistics(self) -> tuple[LimitStatistics, LimitStatistics]:
        """How many threads are waited for, and how many were given up and have not ended."""
        abandoned = LimitStatistics("abandoned_threads", self._most_abandoned, len(self._abandoned), 0)
        return self.places.statistics(), abandoned

    @property
    def abandoned(self) -> Sequence[Thread]:
        """The threads that were given up and have not ended, the oldest first."""
        return sorted(self._abandoned, key=lambda thread: thread.began)


class Thread:
    """A thread that carries out one call. To trio it is a limiter as well, which is told when the thread has ended."""

    def __init__(self, tool: str, call: Callable[[], Any], ended: Callable[[], None], abandoned: set[Thread]) -> None:
        self.tool = tool
        self.began = time.monotonic()
        self.ident = 0
        self.coroutine: CoroutineType[Any, Any, Any] | None = None
        self._call = call
        self._ended = ended
        self._abandoned = abandoned
        self._is_begun = False
        self._is_over = False
        self._is_left = False

    def run(self) -> Any:
        """Make the call, in the thread."""
        # A call that was given up before its thread came to it is not made.
        if self._is_left:
            return None
        self.ident = threading.get_ident()
        value = self._call()
        if type(value) is not CoroutineType:
            return value
        # A sync function around an async one: it is awaited where the run is, under trio.
        self.coroutine = value
        return None

    def leave(self) -> None:
        """Count the thread as given up if it has not ended."""
        self._is_left = True
        if not self._is_begun:
            self._ended()
        elif not self._is_over:
            self._abandoned.add(self)

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Note that trio begins the thread; its place was taken before."""
        self._is_begun = True

    def release_on_behalf_of(self, borrower: object) -> None:
        """Note that the thread has ended. trio calls this in its own thread, also for one that was left behind."""
        self._is_over = True
        self._abandoned.discard(self)
        if self._is_left and self.coroutine is not None:
            self.coroutine.close()
        self._ended()


class Workers:
    """The threads and the worker processes of one runtime; `processes` is there once a tool needs one."""

    __slots__ = ("processes", "threads")

    def __init__(self, limits: Limits) -> None:
        self.threads = Threads(limits.threads, limits.abandoned_threads)
        self.processes: Processes | None = None
