"""The mode of a team: the base class, and the members as a mode sees them. Knows no team and no runs."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, cast, overload

import attrs

from agno_rt.errors import NotFound
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.runnable import Drawing, Flow, OnError, Runnable

__all__ = ["Members", "Mode", "give_model"]


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
        # A list, because each item of a generator would be a call.
        self.names = tuple([member.name or str(number) for number, member in enumerate(self._members, 1)])
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

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """Return the picture of a team in this mode, without its name; `draw` makes the picture of a part.

        By default, the members and the mode's own parts side by side.
        """
        parts = {id(part): part for part in (*members, *self.parts())}
        return Drawing(parts=[draw(part) for part in parts.values()], form="parts")

    def check(self, members: Members) -> None:
        """Raise `UsageError` if the mode cannot work with the members. Called before each run of the team."""

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """Return the runnables whose results may be the team's, output included. By default none.

        If the outputs of all of them have one type, a team resumed in another process has an output of this type, too.
        """
        return ()

    def receive(self, members: Members, at_work: Sequence[str], messages: Sequence[Message]) -> Sequence[str]:
        """Return the names of the runnables that get messages sent to the team's run. By default, all at work.

        `at_work` has the names of the runnables whose runs are under way: members, or the mode's own. If none of the
        returned names is at work, the messages wait until one of them begins. Called when messages come, and again at
        each beginning while they wait.
        """
        return at_work

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """Carry out a run of the team and return the answer, as `Runnable.conduct` does."""
        raise NotImplementedError


def _find_parts(mode: Mode) -> dict[str, Runnable]:
    """Return the runnables among the fields of a mode."""
    kind: Any = type(mode)
    values = {field.alias: getattr(mode, field.name) for field in attrs.fields(kind)} if attrs.has(kind) else {}
    return {field: value for field, value in values.items() if isinstance(value, Runnable)}


def give_model(part: Runnable, model: str | Model | None) -> Runnable:
    """Return a copy of an agent, or a team, without a model of its own that has this model; else the part itself."""
    if model is None or part.kind not in ("agent", "team") or getattr(part, "model", model) not in ("", None):
        return part
    return attrs.evolve(cast(Any, part), model=model)
