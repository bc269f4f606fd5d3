"""The mode Handoff: the conversation moves, and the session keeps who is active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Runtime, Team, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import ModelError
from agno_rt.events import ToolEnded, ToolStarted
from agno_rt.teams import Handoff
from agno_rt.testing import Pauses, ScriptedModel, cancel_everywhere
from tests.teams.members import echo, failing, hand_over, requests_of, saying, texts_of


async def test_the_conversation_moves() -> None:
    """The next member answers the user, knows who handed over and why, and sees no tool call of another member."""
    greeter, billing = saying("greeter", hand_over("billing", reason="an invoice")), echo("billing")
    team = Team([greeter, billing], Handoff(greeter, {greeter: [billing]}), name="desk")
    async with Runtime() as rt:
        result = await rt.run(team, "pay?")

    said = "pay?\n\n(greeter handed the conversation over to you: an invoice)"
    assert texts_of(requests_of(billing)[0].messages) == [f"user: {said}"]
    assert result.content == f"billing({said})"
    assert len(requests_of(greeter)) == 1
    assert requests_of(billing)[0].tools == ()


@pytest.mark.parametrize("memory", ["memory:", "sqlite"])
async def test_the_session_keeps_who_is_active(memory: str, tmp_path: Path) -> None:
    """The next message of the user goes to the member who answered last, after a restart too; it may hand back."""
    url = memory if memory == "memory:" else f"sqlite:///{tmp_path}/a.db"
    greeter = saying("greeter", hand_over("billing"), "back at the desk")
    billing = saying("billing", "billing here", "billing still", hand_over("greeter"))
    team = Team([greeter, billing], Handoff("greeter", {"greeter": [billing]}, back=True), name="desk")
    answers = []
    rt = Runtime(memory=url)
    for text in ("one", "two", "three"):
        if memory == "sqlite":
            rt = Runtime(memory=url)
        async with rt:
            answers.append((await rt.run(team, text, session="s", user="ann")).content)
            if memory == "memory:" and len(answers) == 1:
                answers += [(await rt.run(team, more, session="s", user="ann")).content for more in ("two", "three")]
                break

    assert answers == ["billing here", "billing still", "back at the desk"]
    assert texts_of(requests_of(billing)[1].messages) == ["user: one", "assistant: billing here", "user: two"]


async def test_each_session_has_its_own_active_member() -> None:
    """Who is active in one session does not matter in another."""
    greeter = Agent(
        ScriptedModel(lambda request: hand_over("billing") if "pay" in request.messages[-1].text else "hello"),
        "greeter",
    )
    team = Team([greeter, echo("billing")], Handoff(greeter, {greeter: ["billing"]}), name="desk")
    async with Runtime() as rt:
        await rt.run(team, "pay", session="1")
        assert (await rt.run(team, "good day", session="2")).content == "hello"
        assert (await rt.run(team, "again", session="1")).content == "billing(again)"


async def test_of_several_handoffs_the_first_counts() -> None:
    """Of several handoffs in one turn the first counts, and the others are answered with the reason."""
    seen: list[Any] = []
    greeter = saying("greeter", hand_over("b", "c"))
    team = Team([greeter, echo("b"), echo("c")], Handoff(greeter, {greeter: ["b", "c"]}), name="desk")
    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(team, "x")

    assert result.content.startswith("b(x")
    ended = [event for event in seen if isinstance(event, ToolEnded)]
    assert [event.content for event in ended] == [
        "b takes over the conversation.",
        "Not done: only the first handoff of a turn counts.",
    ]


async def test_a_handoff_to_a_stranger() -> None:
    """A handoff that is not declared is refused by the tool's schema, and the model may try again."""
    greeter = saying("greeter", hand_over("c"), hand_over("b"))
    team = Team([greeter, echo("b"), echo("c")], Handoff(greeter, {greeter: ["b"]}))
    async with Runtime() as rt:
        result = await rt.run(team, "x")

    assert result.content.startswith("b(x")
    assert 'Invalid value "c"' in requests_of(greeter)[1].messages[-1].text


async def test_handoffs_are_bounded() -> None:
    """After `most` handoffs the member has no tool to hand over, and must answer."""

    def pass_on(other: str) -> Any:
        return lambda request: hand_over(other) if request.tools else f"stuck with me, not {other}"

    a, b = Agent(ScriptedModel(pass_on("b")), "a"), Agent(ScriptedModel(pass_on("a")), "b")
    team = Team([a, b], Handoff(a, {a: [b]}, back=True, most=5))
    async with Runtime() as rt:
        result = await rt.run(team, "x")

    assert result.content == "stuck with me, not a"
    assert len(requests_of(a)) + len(requests_of(b)) == 6


async def test_a_stored_handoff_has_one_call_and_one_result() -> None:
    """A streamed handoff leaves no call in the session, so the second turn's request has each call answered once."""
    seen: list[Any] = []

    @tool(inline=True)
    def look(room: str) -> str:
        """Look up a room."""
        return "free"

    greeter = saying("greeter", hand_over("billing"))
    steps: list[Any] = [ToolCall("call0", "look", {"room": "1"}), "it is free", "still free"]
    billing = Agent(ScriptedModel(steps), "billing", "", [look])
    team = Team([greeter, billing], Handoff(greeter, {greeter: [billing]}), name="desk")
    async with Runtime(observers=[seen.append]) as rt:
        async with rt.stream(team, "one", session="s") as events:
            assert [event async for event in events]
        await rt.run(team, "two", session="s")
        session = await rt.memory.load("s")

    assert texts_of(session.messages) == [
        "user: one",
        "assistant: it is free",
        "user: two",
        "assistant: still free",
    ]
    for request in requests_of(billing):
        calls = [call.id for message in request.messages for call in message.tool_calls]
        results = [message.tool_call_id for message in request.messages if message.role == "tool"]
        assert calls == results
        assert len(set(calls)) == len(calls)
    started = [(event.run_id, event.call.id) for event in seen if isinstance(event, ToolStarted)]
    assert len(set(started)) == len(started) == 2


async def test_a_team_receives_the_conversation() -> None:
    """A member that is a team may receive the conversation."""
    greeter = saying("greeter", hand_over("back office"))
    office = Team([echo("a"), echo("b")], name="back office")
    async with Runtime() as rt:
        result = await rt.run(Team([greeter, office], Handoff(greeter, {greeter: [office]}), name="desk"), "x")

    assert result.content.startswith("b(a(x")


async def test_a_failure_after_a_handoff() -> None:
    """A failure of the receiving member is the team's, and the session stays with the member who was active."""
    greeter = Agent(
        ScriptedModel(lambda request: hand_over("f") if "pay" in request.messages[-1].text else "hello"), "greeter"
    )
    team = Team([greeter, failing("f")], Handoff(greeter, {greeter: ["f"]}), name="desk")
    async with Runtime() as rt:
        with pytest.raises(ModelError):
            await rt.run(team, "pay", session="s")
        assert (await rt.run(team, "hi", session="s")).content == "hello"


async def test_there_and_back() -> None:
    """A hands to B and B back to A: no request has a call without a result, or a call of another member."""
    a, b = saying("a", hand_over("b"), "done"), saying("b", hand_over("a", reason="not mine"))
    async with Runtime() as rt:
        result = await rt.run(Team([a, b], Handoff(a, {a: [b]}, back=True)), "x")

    assert result.content == "done"
    assert texts_of(requests_of(a)[1].messages) == ["user: x\n\n(b handed the conversation over to you: not mine)"]
    for request in (*requests_of(a), *requests_of(b)):
        assert not any(message.tool_calls for message in request.messages)


def test_a_cancelled_handoff_leaves_the_session_whole() -> None:
    """A run cancelled at any point stores all of its turn or nothing, and the next turn goes to the right member."""

    async def scenario(point: Any) -> None:
        pauses = Pauses()
        steps = {"pay": [hand_over("b")], "hi": ["hello"]}
        a = Agent(pauses.model(ScriptedModel(steps)), "a")
        b = Agent(pauses.model(ScriptedModel(lambda request: "paid")), "b")
        team = Team([a, b], Handoff(a, {a: ["b"]}), name="desk")
        async with Runtime(memory=pauses.memory(InProcessMemory())) as rt:
            with point:
                await rt.run(team, "pay", session="s")
            stored = texts_of((await rt.memory.load("s")).messages)
            assert stored in ([], ["user: pay", "assistant: paid"])
            answer = await rt.run(team, "hi", session="s")
        assert answer.content == ("paid" if stored else "hello")

    assert cancel_everywhere(scenario, at_least=10, virtual=True)
