"""A service behind HTTP, as its tools see it: JSON in and out, bounded, repeated where that is safe.

A service's own module has its tools and a `Definition`; everything else is here.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import attrs
import trio

from agno_rt.errors import ModelError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.server import Key, without_query
from agno_rt.limits import LimitStatistics
from agno_rt.tools import Tool, ToolArgumentError, tool
from agno_rt.wire.refusals import Peer, kind_of, plain
from agno_rt_services.errors import ServiceError, explain_failure, read_problem
from agno_rt_services.settings import ServiceSettings

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["Access", "Definition", "KeyAccess", "Service", "build_headers", "quote_part"]

PLUGIN = "services"
_FIRST_WAIT = 0.5
"""Seconds before the first repetition, if the service names no wait; doubled each time."""

_PASSING = (429, 502, 503, 504)
_REFUSED = (401, 403)
_ACCEPTED = "The service accepted the change: do not repeat the call."


class Access(Protocol):
    """The right to use a service: a key, or a token that is fetched."""

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the key, and the headers that send the key. Raises `ConfigError` for a missing key."""
        ...

    def check_ready(self) -> None:
        """Raise `ConfigError` for a missing key. Asks no server."""
        ...

    def renew(self, key: Key, error: ModelError) -> bool:
        """Drop a key that was refused with status 401 or 403; return whether `find` may find another key."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class KeyAccess:
    """A key from the settings, the environment or the file of keys: the user's password, or a bearer token."""

    def __init__(self, definition: Definition, settings: ServiceSettings) -> None:
        self._definition = definition
        self._settings = settings

    def find_key(self) -> Key:
        """Return the key, read now. Raises `ConfigError` for a missing key."""
        return self._settings.find_key(f"{PLUGIN}.{self._definition.name}", self._definition.key)

    async def find(self) -> tuple[Key, Mapping[str, str]]:
        """Return the key, and the header that sends the key."""
        key, user = self.find_key(), self._settings.user
        if not user:
            return key, key.bearer()
        return key, {"authorization": f"Basic {base64.b64encode(f'{user}:{key.text}'.encode()).decode()}"}

    def check_ready(self) -> None:
        """Raise `ConfigError` for a missing key."""
        self.find_key()

    def renew(self, key: Key, error: ModelError) -> bool:
        """Return False: there is only this key."""
        return False

    async def aclose(self) -> None:
        """Close nothing."""


@attrs.frozen
class Definition:
    """A kind of service, from which toolkits are made.

    Attributes:
        name: the name of the toolkit, and of the table of settings
        key: the name of the key: an environment variable, or a name in the file of keys
        make_tools: makes the tools of an open service
        settings: the class of the settings
        address: an example of the address, for an error; empty if the settings have a default
        access: makes the access of the settings
    """

    name: str
    key: str
    make_tools: Callable[[Any], Sequence[Tool]]
    settings: type[ServiceSettings] = ServiceSettings
    address: str = ""
    access: Callable[[Definition, Any], Access] = KeyAccess


class Service:
    """A service with its settings. The first call opens the connections; `aclose` closes them.

    Each call raises `ServiceError` for every failure of the service or the connection, `ConfigError` for a missing key,
    and `Overloaded` if too many calls wait for a connection.
    """

    def __init__(self, definition: Definition, settings: ServiceSettings) -> None:
        self.name = definition.name
        self.settings: Any = settings
        self.access = definition.access(definition, settings)
        self._client = HttpClient(settings, f"{PLUGIN}:{definition.name}", "agno-rt-services")

    def reading(self, **options: Any) -> Callable[[Callable[..., Any]], Tool]:
        """Make a tool that changes nothing: `@service.reading()`. The options are those of `@tool`."""
        asks = self.settings.approve == "all"
        return functools.partial(
            tool, **{"read_only": True, "destructive": False, "idempotent": True, "approve": asks, **options}
        )

    def changing(self, **options: Any) -> Callable[[Callable[..., Any]], Tool]:
        """Make a tool that adds or changes something: `@service.changing(idempotent=True)`.

        Without `idempotent=True`, a call is never repeated after its process has ended, because the change may have
        been made. The options are those of `@tool`.
        """
        asks = self.settings.approve != "none"
        return functools.partial(tool, **{"read_only": False, "destructive": False, "approve": asks, **options})

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the object at the path. Query values that are empty or `None` are left out."""
        return await self.ask("GET", path, None, query, repeatable=True)

    async def post(self, path: str, body: Any, *, repeatable: bool = False, **query: Any) -> dict[str, Any]:
        """Send the body, and return the answer. `repeatable` means that a second request does no harm."""
        return await self.ask("POST", path, body, query, repeatable=repeatable)

    async def put(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """Put the body at the path, and return the answer."""
        return await self.ask("PUT", path, body, query, repeatable=True)

    async def ask(
        self, method: str, path: str, body: Any, query: Mapping[str, Any], *, repeatable: bool
    ) -> dict[str, Any]:
        """Send a request, and return the object of the answer; an empty object for an empty answer."""
        changes = method != "GET"
        url = self.settings.url(path)
        if asked := _build_query(query):
            url += f"{'&' if '?' in url else '?'}{asked}"
        data = b"" if body is None else json.dumps(body).encode()
        with trio.move_on_after(self.settings.timeout):
            return await self._ask(method, url, data, repeatable=repeatable, changes=changes and not repeatable)
        hint = f"The limit is timeout in [plugins.{PLUGIN}.{self.name}]."
        if changes and not repeatable:
            hint += " It is not known whether the change was made: look before you repeat the call."
        raise ServiceError(f"{self.name} took longer than {self.settings.timeout:g} s", hint=hint)

    def link(self, path: str) -> str:
        """Return the address of a page for people, below the base URL; without a query, which may hold a key."""
        return without_query(self.settings.url(path))

    def check_ready(self) -> None:
        """Raise `ConfigError` if the key or a file is missing. Asks no server."""
        self.settings.check_files()
        self.access.check_ready()

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the numbers of connections in use and of calls waiting for a connection."""
        return self._client.statistics()

    async def aclose(self) -> None:
        """Close the connections. A running call fails."""
        try:
            await self._client.aclose()
        finally:
            await self.access.aclose()

    async def _ask(self, method: str, url: str, data: bytes, *, repeatable: bool, changes: bool) -> dict[str, Any]:
        renewed, repetitions = False, 0
        while True:
            key, headers = await self._find_access()
            peer = self._make_peer(url, key, headers)
            try:
                headers = build_headers(self.settings, headers)
                async with self._client.request(method, url, data, headers, peer) as answer:
                    await answer.check()
                    accepted = _ACCEPTED if changes else ""
                    return self._read_object(await self._read_body(answer, accepted), answer, accepted)
            except ModelError as exc:
                if exc.status in _REFUSED and not renewed and self.access.renew(key, exc):
                    renewed = True
                    continue
                wait = self._plan_repetition(exc, repetitions, repeatable=repeatable)
                if wait is None:
                    raise explain_failure(exc, key.source, changes=changes) from exc
            repetitions += 1
            await trio.sleep(wait)

    async def _find_access(self) -> tuple[Key, Mapping[str, str]]:
        try:
            return await self.access.find()
        except ModelError as exc:
            raise ServiceError(exc.message, hint=exc.hint, status=exc.status) from exc

    def _plan_repetition(self, error: ModelError, made: int, *, repeatable: bool) -> float | None:
        """Return the seconds to wait before a repetition; `None` to give up."""
        asked = error.retry_after
        refused = error.status == 429 or (error.status == 403 and asked is not None)
        passing = repeatable and error.retryable and (error.status is None or error.status in _PASSING)
        if made >= self.settings.retries or not (refused or passing):
            return None
        wait = _FIRST_WAIT * 2**made if asked is None else asked
        return wait if wait <= self.settings.longest_wait else None

    async def _read_body(self, answer: Answer, accepted: str) -> bytes:
        """Return the body. Raises `ServiceError` for a large body, with `accepted` for a change as the hint."""
        body, most = bytearray(), self.settings.most_bytes
        while chunk := await answer.read():
            body += chunk
            if len(body) > most:
                problem = f"{self.name} answered with more than {most:,} bytes"
                raise ServiceError(problem, hint=accepted or "Ask for less at once.")
        return bytes(body)

    def _read_object(self, body: bytes, answer: Answer, accepted: str) -> dict[str, Any]:
        if not body.strip():
            return {}
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        if isinstance(value, list):
            return {"items": value}
        kind = "JSON of another form" if value is not None else kind_of(body, answer.content_type)
        text = plain(body[:200], answer.peer)
        problem = f"{self.name} answered with {kind}, not with a JSON object: {text}"
        raise ServiceError(problem, hint=accepted or "Check base_url.")

    def _make_peer(self, url: str, key: Key, headers: Mapping[str, str]) -> Peer:
        return Peer(
            name=self.name,
            provider=f"{PLUGIN}:{self.name}",
            model="",
            url=without_query(url),
            key_source=key.source,
            secrets=(*self.settings.secrets(key), *headers.values()),
            read_error=read_problem,
        )


def build_headers(settings: ServiceSettings, more: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request: the types, then `more`, then those of the settings, in small letters."""
    # The same function for models imports the formats of models, which takes tens of milliseconds.
    own = {name.lower(): value for name, value in settings.headers.items()}
    return {"accept": "application/json", "content-type": "application/json", **more, **own}


def quote_part(text: str | int) -> str:
    """Return the text as one part of a path. Raises `ToolArgumentError` for a text that would change the path."""
    text = str(text).strip()
    if not text.strip("."):
        raise ToolArgumentError(f"{text!r} is not a name")
    return quote(text, safe="")


def _build_query(query: Mapping[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(each)) for each in values if each is not None and each != ""]
    return urlencode(pairs)
