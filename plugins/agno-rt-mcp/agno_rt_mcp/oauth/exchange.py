"""The requests of OAuth: metadata, registration, tokens. Each answer has a bound, and redirects are not followed."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import attrs
import httpx2
import msgspec
import trio

from agno_rt.http_client.transport import hide_in_logs
from agno_rt.wire.lifetimes import read_lifetime
from agno_rt_mcp.bodies import UNPACKED, read_body
from agno_rt_mcp.certificates import load_certificates
from agno_rt_mcp.errors import ServerUnavailable
from agno_rt_mcp.oauth.assertion import SIGNED, sign_assertion
from agno_rt_mcp.oauth.metadata import (
    Authority,
    Challenge,
    Resource,
    find_origin,
    is_allowed_address,
    is_same_issuer,
    is_within,
    list_authority_addresses,
    list_resource_addresses,
    make_resource,
    read_challenge,
)
from agno_rt_mcp.oauth.store import Login
from agno_rt_mcp.settings import ServerSettings, fill_secrets, show_url

__all__ = [
    "Client",
    "Place",
    "Refused",
    "discover",
    "open_client",
    "register_client",
    "request_tokens",
    "revoke_token",
    "use_client",
]

T = TypeVar("T")

_SECONDS = 10.0
_MOST_BYTES = 2**20
_MOST_ADDRESSES = 6
METHODS = ("none", "client_secret_basic", "client_secret_post")
"""The ways to show at the token endpoint who the client is."""


class Refused(Exception):
    """An authorization server refuses: `error` is the word of RFC 6749, or "" if there is none."""

    def __init__(self, error: str, problem: str) -> None:
        super().__init__(problem)
        self.error = error


@attrs.frozen
class Place:
    """The source of tokens for a server: the server's name in tokens, the issuer, and the server's scopes."""

    resource: str
    authority: Authority
    scopes: tuple[str, ...]


class _Registration(msgspec.Struct):
    client_id: str
    client_secret: str | None = None
    client_secret_expires_at: Any = None
    token_endpoint_auth_method: str | None = None


class _Tokens(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"
    expires_in: Any = None  # a bad number must not discard the tokens
    refresh_token: str | None = None
    scope: str | None = None


class _Error(msgspec.Struct):
    error: str = ""
    error_description: str | None = None


class Client:
    """Asks for a server's login. Errors name the server, and contain no secrets."""

    def __init__(self, settings: ServerSettings, http: httpx2.AsyncClient) -> None:
        self.settings = settings
        self._http = http

    async def fetch(self, method: str, url: str, **more: Any) -> tuple[int, httpx2.Headers, bytes]:
        """Send a request, and return the status, the headers and the body. Raises `ServerUnavailable`."""
        self.check_address(url)
        try:
            async with self._http.stream(method, url, **more) as response:
                return response.status_code, response.headers, await read_body(response, _MOST_BYTES)
        except httpx2.StreamError as exc:
            raise self.fail(f"cannot be read from {_show(url)}: {exc}") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise self.fail(f"cannot reach {_show(url)}: {str(exc) or type(exc).__name__}") from exc

    async def probe(self) -> Challenge:
        """Send the server a message without a token, and return the refusal; a bare one if there is none."""
        url = self.settings.url
        self.check_address(url)
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        headers = {"accept": "application/json, text/event-stream"}
        try:
            async with self._http.stream("POST", url, json=message, headers=headers) as response:
                found = read_challenge(response.status_code, response.headers.get("www-authenticate", ""))
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise self.fail(f"cannot reach {_show(url)}: {str(exc) or type(exc).__name__}") from exc
        return found if found.status == 401 or found.wants_scopes else Challenge()

    def check_address(self, url: str) -> None:
        """Raise `ServerUnavailable` for an address to which no secret may go."""
        if not is_allowed_address(url, self.settings.url):
            raise self.fail(f"leads to {_show(url)}, which is not an https address of another machine")

    def fail(self, problem: str, hint: str = "") -> ServerUnavailable:
        """Return the error of a login that cannot be."""
        return ServerUnavailable(self.settings.name, f"is out of reach, since its login {problem}", hint=hint)

    def read(self, body: bytes, kind: type[T], url: str) -> T:
        """Return the document of an answer. Raises `ServerUnavailable` for any other answer."""
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as exc:
            raise self.fail(f"cannot read the answer of {_show(url)}: {exc}") from None


@asynccontextmanager
async def open_client(settings: ServerSettings) -> AsyncIterator[Client]:
    """Yield a client for requests of a login."""
    hide_in_logs(settings.url)
    options: dict[str, Any] = {"verify": await load_certificates(), "timeout": _SECONDS, "follow_redirects": False}
    async with httpx2.AsyncClient(headers=UNPACKED, **options) as http:
        yield Client(settings, http)


async def discover(client: Client, challenge: Challenge) -> Place:
    """Return the source of tokens for the server. Raises `ServerUnavailable`."""
    settings = client.settings
    found = await _find_resource(client, challenge)
    is_own = False
    if found is None:  # servers of 2025-03 are issuers themselves
        resource, scopes = make_resource(settings.url), tuple[str, ...]()
        issuers = [find_origin(settings.url)]
        is_own = True
    else:
        resource, scopes = found.resource, tuple(found.scopes_supported or ())
        issuers = found.authorization_servers or []
        if not is_within(settings.url, resource):
            raise client.fail(f"would give a token for another server, {_show(resource)}")
    wanted = settings.oauth.issuer
    if wanted:
        issuers = [each for each in issuers if is_same_issuer(each, wanted)]
    if not issuers:
        problem = f"is not by the issuer {wanted}" if wanted else "has no authorization server"
        raise client.fail(problem, "Ask the server's author for the address of the authorization server.")
    authority = await _find_authority(client, issuers[0], is_own=is_own)
    return Place(resource, authority, scopes)


async def _find_resource(client: Client, challenge: Challenge) -> Resource | None:
    for address in list_resource_addresses(client.settings.url, challenge):
        status, _, body = await client.fetch("GET", address)
        if status >= 500 or status == 429:
            raise client.fail(f"gets HTTP {status} from {_show(address)}", "Try again later.")
        if status == 200:
            try:
                found = msgspec.json.decode(body, type=Resource)
            except msgspec.MsgspecError:
                continue  # a web page in place of "not found"
            if found.resource:
                return found
    return None


async def _find_authority(client: Client, issuer: str, *, is_own: bool) -> Authority:
    """Return the issuer's metadata. A server that is its own issuer may have any name of its own origin."""
    for address in list_authority_addresses(issuer):
        status, _, body = await client.fetch("GET", address)
        if status >= 500 or status == 429:
            raise client.fail(f"gets HTTP {status} from {_show(address)}", "Try again later.")
        if status != 200:
            continue
        try:
            found = msgspec.json.decode(body, type=Authority)
        except msgspec.MsgspecError:
            continue
        if not (is_same_issuer(found.issuer, issuer) or (is_own and find_origin(found.issuer) == issuer)):
            raise client.fail(f"finds the issuer {_show(found.issuer)} in the metadata of {_show(issuer)}")
        for each in (found.token_endpoint, found.authorization_endpoint, found.registration_endpoint):
            if each:
                client.check_address(each)
        return found
    hint = 'Does the server want a key instead? Write headers = {Authorization = "Bearer ${TOKEN}"}.'
    raise client.fail(f"finds no metadata of an authorization server at {_show(issuer)}", hint)


async def register_client(client: Client, place: Place, redirect_uri: str) -> Login:
    """Register a client for the way back, and return a login without tokens. Raises `ServerUnavailable`."""
    address = place.authority.registration_endpoint
    if not address:
        hint = "Register a client there, and write its client_id in the server's table oauth."
        raise client.fail(f"needs a client registered at {_show(place.authority.issuer)}", hint)
    offered = place.authority.token_endpoint_auth_methods_supported or METHODS
    about = {
        "client_name": "agno_rt",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "token_endpoint_auth_method": next((each for each in METHODS if each in offered), METHODS[0]),
    }
    status, _, body = await client.fetch("POST", address, json=about)
    if status not in (200, 201):
        raise client.fail(f"cannot register a client: {_describe(status, body)}")
    found = client.read(body, _Registration, address)
    method = found.token_endpoint_auth_method or about["token_endpoint_auth_method"]
    if method not in METHODS or (method != "none" and not found.client_secret):
        raise client.fail(f"has a client that must show itself by {method}, which agno_rt cannot do")
    return Login(
        resource=place.resource,
        issuer=place.authority.issuer,
        token_endpoint=place.authority.token_endpoint,
        revocation_endpoint=place.authority.revocation_endpoint,
        client_id=found.client_id,
        client_secret=found.client_secret or "",
        client_expires_at=read_lifetime(found.client_secret_expires_at) or 0.0,
        auth_method=str(method),
        redirect_uri=redirect_uri,
    )


def use_client(settings: ServerSettings, place: Place) -> Login:
    """Return a login without tokens by the client of the settings. Raises `ConfigError` for a missing secret."""
    authority, oauth = place.authority, settings.oauth
    secret = fill_secrets(settings.name, {"secret": oauth.client_secret})["secret"]
    offered = authority.token_endpoint_auth_methods_supported or METHODS
    method = METHODS[0]
    if secret:
        method = next(each for each in METHODS[1:] if each in (*offered, METHODS[2]))
    elif oauth.key_file:
        method = SIGNED
    return Login(
        resource=place.resource,
        issuer=authority.issuer,
        token_endpoint=authority.token_endpoint,
        revocation_endpoint=authority.revocation_endpoint,
        client_id=oauth.client_id,
        client_secret=secret,
        auth_method=method,
    )


async def request_tokens(client: Client, login: Login, form: Mapping[str, str]) -> None:
    """Ask the token endpoint, and put the tokens into the login. Raises `Refused` and `ServerUnavailable`."""
    address = login.token_endpoint
    status, _, body = await _post_form(client, login, address, {**form, "resource": login.resource})
    if status >= 500 or status == 429:
        raise client.fail(f"gets HTTP {status} from {_show(address)}", "Try again later.")
    if status != 200:
        raise Refused(_read_error(body).error, _describe(status, body))
    found = client.read(body, _Tokens, address)
    if found.token_type.lower() != "bearer" or not found.access_token:
        raise client.fail(f"gets a token of the unknown type {found.token_type[:40]!r} from {_show(address)}")
    login.access_token = found.access_token
    login.refresh_token = found.refresh_token or login.refresh_token
    seconds = read_lifetime(found.expires_in)
    login.expires_at = None if seconds is None else time.time() + seconds
    if found.scope is not None:
        login.scopes = tuple(found.scope.split())


async def revoke_token(client: Client, login: Login) -> bool:
    """Tell the issuer that the login is over; return whether the issuer takes tokens back, and agrees."""
    token, address = login.refresh_token or login.access_token, login.revocation_endpoint
    if not token or not address:
        return False
    status, _, _ = await _post_form(client, login, address, {"token": token})
    return status == 200


async def _post_form(
    client: Client, login: Login, address: str, form: Mapping[str, str]
) -> tuple[int, httpx2.Headers, bytes]:
    headers = {"accept": "application/json"}
    sent = dict(form)
    if login.auth_method == "client_secret_basic":
        pair = f"{quote(login.client_id, safe='')}:{quote(login.client_secret, safe='')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        sent["client_id"] = login.client_id
        if login.auth_method == "client_secret_post":
            sent["client_secret"] = login.client_secret
        elif login.auth_method == SIGNED:
            sign = partial(sign_assertion, client.settings.oauth, login.client_id, login.issuer)
            sent |= await trio.to_thread.run_sync(sign)
    return await client.fetch("POST", address, data=sent, headers=headers)


def _read_error(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Error)
    except msgspec.MsgspecError:
        return _Error()


def _describe(status: int, body: bytes) -> str:
    """Return the problem of an answer, as short text."""
    found = _read_error(body)
    said = " ".join(f"{found.error} {found.error_description or ''}".split())[:300]
    return f"HTTP {status}, {said}" if said else f"HTTP {status}"


def _show(url: str) -> str:
    return show_url(url)[:200] or "an empty address"
