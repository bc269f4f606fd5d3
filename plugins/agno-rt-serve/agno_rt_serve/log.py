"""The log of the server: structlog's.

Paths, errors and tools' texts come from elsewhere. No character in them can steer the terminal that shows the log, or
pass for a separate line.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

__all__ = ["load", "write"]

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def load() -> None:
    """Load structlog now: loading it at the first line would keep other requests waiting."""
    _get_logger()


def write(level: Literal["info", "warning", "error"], event: str, **values: object) -> None:
    """Write a line; `exception` is a text that may have several lines."""
    cleaned = {name: _escape_steering(value) if isinstance(value, str) else value for name, value in values.items()}
    if isinstance(exception := values.get("exception"), str):
        cleaned["exception"] = "\n".join(map(_escape_steering, exception.split("\n")))
    getattr(_get_logger(), level)(event, **cleaned)


def _escape_steering(text: str) -> str:
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@functools.cache
def _get_logger() -> Any:
    import structlog  # for servers, and not for `agno-rt serve --help`

    return structlog.get_logger("agno_rt.serve")
