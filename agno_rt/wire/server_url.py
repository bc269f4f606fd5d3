"""The URLs of servers that plugins take, such as `redis://ann:secret@HOST:6379/0?timeout=5`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from agno_rt.errors import UsageError, suggest

__all__ = ["OptionReader", "ServerURL", "format_host", "read_count", "read_seconds", "read_server_url", "read_text"]

OptionReader: TypeAlias = Callable[[str, str], Any]
"""Returns the value of an option's text. Raises `UsageError` with the second argument, which names the option."""


@attrs.frozen
class ServerURL:
    """The parts of a server's URL.

    Attributes:
        scheme: the part before the first colon
        host: the server's name or IP address, without brackets
        port: the port, or `None` for the usual one
        path: the names between slashes
        username: the user's name, or `None`
        password: the password or token, or `None`
        options: the values after the question mark, read
    """

    scheme: str
    host: str
    port: int | None
    path: tuple[str, ...]
    username: str | None
    password: str | None = attrs.field(repr=False)
    options: Mapping[str, Any]


def read_server_url(
    url: str, server: str, schemes: Sequence[str], options: Mapping[str, OptionReader], *, hint: str
) -> ServerURL:
    """Return the parts of a URL.

    `server` names the kind of server in errors, and `hint` shows a right URL. Raises `UsageError`, without the URL's
    password, for another scheme, no host, a wrong port, an unknown option, and a value that an option does not take.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UsageError(f"a {server} URL cannot be read: {exc}", hint=hint) from exc
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{shown!r} is not a {server} URL", hint=hint)
    given: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in options:
            raise UsageError(f"unknown option {name!r} of {shown}", hint=suggest("option", name, options))
        given[name] = options[name](value, f"the option {name!r} of {shown}")
    path = tuple(unquote(name) for name in parts.path.split("/") if name)
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return ServerURL(parts.scheme, parts.hostname, port, path, username, password, given)


def format_host(host: str) -> str:
    """Return the host as in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def read_seconds(text: str, what: str) -> float:
    """Read a time of more than 0 seconds. Raises `UsageError` that names `what`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{what} is {text!r}", hint="Give seconds above 0.")
    return seconds


def read_count(text: str, what: str, *, at_least: int = 0) -> int:
    """Read a whole number. Raises `UsageError` that names `what`."""
    if not (text.isascii() and text.isdecimal()) or int(text) < at_least:
        hint = f"Give a whole number of at least {at_least}." if at_least else "Give a whole number."
        raise UsageError(f"{what} is {text!r}", hint=hint)
    return int(text)


def read_text(text: str, what: str) -> str:
    """Return the text."""
    return text
