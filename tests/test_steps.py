"""Stored runs as shown to people: steps, pending approvals, and stopped runs."""

from __future__ import annotations

import attrs
import pytest

from agno_rt import Agent, MemoryPolicy, ModelResponse, Runtime, ToolCall, Usage, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import NotFound, UsageError
from agno_rt.run_store import Entry, RunRecord
from agno_rt.steps import read_steps
from agno_rt.testing import ScriptedModel
from agno_rt.tools import Toolkit

CALL = ToolCall("c1", "pay", '{"amount":1}')


@tool(approve=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool
def look() -> str:
    """Look."""
    return "seen"


def clerk() -> Agent:
    return Agent(
        ScriptedModel([ModelResponse("I pay.", (CALL,), "hm", Usage(3, 5)), "done"]),
        "clerk",
        tools=[pay],
        memory=MemoryPolicy(journal=True),
    )


async def test_the_steps_of_a_run() -> None:
    """Each step has its own fields and the time of writing, in order."""
    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(clerk(), "Pay")
        await rt.approve(paused.approvals[0].id)
        await rt.resume(paused.run_id)
        record, entries = await memory.load_run(paused.run_id)
    steps = read_steps(entries, paused.run_id)
    by_kind = {step.kind: step for step in steps}

    kinds = [step.kind for step in steps]
    assert kinds == ["begun", "answered", "paused", "started", "called", "answered", "ended"]
    assert [step.seq for step in steps] == list(range(len(steps)))
    times = [step.at for step in steps if step.at is not None]
    assert len(times) == len(steps)
    assert record.created_at == pytest.approx(times[0], abs=60)
    assert times == sorted(times)
    assert by_kind["begun"].content == "Pay"
    answered = steps[1]
    assert (answered.turn, answered.content, answered.reasoning) == (1, "I pay.", "hm")
    assert (answered.tool_calls, answered.usage) == ((CALL,), Usage(3, 5))
    assert by_kind["paused"].approvals == (paused.approvals[0].id,)
    called = by_kind["called"]
    assert (called.turn, called.call, called.name, called.status, called.content) == (
        1,
        "c1",
        "pay",
        "completed",
        "paid 1",
    )
    assert called.text == "turn 1: pay completed: paid 1"
    assert (by_kind["ended"].status, by_kind["ended"].error) == ("completed", None)


def test_a_step_that_cannot_be_read() -> None:
    """A damaged step is marked as damaged and hides no other step. An entry of an older version has no time."""
    entries = [
        Entry(0, "begun", b'{"input":[]}'),
        Entry(1, "answered", b"{"),
        Entry(2, "ended", b'{"status":"failed"}'),
    ]
    begun, damaged, ended = read_steps(entries, "r")

    assert (begun.text, begun.at) == ("asked: ", None)
    assert damaged.text.startswith("damaged: entry 1 of the journal of run 'r'")
    assert (ended.status, ended.at) == ("failed", None)


async def test_the_tools_of_an_agent() -> None:
    """An agent's tools, also of toolkits, are listed by name, and tell whether a run may pause."""
    async with Runtime() as rt:
        tools = rt.tools(Agent(ScriptedModel([]), "a", tools=[Toolkit("kit", [pay, look])]))
        with pytest.raises(UsageError, match="nothing"):
            rt.tools(Agent("nothing:at-all", "a"))

    assert {name: each.pauses for name, each in tools.items()} == {"pay": True, "look": False}


async def test_finds_an_approval() -> None:
    """An approval is found by id before and after the decision, but not for another user."""
    async with Runtime() as rt:
        paused = await rt.run(clerk(), "Pay", user="ann")
        approval = paused.approvals[0].id
        waiting = await rt.approval(approval, user="ann")
        await rt.deny(approval)
        denied = await rt.approval(approval)
        for wrong, user in ((approval, "bob"), (f"{approval}x", "ann"), ("nothing", None)):
            with pytest.raises(NotFound, match="approval"):
                await rt.approval(wrong, user=user)

    assert waiting == paused.approvals[0]
    assert denied.status == "denied"


async def test_says_which_runs_are_stopped() -> None:
    """A running run without a live process counts as stopped; without leases, a process elsewhere counts as alive."""
    async with Runtime() as rt:
        run = RunRecord("unowned", "a", "running")
        elsewhere = attrs.evolve(run, id="elsewhere", owner="another-host/1/2/3")
        others = [attrs.evolve(run, id=status, status=status) for status in ("paused", "completed")]
        found = await rt.find_stopped([run, elsewhere, *others])

    assert found == {"unowned"}
