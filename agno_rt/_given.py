"""Makes the values that stand behind dicts: settings, limits and a memory policy may be given as one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import msgspec

from agno_rt.errors import UsageError, suggest
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy, Summary, UserMemory
from agno_rt.models import ModelSettings

__all__ = ["limits_of", "memory_of", "settings_of"]

T = TypeVar("T")


def settings_of(given: ModelSettings | Mapping[str, Any]) -> ModelSettings:
    """Return the settings, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    if isinstance(given, ModelSettings):
        return given
    try:
        # Their class checks no types itself.
        return msgspec.convert(_checked(given, ModelSettings, "settings"), ModelSettings)
    except msgspec.ValidationError as exc:
        problem, _, place = str(exc).partition(" - at `$.")
        raise UsageError(f"settings: {place.rstrip('`')}: {problem}") from exc


def limits_of(given: Limits | Mapping[str, Any]) -> Limits:
    """Return the limits, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    return given if isinstance(given, Limits) else Limits(**_checked(given, Limits, "limits"))


def memory_of(given: MemoryPolicy | Mapping[str, Any]) -> MemoryPolicy:
    """Return the policy, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    if isinstance(given, MemoryPolicy):
        return given
    fields = _checked(given, MemoryPolicy, "memory")
    for key, type_ in (("summary", Summary), ("facts", UserMemory)):
        if isinstance(fields.get(key), Mapping):
            fields[key] = type_(**_checked(fields[key], type_, f"{key} of memory"))
    return MemoryPolicy(**fields)


def _checked(given: Any, type_: type[attrs.AttrsInstance], what: str) -> dict[str, Any]:
    """The dict, if it has keys of the type alone."""
    name = type_.__name__
    if not isinstance(given, Mapping) or isinstance(given, type):
        raise UsageError(f"{what} is {given!r}", hint=f"Write {what}={name}(...), or a dict of its fields.")
    known = [field.name for field in attrs.fields(type_)]
    for key in given:
        if key not in known:
            raise UsageError(f"{what} has an unknown key {key!r}", hint=suggest("key", str(key), known))
    return dict(given)
