"""Which Host, Origin and kind of fetch a request may come with: keeps pages of other sites out. Pure.

A page elsewhere may send requests here in three ways: across origins, by a domain name of its own that it rebinds to
this address, and by what it embeds. Browsers tell the first by Origin, the second by Host, the third by Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope

__all__ = ["Guard", "allowed_hosts", "check_host", "is_loopback"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})
_ELSEWHERE = frozenset({b"cross-site", b"same-site"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, allowed: Collection[str], *, keyed: bool = False) -> frozenset[bytes] | None:
    """Return the names that the Host header may have, without a port; `None` is any.

    `host` is where the server listens. A server with a key takes any name, unless some are given: a page that rebinds
    its name does not have the key.
    """
    if "*" in allowed or (keyed and not allowed):
        return None
    own = set() if host in _WILDCARDS else {f"[{host}]" if ":" in host else host}
    return frozenset(name.lower().encode() for name in {*allowed, *own, *_LOOPBACK})


def check_host(header: bytes | None, allowed: frozenset[bytes] | None) -> None:
    """Raise `HttpError` 421 for a Host that is not allowed. A request of HTTP/1.0 without one is not a browser's."""
    if allowed is None or header is None or header in allowed:
        return
    name, colon, port = header.rpartition(b":")
    if not (colon and port.isdigit()):
        name = header
    if name.lower() not in allowed:
        shown = name.decode("latin-1")
        hint = f"If it is yours: --allow-host {shown}, or allowed_hosts = [{shown!r}] in [plugins.serve]."
        raise HttpError(421, "host_not_allowed", f"this server does not go by the name {shown!r}", hint)


class Guard:
    """Checks where a request comes from, for every route alike.

    `hosts` are the names that this server goes by, `None` for any; `origins` are those whose pages may use it.
    """

    def __init__(self, hosts: frozenset[bytes] | None, origins: Collection[str]) -> None:
        self._hosts = hosts
        self._origins = None if "*" in origins else frozenset(origin.encode() for origin in origins)

    def check(self, scope: Scope) -> None:
        """Raise `HttpError` 421 for a Host that is not ours, 403 for a page of another origin."""
        host = None
        origin = site = mode = b""
        # One pass over the headers, since every request comes by here.
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        check_host(host, self._hosts)
        if self._origins is None:
            return
        if origin:
            if origin not in self._origins and not _is_at(origin.lower(), (host or b"").lower()):
                raise _cross_site(origin.decode("latin-1"))
        elif site in _ELSEWHERE and mode != b"navigate":
            # What a page embeds has no Origin. A link that is followed may lead here.
            raise _cross_site("another site")


def _is_at(origin: bytes, host: bytes) -> bool:
    """Whether the host is the origin's; a port that its scheme has by default may be named or not."""
    scheme, _, place = origin.partition(b"://")
    port = {b"http": b":80", b"https": b":443"}.get(scheme)
    return port is not None and bool(place) and place.removesuffix(port) == host.removesuffix(port)


def _cross_site(origin: str) -> HttpError:
    hint = "If it is yours, add it to cors_origins of [plugins.serve]; behind a proxy, have it pass on the Host."
    return HttpError(403, "cross_site", f"pages of {origin} may not use this server", hint)
