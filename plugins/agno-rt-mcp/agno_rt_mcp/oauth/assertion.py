"""Signed assertions: a client shows by its private key who it is (`private_key_jwt`, RFC 7523). Blocks: use a thread.

The key never leaves this machine. An assertion is for one issuer, and ends after a minute.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

from agno_rt.errors import ConfigError
from agno_rt_mcp.settings import OAuthSettings

__all__ = ["SIGNED", "sign_assertion"]

SIGNED = "private_key_jwt"
"""The way to show at the token endpoint who the client is, as the metadata of issuers call it."""

_KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS = 60
_MOST_BYTES = 2**16
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def sign_assertion(oauth: OAuthSettings, client_id: str, issuer: str) -> dict[str, str]:
    """Return the fields of a request for tokens. Raises `ConfigError` for an unusable key."""
    import jwt  # takes 0.1 s, and few servers want it

    key, algorithm = _load_key(oauth.key_file)
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": issuer, "jti": secrets.token_urlsafe()}
    headers = {"kid": oauth.key_id} if oauth.key_id else None
    signed = jwt.encode({**claims, "iat": now, "exp": now + _SECONDS}, key, algorithm, headers)
    return {"client_assertion_type": _KIND, "client_assertion": signed}


def _load_key(path: str) -> tuple[Any, str]:
    """Return the private key of a file, and the algorithm that fits the key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        hint = "It is a private key in PEM form, without a passphrase: RSA, EC or Ed25519."
        raise ConfigError(f"key_file {path!r} cannot be used", hint=hint) from exc
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key, "EdDSA"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key, _CURVES[key.curve.name]
    raise ConfigError(f"key_file {path!r} has a key of an unknown kind", hint="RSA, EC and Ed25519 can be used.")


def _read_private(path: str) -> bytes:
    try:
        with Path(path).expanduser().open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise ConfigError(f"key_file {path!r} can be read by others", hint=f"Make it private: chmod 600 {path}")
            return file.read(_MOST_BYTES)
    except OSError as exc:
        hint = "Name a file in PEM form in key_file, in the server's table oauth."
        raise ConfigError(f"key_file {path!r} cannot be read: {exc.strerror}", hint=hint) from exc
