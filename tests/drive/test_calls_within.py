"""Tools that call the agent's other tools: on the same path as the model's own calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import Agent, Limits, MemoryPolicy, ModelRequest, RunResult, Runtime, ToolCall, tool
from agno_rt.context import RunContext
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import UsageError
from agno_rt.events import Event, ToolEnded, ToolStarted
from agno_rt.hooks import Hook
from agno_rt.run_store import Resume
from agno_rt.testing import CancelPoint, KillPoint, ScriptedModel, cancel_everywhere, kill_everywhere
from tests.helpers import told

STORED = MemoryPolicy(journal=True)


class Bank:
    """Tools that pay, and a tool that pays several people by the others."""

    def __init__(self, to: Sequence[str] = ("ann", "bob"), **options: Any) -> None:
        self.paid: list[str] = []
        self.rounds = 0

        @tool(**options)
        async def pay(to: str) -> str:
            """Pay somebody."""
            if to == "nobody":
                raise ValueError("nobody is there")
            self.paid.append(to)
            return f"paid {to}"

        @tool(idempotent=True)
        async def pay_all(context: RunContext) -> list[str]:
            """Pay everybody."""
            self.rounds += 1
            return [
                f"{result.status}: {result.content}"
                for result in [await context.call_tool("pay", {"to": each}) for each in to]
            ]

        self.pay, self.pay_all = pay, pay_all

    def agent(self, **fields: Any) -> Agent:
        """Return an agent that pays everybody once."""

        def answer(request: ModelRequest) -> Any:
            return "done" if request.messages[-1].role == "tool" else ToolCall("c", "pay_all")

        return Agent(ScriptedModel(answer), "bank", tools=[self.pay, self.pay_all], **fields)


async def run(agent: Agent, **options: Any) -> RunResult:
    """Run the agent in a runtime of its own."""
    async with Runtime(**options) as rt:
        return await rt.run(agent, "go")


async def test_calls_are_seen_as_the_models_own() -> None:
    """Events and hooks see each call within, between the beginning and the end of the call around."""
    seen: list[str] = []

    class Look(Hook):
        async def before_tool(self, context: RunContext, call: ToolCall) -> ToolCall | str | None:
            seen.append(call.name)
            return "no" if "bob" in call.arguments else None

    events: list[Event] = []
    bank = Bank()
    result = await run(bank.agent(hooks=[Look()]), observers=[events.append])
    assert told(result) == ['["completed: paid ann","completed: no"]']
    assert (seen, bank.paid) == (["pay_all", "pay", "pay"], ["ann"])
    calls = [(type(event).__name__, event.call.name) for event in events if isinstance(event, ToolStarted | ToolEnded)]
    assert calls[0] == ("ToolStarted", "pay_all")
    assert calls[-1] == ("ToolEnded", "pay_all")
    assert calls.count(("ToolEnded", "pay")) == 2


async def test_failures_are_results() -> None:
    """A tool that fails, an unknown tool, wrong arguments, and the tool itself are failures for the caller."""
    bank = Bank(("nobody",))

    @tool
    async def try_all(context: RunContext) -> list[str]:
        """Try what fails."""
        asked: list[tuple[str, dict[str, Any]]] = [
            ("pay", {"to": "nobody"}),
            ("pya", {}),
            ("pay", {"x": 1}),
            ("try_all", {}),
        ]
        return [f"{(await context.call_tool(*each)).status}" for each in asked]

    agent = Agent(ScriptedModel([ToolCall("1", "try_all"), "done"]), tools=[bank.pay, try_all])
    assert told(await run(agent)) == ['["failed","failed","failed","failed"]']


async def test_limits_hold() -> None:
    """The tool's own limit of calls, and the run's budget of calls, count calls within."""
    bank = Bank(("a", "b", "c"), calls=2)
    assert "pay was not called: it may be called 2 times" in told(await run(bank.agent()))[0]
    assert bank.paid == ["a", "b"]
    bank = Bank(("a", "b", "c"))
    assert "spent its tool_calls" in told(await run(bank.agent(limits=Limits(tool_calls=2))))[0]
    assert bank.paid == ["a"]


async def test_a_call_waits_for_a_person() -> None:
    """The run pauses in the middle of the tool; resumed, no finished call is made again, and a denial is a failure."""
    bank = Bank(("ann", "bob", "cid"), approve=lambda to: to != "ann")
    agent = bank.agent(memory=STORED)
    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(agent, "go")
        assert [approval.call.arguments for approval in paused.approvals] == ['{"to":"bob"}']
        await rt.approve(paused.approvals[0].id)
    async with Runtime(memory=memory) as rt:
        again = await rt.run(agent, Resume(paused.run_id))
        assert [approval.call.arguments for approval in again.approvals] == ['{"to":"cid"}']
        await rt.deny(again.approvals[0].id, "no money")
        result = await rt.run(agent, Resume(paused.run_id))
    assert told(result) == ['["completed: paid ann","completed: paid bob","failed: pay was denied: no money"]']
    assert (bank.paid, bank.rounds) == (["ann", "bob"], 3)


async def test_a_resumed_run_has_spent_the_calls_within() -> None:
    """The budget of calls counts the calls within finished calls after a pause, too."""
    bank = Bank(("ann", "bob"))

    @tool(approve=True)
    async def sign() -> str:
        """Sign."""
        return "signed"

    model = ScriptedModel([ToolCall("a", "pay_all"), ToolCall("b", "sign"), ToolCall("c", "pay_all"), "done"])
    agent = Agent(model, "bank", tools=[bank.pay, bank.pay_all, sign], memory=STORED, limits=Limits(tool_calls=6))
    async with Runtime(memory=InProcessMemory()) as rt:
        paused = await rt.run(agent, "go")
        await rt.approve(paused.approvals[0].id)
        result = await rt.run(agent, Resume(paused.run_id))
    assert "spent its tool_calls: 6 of 6" in told(result)[-1]
    assert bank.paid == ["ann", "bob", "ann"]


async def test_a_call_waits_for_a_run_within() -> None:
    """A tool that runs an agent waits with the agent's run, also as a call within: resumed, that run goes on."""
    bank = Bank(approve=True)

    def answer(request: ModelRequest) -> Any:
        return "ann has it" if request.messages[-1].role == "tool" else ToolCall("1", "pay", {"to": "ann"})

    clerk = Agent(ScriptedModel(answer), "clerk", tools=[bank.pay])

    @tool(calls=1)
    async def ask_clerk(context: RunContext) -> Any:
        """Let the clerk pay."""
        return await context.run(clerk, "pay ann")

    @tool(idempotent=True)
    async def program(context: RunContext) -> str:
        """Ask the clerk."""
        result = await context.call_tool("ask_clerk", {})
        return f"{result.status}: {result.content}"

    model = ScriptedModel([ToolCall("c", "program"), "done"])
    agent = Agent(model, "lead", tools=[ask_clerk, program], memory=STORED)
    async with Runtime(memory=InProcessMemory()) as rt:
        paused = await rt.run(agent, "go")
        await rt.approve(paused.approvals[0].id)
        result = await rt.run(agent, Resume(paused.run_id))
    assert told(result) == ["completed: ann has it"]
    assert bank.paid == ["ann"]


async def test_tools_that_run_alone_do_so_within_calls_too() -> None:
    """Two calls at once call tools with `parallel=False`: one runs at a time, and may call another such tool."""
    log: list[str] = []

    @tool(parallel=False)
    async def note(text: str) -> str:
        """Note a text."""
        log.append(f"{text} begins")
        await trio.testing.wait_all_tasks_blocked()
        log.append(f"{text} ends")
        return text

    @tool(parallel=False, idempotent=True)
    async def sign(context: RunContext, text: str) -> str:
        """Sign a text, and note the signed text."""
        log.append(f"{text} is signed")
        return str((await context.call_tool("note", {"text": f"signed {text}"})).content)

    @tool(idempotent=True)
    async def write(context: RunContext, text: str) -> str:
        """Note a text, and sign it."""
        await context.call_tool("note", {"text": text})
        return str((await context.call_tool("sign", {"text": text})).content)

    model = ScriptedModel([[ToolCall(text, "write", {"text": text}) for text in "ab"], "done"])
    with trio.fail_after(60):
        result = await run(Agent(model, tools=[note, sign, write]))
    assert told(result) == ["signed a", "signed b"]
    alone = [f"{text} {what}" for text in ("a", "b") for what in ("begins", "ends")]
    signed = [f"{text} is signed" for text in "ab"], [f"signed {text} begins" for text in "ab"]
    assert log[:4] == alone
    for first, then in zip(*signed, strict=True):
        assert log[log.index(first) + 1] == then
        assert log[log.index(then) + 1] == then.replace("begins", "ends")


def test_a_killed_run_makes_no_finished_call_again() -> None:
    """Killed at any write, each payment is made at most once; an uncertain one is told as a failure."""

    async def scenario(point: KillPoint) -> None:
        backend, bank = InProcessMemory(), Bank(("ann", "bob"))
        agent = bank.agent(memory=STORED)
        with point:
            async with Runtime(memory=point.memory(backend)) as rt:
                await rt.run(agent, "go")
        async with Runtime(memory=backend) as rt:
            result = await point.finish(rt, agent, "go")
        assert result.content == "done"
        assert len(bank.paid) == len(set(bank.paid))
        for each in ("ann", "bob"):
            assert each in bank.paid or "not known" in told(result)[0]

    assert kill_everywhere(scenario, at_least=8) >= 8


def test_a_cancelled_run_makes_no_more_calls() -> None:
    """Cancelled at any point, the run ends, and no call follows."""

    async def scenario(point: CancelPoint) -> None:
        bank = Bank(("ann", "bob"))
        with point:
            await run(bank.agent())
        assert bank.paid == ["ann", "bob"][: len(bank.paid)]

    assert cancel_everywhere(scenario, at_least=2) >= 2


async def test_outside_of_a_tool() -> None:
    """A context without a call cannot call tools; nor can arguments that JSON cannot carry be sent."""
    with pytest.raises(UsageError, match="single tool call"):
        await RunContext("r").call_tool("pay", {})

    @tool
    async def send_object(context: RunContext) -> str:
        """Send an object."""
        with pytest.raises(UsageError, match="cannot be sent"):
            await context.call_tool("pay", {"to": object()})
        return "ok"

    agent = Agent(ScriptedModel([ToolCall("1", "send_object"), "done"]), tools=[send_object])
    assert told(await run(agent)) == ["ok"]
