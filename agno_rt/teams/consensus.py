"""The mode in which members answer in rounds until they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import attrs

from agno_rt.agent import Agent
from agno_rt.errors import UsageError
from agno_rt.messages import Message
from agno_rt.result import RunResult
from agno_rt.runnable import Drawing, Flow, Runnable
from agno_rt.teams._choose import ask_whether, call_function, check_decider
from agno_rt.teams._words import (
    Share,
    add_note,
    check_share,
    collect_outputs,
    require_answer,
    share_input,
    tell_answers,
)
from agno_rt.teams.mode import Members, Mode

__all__ = ["Agreement", "Consensus"]


class Agreement(TypedDict):
    """The output of a `Consensus`: the outcome, the number of rounds, and the last answers by name."""

    agreed: bool
    rounds: int
    answers: dict[str, Any]


def _are_equal(answers: Sequence[RunResult]) -> bool:
    return len({" ".join(answer.content.casefold().split()).rstrip(".!") for answer in answers}) == 1


@attrs.frozen
class Consensus(Mode):
    """All members answer at once, see all answers, and answer again, until the answers agree. Short: `"consensus"`.

    The output is an `Agreement`: `agreed` tells the outcome. The content is the first member's answer after an
    agreement, and all answers with names otherwise. With `on_error="keep"` the failure of a member is told to the
    others, and does not count.

    Attributes:
        agree: a function, async or not, that takes the results of the round and returns true if the answers agree; or
            an agent as a judge, with the input and all answers to see. By default, texts agree if they differ only in
            case, blanks and a last full stop
        rounds: the most rounds
        share: `"history"` to show the members the session's history too
    """

    agree: Agent | Callable[[Sequence[RunResult]], Any] = _are_equal
    rounds: int = 3
    share: Share = "task"

    def check(self, members: Members) -> None:
        """See `Mode.check`."""
        check_share("Consensus", self.share)
        check_decider("agree of Consensus", self.agree)
        if not isinstance(self.rounds, int) or isinstance(self.rounds, bool) or self.rounds < 1:
            raise UsageError(f"rounds of Consensus is {self.rounds!r}", hint="Give a whole number of at least 1.")

    def drawing(self, members: Members, draw: Callable[[Runnable], Drawing]) -> Drawing:
        """See `Mode.drawing`."""
        parts = [Drawing(parts=[draw(member) for member in members], form="parallel")]
        if isinstance(self.agree, Agent):
            parts.append(draw(self.agree))
        return Drawing(notes=[f"at most {self.rounds} rounds"], parts=parts, form="loop")

    async def conduct(self, flow: Flow, members: Members, input: tuple[Message, ...]) -> Any:
        """See `Mode.conduct`."""
        asked = share_input(flow, input, self.share)
        agreed, number, told, given = False, 0, "", asked
        answers: list[Any] = []
        while not agreed and number < self.rounds:
            number += 1
            answers = await members.ask_all(flow, [given] * len(members), "round")
            require_answer(answers)
            told = tell_answers(members.names, answers)
            agreed = await self._do_agree(flow, input, answers, told)
            note = f"The answers of round {number}:\n\n{told}\n\nConsider them, and answer again. Agree if you can."
            given = add_note(asked, note)
        output: Agreement = {"agreed": agreed, "rounds": number, "answers": collect_outputs(members.names, answers)}
        content = next(answer.content for answer in answers if isinstance(answer, RunResult)) if agreed else told
        return RunResult(flow.run_id, "completed", content, output)

    async def _do_agree(self, flow: Flow, input: Sequence[Message], answers: Sequence[Any], told: str) -> bool:
        if isinstance(self.agree, Agent):
            question = "Judge whether the answers agree in substance."
            return await ask_whether(flow, self.agree, question, add_note(input, f"Answers:\n\n{told}"))
        results = [answer for answer in answers if isinstance(answer, RunResult)]
        return bool(await call_function(self.agree, results))
