"""Facts about a server and its models: address, API key, options of models, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format. References: Cohere's API reference, "Chat", and
its pages "Reasoning", "Safety modes" and "Citations".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.errors import UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import (
    check_model,
    find_by_name,
    no_address_error,
    place_of_server,
    read_table,
    split_spec,
)
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
        return (find_by_name(self.models, model) or Facts()).over(self)

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, KEY_ENV if self.is_official else "")


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.cohere]`: Cohere, and `servers` by name for `cohere:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`."""
    read = read_table(Settings, Facts, settings, f"plugins.{PLUGIN}")
    servers = {name: _read_server(name, table) for name, table in settings.get("servers", {}).items()}
    name, model = split_spec(spec, servers)
    check_model(PLUGIN, spec, name, model)
    return model, name, servers.get(name, read)


def _read_server(name: str, table: Mapping[str, Any]) -> Server:
    where = place_of_server(PLUGIN, name)
    server = read_table(Server, Facts, table, where)
    if "base_url" not in table:
        raise no_address_error(where, '"http://127.0.0.1:8080"')
    return server
