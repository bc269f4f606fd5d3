"""Stored runs, and runs under way here: shown, resumed, steered and cancelled by their ids."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
import msgspec

from agno_rt import RunStream
from agno_rt.run_store import Resume, RunRecord, RunStatus
from agno_rt.steps import read_steps
from agno_rt_serve.api.agents import Numbered
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.routing import Route, path_value, read_body, read_query
from agno_rt_serve.api.run_format import InputPart, input_of, result_body
from agno_rt_serve.api.runner import Task
from agno_rt_serve.api.site import Site
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, header, request_id, respond

__all__ = ["StoredRuns"]

_MANY = 10_000
"""The most approvals of one run that are shown."""


class _ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    status: RunStatus | None = None
    session: str | None = None
    user: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class _MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """A message to a run under way; the input is as a new run's."""

    input: str | list[InputPart]
    when: Literal["next", "end"] = "next"
    user: str | None = None


class _StopBody(msgspec.Struct, forbid_unknown_fields=True):
    """The place at which to stop, and the seconds until the run is cancelled in any case."""

    at: Literal["model", "tools", "now"] = "tools"
    grace: Annotated[float, msgspec.Meta(ge=0)] | None = None
    user: str | None = None


class _UserQuery(msgspec.Struct, forbid_unknown_fields=True):
    user: str | None = None


class _ResumeBody(_UserQuery, forbid_unknown_fields=True):
    """The way to resume a run: `within` is as a new run's."""

    within: bool = False


class StoredRuns:
    """Lists, shows and resumes stored runs; cancels, stops and steers any run under way."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._shown = Shown(site)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/runs", self._list),
            Route("GET", "/runs/{id}", self._get),
            Route("POST", "/runs/{id}/resume", self._resume),
            Route("POST", "/runs/{id}/cancel", self._cancel),
            Route("POST", "/runs/{id}/stop", self._stop),
            Route("POST", "/runs/{id}/messages", self._send_message),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, _ListQuery)
        records = await self._site.run_store().runs(
            status=asked.status,
            session=asked.session,
            user=asked.user,
            unowned=asked.user is None,
            limit=asked.limit,
        )
        await respond(send, 200, JSON, msgspec.json.encode({"runs": [self._render_record(each) for each in records]}))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        record, entries = await self._site.load_run(path_value(scope, "id"), read_query(scope, _UserQuery).user)
        approvals = self._shown.all(await self._site.run_store().approvals(run=record.id, limit=_MANY))
        shown = self._render_record(record) | {"approvals": approvals, "steps": read_steps(entries, record.id)}
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    async def _resume(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _ResumeBody)
        record, _ = await self._site.load_run(path_value(scope, "id"), body.user)
        if record.status == "completed":
            hint = "GET /runs/ID has the answer. `agno-rt runs fork` goes on from one of the run's steps."
            raise HttpError(409, "run_conflict", "this run is completed", hint)
        agent = self._site.project.runnables.get(record.agent)
        if agent is None:
            hint = f"Serve a project with the agent {record.agent!r} and this run's memory."
            raise HttpError(404, "not_found", f"this server has no agent {record.agent!r} any more", hint)
        task = Task(agent, Resume(record.id), user=record.user)
        if b"text/event-stream" in header(scope, b"accept"):
            numbered = Numbered()
            if body.within:
                task = attrs.evolve(task, within=numbered.number_within)
            await self._site.runner.stream(task, send, numbered, lambda end: b"", request_id(scope))
        else:
            result = await self._site.runner.run(task)
            approvals = self._shown.all(result.approvals) if result.status == "paused" else None
            await respond(send, 200, JSON, result_body(result, record.session, approvals))

    async def _cancel(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _UserQuery)
        run = path_value(scope, "id")
        # A run that is streamed here need not be stored to be cancelled.
        cancelled = self._site.runner.cancel_run(run, body.user)
        if not cancelled:
            record, _ = await self._site.load_run(run, body.user)
            cancelled = await self._site.runtime.cancel(record.id)
        await respond(send, 200, JSON, msgspec.json.encode({"cancelled": cancelled}))

    async def _send_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _MessageBody)
        run = path_value(scope, "id")
        given = input_of(body.input, self._site.accepts)
        status: RunStatus = "running"
        if (stream := await self._find_unstored(run, body.user)) is not None:
            stream.send(given, body.when)
        else:
            status = await self._site.runtime.send(run, given, body.when, user=body.user)
        await respond(send, 200, JSON, msgspec.json.encode({"sent": True, "status": status}))

    async def _stop(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _StopBody)
        run, stopping = path_value(scope, "id"), True
        if (stream := await self._find_unstored(run, body.user)) is not None:
            stream.stop(body.at, grace=body.grace)
        else:
            stopping = await self._site.runtime.stop(run, body.at, grace=body.grace, user=body.user)
        await respond(send, 200, JSON, msgspec.json.encode({"stopping": stopping}))

    async def _find_unstored(self, run: str, user: str | None) -> RunStream | None:
        """Return the stream of an unstored run of the user; None for a stored run. Raises `HttpError` 404."""
        try:
            await self._site.load_run(run, user)
        except HttpError:
            stream = self._site.runner.find_stream(run, user)
            if stream is None:
                raise
            return stream
        return None

    def _render_record(self, record: RunRecord) -> dict[str, Any]:
        """Return the record as values for JSON. Clients see whether a process has the run, but not which."""
        made: dict[str, Any] = msgspec.to_builtins(record)
        del made["owner"]
        return made | {"stopped": self._site.runtime.is_stopped(record)}
