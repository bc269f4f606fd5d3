"""The headers that carry an API key. Zhipu's keys sign a token; other keys are sent as they are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from agno_rt.errors import ConfigError

if TYPE_CHECKING:
    from agno_rt.http_client.server import Key
    from agno_rt_openai.profile import Server

__all__ = ["KeyFormat", "key_headers"]

KeyFormat = Literal["plain", "zhipu"]

_TOKEN_SECONDS = 15 * 60
"""A token serves for the quarter of an hour in which it was signed, and is valid for the next quarter, too."""


def key_headers(server: Server, key: Key, now: float) -> dict[str, str]:
    """Return the header with the key, or no header without a key. `now` is the time in seconds since 1970.

    Raises `ConfigError` for a key that cannot sign.
    """
    if not key.text:
        return {}
    text = key.text
    if server.key_format == "zhipu":
        text = _sign_token(text, int(now) // _TOKEN_SECONDS)
    name = server.key_header.lower()
    return {name: f"Bearer {text}" if name == "authorization" else text}


@lru_cache(maxsize=100)
def _sign_token(key: str, quarter: int) -> str:
    """Return a JSON Web Token with the id in the key, signed by the secret in the key.

    Reference: the API reference of Zhipu's open platform, "HTTP API", section on authentication by token.
    """
    id_, _, secret = key.partition(".")
    if not id_ or not secret:
        hint = 'Copy the whole key, or set key_format = "plain".'
        raise ConfigError("the API key does not have the form ID.SECRET, which signs requests", hint=hint)
    start = quarter * _TOKEN_SECONDS
    claims = {"api_key": id_, "exp": (start + 2 * _TOKEN_SECONDS) * 1000, "timestamp": start * 1000}
    parts = [_encode_part({"alg": "HS256", "sign_type": "SIGN"}), _encode_part(claims)]
    signature = hmac.new(secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _encode_bytes(signature)])


def _encode_part(value: dict[str, object]) -> str:
    return _encode_bytes(json.dumps(value, separators=(",", ":")).encode())


def _encode_bytes(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
