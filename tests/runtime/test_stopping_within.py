"""Stops and messages that reach the runs within: members of a leader, tasks, and the runs that a mode chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from agno_rt import (
    Agent,
    Emit,
    MemoryPolicy,
    ModelRequest,
    ModelResponse,
    RunContext,
    Runtime,
    Team,
    ToolCall,
    tool,
)
from agno_rt.errors import HookError
from agno_rt.messages import Message
from agno_rt.teams import Broadcast, Delegates, Leader, Members
from agno_rt.testing import ScriptedModel

STORED = MemoryPolicy(journal=True)
KINDS = pytest.mark.parametrize("kind", ["leader", "tool", "task"])


class Worker:
    """A model that calls the tool `work` once and answers; the tool waits for the test."""

    name = "worker"

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.heard: list[str] = []
        self.worked = 0
        self.is_at_tool, self.tool_goes = trio.Event(), trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer."""
        self.asked.append(request.turn)
        self.heard = [message.text for message in request.messages if message.role == "user"]
        return ModelResponse("done") if request.turn > 1 else ModelResponse("", (ToolCall("w", "work"),))

    def agent(self, name: str, memory: MemoryPolicy) -> Agent:
        """Return the agent."""

        @tool(idempotent=True)
        async def work() -> str:
            """Work."""
            self.worked += 1
            self.is_at_tool.set()
            await self.tool_goes.wait()
            return "worked"

        return Agent(self, name, tools=[work], memory=memory)


def make_runnable(kind: str, worker: Agent, policy: MemoryPolicy) -> tuple[Any, ScriptedModel]:
    """Return a runnable in which an agent runs the worker by a tool, and the agent's model."""
    if kind == "task":
        steps: list[Any] = [
            ToolCall("s", "start_task", {"agent": "worker", "task": "go"}),
            ToolCall("c", "collect_task", {"task": "worker-1"}),
            "all done",
        ]
        model = ScriptedModel(steps)
        return Agent(model, "boss", tools=[Delegates([worker], background=True)], memory=policy), model
    if kind == "leader":
        model = ScriptedModel([ToolCall("d", "delegate", {"member": "worker", "task": "go"}), "all done"])
        return Team([worker], Leader(Agent(model, "boss", memory=policy)), name="desk", memory=policy), model

    @tool(idempotent=True)
    async def ask_worker(context: RunContext) -> str:
        """Ask the worker."""
        return str((await context.run(worker, "go")).content)

    model = ScriptedModel([ToolCall("a", "ask_worker"), "all done"])
    return Agent(model, "boss", tools=[ask_worker], memory=policy), model


class TestStops:
    """A stop of a run reaches the runs that its tools have started."""

    @KINDS
    async def test_a_stored_run_goes_on_where_both_stopped(self, kind: str) -> None:
        """The member stops after its tools, the leader with it; both go on, and no call is made twice."""
        worker = Worker()
        runnable, model = make_runnable(kind, worker.agent("worker", STORED), STORED)
        with model:
            async with Runtime() as rt:
                run = await rt.start(runnable, "go")
                await worker.is_at_tool.wait()
                run.stop()
                await trio.testing.wait_all_tasks_blocked()
                assert run.result is None
                worker.tool_goes.set()
                with trio.fail_after(60):
                    assert (await run.wait()).status == "cancelled"
                assert worker.asked == [1]
                result = await rt.resume(run.id, runnable)
        assert (result.content, worker.asked, worker.worked) == ("all done", [1, 2], 1)

    @KINDS
    async def test_a_run_that_is_not_stored(self, kind: str) -> None:
        """Members stop at their safe points without a journal, too; the leader's model is not asked again."""
        worker = Worker()
        runnable, model = make_runnable(kind, worker.agent("worker", MemoryPolicy()), MemoryPolicy())
        async with Runtime() as rt:
            run = await rt.start(runnable, "go")
            await worker.is_at_tool.wait()
            run.stop()
            worker.tool_goes.set()
            with trio.fail_after(60):
                result = await run.wait()
        assert result.status == "cancelled"
        assert worker.asked == [1]
        assert len(model.requests) == (2 if kind == "task" else 1)
        assert not any(message.tool_calls for message in result.messages[-1:])

    async def test_other_tools_of_the_turn_end(self) -> None:
        """A tool beside the member's run ends before the leader stops, and is not called again."""
        worker, goes, ended = Worker(), trio.Event(), 0

        @tool
        async def pay() -> str:
            """Pay."""
            nonlocal ended
            await goes.wait()
            ended += 1
            return "paid"

        calls = [ToolCall("d", "delegate", {"member": "worker", "task": "go"}), ToolCall("p", "pay")]
        with ScriptedModel([calls, "all done"]) as model:
            leader = Agent(model, "boss", tools=[pay], memory=STORED)
            team = Team([worker.agent("worker", STORED)], Leader(leader), name="desk", memory=STORED)
            async with Runtime() as rt:
                run = await rt.start(team, "go")
                await worker.is_at_tool.wait()
                await rt.stop(run.id)
                worker.tool_goes.set()
                await trio.testing.wait_all_tasks_blocked()
                assert run.result is None
                goes.set()
                assert (await run.wait()).status == "cancelled"
                assert (await rt.resume(run.id, team)).content == "all done"
        assert (ended, worker.worked) == (1, 1)

    async def test_a_stop_of_the_member_alone(self) -> None:
        """The leader is told that its member was stopped, and goes on."""
        worker = Worker()
        runnable, model = make_runnable("leader", worker.agent("worker", STORED), STORED)
        with model:
            async with Runtime() as rt, rt.stream(attrs.evolve(runnable, on_error="keep"), "go") as events:
                assert events.run.store is not None
                async for _, event in events.within():
                    if worker.is_at_tool.is_set() and not worker.tool_goes.is_set():
                        [member] = [each.id for each in await events.run.store.runs() if each.agent == "worker"]
                        await rt.stop(member)
                        worker.tool_goes.set()
                    assert event
        assert events.result is not None
        assert events.result.content == "all done"
        assert "was stopped" in model.requests[-1].messages[-1].text


@attrs.frozen
class ToFirst(Broadcast):
    """A broadcast in which messages go to the first member alone."""

    name: str = "a"

    def receive(self, members: Members, at_work: Sequence[str], messages: Sequence[Message]) -> Sequence[str]:
        """Return the name of the member."""
        assert set(at_work) <= set(members.names)
        return [self.name]


class TestReceivers:
    """A mode chooses who gets a message sent to the team's run."""

    async def test_a_mode_chooses(self) -> None:
        """The message goes to the member that the mode names, and not to the other one at work."""
        workers = [Worker(), Worker()]
        team = Team([each.agent(name, STORED) for each, name in zip(workers, "ab", strict=True)], ToFirst())
        async with Runtime() as rt:
            run = await rt.start(team, "go")
            for each in workers:
                await each.is_at_tool.wait()
            run.send("be brief")
            for each in workers:
                each.tool_goes.set()
            await run.wait()
        assert [each.heard for each in workers] == [["go", "be brief"], ["go"]]

    async def test_the_chosen_one_is_not_at_work_yet(self) -> None:
        """The message waits until the run of the chosen member begins."""
        workers = [Worker(), Worker()]
        members = [each.agent(name, STORED) for each, name in zip(workers, "ab", strict=True)]
        team = Team(members, ToFirst(name="b"), at_once=1)
        async with Runtime() as rt:
            run = await rt.start(team, "go")
            # One at a time: whoever is first works, and the other one has not begun.
            with trio.fail_after(60):
                while not any(each.is_at_tool.is_set() for each in workers):
                    await trio.testing.wait_all_tasks_blocked()
            run.send("be brief")
            for each in workers:
                each.tool_goes.set()
            await run.wait()
        assert [each.heard for each in workers] == [["go"], ["go", "be brief"]]

    async def test_a_leader_gets_the_message(self) -> None:
        """By default a leader's team has the leader at work, and the member hears nothing."""
        worker = Worker()
        runnable, model = make_runnable("leader", worker.agent("worker", STORED), STORED)
        with model:
            async with Runtime() as rt:
                run = await rt.start(runnable, "go")
                await worker.is_at_tool.wait()
                run.send("be brief")
                worker.tool_goes.set()
                await run.wait()
        assert worker.heard == ["go"]
        assert model.requests[-1].messages[-1].text == "be brief"

    async def test_a_mode_that_fails(self) -> None:
        """A failure of the mode is the sender's error, and the run goes on."""

        @attrs.frozen
        class Broken(Broadcast):
            def receive(self, members: Members, at_work: Sequence[str], messages: Sequence[Message]) -> Sequence[str]:
                raise LookupError("nobody")

        worker = Worker()
        async with Runtime() as rt:
            run = await rt.start(Team([worker.agent("a", STORED)], Broken()), "go")
            await worker.is_at_tool.wait()
            with pytest.raises(HookError, match="failed to choose who gets a message: LookupError: nobody"):
                run.send("be brief")
            worker.tool_goes.set()
            assert "done" in (await run.wait()).content
