"""Runs agents for HTTP: in one piece or as a stream of events, and ends them when the server stops. Knows no route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from agno_rt import AgnoError, Event, Message, Runnable, RunResult, RunStream, Runtime
from agno_rt.errors import UsageError
from agno_rt.messages import Part
from agno_rt.run_store import Resume
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.errors import BrokenAgent, HttpError
from agno_rt_serve.http.asgi import Send

__all__ = ["Runner", "Task"]

_STREAM = [
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
    `busy` is the way of the run with a session in use, `deps` the first state of a workflow.
    """

    agent: Runnable
    input: str | Sequence[Message] | Sequence[Part] | Resume
    session: str | None = None
    user: str | None = None
    within: Callable[[str, Event], bytes] | None = None
    busy: Literal["enqueue", "reject", "interrupt", "rollback"] | None = None
    deps: Any = None


class Runner:
    """The runs under way. Each belongs to the task of its request: cancelling the task cancels the run."""

    def __init__(self, runtime: Runtime, faults: Faults) -> None:
        self._runtime = runtime
        self._faults = faults
        self._streams: dict[str, tuple[RunStream, str | None]] = {}
        self._is_stopping = False

    def cancel(self) -> None:
        """Cancel every streamed run. The clients still get the remaining events, up to `run_ended`."""
        self._is_stopping = True
        for stream, _ in self._streams.values():
            stream.cancel()

    def cancel_run(self, run: str, user: str | None) -> bool:
        """Cancel the user's run if it is streamed here. Return whether there was such a run."""
        stream = self.find_stream(run, user)
        if stream is not None:
            stream.cancel()
        return stream is not None

    def find_stream(self, run: str, user: str | None) -> RunStream | None:
        """Return the stream of the user's run if it is streamed here."""
        stream, owner = self._streams.get(run, (None, None))
        return stream if owner == user else None

    async def run(self, task: Task) -> RunResult:
        """Run to the end. Raises the run's error."""
        try:
            # A session's run has a policy in any case: without one, later runs could not stop the run at once.
            busy = task.busy or (None if task.session is None else "enqueue")
            session, user = task.session, task.user
            return await self._runtime.run(
                task.agent, task.input, session=session, user=user, deps=task.deps, busy=busy
            )
        except UsageError as error:
            self._check_agent(task, error)
            raise

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
        session, user = task.session, task.user
        stream = self._runtime.stream(
            task.agent, task.input, session=session, user=user, deps=task.deps, busy=task.busy
        )
        async with stream as events:
            self._streams[events.run_id] = events, task.user
            try:
                async for each in events if task.within is None else events.within():
                    path, event = each if isinstance(each, tuple) else ("", each)
                    if not started:
                        started = True
                        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
                    seen = self._faults.event(event, None if path else events.result)
                    if data := task.within(path, seen) if path and task.within is not None else piece(seen):
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                result = events.result
                end: RunResult | HttpError = (
                    self._cancelled() if result is None or result.status == "cancelled" else result
                )
            except AgnoError as error:
                end = self._faults.describe(error, request)
            except HttpError as error:
                end = error
            finally:
                self._streams.pop(events.run_id, None)
        if not started and isinstance(end, HttpError):
            raise end
        await send({"type": "http.response.body", "body": last(end), "more_body": False})

    def _cancelled(self) -> HttpError:
        if self._is_stopping:
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
