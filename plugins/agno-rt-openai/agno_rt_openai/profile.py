"""Facts about a server: address, API key, timeouts, and the schema of the settings table.

Reads the environment for keys; knows no HTTP client and no wire format.
"""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, UsageError
from agno_rt_openai.facts import OFFICIAL, OTHER, Facts, known

__all__ = ["OFFICIAL_KEY_ENV", "OFFICIAL_URL", "Key", "Server", "Settings", "choose", "without_query"]

OFFICIAL_URL = "https://api.openai.com/v1"
OFFICIAL_KEY_ENV = "OPENAI_API_KEY"
PLUGIN = "openai"


@attrs.frozen
class Key:
    """An API key and its source. `text` is empty if no key is sent; the text is never shown."""

    text: str = attrs.field(repr=False)
    source: str


@attrs.frozen(kw_only=True)
class Server(Facts):
    """A server for the chat completions format, and the facts for all of its models (see `Facts`).

    Raises `UsageError` for an unusable value.

    Attributes:
        base_url: everything before `/chat/completions`; a query is kept, and never shown
        api_key: the key itself; better leave the key in the environment
        api_key_env: the environment variable with the key. Default: OPENAI_API_KEY for OpenAI's own servers, and no key
            for other servers
        connect_timeout: seconds to wait for a connection
        read_timeout: seconds between two pieces of an answer, including the wait for the first
        max_connections: requests in progress at once; more requests wait
        max_waiting: requests waiting for a connection; one more request is refused with `Overloaded`
        headers: headers of every request; never shown, because headers may hold secrets
        http2: offer HTTP/2 (needs the extra `http2`)
        models: `Facts` about single models, by name or by a prefix with a `*` at the end
    """

    base_url: str = attrs.field(default=OFFICIAL_URL, repr=lambda url: repr(without_query(url)))
    api_key: str | None = attrs.field(default=None, repr=False)
    api_key_env: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    max_connections: int = 100
    max_waiting: int = 1_000
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    http2: bool = False
    models: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        _check_url(self.base_url)
        for name in ("connect_timeout", "read_timeout"):
            _check_seconds(name, getattr(self, name))
        _check_count("max_connections", self.max_connections, at_least=1)
        _check_count("max_waiting", self.max_waiting, at_least=0)
        for name, value in self.headers.items():
            if not (name.isascii() and name.isprintable() and " " not in name) or not _is_header_value(value):
                raise UsageError(f"header {name!r} cannot be sent", hint="Header names and values are printable ASCII.")

    @property
    def chat_url(self) -> str:
        """Return the address for completions."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions", fragment=""))

    @property
    def shown_url(self) -> str:
        """Return `chat_url` for messages: without the query, because a query may hold a secret."""
        return without_query(self.chat_url)

    @property
    def query_values(self) -> tuple[str, ...]:
        """Return the values in the query of the base URL, except versions: any value may be a secret."""
        query = parse_qsl(urlsplit(self.base_url).query)
        return tuple(value for name, value in query if "version" not in name.lower())

    @property
    def host(self) -> str:
        """Return host and port, as in the base URL."""
        return urlsplit(self.base_url).netloc

    @property
    def is_official(self) -> bool:
        """True for OpenAI itself, in any region."""
        # The leading dot admits the host itself and its regions, but no other host with the same ending.
        return f".{urlsplit(self.base_url).hostname}".endswith(".api.openai.com")

    @property
    def is_loopback(self) -> bool:
        """True for a server on this machine: no proxy is needed."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def facts(self, model: str) -> Facts:
        """Return the facts of a model: first from `models`, then from the server's settings, then general facts."""
        said = known(model, self.models).over(self)
        return said.over(known(model.removeprefix("ft:")).over(OFFICIAL) if self.is_official else OTHER)

    def key(self) -> Key:
        """Return the key to send, read from the environment now. Raises `ConfigError` for a missing or unusable key."""
        if self.api_key is not None:
            return _check_key(Key(self.api_key.strip(), "the setting api_key"))
        variable = self.api_key_env or (OFFICIAL_KEY_ENV if self.is_official else "")
        if not variable:
            return Key("", "nowhere")
        text = os.environ.get(variable, "").strip()
        if not text:
            hint = f"Set {variable}, or api_key in [plugins.{PLUGIN}]; another server's address goes into base_url."
            raise ConfigError(f"{self.host} needs an API key, and {variable} is not set", hint=hint)
        return _check_key(Key(text, f"the environment variable {variable}"))


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.openai]`: the server of `openai:MODEL`, and `servers` by name for `openai:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


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
        hint = 'Say where it is: base_url = "http://127.0.0.1:8080/v1".'
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


def _check_key(key: Key) -> Key:
    # The HTTP library's error quotes an unusable header, key included, so refuse the key first.
    if not _is_header_value(key.text):
        raise ConfigError(
            f"the API key in {key.source} has characters that are not allowed in a key",
            hint="Copy it again, on one line, without quotes.",
        )
    return key


def _is_header_value(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)


def without_query(url: str) -> str:
    """Return the address without the query, because a query may hold a key."""
    return url.partition("?")[0]


def _check_url(url: str) -> None:
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        shown = "..." if "@" in url else without_query(url)
        raise UsageError(f"base_url {shown!r} is not an HTTP address", hint=f"Write it as in {OFFICIAL_URL!r}.")
    if "@" in parts.netloc:
        raise UsageError("base_url holds credentials", hint="Put the key into api_key_env, or a header into headers.")


def _split_url(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # Both raise ValueError for an address that the HTTP client would refuse with each request.
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts


def _check_seconds(name: str, seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise UsageError(f"{name} is {seconds!r}", hint="Give seconds above 0.")


def _check_count(name: str, count: int, *, at_least: int) -> None:
    if count < at_least:
        raise UsageError(f"{name} is {count!r}", hint=f"Give a whole number of at least {at_least}.")
