"""Stored runs: listed by page, shown, deleted. `steer` steers and resumes, `events` has the events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from agno_rt.run_store import MOST_APPROVALS, RunRecord, RunStatus
from agno_rt.steps import read_steps
from agno_rt_serve.api.approvals import Shown
from agno_rt_serve.api.cursors import Place, make_cursor, read_cursor
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.routing import Doc, Route, path_value, read_query
from agno_rt_serve.api.shapes import Deleted, RunDetail, RunShown
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, reach_of
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["StoredRuns"]

FARTHEST = 100_000
"""The most runs to look through for a page, for a filter that the store does not know, such as the agent."""

MOST_AT_ONCE = 500
"""The runs of one look at the store, beyond the first look."""


class RunQuery(msgspec.Struct, forbid_unknown_fields=True):
    """The runs to list; `before` is the `next` of the page before, `request` the id of the request that began them."""

    status: RunStatus | None = None
    session: str | None = None
    agent: str | None = None
    user: str | None = None
    request: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    before: str | None = None


class RunList(msgspec.Struct):
    """A page of runs; `next` is the `before` of the next page, null for the last one."""

    runs: list[RunShown]
    next: str | None


_LIST = Doc("list_runs", "List stored runs, newest first", RunList, RunQuery)
_GET = Doc("get_run", "Get a run with its steps and approvals", RunDetail, UserQuery)
_DELETE = Doc("delete_run", "Delete a run that is not under way", Deleted, UserQuery, errors=(409,))


class StoredRuns:
    """Lists, shows and deletes stored runs."""

    def __init__(self, site: Site, faults: Faults) -> None:
        self._site = site
        self._faults = faults
        self._shown = Shown(site)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/runs", self._list, doc=_LIST),
            Route("GET", "/runs/{id}", self._get, doc=_GET),
            Route("DELETE", "/runs/{id}", self._delete, doc=_DELETE),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_query(scope, RunQuery)
        place = None if asked.before is None else read_cursor(asked.before)
        shown, last = await self._find_page(scope, asked, place)
        after = None if last is None else make_cursor(last.updated_at, last.id)
        rendered = await self._render_records(shown)
        await respond(send, 200, JSON, msgspec.json.encode({"runs": rendered, "next": after}))

    async def _find_page(
        self, scope: Scope, asked: RunQuery, place: Place | None
    ) -> tuple[list[RunRecord], RunRecord | None]:
        """Return the page of runs after the place, and the run after which the next page begins, if there may be one.

        A page is shorter than asked if there are too many other runs to look through at once: the next page goes on.
        """
        store, reach = self._site.run_store(), reach_of(scope, asked.user)
        if asked.request is not None:
            return _cut(await self._find_of_request(scope, asked, place), asked.limit)
        count, read = asked.limit + 1, 0
        found: list[RunRecord] = []
        while True:
            records = await store.runs(
                status=asked.status,
                session=asked.session,
                user=reach.user,
                unowned=reach.unowned,
                before=place,
                limit=count,
            )
            found += [each for each in records if self._is_wanted(scope, asked, each)]
            read += len(records)
            if len(found) > asked.limit or len(records) < count:
                return _cut(found, asked.limit)
            if read >= FARTHEST:
                return found, records[-1]
            place, count = (records[-1].updated_at, records[-1].id), max(count, MOST_AT_ONCE)

    async def _find_of_request(self, scope: Scope, asked: RunQuery, place: Place | None) -> list[RunRecord]:
        """Return the runs of a request after the place: most requests begin one run, or none."""
        reach = reach_of(scope, asked.user)
        return [
            each
            for each in await self._site.run_store().runs_of_request(asked.request or "", limit=FARTHEST)
            if (place is None or (each.updated_at, each.id) < place)
            and asked.status in (None, each.status)
            and asked.session in (None, each.session)
            and reach.has(each.user)
            and self._is_wanted(scope, asked, each)
        ]

    def _is_wanted(self, scope: Scope, asked: RunQuery, record: RunRecord) -> bool:
        return asked.agent in (None, record.agent) and self._site.may(scope, "read", record.agent)

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        record, entries = await self._site.load_run(scope, path_value(scope, "id"), read_query(scope, UserQuery).user)
        approvals = self._shown.all(await self._site.run_store().approvals(run=record.id, limit=MOST_APPROVALS))
        steps = [self._faults.step(step, record) for step in read_steps(entries, record.id)]
        (shown,) = await self._render_records([record])
        shown |= {"approvals": approvals, "steps": steps}
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    async def _delete(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = read_query(scope, UserQuery).user
        record, _ = await self._site.load_run(scope, path_value(scope, "id"), said, "run")
        if record.status == "running" and not await self._site.runtime.find_stopped([record]):
            raise HttpError(409, "run_conflict", "this run is under way", "Cancel it first: POST /runs/ID/cancel.")
        await self._site.run_store().delete_run(record.id)
        caller_of(scope).note("run_deleted", run=record.id)
        await respond(send, 200, JSON, b'{"deleted":true}')

    async def _render_records(self, records: Sequence[RunRecord]) -> list[dict[str, Any]]:
        """Return the records as values for JSON. Clients see whether a process has a run, but not which."""
        stopped = await self._site.runtime.find_stopped(records)
        shown: list[dict[str, Any]] = []
        for record in records:
            made = msgspec.to_builtins(self._faults.record(record))
            del made["owner"]
            shown.append(made | {"stopped": record.id in stopped})
        return shown


def _cut(found: list[RunRecord], limit: int) -> tuple[list[RunRecord], RunRecord | None]:
    """Return the first runs, at most `limit`, and the last of them if there are more."""
    return (found, None) if len(found) <= limit else (found[:limit], found[limit - 1])
