"""The modes that ship by their names, for `mode="..."` in code and in agno-rt.toml."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import attrs

from agno_rt.errors import NotFound, UsageError, suggest
from agno_rt.teams.mode import Mode

__all__ = ["MODES", "find_mode", "make_mode"]

MODES: Mapping[str, str] = {
    "broadcast": "broadcast.Broadcast",
    "consensus": "consensus.Consensus",
    "group-chat": "group_chat.GroupChat",
    "handoff": "handoff.Handoff",
    "leader": "leader.Leader",
    "leader-follower": "leader.Leader",
    "parallel": "broadcast.Broadcast",
    "route": "route.Route",
    "sequence": "sequence.Sequence",
    "sequential": "sequence.Sequence",
    "tasks": "tasks.Tasks",
}
"""The module and class of each mode."""


def find_mode(name: str) -> type[Mode]:
    """Return the class of a mode by its name. Raises `NotFound`, with the nearest name."""
    place = MODES.get(name.replace("_", "-"))
    if place is None:
        hint = f"{suggest('mode', name, MODES)} A plugin's mode is plugin:name."
        raise NotFound("mode", name, MODES, hint=hint)
    module, _, kind = place.partition(".")
    found: type[Mode] = getattr(importlib.import_module(f"agno_rt.teams.{module}"), kind)
    return found


def make_mode(name: str, settings: Mapping[str, Any]) -> Mode:
    """Return the mode of a name with its settings.

    Raises `NotFound` for an unknown name, `UsageError` for a setting that is unknown or missing.
    """
    kind: Any = find_mode(name)
    fields = attrs.fields(kind)
    known = [field.name for field in fields]
    for key in settings:
        if key not in known:
            raise UsageError(f"mode {name!r} has an unknown setting {key!r}", hint=suggest("setting", key, known))
    missing = [field.name for field in fields if field.default is attrs.NOTHING and field.name not in settings]
    if missing:
        hint = f"Write mode={kind.__name__}(...), or in agno-rt.toml a table [teams.NAME.settings]."
        raise UsageError(f"mode {name!r} needs the settings {', '.join(missing)}", hint=hint)
    made: Mode = kind(**settings)
    return made
