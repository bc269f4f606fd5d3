"""The team as a plain value: members, and the mode in which they work together. Knows no mode and no runs."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast, overload

import attrs

from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.agent import Agent
from agno_rt.errors import NotFound, UsageError
from agno_rt.limits import Limits
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.runnable import Flow, OnError, Runnable

__all__ = ["Members", "Mode", "Team", "give_model"]


class Members(collections.abc.Sequence[Runnable]):
    """The members of a team for one run, as seen by a mode.

    Attributes:
        names: the members' names, in order; a member without a name is called by its number, from 1
        on_error: the team's `on_error`
        at_once: the team's `at_once`
    """

    __slots__ = ("_members", "at_once", "names", "on_error")

    def __init__(self, members: Sequence[Runnable], on_error: OnError = "cancel", at_once: int | None = None) -> None:
        self._members = tuple(members)
        self.names = tuple(member.name or str(number) for number, member in enumerate(self._members, 1))
        self.on_error: OnError = on_error
        self.at_once = at_once

    @overload
    def __getitem__(self, at: int) -> Runnable: ...

    @overload
    def __getitem__(self, at: slice) -> Members: ...

    def __getitem__(self, at: int | slice) -> Runnable | Members:
        """Return a member by place, or several as `Members`."""
        if isinstance(at, slice):
            return Members(self._members[at], self.on_error, self.at_once)
        return self._members[at]

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)

    def __iter__(self) -> Iterator[Runnable]:
        """Yield the members in order."""
        return iter(self._members)

    def find(self, name: str) -> Runnable:
        """Return the member of a name. Raises `NotFound`, with the nearest name."""
        try:
            return self._members[self.names.index(name)]
        except ValueError:
            raise NotFound("member", str(name), self.names) from None

    async def ask_all(self, flow: Flow, inputs: Sequence[Any], name: str = "members") -> list[Any]:
        """Run each member on its input, all at once, and return the results in order.

        At most `at_once` members run at a time. With `on_error="keep"` an error has the member's place; otherwise the
        first failure cancels the others and is raised.
        """
        async with flow.group(name, limit=self.at_once, on_error=self.on_error) as group:
            for key, member, given in zip(self.names, self._members, inputs, strict=True):
                group.start(member, given, key=key)
        return group.results


class Mode:
    """The way in which the members of a team work together. `agno_rt.teams` has the modes that ship.

    For a mode of your own write a subclass with `conduct`. A mode is a value: the data of one run belongs into
    `conduct`.
    """

    __slots__ = ()

    def parts(self) -> Sequence[Runnable]:
        """Return the runnables of the mode itself, such as a leader. By default, those among its attrs fields."""
        return list(_find_parts(self).values())

    def with_model(self, model: str | Model | None) -> Self:
        """Return the mode, or a copy in which the mode's own agents without a model have this model."""
        given = {} if model is None else {field: give_model(part, model) for field, part in _find_parts(self).items()}
        copy: Self = attrs.evolve(cast(Any, self), **given) if given else self
        return copy

    def check(self, members: Members) -> None:
        """Raise `UsageError` if the mode cannot work with the members. Called before each run of the team."""

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """Carry out a run of the team and return the answer, as `Runnable.conduct` does."""
        raise NotImplementedError


@attrs.define(eq=False)
class Team(Runnable[DepsT, OutputT]):
    """Runnables that work together in a mode. Making a team opens nothing and computes nothing.

    A team is a runnable like an agent: `run`, `stream` and `serve` take it, and it may be a member of another team.
    Members are never changed, and may belong to any number of teams. A member sees the input that the mode passes on
    and nothing else. The first run raises `UsageError` for a team that cannot work.

    Attributes:
        members: agents, teams and other runnables, each with a name of its own
        mode: a mode of `agno_rt.teams`, such as `Leader(editor)`; or a name: `"sequential"`, `"parallel"`,
            `"leader-follower"` (the first member leads), `"consensus"`, or `"plugin:name"`
        name: the name for people, routes and events
        description: one sentence for people, and for the models of other teams, which choose among members
        limits: the limits of each run of the team: deadlines, and budgets that the members' runs share
        on_error: with `"cancel"` the failure of a member cancels the others and ends the run; with `"keep"` the team
            goes on, and whoever works with the answers is told of the failure
        at_once: the number of members that run at once; `None` for all
        model: the model of members without one, `Agent("")`, in teams within this team too
    """

    members: Sequence[Runnable]
    mode: Mode | str = "sequential"
    name: str = attrs.field(default="", kw_only=True)
    description: str = attrs.field(default="", kw_only=True)
    limits: Limits | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    on_error: OnError = attrs.field(default="cancel", kw_only=True)
    at_once: int | None = attrs.field(default=None, kw_only=True)
    model: str | Model | None = attrs.field(default=None, kw_only=True)

    kind = "team"

    def parts(self) -> Sequence[Runnable]:
        """Return the members, and the runnables of the mode, each with its model."""
        own = self.mode.parts() if isinstance(self.mode, Mode) else ()
        # A wrong value is refused when the team is resolved, with a better text.
        members = self.members if isinstance(self.members, collections.abc.Sequence) else ()
        # Each once: a member may also be the team's judge, say.
        parts = {id(part): part for part in (*members, *own)}
        return [*parts.values()] if self.model is None else [give_model(each, self.model) for each in parts.values()]

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Let the members work in the team's mode. The runtime has replaced the mode's name by the mode."""
        if isinstance(self.mode, str):
            hint = "Run it with a Runtime, which finds modes by name; or give the team a Mode."
            raise UsageError(f"mode {self.mode!r} of the team {self.name!r} is only a name", hint=hint)
        members = self.members
        if self.model is not None:
            members = [give_model(member, self.model) for member in members]
        return await self.mode.conduct(flow, Members(members, self.on_error, self.at_once), input)


def _find_parts(mode: Mode) -> dict[str, Runnable]:
    """Return the runnables among the fields of a mode."""
    kind: Any = type(mode)
    values = {field.alias: getattr(mode, field.name) for field in attrs.fields(kind)} if attrs.has(kind) else {}
    return {field: value for field, value in values.items() if isinstance(value, Runnable)}


def give_model(part: Runnable, model: str | Model | None) -> Runnable:
    """Return a copy of an agent, or a team, without a model of its own that has this model; else the part itself."""
    if model is None:
        return part
    if (isinstance(part, Agent) and part.model == "") or (isinstance(part, Team) and part.model is None):
        return attrs.evolve(part, model=model)
    return part
