"""Makes the teams of agno-rt.toml: finds their members and the runnables of their modes by name."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from agno_rt.agent import Agent
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


def build_teams(configs: Mapping[str, TeamConfig], runnables: MutableMapping[str, Runnable]) -> None:
    """Add the teams to the runnables, whose names are known; a team may have other teams as members.

    Raises `ConfigError`, with file, line and table.
    """
    under_way: list[str] = []

    def find(name: str, team: str, key: str) -> Runnable:
        if name in configs and name not in runnables:
            build(name)
        if name not in runnables:
            known = {*runnables, *configs} - {team}
            problem = f"unknown runnable {name!r}"
            raise settings_error(problem, configs[team].settings, _table(team, key), suggest("name", name, known), key)
        return runnables[name]

    def build(name: str) -> None:
        config = configs[name]
        if name in under_way:
            circle = " -> ".join((*under_way[under_way.index(name) :], name))
            problem = f"the team is a member of itself: {circle}"
            raise settings_error(problem, config.settings, _table(name), "Leave one of them out.", "members")
        under_way.append(name)
        members = [find(member, name, "members") for member in config.members]
        runnables[name] = Team(
            members,
            _build_mode(name, config, lambda given, key: find(given, name, key)),
            name=name,
            description=config.description,
            limits=config.limits,
            on_error=config.on_error,
            at_once=config.at_once,
            model=config.model,
        )
        under_way.pop()

    for name, config in configs.items():
        if isinstance(runnables.get(name), Agent) or (name in runnables and runnables[name].kind != "team"):
            problem = f"there is another runnable {name!r}"
            raise settings_error(problem, config.settings, _table(name), "Rename one of them.")
        if name not in runnables:
            build(name)


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
