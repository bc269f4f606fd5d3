"""ASGI in small: types, reading a JSON body, sending a whole response. Knows no route and no server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from agno_rt_serve.errors import HttpError

if TYPE_CHECKING:
    import trio

__all__ = [
    "JSON",
    "PROBLEM",
    "ASGIApp",
    "ClientGone",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "header",
    "is_gone",
    "json_body",
    "read_whole",
    "refuse_websocket",
    "request_id",
    "respond",
    "stopping",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# No cache keeps an answer: nearly all of them are about a user, and a shared cache knows no users.
_KEPT_NOWHERE = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

JSON: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json"), *_KEPT_NOWHERE]

PROBLEM = [(b"content-type", b"application/problem+json"), *_KEPT_NOWHERE]


class ClientGone(OSError):
    """The client hung up, or stopped reading; nobody is left to answer."""


def is_gone(exc: BaseException | None) -> bool:
    """Return whether the application only passes on a `ClientGone`, perhaps in another error."""
    if isinstance(exc, BaseExceptionGroup):
        return all(is_gone(each) for each in exc.exceptions)
    return isinstance(exc, ClientGone) or (exc is not None and isinstance(exc.__context__, ClientGone))


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


def stopping(scope: Scope) -> trio.Event | None:
    """Return the event that is set once the server is told to stop; `None` on servers that do not tell.

    An application that waits for nothing in particular, such as a WebSocket without a run, ends when it is set.
    """
    found: trio.Event | None = scope.get("state", {}).get("stopping")
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
    if message.get("more_body"):
        body += await read_whole(receive)
    if body and not kind:
        raise _not_json(kind)
    return body


async def read_whole(receive: Receive) -> bytes:
    """Return the whole body, of whatever type."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _not_json(kind: bytes) -> HttpError:
    shown = f"the body is {kind.decode('latin-1')!r}, not JSON" if kind else "the body's Content-Type is missing"
    return HttpError(415, "unsupported_media_type", shown, "Send the header Content-Type: application/json.")


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a response in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_websocket(scope: Scope, send: Send, error: HttpError, body: bytes) -> None:
    """Refuse the handshake of a WebSocket by an HTTP response; on servers that cannot send one, by a close."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        # 1008: a violation of policy (RFC 6455, 7.4.1).
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [*JSON, *error.headers]
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
