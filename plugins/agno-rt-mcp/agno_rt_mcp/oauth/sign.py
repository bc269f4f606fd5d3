"""Signs the requests of a connection with the login's token, and renews the token: one renewal for all calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

import httpx2
import trio

from agno_rt.errors import AgnoError
from agno_rt_mcp.errors import LoginNeeded, ServerError, ServerUnavailable
from agno_rt_mcp.link import Link
from agno_rt_mcp.oauth.exchange import Place, Refused, discover, open_client, request_tokens, use_client
from agno_rt_mcp.oauth.metadata import Challenge, add_scopes, is_within, read_challenge
from agno_rt_mcp.oauth.store import Login, LoginStore
from agno_rt_mcp.settings import ServerSettings, show_url

__all__ = ["Signer"]

_ROUNDS = 2
"""The most renewals for one request: a token that is over, and then one with more scopes."""

_GOODBYE = 5.0
"""The most seconds in which a renewal under way holds up the end of a connection: a refresh token counts once."""


class _Renewal:
    """A renewal under way. `failure` is the reason if there is no new token."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.failure: ServerError | None = None


class Signer(httpx2.Auth):
    """The login of one connection.

    A refusal without a remedy is noted in the link, and the server's answer stands: the SDK would end the connection
    for an error. A renewal is a task of its own, so that a cancelled call does not cut it.
    """

    def __init__(self, settings: ServerSettings, link: Link, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._link = link
        self._nursery = nursery
        self._store = LoginStore(settings)
        self._is_machine = settings.oauth.grant == "client_credentials"
        self._login: Login | None = None
        self._place: Place | None = None
        self._renewal: _Renewal | None = None

    async def prepare(self) -> None:
        """Read the login before the first request. A fault of the file is told if the server wants a login."""
        with suppress(AgnoError):
            await self._read_login()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the request with the token, and again after a renewal."""
        if self._login is not None and self._login.access_token and self._login.is_over:
            await self._renew(self._login.access_token, Challenge())
        for _ in range(_ROUNDS):
            token = self._attach_token(request)
            response = yield request
            challenge = read_challenge(response.status_code, response.headers.get("www-authenticate", ""))
            if challenge.status != 401 and not challenge.wants_scopes:
                if challenge.status == 403:
                    self._link.refusal = None
                return
            if (failure := await self._renew(token, challenge)) is not None:
                self._refuse(response, failure)
                return
        self._attach_token(request)
        response = yield request
        if response.status_code in (401, 403):
            self._refuse(response, self._ask_for_login(f"answered {response.status_code} to a new token"))

    def _refuse(self, response: httpx2.Response, failure: ServerError) -> None:
        self._link.refusal = failure
        # The SDK would report an error in a JSON body, and its caller would not know the status.
        response.headers["content-type"] = "text/plain"

    def _attach_token(self, request: httpx2.Request) -> str:
        token = "" if self._login is None else self._login.access_token
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        else:
            request.headers.pop("authorization", None)
        return token

    async def _renew(self, used: str, challenge: Challenge) -> ServerError | None:
        """Get a token in place of the one used, and return the failure; join a renewal under way."""
        if self._login is not None and self._login.access_token not in ("", used):
            return None
        renewal = self._renewal
        if renewal is None:
            renewal = self._renewal = _Renewal()
            self._nursery.start_soon(self._run_renewal, renewal, used, challenge)
        await renewal.done.wait()
        return renewal.failure

    async def _run_renewal(self, renewal: _Renewal, used: str, challenge: Challenge) -> None:
        try:
            with trio.CancelScope(shield=True) as scope:
                self._nursery.start_soon(_limit_shield, scope, renewal.done)
                if self._is_machine:
                    await self._ask_as_machine(challenge)
                else:
                    await self._renew_login(used, challenge)
        except ServerError as exc:
            renewal.failure = exc
        except AgnoError as exc:
            renewal.failure = ServerUnavailable(self._settings.name, f"has no login: {exc.message}", hint=exc.hint)
        finally:
            if scope.cancelled_caught:
                renewal.failure = ServerUnavailable(self._settings.name, "was closed during a login")
            self._renewal = None
            renewal.done.set()

    async def _read_login(self) -> None:
        """Read the login of the file, which another process may have renewed."""
        if self._is_machine:
            return
        found = await trio.to_thread.run_sync(self._store.read)
        # The name of a login in the file is the server's address, and the metadata told the resource.
        if found is not None and is_within(self._settings.url, found.resource):
            self._login = found

    async def _renew_login(self, used: str, challenge: Challenge) -> None:
        """Renew the token of a person's login. Raises `LoginNeeded` if a person must log in."""
        async with self._store.holding():
            self._login = None
            await self._read_login()
            login: Login | None = self._login
            if login is None or not login.access_token:
                raise self._ask_for_login(f"answered {challenge.status}")
            if login.access_token != used and not login.is_over:
                return
            if challenge.wants_scopes:
                wanted = challenge.scope.split()
                login.wanted_scopes = add_scopes(login.wanted_scopes, wanted)
                await self._write_login(login)
                raise self._ask_for_login(f"asks for more rights: {' '.join(wanted) or 'it does not say which'}")
            if not login.refresh_token:
                await self._drop_tokens(login)
                raise self._ask_for_login("has ended the login")
            try:
                async with open_client(self._settings) as client:
                    await request_tokens(client, login, _refresh_form(login))
            except Refused as exc:
                if exc.error in ("invalid_client", "unauthorized_client"):
                    # The next login registers a client.
                    await trio.to_thread.run_sync(self._store.remove)
                    self._login = None
                else:
                    await self._drop_tokens(login)
                raise self._ask_for_login(f"has ended the login ({exc})") from None
            await self._write_login(login)

    async def _ask_as_machine(self, challenge: Challenge) -> None:
        """Get a token for the client itself. Raises `ServerUnavailable`."""
        oauth = self._settings.oauth
        async with open_client(self._settings) as client:
            if self._place is None:
                self._place = await discover(client, challenge)
            login = self._login
            if login is None:
                login = use_client(self._settings, self._place)
                login.scopes = oauth.scopes or self._place.scopes
            wanted = challenge.scope.split() if challenge.wants_scopes or not oauth.scopes else ()
            scopes = add_scopes(login.scopes, wanted)
            form = {"grant_type": "client_credentials"} | ({"scope": " ".join(scopes)} if scopes else {})
            try:
                await request_tokens(client, login, form)
            except Refused as exc:
                hint = "Look at client_id, client_secret or key_file, and scopes in the server's table oauth."
                raise client.fail(f"is refused: {exc}", hint) from None
        login.scopes = scopes
        self._login = login

    async def _drop_tokens(self, login: Login) -> None:
        login.forget_tokens()
        await self._write_login(login)

    async def _write_login(self, login: Login) -> None:
        self._login = login
        await trio.to_thread.run_sync(self._store.write, login)

    def _ask_for_login(self, problem: str) -> ServerError:
        settings = self._settings
        if self._is_machine:
            return ServerUnavailable(settings.name, problem, hint="Look at scopes in the server's table oauth.")
        hint = f"Log in: agno-rt mcp login {settings.name}"
        if (address := show_url(settings.url)) != settings.name:
            hint += f", or agno-rt mcp login {address} for a server that is in no file"
        hint += '. Or give a key: headers = {Authorization = "Bearer ${TOKEN}"}.'
        return LoginNeeded(settings.name, f"{problem}: a person has to log in", hint=hint)


async def _limit_shield(scope: trio.CancelScope, done: trio.Event) -> None:
    """Give a renewal a few seconds after the end of the connection."""
    try:
        await done.wait()
    finally:
        scope.deadline = min(scope.deadline, trio.current_time() + _GOODBYE)


def _refresh_form(login: Login) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
