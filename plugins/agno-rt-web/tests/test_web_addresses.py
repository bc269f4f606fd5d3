"""Addresses: nothing beside the public internet is asked, however it is written, resolved or redirected to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from agno_rt_web.addresses import Guard, Prefix, parse_url
from agno_rt_web.errors import AddressRefused, WebError

HOSTS = [
    *("127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
    *("localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166"),
    *("[fd00:ec2::254]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:169.254.169.254]"),
    *("224.0.0.1", "255.255.255.255", "192.0.0.192", "168.63.129.16", "198.18.0.1", "[ff02::1]", "[fec0::1]"),
    "①②⑦.⓪.⓪.①",
]


class Resolver(trio.abc.HostnameResolver):
    """A name server with an answer for each question; the last one stays."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def getaddrinfo(
        self, host: bytes | None, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """Answer."""
        name = (host or b"").decode()
        self.asked.append(name)
        if name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        known = self.answers[name]
        addresses = known.pop(0) if len(known) > 1 else known[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, int(port)))
            for each in addresses
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        """Refuse: nobody asks."""
        raise NotImplementedError


@pytest.fixture
def resolve() -> Callable[[dict[str, list[Sequence[str]]]], Resolver]:
    """Set the name server of the test."""

    def set_resolver(answers: dict[str, list[Sequence[str]]]) -> Resolver:
        resolver = Resolver(answers)
        trio.socket.set_custom_hostname_resolver(resolver)
        return resolver

    return set_resolver


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_a_private_address_is_asked(site: Any, use: Any, host: str) -> None:
    """Decimal, octal, hexadecimal, short, mapped and carried forms of private addresses are refused."""
    [text] = await use("fetch", {"ports": [site.port]}, ("web_fetch", {"url": f"http://{host}:{site.port}/"}))
    assert "not on the public internet" in text or "is not known" in text or "not an address" in text
    assert site.connections == 0


@pytest.mark.parametrize("spec", ["fetch", "http", "feeds", "websearch"])
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["169.254.169.254"], ["93.184.215.14", "127.0.0.1"], ["::1"]])
async def test_names_that_lead_inside_are_refused(
    site: Any, use: Any, resolve: Any, spec: str, addresses: list[str]
) -> None:
    """A name with a private address, also among public ones, is refused by each tool that takes addresses."""
    resolve({"evil.test": [addresses]})
    name = {"fetch": "web_fetch", "http": "http_get", "feeds": "read_feed", "websearch": "extract_web_content"}[spec]
    [text] = await use(spec, {"ports": [site.port]}, (name, {"url": f"http://evil.test:{site.port}/"}))
    assert "evil.test is not on the public internet" in text
    assert site.connections == 0


async def test_a_name_that_changes_its_address_does_not_lead_inside(site: Any, use: Any, resolve: Any) -> None:
    """The connection goes to the address that was checked: the name is not looked up twice for it."""
    resolver = resolve({"evil.test": [["203.0.113.1"], ["127.0.0.1"]]})
    # 203.0.113.1 is for documentation, and so refused; with it allowed, the attempt goes there, and nowhere else.
    settings = {"ports": [site.port], "private": ["203.0.113.0/24"], "stall": 0.2, "retries": 0}
    [text] = await use("fetch", settings, ("web_fetch", {"url": f"http://evil.test:{site.port}/"}))
    assert "evil.test" in text
    assert resolver.asked == ["evil.test"]
    assert site.connections == 0
    again = await use("fetch", settings, ("web_fetch", {"url": f"http://evil.test:{site.port}/"}))
    assert "not on the public internet" in again[0]
    assert site.connections == 0


@pytest.mark.parametrize(
    "target",
    [
        *("http://169.254.169.254/latest/meta-data/", "//[::1]/", "http://2130706433/", "http://localhost/"),
        *("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_x", "http://ann:secret@127.0.0.1/"),
        *("http://[bad", "http://evil.test/", "data:text/plain,x", "http://a b/"),
    ],
)
async def test_a_redirect_does_not_lead_inside(site: Any, use: Any, answer: Any, resolve: Any, target: str) -> None:
    """Each hop is checked as the first address is."""
    inside = [["127.0.0.1"]]
    resolve({"shop.test": inside, "evil.test": inside, "localhost": inside})
    site.answers["/moved"] = answer(status=302, headers={"location": target})
    settings = {"private": ["shop.test"], "retries": 0}
    [text] = await use("fetch", settings, ("web_fetch", {"url": f"http://shop.test:{site.port}/moved"}))
    assert any(words in text for words in ("not on the public", "not a web address", "not an address", "a password"))
    assert len(site.asked) == 1


async def test_a_host_of_the_settings_may_be_private(site: Any, use: Any, answer: Any, resolve: Any) -> None:
    """`private` allows a host by name, with its port or not, or a network; and nothing else."""
    resolve({"wiki.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]})
    site.answers["/"] = answer("hello", headers={"content-type": "text/plain"})
    url = f"http://wiki.test:{site.port}/"
    for private in (["wiki.test"], [f"WIKI.test:{site.port}"], ["127.0.0.0/8"], ["127.0.0.1"]):
        [result] = await use("fetch", {"private": private}, ("web_fetch", {"url": url}))
        assert result["content"] == "hello"
    for private in (["wiki.test:1"], ["10.0.0.0/8"], ["test"], ["127.0.0.2"]):
        [text] = await use("fetch", {"private": private}, ("web_fetch", {"url": url}))
        assert "not on the public internet" in text
    [text] = await use("fetch", {"private": ["wiki.test"]}, ("web_fetch", {"url": url.replace("wiki", "other")}))
    assert "not on the public internet" in text


async def test_ports_of_public_hosts_are_named_by_the_settings(resolve: Any) -> None:
    """A public host is asked at the ports of web servers, and not at those of mail and databases."""
    resolve({"shop.test": [["93.184.215.14"]]})
    guard = Guard((), (80, 443), named=[("api.test", 9000)])
    assert await guard.find_addresses("shop.test", 443) == ["93.184.215.14"]
    for port in (22, 25, 6379, 9000):
        with pytest.raises(AddressRefused, match=f"port {port} of shop.test"):
            await guard.find_addresses("shop.test", port)
    resolve({"api.test": [["93.184.215.14"]]})
    assert await guard.find_addresses("api.test", 9000) == ["93.184.215.14"]
    with pytest.raises(WebError, match="is not known"):
        await guard.find_addresses("missing.test", 80)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://a.test/", "javascript:alert(1)", "", " ", "a.test", "//a.test/", "http://"),
        *("http://a:b@a.test/", "http://a.test@evil.test/", "https://a.test:0/", "https://a.test:99999/", "http://[x"),
        "http://a.test/" + "x" * 5_000,
    ],
)
def test_only_plain_addresses_are_read(url: str) -> None:
    """Other schemes, names and passwords in addresses, and broken addresses are refused before anything is asked."""
    with pytest.raises(AddressRefused):
        parse_url(url)


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        (
            "https://api.test/v1",
            [
                "https://api.test/v1",
                "https://API.test:443/v1/a",
                "https://api.test./v1/?q=1",
                "https://api.test/v1/a/../b",
            ],
            [
                *("https://api.test/v10", "http://api.test/v1", "https://api.test:8443/v1", "https://api.test.evil/v1"),
                *("https://evil.test/https://api.test/v1", "https://api.test/v1/../admin", "https://api.test/V1"),
                *(
                    "https://api.test/v1/%2e%2e/admin",
                    "https://api.test/v1/%252e%252e/admin",
                    "https://api.test/v1\\..\\x",
                    "https://api.test/v1/..;a=b/x",
                ),
            ],
        ),
        ("https://api.test", ["https://api.test/", "https://api.test/a", "https://api.test?q"], ["https://xapi.test/"]),
        ("http://[::1]:8000/", ["http://[::1]:8000/x"], ["http://[::1]/x", "http://[::2]:8000/x"]),
    ],
)
def test_a_prefix_covers_whole_parts(prefix: str, inside: list[str], outside: list[str]) -> None:
    """A prefix is compared by scheme, host, port and whole parts of the path, not letter by letter."""
    found = Prefix.parse(prefix)
    for url in inside:
        assert found.covers(parse_url(url)), url
    for url in outside:
        assert not found.covers(parse_url(url)), url


async def test_only_allowed_addresses_are_asked(site: Any, use: Any, answer: Any) -> None:
    """With an allow list, nothing else is asked, also not after a redirect; the model is told what is allowed."""
    site.answers |= {
        "/api/a": answer({"a": 1}),
        "/api/moved": answer(status=302, headers={"location": "/admin"}),
        "/admin": answer({"secret": 1}),
    }
    results = await use(
        f"http:{site.url}/api https://other.test/",
        site.settings(),
        ("http_get", {"url": f"{site.url}/api/a"}),
        ("http_get", {"url": f"{site.url}/admin"}),
        ("http_get", {"url": f"{site.url}/api/../admin"}),
        ("http_get", {"url": f"{site.url}/api/moved"}),
    )
    assert results[0]["body"] == '{"a":1}'
    assert all("is not an allowed address" in text and "https://other.test/" in text for text in results[1:])
    assert [each.target for each in site.asked] == ["/api/a", "/api/moved"]
