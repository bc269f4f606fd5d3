"""Makes the values that stand behind dicts: settings, limits and a memory policy may be given as one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

from agno_rt.errors import UsageError, suggest
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy, Summary, UserMemory
from agno_rt.models import ModelSettings

__all__ = ["limits_of", "memory_of", "settings_of"]

T = TypeVar("T", bound=attrs.AttrsInstance)


def settings_of(given: ModelSettings | Mapping[str, Any]) -> ModelSettings:
    """Return the settings, made of a dict where one is given. Raises `UsageError` for an unknown key."""
    return _made(ModelSettings, given, "settings")


def limits_of(given: Limits | Mapping[str, Any]) -> Limits:
    """Return the limits, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    return _made(Limits, given, "limits")


def memory_of(given: MemoryPolicy | Mapping[str, Any]) -> MemoryPolicy:
    """Return the policy, made of a dict where one is given. Raises `UsageError` for an unknown key or wrong value."""
    if isinstance(given, Mapping):
        given = dict(given)
        for key, type_ in (("summary", Summary), ("facts", UserMemory)):
            if key in given:
                given[key] = _made(type_, given[key], f"{key} of memory")
    return _made(MemoryPolicy, given, "memory")


def _made(type_: type[T], given: Any, what: str) -> T:
    """The value of a dict of its fields; anything else as it is, for others to check."""
    if not isinstance(given, Mapping):
        return cast(T, given)
    known = [field.name for field in attrs.fields(type_)]
    for key in given:
        if key not in known:
            raise UsageError(f"{what} has an unknown key {key!r}", hint=suggest("key", str(key), known))
    return type_(**given)
