"""Runs steered by their ids: resumed, forked, cancelled, stopped, sent messages and signals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from agno_rt import Runnable, RunStream
from agno_rt.run_store import Resume, RunStatus
from agno_rt_serve.api.launch import LAUNCH_HEADERS, RUN_ANSWERS, RUN_ERRORS, Launcher
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value, read_body
from agno_rt_serve.api.run_format import InputPart, LaunchOptions, input_of
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserBody
from agno_rt_serve.auth.caller import admit, caller_of, payer_of, reach_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["SteerRuns"]


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """A message to a run under way; the input is as a new run's."""

    input: str | list[InputPart]
    when: Literal["next", "end"] = "next"
    user: str | None = None


class StopBody(msgspec.Struct, forbid_unknown_fields=True):
    """The place at which to stop, and the seconds until the run is cancelled in any case."""

    at: Literal["model", "tools", "now"] = "tools"
    grace: Annotated[float, msgspec.Meta(ge=0)] | None = None
    user: str | None = None


class SignalBody(msgspec.Struct, forbid_unknown_fields=True):
    """A signal to a workflow: its name, and a value."""

    name: str
    value: Any = None
    user: str | None = None


class ForkBody(msgspec.Struct, forbid_unknown_fields=True):
    """The beginning of the new run.

    `at` is the number of steps to keep (all by default), or the path of a workflow's step, to keep the steps before.
    `input` replaces the input; `result` is the result of the step at the path `at`, which is then not taken again.
    """

    at: int | str | None = None
    input: str | list[InputPart] | None = None
    result: Any = msgspec.UNSET
    user: str | None = None


class ResumeBody(LaunchOptions, forbid_unknown_fields=True):
    """The way to resume a run: the fields are as a new run's."""

    user: str | None = None


class Cancelled(msgspec.Struct):
    """The effect of a cancellation: `cancelled` is false for an ended run."""

    cancelled: bool


class Stopping(msgspec.Struct):
    """The effect of a stop: `stopping` is false for an ended run."""

    stopping: bool


class Sent(msgspec.Struct):
    """The run has the message or signal. A run whose status is not `running` reads it when resumed."""

    sent: bool
    status: RunStatus


class Forked(msgspec.Struct):
    """The id of the new run, to be resumed."""

    run_id: str


_RESUME = Doc(
    "resume_run",
    "Continue a paused, stopped or failed run",
    RUN_ANSWERS,
    body=ResumeBody,
    errors=RUN_ERRORS,
    headers=LAUNCH_HEADERS,
)
_FORK = Doc(
    "fork_run",
    "Make a new run of the first steps of a run",
    Answer(201, Forked, "The new run is stored. Resume it to begin."),
    body=ForkBody,
    errors=(409, 422),
)
_CANCEL = Doc("cancel_run", "Cancel a run under way", Cancelled, body=UserBody)
_STOP = Doc("stop_run", "Stop a run at a safe point", Stopping, body=StopBody, errors=(409,))
_SEND = Doc("send_message", "Send a message to a run", Sent, body=MessageBody, errors=(409,))
_SIGNAL = Doc("send_signal", "Send a signal to a workflow's run", Sent, body=SignalBody, errors=(409,))


class SteerRuns:
    """Resumes and forks stored runs; cancels, stops and steers any run under way."""

    def __init__(self, site: Site, launcher: Launcher) -> None:
        self._site = site
        self._launcher = launcher

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("POST", "/runs/{id}/resume", self._resume, doc=_RESUME),
            Route("POST", "/runs/{id}/fork", self._fork, doc=_FORK),
            Route("POST", "/runs/{id}/cancel", self._cancel, doc=_CANCEL),
            Route("POST", "/runs/{id}/stop", self._stop, doc=_STOP),
            Route("POST", "/runs/{id}/messages", self._send_message, doc=_SEND),
            Route("POST", "/runs/{id}/signals", self._send_signal, doc=_SIGNAL),
        ]

    async def _resume(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, ResumeBody)
        record, _ = await self._site.load_run(scope, path_value(scope, "id"), body.user, "run")
        if record.status == "completed":
            hint = "GET /runs/ID has the answer. POST /runs/ID/fork goes on from one of the run's steps."
            raise HttpError(409, "run_conflict", "this run is completed", hint)
        agent = self._find_runnable(record.agent)
        admit(scope, agent, body.user)
        user, session, payer = record.user, record.session, payer_of(scope)
        task = Task(agent, Resume(record.id), user=user, of_session=session, payer=payer)
        await self._launcher.answer(task, body, scope, send)

    async def _fork(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, ForkBody)
        record, _ = await self._site.load_run(scope, path_value(scope, "id"), body.user, "run")
        given: dict[str, Any] = {} if body.result is msgspec.UNSET else {"result": body.result}
        if body.input is not None:
            given["input"] = input_of(body.input, self._site.accepts)
        # A fork with another input is read by the run's agent, which may have changed since.
        self._find_runnable(record.agent)
        made = await self._site.runtime.fork(record.id, body.at, **given)
        headers = [*JSON, (b"location", f"/runs/{made}".encode())]
        await respond(send, 201, headers, msgspec.json.encode(Forked(made)))

    async def _cancel(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, UserBody)
        run = path_value(scope, "id")
        # A run that is streamed here need not be stored to be cancelled.
        if (stream := self._find_stream(scope, run, body.user)) is not None:
            stream.cancel()
            cancelled = True
        else:
            await self._site.load_run(scope, run, body.user, "run")
            cancelled = await self._site.runtime.cancel(run)
        caller_of(scope).note("run_cancelled", run=run)
        await respond(send, 200, JSON, msgspec.json.encode(Cancelled(cancelled)))

    async def _send_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, MessageBody)
        run = path_value(scope, "id")
        given = input_of(body.input, self._site.accepts)
        status: RunStatus = "running"
        if (stream := await self._find_unstored(scope, run, body.user)) is not None:
            stream.send(given, body.when)
        else:
            status = await self._site.runtime.send(run, given, body.when)
        await respond(send, 200, JSON, msgspec.json.encode(Sent(True, status)))

    async def _send_signal(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, SignalBody)
        record, _ = await self._site.load_run(scope, path_value(scope, "id"), body.user, "run")
        status = await self._site.runtime.signal(record.id, body.name, body.value)
        await respond(send, 200, JSON, msgspec.json.encode(Sent(True, status)))

    async def _stop(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, StopBody)
        run, stopping = path_value(scope, "id"), True
        if (stream := await self._find_unstored(scope, run, body.user)) is not None:
            stream.stop(body.at, grace=body.grace)
        else:
            stopping = await self._site.runtime.stop(run, body.at, grace=body.grace)
        await respond(send, 200, JSON, msgspec.json.encode(Stopping(stopping)))

    def _find_runnable(self, agent: str) -> Runnable:
        found = self._site.project.runnables.get(agent)
        if found is None:
            hint = f"Serve a project with the agent {agent!r} and this run's memory."
            raise HttpError(404, "not_found", f"this server has no agent {agent!r} any more", hint)
        return found

    def _find_stream(self, scope: Scope, run: str, said: str | None) -> RunStream | None:
        """Return the stream of a run under way here within reach, if the caller may steer it."""
        found = self._site.runner.find_stream(run)
        if found is None or not reach_of(scope, said).has(found.user):
            return None
        self._site.check(scope, "run", found.agent)
        return found.stream

    async def _find_unstored(self, scope: Scope, run: str, said: str | None) -> RunStream | None:
        """Return the stream of a run that is not stored; None for a stored run. Raises `HttpError` 404."""
        try:
            await self._site.load_run(scope, run, said, "run")
        except HttpError as error:
            stream = self._find_stream(scope, run, said) if error.status == 404 else None
            if stream is None:
                raise
            return stream
        return None
