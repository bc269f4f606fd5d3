"""Facts about a server and its models: address, API key, options of models, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format. References: Cohere's API reference, "Chat", and
its pages "Reasoning", "Safety modes" and "Citations".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.models import ModelProfile, OutputMode, Price

__all__ = ["KEY_ENV", "OFFICIAL_URL", "PLUGIN", "Facts", "Server", "Settings", "choose"]

PLUGIN = "cohere"
KEY_ENV = "COHERE_API_KEY"
OFFICIAL_URL = "https://api.cohere.com"


@attrs.frozen(kw_only=True)
class Facts:
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.

    thinking      true or false, or a budget in tokens; the model's default if not given
    citations     `off`, `fast` or `accurate`: whether the service finds sources for its words; its default if not given
    safety_mode   `contextual`, `strict` or `off`; the service's default if not given
    strict_tools  hold calls to the tools' schemas
    media         accepted media types, as in `("image/*",)`; `None` lets the server refuse
    output        the way to ask for an output type: `schema`, `tool` or `prompt`
    price         US dollars for a million tokens
    """

    thinking: bool | int | None = None
    citations: Literal["off", "fast", "accurate"] | None = None
    safety_mode: Literal["contextual", "strict", "off"] | None = None
    strict_tools: bool | None = None
    media: tuple[str, ...] | None = None
    output: OutputMode | None = None
    price: Price | None = None

    def __attrs_post_init__(self) -> None:
        if type(self.thinking) is int and self.thinking < 1:
            raise UsageError(f"thinking is {self.thinking}", hint="Give true, false, or a budget of at least 1 token.")

    def over(self, others: Facts) -> Facts:
        """Return these facts, with gaps filled from `others`."""
        named = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return attrs.evolve(Facts(**{name: getattr(others, name) for name in _NAMES}), **named)

    def profile(self) -> ModelProfile:
        """Return the facts that a run needs."""
        return ModelProfile(self.output or "schema", self.media, self.price)


_NAMES = tuple(field.name for field in attrs.fields(Facts))


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """A server for Cohere's chat format (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/v2/chat`; a query is kept, and never shown
        api_key_env: the environment variable with the key. Default: COHERE_API_KEY for Cohere's own servers, and no key
            for other servers
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        HttpServer.__attrs_post_init__(self)
        Facts.__attrs_post_init__(self)

    @property
    def is_official(self) -> bool:
        """True for Cohere itself."""
        # The leading dot admits the host itself and hosts below it, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith((".api.cohere.com", ".api.cohere.ai"))

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings."""
        return _find_facts(model, self.models).over(self)

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, KEY_ENV if self.is_official else "")


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.cohere]`: Cohere, and `servers` by name for `cohere:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def _find_facts(model: str, models: Mapping[str, Facts]) -> Facts:
    """Return the facts under the model's name, else under the longest prefix with a `*`."""
    if model in models:
        return models[model]
    fitting = [name for name in models if name.endswith("*") and model.startswith(name[:-1])]
    return models[max(fitting, key=len)] if fitting else Facts()


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`."""
    read = _read_models(read_settings(Settings, settings, f"[plugins.{PLUGIN}]"), settings, f"plugins.{PLUGIN}")
    servers = {name: _read_server(name, table) for name, table in settings.get("servers", {}).items()}
    first, _, rest = spec.partition(":")
    name, model = (first, rest) if first in servers else ("", spec)
    if not model:
        hint = f"Write {PLUGIN}:{name}:MODEL." if name else f"Write {PLUGIN}:MODEL."
        raise UsageError(f"the spec {f'{PLUGIN}:{spec}'!r} names no model", hint=hint)
    return model, name, servers.get(name, read)


def _read_server(name: str, table: Mapping[str, Any]) -> Server:
    where = f"[plugins.{PLUGIN}.servers.{name}]"
    if not name or ":" in name:
        raise ConfigError(f"{where}: a server's name may not be empty or hold a colon", hint="Rename the table.")
    server = read_settings(Server, table, where)
    if "base_url" not in table:
        hint = 'Say where it is: base_url = "http://127.0.0.1:8080".'
        raise ConfigError(f"{where}: base_url is missing", hint=hint)
    return _read_models(server, table, where.strip("[]"))


def _read_models(server: Server, table: Mapping[str, Any], where: str) -> Server:
    """Return the server with the tables of its models read. Raises `ConfigError`."""
    models: dict[str, Facts] = {}
    for name, facts in table.get("models", {}).items():
        if not isinstance(facts, Mapping):
            raise ConfigError(f"[{where}.models]: {name!r} is not a table", hint=f"Write [{where}.models.{name!r}].")
        models[name] = read_settings(Facts, facts, f"[{where}.models.{name}]")
    return attrs.evolve(server, models=models)
