"""ASGI in small: types, reading a JSON body, sending a whole response. Knows no route and no server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from agno_rt_serve.errors import HttpError

__all__ = [
    "JSON",
    "ASGIApp",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "header",
    "json_body",
    "request_id",
    "respond",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]


def header(scope: Scope, name: bytes) -> bytes:
    """Return the request's header with that lower-case name; empty if it is missing."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def request_id(scope: Scope) -> str:
    """Return the request's id, which the answer has as `x-request-id`; empty on servers that give no ids."""
    found: str = scope.get("state", {}).get("request_id", "")
    return found


async def json_body(scope: Scope, receive: Receive, *, optional: bool = False) -> bytes:
    """Return the whole body, which the client has to declare as JSON; an `optional` body may be left out.

    Raises `HttpError` 415 for any other type. This also keeps pages of other origins out: a browser asks before it
    sends JSON across origins.
    """
    kind = header(scope, b"content-type")
    is_json = kind == b"application/json" or kind.partition(b";")[0].strip().lower() == b"application/json"
    if not is_json and (kind or not optional):
        raise _not_json(kind)
    message = await receive()
    # Our own server sends a body whole; other ASGI servers send pieces.
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if body and not kind:
        raise _not_json(kind)
    return body


def _not_json(kind: bytes) -> HttpError:
    shown = f"the body is {kind.decode('latin-1')!r}, not JSON" if kind else "the body's Content-Type is missing"
    return HttpError(415, "unsupported_media_type", shown, "Send the header Content-Type: application/json.")


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a response in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
