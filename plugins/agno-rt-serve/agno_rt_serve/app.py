"""The ASGI application: mounts the routes, behind the checks of every request. Knows no sockets.

Any ASGI server under trio runs it. Most requests go to a handful of fixed paths, found in one table. Starlette's router
has the rest: paths with parameters, routes of other plugins, and unknown paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.routing import Route as StarletteRoute

from agno_rt import AgnoError, RunResult, Runtime
from agno_rt.errors import PluginError
from agno_rt.failures import must_pass, named
from agno_rt.project import Project
from agno_rt.run_store import REQUEST, EventLog, RunRecord
from agno_rt_serve import log
from agno_rt_serve.api.a2a.routes import A2A
from agno_rt_serve.api.ag_ui.routes import AgUi
from agno_rt_serve.api.agentos.routes import AgentOS
from agno_rt_serve.api.agents import Agents
from agno_rt_serve.api.approvals import Approvals
from agno_rt_serve.api.benchmarks import Dashboard, to_dashboard
from agno_rt_serve.api.facts import Facts
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.grants import Grants
from agno_rt_serve.api.health import OPEN as HEALTH_PATHS
from agno_rt_serve.api.health import Health
from agno_rt_serve.api.inventory import Inventory
from agno_rt_serve.api.knowledge import KnowledgeBases
from agno_rt_serve.api.launch import Launcher
from agno_rt_serve.api.live import Live
from agno_rt_serve.api.mounted import Mounted
from agno_rt_serve.api.openai import answers as openai_answers
from agno_rt_serve.api.openai.embeddings import EmbeddingRoutes
from agno_rt_serve.api.openai.models import Models
from agno_rt_serve.api.openai.responses.routes import Responses
from agno_rt_serve.api.openai.routes import ChatCompletions
from agno_rt_serve.api.page import page_routes
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.api.pictures import Pictures
from agno_rt_serve.api.profiling import Profiles
from agno_rt_serve.api.reference import PATH as REFERENCE
from agno_rt_serve.api.reference import Reference
from agno_rt_serve.api.routing import WEBSOCKET, ErrorBody, Handler, Route
from agno_rt_serve.api.runner import Runner, Task
from agno_rt_serve.api.runs.background import BackgroundRuns
from agno_rt_serve.api.runs.events import RunEvents
from agno_rt_serve.api.runs.sockets import RunSockets
from agno_rt_serve.api.runs.steer import SteerRuns
from agno_rt_serve.api.runs.stored import StoredRuns
from agno_rt_serve.api.runs.webhooks import make_webhooks
from agno_rt_serve.api.sessions import Sessions
from agno_rt_serve.api.sign_in import PATH as SIGN_IN
from agno_rt_serve.api.sign_in import SignIn
from agno_rt_serve.api.site import Site, can_be_logged
from agno_rt_serve.auth.caller import note_refusal, set_caller
from agno_rt_serve.auth.doors import Doors
from agno_rt_serve.auth.gate import check_path
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.guard import Guard, allowed_hosts, is_loopback
from agno_rt_serve.http.asgi import JSON, PROBLEM, ASGIApp, Receive, Scope, Send, refuse_websocket, request_id, respond
from agno_rt_serve.settings import Settings

__all__ = ["App"]

_SIMPLE = (
    Approvals,
    Grants,
    Sessions,
    Facts,
    Inventory,
    Pictures,
    Live,
    Models,
    ChatCompletions,
    EmbeddingRoutes,
    AgentOS,
    AgUi,
)
"""The resources that are made of the site alone."""

MOST_DRAIN = 8.0
"""The most seconds for background runs to end: servers wait ten seconds for the end of an application."""

_OPEN = frozenset({*HEALTH_PATHS, REFERENCE, SIGN_IN})
"""Paths open without a key, beside the page's files. The page's own requests for data need the key."""

_NO_STATE: Mapping[str, str] = {}


class Endpoint:
    """A handler whose errors are answered in the shape of its API."""

    def __init__(self, handler: Handler, faults: Faults, shape: ErrorBody = error_body) -> None:
        self._handler = handler
        self._faults = faults
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        try:
            await self._handler(scope, receive, send)
        except HttpError as error:
            await _send_error(error, scope, send, self._shape)
        except AgnoError as exc:
            await _send_error(self._faults.describe(exc, request_id(scope)), scope, send, self._shape)


class App:
    """Serves the project's agents, which run in the runtime. `cancel_runs` ends each stream with a last event.

    In `folder` the workers of this machine find each other; it is empty for a server of one process.
    """

    def __init__(self, project: Project, runtime: Runtime, settings: Settings, folder: str = "") -> None:
        self._runtime = runtime
        self._faults = Faults(show=settings.show_errors)
        self._runner = Runner(runtime, self._faults)
        self._background = BackgroundRuns(runtime, self._runner, self._faults, self._tell)
        self._webhooks = make_webhooks(settings.webhooks, lambda: self._background.nursery)
        if self._webhooks.tells_all:
            self._runner.on_end = self._webhooks.tell
        self._grace = settings.grace
        accepts = Accepts(settings.max_media, settings.media_urls)
        self._site = Site(project, runtime, self._runner, settings, accepts)
        self._page = list(page_routes(settings))
        self._doors = Doors(settings, folder)
        self._a2a = self._make_a2a(settings)
        self._open = _OPEN | {route.path for route in self._page}
        if self._a2a is not None:
            self._open |= self._a2a.open_paths
        self._agentos = settings.agentos
        hosts = allowed_hosts(
            settings.host, settings.allowed_hosts, keyed=settings.asks_for_keys and not settings.anonymous.agents
        )
        # On loopback no machine probes, and a page with a rebound name does not even learn that a server is here.
        probes: frozenset[str] = frozenset() if is_loopback(settings.host) else HEALTH_PATHS
        self._guard = Guard(hosts, settings.cors_origins, probes)
        routes = self._table = list(self._routes(settings))
        # One table has the paths without a parameter; Starlette's router has the rest, and answers unknown paths.
        self._fixed = {
            (route.method, route.path): self._make_endpoint(route)
            for route in routes
            if "{" not in route.path and route.method != WEBSOCKET
        }
        self._mounted = list(self._mount_plugins())
        self._others = self._build_router(routes, self._mount_dashboard(settings.benchmarks))
        self._app: ASGIApp = self._route
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._route,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
                allow_headers=("*",),
                expose_headers=("mcp-session-id", "retry-after", "x-request-id"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, unless it comes from a page of another site."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            self._guard.check(scope)
        except HttpError as error:
            set_caller(scope, self._doors.nobody)
            await _send_error(error, scope, send)
            return
        # Stored runs keep the id, whatever route, tool or plugin begins them. Without a call of `request_id`, for which
        # each request would pay (`python -m benchmarks.gate`).
        token = REQUEST.set(scope.get("state", _NO_STATE).get("request_id"))
        try:
            await self._app(scope, receive, send)
        finally:
            REQUEST.reset(token)

    @property
    def routes(self) -> Sequence[Route]:
        """The table of the server's routes, without those of other plugins."""
        return self._table

    def cancel_runs(self) -> None:
        """Cancel the streamed runs: each stream ends with an event that says so."""
        self._runner.cancel()

    async def tell_woken(self, record: RunRecord, result: RunResult) -> None:
        """Send word of the end of a run that this process went on with: its time had come, or its process was gone.

        A message that cannot be made is an entry of the log, and no error.
        """
        if self._a2a is not None and self._a2a.push.is_supported:
            await self._a2a.push.tell(record.id)
        try:
            webhook = await self._background.find_webhook(record.id)
            runnable = self._site.project.runnables.get(record.agent)
            if runnable is not None and (webhook is not None or self._webhooks.tells_all):
                task = Task(runnable, "", user=record.user, of_session=record.session, webhook=webhook)
                self._webhooks.tell(task, result)
        except (AgnoError, HttpError) as error:
            # The memory is away, or the secret for the signature is not in the settings any more.
            log.write("error", "webhook not sent", run=record.id, error=error.message)

    def _tell(self, task: Task, result: RunResult | None) -> None:
        """Send word of the end of a run in the background, if anybody wants it."""
        if result is not None and (task.webhook is not None or self._webhooks.tells_all):
            self._webhooks.tell(task, result)
        if result is not None and self._a2a is not None and self._a2a.push.is_supported:
            self._background.nursery.start_soon(self._a2a.push.tell, result.run_id)

    def _make_a2a(self, settings: Settings) -> A2A | None:
        if not settings.a2a.enabled:
            return None
        return A2A(self._site, self._background, self._faults, self._webhooks, locked=self._doors.is_locked)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Own the background runs from the startup to the shutdown."""
        await receive()
        if isinstance(self._runtime.memory, EventLog):
            # A run that was begun with a log keeps it when its time comes, or when its process is gone.
            runnables = self._site.project.runnables.values()
            self._runtime.add(*(self._site.logged(each) for each in runnables if can_be_logged(each)))
        async with trio.open_nursery() as nursery, AsyncExitStack() as opened:
            await nursery.start(self._background.live)
            for _, app in self._mounted:
                if (open_app := getattr(app, "open", None)) is not None:
                    await opened.enter_async_context(open_app())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._background.drain(min(self._grace, MOST_DRAIN))
            nursery.cancel_scope.cancel()
        await self._webhooks.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "lifespan":
            doors = self._doors
            scope.setdefault("state", {})["caller"] = doors.nobody if doors.is_locked else doors.usual
            if doors.asks:
                try:
                    await self._admit(scope)
                except HttpError as error:
                    await _send_error(error, scope, send)
                    return
        endpoint = self._fixed.get((scope["method"], scope["path"])) if kind == "http" else None
        await (endpoint or self._others)(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        """Find the caller, and put the caller into the scope. Raises `HttpError` if the caller may not use the path."""
        doors, path = self._doors, scope["path"]
        if path in self._open:
            if path == SIGN_IN:
                doors.admit_address(scope)
        else:
            caller = await doors.identify(scope)
            set_caller(scope, caller)
            if not caller.scopes.is_all:
                check_path(caller, scope.get("method", "GET"), path.removeprefix(self._agentos))

    def _routes(self, settings: Settings) -> Iterator[Route]:
        yield from self._page
        yield from Health(self._runtime).routes()
        yield from Reference(lambda: self._table, keyed=self._doors.is_locked).routes()
        site = self._site
        events = RunEvents(site, self._background, self._faults)
        launcher = Launcher(site, self._background, events, self._webhooks)
        yield from RunSockets(site, self._background, self._faults, self._webhooks).routes()
        for resource in (Agents(site, launcher), StoredRuns(site, self._faults), SteerRuns(site, launcher), events):
            yield from resource.routes()
        for kind in _SIMPLE:
            yield from kind(site).routes()
        yield from Responses(site, self._background).routes()
        yield from KnowledgeBases(site, self._faults).routes()
        if settings.profile:
            yield from Profiles(settings).routes()
        if self._doors.can_sign_in:
            yield from SignIn(self._doors).routes()
        if self._a2a is not None:
            yield from self._a2a.routes()

    def _make_endpoint(self, route: Route) -> Endpoint:
        return Endpoint(route.handler, self._faults, route.shape)

    def _build_router(self, routes: list[Route], extra: list[BaseRoute]) -> Starlette:
        methods: dict[str, dict[str, Endpoint]] = {}
        sockets = [WebSocketRoute(each.path, self._make_endpoint(each)) for each in routes if each.method == WEBSOCKET]
        for each in routes:
            if each.method != WEBSOCKET:
                methods.setdefault(each.path, {})[each.method] = self._make_endpoint(each)
        own: list[BaseRoute] = [*sockets]
        own += [StarletteRoute(path, _ByMethod(found), methods=list(found)) for path, found in methods.items()]
        # The bare path too: a mount alone would redirect it, and not every client follows.
        mounted = [(name, Mounted(app, self._runner, self._faults)) for name, app in self._mounted]
        bare = [StarletteRoute(f"/{name}", Endpoint(app, self._faults)) for name, app in mounted]
        mounts = [Mount(f"/{name}", app) for name, app in mounted]
        return Starlette(routes=[*own, *extra, *bare, *mounts], exception_handlers={HTTPException: _answer_no_route})

    def _mount_plugins(self) -> Iterator[tuple[str, ASGIApp]]:
        for offer in self._runtime.plugins.offers("routes"):
            try:
                app = offer.factory(self._runtime)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                yield offer.name, Endpoint(_make_failing_app(offer.plugin, offer.name, exc), self._faults)
            else:
                yield offer.name, app

    def _mount_dashboard(self, folder: str) -> list[BaseRoute]:
        if not folder:
            return []
        files, bare = Endpoint(Dashboard(folder), self._faults), Endpoint(to_dashboard, self._faults)
        return [StarletteRoute("/benchmarks", bare), Mount("/benchmarks", files)]


class _ByMethod:
    """The endpoints of one path, by method, so that a 405 can list the methods."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; HEAD is answered as GET, and the server leaves the body out."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._endpoints[method](scope, receive, send)


async def _send_error(error: HttpError, scope: Scope, send: Send, shape: ErrorBody | None = None) -> None:
    """Send the error, in the shape of the API by default. Log a wrong key, without the key, and refusals."""
    note_refusal(scope, error)
    if error.code == "key_wrong":
        client = (scope.get("client") or ("unknown",))[0]
        log.write("warning", "wrong key", client=client, path=scope["path"], request=request_id(scope))
    shape = shape or (openai_answers.error_body if scope["path"].startswith("/v1/") else error_body)
    if scope["type"] != "http":
        await refuse_websocket(scope, send, error, shape(error))
        return
    media = PROBLEM if shape is error_body else JSON
    await respond(send, error.status, [*media, *error.headers], shape(error))


async def _answer_no_route(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    path = request.scope["path"]
    headers = dict(exc.headers or {})
    if request.method == "OPTIONS" and (exc.status_code == 405 or path == "*"):
        # RFC 9110, 9.3.7: the methods of a thing, or the bare answer of a server that lives.
        known = {"Allow": f"{headers['Allow']}, OPTIONS"} if "Allow" in headers else {}
        return Response(None, 204, known)
    if exc.status_code == 405:
        hint = f"Use {headers['Allow']}." if "Allow" in headers else ""
        error = HttpError(405, "method_not_allowed", f"{path} does not accept {request.method}", hint)
    elif exc.status_code == 404:
        hint = "GET /agents lists the agents; POST /agents/NAME/runs runs one."
        error = HttpError(404, "not_found", f"there is nothing at {path}", hint)
    else:
        error = HttpError(exc.status_code, "http", str(exc.detail))
    shape = openai_answers.error_body if path.startswith("/v1/") else error_body
    media = "application/problem+json" if shape is error_body else "application/json"
    return Response(shape(error), error.status, headers, media)


def _make_failing_app(plugin: str, name: str, exc: BaseException) -> ASGIApp:
    hint = "Upgrade or uninstall the plugin, or name it in `block` of [runtime] in agno-rt.toml."
    error = PluginError(f"plugin {plugin!r} failed to make its routes /{name}: {named(exc)}", plugin=plugin, hint=hint)

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise error from exc

    return fail
