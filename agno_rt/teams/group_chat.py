"""The mode in which members talk in turns, as a function or an agent gives them the word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from agno_rt.agent import Agent
from agno_rt.errors import AgnoError, UsageError
from agno_rt.messages import Message
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._choose import ask_whether, call_function, check_decider, choose_member, name_choice
from agno_rt.teams._words import add_note, put_history, tell_answer
from agno_rt.teams.mode import Members, Mode

__all__ = ["GroupChat", "Said"]


@attrs.frozen
class Said:
    """One turn of a group chat: the speaker's name and text. `failed` marks the failure of a member, in words."""

    name: str
    text: str
    failed: bool = False


@attrs.frozen
class GroupChat(Mode):
    """Members talk in turns. Each speaker sees the session's history, the input, and the talk so far.

    The answer is the last speaker's. The chat ends when `until` holds, when `select` chooses nobody, and after
    `rounds` turns. Functions receive the turns so far as a list of `Said`, and may be async. With `on_error="keep"` a
    failure becomes a turn, in words.

    Attributes:
        select: a function that returns the next speaker as a member or a name, or `None` to end; or an agent, with the
            members' names as the output type. By default, members speak in turn
        until: a function that returns true at the end of the talk; or an agent as a judge
        rounds: the most turns
    """

    select: Agent | Callable[[Sequence[Said]], Any] | None = None
    until: Agent | Callable[[Sequence[Said]], Any] | None = None
    rounds: int = 12

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        for field in ("select", "until"):
            if getattr(self, field) is not None:
                check_decider(f"{field} of GroupChat", getattr(self, field))
        if not isinstance(self.rounds, int) or isinstance(self.rounds, bool) or self.rounds < 1:
            raise UsageError(f"rounds of GroupChat is {self.rounds!r}", hint="Give a whole number of at least 1.")

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        return members

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        spoken = [draw(member) for member in members]
        parts = spoken if self.select is None else [Drawing(parts=spoken, form="choice")]
        before = [draw(self.select)] if isinstance(self.select, Agent) else []
        after = [draw(self.until)] if isinstance(self.until, Agent) else []
        return Drawing(notes=[f"at most {self.rounds} turns"], parts=[*before, *parts, *after], form="loop")

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        said: list[Said] = []
        result, failure = None, None
        while len(said) < self.rounds:
            name = await self._select_speaker(flow, members, input, said)
            if name is None:
                break
            try:
                result = await flow.run(members.find(name), _tell_chat(flow, input, said))
                said.append(Said(name, result.content))
            except AgnoError as exc:
                if members.on_error == "cancel":
                    raise
                failure = exc
                said.append(Said(name, tell_answer(exc), failed=True))
            if await self._is_over(flow, input, said):
                break
        if result is None:
            hint = "Let select of GroupChat return a member at least once."
            raise failure or UsageError("nobody spoke in the group chat", hint=hint)
        return result

    async def _select_speaker(
        self, flow: Flow, members: Members, input: Sequence[Message], said: Sequence[Said]
    ) -> str | None:
        if self.select is None:
            return members.names[len(said) % len(members)]
        if isinstance(self.select, Agent):
            conversation, question = _tell_chat(flow, input, said), "Choose who speaks next:"
            may_end = bool(said)  # somebody has to speak first
            return await choose_member(flow, self.select, members, conversation, question=question, or_nobody=may_end)
        return name_choice("select of GroupChat", await call_function(self.select, said), members)

    async def _is_over(self, flow: Flow, input: Sequence[Message], said: Sequence[Said]) -> bool:
        if self.until is None:
            return False
        if isinstance(self.until, Agent):
            return await ask_whether(
                flow, self.until, "Judge whether the talk has come to an end.", _tell_chat(flow, input, said)
            )
        return bool(await call_function(self.until, said))


def _tell_chat(flow: Flow, input: Sequence[Message], said: Sequence[Said]) -> tuple[Message, ...]:
    """Return the history, the input, and a note with the talk so far."""
    conversation = put_history(flow, input)
    if not said:
        return conversation
    lines = "\n\n".join(f"[{turn.name}]\n{turn.text}" for turn in said)
    return add_note(conversation, f"Said so far:\n\n{lines}")
