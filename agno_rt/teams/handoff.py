"""The mode in which the conversation moves from agent to agent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import msgspec

from agno_rt.agent import Agent
from agno_rt.context import RunContext
from agno_rt.errors import NotFound, UsageError
from agno_rt.hooks import Hook
from agno_rt.messages import Message, ToolCall
from agno_rt.models import ModelRequest, ModelResponse
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._words import add_note, put_history
from agno_rt.teams.mode import Members, Mode
from agno_rt.tools import Tool, tool

__all__ = ["Handoff"]

Named: TypeAlias = Runnable | str
"""A member, or its name."""


@attrs.frozen(eq=False)
class Handoff(Mode):
    """A member answers, or hands the conversation over to another by a tool `hand_over(to, reason)`.

    The session keeps the last speaker: the user's next message goes to the same member. Each member sees the session's
    history and the input, with a note about the handoff and the reason, but not the other members' tool calls. Of
    several handoffs in one turn the first counts, and the model is told so. After a handoff the agent's turn is over.

    Attributes:
        start: the member for a new session
        edges: the targets of each member, as members or names
        back: each edge holds in both directions
        most: the handoffs in one run; the receiver of the last handoff has no tool to hand over
    """

    start: Named
    edges: Mapping[Any, Sequence[Named]]
    back: bool = False
    most: int = 8

    def parts(self) -> Sequence[Runnable]:
        """See `Mode.parts`."""
        return ()  # the start is a member

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        _check_name("start", self.start, members)
        if not isinstance(self.edges, Mapping):
            hint = "Give a dict: edges={greeter: [billing]}."
            raise UsageError(f"edges of Handoff are {self.edges!r}", hint=hint)
        for name, targets in self._list_edges(members).items():
            member = members.find(name)
            if targets and not isinstance(member, Agent):
                hint = f"Only agents hand over: leave out its edges{', or back' if self.back else ''}."
                raise UsageError(f"{name!r} in edges of Handoff is a {member.kind}", hint=hint)
            if targets and isinstance(member, Agent) and member.output is not None:
                problem = f"the agent {name!r} has an output type, and edges of Handoff"
                raise UsageError(problem, hint="Leave out the output: after a handoff an agent gives no answer.")
        if not isinstance(self.most, int) or isinstance(self.most, bool) or self.most < 1:
            raise UsageError(f"most of Handoff is {self.most!r}", hint="Give a whole number of at least 1.")

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        return members

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        edges = [f"{source} to {', '.join(targets)}" for source, targets in self._list_edges(members).items()]
        notes = [f"starts with {_name_of(self.start)}", *edges]
        return Drawing(notes=notes, parts=[draw(member) for member in members], form="parts")

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        edges, active = self._list_edges(members), self._find_active(flow.history, members)
        conversation = put_history(flow, input)
        given, handoffs = conversation, 0
        while True:
            member, targets = members.find(active), edges.get(active, ())
            if targets and handoffs < self.most and isinstance(member, Agent):
                hand_over, end = _make_handoff_tool(targets, _describe_targets(targets, members))
                member = attrs.evolve(member, tools=(*member.tools, hand_over), hooks=(*member.hooks, end))
            result = await flow.run(member, given)
            chosen = _find_handoff(result.tool_calls, targets) if member is not members.find(active) else None
            if chosen is None:
                break
            reason = f": {chosen.reason}" if chosen.reason else "."
            given = add_note(conversation, f"({active} handed the conversation over to you{reason})")
            active, handoffs = chosen.to, handoffs + 1
        # The name of the last message tells the session's next run who is active.
        last = Message("assistant", result.content, name=active)
        return attrs.evolve(result, messages=(*result.messages[:-1], last))

    def _find_active(self, history: Sequence[Message], members: Members) -> str:
        """Return the name of the last speaker, or of the start."""
        spoken = (message.name for message in reversed(history) if message.role == "assistant" and message.name)
        return next((name for name in spoken if name in members.names), _name_of(self.start))

    def _list_edges(self, members: Members) -> dict[str, tuple[str, ...]]:
        """Return the targets of each member by name. Raises `NotFound` for an unknown member."""
        edges: dict[str, list[str]] = {}
        for source, targets in self.edges.items():
            for target in targets:
                _check_name("edges", source, members)
                _check_name("edges", target, members)
                edges.setdefault(_name_of(source), []).append(_name_of(target))
                if self.back:
                    edges.setdefault(_name_of(target), []).append(_name_of(source))
        return {source: tuple(dict.fromkeys(targets)) for source, targets in edges.items()}


class _Handed(msgspec.Struct):
    to: str
    reason: str = ""


def _name_of(member: Named) -> str:
    return member if isinstance(member, str) else member.name


def _check_name(field: str, member: Named, members: Members) -> None:
    if _name_of(member) not in members.names:
        raise NotFound("member", str(_name_of(member)), members.names, where=f"in {field} of Handoff")


def _describe_targets(targets: Sequence[str], members: Members) -> str:
    return "\n".join(f"- {name}: {members.find(name).description}".removesuffix(": ") for name in targets)


def _find_handoff(calls: Iterable[ToolCall], targets: Sequence[str]) -> _Handed | None:
    """Return the first handoff among the calls, which a stored run has too."""
    for call in calls:
        if call.name != _TOOL:
            continue
        try:
            handed = msgspec.json.decode(call.arguments, type=_Handed)
        except msgspec.MsgspecError:
            continue  # the model was told, and may have tried again
        if handed.to in targets:
            return handed
    return None


_TOOL = "hand_over"


@attrs.frozen
class _EndOfTurn(Hook):
    """Ends the run of an agent after a handoff, in place of asking the model again.

    Reads the handoff from the messages, which a resumed run has too.
    """

    targets: Sequence[str]

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelResponse | None:
        calls = (call for message in request.messages for call in message.tool_calls)
        return None if _find_handoff(calls, self.targets) is None else ModelResponse()


# Kept by value, so that runs of a team share the tool and its schema.
@functools.lru_cache(maxsize=256)
def _make_handoff_tool(targets: tuple[str, ...], list_of_targets: str) -> tuple[Tool, Hook]:
    def hand_over(handoffs: list[Any]) -> list[str]:
        first = f"{handoffs[0].to} takes over the conversation."
        return [first, *("Not done: only the first handoff of a turn counts." for _ in handoffs[1:])]

    item: Any = msgspec.defstruct(
        "Handoff",
        [("to", Literal[targets]), ("reason", str, "")],
    )
    hand_over.__annotations__["handoffs"] = list[item]
    description = f"Hand the conversation over to another, who then answers the user.\n{list_of_targets}"
    made = tool(hand_over, name=_TOOL, description=description, batch=True, inline=True, idempotent=True)
    return made, _EndOfTurn(targets)
