"""Prepares a team for a run: finds its mode by name or in a plugin, and checks that mode and members fit.

Nothing is kept: a team is cheap to check, and its list of members may change between runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import attrs

from agno_rt.agent import Agent
from agno_rt.errors import PluginError, UsageError
from agno_rt.failures import repr_of
from agno_rt.plugins import PluginHost
from agno_rt.runnable import OnError, Runnable
from agno_rt.teams.mode import Members, Mode
from agno_rt.teams.names import make_mode
from agno_rt.teams.team import Team

__all__ = ["prepare_team"]


def prepare_team(team: Team, plugins: PluginHost, settings: Mapping[str, Mapping[str, Any]]) -> Team:
    """Return the team with a mode in place of a mode's name, and with its model for the mode's agents.

    Raises `UsageError` for a team that cannot run.
    """
    _check_members(team)
    _check_nesting(team, {id(team.members)}, set())
    mode: Any = team.mode
    if isinstance(mode, str):
        mode = plugins.mode(mode, settings) if ":" in mode else make_mode(mode, {})
        if not isinstance(mode, Mode):
            plugin = str(team.mode).partition(":")[0]
            problem = f"plugin {plugin!r} made a {type(mode).__name__} of {team.mode!r}, which is not a Mode"
            raise PluginError(problem, plugin=plugin)
    if not isinstance(mode, Mode):
        hint = "Give a mode of agno_rt.teams, such as Sequence(), or a name, such as 'sequential'."
        if isinstance(mode, type) and issubclass(mode, Mode):
            hint = f"This is a class; make a value: {mode.__name__}(...)."
        raise UsageError(f"mode is {repr_of(mode)}, not a mode", hint=hint)
    mode = mode.with_model(team.model)
    mode.check(Members(team.members))
    return team if mode is team.mode else attrs.evolve(team, mode=mode)


def _check_nesting(team: Team, around: set[int], done: set[int]) -> None:
    """Raise `UsageError` for a team within itself. Teams are known by their lists of members, which copies share."""
    for member in team.members if isinstance(team.members, Sequence) else ():
        if member.__class__ is Agent or not isinstance(member, Team) or (key := id(member.members)) in done:
            continue
        if key in around:
            raise UsageError(f"the team {member.name!r} is within itself", hint="Leave it out of its own members.")
        _check_nesting(member, around | {key}, done)
        done.add(key)


def _check_members(team: Team) -> None:
    members: Any = team.members
    if isinstance(members, str) or not isinstance(members, Sequence):
        raise UsageError(f"members are {repr_of(members)}, not a sequence", hint="Write Team([researcher, critic]).")
    if not members:
        raise UsageError("the team has no members", hint="Give at least one: Team([researcher, critic]).")
    known: dict[str, Runnable] = {}
    for number, member in enumerate(members, 1):
        if member.__class__ is not Agent and not isinstance(member, Runnable):
            hint = "Give agents, teams or other runnables."
            raise UsageError(f"member {number} is {repr_of(member)}, not a runnable", hint=hint)
        name = member.name or str(number)
        if name in known:
            hint = "Give one of them another name: attrs.evolve(agent, name='...') makes a copy."
            raise UsageError(f"two members are called {name!r}", hint=hint)
        known[name] = member
    if team.on_error not in get_args(OnError):
        raise UsageError(f"on_error is {team.on_error!r}", hint="Give 'cancel' or 'keep'.")
    at_once = team.at_once
    if at_once is not None and (not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1):
        raise UsageError(f"at_once is {at_once!r}", hint="Give a whole number of at least 1, or leave it out.")
