"""The mode Leader: delegation by tool calls."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from agno_rt import Agent, Limits, RunContext, Runtime, Team, ToolCall, tool
from agno_rt.errors import LimitExceeded, ModelError
from agno_rt.events import RunStarted, ToolEnded, ToolStarted
from agno_rt.teams import Leader
from agno_rt.testing import ScriptedModel
from tests.teams.members import delegate, echo, failing, paying, requests_of, saying, slow, texts_of


def last_two(request: Any) -> str:
    """Answer with the last two messages."""
    return " | ".join(message.text for message in request.messages[-2:])


async def test_tasks_of_one_turn_run_together(autojump_clock: Any) -> None:
    """Two tasks of a turn take as long as the longer one, and the leader gets the answers in order."""
    lead = saying("lead", delegate(("a", "one"), ("b", "two")), last_two)
    async with Runtime() as rt:
        began = trio.current_time()
        result = await rt.run(Team([slow("a", 5), slow("b", 3)], Leader(lead)), "x")

    assert result.content == "a | b"
    assert trio.current_time() - began == pytest.approx(5)


async def test_the_leader_is_not_changed() -> None:
    """The leader gets the tool in a copy, beside its own tools; the tool lists the members."""

    @tool(inline=True)
    def now() -> str:
        """The time."""
        return "noon"

    lead = Agent(ScriptedModel([ToolCall("1", "now"), delegate(("a", "one")), "done"]), "lead", "", [now])
    member = attrs.evolve(echo("a"), description="Counts.")
    async with Runtime() as rt:
        await rt.run(Team([member, echo("b")], Leader(lead)), "x")

    assert list(lead.tools) == [now]
    own, given = requests_of(lead)[0].tools
    assert (own.name, given.name) == ("now", "delegate")
    assert given.description.endswith("- a: Counts.\n- b")
    assert given.parameters["properties"]["member"]["enum"] == ["a", "b"]


async def test_an_unknown_member_is_told_to_the_model() -> None:
    """A call with a name that is not a member's goes back to the model, and the run goes on."""
    lead = saying("lead", delegate(("nobody", "x")), delegate(("a", "y")), last_two)
    async with Runtime() as rt:
        result = await rt.run(Team([echo("a")], Leader(lead)), "x")

    assert result.content.endswith("| a(y)")
    assert 'Invalid value "nobody"' in requests_of(lead)[1].messages[-1].text


async def test_members_see_their_task_alone() -> None:
    """A member sees its task; with `share="history"` the conversation before it as well. The leader sees all."""
    async with Runtime() as rt:
        for share, seen in (("task", ["user: now"]), ("history", ["user: one", "assistant: hello", "user: two"])):
            member = echo("a")
            lead = saying("lead", "hello", delegate(("a", "now")), "done")
            team = Team([member], Leader(lead, share=share), name="desk")  # type: ignore[arg-type]
            await rt.run(team, "one", session=share)
            await rt.run(team, "two", session=share)

            told = texts_of(requests_of(member)[0].messages)
            assert told == (seen if share == "task" else [*seen[:-1], "user: two\n\nYour task: now"])
            assert texts_of(requests_of(lead)[1].messages) == ["user: one", "assistant: hello", "user: two"]


async def test_a_kept_failure_is_told_to_the_leader() -> None:
    """With `keep` the leader is told of a failure in words, and goes on with the other answers."""
    lead = saying("lead", delegate(("f", "one"), ("a", "two")), last_two)
    async with Runtime() as rt:
        result = await rt.run(Team([failing("f"), echo("a")], Leader(lead), on_error="keep"), "x")

    assert result.content == "f failed: no luck | a(two)"


async def test_a_failure_ends_the_leader(autojump_clock: Any) -> None:
    """With `cancel` a failure cancels the other tasks of the turn, and the leader's model is not asked again."""
    lead = saying("lead", delegate(("slow", "one"), ("f", "two")))
    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no luck") as caught:
            await rt.run(Team([slow("slow", 1e6), failing("f")], Leader(lead), name="team"), "x")

    assert trio.current_time() < 1e5
    assert len(requests_of(lead)) == 1
    assert caught.value.result.status == "failed"


async def test_at_once_bounds_the_tasks(autojump_clock: Any) -> None:
    """`at_once` bounds the tasks under way."""
    lead = saying("lead", delegate(("a", "1"), ("b", "2")), "done")
    async with Runtime() as rt:
        began = trio.current_time()
        await rt.run(Team([slow("a", 5), slow("b", 3)], Leader(lead), at_once=1), "x")

    assert trio.current_time() - began == pytest.approx(8)


async def test_the_leaders_limits_hold_for_the_members() -> None:
    """The members' runs count towards the budgets of the leader's run, and the usage is the sum."""
    lead = Agent(ScriptedModel([delegate(("a", "1")), "done"]), "lead", limits=Limits(tokens=5))
    async with Runtime() as rt:
        with pytest.raises(LimitExceeded):
            await rt.run(Team([echo("a", 9)], Leader(lead)), "x")
        lead = saying("lead", delegate(("a", "1")), "done")
        result = await rt.run(Team([echo("a", 9)], Leader(lead)), "x")

    assert result.usage.input_tokens == 9 + 2


async def test_events_of_a_delegation() -> None:
    """Each call starts and ends once with an id of its own; the member's run is within the leader's."""
    seen: list[Any] = []
    lead = saying("lead", delegate(("a", "1"), ("b", "2")), delegate(("a", "3")), "done")
    async with Runtime(observers=[seen.append]) as rt:
        await rt.run(Team([echo("a"), echo("b")], Leader(lead), name="team"), "x")

    started = [event.call for event in seen if isinstance(event, ToolStarted)]
    ended = [event.call for event in seen if isinstance(event, ToolEnded)]
    assert len(started) == len(ended) == 3
    runs = {event.run_id: event for event in seen if isinstance(event, RunStarted)}
    within = [runs[event.parent].agent for event in runs.values() if event.parent in runs]
    assert within == ["team", "lead", "lead", "lead"]


async def test_a_pause_belongs_to_its_run() -> None:
    """A run that waits for a person does not hold up a run of the same team in another session."""
    log: list[str] = []
    payer = paying("payer", log, when="pay")
    lead = Agent(
        ScriptedModel(
            lambda request: delegate(("payer", request.messages[-1].text)) if request.turn == 1 else last_two(request)
        ),
        "lead",
    )
    team = Team([payer], Leader(lead), name="desk")
    async with Runtime() as rt:
        waiting = await rt.run(team, "pay it", session="1")
        other = await rt.run(team, "hello", session="2")

    assert (waiting.status, other.status) == ("paused", "completed")
    assert other.content.endswith("| payer: hello")
    assert log == ["payer answers"]


async def test_a_tool_runs_an_agent_by_its_context() -> None:
    """`RunContext.run` runs an agent within the run, for the same user and deps, and counts its usage."""
    seen: list[Any] = []

    async def ask(question: str, context: RunContext) -> str:
        """Ask the helper."""
        return str((await context.run(echo("helper", 7), question)).content)

    agent = Agent(ScriptedModel([ToolCall("1", "ask", {"question": "q"}), "done"]), "lead", "", [ask])
    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(agent, "x", user="ann")

    runs = [event for event in seen if isinstance(event, RunStarted)]
    assert [(run.agent, run.user, run.parent) for run in runs] == [
        ("lead", "ann", None),
        ("helper", "ann", result.run_id),
    ]
    assert result.usage.input_tokens == 9
