"""The opening handshake of a WebSocket (RFC 6455, section 4.2), as values. Pure: knows neither sockets nor tasks."""

from __future__ import annotations

import base64
import binascii
import hashlib

from agno_rt_serve.errors import HttpError

__all__ = ["answer_key", "has_token", "is_websocket", "read_subprotocols"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16
_VERSION = b"13"


def has_token(headers: list[tuple[bytes, bytes]], name: bytes, token: bytes) -> bool:
    """Return whether a comma-separated header has the lower-case token, in any case, without parameters."""
    for key, value in headers:
        if key == name and token in value.lower():
            return token in (each.partition(b";")[0].strip() for each in value.lower().split(b","))
    return False


def is_websocket(method: str, version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether a request for an upgrade asks for a WebSocket. Such a request has no body."""
    if method != "GET" or version != "1.1" or not has_token(headers, b"upgrade", b"websocket"):
        return False
    return not any(
        name == b"transfer-encoding" or (name == b"content-length" and int(value)) for name, value in headers
    )


def answer_key(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the value of Sec-WebSocket-Accept. Raises `HttpError` 400 or 426 for a handshake that is not valid."""
    keys = [value for name, value in headers if name == b"sec-websocket-key"]
    versions = [value for name, value in headers if name == b"sec-websocket-version"]
    if versions != [_VERSION]:
        hint = "Send Sec-WebSocket-Version: 13."
        wanted = ((b"sec-websocket-version", _VERSION), (b"upgrade", b"websocket"))
        raise HttpError(426, "websocket_version", "this version of WebSocket is not supported", hint, wanted)
    if len(keys) != 1 or not _is_key(keys[0]):
        hint = "Send 16 random bytes in base64."
        raise HttpError(400, "bad_request", "the header Sec-WebSocket-Key is missing or not valid", hint)
    return base64.b64encode(hashlib.sha1(keys[0] + _GUID, usedforsecurity=False).digest())


def read_subprotocols(headers: list[tuple[bytes, bytes]]) -> list[str]:
    """Return the subprotocols that the client offers, in its order."""
    offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol").decode("latin-1")
    return [name for each in offered.split(",") if (name := each.strip())]


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
