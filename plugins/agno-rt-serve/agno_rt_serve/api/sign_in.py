"""Signing in and out from a browser: the key for a cookie that the page's scripts cannot read. Knows no agent."""

from __future__ import annotations

import msgspec

from agno_rt_serve.api.routing import Route
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Receive, Scope, Send, header, json_body, respond
from agno_rt_serve.keys import Key, wrong_key

__all__ = ["PATH", "SignIn"]

PATH = "/sign-in"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class SignIn:
    """Gives browsers a cookie for the key, and takes it back."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("POST", PATH, self._sign_in), Route("DELETE", PATH, self._sign_out)]

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = msgspec.json.decode(await json_body(scope, receive), type=_Body)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise HttpError(400, "invalid_body", f"the body has no key: {exc}", 'Send {"key": "..."}.') from exc
        if not self._key.is_right(body.key.strip().encode("utf-8", "replace")):
            raise wrong_key()
        # Behind a proxy with TLS the cookie must never travel without TLS. Only the page's origin shows TLS here.
        secure = header(scope, b"origin").startswith(b"https://")
        await _set_cookie(send, self._key.cookie(secure=secure))

    async def _sign_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _set_cookie(send, self._key.no_cookie())


async def _set_cookie(send: Send, cookie: bytes) -> None:
    await respond(send, 204, [(b"set-cookie", cookie), (b"cache-control", b"no-store")], b"")
