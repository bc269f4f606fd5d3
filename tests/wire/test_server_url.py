"""URLs of servers, as plugins of memory and knowledge read them."""

from __future__ import annotations

from functools import partial

import pytest

from agno_rt.errors import UsageError
from agno_rt.wire.server_url import (
    OptionReader,
    ServerURL,
    format_host,
    read_count,
    read_seconds,
    read_server_url,
    read_text,
)

OPTIONS: dict[str, OptionReader] = {
    "timeout": read_seconds,
    "connections": partial(read_count, at_least=1),
    "keep": read_count,
    "ca": read_text,
}
HINT = "Write shelf://HOST."


def read(url: str) -> ServerURL:
    """Read a URL of the shelf, a server that tests made up."""
    return read_server_url(url, "shelf", ("shelf", "shelves"), OPTIONS, hint=HINT)


def test_reads_all_parts() -> None:
    """Credentials and path are decoded, options become values, and IPv6 addresses lose their brackets."""
    url = read("shelves://a%40b:p%2Fq@[::1]:70/one/t%20wo?timeout=1.5&connections=2&keep=0&ca=/etc/ca.pem")

    assert (url.scheme, url.host, url.port, url.path) == ("shelves", "::1", 70, ("one", "t wo"))
    assert (url.username, url.password) == ("a@b", "p/q")
    assert url.options == {"timeout": 1.5, "connections": 2, "keep": 0, "ca": "/etc/ca.pem"}
    assert format_host(url.host) == "[::1]"


def test_takes_a_host_alone() -> None:
    """All but the host may be left out."""
    url = read("shelf://db.example.com")

    assert url == ServerURL("shelf", "db.example.com", None, (), None, None, {})
    assert format_host(url.host) == "db.example.com"


@pytest.mark.parametrize(
    ("url", "problem", "hint"),
    [
        ("shelf://:secret@host:port", "a shelf URL cannot be read", HINT),
        ("http://:secret@host", "'http://host' is not a shelf URL", HINT),
        ("shelf://:secret@/path", "'shelf:///path' is not a shelf URL", HINT),
        ("shelf://:secret@host?timout=1", "unknown option 'timout' of shelf://host", "timeout"),
        ("shelf://:secret@host?timeout=soon", "the option 'timeout' of shelf://host is 'soon'", "above 0"),
        ("shelf://:secret@host?timeout=inf", "the option 'timeout' of shelf://host is 'inf'", "above 0"),
        ("shelf://:secret@host?connections=0", "the option 'connections' of shelf://host is '0'", "at least 1"),
        ("shelf://:secret@host?keep=-1", "the option 'keep' of shelf://host is '-1'", "whole number"),
        ("shelf://:secret@host?keep=²", "the option 'keep' of shelf://host is '²'", "whole number"),
    ],
)
def test_refuses_what_it_cannot_read(url: str, problem: str, hint: str) -> None:
    """An error names the place and the remedy, and never has the password."""
    with pytest.raises(UsageError) as caught:
        read(url)

    assert problem in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_hides_the_password_when_shown() -> None:
    """The value can be logged."""
    assert "secret" not in repr(read("shelf://ann:secret@host"))
