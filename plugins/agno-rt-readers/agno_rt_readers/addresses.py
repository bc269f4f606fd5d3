"""The addresses for web pages: the public internet, and the exceptions of the settings.

The host of a page is looked up once, and the connection goes to the checked address: a change of the name's address a
moment later cannot lead into your own network.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import trio

from agno_rt.errors import UsageError
from agno_rt.wire.public_addresses import is_public

__all__ = ["find_address"]


def _is_allowed(host: str, address: IPv4Address | IPv6Address, allow: Sequence[str]) -> bool:
    if is_public(address) or host in allow or str(address) in allow:
        return True
    plain = getattr(address, "ipv4_mapped", None) or address
    networks = (ip_network(each) for each in allow if "/" in each)
    return any(plain.version == network.version and plain in network for network in networks)


async def find_address(source: str, host: str, port: int, allow: Sequence[str]) -> str:
    """Return an address of the host to connect to.

    Raises `UsageError` for an unknown host, and for a host with any forbidden address.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        hint = "Check the address, and the connection to the internet."
        raise UsageError(f"{source} cannot be read: the host {host!r} is unknown", hint=hint) from exc
    addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    for address in addresses:
        if not _is_allowed(host, ip_address(address), allow):
            hint = f'If it is meant, allow it: [plugins.readers] allow = ["{host}"].'
            problem = f"{source} cannot be read: {host} is {address}, which is not on the public internet"
            raise UsageError(problem, hint=hint)
    return addresses[0]
