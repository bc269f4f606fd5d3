"""The mode in which members work one after another."""

from __future__ import annotations

import collections.abc
from typing import Any

import attrs

from agno_rt.errors import AgnoError
from agno_rt.messages import Message
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._words import Share, add_note, check_share, share_input, tell_answer
from agno_rt.teams.mode import Members, Mode

__all__ = ["Sequence"]


@attrs.frozen
class Sequence(Mode):
    """Each member works on the answer of the member before; the last answer is the team's. Short: `"sequential"`.

    With `on_error="keep"` a failed member is left out: the next member gets the last answer and a note of the failure.
    The failure of the last member always ends the run.

    Attributes:
        share: `"history"` to show the first member the session's history too
    """

    share: Share = "task"

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_share("Sequence", self.share)

    def speakers(self, members: Members) -> collections.abc.Sequence[Runnable]:
        """See `Mode.speakers`."""
        return members[-1:]

    def drawing(self, members: Members, draw: collections.abc.Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        return Drawing(parts=[draw(member) for member in members], form="series")

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        given = share_input(flow, input, self.share)
        result = None
        for number, (name, member) in enumerate(zip(members.names, members, strict=True), 1):
            try:
                result = await flow.run(member, given, name=name)
            except AgnoError as exc:
                if members.on_error == "cancel" or number == len(members):
                    raise
                given = add_note(given, f"[{name}] {tell_answer(exc)}")
            else:
                given = (Message("user", result.content),)
        return result
