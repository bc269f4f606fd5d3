"""Signatures of requests to AWS, version 4, with the standard library alone. Pure: the time comes from the caller.

Reference: AWS's guide "Signature Version 4 for API requests", sections "Create a signed request" and "Elements of a
signature".
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import attrs

__all__ = ["Credentials", "sign"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_USUAL_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Credentials:
    """The credentials of an AWS account. `source` says where they come from; nothing else is shown."""

    access_key: str = attrs.field(repr=False)
    secret_key: str = attrs.field(repr=False)
    session_token: str = attrs.field(default="", repr=False)
    source: str = "the settings"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the texts that no error and no log may contain."""
        return (self.access_key, self.secret_key, self.session_token)


def sign(
    url: str, body: bytes, headers: Mapping[str, str], credentials: Credentials, scope: tuple[str, str], now: datetime
) -> dict[str, str]:
    """Return the headers to add to a POST of the body: the time, the session token and the signature.

    All `headers` are signed; their names are in small letters. `scope` is the region and the service's signing name,
    and `now` is in UTC.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": stamp}
    if credentials.session_token:
        added["x-amz-security-token"] = credentials.session_token
    signed = {"host": _find_host(url), **headers, **added}
    names = ";".join(sorted(signed))
    canonical = _canonical_request(url, body, signed, names)
    place = f"{stamp[:8]}/{scope[0]}/{scope[1]}/aws4_request"
    text = f"{_ALGORITHM}\n{stamp}\n{place}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _derive_key(credentials.secret_key, stamp[:8], *scope)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    added["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{place}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def _canonical_request(url: str, body: bytes, signed: Mapping[str, str], names: str) -> str:
    parts = urlsplit(url)
    # The path is already encoded, and the signature wants every part encoded once more.
    path = quote(parts.path or "/", safe="/~")
    query = "&".join("=".join(pair) for pair in sorted(_split_query(parts.query)))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    return f"POST\n{path}\n{query}\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"


def _split_query(query: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return [(name, value) for name, _, value in pairs]


def _find_host(url: str) -> str:
    """Return the host as the HTTP client writes it: in small letters, with any unusual port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _USUAL_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


@functools.lru_cache(maxsize=16)
def _derive_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    """Return the key for a day, which all requests of the day share."""
    key = f"AWS4{secret_key}".encode()
    for word in (day, region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
