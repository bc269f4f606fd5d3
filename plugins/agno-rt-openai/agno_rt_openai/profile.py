"""Facts about a server: address, API key, timeouts, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import check_model, no_address_error, place_of_server, read_table, split_spec
from agno_rt_openai.facts import OFFICIAL, OTHER, Facts, known, known_official
from agno_rt_openai.keys import KeyFormat
from agno_rt_openai.providers import PROVIDERS

__all__ = ["OFFICIAL_KEY_ENV", "OFFICIAL_URL", "Server", "Settings", "choose"]

OFFICIAL_URL = "https://api.openai.com/v1"
OFFICIAL_KEY_ENV = "OPENAI_API_KEY"
PLUGIN = "openai"
_RESPONSES = "responses:"


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """A server for the chat completions format (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/chat/completions`; a query is kept, and never shown
        api_key_env: the environment variable with the key. Default: OPENAI_API_KEY for OpenAI's own servers, and no key
            for other servers
        key_header: the header with the key; in `authorization` the key follows the word Bearer
        key_format: `plain`, or `zhipu` for a key that signs a token for each quarter of an hour
        cache_key: send `prompt_cache_key`, a name for an agent's instructions and tools, by which the service finds its
            cache. Default: for OpenAI's own servers
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    key_header: str = "authorization"
    key_format: KeyFormat = "plain"
    cache_key: bool | None = None
    models: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def is_official(self) -> bool:
        """True for OpenAI itself, in any region."""
        # The leading dot admits the host itself and its regions, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(".api.openai.com")

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts."""
        said = known(model, self.models).over(self)
        return said.over(known_official(model).over(OFFICIAL) if self.is_official else OTHER)

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, OFFICIAL_KEY_ENV if self.is_official else "")


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.openai]`: the server of `openai:MODEL`, and `servers` by name for `openai:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec.

    A spec is `MODEL`, `SERVER:MODEL`, or either with `responses:` before the model. SERVER is a table in the settings,
    or a known provider, unless the settings give the plugin's own server another address. Raises `UsageError`.
    """
    read = read_table(Settings, Facts, settings, f"plugins.{PLUGIN}")
    servers = {name: _read_server(name, table) for name, table in settings.get("servers", {}).items()}
    # On a server of the user's own, `mistral:7b` is a model.
    name, model = split_spec(spec, {*servers, *PROVIDERS} if read.is_official else servers)
    server = (servers.get(name) or _read_server(name, {})) if name else read
    if model.startswith(_RESPONSES):
        model, server = model.removeprefix(_RESPONSES), attrs.evolve(server, api="responses")
    check_model(PLUGIN, spec, name, model)
    return model, name, server


def _read_server(name: str, table: Mapping[str, Any]) -> Server:
    """Return the server of a table. A known provider's table without an address changes single keys of the provider."""
    where = place_of_server(PLUGIN, name)
    server = read_table(Server, Facts, table, where)
    known_keys = PROVIDERS.get(name, {})
    if "base_url" not in table and not known_keys.get("base_url"):
        raise no_address_error(where, f'"{known_keys.get("example", "http://127.0.0.1:8080/v1")}"')
    # A table with another address is a server of the user's own, and must not get the provider's key.
    if "base_url" not in table or "base_url" not in known_keys:
        kept = {key: value for key, value in known_keys.items() if key not in (*table, "title", "example")}
        server = attrs.evolve(server, **kept)
    return server
