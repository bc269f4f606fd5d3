"""Addresses that tools may ask: prefixes of URLs, and a guard for the address of each connection.

The guard resolves the host of a connection, and the connection goes to the checked address. So another answer of the
name server a moment later cannot lead into your own network.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote

import attrs
import httpx2
import trio

from agno_rt.wire.public_addresses import is_public
from agno_rt_web.errors import AddressRefused, WebError

__all__ = ["Guard", "Prefix", "parse_url"]

LONGEST = 4_000
"""The most characters of an address."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")

_PARAMETERS = re.compile(r"/\.\.;[^/]*")

PORTS = {"http": 80, "https": 443}


def parse_url(text: str) -> httpx2.URL:
    """Return the address without its fragment. Raises `AddressRefused` for anything but a plain HTTP address."""
    hint = "Give a whole address that begins with https:// or http://."
    if len(text) > LONGEST:
        raise AddressRefused(f"the address has {len(text):,} characters, and {LONGEST:,} are allowed", hint=hint)
    try:
        url = httpx2.URL(text.strip())
        is_host = _HOST.fullmatch(url.raw_host.decode("ascii")) is not None
        fine = url.scheme in PORTS and is_host and (url.port is None or 0 < url.port < 65_536)
    except (httpx2.InvalidURL, UnicodeError, ValueError) as exc:
        raise AddressRefused(f"{text[:200]!r} is not an address: {exc}", hint=hint) from None
    if not fine:
        raise AddressRefused(f"{text[:200]!r} is not a web address", hint=hint)
    if url.userinfo:
        raise AddressRefused(f"the address of {url.host} has a name or a password", hint="Leave them out.")
    return url.copy_with(fragment=None)


def port_of(url: httpx2.URL) -> int:
    """Return the port of an address."""
    return url.port or PORTS[url.scheme]


def _plain_host(host: str) -> str:
    """Return a host as it is compared: in small letters, and without the dot of the root."""
    return host.lower().rstrip(".").strip("[]")


@attrs.frozen
class Prefix:
    """The beginning of addresses: scheme, host, port, and whole parts of the path."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Return the prefix of a text. Raises `AddressRefused` for another text."""
        url = parse_url(text)
        return cls(url.scheme, _plain_host(url.host), port_of(url), _plain_path(url))

    def covers(self, url: httpx2.URL) -> bool:
        """Return whether an address begins with the prefix. `/v1` covers `/v1/users`, and not `/v10`."""
        if (url.scheme, _plain_host(url.host), port_of(url)) != (self.scheme, self.host, self.port):
            return False
        path = _plain_path(url)
        return path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")


def _plain_path(url: httpx2.URL) -> str:
    """Return the path as a server may understand it: escapes undone, and `..` resolved."""
    path = url.raw_path.decode("ascii").partition("?")[0]
    # Twice, since some servers undo escapes twice; then `%252e%252e` is `..` for them.
    path = unquote(unquote(path)).replace("\\", "/")
    # Some servers take ";..." off a part of the path, and then resolve "..".
    path = _PARAMETERS.sub("/..", path)
    plain = posixpath.normpath(path or "/")
    plain = "/" + plain.lstrip("/")
    return plain + "/" if path.endswith("/") and plain != "/" else plain


class Guard:
    """Decides on the addresses of connections.

    `private` has hosts and networks beside the public internet, and `trusted` hosts with ports that may be anywhere,
    because the settings name them. Public hosts are asked at `ports`, and at the ports of `named` hosts.
    """

    def __init__(
        self,
        private: Iterable[str] = (),
        ports: Collection[int] = (80, 443),
        *,
        trusted: Collection[tuple[str, int]] = (),
        named: Collection[tuple[str, int]] = (),
    ) -> None:
        self._networks = [ip_network(each) for each in private if "/" in each]
        self._hosts: dict[str, set[int]] = {}
        for each in private:
            if "/" not in each:
                host, port = _split_host(each)
                self._hosts.setdefault(host, set()).add(port)
        self._ports = frozenset(ports)
        self._trusted = frozenset(trusted)
        self._named = frozenset(named)

    async def find_addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, to connect to. Raises `AddressRefused` if any of them is not allowed."""
        name = _plain_host(host)
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise WebError(f"the host {name[:100]!r} is not known", hint="Check the address.") from None
        addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
        if (name, port) in self._trusted:
            return addresses
        for each in addresses:
            address = ip_address(each)
            if not self._is_private(name, address, port):
                self._check_public(name, address, port)
        return addresses

    def _is_private(self, name: str, address: IPv4Address | IPv6Address, port: int) -> bool:
        """Return whether the settings allow an address beside the public internet."""
        plain = getattr(address, "ipv4_mapped", None) or address
        for known in (name, str(plain)):
            if self._hosts.get(known, set()) & {0, port}:
                return True
        return any(plain.version == network.version and plain in network for network in self._networks)

    def _check_public(self, name: str, address: IPv4Address | IPv6Address, port: int) -> None:
        # The address itself is not told: names of a network of your own are nobody's business.
        if not is_public(address):
            hint = "Only public addresses may be asked. If it is meant, its operator can add it to private in "
            raise AddressRefused(f"{name} is not on the public internet", hint=hint + "[plugins.web].")
        if port not in self._ports and (name, port) not in self._named:
            hint = "Use another address. The operator can add the port to ports in [plugins.web]."
            raise AddressRefused(f"port {port} of {name} may not be asked", hint=hint)


def _split_host(text: str) -> tuple[str, int]:
    """Return host and port of an entry of `private`; port 0 for every port."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        return _plain_host(host), int(port)
    return _plain_host(text), 0
