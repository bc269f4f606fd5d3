"""Makes the teams of agno-rt.toml: finds their members and the runnables of their modes by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from agno_rt._runtime.declared_names import DeclaredNames
from agno_rt.config import TeamConfig, settings_error
from agno_rt.errors import ConfigError, UsageError, suggest
from agno_rt.runnable import Runnable
from agno_rt.teams.mode import Mode
from agno_rt.teams.names import find_mode, make_mode
from agno_rt.teams.team import Team

__all__ = ["build_teams"]

_NAMES_IN: Mapping[str, tuple[str, ...]] = {
    "broadcast": ("integrator",),
    "consensus": ("agree",),
    "group_chat": ("select", "until"),
    "leader": ("agent",),
    "route": ("by", "fallback"),
    "tasks": ("manager",),
}
"""The settings of modes that are runnables, given by name in a file. The mode's module has the key."""


def build_teams(configs: Mapping[str, TeamConfig], names: DeclaredNames) -> None:
    """Declare the teams of the file. Members are agents, other teams and workflows.

    Raises `ConfigError`, with file, line and table, here and when a team is built.
    """
    for name, config in configs.items():
        if name in names:
            problem = f"there is another runnable {name!r}"
            raise settings_error(problem, config.settings, _table(name), "Rename one of them.")
        names.declare(name, functools.partial(_build, name, config, names))


def _build(name: str, config: TeamConfig, names: DeclaredNames) -> Team:
    def find(given: str, key: str) -> Runnable:
        if given not in names:
            hint = suggest("name", given, names.known() - {name})
            raise settings_error(f"unknown runnable {given!r}", config.settings, _table(name, key), hint, key)
        try:
            return names.find(given)
        except ConfigError:
            raise  # of a part, with the line of its own
        except UsageError as exc:
            raise settings_error(exc.message, config.settings, _table(name, key), exc.hint, key) from exc

    return Team(
        [find(member, "members") for member in config.members],
        _build_mode(name, config, find),
        name=name,
        description=config.description,
        limits=config.limits,
        on_error=config.on_error,
        at_once=config.at_once,
        model=config.model,
        memory=config.memory,
    )


def _table(team: str, key: str = "members") -> str:
    """Return the table that has the key."""
    return f"teams.{team}" if key in ("members", "mode") else f"teams.{team}.settings"


def _build_mode(team: str, config: TeamConfig, find: Any) -> Mode | str:
    """Return the mode with its settings; the name alone for a plugin's mode, which the runtime finds."""
    settings: dict[str, Any] = dict(config.settings)
    if ":" in config.mode:
        if settings:
            plugin = config.mode.partition(":")[0]
            hint = f"Write them into [plugins.{plugin}]."
            raise settings_error("a plugin's mode takes no settings here", config.settings, _table(team), hint, "mode")
        return config.mode
    key = "mode"
    try:
        module = find_mode(config.mode).__module__.rpartition(".")[2]
        for key in _NAMES_IN.get(module, ()):
            if key in settings:
                settings[key] = find(settings[key], key)
        key = "mode"
        return make_mode(config.mode, settings)
    except ConfigError:
        raise
    except UsageError as exc:
        named = next((each for each in settings if repr(each) in exc.message), key)
        raise settings_error(exc.message, config.settings, _table(team, named), exc.hint, named) from exc
