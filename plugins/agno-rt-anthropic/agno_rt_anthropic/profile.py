"""Facts about a server: address, API key, the version of the API, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.errors import UsageError
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import choose_server, read_servers, read_table
from agno_rt.models import Price
from agno_rt_anthropic.facts import ELSEWHERE, OTHER, Facts, known

__all__ = ["OFFICIAL_KEY_ENV", "OFFICIAL_URL", "Server", "Settings", "choose"]

OFFICIAL_URL = "https://api.anthropic.com"
OFFICIAL_KEY_ENV = "ANTHROPIC_API_KEY"
PLUGIN = "anthropic"


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """A server for the messages format (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/v1/messages`; a query is kept, and never shown
        api_key_env: the environment variable with the key. Default: ANTHROPIC_API_KEY for Anthropic's own servers, and
            no key for other servers
        key_header: `x-api-key`, or `authorization` to send the key as a bearer token
        version: the version of the API; with `2026-10-21` no temperature is sent
        betas: names for the header `anthropic-beta`; the names that the other settings need are added
        cache: the lifetime of cached prefixes: `5m`, `1h` (writing costs twice the input), or `off`
        parallel_tools: let a model call several tools at once
        server_tools: tools that the service runs itself, each as in its reference
        context_management: edits that the service makes to long conversations, as in its reference
        drop_stale_thinking: let the service leave out thinking whose history has changed; otherwise the service refuses
            such a request
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    key_header: Literal["x-api-key", "authorization"] = "x-api-key"
    version: str = "2023-06-01"
    betas: tuple[str, ...] = ()
    cache: Literal["5m", "1h", "off"] = "5m"
    parallel_tools: bool = True
    server_tools: tuple[Mapping[str, Any], ...] = ()
    context_management: Mapping[str, Any] = attrs.field(factory=dict)
    drop_stale_thinking: bool = True
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in ("version", *self.betas):
            text = self.version if name == "version" else name
            if not text or not text.isascii() or not text.isprintable() or "," in text:
                hint = "Write it as in '2023-06-01'." if name == "version" else "Write one name, without commas."
                raise UsageError(f"{'version' if name == 'version' else 'a name in betas'} is {text!r}", hint=hint)

    @property
    def is_official(self) -> bool:
        """True for Anthropic itself."""
        # The leading dot admits the host itself and hosts below it, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(".api.anthropic.com")

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts.

        Prices count for Anthropic's own servers only.
        """
        general = known(model)
        if not self.is_official:
            general = attrs.evolve(general, price=None)
        facts = known(model, self.models).over(self).over(general).over(OTHER if self.is_official else ELSEWHERE)
        return attrs.evolve(facts, price=self._mark_up(facts.price))

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, OFFICIAL_KEY_ENV if self.is_official else "")

    def _mark_up(self, price: Price | None) -> Price | None:
        """Return the price with the cost of writing to the cache for an hour, if that is the setting."""
        if price is None or price.cache_write is None or self.cache != "1h":
            return price
        return attrs.evolve(price, cache_write=price.input * 2, long=self._mark_up(price.long))


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.anthropic]`: Anthropic, and `servers` by name for `anthropic:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`."""
    read = read_table(Settings, Facts, settings, f"plugins.{PLUGIN}")
    servers = read_servers(PLUGIN, Server, Facts, settings, example='"http://127.0.0.1:8080"')
    return choose_server(PLUGIN, spec, read, servers)
