"""The things that the server has: models, tools, plugins, and its configuration without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import msgspec

from agno_rt_serve.api.routing import Doc, Route
from agno_rt_serve.api.site import Site
from agno_rt_serve.auth.caller import caller_of
from agno_rt_serve.http.asgi import JSON, Receive, Scope, Send, respond
from agno_rt_serve.settings import Settings

__all__ = ["Inventory"]

HIDDEN = "***"


class Offered(msgspec.Struct):
    """A thing that an installed plugin offers: its name, and the beginning of its spec."""

    name: str
    plugin: str
    help: str


class ModelUsed(msgspec.Struct):
    """A model, and the agents that use it."""

    name: str
    agents: list[str]


class Models(msgspec.Struct):
    """The models of the agents, and the models that installed plugins offer."""

    models: list[ModelUsed]
    offered: list[Offered]


class Tools(msgspec.Struct):
    """The tools that installed plugins offer. GET /agents has the tools of each agent."""

    offered: list[Offered]


class PluginShown(msgspec.Struct):
    """An installed plugin, with the number of things that it offers by kind; `error` if it does not load."""

    name: str
    distribution: str
    version: str
    offers: dict[str, int]
    error: str | None


class Plugins(msgspec.Struct):
    """The installed plugins that are not blocked."""

    plugins: list[PluginShown]


class ConfigShown(msgspec.Struct):
    """The configuration. Texts of plugins' settings may be secrets, and are shown as `***`."""

    source: str
    runnables: list[str]
    memory: str
    limits: dict[str, Any]
    server: dict[str, Any]
    plugins: dict[str, Any]


_MODELS = Doc("list_models", "List models", Models)
_TOOLS = Doc("list_tools", "List the tools of installed plugins", Tools)
_PLUGINS = Doc("list_plugins", "List installed plugins", Plugins, tag="server")
_CONFIG = Doc("get_config", "Get the configuration, without secrets", ConfigShown, tag="server")


class Inventory:
    """Lists what the project and the installed plugins have."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", "/models", self._list_models, doc=_MODELS),
            Route("GET", "/tools", self._list_tools, doc=_TOOLS),
            Route("GET", "/plugins", self._list_plugins, doc=_PLUGINS),
            Route("GET", "/config", self._get_config, doc=_CONFIG),
        ]

    async def _list_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        used: dict[str, list[str]] = {}
        caller = caller_of(scope)
        for name, agent in self._site.project.agents.items():
            if caller.may_run(agent, "read"):
                model = agent.model if isinstance(agent.model, str) else agent.model.name
                used.setdefault(model, []).append(name)
        models = [ModelUsed(name, agents) for name, agents in sorted(used.items())]
        await respond(send, 200, JSON, msgspec.json.encode(Models(models, self._list_offers("models"))))

    async def _list_tools(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, JSON, msgspec.json.encode(Tools(self._list_offers("tools"))))

    async def _list_plugins(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = []
        for info in self._site.runtime.plugins.plugins():
            offers: dict[str, int] = {}
            for offer in info.offers:
                offers[offer.kind] = offers.get(offer.kind, 0) + 1
            error = None if info.error is None else info.error.message
            shown.append(PluginShown(info.name, info.distribution, info.version, offers, error))
        await respond(send, 200, JSON, msgspec.json.encode(Plugins(shown)))

    async def _get_config(self, scope: Scope, receive: Receive, send: Send) -> None:
        project = self._site.project
        shown = ConfigShown(
            project.source,
            list(project.runnables),
            project.config.runtime.memory.partition(":")[0],
            msgspec.to_builtins(attrs.asdict(project.config.limits)),
            _show_settings(self._site.settings),
            {name: _hide(table) for name, table in project.config.plugins.items() if name != "serve"},
        )
        await respond(send, 200, JSON, msgspec.json.encode(shown))

    def _list_offers(self, kind: str) -> list[Offered]:
        found = self._site.runtime.plugins.offers(kind)
        return [Offered(offer.name, offer.plugin, offer.help) for offer in found]


def _show_settings(settings: Settings) -> dict[str, Any]:
    """Return the server's settings that are numbers or switches: others have names, paths and secrets."""
    fields = attrs.asdict(settings, recurse=False)
    return {name: value for name, value in fields.items() if isinstance(value, bool | int | float)}


def _hide(value: Any) -> Any:
    """Return the value of a setting with each text hidden: a text of a plugin that nobody knows here may be a key."""
    if isinstance(value, Mapping):
        return {name: _hide(each) for name, each in value.items()}
    if isinstance(value, bool | int | float) or value is None:
        return value
    return [_hide(each) for each in value] if isinstance(value, Iterable) and not isinstance(value, str) else HIDDEN
