"""Pictures: runnables and stored runs as SVG, and the timeline of a stored run with the runs within."""

from __future__ import annotations

import msgspec

from agno_rt.drawing import Row, StoredRun, draw_stored_run, list_rows, load_run_tree, render_svg
from agno_rt.runnable import draw
from agno_rt_serve.api.routing import Answer, Doc, Route, path_value, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, scope_kind
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Pictures"]

_SVG = [
    (b"content-type", b"image/svg+xml; charset=utf-8"),
    # The picture is an image and nothing else: opened by itself it runs no script either.
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
]


class RunTimeline(msgspec.Struct):
    """The parts of a run as rows, each below the part that it is within; times are seconds since the run began."""

    rows: list[Row]


_PICTURE = Answer(200, about="the picture", media="image/svg+xml")


class Pictures:
    """Draws agents, teams, workflows and runs."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "GET",
                "/agents/{name}/graph",
                self._draw_runnable,
                doc=Doc("draw_agent", "Draw an agent, a team or a workflow", _PICTURE),
            ),
            Route(
                "GET",
                "/runs/{id}/graph",
                self._draw_run,
                doc=Doc("draw_run", "Draw a stored run, with the states of its parts", _PICTURE, UserQuery),
            ),
            Route(
                "GET",
                "/runs/{id}/timeline",
                self._list_timeline,
                doc=Doc("get_run_timeline", "List the parts of a stored run with their times", RunTimeline, UserQuery),
            ),
        ]

    async def _draw_runnable(self, scope: Scope, receive: Receive, send: Send) -> None:
        runnable = self._site.project.runnable(path_value(scope, "name"))
        caller_of(scope).check("read", scope_kind(runnable), runnable.name)
        await respond(send, 200, _SVG, render_svg(draw(runnable)).encode())

    async def _draw_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = await self._load(scope)
        await respond(send, 200, _SVG, render_svg(draw_stored_run(run)).encode())

    async def _list_timeline(self, scope: Scope, receive: Receive, send: Send) -> None:
        rows = list_rows(draw_stored_run(await self._load(scope)))
        await respond(send, 200, JSON, msgspec.json.encode(RunTimeline(rows)))

    async def _load(self, scope: Scope) -> StoredRun:
        query = read_query(scope, UserQuery)
        record, entries = await self._site.load_run(scope, path_value(scope, "id"), query.user)
        store = self._site.run_store()
        return await load_run_tree(store, record, entries, self._site.runtime.find_stopped)
