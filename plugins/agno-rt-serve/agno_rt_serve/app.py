"""The ASGI application: mounts the routes, behind the checks of every request. Knows no sockets.

Any ASGI server under trio runs it. Most requests go to a handful of fixed paths, found in one table. Starlette's router
has the rest: paths with parameters, routes of other plugins, and unknown paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as StarletteRoute

from agno_rt import AgnoError, Runtime
from agno_rt.errors import PluginError
from agno_rt.failures import must_pass, named
from agno_rt.project import Project
from agno_rt_serve import log
from agno_rt_serve.api.agents import Agents
from agno_rt_serve.api.approvals import Approvals
from agno_rt_serve.api.benchmarks import Dashboard, to_dashboard
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.openai import answers as openai_answers
from agno_rt_serve.api.openai.routes import ChatCompletions
from agno_rt_serve.api.page import page_routes
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.api.profiling import Profiles
from agno_rt_serve.api.routing import ErrorBody, Handler, Route
from agno_rt_serve.api.runner import Runner
from agno_rt_serve.api.sessions import Sessions
from agno_rt_serve.api.sign_in import PATH as SIGN_IN
from agno_rt_serve.api.sign_in import SignIn
from agno_rt_serve.api.site import Site
from agno_rt_serve.api.stored_runs import StoredRuns
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.guard import Guard, allowed_hosts
from agno_rt_serve.http.asgi import JSON, ASGIApp, Receive, Scope, Send, request_id, respond
from agno_rt_serve.keys import Key
from agno_rt_serve.settings import Settings

__all__ = ["App"]

_OPEN = frozenset({"/health", SIGN_IN})
"""Paths open without a key, beside the page's files. The page's own requests for data need the key."""


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
    """Serves the project's agents, which run in the runtime. `cancel_runs` ends each stream with a last event."""

    def __init__(self, project: Project, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._faults = Faults(show=settings.show_errors)
        self._runner = Runner(runtime, self._faults)
        accepts = Accepts(settings.max_media, settings.media_urls)
        self._site = Site(project, runtime, self._runner, settings, accepts)
        self._page = list(page_routes(settings))
        self._open = _OPEN | {route.path for route in self._page}
        hosts = allowed_hosts(settings.host, settings.allowed_hosts, keyed=bool(settings.key))
        self._guard = Guard(hosts, settings.cors_origins)
        self._key = Key(settings.key) if settings.key else None
        routes = list(self._routes(settings))
        # One table has the paths without a parameter; Starlette's router has the rest, and answers unknown paths.
        self._fixed = {
            (route.method, route.path): self._make_endpoint(route) for route in routes if "{" not in route.path
        }
        self._others = self._build_router(routes, self._mount_dashboard(settings.benchmarks))
        self._app: ASGIApp = self._route
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._route,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST", "PATCH", "DELETE"),
                allow_headers=("*",),
                expose_headers=("retry-after", "x-request-id"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, unless it comes from a page of another site."""
        if scope["type"] != "lifespan":
            try:
                self._guard.check(scope)
            except HttpError as error:
                await _send_error(error, scope, send)
                return
        await self._app(scope, receive, send)

    def cancel_runs(self) -> None:
        """Cancel the streamed runs: each stream ends with an event that says so."""
        self._runner.cancel()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if self._key is not None and kind != "lifespan" and scope["path"] not in self._open:
            try:
                self._key.check(scope)
            except HttpError as error:
                await _send_error(error, scope, send)
                return
        endpoint = self._fixed.get((scope["method"], scope["path"])) if kind == "http" else None
        await (endpoint or self._others)(scope, receive, send)

    def _routes(self, settings: Settings) -> Iterator[Route]:
        yield from self._page
        yield Route("GET", "/health", _get_health)
        for resource in (Agents, StoredRuns, Approvals, Sessions, ChatCompletions):
            yield from resource(self._site).routes()
        if settings.profile:
            yield from Profiles(settings).routes()
        if self._key is not None:
            yield from SignIn(self._key).routes()

    def _make_endpoint(self, route: Route) -> Endpoint:
        return Endpoint(route.handler, self._faults, route.shape)

    def _build_router(self, routes: list[Route], extra: list[BaseRoute]) -> Starlette:
        methods: dict[str, dict[str, Endpoint]] = {}
        for each in routes:
            methods.setdefault(each.path, {})[each.method] = self._make_endpoint(each)
        own = [StarletteRoute(path, _ByMethod(found), methods=list(found)) for path, found in methods.items()]
        # The bare path too: a mount alone would redirect it, and not every client follows.
        mounted = [(name, app) for name, app in self._mount_plugins()]
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
    """Send the error, in the shape of the API by default. Log a wrong key, without the key."""
    if error.code == "key_wrong":
        client = (scope.get("client") or ("unknown",))[0]
        log.write("warning", "wrong key", client=client, path=scope["path"], request=request_id(scope))
    if scope["type"] != "http":
        # 1008: a violation of policy (RFC 6455, 7.4.1).
        await send({"type": "websocket.close", "code": 1008})
        return
    shape = shape or (openai_answers.error_body if scope["path"].startswith("/v1/") else error_body)
    await respond(send, error.status, [*JSON, *error.headers], shape(error))


async def _get_health(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, JSON, b'{"status":"ok"}')


async def _answer_no_route(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    path = request.url.path
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        hint = f"Use {headers['Allow']}." if "Allow" in headers else ""
        error = HttpError(405, "method_not_allowed", f"{path} does not accept {request.method}", hint)
    elif exc.status_code == 404:
        hint = "GET /agents lists the agents; POST /agents/NAME/runs runs one."
        error = HttpError(404, "not_found", f"there is nothing at {path}", hint)
    else:
        error = HttpError(exc.status_code, "http", str(exc.detail))
    shape = openai_answers.error_body if path.startswith("/v1/") else error_body
    return Response(shape(error), error.status, headers, "application/json")


def _make_failing_app(plugin: str, name: str, exc: BaseException) -> ASGIApp:
    hint = "Upgrade or uninstall the plugin, or name it in `block` of [runtime] in agno-rt.toml."
    error = PluginError(f"plugin {plugin!r} failed to make its routes /{name}: {named(exc)}", plugin=plugin, hint=hint)

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise error from exc

    return fail
