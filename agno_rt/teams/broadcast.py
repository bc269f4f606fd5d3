"""The mode in which all members answer the same input at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._words import (
    Share,
    add_note,
    check_share,
    collect_outputs,
    put_history,
    require_answer,
    share_input,
    tell_answers,
)
from agno_rt.teams.mode import Members, Mode

__all__ = ["Broadcast"]


@attrs.frozen
class Broadcast(Mode):
    """All members answer the same input at once. Short: `"parallel"`.

    The answer has all answers in the members' order, each after the name in brackets; `output` has them by name. With
    an `integrator`, the answer is the integrator's, who sees the input and all answers. With `on_error="keep"` a failed
    member's place has the failure in words; the run fails only if every member fails.

    Attributes:
        integrator: a runnable that makes one answer of all
        share: `"history"` to show the members the session's history too; the integrator always sees the history
    """

    integrator: Runnable | None = None
    share: Share = "task"

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_share("Broadcast", self.share)

    def speakers(self, members: Members) -> Sequence[Runnable]:
        """See `Mode.speakers`."""
        return () if self.integrator is None else (self.integrator,)

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        drawing = Drawing(parts=[draw(member) for member in members], form="parallel")
        return drawing if self.integrator is None else Drawing(parts=[drawing, draw(self.integrator)])

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        answers = await members.ask_all(flow, [share_input(flow, input, self.share)] * len(members))
        require_answer(answers)
        told = tell_answers(members.names, answers)
        if self.integrator is not None:
            return await flow.run(self.integrator, add_note(put_history(flow, input), f"Answers:\n\n{told}"))
        return RunResult(flow.run_id, "completed", told, collect_outputs(members.names, answers))
