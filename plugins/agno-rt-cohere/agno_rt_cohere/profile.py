"""Facts about a server and its models: address, API key, options of models, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format. Reference: Cohere's API
reference, "Chat".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import choose_server, find_by_name, read_servers, read_table
from agno_rt_cohere.facts import Facts, known

__all__ = ["KEY_ENV", "OFFICIAL_URL", "PLUGIN", "Server", "Settings", "choose"]

PLUGIN = "cohere"
KEY_ENV = "COHERE_API_KEY"
OFFICIAL_URL = "https://api.cohere.com"


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
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts.

        General facts count for Cohere itself only.
        """
        own = (find_by_name(self.models, model) or Facts()).over(self)
        return own.over(known(model)) if self.is_official else own

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
    servers = read_servers(PLUGIN, Server, Facts, settings, example='"http://127.0.0.1:8080"')
    return choose_server(PLUGIN, spec, read, servers)
