"""The facts about a server: where it is, which key it wants, how long to wait, and what its settings table may say.

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
    """An API key and where it was written. `text` is empty where no key is sent; it is never shown."""

    text: str = attrs.field(repr=False)
    source: str


@attrs.frozen(kw_only=True)
class Server(Facts):
    """A server that speaks the chat completions format, and the facts that hold for each of its models (see `Facts`).

    Raises `UsageError` for a value that cannot be used.

    Attributes:
        base_url: everything before `/chat/completions`; a query in it is kept, and never shown
        api_key: the key itself; better leave it in the environment
        api_key_env: the environment variable that holds the key. Unless told, OpenAI's own servers take it from
            OPENAI_API_KEY, and no other server is sent a key
        connect_timeout: seconds until there is a connection
        read_timeout: seconds between two pieces of an answer, the wait for the first included
        max_connections: requests under way at once; more wait
        max_waiting: requests that may wait for a connection; one more is refused with `Overloaded`
        headers: sent with every request; never shown, for they may hold secrets
        http2: offer HTTP/2 (needs the extra `http2`)
        models: `Facts` about single models, by name or by the beginning of one with a `*` behind it
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
            if not (name.isascii() and name.isprintable() and " " not in name) or not _fits_header(value):
                raise UsageError(f"header {name!r} cannot be sent", hint="Header names and values are printable ASCII.")

    @property
    def chat_url(self) -> str:
        """Where completions are asked for."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions", fragment=""))

    @property
    def shown_url(self) -> str:
        """`chat_url` as messages show it: without its query, which may hold a secret."""
        return without_query(self.chat_url)

    @property
    def query_values(self) -> tuple[str, ...]:
        """What the query of the base URL says, a version apart: any of it may be a secret."""
        query = parse_qsl(urlsplit(self.base_url).query)
        return tuple(value for name, value in query if "version" not in name.lower())

    @property
    def host(self) -> str:
        """Host and port, as in the base URL."""
        return urlsplit(self.base_url).netloc

    @property
    def is_official(self) -> bool:
        """Whether this is OpenAI itself, in whichever region."""
        return f".{urlsplit(self.base_url).hostname}".endswith(".api.openai.com")

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy is needed."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def facts(self, model: str) -> Facts:
        """What is known of one of the server's models: first what is said of it, then of all, then in general."""
        said = known(model, self.models).over(self)
        return said.over(known(model.removeprefix("ft:")).over(OFFICIAL) if self.is_official else OTHER)

    def key(self) -> Key:
        """The key to send, read from the environment now. Raises `ConfigError`, with the remedy, where none is."""
        if self.api_key is not None:
            return _usable(Key(self.api_key.strip(), "the setting api_key"))
        variable = self.api_key_env or (OFFICIAL_KEY_ENV if self.is_official else "")
        if not variable:
            return Key("", "nowhere")
        text = os.environ.get(variable, "").strip()
        if not text:
            hint = f"Set {variable}, or api_key in [plugins.{PLUGIN}]; another server's address goes into base_url."
            raise ConfigError(f"{self.host} needs an API key, and {variable} is not set", hint=hint)
        return _usable(Key(text, f"the environment variable {variable}"))


@attrs.frozen(kw_only=True)
class Settings(Server):
    """The table `[plugins.openai]`: the server of `openai:MODEL`, and `servers` by name for `openai:NAME:MODEL`."""

    servers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)


def choose(spec: str, settings: Mapping[str, Any]) -> tuple[str, str, Server]:
    """The model, its server's name (or nothing) and the server that a spec means. Raises `UsageError`."""
    read = _with_models(read_settings(Settings, settings, f"[plugins.{PLUGIN}]"), settings, f"plugins.{PLUGIN}")
    servers = {name: _named(name, table) for name, table in settings.get("servers", {}).items()}
    first, _, rest = spec.partition(":")
    name, model = (first, rest) if first in servers else ("", spec)
    if not model:
        hint = f"Write {PLUGIN}:{name}:MODEL." if name else f"Write {PLUGIN}:MODEL."
        raise UsageError(f"the spec {f'{PLUGIN}:{spec}'!r} names no model", hint=hint)
    return model, name, servers.get(name, read)


def _named(name: str, table: Mapping[str, Any]) -> Server:
    where = f"[plugins.{PLUGIN}.servers.{name}]"
    if not name or ":" in name:
        raise ConfigError(f"{where}: a server's name may not be empty or hold a colon", hint="Rename the table.")
    server = read_settings(Server, table, where)
    if "base_url" not in table:
        hint = 'Say where it is: base_url = "http://127.0.0.1:8080/v1".'
        raise ConfigError(f"{where}: base_url is missing", hint=hint)
    return _with_models(server, table, where.strip("[]"))


def _with_models(server: Server, table: Mapping[str, Any], where: str) -> Server:
    """The server with the tables of its models read. Raises `ConfigError`."""
    models: dict[str, Facts] = {}
    for name, facts in table.get("models", {}).items():
        if not isinstance(facts, Mapping):
            raise ConfigError(f"[{where}.models]: {name!r} is no table", hint=f"Write [{where}.models.{name!r}].")
        models[name] = read_settings(Facts, facts, f"[{where}.models.{name}]")
    return attrs.evolve(server, models=models)


def _usable(key: Key) -> Key:
    # An unusable header is quoted by the HTTP library's error, key and all, so it must not get that far.
    if not _fits_header(key.text):
        raise ConfigError(
            f"the API key in {key.source} has characters that no key has",
            hint="Copy it again, on one line, without quotes.",
        )
    return key


def _fits_header(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)


def without_query(url: str) -> str:
    """The address without its query, which may hold a key."""
    return url.partition("?")[0]


def _check_url(url: str) -> None:
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        shown = "..." if "@" in url else without_query(url)
        raise UsageError(f"base_url {shown!r} is no HTTP address", hint=f"Write it as in {OFFICIAL_URL!r}.")
    if "@" in parts.netloc:
        raise UsageError("base_url holds credentials", hint="Put the key into api_key_env, or a header into headers.")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
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
