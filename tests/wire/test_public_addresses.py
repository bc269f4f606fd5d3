"""Which IP addresses belong to the public internet."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from agno_rt.wire.public_addresses import is_public


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2606:2800:220:1::1", "::ffff:8.8.8.8"]
)
def test_ordinary_addresses_are_public(address: str) -> None:
    """Addresses of both kinds count, also those of IPv4 written as IPv6."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param("127.0.0.1 ::1 0.0.0.0 :: ::ffff:127.0.0.1", id="this host"),
        pytest.param("10.1.2.3 172.16.0.1 192.168.1.1 100.64.0.1 ::ffff:192.168.0.1 fc00::1 fd00::1", id="private"),
        pytest.param("169.254.1.1 169.254.169.254 fe80::1 fec0::1", id="local link and site"),
        pytest.param("224.0.0.1 ff02::1", id="groups"),
        pytest.param("192.0.0.192 168.63.129.16", id="metadata of clouds"),
        pytest.param("240.0.0.1 255.255.255.255 192.88.99.1 2001:db8::1 3fff::1 5f00::1 100::1", id="special"),
        pytest.param("64:ff9b::a00:1 64:ff9b:1::a00:1 2002:a00:1:: 2001:0:1::1", id="carriers of IPv4"),
    ],
)
def test_others_are_not(addresses: str) -> None:
    """Nobody outside may be led to these."""
    for each in addresses.split():
        assert not is_public(ip_address(each)), each
