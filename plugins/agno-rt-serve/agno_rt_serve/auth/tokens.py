"""Tokens: JSON Web Tokens (RFC 7519) as bearer tokens, checked by PyJWT and by RFC 8725 ("Best Current Practices").

The settings name the algorithms, the issuer and the audience. A token's header says only which of the set's keys to
try, and never brings or names a key itself.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from agno_rt.errors import ConfigError, UsageError
from agno_rt_serve.auth.caller import Caller
from agno_rt_serve.auth.key_sets import FAMILIES, KeySet
from agno_rt_serve.auth.revoked import RevokedTokens
from agno_rt_serve.auth.scopes import Scopes, parse_scopes
from agno_rt_serve.auth.settings import JwtSettings
from agno_rt_serve.errors import HttpError

__all__ = ["Tokens", "is_token"]

_TABLE = "[plugins.serve.jwt]"
_LONGEST = 16_384
_KEPT = 1_000
# Parts of a header that bring or name a key (RFC 7515, 4.1), and required extensions.
_REFUSED = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
_CHALLENGE = b'Bearer realm="agno-rt", error="invalid_token"'
_ALGORITHMS = frozenset(
    {
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "EdDSA",
    }
)


def is_token(given: bytes) -> bool:
    """Return True if the text looks like a token, and not like a key."""
    return given.count(b".") == 2 and given.startswith(b"eyJ")


class Tokens:
    """Checks tokens, and remembers right tokens until their end. Raises `ConfigError` for unsafe settings."""

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._algorithms = _choose_algorithms(settings)
        if not (settings.issuer and settings.audience):
            hint = "Without them, a token of another issuer or for another service would be accepted."
            raise ConfigError(f"{_TABLE} needs an issuer and an audience", hint=hint)
        if not 0 <= settings.leeway <= 600:
            raise ConfigError(f"{_TABLE}: leeway is {settings.leeway}", hint="Give 0 to 600 seconds.")
        self._revoked = RevokedTokens(Path(settings.revoked_file)) if settings.revoked_file else None
        self._own = parse_scopes(settings.scopes, f"scopes of {_TABLE}")
        self._keys = KeySet(settings)
        self._kept: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._version = self._keys.version

    async def read(self, token: bytes) -> Caller:
        """Return the caller with the token. Raises `HttpError` 401 for any fault, 503 without keys."""
        digest = hashlib.sha256(token).digest()
        kept = self._kept.get(digest)
        if kept is not None and self._version == self._keys.version and time.time() < kept[1]:
            self.check_revoked(kept[0])
            return kept[0]
        header = self._read_header(token)
        if self._keys.should_load(header.get("kid")):
            await self._keys.load()
        if self._version != self._keys.version:
            self._kept.clear()
            self._version = self._keys.version
        caller, until = self._check(token, header)
        self.check_revoked(caller)
        self._kept[digest] = caller, until
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return caller

    def check_revoked(self, caller: Caller) -> None:
        """Raise `HttpError` 401 if the caller's token was revoked since."""
        if self._revoked is not None and self._revoked.has(caller.token):
            raise _wrong_token("it was revoked")

    def _read_header(self, token: bytes) -> dict[str, Any]:
        import jwt  # the extra `jwt`

        try:
            if len(token) > _LONGEST:
                raise _wrong_token("it is too long")
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise _wrong_token("it is damaged") from exc
        if _REFUSED & header.keys():
            raise _wrong_token("its header brings a key of its own, or needs an extension")
        if header.get("alg") not in self._algorithms:
            raise _wrong_token("its algorithm is not accepted here")
        if not isinstance(header.get("kid"), str | None):
            raise _wrong_token("it is damaged")
        return header

    def _check(self, token: bytes, header: dict[str, Any]) -> tuple[Caller, float]:
        import jwt  # the extra `jwt`

        settings, why = self._settings, "none of the issuer's keys signed it"
        # A token without an id could never be revoked.
        required = ["exp", "iss", "aud", settings.user, *(() if self._revoked is None else ("jti",))]
        for key in self._keys.find(header.get("kid"), header["alg"]):
            try:
                claims = jwt.decode(
                    token,
                    key,
                    algorithms=[header["alg"]],
                    audience=settings.audience,
                    issuer=settings.issuer,
                    leeway=settings.leeway,
                    options={"require": required},
                )
                until = int(claims["exp"]) + settings.leeway
                return self._make_caller(claims, until), until
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
                # The names of PyJWT's errors tell the fault; the texts of errors may quote the token.
                why = _REASONS.get(type(exc).__name__, "a claim is missing or wrong")
        raise _wrong_token(why)

    def _make_caller(self, claims: dict[str, Any], until: float) -> Caller:
        user = claims.get(self._settings.user)
        if not isinstance(user, str) or not 0 < len(user) <= 200 or not user.isprintable():
            raise _wrong_token(f"its claim {self._settings.user!r} is not a user")
        token = str(claims.get("jti") or "")
        return Caller(f"jwt:{user}", "jwt", user, self._read_scopes(claims), expires=until, token=token)

    def _read_scopes(self, claims: dict[str, Any]) -> Scopes:
        given = claims.get(self._settings.claim, "")
        texts = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        found = [self._own]
        for text in texts:
            if isinstance(text, str) and text.startswith(self._settings.prefix):
                try:
                    found.append(parse_scopes([text.removeprefix(self._settings.prefix)], "the token"))
                except UsageError:
                    continue  # a scope of another service, such as `openid`
        return Scopes(
            frozenset().union(*(each.grants for each in found)),
            for_users=any(each.for_users for each in found),
            sees_all=any(each.sees_all for each in found),
        )


_REASONS = {
    "ExpiredSignatureError": "it has expired",
    "ImmatureSignatureError": "it is not valid yet",
    "InvalidAudienceError": "it is for another service",
    "InvalidIssuerError": "it is of another issuer",
}


def _choose_algorithms(settings: JwtSettings) -> frozenset[str]:
    usual = (*(("RS256", "ES256") if settings.keys else ()), *(("HS256",) if settings.secret_file else ()))
    chosen = frozenset(settings.algorithms or usual)
    if wrong := chosen - _ALGORITHMS:
        hint = f"Choose among {', '.join(sorted(_ALGORITHMS))}."
        raise ConfigError(f"{_TABLE}: algorithms has {', '.join(sorted(wrong))}", hint=hint)
    assert all(each[:2] in FAMILIES for each in chosen)
    return chosen


def _wrong_token(why: str) -> HttpError:
    hint = "Get a new token from the issuer. It needs exp, iss, aud and the user, and a key of the issuer's set."
    return HttpError(401, "key_wrong", f"the token is not accepted: {why}", hint, ((b"www-authenticate", _CHALLENGE),))
