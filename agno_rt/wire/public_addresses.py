"""Which IP addresses belong to the public internet, for programs that connect where others tell them to. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["is_public"]

_CARRIERS = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Networks of IPv6 that carry addresses of IPv4, also private ones."""

_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "100::/64", "5f00::/16", "3fff::/20")))
"""Networks with a purpose of their own, of which some Pythons say that they are public.

https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry; `192.0.0.192` is the
metadata of Oracle's cloud.
"""

_METADATA = frozenset({ip_address("168.63.129.16")})
"""Addresses that count as public, and belong to the machines of a cloud: Azure's host agent.

https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
"""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address belongs to the public internet: not to a host, a local network, or a group."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _CARRIERS):
            return False
    if address in _METADATA or any(address.version == each.version and address in each for each in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
