"""Checks of Host, Origin and Sec-Fetch-Site, which keep pages of other sites out. Pure.

A page elsewhere may send requests here in three ways: across origins, by rebinding its own domain name to this address,
and by embedding. Browsers tell the first by Origin, the second by Host, the third by Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from agno_rt_serve.errors import HttpError
from agno_rt_serve.http.asgi import Scope

__all__ = ["Guard", "allowed_hosts", "check_host", "is_loopback"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})
# `same-site` is another port or another subdomain, and so another origin.
_ELSEWHERE = frozenset({b"cross-site", b"same-site"})


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches the host; a Unix socket's begins with `unix:`."""
    if host.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, allowed: Collection[str], *, keyed: bool = False) -> frozenset[bytes] | None:
    """Return the names that the Host header may have, without a port; `None` allows any.

    `host` is the server's own address. A server with a key takes any name unless `allowed` has some: a page that
    rebinds its name does not have the key.
    """
    if "*" in allowed or (keyed and not allowed):
        return None
    own = set() if host in _WILDCARDS else {f"[{host}]" if ":" in host else host}
    return frozenset(name.lower().encode() for name in {*allowed, *own, *_LOOPBACK})


def check_host(header: bytes | None, allowed: frozenset[bytes] | None) -> None:
    """Raise `HttpError` 421 for a Host that is not allowed. A missing Host passes: HTTP/1.0 only, so not a browser."""
    if allowed is None or header is None or header in allowed:
        return
    name, colon, port = header.rpartition(b":")
    if not (colon and port.isdigit()):
        name = header
    if name.lower() not in allowed:
        shown = name.decode("latin-1")
        hint = f"If the name is yours: --allow-host {shown}, or allowed_hosts = [{shown!r}] in [plugins.serve]."
        raise HttpError(421, "host_not_allowed", f"this server does not answer to the name {shown!r}", hint)


class Guard:
    """Checks the source of a request, for every route alike.

    `hosts` are the server's names, `None` for any; `origins` are the origins whose pages may use the server. The paths
    in `probes` answer to any name: a load balancer and Kubernetes ask for the address of the machine.
    """

    def __init__(
        self, hosts: frozenset[bytes] | None, origins: Collection[str], probes: Collection[str] = frozenset()
    ) -> None:
        self._hosts = hosts
        self._probes = probes
        self._origins = None if "*" in origins else frozenset(origin.encode() for origin in origins)

    def check(self, scope: Scope) -> None:
        """Raise `HttpError` 421 for a Host that is not the server's, 403 for a page of another origin."""
        host = None
        origin = site = mode = b""
        # One pass over the headers: every request pays for this check.
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"sec-fetch-mode":
                mode = value
        check_host(host, None if scope["path"] in self._probes else self._hosts)
        if self._origins is None:
            return
        if origin:
            if origin not in self._origins and not _is_at(origin.lower(), (host or b"").lower()):
                raise _cross_site(origin.decode("latin-1"))
        elif site in _ELSEWHERE and mode != b"navigate":
            # Embedded requests have no Origin. Following a link (mode `navigate`) is allowed.
            raise _cross_site("another site")


def _is_at(origin: bytes, host: bytes) -> bool:
    """Return whether the host is the origin's; the scheme's default port may be named or left out."""
    scheme, _, place = origin.partition(b"://")
    port = {b"http": b":80", b"https": b":443"}.get(scheme)
    return port is not None and bool(place) and place.removesuffix(port) == host.removesuffix(port)


def _cross_site(origin: str) -> HttpError:
    hint = (
        "If the site is yours, add it to cors_origins of [plugins.serve]; behind a proxy, let the proxy pass on Host."
    )
    return HttpError(403, "cross_site", f"pages of {origin} may not use this server", hint)
