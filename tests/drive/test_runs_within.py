"""Tools that run agents by `RunContext.run`, in stored runs: pauses, repeated calls, and runs found by their place."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agno_rt import Agent, MemoryPolicy, RunContext, RunResult, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel
from tests.teams.members import logging, paying

JOURNAL = MemoryPolicy(journal=True)


def calling(*calls: ToolCall, tools: Any, memory: MemoryPolicy = JOURNAL) -> Agent:
    """Return an agent that makes the calls in its first turn, and answers with their results."""

    def answer(request: Any) -> Any:
        told = [message.text for message in request.messages if message.role == "tool"]
        return " | ".join(told) if told else list(calls)

    return Agent(ScriptedModel(answer), "boss", "", tools, memory=memory)


async def resume_approved(rt: Runtime, paused: RunResult[Any]) -> RunResult[Any]:
    """Approve everything, and go on."""
    assert paused.status == "paused"
    for approval in paused.approvals:
        await rt.approve(approval.id)
    return await rt.resume(paused.run_id)


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_tool_that_returns_a_paused_result_pauses_its_run(idempotent: bool) -> None:
    """The call is made again after the decision, whether idempotent or not, and the run within goes on."""
    log: list[str] = []
    payer = paying("payer", log)

    @tool(idempotent=idempotent)
    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        log.append("ask")
        return await context.run(payer, "pay")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        paused = await rt.run(calling(ToolCall("1", "ask"), tools=[ask]), "go")
        assert [(each.agent, each.call.name) for each in paused.approvals] == [("payer", "pay")]
        result = await resume_approved(rt, paused)

    assert result.content == "payer: paid"
    assert log == ["ask", "ask", "payer pays", "payer answers"]


async def test_a_result_becomes_its_answer() -> None:
    """A tool may return the result of a run: the model is told the answer, in runs that are not stored too."""

    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(logging("helper", []), "go")  # type: ignore[no-any-return]

    for memory in (MemoryPolicy(), JOURNAL):
        async with Runtime() as rt:
            result = await rt.run(calling(ToolCall("1", "ask"), tools=[ask], memory=memory), "go")
        assert result.content == "helper"


async def test_a_run_that_is_not_stored_cannot_wait() -> None:
    """Without a journal the model is told that the run within waits, with the approval."""
    payer = paying("payer", [])

    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(payer, "pay")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        result = await rt.run(calling(ToolCall("1", "ask"), tools=[ask], memory=MemoryPolicy()), "go")

    assert result.status == "completed"
    assert "is paused for" in result.content


async def test_a_tool_may_go_on_without_the_answer() -> None:
    """A tool that returns something else does not pause its run; the usage of the run within still counts."""
    payer = paying("payer", [])

    async def ask(context: RunContext) -> str:
        """Ask."""
        return str((await context.run(payer, "pay")).status)

    async with Runtime() as rt:
        result = await rt.run(calling(ToolCall("1", "ask"), tools=[ask]), "go")

    assert (result.status, result.content, result.usage.input_tokens) == ("completed", "paused", 3)


async def test_runs_in_tasks_of_the_tool_are_found_by_their_input() -> None:
    """A tool runs agents at once, in any order. The call is made again; finished runs within are not."""
    log: list[str] = []
    payer, helper = paying("payer", log, when="2"), logging("helper", log)

    async def ask(context: RunContext) -> Any:
        """Ask."""
        results: dict[str, RunResult[Any]] = {}

        async def run(agent: Agent, text: str) -> None:
            results[f"{agent.name} {text}"] = await context.run(agent, text)

        async with trio.open_nursery() as nursery:
            for number in "123":
                nursery.start_soon(run, payer, number)
                nursery.start_soon(run, helper, number)
        paused = [each for each in results.values() if each.status == "paused"]
        return paused or sorted(each.content for each in results.values())

    async with Runtime() as rt:
        for _ in range(10):
            log.clear()
            paused = await rt.run(calling(ToolCall("1", "ask"), tools=[ask]), "go")
            result = await resume_approved(rt, paused)
            assert result.content == '["helper","helper","helper","payer: 1","payer: 3","payer: paid"]'
            assert sorted(log) == [*["helper answers"] * 3, *["payer answers"] * 3, "payer pays"]


async def test_a_limit_of_calls_counts_a_call_once() -> None:
    """A tool with a limit of one call is called again after the pause, and the limit holds for the next call."""
    payer = paying("payer", [])

    @tool(calls=1)
    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(payer, "pay")  # type: ignore[no-any-return]

    @tool(inline=True, calls=9)
    def other() -> str:
        """Store the counts between the calls."""
        return "other"

    agent = calling(ToolCall("1", "ask"), ToolCall("2", "other"), ToolCall("3", "ask"), tools=[ask, other])
    async with Runtime() as rt:
        result = await resume_approved(rt, await rt.run(agent, "go"))

    told = result.content.split(" | ")
    assert sorted(told)[::2] == ["ask was not called: it may be called once in one run, and has been.", "payer: paid"]


async def test_a_batch_waits_as_a_whole() -> None:
    """A batch tool returns a paused result for one of its calls: all of its calls wait, and are made again together."""
    log: list[str] = []
    payer = paying("payer", log, when="2")
    batches: list[list[int]] = []

    @tool(batch=True)
    async def ask(numbers: list[int], context: RunContext) -> list[Any]:
        """Ask."""
        batches.append(numbers)
        return [await context.run(payer, str(number)) for number in numbers]

    agent = calling(ToolCall("1", "ask", {"item": 1}), ToolCall("2", "ask", {"item": 2}), tools=[ask])
    async with Runtime() as rt:
        result = await resume_approved(rt, await rt.run(agent, "go"))

    assert result.content == "payer: 1 | payer: paid"
    assert batches == [[1, 2], [1, 2]]
    assert log == ["payer answers", "payer pays", "payer answers"]


async def test_a_call_with_an_approval_of_its_own() -> None:
    """A tool that needs approval runs an agent that needs approval: one after the other."""
    log: list[str] = []
    payer = paying("payer", log)

    @tool(approve=True)
    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(payer, "pay")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        first = await rt.run(calling(ToolCall("1", "ask"), tools=[ask], memory=MemoryPolicy()), "go")
        second = await resume_approved(rt, first)
        assert [each.agent for each in second.approvals] == ["payer"]
        result = await resume_approved(rt, second)

    assert result.content == "payer: paid"
    assert log == ["payer pays", "payer answers"]


async def test_a_run_within_goes_on_after_a_failure() -> None:
    """The run around is cancelled while a run within is under way: resumed, both go on where they stopped."""
    log: list[str] = []
    stuck = trio.Event()

    @tool(idempotent=True)
    async def wait() -> str:
        """Wait, the first time for good."""
        log.append("wait")
        if not stuck.is_set():
            stuck.set()
            await trio.sleep_forever()
        return "waited"

    def answer(request: Any) -> Any:
        log.append(f"helper {request.turn}")
        return ToolCall("1", "wait") if request.turn == 1 else "done"

    helper = Agent(ScriptedModel(answer), "helper", "", [wait])

    @tool(idempotent=True)
    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(helper, "go")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        run = await rt.start(calling(ToolCall("1", "ask"), tools=[ask]), "go")
        await stuck.wait()
        run.cancel()
        assert (await run.wait()).status == "cancelled"
        result = await rt.resume(run.id)

    assert result.content == "done"
    assert log == ["helper 1", "wait", "wait", "helper 2"]


async def test_a_fork_of_a_paused_run_begins_the_runs_within_anew() -> None:
    """A fork has runs within of its own: the approval of the first run does not count for the fork."""
    log: list[str] = []
    payer = paying("payer", log)

    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        return await context.run(payer, "pay")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        paused = await rt.run(calling(ToolCall("1", "ask"), tools=[ask]), "go")
        await rt.approve(paused.approvals[0].id)
        fork = await rt.resume(await rt.fork(paused.run_id))
        assert fork.status == "paused"
        assert fork.approvals[0].id != paused.approvals[0].id
        assert (await resume_approved(rt, fork)).content == "payer: paid"
        assert (await rt.resume(paused.run_id)).content == "payer: paid"

    assert log.count("payer pays") == 2


async def test_a_failed_run_within_is_told_to_the_model() -> None:
    """The failure of a run within is the tool's own: it may catch it, or the model is told."""

    async def ask(context: RunContext) -> RunResult[Any]:
        """Ask."""
        broken = Agent(ScriptedModel([ModelError("no luck", provider="x")]), "broken")
        return await context.run(broken, "go")  # type: ignore[no-any-return]

    async with Runtime() as rt:
        result = await rt.run(calling(ToolCall("1", "ask"), tools=[ask]), "go")

    assert result.content == "ask failed: ModelError: no luck"
