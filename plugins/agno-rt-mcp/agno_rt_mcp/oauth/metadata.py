"""The documents of OAuth as values: what a refusal asks for, where metadata are found, and checks. No I/O.

Sources: the MCP specification, "Authorization"; RFC 6750, 8414, 8707, 9207 and 9728.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

import attrs
import msgspec

__all__ = [
    "Authority",
    "Challenge",
    "Resource",
    "add_scopes",
    "find_origin",
    "is_allowed_address",
    "is_loopback",
    "is_same_issuer",
    "is_within",
    "list_authority_addresses",
    "list_resource_addresses",
    "make_resource",
    "read_challenge",
]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Resource(msgspec.Struct, frozen=True):
    """The metadata of a protected resource: a server, and who issues tokens for it."""

    resource: str = ""
    authorization_servers: list[str] | None = None
    scopes_supported: list[str] | None = None


class Authority(msgspec.Struct, frozen=True):
    """The metadata of an authorization server."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    client_id_metadata_document_supported: bool | None = None
    authorization_response_iss_parameter_supported: bool | None = None


@attrs.frozen
class Challenge:
    """A server's refusal: the status, and the parts of the header `WWW-Authenticate`."""

    status: int = 401
    error: str = ""
    scope: str = ""
    resource_metadata: str = ""

    @property
    def wants_scopes(self) -> bool:
        """True if the token is good, and lacks scopes."""
        return self.status == 403 and self.error == "insufficient_scope"


def read_challenge(status: int, header: str) -> Challenge:
    """Return the refusal of a status and a header, which may be empty."""
    found = {}
    for name in ("error", "scope", "resource_metadata"):
        match = re.search(rf'(?:^|[\s,]){name}\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', header, re.IGNORECASE)
        if match is not None:
            found[name] = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
    return Challenge(status, **found)


def make_resource(url: str) -> str:
    """Return the server's address as tokens name it: without user, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return urlunsplit((parts.scheme.lower(), host, parts.path, "", ""))


def find_origin(url: str) -> str:
    """Return the scheme, the host and the port of an address."""
    parts = urlsplit(make_resource(url))
    return f"{parts.scheme}://{parts.netloc}"


def list_resource_addresses(url: str, challenge: Challenge) -> list[str]:
    """Return the addresses of the server's metadata, the likeliest first."""
    root = f"{find_origin(url)}/.well-known/oauth-protected-resource"
    path = urlsplit(url).path
    found = [challenge.resource_metadata] if challenge.resource_metadata else []
    if path.strip("/"):
        found.append(root + path)
    return [*found, root]


def list_authority_addresses(issuer: str) -> list[str]:
    """Return the addresses of an authorization server's metadata, the likeliest first."""
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [f"{base}/.well-known/oauth-authorization-server{path}", f"{base}/.well-known/openid-configuration{path}"]
    return [*found, f"{base}{path}/.well-known/openid-configuration"] if path else found


def is_same_issuer(one: str, other: str) -> bool:
    """Return whether two texts name the same issuer. Only the last slash of a bare host may differ."""
    return one == other or (one.rstrip("/") == other.rstrip("/") and not urlsplit(one).path.strip("/"))


def is_within(url: str, resource: str) -> bool:
    """Return whether a token for `resource` is one for the server at `url`: the same origin, and a path around it."""
    own, said = urlsplit(make_resource(url)), urlsplit(make_resource(resource))
    if (own.scheme, own.netloc) != (said.scheme, said.netloc):
        return False
    return f"{own.path.rstrip('/')}/".startswith(f"{said.path.rstrip('/')}/")


def is_loopback(url: str) -> bool:
    """Return whether the address is on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def is_allowed_address(address: str, server: str) -> bool:
    """Return whether secrets may go to the address: by TLS, or on this machine if the server itself is here."""
    if is_loopback(address):
        return is_loopback(server) and urlsplit(address).scheme in ("http", "https")
    return urlsplit(address).scheme == "https"


def add_scopes(*lists: Iterable[str]) -> tuple[str, ...]:
    """Return all scopes, each once, in order."""
    return tuple(dict.fromkeys(scope for scopes in lists for scope in scopes))
