"""The settings of web tools: the table `[plugins.web]`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError, NotFound, UsageError

__all__ = ["SERVICES", "Approve", "Provider", "Service", "WebSettings", "check_rest", "read_web_settings"]

Approve = Literal["post", "all", "none"]
Provider = Literal["duckduckgo", "brave", "searxng", "tavily"]

PROVIDERS: tuple[Provider, ...] = ("duckduckgo", "brave", "searxng", "tavily")
WHERE = "[plugins.web]"


def _check_above(settings: object, field: Any, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ConfigError(f"{field.name} is {value!r}", hint="Give a number above 0.")


def _check_from(settings: object, field: Any, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{field.name} is {value!r}", hint="Give 0 or a number above.")


def check_prefix(prefix: str, name: str) -> None:
    """Raise `ConfigError` for a text that is not the beginning of an HTTP address."""
    try:
        parts = urlsplit(prefix)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{name} has {prefix!r}", hint='Write an address such as "https://api.example.com/v1/".')


def _check_url(settings: object, field: Any, value: str) -> None:
    if value:
        check_prefix(value, field.name)


@attrs.frozen
class Service:
    """The address of a service, the name of its key, and the seconds between two requests.

    Attributes:
        base_url: the part of the address that all requests share
        api_key_env: the name of the key: its environment variable, or its name in the file of keys
        interval: the least seconds from one request to the next
    """

    base_url: str = attrs.field(default="", validator=_check_url)
    api_key_env: str = ""
    interval: float = attrs.field(default=0.0, validator=_check_from)


SERVICES: Mapping[str, Service] = {
    # https://info.arxiv.org/help/api/tou.html: one request in three seconds.
    "arxiv": Service("https://export.arxiv.org/api", interval=3.0),
    "brave": Service("https://api.search.brave.com", "BRAVE_API_KEY"),
    "duckduckgo": Service("https://html.duckduckgo.com"),
    "hackernews": Service("https://hacker-news.firebaseio.com/v0"),
    "hackernews_search": Service("https://hn.algolia.com/api/v1"),
    "openweather": Service("https://api.openweathermap.org/data/2.5", "OPENWEATHER_API_KEY"),
    # https://www.ncbi.nlm.nih.gov/books/NBK25497/: three requests in a second; ten with a key.
    "pubmed": Service("https://eutils.ncbi.nlm.nih.gov/entrez/eutils", "NCBI_API_KEY", interval=0.34),
    "searxng": Service(""),
    "tavily": Service("https://api.tavily.com", "TAVILY_API_KEY"),
    "youtube": Service("https://www.googleapis.com/youtube/v3", "YOUTUBE_API_KEY"),
    "youtube_oembed": Service("https://www.youtube.com"),
}
"""The services by name, as they are without settings. SearXNG has no address of its own: people run it."""


def _check_private(settings: object, field: Any, private: tuple[str, ...]) -> None:
    for each in private:
        if "/" in each:
            try:
                ip_network(each)
            except ValueError as exc:
                hint = 'Write a host such as "wiki.example", or a network such as "10.0.0.0/8".'
                raise ConfigError(f"private has {each!r}: {exc}", hint=hint) from exc


def _check_prefixes(settings: object, field: Any, prefixes: tuple[str, ...]) -> None:
    for each in prefixes:
        check_prefix(each, field.name)


def _read_headers(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    for prefix, headers in given.items():
        check_prefix(prefix, "headers")
        if not isinstance(headers, Mapping) or not all(isinstance(text, str) for text in headers.values()):
            hint = '"https://api.example.com/" = { authorization = "Bearer ${EXAMPLE_KEY}" }'
            raise ConfigError(f"headers for {prefix} are not texts", hint=f"Write {hint}.")
    return {prefix: {name.lower(): text for name, text in headers.items()} for prefix, headers in given.items()}


@attrs.frozen(kw_only=True)
class WebSettings:
    """The permissions and limits of web tools. Raises `ConfigError` for a value out of range.

    Attributes:
        allow: beginnings of addresses for `web:http` and `web:fetch`; empty for the whole public internet
        private: hosts and networks beside the public internet: `("wiki.example", "localhost:8080", "10.0.0.0/8")`
        ports: the ports of public hosts
        methods: the tools of `web:http`
        approve: the tools that wait for a person: `post`, `all` or `none`
        headers: headers by the beginning of addresses; `${NAME}` is a variable, or a key of the file of keys
        timeout: the most seconds of a call, with redirects, waits and further attempts
        stall: the most seconds without a byte
        max_bytes: the most bytes of an answer, unpacked
        characters: the most characters of a text in a result
        redirects: the most redirects
        retries: the most further attempts after a failure that may pass
        patience: the most seconds to wait because a server asks for it
        interval: the least seconds from one request to a host to the next, for `web:http`, `web:fetch` and feeds
        connections: the most connections of a toolkit
        robots: heed robots.txt in `web_fetch` and `extract_web_content`
        provider: the provider of `web_search`
        user_agent: the name of the program for web servers
        ca_file: a file of certificates (PEM) to trust instead of the usual authorities
        services: the addresses and keys of services by name, as in `SERVICES`
    """

    allow: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_check_prefixes)
    private: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_check_private)
    ports: tuple[int, ...] = attrs.field(default=(80, 443, 8080, 8443), converter=tuple)
    methods: tuple[Literal["GET", "POST"], ...] = attrs.field(default=("GET", "POST"), converter=tuple)
    approve: Approve = "post"
    headers: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    timeout: float = attrs.field(default=30.0, validator=_check_above)
    stall: float = attrs.field(default=15.0, validator=_check_above)
    max_bytes: int = attrs.field(default=2_000_000, validator=_check_above)
    characters: int = attrs.field(default=20_000, validator=_check_above)
    redirects: int = attrs.field(default=5, validator=_check_from)
    retries: int = attrs.field(default=2, validator=_check_from)
    patience: float = attrs.field(default=10.0, validator=_check_from)
    interval: float = attrs.field(default=0.0, validator=_check_from)
    connections: int = attrs.field(default=20, validator=_check_above)
    robots: bool = False
    provider: Provider = "duckduckgo"
    user_agent: str = "Mozilla/5.0 (compatible; agno-rt-web)"
    ca_file: str = ""
    services: Mapping[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not (self.user_agent.isascii() and self.user_agent.isprintable()):
            raise ConfigError(f"user_agent is {self.user_agent!r}", hint="Write printable ASCII.")
        for name in self.services:
            self.find_service(name)
        _ = self.headers_by_prefix

    def find_service(self, name: str) -> Service:
        """Return a service: as it is, with the changes of the settings. Raises `NotFound` and `ConfigError`."""
        if name not in SERVICES:
            raise NotFound("service", name, SERVICES, where=f"in {WHERE}")
        given = self.services.get(name, {})
        if isinstance(given, Service):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"services has no table for {name}", hint=f"Write [plugins.web.services.{name}].")
        return read_settings(Service, attrs.asdict(SERVICES[name]) | dict(given), f"[plugins.web.services.{name}]")

    @property
    def headers_by_prefix(self) -> Mapping[str, Mapping[str, str]]:
        """The headers for each prefix, with names in small letters. Raises `ConfigError`."""
        return _read_headers(self.headers)


def read_web_settings(settings: Mapping[str, Any]) -> WebSettings:
    """Make the settings from a table. Raises `ConfigError` and `NotFound`."""
    return read_settings(WebSettings, settings, WHERE)


def check_rest(name: str, rest: str) -> None:
    """Check the part of a spec behind the toolkit's name. Raises `UsageError`."""
    if name == "http":
        for prefix in rest.split():
            try:
                check_prefix(prefix, "web:http")
            except ConfigError as exc:
                raise UsageError(exc.message, hint=exc.hint) from None
    elif name == "websearch":
        if rest and rest not in PROVIDERS:
            raise UsageError(f"web:websearch:{rest} is not known", hint=f"Write one of {', '.join(PROVIDERS)}.")
    elif rest:
        raise UsageError(f"web:{name} takes nothing more, and has {rest!r}", hint=f"Write web:{name}.")
