"""The origin of a request that came through proxies: its client, scheme and host. Pure: values in, values out.

Only proxies named by the settings are believed. Each proxy appends the address from which a request reached it, so the
list is read from its end: the first address that is not a trusted proxy is the client. All before it is the client's
own word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

import attrs

from agno_rt.errors import UsageError
from agno_rt_serve.http.protocol import Headers
from agno_rt_serve.http.target import is_host

__all__ = ["Kind", "Origin", "Proxies", "normalize"]

Kind: TypeAlias = Literal["x-forwarded", "forwarded"]
UNIX = "unix"
"""The name for all who connect over a Unix socket."""

# A node of RFC 7239, section 6, and the looser forms that proxies write into X-Forwarded-For.
_NODE = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<four>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
# Pairs of RFC 7239, section 4: each a token, and a token or a quoted string. Addresses come without quotes, too.
_PAIR = re.compile(r'([!#$%&\'*+\-.^_`|~\w]+)=(?:([!#$%&\'*+\-.^_`|~\w:\[\]]+)|"((?:[^"\\]|\\.)*)")', re.ASCII)
_ELEMENT = re.compile(rf"[ \t]*{_PAIR.pattern}(?:[ \t]*;[ \t]*{_PAIR.pattern})*[ \t]*;?[ \t]*", re.ASCII)
# So many places are tried as the begin of a hop: no chain of proxies is as long.
_LONGEST = 50
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@attrs.frozen
class Origin:
    """The source of a request. An empty `scheme` or `host` is not known. `port` is 0 if it is not known."""

    address: str
    port: int = 0
    scheme: str = ""
    host: str = ""


@attrs.frozen
class _Hop:
    """The word of one proxy about the request it got: from whom, by which scheme, for which host."""

    node: str = ""
    scheme: str = ""
    host: str = ""


class Proxies:
    """The trusted proxies: addresses, networks, or `unix`. `kind` is the family of headers that they set."""

    def __init__(self, names: Sequence[str], kind: Kind = "x-forwarded") -> None:
        self._trusts_unix = UNIX in names
        self._networks = [_read_network(name) for name in names if name != UNIX]
        self._kind = kind

    def trusts(self, address: str) -> bool:
        """Return whether the address is a trusted proxy; the empty one is that of a Unix socket."""
        if not address:
            return self._trusts_unix
        try:
            found = _unmap(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def find_origin(self, peer: tuple[str, int], headers: Headers) -> Origin:
        """Return the origin of a request that a trusted proxy, `peer`, passed on.

        A hop that is not an address (`unknown`, a name, garbage) is not believed: the proxy that told it counts as the
        client. If all hops are trusted, the first is the client.
        """
        hops = _read_forwarded(headers) if self._kind == "forwarded" else _read_x_forwarded(headers)
        address, port = peer
        told: _Hop | None = None
        for hop in hops:
            node = _read_node(hop.node)
            # The nearest proxy is trusted: its word about scheme and host counts even without an address.
            told = hop if told is None or node is not None else told
            if node is None:
                break
            address, port = node
            if not self.trusts(address):
                break
        told = told or _Hop()
        return Origin(address, port, _SCHEMES.get(told.scheme.lower(), ""), told.host if is_host(told.host) else "")


def normalize(address: str) -> str:
    """Return the address in its usual form; an IPv4 address within IPv6 as IPv4."""
    try:
        return str(_unmap(address))
    except ValueError:
        return address


def _unmap(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address)
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def _read_network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name)
    except ValueError as exc:
        hint = "Give an address (10.0.0.1), a network (10.0.0.0/8, fd00::/8), or unix for a Unix socket."
        raise UsageError(f"trusted proxy {name!r} is not an address: {exc}", hint=hint) from exc


def _read_node(text: str) -> tuple[str, int] | None:
    """Return address and port; `None` for anything else."""
    found = _NODE.fullmatch(text)
    address, port = (found["six"] or found["four"] or "", int(found["port"] or 0)) if found else (text, 0)
    if port > 65_535:
        return None
    try:
        return str(_unmap(address)), port
    except ValueError:
        return None


def _read_x_forwarded(headers: Headers) -> Iterator[_Hop]:
    """Yield the hops of X-Forwarded-For, the nearest first.

    Scheme and host belong to the hops if there are as many of them. A list of another length is the nearest proxy's.
    """
    nodes, schemes, hosts = (
        _split_list(headers, name) for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    )
    for place, node in enumerate(nodes[:_LONGEST] or [""]):
        yield _Hop(node, _pick(schemes, place, len(nodes)), _pick(hosts, place, len(nodes)))


def _pick(values: Sequence[str], place: int, count: int) -> str:
    if not values:
        return ""
    return values[place] if len(values) == count else values[0]


def _split_list(headers: Headers, name: bytes) -> list[str]:
    """Return the elements of a list, the last first, without empty ones (RFC 9110, 5.6.1)."""
    text = _join(headers, name)
    return [found for each in reversed(text.split(",")) if (found := each.strip(" \t"))] if text else []


def _join(headers: Headers, name: bytes) -> str:
    return b",".join(value for key, value in headers if key == name).decode("latin-1")


def _read_forwarded(headers: Headers) -> Iterator[_Hop]:
    """Yield the hops of Forwarded (RFC 7239), the nearest first, up to one that is not valid.

    The header is read from its end: nothing that a client wrote before, such as a quotation without an end, makes the
    proxy's own part unreadable.
    """
    text = _join(headers, b"forwarded")
    end = start = len(text)
    for _ in range(_LONGEST):
        start = text.rfind(",", 0, start)
        element = text[start + 1 : end]
        if _ELEMENT.fullmatch(element):
            yield _make_hop(element)
            end = start
        elif not element.strip(" \t"):
            end = start
        if start < 0:
            break
    if end > 0:
        yield _Hop()


def _make_hop(element: str) -> _Hop:
    pairs = {name.lower(): token or re.sub(r"\\(.)", r"\1", quoted) for name, token, quoted in _PAIR.findall(element)}
    return _Hop(pairs.get("for", ""), pairs.get("proto", ""), pairs.get("host", ""))
