"""The mode in which one member, chosen by a function or an agent, answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from agno_rt.agent import Agent
from agno_rt.errors import OutputError, UsageError
from agno_rt.messages import Message
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._choose import call_function, check_decider, choose_member, name_choice, name_function
from agno_rt.teams._words import Share, add_note, check_share, put_history, share_input, text_of_input
from agno_rt.teams.mode import Members, Mode

__all__ = ["Route"]


@attrs.frozen
class Route(Mode):
    """One member answers for the team.

    An agent in `by` sees the session's history and the members' descriptions, and answers by an output type with the
    members' names. A function in `by`, async or not, receives the input's text and returns a member or a name; prefer a
    function where the choice follows from the text. With a `fallback`, the function may return `None` and the agent may
    choose nobody; then the fallback answers.

    Attributes:
        by: the agent or the function to choose
        own_answer: `False` to let the agent in `by` write the team's answer from the member's
        fallback: the runnable for inputs without a member
        share: `"history"` to show the member the session's history too
    """

    by: Agent | Callable[[str], Any]
    own_answer: bool = True
    fallback: Runnable | None = None
    share: Share = "task"

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_share("Route", self.share)
        check_decider("by of Route", self.by)
        if not self.own_answer and not isinstance(self.by, Agent):
            raise UsageError("Route has own_answer=False, and no agent", hint="Give an agent as `by`, or leave it out.")

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        if not self.own_answer and isinstance(self.by, Agent):
            return (self.by,)
        return members if self.fallback is None else (*members, self.fallback)

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        fallback = () if self.fallback is None else (self.fallback,)
        choice = Drawing(parts=[draw(part) for part in (*members, *fallback)], form="choice")
        if not isinstance(self.by, Agent):
            return attrs.evolve(choice, notes=[f"by {name_function(self.by)}()"])
        return Drawing(parts=[draw(self.by), choice, *(() if self.own_answer else (draw(self.by),))])

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        name = await self._choose(flow, members, input)
        if name is None and self.fallback is None:
            hint = "Let the function return the name of a member, or give Route a fallback."
            raise UsageError("by of Route chose nobody, and there is no fallback", hint=hint)
        member = members.find(name) if name is not None else self.fallback
        assert member is not None
        result = await flow.run(member, share_input(flow, input, self.share))
        if self.own_answer or not isinstance(self.by, Agent):
            return result
        note = f"[{name or member.name}]\n{result.content}\n\nAnswer from this."
        return await flow.run(self.by, add_note(put_history(flow, input), note))

    async def _choose(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> str | None:
        """Return the name of the chosen member, or `None` for the fallback."""
        if not isinstance(self.by, Agent):
            return name_choice("by of Route", await call_function(self.by, text_of_input(input)), members)
        conversation, question = put_history(flow, input), "Choose who answers the last message:"
        try:
            has_fallback = self.fallback is not None
            return await choose_member(flow, self.by, members, conversation, question=question, or_nobody=has_fallback)
        except OutputError:
            # The model named no member in all its attempts.
            if self.fallback is None:
                raise
            return None
