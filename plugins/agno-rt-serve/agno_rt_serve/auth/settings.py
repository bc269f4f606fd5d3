"""The tables `[plugins.serve.jwt]` and `[plugins.serve.anonymous]`. Knows no reader of the settings."""

from __future__ import annotations

import attrs

__all__ = ["AnonymousSettings", "JwtSettings"]


@attrs.frozen
class JwtSettings:
    """Tokens to accept. `keys` or `secret_file` turns tokens on.

    keys         the issuer's public keys as a JWKS (RFC 7517): a file, or an https: URL
    secret_file  a secret of 32 bytes or more for HS256, HS384 and HS512, in a private file
    revoked_file a file with the ids (`jti`) of revoked tokens, one on a line; a token then needs an id
    algorithms   the accepted algorithms; without any, RS256 and ES256 for `keys`, HS256 for `secret_file`
    issuer       the required issuer of a token
    audience     the audiences; a token needs at least one of the names
    leeway       the difference of clocks in seconds
    user         the claim with the user
    claim        the claim with the scopes: a list, or a text with blanks
    prefix       the beginning of scopes for this server, cut off before reading
    scopes       scopes of every token, beside the claim's scopes
    rate         requests of each user, such as "60/m"
    refresh      seconds until the keys of a URL are fetched again
    """

    keys: str = ""
    secret_file: str = ""
    revoked_file: str = ""
    algorithms: tuple[str, ...] = ()
    issuer: str = ""
    audience: tuple[str, ...] = ()
    leeway: float = 30.0
    user: str = "sub"
    claim: str = "scope"
    prefix: str = ""
    scopes: tuple[str, ...] = ()
    rate: str = ""
    refresh: float = 600.0

    @property
    def is_set(self) -> bool:
        """True if tokens are accepted."""
        return bool(self.keys or self.secret_file)


@attrs.frozen
class AnonymousSettings:
    """The rights of callers without a key or a token: nothing, unless agents are named.

    agents  names of agents, teams and workflows to run, without sessions
    rate    requests of each client address
    spend   money for all anonymous callers together, such as "1/day"
    """

    agents: tuple[str, ...] = ()
    rate: str = "10/m"
    spend: str = ""
