"""Requests through proxies: whose word counts about the client, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest
from agno_rt_serve.http.asgi import Receive, Scope, Send
from agno_rt_serve.http.proxies import Proxies

from agno_rt.errors import UsageError

PROXY = "127.0.0.1"
TRUSTED = (PROXY, "10.0.0.0/8", "fd00::/8")


class Seen:
    """An application that notes the scopes of its requests."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.scopes.append(scope)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})


async def ask(served: Any, *headers: str, address: str = PROXY) -> Any:
    async with await served.dial(address) as wire:
        await wire.send("\r\n".join(["GET / HTTP/1.1", "Host: inner", *headers, "", ""]).encode("latin-1"))
        return await wire.answer()


def find(*headers: str, kind: Any = "x-forwarded", peer: str = PROXY) -> Any:
    pairs = [
        (name.lower().encode(), value.strip().encode("latin-1"))
        for name, _, value in (h.partition(":") for h in headers)
    ]
    return Proxies(TRUSTED, kind).find_origin((peer, 4_000), pairs)


FOR = "X-Forwarded-For: "
CLIENTS = [
    ("one hop", [FOR + "192.0.2.1"], "192.0.2.1", 0),
    ("the nearest that is not trusted", [FOR + "203.0.113.9, 192.0.2.1, 10.0.0.1"], "192.0.2.1", 0),
    ("forged entries before", [FOR + "127.0.0.1, 10.0.0.1, 198.51.100.1, 192.0.2.1"], "192.0.2.1", 0),
    ("forged in a line of its own", [FOR + "198.51.100.1", FOR + "192.0.2.1"], "192.0.2.1", 0),
    ("all trusted: the first", [FOR + "10.0.0.3, 10.0.0.2, 10.0.0.1"], "10.0.0.3", 0),
    ("a port", [FOR + "192.0.2.1:5678"], "192.0.2.1", 5678),
    ("a trusted hop with a port", [FOR + "192.0.2.1, 10.0.0.1:80"], "192.0.2.1", 0),
    ("IPv6", [FOR + "2001:DB8::0:1"], "2001:db8::1", 0),
    ("IPv6 in brackets", [FOR + "[2001:db8::1]"], "2001:db8::1", 0),
    ("IPv6 in brackets with a port", [FOR + "[2001:db8::1]:5678, [fd00::1]:80"], "2001:db8::1", 5678),
    ("IPv4 within IPv6", [FOR + "192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1", 0),
    ("blanks and empty entries", [FOR + " ,\t192.0.2.1 ,, 10.0.0.1\t, "], "192.0.2.1", 0),
    ("an empty list", [FOR + " , "], PROXY, 4_000),
    ("no header", [], PROXY, 4_000),
    ("garbage from the client", [FOR + "<script>, 192.0.2.1"], "192.0.2.1", 0),
    ("garbage from a trusted hop", [FOR + "192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1", 0),
    ("a port that is none", [FOR + "192.0.2.1:99999"], PROXY, 4_000),
    ("a name", [FOR + "localhost"], PROXY, 4_000),
    ("a header of another family", ["Forwarded: for=198.51.100.1"], PROXY, 4_000),
]
FORWARDED = [
    ("one hop", ["Forwarded: for=192.0.2.1"], ("192.0.2.1", 0, "", "")),
    (
        "all of it",
        ['Forwarded: For="192.0.2.1:5678";Proto=HTTPS;host=Example.com;by=_x'],
        ("192.0.2.1", 5678, "https", "Example.com"),
    ),
    ("IPv6", ['Forwarded: for="[2001:db8::1]:443"'], ("2001:db8::1", 443, "", "")),
    (
        "hops",
        ["Forwarded: for=198.51.100.1;proto=http, for=192.0.2.1;proto=https, for=10.0.0.1;proto=http"],
        ("192.0.2.1", 0, "https", ""),
    ),
    ("lines", ["Forwarded: for=198.51.100.1", "Forwarded: for=192.0.2.1"], ("192.0.2.1", 0, "", "")),
    ("blanks", ["Forwarded:  for=192.0.2.1 ; proto=https ,, for=10.0.0.1 "], ("192.0.2.1", 0, "https", "")),
    ("hidden", ["Forwarded: for=192.0.2.1, for=_hidden;proto=https"], (PROXY, 4_000, "https", "")),
    ("unknown", ["Forwarded: for=unknown"], (PROXY, 4_000, "", "")),
    ("a quotation without an end before", ['Forwarded: for="198.51.100.1, for=192.0.2.1'], ("192.0.2.1", 0, "", "")),
    (
        "a comma in a quotation",
        ['Forwarded: for=192.0.2.1;host="a,for=198.51.100.1"'],
        ("192.0.2.1", 0, "", "a,for=198.51.100.1"),
    ),
    ("an escaped quotation", ['Forwarded: for=192.0.2.1;host="a\\"b,for=198.51.100.1"'], ("192.0.2.1", 0, "", "")),
    ("garbage", ["Forwarded: what"], (PROXY, 4_000, "", "")),
    ("a header of the other family", [FOR + "198.51.100.1"], (PROXY, 4_000, "", "")),
]


@pytest.mark.parametrize(("headers", "address", "port"), [row[1:] for row in CLIENTS], ids=[row[0] for row in CLIENTS])
def test_x_forwarded_for(headers: list[str], address: str, port: int) -> None:
    """The client is the nearest hop that is not trusted, in every way that proxies write it."""
    found = find(*headers)

    assert (found.address, found.port) == (address, port)


@pytest.mark.parametrize(("headers", "origin"), [row[1:] for row in FORWARDED], ids=[row[0] for row in FORWARDED])
def test_forwarded(headers: list[str], origin: tuple[str, int, str, str]) -> None:
    """Forwarded (RFC 7239) names client, scheme and host for each hop; it is read from its end."""
    found = find(*headers, kind="forwarded")

    assert (found.address, found.port, found.scheme, found.host) == origin


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        (["X-Forwarded-Proto: https", "X-Forwarded-Host: example.com:8443"], "https", "example.com:8443"),
        ([FOR + "192.0.2.1, 10.0.0.1", "X-Forwarded-Proto: https, http"], "https", ""),
        ([FOR + "198.51.100.1, 192.0.2.1", "X-Forwarded-Proto: https"], "https", ""),
        (["X-Forwarded-Proto: wss"], "https", ""),
        (["X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b"], "", ""),
    ],
)
def test_scheme_and_host(headers: list[str], scheme: str, host: str) -> None:
    """Scheme and host are the client's hop's if there is one for each hop; what is not valid is left out."""
    found = find(*headers)

    assert (found.scheme, found.host) == (scheme, host)


def test_many_hops_cost_little() -> None:
    """A header of thousands of hops is read at its end alone."""
    found = find(FOR + "10.0.0.1," * 3_000 + "10.0.0.1")
    assert found.address == "10.0.0.1"
    assert find("Forwarded: " + '",' * 10_000 + "for=192.0.2.1", kind="forwarded").address == "192.0.2.1"
    assert find("Forwarded: for=192.0.2.1" + ',"' * 10_000, kind="forwarded").address == PROXY


def test_a_wrong_name() -> None:
    """A proxy that is not an address is refused, with the forms to use."""
    with pytest.raises(UsageError, match="trusted proxy 'nginx'"):
        Proxies(["nginx"])


async def test_the_application_and_the_log_see_the_client(serve: Any) -> None:
    """From a trusted proxy, client, scheme, host and request id are the client's, in the application and the log."""
    app = Seen()
    accesses: list[Any] = []
    served = await serve(app, accesses=accesses, trusted_proxies=TRUSTED)
    told = (FOR + "192.0.2.1:5678", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.com", "X-Request-ID: r-1")
    answer = await ask(served, *told)
    ill = await ask(served, "X-Request-ID: a b")

    scope, other = app.scopes
    assert (scope["client"], scope["scheme"]) == (("192.0.2.1", 5678), "https")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"example.com"]
    assert other["client"][0] == PROXY
    assert [each.client for each in accesses] == ["192.0.2.1", PROXY]
    assert answer.headers["x-request-id"] == scope["state"]["request_id"] == accesses[0].request.id == "r-1"
    assert ill.headers["x-request-id"] not in ("", "a b")
    assert accesses[0].sent > 50


async def test_nobody_else_is_believed(serve: Any) -> None:
    """The same headers from another peer change nothing: neither the client, nor the host, nor the request's id."""
    app = Seen()
    accesses: list[Any] = []
    served = await serve(app, accesses=accesses, trusted_proxies=TRUSTED)
    told = (FOR + "192.0.2.1", "Forwarded: for=192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.com")
    answer = await ask(served, *told, "X-Request-ID: r-1", address="127.0.0.2")

    (scope,) = app.scopes
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.2", "http")
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"inner"]
    assert accesses[0].client == "127.0.0.2"
    assert answer.headers["x-request-id"] != "r-1"


async def test_requests_of_one_connection_have_their_own_clients(serve: Any) -> None:
    """A proxy's connection carries requests of many clients, also with the same bytes around the address."""
    app = Seen()
    served = await serve(app, trusted_proxies=TRUSTED)
    async with await served.dial() as wire:
        for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", ""):
            header = f"X-Forwarded-For: {client}\r\n" if client else ""
            await wire.send(f"GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n".encode())
            await wire.answer()

    assert [scope["client"][0] for scope in app.scopes] == ["192.0.2.1", "192.0.2.1", "192.0.2.2", PROXY]


async def test_a_trusted_proxy_has_no_bound(serve: Any) -> None:
    """Connections of a trusted proxy are not one client's."""
    served = await serve(Seen(), trusted_proxies=TRUSTED, max_per_client=1)
    async with await served.dial() as one, await served.dial() as two:
        for wire in (one, two):
            await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await wire.answer()).status == 200
