"""The team as a plain value: members, and the mode in which they work together. Knows no runs."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from agno_rt._schema.describe import type_decoder
from agno_rt._schema.generics import DepsT, OutputT
from agno_rt.agent import PLAIN_MEMORY, Agent
from agno_rt.errors import UsageError
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message
from agno_rt.models import Model
from agno_rt.output import Output
from agno_rt.runnable import Drawing, Flow, OnError, Runnable
from agno_rt.teams.mode import Members, Mode, give_model
from agno_rt.teams.names import make_mode

__all__ = ["Team"]


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
        memory: the memory policy. With `journal`, each run is stored with the members' runs, and goes on after a crash,
            a failure or a cancellation; a team whose members may wait for a person is stored in any case
    """

    members: Sequence[Runnable]
    mode: Mode | str = "sequential"
    name: str = attrs.field(default="", kw_only=True)
    description: str = attrs.field(default="", kw_only=True)
    limits: Limits | Mapping[str, Any] | None = attrs.field(default=None, kw_only=True)
    on_error: OnError = attrs.field(default="cancel", kw_only=True)
    at_once: int | None = attrs.field(default=None, kw_only=True)
    model: str | Model | None = attrs.field(default=None, kw_only=True)
    memory: MemoryPolicy | Mapping[str, Any] = attrs.field(default=PLAIN_MEMORY, kw_only=True)

    kind = "team"

    def parts(self) -> Sequence[Runnable]:
        """Return the members, and the runnables of the mode, each with its model."""
        own = self.mode.parts() if isinstance(self.mode, Mode) else ()
        # A wrong value is refused when the team is resolved, with a better text.
        parts = [*self.members] if isinstance(self.members, collections.abc.Sequence) else []
        if own:
            # Each once: a member may also be the team's judge, say.
            parts = [*{id(part): part for part in (*parts, *own)}.values()]
        return parts if self.model is None else [give_model(each, self.model) for each in parts]

    def drawing(self, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """Return the picture of the team: the members in the order of the mode."""
        mode: Any = self.mode
        if isinstance(mode, str) and ":" not in mode:
            mode = make_mode(mode, {})
        if not isinstance(mode, Mode):  # a plugin's mode, which only a runtime finds
            drawing = Drawing(parts=[draw(part) for part in self.parts()], form="parts")
            title = str(mode)
        else:
            members = Members([give_model(member, self.model) for member in self.members])
            drawing = mode.with_model(self.model).drawing(members, draw)
            title = type(mode).__name__
        return attrs.evolve(drawing, name=self.name or "team", kind="team", notes=(title, *drawing.notes))

    def read_output(self, text: bytes) -> Any:
        """Return a stored output from JSON: of the speakers' type, or plain data if they have several types."""
        speakers = self.mode.speakers(Members(self.members)) if isinstance(self.mode, Mode) else ()
        types = [speaker.output if isinstance(speaker, Agent) else None for speaker in speakers]
        if not types or types[0] is None or any(other is not types[0] for other in types):
            return msgspec.json.decode(text)
        return type_decoder(types[0].type if isinstance(types[0], Output) else types[0])(text)

    def receive(self, at_work: Sequence[str], messages: Sequence[Message]) -> Sequence[str]:
        """Return the names of the runnables that get messages sent to the team's run: see `Mode.receive`."""
        if isinstance(self.mode, str):
            return at_work
        return self.mode.receive(Members(self.members, self.on_error, self.at_once), at_work, messages)

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        """Let the members work in the team's mode. The runtime has replaced the mode's name by the mode."""
        if isinstance(self.mode, str):
            hint = "Run it with a Runtime, which finds modes by name; or give the team a Mode."
            raise UsageError(f"mode {self.mode!r} of the team {self.name!r} is only a name", hint=hint)
        members = self.members
        if self.model is not None:
            members = [give_model(member, self.model) for member in members]
        return await self.mode.conduct(flow, Members(members, self.on_error, self.at_once), input)
