"""Reads `chroma://` URLs. Pure."""

from __future__ import annotations

import re
from functools import partial

import attrs

from agno_rt.errors import UsageError
from agno_rt.wire.server_url import OptionReader, format_host, read_count, read_seconds, read_server_url, read_text

__all__ = ["Address", "read_url"]

_HINT = "Write chroma://HOST:8000, chroma://:TOKEN@HOST:8000/TENANT/DATABASE, or chromas://HOST for TLS."
# Chroma allows these characters in the name of a collection, at most 512.
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@attrs.frozen
class Address:
    """The server of a store, and the way to use the server.

    Attributes:
        host: the server's name or IP address
        port: the server's port
        tenant: the tenant of the database
        database: the database of the collections
        username: the name for Basic authentication; `None` to send the password as a token
        password: the password, or the token for `x-chroma-token`
        tls: encrypt the connection, and verify the server's certificate and name
        ca: a file with the certificates of authorities to trust, in place of the system's
        prefix: the beginning of the collections' names; stores with different prefixes know nothing of each other
        timeout: the seconds for a request, with all attempts
        connections: the most connections
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tenant: str = "default_tenant"
    database: str = "default_database"
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    prefix: str = "agno"
    timeout: float = 30.0
    connections: int = 8

    @property
    def origin(self) -> str:
        """The beginning of every request's address."""
        return f"{'https' if self.tls else 'http'}://{format_host(self.host)}:{self.port}"

    def __str__(self) -> str:
        scheme, host = "chromas" if self.tls else "chroma", format_host(self.host)
        return f"{scheme}://{host}:{self.port}/{self.tenant}/{self.database}"


def read_url(url: str) -> Address:
    """Return the address of a URL. Raises `UsageError` that does not show the URL's password."""
    parts = read_server_url(url, "Chroma", ("chroma", "chromas"), _OPTIONS, hint=_HINT)
    if len(parts.path) not in (0, 2):
        raise UsageError(f"a Chroma URL has the path {'/'.join(parts.path)!r}", hint=_HINT)
    is_tls = parts.scheme == "chromas"
    tenant, database = parts.path or ("default_tenant", "default_database")
    return Address(
        host=parts.host,
        port=parts.port or (443 if is_tls else 8000),
        tenant=tenant,
        database=database,
        username=parts.username,
        password=parts.password,
        tls=is_tls,
        **parts.options,
    )


def _read_prefix(text: str, what: str) -> str:
    if not _PREFIX.fullmatch(text):
        hint = "Give 1 to 100 letters, digits, dots, hyphens and underscores, such as the name of the program."
        raise UsageError(f"{what} is {text!r}", hint=hint)
    return text


_OPTIONS: dict[str, OptionReader] = {
    "prefix": _read_prefix,
    "timeout": read_seconds,
    "connections": partial(read_count, at_least=1),
    "ca": read_text,
}
