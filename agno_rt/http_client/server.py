"""The facts about a server that is reached over HTTP: address, API key, timeouts, bounds, proxy and certificates.

Reads the environment for keys; knows no HTTP library and no wire format. A plugin's table of settings extends
`HttpServer`.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

import attrs

from agno_rt.errors import ConfigError, UsageError
from agno_rt.keys.find import Key, find_key

__all__ = ["HttpServer", "Key", "without_query"]

_EXAMPLE = "https://api.example.com/v1"
_NEEDS_PEM = "Name a file of certificates in PEM form."


def without_query(url: str) -> str:
    """Return the address without the query, because a query may hold a key."""
    return url.partition("?")[0]


# Without slots, so that a subclass may have a second base with slots, such as facts about models.
@attrs.frozen(kw_only=True, slots=False)
class HttpServer:
    """A server that is reached over HTTP. Raises `UsageError` for an unusable value.

    Attributes:
        base_url: the part of the address that all requests share; a query is kept, and never shown
        api_key: the key itself; better leave the key in the environment
        api_key_env: the name of the key: its environment variable, or its name in the file of keys
        connect_timeout: seconds to wait for a connection
        read_timeout: seconds between two pieces of an answer, including the wait for the first
        max_connections: requests in progress at once; more requests wait
        max_waiting: requests waiting for a connection; one more request is refused with `Overloaded`
        headers: headers of every request; never shown, because headers may hold secrets
        http2: offer HTTP/2 (needs the package h2)
        proxy: the address of a proxy, never shown; `None` takes the proxy from the environment, for servers on other
            machines, and an empty text means no proxy
        ca_file: a file of certificates (PEM) to trust instead of the usual authorities
    """

    base_url: str = attrs.field(repr=lambda url: repr(without_query(url)))
    api_key: str | None = attrs.field(default=None, repr=False)
    api_key_env: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    max_connections: int = 100
    max_waiting: int = 1_000
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    http2: bool = False
    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None

    def __attrs_post_init__(self) -> None:
        _check_url(self.base_url)
        for name in ("connect_timeout", "read_timeout"):
            _check_seconds(name, getattr(self, name))
        _check_count("max_connections", self.max_connections, at_least=1)
        _check_count("max_waiting", self.max_waiting, at_least=0)
        for name, value in self.headers.items():
            if not (name.isascii() and name.isprintable() and " " not in name) or not _is_header_value(value):
                raise UsageError(f"header {name!r} cannot be sent", hint="Header names and values are printable ASCII.")
        if self.proxy:
            _check_proxy(self.proxy)

    @property
    def host(self) -> str:
        """Return host and port, as in the base URL."""
        return urlsplit(self.base_url).netloc

    @property
    def is_loopback(self) -> bool:
        """True for a server on this machine: no proxy is needed."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def query_values(self) -> tuple[str, ...]:
        """Return the values in the query of the base URL, except versions: any value may be a secret."""
        query = parse_qsl(urlsplit(self.base_url).query)
        return tuple(value for name, value in query if "version" not in name.lower())

    @property
    def proxy_secrets(self) -> tuple[str, ...]:
        """Return the name and the password in the address of the proxy."""
        parts = urlsplit(self.proxy or "")
        return tuple(filter(None, (parts.username, parts.password)))

    def secrets(self, key: Key) -> tuple[str, ...]:
        """Return all texts that no error and no log may contain: the key, headers, values of the query, a password."""
        return (key.text, *self.headers.values(), *self.query_values, *self.proxy_secrets)

    def url(self, path: str) -> str:
        """Return the address of `path` below the base URL, with the query of the base URL."""
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path.lstrip('/')}", fragment=""))

    def find_key(self, plugin: str, variable: str = "") -> Key:
        """Return the key to send: from the settings, the environment or the file of keys, read now.

        `variable` is the key's name unless the settings differ.

        Without any variable, no key is sent. Raises `ConfigError` for a missing or unusable key; the error names the
        table `[plugins.PLUGIN]`.
        """
        if self.api_key is not None:
            return _check_key(Key(self.api_key.strip(), "the setting api_key"))
        variable = self.api_key_env or variable
        if not variable:
            return Key("", "nowhere")
        key = find_key(variable)
        if key is None:
            hint = (
                f"Set {variable}, or run: agno-rt keys set {variable}. "
                f"Another server's address goes into base_url of [plugins.{plugin}]."
            )
            raise ConfigError(f"{self.host} needs an API key, and {variable} is not set", hint=hint)
        return _check_key(key)

    def check_files(self) -> None:
        """Raise `ConfigError` if the file of certificates is missing."""
        if self.ca_file and not Path(self.ca_file).expanduser().is_file():
            raise ConfigError(
                f"ca_file {self.ca_file!r} is not a file", hint="Name a file of certificates in PEM form."
            )


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


def _check_url(url: str) -> None:
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        shown = "..." if "@" in url else without_query(url)
        raise UsageError(f"base_url {shown!r} is not an HTTP address", hint=f"Write it as in {_EXAMPLE!r}.")
    if "@" in parts.netloc:
        raise UsageError("base_url holds credentials", hint="Put the key into api_key_env, or a header into headers.")


def _check_proxy(url: str) -> None:
    parts = _split_url(url)
    if parts is None or parts.scheme not in ("http", "https", "socks5", "socks5h") or not parts.hostname:
        # The address may hold a password, even if it cannot be read.
        raise UsageError("proxy is not an address", hint="Write it as in 'http://proxy.example.com:3128'.")


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
