"""The doors of a server: find the caller of each request, and keep the limits of callers.

A server without a key, keys, tokens and anonymous agents has one caller, `LOCAL`.
"""

from __future__ import annotations

import hmac
import math
import time
from hashlib import sha256
from pathlib import Path

import attrs

from agno_rt.errors import AgnoError
from agno_rt_serve import log
from agno_rt_serve.auth.audit import Audit
from agno_rt_serve.auth.caller import LOCAL, NOBODY, SHARED, Caller, address_of
from agno_rt_serve.auth.key_store import ID_LETTERS, PREFIX, KeyStore, StoredKey
from agno_rt_serve.auth.purse import Ledger, Purse
from agno_rt_serve.auth.rates import Limiter, Rate, parse_rate, parse_spend
from agno_rt_serve.auth.scopes import RUNNABLES, Scopes, parse_scopes
from agno_rt_serve.auth.tokens import Tokens, is_token
from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope
from agno_rt_serve.keys import COOKIE, Cookies, Key, missing_key, wrong_key
from agno_rt_serve.settings import Settings

__all__ = ["Doors"]

# Seconds until a revoked key is refused. Reading the file's marks more often would cost each request.
_LOOK = 1.0
_PREFIX = PREFIX.encode()
_SHOWN = len(_PREFIX) + ID_LETTERS
_NO_HASH = bytes(32)


@attrs.frozen
class _Known:
    """A stored key, ready for requests."""

    key: StoredKey
    hash: bytes
    caller: Caller
    cookies: Cookies
    limiter: Limiter | None


class Doors:
    """Finds the caller of each request. Raises `ConfigError` and `UsageError` for wrong and unsafe settings.

    In `folder` the workers of this machine count requests together.
    """

    def __init__(self, settings: Settings, folder: str = "") -> None:
        self._folder = folder
        self._shared = Key(settings.key) if settings.key else None
        self._store = KeyStore(Path(settings.keys_file)) if settings.keys_file else None
        self._tokens = Tokens(settings.jwt) if settings.jwt.is_set else None
        self._audit = Audit(Path(settings.audit_log)) if settings.audit_log else None
        ledger_file = None if self._store is None else self._store.path.with_suffix(".spent")
        self._ledger = Ledger(ledger_file)
        self._limits = {
            name: self._make_limiter(rate, name)
            for name, rate in {
                "address": parse_rate(settings.rate_address, "rate_address of [plugins.serve]"),
                "user": parse_rate(settings.rate_user, "rate_user of [plugins.serve]"),
                "token": parse_rate(settings.jwt.rate, "rate of [plugins.serve.jwt]"),
                "anonymous": parse_rate(settings.anonymous.rate, "rate of [plugins.serve.anonymous]"),
            }.items()
        }
        self._key_rate = parse_rate(settings.rate_key, "rate_key of [plugins.serve]")
        self._shared_limiter = self._make_limiter(self._key_rate, "key")
        self.usual = attrs.evolve(LOCAL, audit=self._audit, renew=self._renew)
        self._shared_caller = attrs.evolve(SHARED, audit=self._audit, renew=self._renew)
        self.nobody = attrs.evolve(NOBODY, audit=self._audit)
        self._anonymous = self._make_anonymous(settings)
        self._known: dict[bytes, _Known] = {}
        self._by_cookie: dict[bytes, _Known] = {}
        self._marks: tuple[int, ...] = ()
        self._looked = -math.inf
        if self._store is not None:
            self._marks = self._store.marks()
            self._accept(self._store.load())
        self.is_locked = settings.asks_for_keys or self._anonymous is not None
        """True if requests without a key are refused, except for open paths."""
        self.asks = self.is_locked or self._limits["address"] is not None
        """True if requests are to be identified. Otherwise the caller is `usual`."""

    @property
    def can_sign_in(self) -> bool:
        """True if a browser can exchange a key for a cookie."""
        return self._shared is not None or self._store is not None

    def admit_address(self, scope: Scope) -> None:
        """Count a request of the client's address, known or not. Raises `HttpError` 429."""
        limiter = self._limits["address"]
        if limiter is not None:
            _take(limiter, address_of(scope))

    async def identify(self, scope: Scope) -> Caller:
        """Return the caller. Raises `HttpError` 401 for a wrong or missing key, 429 for too many requests."""
        self.admit_address(scope)
        if not self.is_locked:
            return self.usual
        authorization = cookies = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"cookie":
                cookies += value + b";"
        if authorization:
            scheme, _, given = authorization.partition(b" ")
            if scheme.lower() != b"bearer":
                raise wrong_key()
            return await self._identify_bearer(given.strip())
        if cookies and (found := self._find_cookie(cookies)) is not None:
            return found
        if self._anonymous is None:
            raise missing_key()
        self._count_anonymous(scope)
        return self._anonymous

    def sign_in(self, given: bytes, *, secure: bool) -> bytes:
        """Return the header Set-Cookie for a browser with the key. Raises `HttpError` 401."""
        known = self._find_key(given)
        if known is not None:
            return known.cookies.make(secure=secure, until=known.key.expires)
        if self._shared is None or not self._shared.is_right(given):
            raise wrong_key()
        return self._shared.cookies.make(secure=secure)

    def sign_out(self, scope: Scope) -> list[bytes]:
        """Return headers Set-Cookie to take back the browser's cookies."""
        sent = b";".join(value for name, value in scope["headers"] if name == b"cookie")
        names = {cookie.strip().partition(b"=")[0] for cookie in sent.split(b";")}
        return [Cookies.remove(name) for name in sorted(names) if name.startswith(COOKIE)]

    async def _identify_bearer(self, given: bytes) -> Caller:
        if (
            self._store is not None
            and given[: len(_PREFIX)] == _PREFIX
            and (known := self._find_key(given)) is not None
        ):
            self._count(known.caller, known.limiter)
            return known.caller
        if self._shared is not None and self._shared.is_right(given):
            self._count(self._shared_caller, self._shared_limiter)
            return self._shared_caller
        if self._tokens is not None and is_token(given):
            caller = attrs.evolve(await self._tokens.read(given), audit=self._audit, renew=self._renew)
            self._count(caller, self._limits["token"])
            return caller
        raise wrong_key()

    def _count(self, caller: Caller, limiter: Limiter | None) -> None:
        if limiter is not None:
            _take(limiter, caller.id)
        users = self._limits["user"]
        if users is not None and caller.user is not None:
            _take(users, caller.user)

    def _renew(self, caller: Caller, scope: Scope) -> None:
        """Count one more run on a connection. Raises `HttpError` 401 if the key or the token has ended meanwhile."""
        self.admit_address(scope)
        if caller.expires is not None and time.time() >= caller.expires:
            raise wrong_key()
        if caller.kind == "jwt" and self._tokens is not None:
            self._tokens.check_revoked(caller)
        limiter = {"jwt": self._limits["token"], "key": self._shared_limiter}.get(caller.kind)
        if caller.kind == "anonymous":
            self._count_anonymous(scope)
        elif caller.kind == "key" and caller.user is not None:
            self._look()
            known = self._known.get(_PREFIX + caller.id.removeprefix("key:").encode())
            if known is None or known.caller is not caller:
                raise wrong_key()
            limiter = known.limiter
        self._count(caller, limiter)

    def _count_anonymous(self, scope: Scope) -> None:
        limiter = self._limits["anonymous"]
        if limiter is not None:
            _take(limiter, address_of(scope))

    def _find_cookie(self, cookies: bytes) -> Caller | None:
        self._look()
        for cookie in cookies.split(b";"):
            name, _, value = cookie.strip().partition(b"=")
            if self._shared is not None and self._shared.cookies.is_current(name, value):
                return self._shared_caller
            for known in self._cookie_owners(name):
                if known.cookies.is_current(name, value):
                    self._count(known.caller, known.limiter)
                    return known.caller
        return None

    def _cookie_owners(self, name: bytes) -> list[_Known]:
        known = self._by_cookie.get(name)
        return [] if known is None or _is_expired(known.key) else [known]

    def _find_key(self, given: bytes) -> _Known | None:
        self._look()
        known = self._known.get(given[:_SHOWN])
        # A hash is compared for unknown ids too: the time of an answer must not tell known ids.
        right = hmac.compare_digest(sha256(given).digest(), _NO_HASH if known is None else known.hash)
        if not right or known is None or (known.key.expires is not None and _is_expired(known.key)):
            return None
        return known

    def _look(self) -> None:
        """Read a changed file of keys anew. An unreadable file leaves the keys unchanged."""
        now = time.monotonic()
        if self._store is None or now - self._looked < _LOOK:
            return
        self._looked = now
        marks = self._store.marks()
        if marks == self._marks:
            return
        self._marks = marks
        try:
            self._accept(self._store.load())
        except AgnoError as exc:
            log.write("error", "the keys are not read anew", error=exc.full_text)

    def _accept(self, keys: list[StoredKey]) -> None:
        # Unchanged keys keep their buckets: a change of one key must not refill others.
        kept = self._known
        self._known = {}
        for key in keys:
            prefix = key.prefix.encode()
            same = kept.get(prefix)
            self._known[prefix] = same if same is not None and same.key == key else self._make_known(key)
        self._by_cookie = {known.cookies.name: known for known in self._known.values()}

    def _make_known(self, key: StoredKey) -> _Known:
        where = f"the key {key.name!r}"
        spend = parse_spend(key.spend, where)
        caller = Caller(
            f"key:{key.id}",
            "key",
            key.user,
            parse_scopes(key.scopes, where),
            purse=None if spend is None else Purse(f"key:{key.id}", spend, self._ledger),
            audit=self._audit,
            expires=key.expires,
            renew=self._renew,
        )
        rate: Rate | None = parse_rate(key.rate, where) or self._key_rate
        # The stored hash signs the cookies: a secret, and gone with a revoked key.
        cookies = Cookies(b"hash:" + key.hash.encode())
        return _Known(key, bytes.fromhex(key.hash), caller, cookies, self._make_limiter(rate, "key"))

    def _make_limiter(self, rate: Rate | None, kind: str) -> Limiter | None:
        """Return a limiter for names of the kind, which the workers of a folder share."""
        if rate is None or not self._folder:
            return None if rate is None else Limiter(rate)
        from agno_rt_serve.auth.shared_rates import SharedLimiter  # workers are there where fcntl is

        return SharedLimiter(rate, Path(self._folder) / "rates", kind)

    def _make_anonymous(self, settings: Settings) -> Caller | None:
        agents = settings.anonymous.agents
        if not agents:
            return None
        spend = parse_spend(settings.anonymous.spend, "spend of [plugins.serve.anonymous]")
        grants = frozenset((kind, name, "run") for kind in RUNNABLES for name in agents)
        return Caller(
            "anonymous",
            "anonymous",
            None,
            Scopes(grants),
            purse=None if spend is None else Purse("anonymous", spend, self._ledger),
            audit=self._audit,
            renew=self._renew,
        )


def _is_expired(key: StoredKey) -> bool:
    return key.expires is not None and time.time() >= key.expires


def _take(limiter: Limiter, name: str) -> None:
    wait = limiter.take(name, time.monotonic())
    if wait > 0:
        seconds = math.ceil(wait)
        hint = f"Send it again in {seconds} s."
        raise HttpError(429, "rate_limited", "too many requests", hint, ((b"retry-after", b"%d" % seconds),))
