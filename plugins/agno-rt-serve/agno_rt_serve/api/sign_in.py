"""Signing in and out from a browser: the key for a cookie that the page's scripts cannot read. Knows no agent."""

from __future__ import annotations

import msgspec

from agno_rt_serve.api.routing import Answer, Doc, Route
from agno_rt_serve.auth.doors import Doors
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Receive, Scope, Send, header, json_body, respond

__all__ = ["PATH", "SignIn"]

PATH = "/sign-in"


class SignInBody(msgspec.Struct, forbid_unknown_fields=True):
    """The server's key."""

    key: str


_NONE = Answer(204, None, "The cookie is set, or taken back.", media="")
_IN = Doc("sign_in", "Get a cookie for the key", _NONE, body=SignInBody, is_open=True)
_OUT = Doc("sign_out", "Give the cookie back", _NONE, is_open=True)


class SignIn:
    """Gives browsers a cookie for the key, and takes it back."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("POST", PATH, self._sign_in, doc=_IN), Route("DELETE", PATH, self._sign_out, doc=_OUT)]

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = msgspec.json.decode(await json_body(scope, receive), type=SignInBody)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise HttpError(400, "invalid_body", f"the body has no key: {exc}", 'Send {"key": "..."}.') from exc
        # Behind a proxy with TLS the cookie must never travel without TLS. Only the page's origin shows TLS here.
        secure = header(scope, b"origin").startswith(b"https://")
        given = body.key.strip().encode("utf-8", "replace")
        await _set_cookies(send, [self._doors.sign_in(given, secure=secure)])

    async def _sign_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _set_cookies(send, self._doors.sign_out(scope))


async def _set_cookies(send: Send, cookies: list[bytes]) -> None:
    headers = [(b"set-cookie", each) for each in cookies]
    await respond(send, 204, [*headers, (b"cache-control", b"no-store")], b"")
