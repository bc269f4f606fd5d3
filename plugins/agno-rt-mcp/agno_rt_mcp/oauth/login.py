"""The login of a person: finds the issuer, registers a client, waits for the browser, and keeps the tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode, urlsplit

import attrs
import trio

from agno_rt.errors import UsageError
from agno_rt_mcp.oauth.callback import Callback, open_callback
from agno_rt_mcp.oauth.exchange import (
    Client,
    Place,
    Refused,
    discover,
    open_client,
    register_client,
    request_tokens,
    revoke_token,
    use_client,
)
from agno_rt_mcp.oauth.metadata import Challenge, add_scopes, is_same_issuer
from agno_rt_mcp.oauth.store import Login, LoginStore
from agno_rt_mcp.settings import OAuthSettings, ServerSettings

__all__ = ["log_in", "log_out"]

SECONDS = 300.0
"""How long a login waits for the person."""

Show = Callable[[str], Awaitable[None]]
"""Shows the address of the login page to the person."""


async def log_in(settings: ServerSettings, show: Show, *, port: int = 0, seconds: float = SECONDS) -> Login:
    """Let a person log in, and keep the login. Raises `UsageError`, `ConfigError` and `ServerUnavailable`."""
    _check_settings(settings)
    store = LoginStore(settings)
    async with open_client(settings) as client:
        challenge = await client.probe()
        place = await discover(client, challenge)
        _check_place(client, place)
        for is_last in (False, True):
            kept = await trio.to_thread.run_sync(store.read)
            try:
                login = await _ask_person(_Request(client, place, challenge, kept, show, port, seconds))
            except Refused as exc:
                is_stale = kept is not None and exc.error in ("invalid_client", "unauthorized_client")
                if is_last or not is_stale:
                    raise client.fail(f"is refused: {exc}") from None
                # The issuer has forgotten the client, and the login begins again with a new one.
                await trio.to_thread.run_sync(store.remove)
                continue
            except trio.TooSlowError:
                # An issuer that has forgotten the client shows an error to the person, and never comes back.
                await trio.to_thread.run_sync(store.remove)
                hint = "Start the login again; it begins with a new client. --timeout gives more time."
                raise client.fail(f"had no answer of the browser within {seconds:g} s", hint) from None
            await trio.to_thread.run_sync(store.write, login)
            return login
    raise AssertionError  # the last round returns or raises


async def log_out(settings: ServerSettings) -> tuple[bool, bool]:
    """Forget the login. Return whether there was one, and whether the issuer has taken the tokens back."""
    store = LoginStore(settings)
    login = await trio.to_thread.run_sync(store.read)
    if login is None:
        return await trio.to_thread.run_sync(store.remove), False
    try:
        async with open_client(settings) as client:
            is_revoked = await revoke_token(client, login)
    finally:
        await trio.to_thread.run_sync(store.remove)
    return True, is_revoked


@attrs.frozen
class _Request:
    """The facts from which a login starts."""

    client: Client
    place: Place
    challenge: Challenge
    kept: Login | None
    show: Show
    port: int
    seconds: float

    @property
    def oauth(self) -> OAuthSettings:
        return self.client.settings.oauth

    @property
    def reusable(self) -> Login | None:
        """The client of the last login, if it belongs to the issuer and still counts."""
        kept = self.kept
        if kept is None or self.has_own_client or kept.client_id == self.oauth.client_id:
            return None
        if not is_same_issuer(kept.issuer, self.place.authority.issuer):
            return None
        return None if 0 < kept.client_expires_at <= time.time() else kept

    @property
    def has_own_client(self) -> bool:
        """True if the settings name the client, and the issuer can take the client."""
        if not self.oauth.client_id.startswith("https://"):
            return bool(self.oauth.client_id)
        return bool(self.place.authority.client_id_metadata_document_supported)

    def list_scopes(self) -> tuple[str, ...]:
        """Return the scopes to ask for."""
        asked = self.challenge.scope.split()
        wanted = add_scopes(self.kept.scopes, self.kept.wanted_scopes) if self.kept and self.kept.wanted_scopes else ()
        scopes = add_scopes(self.oauth.scopes or asked or self.place.scopes, wanted)
        # Many issuers give a refresh token only for this scope.
        offline = "offline_access" in (self.place.authority.scopes_supported or ())
        return add_scopes(scopes, ["offline_access"]) if scopes and offline else scopes


async def _ask_person(asked: _Request) -> Login:
    reusable = asked.reusable
    registered = urlsplit(reusable.redirect_uri).port or 0 if reusable is not None else 0
    fixed = asked.port or asked.oauth.port
    async with open_callback(fixed or registered, is_fixed=bool(fixed)) as callback:
        scopes = asked.list_scopes()
        login = await _find_client(asked, callback)
        verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
        address = _make_address(asked, login, scopes, verifier, state)
        with trio.fail_after(asked.seconds):
            await asked.show(address)
            answer = await callback.wait(state)
    authority = asked.place.authority
    issuer = answer.get("iss")
    if issuer != authority.issuer and (issuer or authority.authorization_response_iss_parameter_supported):
        raise asked.client.fail(f"is answered by the issuer {issuer!r:.200} in place of {authority.issuer}")
    if "code" not in answer:
        said = " ".join(f"{answer.get('error', '')} {answer.get('error_description', '')}".split())[:300]
        raise asked.client.fail(f"was refused: {said or 'the answer has no code'}")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": login.redirect_uri,
        "code_verifier": verifier,
    }
    login.scopes = scopes  # a token without scopes has all that were asked for
    await request_tokens(asked.client, login, form)
    return login


async def _find_client(asked: _Request, callback: Callback) -> Login:
    """Return a login without tokens: the client of the settings, the last one, or a new one."""
    authority = asked.place.authority
    if asked.has_own_client:
        login = use_client(asked.client.settings, asked.place)
        login.redirect_uri = callback.redirect_uri
        return login
    kept = asked.reusable
    # An issuer compares the way back letter by letter.
    if kept is None or kept.redirect_uri != callback.redirect_uri:
        return await register_client(asked.client, asked.place, callback.redirect_uri)
    kept.forget_tokens()
    kept.resource, kept.wanted_scopes = asked.place.resource, ()
    kept.token_endpoint = authority.token_endpoint
    kept.revocation_endpoint = authority.revocation_endpoint
    return kept


def _make_address(asked: _Request, login: Login, scopes: tuple[str, ...], verifier: str, state: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": login.client_id,
        "redirect_uri": login.redirect_uri,
        "state": state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "resource": login.resource,
    }
    if scopes:
        query["scope"] = " ".join(scopes)
    if "offline_access" in scopes:
        query["prompt"] = "consent"
    page = str(asked.place.authority.authorization_endpoint)
    return f"{page}{'&' if urlsplit(page).query else '?'}{urlencode(query)}"


def _check_settings(settings: ServerSettings) -> None:
    if not settings.url:
        raise UsageError(f"{settings.name} is a command, and has no login", hint="Give it secrets by env.")
    if settings.has_own_key:
        raise UsageError(f"{settings.name} has a key in its headers", hint="Remove Authorization from headers.")
    if settings.oauth.grant == "client_credentials":
        hint = "It logs in by itself, with client_id and client_secret."
        raise UsageError(f"{settings.name} has the grant client_credentials, which needs no person", hint=hint)


def _check_place(client: Client, place: Place) -> None:
    authority = place.authority
    if not authority.authorization_endpoint:
        raise client.fail(f"has no page for people at {authority.issuer}")
    if "S256" not in (authority.code_challenge_methods_supported or ()):
        # The protocol forbids a login without it.
        raise client.fail(f"is not protected by PKCE (S256) at {authority.issuer}", "Tell the issuer's author.")
