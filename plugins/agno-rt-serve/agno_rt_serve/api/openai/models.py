"""The models of OpenAI's formats: agents, teams and workflows to ask, and embedders."""

from __future__ import annotations

import time

import msgspec

from agno_rt import Runnable
from agno_rt.errors import NotFound
from agno_rt_serve.api.openai.answers import error_body
from agno_rt_serve.api.openai.described import describe
from agno_rt_serve.api.openai.refused import Refused
from agno_rt_serve.api.routing import Route, path_value
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import Caller, caller_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond

__all__ = ["Model", "ModelList", "Models", "embedder_specs", "find_model", "unknown_model"]


class Model(msgspec.Struct):
    """A model: a runnable of the project, or an embedder."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "agno_rt"


class ModelList(msgspec.Struct):
    """The models that the caller may ask."""

    data: list[Model]
    object: str = "list"


class Models:
    """Answers `/v1/models`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._created = int(time.time())
        self._embedders = embedder_specs(site)

    def routes(self) -> list[Route]:
        """Return the routes. A model's name may contain slashes."""
        return [
            Route("GET", "/v1/models", self._list, error_body, describe("list_models", "List models", ModelList)),
            Route("GET", "/v1/models/{name:path}", self._get, error_body, describe("get_model", "Get a model", Model)),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        models = [Model(name, self._created) for name in self._names(caller_of(scope))]
        await respond(send, 200, JSON, msgspec.json.encode(ModelList(models)))

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = path_value(scope, "name")
        if name not in self._names(caller_of(scope)):
            if name not in self._embedders:
                find_model(self._site, name)
            raise unknown_model(NotFound("model", name, ()))
        await respond(send, 200, JSON, msgspec.json.encode(Model(name, self._created)))

    def _names(self, caller: Caller) -> list[str]:
        """Return the names of the models that the caller may ask: first the runnables, then the embedders."""
        runnables = [name for name, each in self._site.project.runnables.items() if caller.may_run(each)]
        embedders = [name for name in self._embedders if caller.may("run", "models", name)]
        return list(dict.fromkeys((*runnables, *embedders)))


def embedder_specs(site: Site) -> dict[str, str]:
    """Return the specs of the embedders for clients by name: those of the settings, and those of the knowledge."""
    specs = [each.embedder for each in site.project.config.knowledge.values()]
    own = {spec: spec for spec in specs if isinstance(spec, str) and spec != "auto"}
    return own | dict(site.settings.embedders)


def find_model(site: Site, name: str) -> Runnable:
    """Return the runnable of that name. Raises `Refused` 404, with the code known to OpenAI's clients."""
    try:
        return site.project.runnable(name)
    except NotFound as exc:
        raise unknown_model(exc) from exc


def unknown_model(error: NotFound) -> Refused:
    """Return the error for an unknown model."""
    return Refused(error.message, "model", error.hint, 404, "model_not_found")
