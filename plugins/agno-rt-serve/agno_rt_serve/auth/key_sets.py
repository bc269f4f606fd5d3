"""Keys of issuers, to check tokens: from a JWKS file or URL (RFC 7517), or a secret in a file.

No part of a token leads to a connection: an unknown key id only lets the set be loaded again, at most every half minute
for all tokens together.
"""

from __future__ import annotations

import math
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import msgspec
import trio

from agno_rt.errors import ConfigError, PluginError, UsageError
from agno_rt_serve import log
from agno_rt_serve.auth.settings import JwtSettings
from agno_rt_serve.errors import HttpError
from agno_rt_serve.keys import check_private

__all__ = ["KeySet"]

_AGAIN = 30.0
_TIMEOUT = 10.0
_MOST_BYTES = 1_048_576
_MOST_KEYS = 100
# Keys are trusted for a day without a successful load: the issuer may have withdrawn a key.
_STALE = 86_400.0

FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "HS": "oct", "Ed": "OKP"}
"""The type of key for the first letters of an algorithm. A public key never serves an algorithm with a secret."""


@attrs.frozen
class SigningKey:
    """A key of a set: PyJWT's key, the id, the type, and the algorithm of a key for a single algorithm."""

    key: Any = attrs.field(repr=False)
    kid: str | None
    family: str
    algorithm: str | None


class KeySet:
    """The keys, loaded when the first token comes, and again as the settings say."""

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._is_remote = settings.keys.startswith(("https:", "http:"))
        self._keys: list[SigningKey] = []
        self._tried = self._loaded = -math.inf
        self._marks: tuple[int, ...] = ()
        self._lock = trio.Lock()
        self.version = 0
        if self._is_remote:
            check_url(settings.keys)
        else:
            self._load_files()

    def find(self, kid: str | None, algorithm: str) -> list[Any]:
        """Return PyJWT's keys for tokens of the algorithm; with the token's id, if any."""
        family = FAMILIES.get(algorithm[:2])
        return [
            each.key
            for each in self._keys
            if each.family == family
            and (kid is None or each.kid in (None, kid))
            and each.algorithm in (None, algorithm)
        ]

    def knows(self, kid: str | None) -> bool:
        """Return True if a key may have the id."""
        return any(kid is None or each.kid in (None, kid) for each in self._keys)

    def should_load(self, kid: str | None) -> bool:
        """Return True if the keys are to be loaded before a token with the id is judged."""
        now = time.monotonic()
        if self._is_remote and now - self._loaded > self._settings.refresh:
            return now - self._tried > min(_AGAIN, self._settings.refresh)
        return not self.knows(kid) and now - self._tried > _AGAIN

    async def load(self) -> None:
        """Load the keys again. Raises `HttpError` 503 without any keys. A single load serves all waiting requests."""
        tried = self._tried
        async with self._lock:
            if self._tried != tried:
                return
            self._tried = time.monotonic()
            try:
                if self._is_remote:
                    self._take(await _fetch(self._settings.keys), self._settings.keys)
                else:
                    self._load_files()
            except (ConfigError, UsageError) as exc:
                log.write("error", "the keys of tokens cannot be loaded", error=exc.full_text)
        if self._is_remote and time.monotonic() - self._loaded > max(_STALE, self._settings.refresh):
            self._keys = []
            hint = "Send it again in a while. The server's log says why."
            retry = ((b"retry-after", b"%d" % _AGAIN),)
            raise HttpError(503, "keys_unavailable", "the server cannot check tokens for now", hint, retry)

    def _load_files(self) -> None:
        settings = self._settings
        sets: list[dict[str, Any]] = []
        where = settings.keys or settings.secret_file
        if settings.keys:
            sets += _parse(_read(Path(settings.keys), settings.keys), settings.keys)
        if any(each.get("kty") == "oct" for each in sets):
            check_private(Path(settings.keys))
        if settings.secret_file:
            path = Path(settings.secret_file)
            secret = _read(path, settings.secret_file).strip()
            check_private(path)
            if len(secret) < 32:
                hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
                raise ConfigError(f"the secret in {path} is shorter than 32 bytes", hint=hint)
            sets.append({"kty": "oct", "k": _encode(secret)})
        self._take(sets, where)

    def _take(self, sets: list[dict[str, Any]], where: str) -> None:
        made = [key for each in sets[:_MOST_KEYS] if (key := _make_key(each, where)) is not None]
        if not made:
            raise ConfigError(f"{where} has no key that can check a token", hint="Name a JWKS: {'keys': [...]}.")
        self._keys = made
        self._loaded = time.monotonic()
        self.version += 1


def check_url(url: str) -> None:
    """Raise `ConfigError` for a URL with an answer open to changes on the network."""
    parts = urlsplit(url)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not is_here:
        raise ConfigError(f"keys of [plugins.serve.jwt] is {url!r}: not https", hint="Keys need a URL with https:.")


async def _fetch(url: str) -> list[dict[str, Any]]:
    import httpx2  # for servers with a URL of keys

    try:
        # That takes tens of milliseconds, in which all runs would wait.
        certificates = await trio.to_thread.run_sync(httpx2.create_ssl_context)
        async with httpx2.AsyncClient(verify=certificates, timeout=_TIMEOUT, follow_redirects=False) as http:
            with trio.fail_after(_TIMEOUT):
                # Unpacked, a small answer may have gigabytes: none is asked for, and the body is read as it is sent.
                async with http.stream("GET", url, headers={"accept-encoding": "identity"}) as answer:
                    if answer.status_code != 200:
                        raise ConfigError(f"{url} answered {answer.status_code}", hint="Is it the issuer's jwks_uri?")
                    data = b""
                    async with aclosing(answer.aiter_raw()) as pieces:
                        async for piece in pieces:
                            data += piece
                            if len(data) > _MOST_BYTES:
                                raise ConfigError(f"{url} has more than {_MOST_BYTES} bytes", hint="Is it a JWKS?")
    except (httpx2.HTTPError, trio.TooSlowError, OSError) as exc:
        raise ConfigError(f"{url} cannot be fetched: {type(exc).__name__}", hint="Is the issuer up?") from exc
    return _parse(data, url)


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        hint = "Correct the path in [plugins.serve.jwt]."
        raise ConfigError(f"the keys of tokens in {where} cannot be read: {exc.strerror}", hint=hint) from exc


def _parse(data: bytes, where: str) -> list[dict[str, Any]]:
    try:
        found: dict[str, list[dict[str, Any]]] = msgspec.json.decode(data, type=dict[str, Any])
        return msgspec.convert(found.get("keys"), list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{where} is not a JWKS", hint='It is JSON: {"keys": [{"kty": ...}]}.') from exc


def _make_key(data: dict[str, Any], where: str) -> SigningKey | None:
    """Return the key, or `None` for a useless kind of key: sets may have keys for other purposes."""
    try:
        import jwt  # the extra `jwt`
    except ImportError as exc:
        hint = "pip install 'agno-rt-serve[jwt]'"
        raise PluginError("tokens need PyJWT, which is not installed", plugin="serve", hint=hint) from exc
    if data.get("use", "sig") != "sig":
        return None
    try:
        made = jwt.PyJWK(data)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as exc:
        # Without the error's text, which may show a secret key.
        kind, kid, why = str(data.get("kty")), str(data.get("kid")), type(exc).__name__
        log.write("warning", "a key of tokens is not used", place=where, kty=kind, kid=kid, why=why)
        return None
    family = str(made.key_type)
    # RSA and secrets serve several algorithms, unless the key names an algorithm.
    serves = made.algorithm_name if family in ("EC", "OKP") or "alg" in data else None
    return SigningKey(made.key, made.key_id, family, serves)


def _encode(secret: bytes) -> str:
    import base64  # for servers with a secret

    return base64.urlsafe_b64encode(secret).decode().rstrip("=")
