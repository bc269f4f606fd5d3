"""Teams whose members wait for a person: in every mode, nested, over a restart; no member is asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_rt import Agent, Limits, MemoryPolicy, Runtime, Team, Workflow, workflow
from agno_rt.errors import ModelError
from agno_rt.events import ApprovalAsked, ToolEnded
from agno_rt.runnable import Ask, Flow
from agno_rt.teams import Broadcast, Consensus, GroupChat, Handoff, Leader, Route, Sequence, Tasks
from agno_rt.testing import ScriptedModel
from tests.teams.members import delegate, failing, hand_over, logging, paying, saying

PLAN = [{"id": "t1", "member": "payer", "task": "pay"}, {"id": "t2", "member": "other", "task": "look", "needs": []}]


def first_then(name: str, log: list[str], first: Any) -> Agent:
    """Return an agent that takes a turn first, and then tells the results of its calls."""

    def answer(request: Any) -> Any:
        log.append(f"{name} turn {request.turn}")
        told = [message.text for message in request.messages if message.role == "tool"]
        return first if request.turn == 1 and not told else " | ".join(told) or "done"

    return Agent(ScriptedModel(answer), name)


def planning(log: list[str]) -> Agent:
    """Return a manager with a plan, who then answers from the results."""

    def answer(request: Any) -> Any:
        text = request.messages[-1].text
        log.append("manager " + ("answers" if "Answer now." in text else "plans"))
        return text if "Answer now." in text else json.dumps(PLAN)

    return Agent(ScriptedModel(answer), "manager")


MODES: dict[str, Callable[[list[str]], tuple[Team, str]]] = {
    "sequence": lambda log: (Team([paying("payer", log), logging("other", log)], Sequence()), "other"),
    "broadcast": lambda log: (
        Team([paying("payer", log), logging("other", log)], Broadcast()),
        "[payer]\npayer: paid\n\n[other]\nother",
    ),
    "route": lambda log: (Team([paying("payer", log), logging("other", log)], Route(lambda _: "payer")), "payer: paid"),
    "leader": lambda log: (
        Team(
            [paying("payer", log), logging("other", log)],
            Leader(first_then("lead", log, delegate(("payer", "p"), ("other", "o")))),
        ),
        "payer: paid | other",
    ),
    "handoff": lambda log: (
        Team([saying("greeter", hand_over("payer")), paying("payer", log)], Handoff("greeter", {"greeter": ["payer"]})),
        "payer: paid",
    ),
    "consensus": lambda log: (
        Team([paying("payer", log), logging("other", log)], Consensus(lambda results: True)),
        "payer: paid",
    ),
    "group_chat": lambda log: (
        Team([paying("payer", log), logging("other", log)], GroupChat(rounds=2)),
        "other",
    ),
    "tasks": lambda log: (
        Team([paying("payer", log), logging("other", log)], Tasks(planning(log))),
        "go\n\nResults:\n\n[t1, payer: pay]\npayer: paid\n\n[t2, other: look]\nother\n\nAnswer now.",
    ),
}


def name(team: Team, name: str = "team") -> Team:
    """Return the team with a name."""
    team.name = name
    return team


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("mode", MODES)
async def test_a_member_waits_for_a_person(mode: str, restart: bool, tmp_path: Path) -> None:
    """The team pauses with the member's approval, and goes on with the member; nobody answers twice."""
    log: list[str] = []
    made, answer = MODES[mode](log)
    team = name(made)
    memory = f"sqlite:///{tmp_path}/runs.db"
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(team, "go")
        assert (paused.status, [each.call.name for each in paused.approvals]) == ("paused", ["pay"])
        assert "payer pays" not in log
        before = list(log)
        # Nothing has been decided: the run pauses again, and does nothing.
        again = await rt.resume(paused.run_id)
        assert (again.status, again.approvals, log) == ("paused", paused.approvals, before)
        if not restart:
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id)
    if restart:
        async with Runtime(memory=memory) as rt:
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id, team)

    assert (result.status, result.content) == ("completed", answer)
    assert log.count("payer pays") == 1
    assert len(set(log)) == len(log), log


async def test_usage_counts_once() -> None:
    """The usage of a paused team has the member's part; that of the resumed team is as without a pause."""
    usage: list[Any] = []
    for approve in (True, False):
        log: list[str] = []
        payer = paying("payer", log)
        payer.tools[0].approve, payer.tools[0].pauses = approve, approve  # type: ignore[union-attr]
        lead = first_then("lead", log, delegate(("payer", "p"), ("other", "o")))
        team = Team([payer, logging("other", log)], Leader(lead), name="team")
        async with Runtime() as rt:
            result = await rt.run(team, "go")
            if approve:
                assert result.usage.input_tokens == 3  # the leader, the payer and the other, once each
                await rt.approve(result.approvals[0].id)
                result = await rt.resume(result.run_id)
        usage.append(result.usage)

    assert usage[0] == usage[1]


async def test_two_members_wait_and_are_answered_in_turn() -> None:
    """Two of three tasks of a turn wait. After each decision the member goes on; the leader waits for the last one."""
    log: list[str] = []
    lead = first_then("lead", log, delegate(("a", "1"), ("b", "2"), ("c", "3")))
    team = Team([paying("a", log), logging("b", log), paying("c", log)], Leader(lead), name="team")
    async with Runtime() as rt:
        first = await rt.run(team, "go")
        assert [each.agent for each in first.approvals] == ["a", "c"]
        await rt.approve(first.approvals[1].id)
        second = await rt.resume(first.run_id)
        assert (second.status, [each.agent for each in second.approvals]) == ("paused", ["a"])
        assert "c answers" in log
        await rt.deny(second.approvals[0].id, "too dear")
        third = await rt.resume(first.run_id)

    assert third.status == "completed"
    assert third.content.startswith("a: ")
    assert "too dear" in third.content
    assert third.content.endswith("| b | c: paid")
    assert log == ["lead turn 1", *sorted(log[1:2]), "c pays", "c answers", "a answers", "lead turn 2"]


@pytest.mark.parametrize("depth", [2, 3])
async def test_teams_within_teams_wait(depth: int) -> None:
    """A member deep within leaders of leaders waits for a person, and every team around it with it."""
    log: list[str] = []
    team = Team([paying("payer", log)], Leader(first_then("lead1", log, delegate(("payer", "p")))), name="team1")
    for number in range(2, depth + 1):
        lead = first_then(f"lead{number}", log, delegate((team.name, "t"), ("other", "o")))
        team = Team([team, logging("other", log)], Leader(lead), name=f"team{number}", at_once=2)
        log_of_others = "other answers"
    async with Runtime(limits=Limits(depth=20)) as rt:
        paused = await rt.run(team, "go")
        assert [each.agent for each in paused.approvals] == ["payer"]
        await rt.approve(paused.approvals[0].id)
        result = await rt.resume(paused.run_id)

    assert result.content == "payer: paid" + " | other" * (depth - 1)
    assert log.count(log_of_others) == depth - 1
    assert log.count("payer pays") == log.count("lead1 turn 1") == log.count("lead1 turn 2") == 1


async def test_mixed_modes_wait() -> None:
    """A declared workflow, in a broadcast, in a leader's team, in a sequence."""
    log: list[str] = []
    flow = Workflow("flow", [logging("before", log), paying("payer", log), logging("after", log)])
    both = Team([flow, logging("other", log)], Broadcast(), name="both")
    led = Team([both], Leader(first_then("lead", log, delegate(("both", "b")))), name="led")
    team = Team([led, logging("last", log)], Sequence(), name="team")
    async with Runtime(limits=Limits(depth=20)) as rt:
        paused = await rt.run(team, "go")
        await rt.approve(paused.approvals[0].id)
        result = await rt.resume(paused.run_id)

    assert result.content == "last"
    assert len(set(log)) == len(log) == 8


async def test_a_workflow_that_asks_is_a_member() -> None:
    """A member that is a workflow asks a person: the team is stored because of it, and waits."""

    @workflow(name="asker")
    async def asker(text: str, flow: Flow) -> str:
        return "yes" if await flow.ask(Ask(bool, "Sure?")) else "no"

    log: list[str] = []
    team = Team([asker], Leader(first_then("lead", log, delegate(("asker", "a")))), name="team")
    async with Runtime() as rt:
        paused = await rt.run(team, "go")
        assert [each.reason for each in paused.approvals] == ["Sure?"]
        await rt.answer(paused.approvals[0].id, True)
        result = await rt.resume(paused.run_id)

    assert result.content == "yes"
    assert log == ["lead turn 1", "lead turn 2"]


async def test_a_failure_beside_a_pause() -> None:
    """A member fails while another waits: the leader fails. A resumed run tries the failed task again, and waits."""
    log: list[str] = []
    lead = first_then("lead", log, delegate(("payer", "p"), ("broken", "b")))
    team = Team([paying("payer", log), failing("broken")], Leader(lead), name="team")
    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no luck") as caught:
            await rt.run(team, "go")
        run = caught.value.result.run_id
        with pytest.raises(ModelError, match="no luck"):
            await rt.resume(run)

    assert log == ["lead turn 1"]


async def test_events_of_a_pause() -> None:
    """The call that waits ends as paused, and the approval is announced once, by the member's run."""
    log: list[str] = []
    seen: list[Any] = []
    team = Team([paying("payer", log)], Leader(first_then("lead", log, delegate(("payer", "p")))), name="team")
    async with Runtime(observers=[seen.append]) as rt:
        paused = await rt.run(team, "go")
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id)

    ended = [event.status for event in seen if isinstance(event, ToolEnded) and event.call.name == "delegate"]
    assert ended == ["paused", "completed"]
    asked = [event for event in seen if isinstance(event, ApprovalAsked)]
    assert [event.approval for event in asked] == [paused.approvals[0].id]


async def test_a_tool_call_after_a_pause_counts_once() -> None:
    """A budget of tool calls holds over the pause: the call that waited counts once."""
    log: list[str] = []
    lead = first_then("lead", log, delegate(("payer", "p")))
    team = Team([paying("payer", log)], Leader(lead), name="team", limits=Limits(tool_calls=2))
    async with Runtime() as rt:
        paused = await rt.run(team, "go")
        await rt.approve(paused.approvals[0].id)
        result = await rt.resume(paused.run_id)

    assert result.content == "payer: paid"


async def test_a_team_has_a_memory_policy() -> None:
    """A team with a journal is stored, so that it goes on after a failure; finished members are not asked again."""
    log: list[str] = []
    tries: list[Any] = [ModelError("no luck", provider="x"), "done"]
    team = Team(
        [logging("a", log), Agent(ScriptedModel(tries), "b")],
        name="team",
        memory=MemoryPolicy(journal=True),
    )
    async with Runtime() as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(team, "go")
        result = await rt.resume(caught.value.result.run_id)

    assert (result.content, log) == ("done", ["a answers"])


async def test_what_a_process_has_cached_changes_no_journal(tmp_path: Path) -> None:
    """The first and the second run of one process pause; both go on in fresh processes, in the reverse order."""
    memory = f"sqlite:///{tmp_path}/runs.db"
    log: list[str] = []

    def make() -> Team:
        lead = first_then("lead", log, delegate(("payer", "p"), ("other", "o")))
        return Team([paying("payer", log), logging("other", log)], Leader(lead), name="team")

    team = make()
    async with Runtime(memory=memory) as rt:
        paused = [await rt.run(team, "go") for _ in range(2)]
    for each in reversed(paused):
        async with Runtime(memory=memory) as rt:
            await rt.approve(each.approvals[0].id)
            result = await rt.resume(each.run_id, make())
        assert result.content == "payer: paid | other"

    assert log.count("payer pays") == log.count("other answers") == 2
