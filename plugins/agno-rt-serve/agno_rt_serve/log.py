"""The log of the server: structlog's.

Paths, errors and what tools say come from elsewhere: nothing in them can steer the terminal that shows the log, or pass
for a line of its own.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

__all__ = ["load", "write"]

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def load() -> None:
    """Load structlog now: with the first line, it would keep other requests waiting."""
    _logger()


def write(level: Literal["info", "warning", "error"], event: str, **values: object) -> None:
    """Write a line; `exception` is a text that may have several."""
    cleaned = {name: _clean(value) if isinstance(value, str) else value for name, value in values.items()}
    if isinstance(exception := values.get("exception"), str):
        cleaned["exception"] = "\n".join(map(_clean, exception.split("\n")))
    getattr(_logger(), level)(event, **cleaned)


def _clean(text: str) -> str:
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


@functools.cache
def _logger() -> Any:
    import structlog  # for servers, and not for `agno-rt serve --help`

    return structlog.get_logger("agno_rt.serve")
