"""Which Host a request may name: keeps a page that rebinds its domain name to this machine out. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from agno_rt_serve.errors import HttpError

__all__ = ["allowed_hosts", "check_host", "is_loopback"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, allowed: Collection[str]) -> frozenset[bytes] | None:
    """The names that the Host header may have, without a port; `None` is any. `host` is where the server listens."""
    if "*" in allowed or not (allowed or is_loopback(host)):
        return None
    own = {f"[{host}]" if ":" in host else host} if is_loopback(host) else set()
    return frozenset(name.lower().encode() for name in {*allowed, *own, *(_LOOPBACK if own else ())})


def check_host(header: bytes, allowed: frozenset[bytes] | None) -> None:
    """Raises `HttpError` 421 for a Host that is not allowed. A request of HTTP/1.0 without one is no browser's."""
    if allowed is None or not header or header in allowed:
        return
    name, colon, port = header.rpartition(b":")
    if not (colon and port.isdigit()):
        name = header
    if name.lower() not in allowed:
        shown = name.decode("latin-1")
        hint = f"If it is yours, add it to allowed_hosts of [plugins.serve]: allowed_hosts = [{shown!r}]."
        raise HttpError(421, "host_not_allowed", f"this server does not go by the name {shown!r}", hint)
