"""Requests to a Chroma server: its HTTP API of version 2, over trio.

The server describes the API at `/openapi.json`. Each request may be sent twice without harm: records are written
whole, under ids of ours.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import trio

from agno_rt.errors import BackendError, ConfigError
from agno_rt_chroma.address import Address

__all__ = ["Refused", "Wire"]

_RETRIED = frozenset({429, 502, 503, 504})
_FIRST_PAUSE = 0.05
_MOST_PAUSE = 1.0
_MOST_TEXT = 300
_encode = msgspec.json.Encoder().encode


class Refused(BackendError):
    """The server refused a request; `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Wire:
    """The connections to a server. Raises `BackendError` for every failure, and `ConfigError` for a wrong `ca`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.base = f"/api/v2/tenants/{quote(address.tenant, safe='')}/databases/{quote(address.database, safe='')}"
        self._client: httpx2.AsyncClient | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request to a path below the database, and return the answer's value. Raises `Refused`.

        A lost connection is replaced, and the request sent again, until `timeout` is over.
        """
        pause, problem = _FIRST_PAUSE, "did not answer"
        content = None if body is None else _encode(body)
        with trio.move_on_after(self.address.timeout):
            while True:
                try:
                    response = await self._open().request(method, path, content=content)
                except httpx2.TransportError as exc:
                    problem = str(exc) or type(exc).__name__
                except httpx2.HTTPError as exc:
                    raise BackendError(f"{self.address} cannot be asked: {exc}") from exc
                else:
                    if response.status_code not in _RETRIED:
                        return self._read(response)
                    problem = f"answered {response.status_code}"
                await trio.sleep(pause)
                pause = min(2 * pause, _MOST_PAUSE)
        hint = "Is the server running? Start one: chroma run --path FOLDER."
        raise BackendError(f"{self.address} was not reached within {self.address.timeout:g} s: {problem}", hint=hint)

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _read(self, response: httpx2.Response) -> Any:
        if response.status_code >= 300:
            text = _find_message(response.content)
            hints = {401: "Check the token of the URL.", 403: "Check the token of the URL."}
            raise Refused(
                f"{self.address} answered {response.status_code}: {text}",
                status=response.status_code,
                hint=hints.get(response.status_code, ""),
            )
        try:
            return msgspec.json.decode(response.content)
        except msgspec.MsgspecError as exc:
            hint = "Does a Chroma server answer at this address?"
            raise BackendError(f"{self.address} answered what is not JSON: {exc}", hint=hint) from exc

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            where = self.address
            headers = {"content-type": "application/json", "user-agent": "agno-rt-chroma"}
            auth = None
            if where.password is not None and where.username is None:
                headers["x-chroma-token"] = where.password
            elif where.username is not None:
                auth = httpx2.BasicAuth(where.username, where.password or "")
            limits = httpx2.Limits(max_connections=where.connections, max_keepalive_connections=where.connections)
            # `ask` has the time limit for all of a request. The environment's proxy is not for a database.
            self._client = httpx2.AsyncClient(
                base_url=where.origin + self.base,
                headers=headers,
                auth=auth,
                verify=where.tls and _trust(where.ca),  # reading the system's certificates takes 0.2 s
                limits=limits,
                timeout=None,
                trust_env=False,
            )
        return self._client


def _trust(ca: str | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    path = Path(ca).expanduser()
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"the certificates of {ca!r} cannot be read: {exc}", hint="Name a file in PEM form.") from exc


def _find_message(content: bytes) -> str:
    try:
        said = msgspec.json.decode(content)
        text = str(said["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        text = content.decode("utf-8", "replace")
    return text[:_MOST_TEXT]
