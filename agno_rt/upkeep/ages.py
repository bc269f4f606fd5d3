"""Reads ages such as `30d` from settings and options. Pure."""

from __future__ import annotations

import re

from agno_rt.errors import UsageError

__all__ = ["parse_age"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_age(text: str, what: str) -> float:
    """Return an age in seconds: a number with `s`, `m`, `h`, `d` or `w`. Raises `UsageError` that names `what`."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        hint = "Give a number with a unit: 90s, 15m, 12h, 30d or 4w."
        raise UsageError(f"{what} is {text!r}", hint=hint)
    return float(found[1]) * _SECONDS[found[2]]
