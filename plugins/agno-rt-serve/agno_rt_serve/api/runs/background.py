"""Runs that go on without the client that began them: stored, logged, and owned by the server.

The client is told of such a run only once the run is stored, so that no run that was acknowledged is lost. A run that
is still under way when the server stops is handed over: another process on the same memory goes on with it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

import attrs
import msgspec
import trio

from agno_rt import AgnoError, Runtime
from agno_rt.errors import NotFound
from agno_rt.failures import must_pass
from agno_rt.memory import CacheStore
from agno_rt.result import RunResult
from agno_rt_serve import log
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.run_format import WebhookBody
from agno_rt_serve.api.runner import Runner, Task
from agno_rt_serve.errors import HttpError

__all__ = ["BackgroundRuns", "Policy", "Started"]

End: TypeAlias = "RunResult | HttpError"
END_SECONDS = 5.0
"""The seconds in which the end of a run is stored, also while the server stops."""

# So many times in a grace time, a worker tells the others of a client.
_BEATS = 3
# So many seconds too late, a task was not only busy: the process or its machine stood still.
_STALL = 1.0

WEBHOOK_DAYS = 7
"""The days for which a run's own webhook is kept, for a process that goes on with the run."""

OnEnd: TypeAlias = Callable[["Started"], Awaitable[None]]
OnStart: TypeAlias = Callable[[str], Awaitable[None]]


@attrs.frozen
class Policy:
    """The fate of a run whose client is gone: cancelled at once, left alone, or cancelled after `grace` seconds."""

    detach: bool
    grace: float | None = None

    @classmethod
    def read(cls, text: str) -> Policy:
        """Return the policy of `cancel`, `detach` or `detach;grace=SECONDS`."""
        word, _, grace = text.partition(";grace=")
        return cls(word == "detach", float(grace) if grace else None)


@attrs.define(eq=False)
class Started:
    """A run in the background; `read` is set once every event was read, and `end` when the event `over` is."""

    run: str
    read: trio.Event = attrs.Factory(trio.Event)
    over: trio.Event = attrs.Factory(trio.Event)
    end: End | None = None


@attrs.define(eq=False)
class _Begun:
    """The beginning of a run: `known` is set once the run is stored, or has ended with the error before."""

    known: trio.Event = attrs.Factory(trio.Event)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    on_start: OnStart | None = None
    run: Started | None = None
    error: AgnoError | HttpError | None = None


class BackgroundRuns:
    """The runs in the background of this process, and the clients that watch runs here.

    `on_result` is told of each run's end.
    """

    def __init__(
        self,
        runtime: Runtime,
        runner: Runner,
        faults: Faults,
        on_result: Callable[[Task, RunResult | None], None],
    ) -> None:
        self._on_result = on_result
        self._runtime = runtime
        self._runner = runner
        self._faults = faults
        self._under_way: dict[str, Started] = {}
        self._watchers: dict[str, int] = {}
        self._nursery: trio.Nursery | None = None
        self._is_handing_over = False

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the runs until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    @property
    def nursery(self) -> trio.Nursery:
        """The nursery of the server's background tasks. Raises `HttpError` 503 before and after the server's life."""
        if self._nursery is None:
            raise HttpError(503, "stopping", "the server is starting or stopping", "Send it again.")
        return self._nursery

    async def start(
        self,
        task: Task,
        request: str,
        on_end: OnEnd | None = None,
        *,
        detach: bool = False,
        on_start: OnStart | None = None,
    ) -> Started:
        """Start the run, and return once the run is stored. Raises the error of a run that ended before.

        If the caller is cancelled before, the run is cancelled too, unless `detach` says otherwise. `on_start` is
        called with the run's id once the run is stored, and before anybody is told of the run's end.
        """
        begun = _Begun(on_start=on_start)
        self.nursery.start_soon(self._carry_out, task, request, on_end, begun)
        try:
            await begun.known.wait()
        except BaseException:
            if not detach:
                begun.scope.cancel()
            raise
        if begun.error is not None:
            raise begun.error
        assert begun.run is not None, "a run without an error is stored"
        return begun.run

    async def _carry_out(self, task: Task, request: str, on_end: OnEnd | None, begun: _Begun) -> None:
        """Carry out the run. Nothing but the end of the server ends this task with an exception."""
        begun.error = self._runner.cancelled()  # a run that is cancelled before it is stored
        end: End = begun.error
        try:
            with begun.scope:
                end = await self._run(task, begun)
        except BaseException as exc:
            if must_pass(exc):
                raise
            error = exc if isinstance(exc, AgnoError | HttpError) else _note_bug(exc, request)
            if begun.run is None:
                begun.error = error
            end = self._faults.describe(error, request) if isinstance(error, AgnoError) else error
        finally:
            begun.known.set()
            if begun.run is not None:
                begun.run.end = end
                with trio.move_on_after(END_SECONDS, shield=True):
                    if on_end is not None:
                        await on_end(begun.run)
                del self._under_way[begun.run.run]
                begun.run.over.set()

    async def _run(self, task: Task, begun: _Begun) -> End:
        async with self._runner.open(task) as events:
            self._runner.add_stream(events, task)
            try:
                async for each in events if task.within is None else events.within():
                    if task.within is not None and isinstance(each, tuple) and each[0]:
                        task.within(each[0], self._faults.event(each[1], None))
                    if begun.run is None and await self._is_stored(events.run_id):
                        if begun.on_start is not None:
                            await begun.on_start(events.run_id)
                        begun.run = self._under_way[events.run_id] = Started(events.run_id)
                        begun.error = None
                        begun.known.set()
            finally:
                if begun.run is not None:
                    begun.run.read.set()
                self._runner.drop_stream(events.run_id)
                if not self._is_handing_over:
                    self._on_result(task, events.result)
            result = events.result
        return self._runner.cancelled() if result is None or result.status == "cancelled" else result

    async def _is_stored(self, run: str) -> bool:
        # The run's first event comes before the run is stored: a run may wait for its session in between.
        store = self._runtime.memory
        try:
            await store.load_run(run)  # type: ignore[attr-defined]  # a store of runs, or the run would not be here
        except NotFound:
            return False
        return True

    def find(self, run: str) -> Started | None:
        """Return the run if it is in the background of this process, and under way."""
        return self._under_way.get(run)

    async def drain(self, seconds: float) -> None:
        """Let the runs end within the time; then hand over the rest to other processes."""
        if not self._runner.is_stopping:
            with trio.move_on_after(seconds):
                for started in list(self._under_way.values()):
                    await started.over.wait()
        self._is_handing_over = True
        for run in list(self._under_way):
            await self._hand_over(run)

    async def _hand_over(self, run: str) -> None:
        """End the run here, and leave it to others: stored as under way by this process, which is about to be gone."""
        started, stream, store = self._under_way[run], self._runner.find_stream(run), self._runtime.memory
        with suppress(AgnoError):
            record, _ = await store.load_run(run)  # type: ignore[attr-defined]
            if stream is not None:
                stream.stream.cancel()
            await started.over.wait()
            if record.owner is not None and not record.cancel_requested:
                await store.claim_run(run, record.owner, held_by=None)  # type: ignore[attr-defined]

    @contextmanager
    def watching(self, run: str, policy: Policy | None) -> Iterator[None]:
        """Count a client that watches the run. If the client goes before the end, apply the policy, if any."""
        self._watchers[run] = self._watchers.get(run, 0) + 1
        beating = trio.CancelScope()
        if policy is not None and policy.grace is not None:
            self.nursery.start_soon(self._beat, run, policy.grace, beating)
        try:
            yield
        except BaseException:
            self._leave(run, policy)
            raise
        finally:
            beating.cancel()
            self._watchers[run] -= 1
            if not self._watchers[run]:
                del self._watchers[run]

    def _leave(self, run: str, policy: Policy | None) -> None:
        if policy is None or self._nursery is None:
            return
        if not policy.detach:
            if (found := self._runner.find_stream(run)) is not None:
                found.stream.cancel()
        elif policy.grace is not None:
            self._nursery.start_soon(self._expire, run, policy.grace)

    async def _expire(self, run: str, grace: float) -> None:
        """Cancel the run once no client of any worker has watched the run for the grace time."""
        left = grace
        with suppress(AgnoError):
            while left > 0:
                due = trio.current_time() + left
                await trio.sleep(left)
                if self._watchers.get(run):
                    return  # its end is looked after here
                seen = await self._cached(f"{_SEEN}{run}")
                # A worker with a client tells of it again and again; one that was killed does not.
                left = 0.0 if seen is None else float(seen) + grace - time.time()
                if left <= 0 and trio.current_time() - due > max(_STALL, grace / _BEATS):
                    left = grace / _BEATS  # the machine stood still: the others are as late with their words
            await self._runtime.cancel(run)

    async def _beat(self, run: str, grace: float, scope: trio.CancelScope) -> None:
        """Tell other workers now and then that a client watches the run here."""
        store = self._runtime.memory
        with scope, suppress(AgnoError):
            while isinstance(store, CacheStore):
                await store.cache(f"{_SEEN}{run}", str(time.time()).encode(), seconds=2 * grace)
                await trio.sleep(grace / _BEATS)

    async def note_grace(self, run: str, grace: float) -> None:
        """Remember the grace time of a run, for clients that come back to another worker."""
        store = self._runtime.memory
        if isinstance(store, CacheStore):
            await store.cache(f"{_GRACE}{run}", str(grace).encode(), seconds=_DAY)

    async def note_webhook(self, run: str, webhook: WebhookBody) -> None:
        """Remember the run's own webhook, for a process that goes on with the run."""
        store = self._runtime.memory
        if isinstance(store, CacheStore):
            await store.cache(f"{_WEBHOOK}{run}", msgspec.json.encode(webhook), seconds=WEBHOOK_DAYS * _DAY)

    async def find_webhook(self, run: str) -> WebhookBody | None:
        """Return the run's own webhook, if the memory has it."""
        kept = await self._cached(f"{_WEBHOOK}{run}")
        return None if kept is None else msgspec.json.decode(kept, type=WebhookBody)

    async def find_policy(self, run: str) -> Policy | None:
        """Return the policy for clients that come back to a run; None if the run needs no client."""
        grace = await self._cached(f"{_GRACE}{run}")
        return None if grace is None else Policy(detach=True, grace=float(grace))

    async def _cached(self, key: str) -> bytes | None:
        store = self._runtime.memory
        return await store.cached(key) if isinstance(store, CacheStore) else None


def _note_bug(exc: BaseException, request: str) -> HttpError:
    """Log an exception that is not one of ours, and return the answer to the client."""
    log.write("error", "run failed", request=request, error="".join(traceback.format_exception(exc)).rstrip())
    return HttpError(500, "internal", "the run failed in the server", f"The server's log says why: request {request}.")


_SEEN, _GRACE, _WEBHOOK = "agno-rt-serve:seen:", "agno-rt-serve:grace:", "agno-rt-serve:webhook:"
_DAY = 86_400.0
