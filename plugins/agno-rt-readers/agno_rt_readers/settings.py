"""The settings of readers: the table `[plugins.readers]`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import attrs

from agno_rt.config import read_settings
from agno_rt.errors import ConfigError

__all__ = ["ReaderSettings", "read_reader_settings"]


def _check_number(settings: object, field: Any, value: float) -> None:
    if value <= 0:
        raise ConfigError(f"{field.name} is {value!r}", hint="Give a number above 0.")


def _check_allowed(settings: object, field: Any, allow: tuple[str, ...]) -> None:
    for each in allow:
        if "/" in each:
            try:
                ip_network(each)
            except ValueError as exc:
                hint = 'Write a host such as "wiki.example", or a network such as "10.0.0.0/8".'
                raise ConfigError(f"allow has {each!r}: {exc}", hint=hint) from exc


@attrs.frozen
class ReaderSettings:
    """The limits of readers. Raises `ConfigError` for a number that is not above 0, and for a wrong network.

    Attributes:
        max_bytes: the most bytes of a file or of an answer of a web server
        max_characters: the most characters of the text of a document
        max_pages: the most pages of a PDF and slides of a presentation
        timeout: the most seconds for a web page, with redirects
        redirects: the most redirects of a web page
        allow: hosts and networks beside the public internet for web pages: `("wiki.example", "10.0.0.0/8")`
        user_agent: the name of the program for web servers
    """

    max_bytes: int = attrs.field(default=50_000_000, validator=_check_number)
    max_characters: int = attrs.field(default=20_000_000, validator=_check_number)
    max_pages: int = attrs.field(default=5_000, validator=_check_number)
    timeout: float = attrs.field(default=30.0, validator=_check_number)
    redirects: int = 5
    allow: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_check_allowed)
    user_agent: str = "agno-rt-readers"


def read_reader_settings(settings: Mapping[str, Any]) -> ReaderSettings:
    """Make the settings from a table. Raises `ConfigError`."""
    return read_settings(ReaderSettings, settings, "[plugins.readers]")
