"""Access tokens of Google's services: fetched from the token server, kept until shortly before their end, shared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import trio

from agno_rt.errors import ModelError
from agno_rt.http_client.client import HttpClient
from agno_rt.http_client.google_credentials import GoogleCredentials
from agno_rt.http_client.server import HttpServer, Key
from agno_rt.wire.lenient_json import read_json
from agno_rt.wire.lifetimes import read_lifetime
from agno_rt.wire.refusals import Peer, plain

if TYPE_CHECKING:
    from agno_rt.http_client.transport import Answer

__all__ = ["EARLY_SECONDS", "GoogleTokens"]

EARLY_SECONDS = 60.0
"""Seconds before its end at which a token is replaced, so that no request carries an expired token."""

_LIFETIME = 3_600.0
_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}


class GoogleTokens:
    """The access tokens of one file of credentials.

    Args:
        credentials: the file
        server: has the timeouts, the proxy and the certificates
        name: the name of the model or service, for errors
        provider: the name of the provider, for errors
        user_agent: the name of the distribution
    """

    def __init__(
        self, credentials: GoogleCredentials, server: HttpServer, name: str, provider: str, user_agent: str
    ) -> None:
        self._credentials = credentials
        self._peer = Peer(
            name=name,
            provider=provider,
            model="",
            url=credentials.token_url,
            key_source=credentials.path,
            secrets=credentials.secrets,
        )
        token_server = HttpServer(
            base_url=credentials.token_url,
            connect_timeout=server.connect_timeout,
            read_timeout=server.read_timeout,
            max_connections=1,
            proxy=server.proxy,
            ca_file=server.ca_file,
        )
        self._client = HttpClient(token_server, f"{provider} tokens", user_agent)
        self._lock = trio.Lock()
        self._token = ""
        self._ends = 0.0

    @property
    def quota_project(self) -> str:
        """Return the project that pays for the requests, or an empty text for the token's own."""
        return self._credentials.quota_project

    async def find_token(self) -> Key:
        """Return the kept token, or fetch one; requests that wait meanwhile share the new token.

        Raises `ModelError` for every failure of the token server, and `ConfigError` for an unusable private key.
        """
        if not self._is_fresh():
            # A cancelled task leaves the lock, and the next one fetches.
            async with self._lock:
                if not self._is_fresh():
                    await self._fetch()
        return Key(self._token, self._credentials.path)

    def forget(self, key: Key) -> None:
        """Drop a token that the service refused, unless another request has replaced it already."""
        if key.text == self._token:
            self._token = ""

    async def aclose(self) -> None:
        """Close the connection to the token server."""
        await self._client.aclose()

    def _is_fresh(self) -> bool:
        return bool(self._token) and trio.current_time() < self._ends

    async def _fetch(self) -> None:
        body = await trio.to_thread.run_sync(self._credentials.build_request, time.time())
        # The token server may quote the assertion, which stands last.
        assertion = body.decode("ascii").rpartition("=")[2]
        peer = attrs.evolve(self._peer, secrets=(*self._peer.secrets, assertion))
        began = trio.current_time()
        async with self._client.post(self._credentials.token_url, body, _FORM, peer) as answer:
            value = await self._read_value(answer)
        seconds = read_lifetime(value.get("expires_in")) or _LIFETIME
        self._token = value["access_token"]
        self._ends = began + seconds - EARLY_SECONDS

    async def _read_value(self, answer: Answer) -> dict[str, Any]:
        """Return the object with the token. Raises `ModelError`."""
        if not 200 <= answer.status < 300:
            raise self._refuse(answer.peer, answer.status, await answer.read_error())
        value = read_json(await answer.read_all())
        token = value.get("access_token") if isinstance(value, dict) else None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise answer.peer.error("got an answer without a token from its token server", retryable=True)
        return dict(value)

    def _refuse(self, peer: Peer, status: int, body: bytes) -> ModelError:
        value = read_json(body)
        told = map(value.get, ("error", "error_description")) if isinstance(value, dict) else ()
        text = plain(": ".join(each for each in told if isinstance(each, str) and each), peer)
        return peer.error(
            f"got no token: the token server answered {status}{f': {text}' if text else ''}",
            hint=f"Check the credentials in {self._credentials.path}, and the clock of this machine.",
            status=status,
            retryable=status >= 500 or status == 429,
        )
