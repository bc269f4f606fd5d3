"""The modes Sequence, Broadcast and Route."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from agno_rt import Agent, Media, Message, Runtime, Team
from agno_rt.errors import ModelError, NotFound, OutputError, UsageError
from agno_rt.media import image
from agno_rt.models import ModelProfile
from agno_rt.teams import Broadcast, Route, Sequence
from agno_rt.testing import ScriptedModel
from tests.teams.members import echo, failing, requests_of, saying, slow, texts_of


async def test_a_sequence_hands_answers_on() -> None:
    """Each member sees the answer of the member before, and nothing else."""
    second = echo("b")
    async with Runtime() as rt:
        result = await rt.run(Team([echo("a"), second, echo("c")]), "x")

    assert result.content == "c(b(a(x)))"
    assert texts_of(requests_of(second)[0].messages) == ["user: a(x)"]


async def test_a_sequence_keeps_going() -> None:
    """With `keep` a failed member is left out and the next one is told; the last member's failure is the team's."""
    async with Runtime() as rt:
        team = Team([echo("a"), failing("f"), echo("c")], on_error="keep")
        assert (await rt.run(team, "x")).content == "c(a(x)\n\n[f] failed: no luck)"
        with pytest.raises(ModelError):
            await rt.run(Team([echo("a"), failing("f")], on_error="keep"), "x")


async def test_the_typed_answer_of_the_last_is_the_teams() -> None:
    """The output of the last member is the output of the team."""
    typed = Agent(ScriptedModel(["[1, 2]"]), "typed", output=list[int])
    async with Runtime() as rt:
        assert (await rt.run(Team([echo("a"), typed]), "x")).output == [1, 2]


async def test_a_writer_behind_a_broadcast_sees_all() -> None:
    """Whoever comes after a broadcast sees all answers in the members' order, however long each takes."""
    writer = saying("writer", "done", "done")
    three = [slow("a", 0.03), slow("b", 0.02), slow("c", 0.01)]
    async with Runtime() as rt:
        await rt.run(Team([Team(three, "parallel", name="all"), writer]), "x")
        await rt.run(Team(three, Broadcast(writer)), "x")

    told = "[a]\na\n\n[b]\nb\n\n[c]\nc"
    assert [request.messages[-1].text for request in requests_of(writer)] == [told, f"x\n\nAnswers:\n\n{told}"]


async def test_a_broadcast_keeps_what_it_has() -> None:
    """With `keep` a failure is told in words, to the integrator too; with no answer at all the run fails."""
    integrator = echo("i")
    async with Runtime() as rt:
        kept = await rt.run(Team([failing("f"), echo("a")], Broadcast(), on_error="keep"), "x")
        made = await rt.run(Team([failing("f"), echo("a")], Broadcast(integrator), on_error="keep"), "x")
        with pytest.raises(ModelError):
            await rt.run(Team([failing("f"), failing("g")], Broadcast(), on_error="keep"), "x")

    assert kept.output == {"f": "failed: no luck", "a": "a(x)"}
    assert made.content == "i(x\n\nAnswers:\n\n[f]\nfailed: no luck\n\n[a]\na(x))"


async def test_a_failure_cancels_the_others(autojump_clock: Any) -> None:
    """With `cancel` the first failure ends a broadcast at once."""
    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no luck"):
            await rt.run(Team([slow("a", 1e6), failing("f")], "parallel"), "x")


async def test_outputs_of_a_broadcast() -> None:
    """The output has each member's output by name, or its text; a member without a name has its number."""
    typed = Agent(ScriptedModel(["7"]), "typed", output=int)
    async with Runtime() as rt:
        result = await rt.run(Team([typed, attrs.evolve(echo("a"), name="")], "parallel"), "x")

    assert result.output == {"typed": 7, "2": "a(x)"}


async def test_an_image_reaches_the_members() -> None:
    """Media in the input are passed on, and the integrator sees them beside the answers."""
    picture = image(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    profile = ModelProfile(media=("image/*",))
    members = [Agent(ScriptedModel(["cat"], profile=profile), "a")]
    integrator = Agent(ScriptedModel(["a cat"], profile=profile), "i")
    async with Runtime() as rt:
        assert (await rt.run(Team(members, Broadcast(integrator)), ["What?", picture])).content == "a cat"

    for agent in (*members, integrator):
        [message] = requests_of(agent)[0].messages
        assert [type(part) for part in message.content][:2] == [str, Media]


async def test_a_function_routes() -> None:
    """A function, async or not, gets the input's text and returns a member or a name; the answer is the member's."""
    billing, tech = echo("billing"), Agent(ScriptedModel(["3"]), "tech", output=int)

    async def choose(text: str) -> Any:
        return tech if "broken" in text else "billing"

    async with Runtime() as rt:
        team = Team([billing, tech], Route(choose))
        assert (await rt.run(team, "my bill")).content == "billing(my bill)"
        assert (await rt.run(team, "it is broken")).output == 3


async def test_a_function_that_chooses_nobody() -> None:
    """Without a fallback, nobody and an unknown name are errors with the remedy; with one, the fallback answers."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="chose nobody, and there is no fallback"):
            await rt.run(Team([echo("a")], Route(lambda text: None)), "x")
        with pytest.raises(NotFound, match=r"unknown member 'aa' \(returned by by of Route\)") as caught:
            await rt.run(Team([echo("a")], Route(lambda text: "aa")), "x")
        fallen = await rt.run(Team([echo("a")], Route(lambda text: None, fallback=echo("z"))), "x")

    assert "Did you mean 'a'?" in caught.value.hint
    assert fallen.content == "z(x)"


@pytest.mark.parametrize("mode", ["schema", "tool", "prompt"])
async def test_an_agent_routes_by_a_typed_answer(mode: Any) -> None:
    """The agent's answer can only be the name of a member, in each way of a model; descriptions are in its prompt."""
    triage = Agent(ScriptedModel(['"billing"'], profile=ModelProfile(output=mode)), "triage", "Be quick.")
    members = [attrs.evolve(echo("billing"), description="Bills."), echo("tech")]
    async with Runtime() as rt:
        result = await rt.run(Team(members, Route(triage)), "x")

    assert result.content == "billing(x)"
    [request] = requests_of(triage)
    assert request.messages[0].text.startswith(
        "Be quick.\n\nChoose who answers the last message:\n- billing: Bills.\n- tech"
    )
    if mode == "schema":
        assert request.output is not None
        assert request.output["properties"]["value"]["enum"] == ["billing", "tech"]
    assert triage.output is None


async def test_an_agent_that_names_no_member() -> None:
    """An unknown name goes back to the model; after its attempts the run fails, or the fallback answers."""
    async with Runtime() as rt:
        corrected = await rt.run(Team([echo("a")], Route(saying("t", '"b"', '"a"'))), "x")
        with pytest.raises(OutputError):
            await rt.run(Team([echo("a")], Route(saying("t", '"b"', '"b"', '"b"'))), "x")
        fallen = await rt.run(Team([echo("a")], Route(saying("t", '"b"', '"b"', '"b"'), fallback=echo("z"))), "x")
        nobody = await rt.run(Team([echo("a")], Route(saying("t", '"nobody"'), fallback=echo("z"))), "x")

    assert [result.content for result in (corrected, fallen, nobody)] == ["a(x)", "z(x)", "z(x)"]


async def test_the_routing_agent_writes_the_answer() -> None:
    """With `own_answer=False` the agent answers the user from the member's answer."""
    triage = saying("t", '"a"', lambda request: f"In short: {request.messages[-1].text}")
    async with Runtime() as rt:
        result = await rt.run(Team([echo("a")], Route(triage, own_answer=False)), "x")

    assert result.content == "In short: x\n\n[a]\na(x)\n\nAnswer from this."


async def test_the_routed_answer_is_in_the_history() -> None:
    """The answer of the chosen member is the team's in the session, and the next turn's choice sees it."""
    triage = saying("t", '"a"', '"a"')
    team = Team([echo("a")], Route(triage, share="history"), name="front")
    async with Runtime() as rt:
        await rt.run(team, "one", session="s")
        await rt.run(team, "two", session="s")

    assert texts_of(requests_of(triage)[1].messages)[1:] == ["user: one", "assistant: a(one)", "user: two"]


async def test_instructions_that_are_functions() -> None:
    """The instructions of a deciding agent may be a function: the list of members follows its text."""

    async def instructions(context: Any) -> str:
        return f"You are {context.agent}."

    triage = Agent(ScriptedModel(['"a"']), "t", instructions)
    async with Runtime() as rt:
        await rt.run(Team([echo("a")], Route(triage)), "x")

    assert requests_of(triage)[0].messages[0].text.startswith("You are t.\n\nChoose who")


async def test_messages_as_the_input() -> None:
    """A conversation as the input reaches members as it is, with a note only where a mode adds one."""
    conversation = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]
    member = echo("a")
    async with Runtime() as rt:
        await rt.run(Team([member], Sequence()), conversation)

    assert texts_of(requests_of(member)[0].messages) == ["user: one", "assistant: two", "user: three"]
