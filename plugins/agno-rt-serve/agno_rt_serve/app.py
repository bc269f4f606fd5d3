"""The ASGI application: routes, and what each answers. Knows no sockets: any ASGI server under trio runs it.

Most requests go to a handful of fixed paths, one for each agent among them: those are found in one table. Starlette's
router has the rest: paths with parameters, the routes of other plugins, and everything that is not there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from agno_rt import Agent, AgnoError, Event, RunResult, Runtime, Tool, Toolkit
from agno_rt.errors import NotFound, PluginError
from agno_rt.failures import must_pass, named
from agno_rt.project import Project
from agno_rt_serve import log
from agno_rt_serve.api import agents as agents_api
from agno_rt_serve.api.benchmarks import Dashboard, to_dashboard
from agno_rt_serve.api.faults import Faults
from agno_rt_serve.api.openai import format as openai_api
from agno_rt_serve.api.openai import request as chat_request
from agno_rt_serve.api.openai.client_tools import add_tools
from agno_rt_serve.api.page import page_files
from agno_rt_serve.api.parts import Accepts
from agno_rt_serve.api.profiling import Profiles
from agno_rt_serve.api.runner import Runs, Task
from agno_rt_serve.api.sign_in import PATH as SIGN_IN
from agno_rt_serve.api.sign_in import SignIn
from agno_rt_serve.errors import HttpError, error_body
from agno_rt_serve.guard import Guard, allowed_hosts
from agno_rt_serve.http.asgi import JSON, ASGIApp, Receive, Scope, Send, header, json_body, request_id, respond
from agno_rt_serve.keys import Key
from agno_rt_serve.settings import Settings

__all__ = ["App"]

Handler: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
ErrorBody: TypeAlias = Callable[[HttpError], bytes]

_OPEN = frozenset({"/health", SIGN_IN})
"""Paths that no key is needed for, beside the page's files. The page asks for what it shows, with the key."""


class Endpoint:
    """A handler, with its errors answered in the shape of its API."""

    def __init__(self, handler: Handler, faults: Faults, shape: ErrorBody = error_body) -> None:
        self._handler = handler
        self._faults = faults
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        try:
            await self._handler(scope, receive, send)
        except HttpError as error:
            await _refuse(error, scope, send, self._shape)
        except AgnoError as exc:
            await _refuse(self._faults.describe(exc, request_id(scope)), scope, send, self._shape)


class App:
    """Serves the project's agents, which run in the runtime. `cancel_runs` ends streams with a last word."""

    def __init__(self, project: Project, runtime: Runtime, settings: Settings) -> None:
        self._project = project
        self._runtime = runtime
        self._faults = Faults(show=settings.show_errors)
        self._runs = Runs(runtime, self._faults)
        self._accepts = Accepts(settings.max_media, settings.media_urls)
        self._created = int(time.time())
        self._agents = agents_api.agents_body(project.agents, self._tool)
        self._models = openai_api.models_body(project.agents, self._created)
        self._page = page_files(settings)
        self._open = _OPEN | self._page.keys()
        hosts = allowed_hosts(settings.host, settings.allowed_hosts, keyed=bool(settings.key))
        self._guard = Guard(hosts, settings.cors_origins)
        self._key = Key(settings.key) if settings.key else None
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._add_fixed()
        if settings.profile:
            for path, handler in Profiles(settings).routes().items():
                self._add("GET", path, handler)
        if self._key is not None:
            for method, handler in SignIn(self._key).routes().items():
                self._add(method, SIGN_IN, handler)
        self._others = self._starlette(self._dashboard(settings.benchmarks))
        self._app: ASGIApp = self._route
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._route,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                expose_headers=("retry-after", "x-request-id"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, unless it comes from a page of another site."""
        if scope["type"] != "lifespan":
            try:
                self._guard.check(scope)
            except HttpError as error:
                await _refuse(error, scope, send)
                return
        await self._app(scope, receive, send)

    def cancel_runs(self) -> None:
        """Cancel the runs that are streamed: each stream ends with an event that says so."""
        self._runs.cancel()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if self._key is not None and kind != "lifespan" and scope["path"] not in self._open:
            try:
                self._key.check(scope)
            except HttpError as error:
                await _refuse(error, scope, send)
                return
        endpoint = self._fixed.get((scope["method"], scope["path"])) if kind == "http" else None
        await (endpoint or self._others)(scope, receive, send)

    def _add_fixed(self) -> None:
        get, post = partial(self._add, "GET"), partial(self._add, "POST")
        for path, file in self._page.items():
            get(path, file)
        get("/health", _get_health)
        get("/agents", self._get_agents)
        for name, agent in self._project.agents.items():
            post(f"/agents/{name}/runs", partial(self._post_run, agent))
        get("/v1/models", self._get_models, openai_api.error_body)
        post("/v1/chat/completions", self._post_chat, openai_api.error_body)

    def _add(self, method: str, path: str, handler: Handler, shape: ErrorBody = error_body) -> None:
        self._fixed[method, path] = Endpoint(handler, self._faults, shape)

    def _starlette(self, extra: list[BaseRoute]) -> Starlette:
        fixed = [Route(path, endpoint, methods=[method]) for (method, path), endpoint in self._fixed.items()]
        others: list[BaseRoute] = [
            Route("/agents/{name}/runs", Endpoint(self._post_unknown, self._faults), methods=["POST"]),
            Route("/v1/models/{name}", Endpoint(self._get_model, self._faults, openai_api.error_body), methods=["GET"]),
        ]
        # The bare path too: a mount alone would redirect it, and not every client follows.
        mounted = [(name, app) for name, app in self._mounted()]
        bare = [Route(f"/{name}", Endpoint(app, self._faults)) for name, app in mounted]
        mounts = [Mount(f"/{name}", app) for name, app in mounted]
        routes = [*fixed, *others, *extra, *bare, *mounts]
        return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})

    def _mounted(self) -> Iterator[tuple[str, ASGIApp]]:
        for offer in self._runtime.plugins.offers("routes"):
            try:
                app = offer.factory(self._runtime)
            except BaseException as exc:
                if must_pass(exc):
                    raise
                yield offer.name, Endpoint(_broken(offer.plugin, offer.name, exc), self._faults)
            else:
                yield offer.name, app

    def _tool(self, spec: str) -> Tool | Toolkit | str:
        try:
            made = self._runtime.plugins.tool(spec, self._project.config.plugins)
        except AgnoError:
            return spec  # the runtime says why, to whoever runs the agent
        return made if isinstance(made, Tool | Toolkit) else spec

    def _dashboard(self, folder: str) -> list[BaseRoute]:
        if not folder:
            return []
        files, bare = Endpoint(Dashboard(folder), self._faults), Endpoint(to_dashboard, self._faults)
        return [Route("/benchmarks", bare), Mount("/benchmarks", files)]

    async def _get_agents(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, self._agents)

    async def _get_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, self._models)

    async def _get_model(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path_params"]["name"]
        self._model(name)
        await respond(send, 200, JSON, openai_api.model_body(name, self._created))

    def _model(self, name: str) -> Agent:
        try:
            return self._project.agent(name)
        except NotFound as exc:
            raise openai_api.unknown_model(exc) from exc

    async def _post_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._post_run(self._project.agent(scope["path_params"]["name"]), scope, receive, send)

    async def _post_run(self, agent: Agent, scope: Scope, receive: Receive, send: Send) -> None:
        body = agents_api.decode(await json_body(scope, receive))
        task = Task(agent, agents_api.input_of(body, self._accepts), body.session, body.user)
        if b"text/event-stream" in header(scope, b"accept"):
            await self._runs.stream(task, send, _Numbered(), lambda end: b"", request_id(scope))
        else:
            result = await self._runs.run(task)
            await respond(send, 200, JSON, agents_api.result_body(result, body.session))

    async def _post_chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        chat = chat_request.decode(await json_body(scope, receive))
        messages = chat_request.conversation(chat, self._accepts)
        agent = self._model(chat.model)
        own = agents_api.tool_names(agent, self._tool) if chat.tools else ()
        agent, taken = add_tools(chat_request.apply_settings(agent, chat), own, chat)
        task = Task(agent, messages, user=chat.user or None)
        created = int(time.time())
        if not chat.stream:
            result = await self._runs.run(task)
            if result.status == "paused":
                raise openai_api.paused(result)
            calls = () if taken is None else taken.calls
            await respond(send, 200, JSON, openai_api.completion_body(result, chat.model, created, calls))
            return
        chunks = openai_api.Chunks(chat.model, created, chat.include_usage)

        def last(end: RunResult | HttpError) -> bytes:
            if isinstance(end, HttpError):
                return chunks.failed(end)
            if end.status == "paused":
                return chunks.failed(openai_api.paused(end))
            return chunks.end(end, () if taken is None else taken.calls)

        await self._runs.stream(task, send, chunks.feed, last, request_id(scope))


class _Numbered:
    """Numbers the events of one stream, from 1."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, event: Event) -> bytes:
        self._number += 1
        return agents_api.server_sent_event(self._number, event)


async def _refuse(error: HttpError, scope: Scope, send: Send, shape: ErrorBody | None = None) -> None:
    """Answer with the error, in the shape of the API by default. A wrong key is logged, without the key."""
    if error.code == "key_wrong":
        client = (scope.get("client") or ("unknown",))[0]
        log.write("warning", "wrong key", client=client, path=scope["path"], request=request_id(scope))
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    shape = shape or (openai_api.error_body if scope["path"].startswith("/v1/") else error_body)
    await respond(send, error.status, [*JSON, *error.headers], shape(error))


async def _get_health(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, JSON, b'{"status":"ok"}')


async def _no_route(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    path = request.url.path
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        hint = f"Use {headers['Allow']}." if "Allow" in headers else ""
        error = HttpError(405, "method_not_allowed", f"{path} does not take {request.method}", hint)
    elif exc.status_code == 404:
        hint = "GET /agents lists the agents; POST /agents/NAME/runs runs one."
        error = HttpError(404, "not_found", f"there is nothing at {path}", hint)
    else:
        error = HttpError(exc.status_code, "http", str(exc.detail))
    shape = openai_api.error_body if path.startswith("/v1/") else error_body
    return Response(shape(error), error.status, headers, "application/json")


def _broken(plugin: str, name: str, exc: BaseException) -> ASGIApp:
    hint = "Upgrade or uninstall it, or name it in `block` of [runtime] in agno-rt.toml."
    error = PluginError(f"plugin {plugin!r} failed to make its routes /{name}: {named(exc)}", plugin=plugin, hint=hint)

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise error from exc

    return fail
