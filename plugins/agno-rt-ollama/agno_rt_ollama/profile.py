"""Facts about a server and its models: address, key, options of models, and the schema of the settings table.

Reads the environment for the address and for keys; knows no HTTP client and no wire format. References: Ollama's
documentation, "FAQ" (OLLAMA_HOST, keep_alive), "API" and "Modelfile reference" (options), "Thinking" and "Cloud".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.errors import UsageError
from agno_rt.http_client.facts import ModelFacts
from agno_rt.http_client.server import HttpServer, Key, without_query
from agno_rt.http_client.tables import choose_server, find_by_name, read_servers, read_table
from agno_rt.models import FREE, ModelProfile
from agno_rt.wire.chat_completions import ThinkTags

__all__ = ["HOST_ENV", "KEY_ENV", "PLUGIN", "Facts", "Server", "Settings", "choose", "find_address", "read_all"]

PLUGIN = "ollama"
HOST_ENV = "OLLAMA_HOST"
KEY_ENV = "OLLAMA_API_KEY"
_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Addresses on which a server listens, and to which no client can connect everywhere."""

_CLOUD = ("-cloud", ":cloud")
"""Endings of the tags of models that run at ollama.com, also behind a server on this machine."""

Think = bool | Literal["low", "medium", "high", "max"]


def find_address(text: str) -> str:
    """Return the base URL in a text such as OLLAMA_HOST has: `host`, `host:port`, `:port`, or a whole address.

    The port is 11434, but 80 or 443 behind `http://` or `https://`. An address to listen on becomes the loopback
    address.
    """
    scheme, found, rest = text.strip().strip("'\"").rpartition("://")
    scheme = scheme.lower() if found else "http"
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname or "127.0.0.1", parts.port or (_PORTS.get(scheme, _PORT) if found else _PORT)
    except ValueError:
        return text
    host = _EVERYWHERE.get(host) or (f"[{host}]" if ":" in host else host)
    return f"{scheme}://{host}:{port}{parts.path.rstrip('/')}"


def _find_default() -> str:
    return find_address(os.environ.get(HOST_ENV, ""))


@attrs.frozen(kw_only=True)
class Facts(ModelFacts):
    """Known facts about a model, and the choices for its requests; `None` leaves a fact to a more general source.
    Beside those of `ModelFacts`:

    num_ctx     tokens of prompt and answer together; the server drops what is beyond from the start of a conversation
    keep_alive  the time that the model stays loaded: `"5m"`, seconds, 0 to unload at once, -1 to keep
    think       true or false, or a level for models with levels; the model's default if not given
    options     options of the server for the model, such as `{top_k = 20}`
    think_tags  reasoning in `<think>` tags within the text: `off`, `start` or `opened`
    """

    num_ctx: int | None = None
    keep_alive: str | int | None = None
    think: Think | None = None
    options: Mapping[str, Any] | None = None
    think_tags: ThinkTags | None = None

    def __attrs_post_init__(self) -> None:
        if self.num_ctx is not None and self.num_ctx < 1:
            raise UsageError(f"num_ctx is {self.num_ctx}", hint="Give a whole number of at least 1.")

    def over(self, others: Any) -> Facts:
        """Return these facts, with gaps filled from `others`; options are joined."""
        filled = super().over(others)
        if self.options and others.options:
            return attrs.evolve(filled, options={**others.options, **self.options})
        return filled

    def model_profile(self) -> ModelProfile:
        """Return the facts that a run needs. The server drops what is beyond `num_ctx`, so no request is longer."""
        return attrs.evolve(super().model_profile(), context=self.num_ctx or self.context)


_GENERAL = Facts(media=("image/*",), think_tags="start")


@attrs.frozen(kw_only=True)
class Server(HttpServer, Facts):
    """An Ollama server (see `HttpServer`), and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/api/chat`. Default: OLLAMA_HOST, and without it this machine
        api_key_env: the environment variable with the key. Default: OLLAMA_API_KEY for ollama.com, and no key for
            other servers
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(factory=_find_default, repr=lambda url: repr(without_query(url)))
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        HttpServer.__attrs_post_init__(self)
        Facts.__attrs_post_init__(self)

    @property
    def is_cloud(self) -> bool:
        """True for ollama.com."""
        # The leading dot admits the host itself and hosts below it, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(".ollama.com")

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts.

        A model costs nothing, unless it runs at ollama.com.
        """
        general = _GENERAL
        if not (self.is_cloud or model.endswith(_CLOUD)):
            general = attrs.evolve(general, price=FREE)
        return (find_by_name(self.models, model) or Facts()).over(self).over(general)

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        return self.find_key(PLUGIN, KEY_ENV if self.is_cloud else "")


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.ollama]`: the usual server, and `servers` by name for `ollama:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """Return the model, the server's name (or "") and the server of a spec. Raises `UsageError`."""
    servers = read_all(settings)
    return choose_server(PLUGIN, spec, servers[""], servers, example="llama3.2")


def read_all(settings: Mapping[str, Any]) -> dict[str, Server]:
    """Return the servers of the settings by name; the usual server has the name "". Raises `ConfigError`."""
    read = read_table(Settings, Facts, settings, f"plugins.{PLUGIN}")
    return {"": read, **read_servers(PLUGIN, Server, Facts, settings, example='"http://192.168.1.7:11434"')}
