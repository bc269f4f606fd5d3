"""The worker threads of one runtime for sync tools, with the abandoned threads still running.

A thread cannot be stopped. After a timeout or a cancellation the call gives the thread's place back at once, so hanging
tools do not block other calls. The thread counts as abandoned until its end; with too many, no further thread begins.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import trio

from agno_rt.limiter import Limiter
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.tools import Tool

if TYPE_CHECKING:
    from agno_rt._drive.tool_process import Processes

__all__ = ["Thread", "Threads", "Workers"]


class Threads:
    """The threads of one runtime; `places` bounds the threads with a waiting call.

    Take a place before `run`, and give it back afterwards, however the call ended.
    """

    __slots__ = ("_abandoned", "_most_abandoned", "places")

    def __init__(self, total: int, most_abandoned: int) -> None:
        self.places = Limiter("threads", total)
        self._most_abandoned = most_abandoned
        self._abandoned: set[Thread] = set()

    def refusal(self, tool: str) -> str | None:
        """Return why no further thread may begin, naming the hanging tools; `None` if a thread may begin."""
        if len(self._abandoned) < self._most_abandoned:
            return None
        counts = Counter(thread.tool for thread in self._abandoned)
        hanging = ", ".join(f"{name} ({count})" for name, count in counts.most_common(5))
        return (
            f"{tool} was not called: {len(self._abandoned)} abandoned threads are still running, and at most "
            f"{self._most_abandoned} may (Limits(abandoned_threads=...)). They are in {hanging}."
        )

    async def run(self, tool: str, call: Callable[[], Any], ended: Callable[[], None]) -> Any:
        """Call the function in a thread. A cancellation leaves the thread behind.

        `ended` is called once under trio: when the thread has ended, even long after the cancellation, or if no thread
        was begun.
        """
        thread = Thread(tool, call, ended, self._abandoned)
        try:
            value = await trio.to_thread.run_sync(thread.run, abandon_on_cancel=True, limiter=thread)  # type: ignore[arg-type]  # all of a limiter that trio asks of one
        finally:
            thread.leave()
        return value if thread.coroutine is None else await thread.coroutine

    def statistics(self) -> tuple[LimitStatistics, LimitStatistics]:
        """Return the statistics of the threads with a waiting call, and of the abandoned threads."""
        abandoned = LimitStatistics("abandoned_threads", self._most_abandoned, len(self._abandoned), 0)
        return self.places.statistics(), abandoned

    @property
    def abandoned(self) -> Sequence[Thread]:
        """The abandoned threads still running, oldest first."""
        return sorted(self._abandoned, key=lambda thread: thread.began)


class Thread:
    """A thread for one call. It also serves trio as a limiter, because trio tells a limiter of the thread's end."""

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
        # The call was abandoned before its thread started.
        if self._is_left:
            return None
        self.ident = threading.get_ident()
        value = self._call()
        if type(value) is not CoroutineType:
            return value
        # A sync function returned a coroutine, which only trio's thread can await.
        self.coroutine = value
        return None

    def leave(self) -> None:
        """Count the thread as abandoned if it has not ended."""
        self._is_left = True
        if not self._is_begun:
            self._ended()
        elif not self._is_over:
            self._abandoned.add(self)

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Note that trio begins the thread. The place was taken before."""
        self._is_begun = True

    def release_on_behalf_of(self, borrower: object) -> None:
        """Note that the thread has ended. Trio calls this in trio's thread, also for an abandoned thread."""
        self._is_over = True
        self._abandoned.discard(self)
        if self._is_left and self.coroutine is not None:
            self.coroutine.close()
        self._ended()


class Workers:
    """The threads and worker processes of one runtime, and the places of its bounded tools.

    `processes` is set once a tool needs a process.
    """

    __slots__ = ("_places", "processes", "threads")

    def __init__(self, limits: Limits) -> None:
        self.threads = Threads(limits.threads, limits.abandoned_threads)
        self.processes: Processes | None = None
        self._places: WeakKeyDictionary[Tool, Limiter] = WeakKeyDictionary()

    def admit(self, tool: Tool) -> None:
        """Prepare for a tool in a worker process. Raises `ToolDefinitionError` if the tool cannot run there."""
        from agno_rt._drive.tool_process import Processes, check_process  # costs nothing without such a tool

        check_process(tool)
        if self.processes is None:
            self.processes = Processes()

    def places_of(self, tools: Iterable[Tool]) -> dict[str, Limiter]:
        """Return the limiters of bounded tools by name; a tool has one limiter for all of its agents."""
        return {tool.name: self._find_place(tool) for tool in tools}

    def statistics(self) -> Iterator[LimitStatistics]:
        """Yield the statistics of the bounded tools."""
        return (place.statistics() for place in self._places.values())

    def _find_place(self, tool: Tool) -> Limiter:
        place = self._places.get(tool)
        if place is None:
            assert tool.limits.concurrency is not None
            place = self._places[tool] = Limiter(f"tool {tool.name!r}", tool.limits.concurrency)
        return place
