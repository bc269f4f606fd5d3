"""The server as it is now: the runs under way in this worker with their calls, and the limits as they stand."""

from __future__ import annotations

import os

import attrs
import msgspec

from agno_rt.limits import LimitStatistics
from agno_rt.tasktree import AbandonedThread, CallTask, Place, RunTask
from agno_rt_serve.api.routing import Doc, Route, read_query
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.users import UserQuery
from agno_rt_serve.auth.caller import caller_of, reach_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Live"]


class Tasks(msgspec.Struct):
    """The outermost runs under way in one worker, the limits of the worker, and abandoned threads."""

    process: int
    runs: list[RunTask]
    limits: list[LimitStatistics]
    abandoned: list[AbandonedThread]


class Live:
    """Shows the task tree of the worker that answers. `agno-rt top` shows the same in a terminal."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        about = "`process` is the worker that answered. The worker shows the runs of the request's user."
        doc = Doc("list_tasks", "Show the runs under way and the limits", Tasks, UserQuery, about=about)
        return [Route("GET", "/tasks", self._list, doc=doc)]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope).check("read", "server")
        reach = reach_of(scope, read_query(scope, UserQuery).user)
        tree = self._site.runtime.tasks()
        shown = Tasks(
            os.getpid(),
            [_hide_paths(run) for run in tree.runs if reach.has(run.user)],
            list(tree.limits),
            [attrs.evolve(each, place=_shorten(each.place)) for each in tree.abandoned],
        )
        await respond(send, 200, JSON, msgspec.json.encode(shown))


def _hide_paths(run: RunTask) -> RunTask:
    """Return the run with the names of source files only: the folders are the server's own."""
    calls = tuple(_hide_call_paths(call) for call in run.calls)
    return attrs.evolve(run, place=_shorten(run.place), calls=calls, runs=tuple(map(_hide_paths, run.runs)))


def _hide_call_paths(call: CallTask) -> CallTask:
    return attrs.evolve(call, place=_shorten(call.place), runs=tuple(map(_hide_paths, call.runs)))


def _shorten(place: Place | None) -> Place | None:
    return place and attrs.evolve(place, file=os.path.basename(place.file))
