"""The options of an SQLite file's URL."""

from __future__ import annotations

from typing import Any, get_args

import attrs

from agno_rt.defaults.sqlite.file import Synchronous
from agno_rt.errors import UsageError, suggest
from agno_rt.upkeep.ages import parse_age
from agno_rt.upkeep.bounds import Retention, parse_bound

__all__ = ["NO_FILES", "parse_options"]

NO_FILES = ("", ":memory:")
"""Paths in URLs that are not files. SQLite itself would take the second for a database without a file."""

_BOUNDS = tuple(field.name for field in attrs.fields(Retention))
_OPTIONS = (*_BOUNDS, "lease", "synchronous")


def parse_options(url: str, options: str) -> dict[str, Any]:
    """Read the options of a URL. Raises `UsageError` for an unknown one, and for a wrong value."""
    found: dict[str, Any] = {}
    for option in filter(None, options.split("&")):
        name, _, value = option.partition("=")
        if name not in _OPTIONS:
            raise UsageError(f"unknown option {name!r} in {url!r}", hint=suggest("option", name, _OPTIONS))
        if name in _BOUNDS:
            found[name] = parse_bound(name, value, repr(url))
        elif name == "lease":
            found["lease_seconds"] = parse_age(value, f"the option {name!r} in {url!r}")
        elif value not in get_args(Synchronous):
            hint = suggest("value", value, get_args(Synchronous))
            raise UsageError(f"{value!r} is not a value of the option {name!r} in {url!r}", hint=hint)
        else:
            found[name] = value
    keeps = {name: found.pop(name) for name in _BOUNDS if name in found}
    if keeps:
        found["keeps"] = Retention(**keeps)
    return found
