"""The connections of a toolkit in a runtime: a client for pages, and a client for each service."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from agno_rt.errors import ConfigError
from agno_rt.keys.find import find_key
from agno_rt_web.addresses import Guard, Prefix
from agno_rt_web.client import Credential, WebClient, load_certificates
from agno_rt_web.services import ServiceClient
from agno_rt_web.settings import WebSettings

__all__ = ["Session", "fill_headers", "open_session"]

_SECRET_HEADER = re.compile("auth|cookie|key|secret|token")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Session:
    """The clients of a toolkit. Each is made when it is first asked for."""

    def __init__(self, settings: WebSettings, certificates: ssl.SSLContext) -> None:
        self.settings = settings
        self._certificates = certificates
        self._clients: list[WebClient] = []

    def open_pages(self, allow: Sequence[str] = (), *, credentials: bool = False) -> WebClient:
        """Make the client for addresses that a model chooses: below `allow`, or below the settings' if empty."""
        settings = self.settings
        allowed = [Prefix.parse(each) for each in (allow or settings.allow)]
        sent = [Prefix.parse(each) for each in settings.headers_by_prefix] if credentials else []
        guard = Guard(settings.private, settings.ports, named=[(each.host, each.port) for each in (*allowed, *sent)])
        found = [
            Credential(prefix, _fill_later(prefix.host, headers))
            for prefix, headers in zip(sent, settings.headers_by_prefix.values(), strict=False)
        ]
        client = WebClient(settings, guard, certificates=self._certificates, allowed=allowed, credentials=found)
        return self._keep(client)

    def open_service(self, name: str) -> ServiceClient:
        """Make the client of a service. It may be on a private network, as the settings name its address."""
        service = self.settings.find_service(name)
        trusted = []
        if service.base_url:
            prefix = Prefix.parse(service.base_url)
            trusted = [(prefix.host, prefix.port)]
        guard = Guard(self.settings.private, self.settings.ports, trusted=trusted)
        client = WebClient(self.settings, guard, certificates=self._certificates)
        return ServiceClient(name, service, self._keep(client))

    def _keep(self, client: WebClient) -> WebClient:
        self._clients.append(client)
        return client

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def open_session(settings: WebSettings) -> AsyncIterator[Session]:
    """Yield the clients, and close them at the end."""
    session = Session(settings, await trio.to_thread.run_sync(load_certificates, settings.ca_file))
    try:
        yield session
    finally:
        await session.aclose()


def _fill_later(host: str, headers: Mapping[str, str]) -> Callable[[], tuple[Mapping[str, str], Sequence[str]]]:
    return lambda: fill_headers(host, headers)


def fill_headers(host: str, headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Replace `${NAME}` by a variable, or by a key of the file of keys. Return the headers, and the secrets in them.

    A text without a name is a secret as well if its header is for secrets. Raises `ConfigError` for a missing key.
    """
    secrets: list[str] = []

    def fill(found: re.Match[str]) -> str:
        # The environment comes first, then the file of keys.
        if (key := find_key(found[1])) is None:
            hint = f"Set the variable, or store it: agno-rt keys set {found[1]}."
            raise ConfigError(f"requests to {host} need {found[1]}, which is not set", hint=hint)
        secrets.append(key.text)
        return key.text

    filled = {name: _VARIABLE.sub(fill, text) for name, text in headers.items()}
    for name, text in headers.items():
        if text == filled[name] and _SECRET_HEADER.search(name):
            secrets += [text, *text.split()]
    return filled, secrets
