"""The mode GroupChat: members talk in turns."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt import Runtime, Team
from agno_rt.errors import ModelError, NotFound, UsageError
from agno_rt.teams import GroupChat, Said
from tests.teams.members import echo, failing, requests_of, saying


async def test_members_speak_in_turn() -> None:
    """By default members speak in their order until the rounds are over; each sees the talk so far."""
    a, b = saying("a", "one", "three"), saying("b", "two")
    async with Runtime() as rt:
        result = await rt.run(Team([a, b], GroupChat(rounds=3)), "Talk.")

    assert result.content == "three"
    assert requests_of(a)[1].messages[-1].text == "Talk.\n\nSaid so far:\n\n[a]\none\n\n[b]\ntwo"


async def test_functions_select_and_end() -> None:
    """A function chooses the speaker from the turns so far, and another one ends the talk."""
    turns: list[Any] = []
    a, b = echo("a"), echo("b")

    async def select(said: Any) -> Any:
        turns.append(list(said))
        return b if len(said) % 2 else "a"

    async with Runtime() as rt:
        result = await rt.run(Team([a, b], GroupChat(select, until=lambda said: len(said) == 2)), "x")

    assert result.content.startswith("b(x")
    assert turns == [[], [Said("a", "a(x)")]]


async def test_nobody_ends_the_talk() -> None:
    """The talk ends when nobody is chosen; nobody at the very beginning, or a stranger, is an error."""
    async with Runtime() as rt:
        team = Team([echo("a")], GroupChat(lambda said: None if said else "a"))
        assert (await rt.run(team, "x")).content == "a(x)"
        with pytest.raises(UsageError, match="nobody spoke in the group chat"):
            await rt.run(Team([echo("a")], GroupChat(lambda said: None)), "x")
        with pytest.raises(NotFound, match=r"unknown member 'b' \(returned by select of GroupChat\)"):
            await rt.run(Team([echo("a")], GroupChat(lambda said: "b")), "x")


async def test_agents_select_and_judge() -> None:
    """An agent chooses by an output type; nobody is a choice once somebody has spoken. A judge ends the talk."""
    select, judge = saying("select", '"b"', '"a"', '"nobody"'), saying("judge", "false", "false")
    async with Runtime() as rt:
        talk = await rt.run(Team([echo("a"), saying("b", "hm")], GroupChat(select, until=judge)), "x")
        judge = saying("judge", "true")
        short = await rt.run(Team([echo("a"), echo("b")], GroupChat(until=judge)), "x")

    assert talk.content == "a(x\n\nSaid so far:\n\n[b]\nhm)"
    assert short.content == "a(x)"
    choices = [request.output["properties"]["value"]["enum"] for request in requests_of(select) if request.output]
    assert choices == [["a", "b"], ["a", "b", "nobody"], ["a", "b", "nobody"]]


async def test_a_kept_failure_is_a_turn() -> None:
    """With `keep` a failure is said in words; if nobody says anything else, the run fails."""
    seen: list[Any] = []

    def watch(said: Any) -> bool:
        seen[:] = said
        return False

    async with Runtime() as rt:
        team = Team([failing("f"), echo("a")], GroupChat(until=watch, rounds=2), on_error="keep")
        result = await rt.run(team, "x")
        with pytest.raises(ModelError):
            await rt.run(Team([failing("f")], GroupChat(rounds=2), on_error="keep"), "x")

    assert result.content == "a(x\n\nSaid so far:\n\n[f]\nfailed: no luck)"
    assert [turn.failed for turn in seen] == [True, False]
