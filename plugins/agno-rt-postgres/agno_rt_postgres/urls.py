"""Reads URLs such as `postgresql://ann:secret@db.example.com/agents?schema=agno_rt&pool=8`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import attrs

from agno_rt.errors import UsageError
from agno_rt.upkeep import KEEP_ALL, Retention, parse_age, parse_bound

__all__ = ["Settings", "hide_password", "parse_url"]

MOST_POOL = 100
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@attrs.frozen
class Settings:
    """The options of a URL.

    Attributes:
        conninfo: the URL for libpq, without the options of this plugin
        place: the server and database for messages, without user and password
        schema: the schema of the tables; several projects can share a database
        pool: the most connections that stay open for operations; one more waits for notifications, one holds locks
        timeout: seconds that the server may take to answer or to accept a connection
        patience: seconds to try again while a server that was there is away, as during its restart
        lease: seconds that a process may be silent before others take over its runs
        tables: the package with the migrations of the tables
        keeps: the finished runs and the sessions to keep; others are forgotten from time to time
        synchronous: `full` commits wait for the disk; with `normal`, a crash of the server loses the last ones
        migrate: create and upgrade the tables at the first use; `False` leaves that to `agno-rt memory migrate`
    """

    conninfo: str
    place: str
    schema: str = "agno_rt"
    pool: int = 8
    timeout: float = 30.0
    patience: float = 10.0
    lease: float = 15.0
    keeps: Retention = KEEP_ALL
    synchronous: Literal["full", "normal"] = "full"
    migrate: bool = True
    tables: str = "agno_rt_postgres.migrations"


_LIBPQ = {
    "application_name": "agno-rt",
    # A host that has gone without a word is noticed in about a minute instead of two hours.
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""Options for libpq, unless the URL has others."""


def parse_url(url: str) -> Settings:
    """Return the settings of a URL. Raises `UsageError` for a wrong option, or a value that an option does not take."""
    parts = urlsplit(url)
    # A password with / ? # @ would be cut there, and libpq's errors and `place` would show the pieces.
    is_cut = parts.netloc.count("@") > 1 or "@" in parts.path or "@" in parts.fragment
    if is_cut or not url.partition(":")[2].startswith("//"):
        hint = "Write postgresql://USER@HOST/DATABASE, or postgresql:///DATABASE for a local socket."
        hint += " In a password, / ? # @ are %2F %3F %23 %40."
        raise UsageError(f"{hide_password(url)!r} is not the URL of a PostgreSQL database", hint=hint)
    own: dict[str, Any] = {}
    others: dict[str, str] = {}
    bounds: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _BOUNDS:
            bounds[name] = parse_bound(name, value, repr(hide_password(url)))
        elif name in _OPTIONS:
            own[name] = _read_option(url, name, value)
        else:
            others[name] = value
    conninfo = urlunsplit(
        ("postgresql", parts.netloc, parts.path, urlencode({**_LIBPQ, **others}, quote_via=quote), "")
    )
    place = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Settings(conninfo, place, keeps=Retention(**bounds) if bounds else KEEP_ALL, **own)


def hide_password(url: str) -> str:
    """Return the URL without the user's password."""
    # Up to the last @: a password that is not written in percent signs may have any other letter, too.
    return re.sub(r"(//[^/?#:@]*):.*@", r"\1:...@", url)


def _read_option(url: str, name: str, value: str) -> Any:
    read, hint = _OPTIONS[name]
    try:
        return read(value)
    except ValueError:
        problem = f"{value!r} is not a value of the option {name!r} in {hide_password(url)!r}"
        raise UsageError(problem, hint=hint) from None


def _read_schema(value: str) -> str:
    if _SCHEMA.fullmatch(value) is None:
        raise ValueError
    return value


def _read_pool(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST_POOL:
        raise ValueError
    return int(value)


def _read_timeout(value: str) -> float:
    if not 0 < float(value) < 86_400:
        raise ValueError
    return float(value)


def _read_lease(value: str) -> float:
    """Return seconds, given alone or as an age, as in the URLs of other stores."""
    try:
        return _read_timeout(value.removesuffix("s"))
    except ValueError:
        try:
            return parse_age(value, "lease")
        except UsageError as exc:
            raise ValueError from exc


def _read_patience(value: str) -> float:
    if not 0 <= float(value) < 86_400:
        raise ValueError
    return float(value)


def _read_synchronous(value: str) -> str:
    if value not in ("full", "normal"):
        raise ValueError
    return value


def _read_switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise ValueError
    return value == "on"


_BOUNDS = frozenset(field.name for field in attrs.fields(Retention))

_OPTIONS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "schema": (_read_schema, "Give a name of small letters, digits and underscores: schema=agno_rt."),
    "pool": (_read_pool, f"Give a number of connections, 1 to {MOST_POOL}: pool=8."),
    "timeout": (_read_timeout, "Give a number of seconds: timeout=30."),
    "patience": (_read_patience, "Give a number of seconds, or 0: patience=10."),
    "lease": (_read_lease, "Give a number of seconds, or an age: lease=15, lease=2m."),
    "synchronous": (_read_synchronous, "Give full or normal: synchronous=normal."),
    "migrate": (_read_switch, "Give on or off: migrate=off."),
}
