"""Reads `redis://` URLs. Pure."""

from __future__ import annotations

import re
from functools import partial

import attrs

from agno_rt.errors import UsageError
from agno_rt.upkeep import Retention, parse_age
from agno_rt.wire.server_url import OptionReader, format_host, read_count, read_seconds, read_server_url, read_text

__all__ = ["DEFAULT_PREFIX", "Address", "read_url"]

DEFAULT_PREFIX = "agno"
MOST_PREFIX = 100

_HINT = "Write redis://HOST, redis://:PASSWORD@HOST:6379/0 or rediss://HOST for TLS."
_PREFIX = re.compile(r"[^\s{}\x00-\x1f\x7f]+")


@attrs.frozen
class Address:
    """The server of a store, and the way to use the server.

    Attributes:
        host: the server's name or IP address
        port: the server's port
        db: the number of the database
        username: the name for AUTH; `None` for the default user
        password: the password for AUTH
        tls: encrypt the connection, and verify the server's certificate and name
        ca: a file with the certificates of authorities to trust, in place of the system's
        prefix: the beginning of all keys; stores with different prefixes share a server and know nothing of each other
        timeout: the seconds for a call, with all attempts
        connections: the most connections
        sessions_older_than: the seconds from a session's last change until the session is forgotten
        sessions_keep: the number of sessions to keep
        keep: the number of finished runs to keep
        lease: the seconds of a process's lease
        older_than: the seconds from a finished run's last change until the run is forgotten
    """

    host: str = "127.0.0.1"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    prefix: str = DEFAULT_PREFIX
    timeout: float = 10.0
    connections: int = 4
    sessions_older_than: float | None = None
    sessions_keep: int | None = None
    keep: int | None = None
    older_than: float | None = None
    lease: float = 30.0

    @property
    def keeps(self) -> Retention:
        """The bounds that a look into the store is for. Each write of a session looks for sessions that are too old."""
        return Retention(keep=self.keep, older_than=self.older_than, sessions_keep=self.sessions_keep)

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{format_host(self.host)}:{self.port}/{self.db}"


def read_url(url: str) -> Address:
    """Return the address of a URL. Raises `UsageError` that does not show the URL's password."""
    parts = read_server_url(url, "Redis", ("redis", "rediss"), _OPTIONS, hint=_HINT)
    db = "/".join(parts.path) or "0"
    if not (db.isascii() and db.isdecimal()):
        raise UsageError(f"a Redis URL has the path {db!r}, which is not the number of a database", hint=_HINT)
    return Address(
        host=parts.host,
        port=parts.port or 6379,
        db=int(db),
        username=parts.username,
        password=parts.password,
        tls=parts.scheme == "rediss",
        **parts.options,
    )


def _read_prefix(text: str, what: str) -> str:
    if not _PREFIX.fullmatch(text) or len(text) > MOST_PREFIX:
        hint = f"Give 1 to {MOST_PREFIX} characters without spaces and braces, such as the name of the program."
        raise UsageError(f"{what} is {text!r}", hint=hint)
    return text


_OPTIONS: dict[str, OptionReader] = {
    "prefix": _read_prefix,
    "timeout": read_seconds,
    "connections": partial(read_count, at_least=1),
    "sessions_older_than": parse_age,
    "keep": read_count,
    "sessions_keep": read_count,
    "older_than": parse_age,
    "lease": parse_age,
    "ca": read_text,
}
