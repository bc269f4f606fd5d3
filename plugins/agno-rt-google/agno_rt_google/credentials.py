"""Tokens of Vertex AI: the scope, and the signature of service accounts by PyJWT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_rt.errors import ConfigError
from agno_rt.http_client.google_credentials import GoogleCredentials, read_google_credentials

__all__ = ["SCOPE", "read_credentials", "sign"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def read_credentials(path: str) -> GoogleCredentials:
    """Read a file of credentials for Vertex AI. Raises `ConfigError` for a missing or unusable file."""
    return read_google_credentials(path, SCOPE, sign)


def sign(claims: Mapping[str, Any], key: str, headers: Mapping[str, str]) -> str:
    """Return the signed token. The import takes a tenth of a second: call this in a thread.

    Raises `ConfigError` for a missing package, and `ValueError` for an unusable key.
    """
    try:
        import jwt
        from jwt.exceptions import PyJWTError
    except ImportError as exc:
        hint = "pip install 'agno-rt-google[vertex]'"
        raise ConfigError("service accounts need the package PyJWT, which is not installed", hint=hint) from exc
    try:
        return jwt.encode(dict(claims), key, algorithm="RS256", headers=dict(headers))
    except (PyJWTError, TypeError, NotImplementedError):
        # From None: the cause may quote the key.
        raise ValueError("the key cannot be used") from None
