"""The mode Consensus: rounds until a test or a judge finds that the answers agree."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt import Agent, Runtime, Team
from agno_rt.errors import ModelError
from agno_rt.teams import Consensus
from agno_rt.testing import ScriptedModel
from tests.teams.members import echo, failing, requests_of, saying


async def test_rounds_until_agreement() -> None:
    """From the second round on, members see all answers; the first round with agreement is the last."""
    a, b = saying("a", "red", "blue"), saying("b", "blue", "Blue.")
    async with Runtime() as rt:
        result = await rt.run(Team([a, b], Consensus(rounds=5)), "Which?")

    assert result.content == "blue"
    assert result.output == {"agreed": True, "rounds": 2, "answers": {"a": "blue", "b": "Blue."}}
    assert (
        requests_of(a)[1]
        .messages[-1]
        .text.startswith("Which?\n\nThe answers of round 1:\n\n[a]\nred\n\n[b]\nblue\n\nConsider")
    )


async def test_no_agreement() -> None:
    """After the last round the result says that there is no agreement, and has all answers."""
    a, b = saying("a", "red", "red"), saying("b", "blue", "blue")
    async with Runtime() as rt:
        result = await rt.run(Team([a, b], Consensus(rounds=2)), "Which?")

    assert result.output == {"agreed": False, "rounds": 2, "answers": {"a": "red", "b": "blue"}}
    assert result.content == "[a]\nred\n\n[b]\nblue"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_test_decides(is_async: bool) -> None:
    """A function of the results decides, by their outputs too."""
    a = Agent(ScriptedModel(["1", "2"]), "a", output=int)
    b = Agent(ScriptedModel(["3", "3"]), "b", output=int)

    def are_close(results: Any) -> bool:
        return bool(abs(results[0].output - results[1].output) <= 1)

    async def are_close_later(results: Any) -> bool:
        return are_close(results)

    async with Runtime() as rt:
        result = await rt.run(Team([a, b], Consensus(are_close_later if is_async else are_close)), "How many?")

    assert result.output == {"agreed": True, "rounds": 2, "answers": {"a": 2, "b": 3}}


async def test_a_judge_decides() -> None:
    """An agent as the judge answers true or false by its output type, and sees the input and all answers."""
    judge = saying("judge", "false", "true")
    async with Runtime() as rt:
        result = await rt.run(Team([echo("a"), echo("b")], Consensus(judge)), "Which?")

    assert result.output["agreed"] is True
    assert result.output["rounds"] == 2
    [first, _] = requests_of(judge)
    assert first.output is not None
    assert first.messages[-1].text == "Which?\n\nAnswers:\n\n[a]\na(Which?)\n\n[b]\nb(Which?)"


async def test_a_kept_failure_is_told_and_does_not_count() -> None:
    """With `keep` the others are told of a failure, and their agreement counts; with no answer left the run fails."""
    b = saying("b", "blue")
    async with Runtime() as rt:
        result = await rt.run(Team([failing("f"), b], Consensus(), on_error="keep"), "Which?")
        with pytest.raises(ModelError):
            await rt.run(Team([failing("f"), failing("g")], Consensus(), on_error="keep"), "Which?")

    assert result.content == "blue"
    assert result.output["answers"] == {"f": "failed: no luck", "b": "blue"}
