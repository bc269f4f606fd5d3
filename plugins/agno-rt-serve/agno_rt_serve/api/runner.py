"""Runs agents for HTTP: in one piece or as a stream of events, and ends them when the server stops. Knows no route."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

import attrs
import trio

from agno_rt import AgnoError, Event, Message, Runnable, RunResult, RunStream, Runtime
from agno_rt.errors import UsageError
from agno_rt.messages import Part
from agno_rt.run_store import Resume
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.run_format import WebhookBody
from agno_rt_serve.auth.caller import Caller
from agno_rt_serve.errors import BrokenAgent, HttpError
from agno_rt_serve.http.asgi import Send

__all__ = ["STREAM_HEADERS", "Runner", "Streamed", "Task"]

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would gather the events, and pass them on late.
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


@attrs.frozen
class Task:
    """A run to make: an agent on an input, or on a stored run to resume, for a session and a user.

    `within(path, event)` makes the pieces of a stream for the events of runs within; without it they are left out.
    `busy` is the way of the run with a session in use, `deps` the first state of a workflow. `webhook` is an address to
    tell of the end, `of_session` the session of a run to resume. `payer` is the caller whose amount counts the cost.
    """

    agent: Runnable
    input: str | Sequence[Message] | Sequence[Part] | Resume
    session: str | None = None
    user: str | None = None
    within: Callable[[str, Event], bytes] | None = None
    busy: Literal["enqueue", "reject", "interrupt", "rollback"] | None = None
    deps: Any = None
    webhook: WebhookBody | None = None
    of_session: str | None = None
    payer: Caller | None = None

    @property
    def shown_session(self) -> str | None:
        """The session to show to the client; a resumed run has the session in its record."""
        return self.of_session if self.session is None else self.session


@attrs.frozen
class Streamed:
    """A run that is streamed in this process, with its user and the name of its runnable."""

    stream: RunStream
    user: str | None
    agent: str


class Runner:
    """The runs under way. Each belongs to the task of its request: cancelling the task cancels the run."""

    def __init__(self, runtime: Runtime, faults: Faults) -> None:
        self._runtime = runtime
        self._faults = faults
        self._streams: dict[str, Streamed] = {}
        # Told of the ends of runs, if the settings name webhooks.
        self.on_end: Callable[[Task, RunResult], None] | None = None
        self.is_stopping = False

    def cancel(self) -> None:
        """Cancel every streamed run. The clients still get the remaining events, up to `run_ended`."""
        self.is_stopping = True
        for each in self._streams.values():
            each.stream.cancel()

    def add_stream(self, stream: RunStream, task: Task) -> None:
        """Let requests find the stream by its run's id."""
        self._streams[stream.run_id] = Streamed(stream, task.user, task.agent.name)

    def drop_stream(self, run: str) -> None:
        """Forget the stream."""
        self._streams.pop(run, None)

    def find_stream(self, run: str) -> Streamed | None:
        """Return the run if it is streamed here."""
        return self._streams.get(run)

    async def run(self, task: Task) -> RunResult:
        """Run to the end. Raises the run's error."""
        try:
            # A session's run has a policy in any case: without one, later runs could not stop the run at once.
            busy = task.busy or (None if task.session is None else "enqueue")
            session, user = task.session, task.user
            if task.payer is None:
                result: RunResult = await self._runtime.run(
                    task.agent, task.input, session=session, user=user, deps=task.deps, busy=busy
                )
            else:
                result = await self._run_for(task.payer, attrs.evolve(task, busy=busy))
        except AgnoError as error:
            self.note_end(task, error.result)
            if isinstance(error, UsageError):
                self._check_agent(task, error)
            raise
        if self.on_end is not None:
            self.on_end(task, result)
        return result

    def note_end(self, task: Task, result: RunResult | None) -> None:
        """Tell of the end of a run; `None` for a run that did not begin."""
        if self.on_end is not None and result is not None:
            self.on_end(task, result)

    def open(self, task: Task) -> AbstractAsyncContextManager[RunStream]:
        """Return the stream of a new run, as a context manager. The payer pays, however the run ends."""
        session, user = task.session, task.user
        stream = self._runtime.stream(
            task.agent, task.input, session=session, user=user, deps=task.deps, busy=task.busy
        )
        return stream if task.payer is None else _settle_at_end(stream, task.payer)

    async def _run_for(self, payer: Caller, task: Task) -> RunResult:
        if payer.purse is not None:
            # As a stream: a stream has a result for a client that hung up, too.
            async with self.open(task) as events:
                async for _ in events:
                    pass
            assert events.result is not None, "the stream is over"
            return events.result
        try:
            result = await self._runtime.run(
                task.agent, task.input, session=task.session, user=task.user, deps=task.deps, busy=task.busy
            )
        except BaseException as error:
            ended: RunResult | None = getattr(error, "result", None)
            if ended is None:
                payer.note("run_ended", status="cancelled" if isinstance(error, trio.Cancelled) else "failed")
            else:
                payer.settle(ended)
            raise
        payer.settle(result)
        return result

    async def stream(
        self,
        task: Task,
        send: Send,
        piece: Callable[[Event], bytes],
        last: Callable[[RunResult | HttpError], bytes],
        request: str,
    ) -> None:
        """Send an event stream: `piece(event)` for each event as it happens, then `last(end)`.

        `request` is the request's id. If `piece` raises `HttpError`, the run ends, and the error is the end. Raises
        `HttpError` for a run that ended before its first event: nothing has been sent then.
        """
        try:
            await self._stream(task, send, piece, last, request)
        except UsageError as error:
            self._check_agent(task, error)
            raise

    async def _stream(
        self,
        task: Task,
        send: Send,
        piece: Callable[[Event], bytes],
        last: Callable[[RunResult | HttpError], bytes],
        request: str,
    ) -> None:
        started = False
        async with self.open(task) as events:
            self._streams[events.run_id] = Streamed(events, task.user, task.agent.name)
            try:
                async for each in events if task.within is None else events.within():
                    path, event = each if isinstance(each, tuple) else ("", each)
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
                    seen = self._faults.event(event, None if path else events.result)
                    if data := task.within(path, seen) if path and task.within is not None else piece(seen):
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                result = events.result
                end: RunResult | HttpError = (
                    self.cancelled() if result is None or result.status == "cancelled" else result
                )
            except AgnoError as error:
                end = self._faults.describe(error, request)
            except HttpError as error:
                end = error
            finally:
                self._streams.pop(events.run_id, None)
                self.note_end(task, events.result)
        if not started and isinstance(end, HttpError):
            raise end
        await send({"type": "http.response.body", "body": last(end), "more_body": False})

    def cancelled(self) -> HttpError:
        """Return the answer to the client of a cancelled run."""
        if self.is_stopping:
            return HttpError(503, "cancelled", "the run was cancelled: the server is stopping", "Send it again later.")
        return HttpError(409, "cancelled", "the run was cancelled", "A stored run can be resumed.")

    def _check_agent(self, task: Task, error: UsageError) -> None:
        """Raise `BrokenAgent` if a fault of the agent kept the run from beginning: no client can mend an agent."""
        if error.result is not None:
            return
        try:
            self._runtime.check(task.agent)
        except UsageError as broken:
            raise BrokenAgent(broken.message, hint=broken.hint) from broken


@asynccontextmanager
async def _settle_at_end(stream: AbstractAsyncContextManager[RunStream], payer: Caller) -> AsyncIterator[RunStream]:
    opened: RunStream | None = None
    try:
        async with stream as opened:
            yield opened
    finally:
        if opened is not None and opened.result is not None:
            payer.settle(opened.result)
