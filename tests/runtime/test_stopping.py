"""Runs stopped at safe points: which calls are still made, how the run ends, and how it goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from agno_rt import (
    Agent,
    Emit,
    Flow,
    MemoryPolicy,
    ModelRequest,
    ModelResponse,
    Run,
    Runtime,
    Team,
    ToolCall,
    step,
    tool,
    workflow,
)
from agno_rt.errors import NotFound, RunCancelled, UsageError
from agno_rt.events import RunEnded, RunStarted, StepEnded, StepStarted, ToolEnded
from agno_rt.run_store import Resume
from agno_rt.teams import Broadcast, Sequence
from agno_rt.testing import ScriptedModel

ROOT = Path(__file__).parents[2]
STORED = MemoryPolicy(journal=True)


class Gated:
    """A model and a tool that each wait for the test, and count their calls. The model calls the tool `turns` times."""

    name = "gated"

    def __init__(self, turns: int = 1) -> None:
        self.turns = turns
        self.asked: list[int] = []
        self.called: list[str] = []
        self.is_at_model, self.is_at_tool = trio.Event(), trio.Event()
        self.model_goes, self.tool_goes = trio.Event(), trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer."""
        self.asked.append(request.turn)
        self.is_at_model.set()
        await self.model_goes.wait()
        if request.turn > self.turns:
            return ModelResponse("done")
        return ModelResponse("", (ToolCall(f"c{request.turn}", "work"),))

    def agent(self, name: str = "agent", memory: MemoryPolicy = STORED) -> Agent:
        """Return the agent."""

        @tool
        async def work() -> str:
            """Work."""
            self.called.append(name)
            self.is_at_tool.set()
            await self.tool_goes.wait()
            return "worked"

        return Agent(self, name, tools=[work], memory=memory)

    def open(self) -> None:
        """Let everything go on."""
        self.model_goes.set()
        self.tool_goes.set()


class TestAgents:
    """A run of an agent."""

    async def test_after_the_tools(self) -> None:
        """A stop during a tool waits for the tool; the resumed run makes neither call again."""
        gated = Gated()
        gated.model_goes.set()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_tool.wait()
            run.stop()
            await trio.testing.wait_all_tasks_blocked()
            assert run.result is None
            gated.tool_goes.set()
            stopped = await run.wait()
            record, entries = await rt.memory.load_run(run.id)  # type: ignore[attr-defined]
            result = await rt.resume(run.id)

        assert (stopped.status, record.status, record.error) == ("cancelled", "cancelled", None)
        assert [message.role for message in stopped.messages] == ["user", "assistant", "tool"]
        assert [each.kind for each in entries] == ["begun", "answered", "started", "called", "ended"]
        assert (result.content, gated.asked, gated.called) == ("done", [1, 2], ["agent"])

    async def test_after_the_model(self) -> None:
        """A stop during the model's answer keeps the answer, and its tools are called when the run is resumed."""
        gated = Gated()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_model.wait()
            run.stop(at="model")
            gated.open()
            stopped = await run.wait()
            assert (stopped.status, gated.called) == ("cancelled", [])
            result = await rt.resume(run.id)

        assert (result.content, gated.asked, gated.called) == ("done", [1, 2], ["agent"])

    async def test_tools_are_called_before_a_stop_after_them(self) -> None:
        """A stop after the tools, asked for during the model's answer, lets the tools of the answer be called."""
        gated = Gated()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_model.wait()
            run.stop(at="tools")
            gated.open()
            stopped = await run.wait()

        assert (stopped.status, gated.asked, gated.called) == ("cancelled", [1], ["agent"])

    async def test_the_last_answer_completes_the_run(self) -> None:
        """A stop during the last answer comes too late: the run completes."""
        gated = Gated(turns=0)
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_model.wait()
            run.stop(at="model")
            gated.open()
            assert (await run.wait()).status == "completed"

    async def test_before_the_first_turn(self) -> None:
        """A run that is stopped before its first turn asks no model."""
        gated = Gated()
        gated.open()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            run.stop()
            assert (await run.wait()).status == "cancelled"
            assert gated.asked == []
            assert (await rt.resume(run.id)).content == "done"

    @pytest.mark.parametrize("memory", [STORED, MemoryPolicy()])
    async def test_at_once(self, memory: MemoryPolicy) -> None:
        """A stop at once is a cancellation."""
        gated = Gated()
        gated.model_goes.set()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(memory=memory), "go")
            await gated.is_at_tool.wait()
            run.stop(at="now")
            assert (await run.wait()).status == "cancelled"

    async def test_the_grace_time(self, autojump_clock: MockClock) -> None:
        """A run that does not come to its safe point in time is cancelled; a run that does is not."""
        slow, quick = Gated(), Gated()
        slow.model_goes.set()
        quick.model_goes.set()
        async with Runtime() as rt:
            first, second = await rt.start(slow.agent(), "go"), await rt.start(quick.agent("quick"), "go")
            await slow.is_at_tool.wait()
            await quick.is_at_tool.wait()
            began = trio.current_time()
            first.stop(grace=30)
            second.stop(grace=30)
            await trio.sleep(29)
            assert first.result is None
            quick.tool_goes.set()
            assert (await second.wait()).messages[-1].role == "tool"
            stopped = await first.wait()

        assert (stopped.status, trio.current_time() - began) == ("cancelled", 30)
        assert [message.role for message in stopped.messages] == ["user"]

    async def test_the_events_end(self) -> None:
        """A stream ends with one RunEnded after the events of the tool, and its result says that it was cancelled."""
        gated = Gated()
        gated.model_goes.set()
        async with Runtime() as rt, rt.stream(gated.agent(memory=MemoryPolicy()), "go") as events:
            seen = []
            async for event in events:
                seen.append(event)
                if type(event).__name__ == "ToolStarted":
                    events.stop()
                    gated.tool_goes.set()  # the run is ahead of its reader, and would end before the stop

        assert [event.status for event in seen if isinstance(event, ToolEnded)] == ["completed"]
        ends = [event for event in seen if isinstance(event, RunEnded)]
        assert [(event.status, event.error) for event in ends] == [("cancelled", None)]
        assert seen[-1] is ends[0]
        assert events.result is not None
        assert events.result.status == "cancelled"

    async def test_a_caller_that_waits(self) -> None:
        """`Runtime.run` raises for a run that is stopped by its id, with the result so far and the remedy."""
        gated = Gated()
        gated.model_goes.set()
        caught: list[RunCancelled] = []
        async with Runtime() as rt, trio.open_nursery() as nursery:

            async def run() -> None:
                with pytest.raises(RunCancelled, match="was stopped") as raised:
                    await rt.run(gated.agent(), "go")
                caught.append(raised.value)

            nursery.start_soon(run)
            await gated.is_at_tool.wait()
            [record] = await rt.memory.runs()  # type: ignore[attr-defined]
            assert await rt.stop(record.id)
            gated.tool_goes.set()

        assert "Resume" in caught[0].hint
        assert [message.role for message in caught[0].result.messages] == ["user", "assistant", "tool"]

    async def test_messages_are_kept(self) -> None:
        """A message to a run that is stopped is in its journal, and in the next request after it is resumed."""
        gated = Gated()
        gated.model_goes.set()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_tool.wait()
            run.send("one")
            run.stop()
            await rt.send(run.id, "two")
            gated.tool_goes.set()
            await run.wait()
            result = await rt.resume(run.id)

        users = [message.text for message in result.messages if message.role == "user"]
        assert (result.content, users) == ("done", ["go", "one", "two"])

    @pytest.mark.parametrize(
        ("at", "grace", "said"), [("later", None, "at is 'later'"), ("tools", -1, "grace is -1"), ("now", "1", "grace")]
    )
    async def test_values_that_say_nothing(self, at: Any, grace: Any, said: str) -> None:
        """Another place and a negative time are refused, by a run and by its id."""
        gated = Gated()
        async with Runtime() as rt:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_model.wait()
            with pytest.raises(UsageError, match=said):
                run.stop(at, grace=grace)
            with pytest.raises(UsageError, match=said):
                await rt.stop(run.id, at, grace=grace)
            gated.open()
            assert (await run.wait()).status == "completed"


class TestIds:
    """Stops by the run's id."""

    async def test_runs_that_nobody_carries_out(self) -> None:
        """A paused run is cancelled, a run that has ended is not; an unknown run and anyone else's are not found."""

        @tool(approve=True)
        def pay() -> str:
            """Pay."""
            return "paid"

        model = ScriptedModel([ToolCall("1", "pay", "{}"), "done"])
        async with Runtime() as rt:
            paused = await rt.run(Agent(model, "agent", tools=[pay]), "go", user="ann")
            with pytest.raises(NotFound):
                await rt.stop(paused.run_id, user="bob")
            assert await rt.stop(paused.run_id, user="ann")
            record, _ = await rt.memory.load_run(paused.run_id)  # type: ignore[attr-defined]
            assert record.status == "cancelled"
            assert not await rt.stop(paused.run_id)
            done = await rt.run(Agent(ScriptedModel(["done"]), "other", memory=STORED), "go")
            assert not await rt.stop(done.run_id)
            assert not await rt.stop(done.run_id, "now")
            for at in ("tools", "now"):
                with pytest.raises(NotFound):
                    await rt.stop("unknown", at)

    async def test_an_earlier_stop_is_void(self, tmp_path: Path) -> None:
        """A stop that reached nobody before the run's process ended does not stop the resumed run."""
        url, gated = f"sqlite:///{tmp_path}/runs.db", Gated()
        async with Runtime(memory=url) as rt, Runtime(memory=url) as other:
            run = await rt.start(gated.agent(), "go")
            await gated.is_at_model.wait()
            await other.memory.send_signal(run.id, "agno_rt.stop", b'{"at":"tools"}')  # type: ignore[attr-defined]
            run.cancel()
            await run.wait()
            gated.open()
            assert (await other.resume(run.id, gated.agent())).content == "done"

    async def test_another_process_stops(self, tmp_path: Path) -> None:
        """A run that goes on for ever in another process stops after its tools, and goes on here from there."""
        url = f"sqlite:///{tmp_path}/runs.db"
        process, run = start_program(url)
        try:
            async with Runtime(memory=url) as rt:
                assert await rt.stop(run)
                out, _ = await trio.to_thread.run_sync(process.communicate)
                assert out.strip() == "cancelled"
                record, entries = await rt.memory.load_run(run)  # type: ignore[attr-defined]
                assert (record.status, record.owner) == ("cancelled", None)
                assert [each.kind for each in entries[-2:]] == ["called", "ended"]

                @tool(idempotent=True)
                def wait() -> str:
                    """Wait."""
                    raise AssertionError("called again")

                agent = Agent(ScriptedModel(["done"]), "agent", tools=[wait], memory=STORED, limits={"turns": 10_000})
                assert (await rt.resume(run, agent)).content == "done"
        finally:
            process.kill()
            process.wait()


PROGRAM = """
import sys, trio
from agno_rt import Agent, Limits, MemoryPolicy, ModelResponse, Runtime, ToolCall, tool

class Endless:
    name = "endless"
    async def respond(self, request, emit=None):
        return ModelResponse("", (ToolCall(f"c{request.turn}", "wait"),))

@tool
async def wait() -> str:
    "Wait."
    await trio.sleep(0.01)
    return "waited"

async def main():
    async with Runtime(memory=sys.argv[1]) as rt:
        agent = Agent(Endless(), "agent", tools=[wait], memory=MemoryPolicy(journal=True), limits=Limits(turns=10_000))
        run = await rt.start(agent, "go")
        while not await rt.memory.runs():
            await trio.sleep(0.01)
        print(run.id, flush=True)
        print((await run.wait()).status, flush=True)

trio.run(main)
"""


def start_program(url: str) -> tuple[subprocess.Popen[str], str]:
    """Start a process with an endless run; return the run's id too."""
    command = [sys.executable, "-c", PROGRAM, url]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


class TestFlows:
    """Runs of teams and workflows."""

    async def test_each_run_within_at_its_own_safe_point(self) -> None:
        """Of two agents at once, one stops after its tool and one after its model; resumed, no call is made again."""
        one, two = Gated(), Gated()
        one.model_goes.set()
        steps: list[str] = []

        @step
        async def note(name: str) -> str:
            steps.append(name)
            return name

        @workflow(name="both")
        async def both(flow: Flow) -> list[str]:
            await note("first")
            async with flow.group("g") as group:
                group.start(one.agent("one"), "go")
                group.start(two.agent("two"), "go")
            await note("last")
            return [result.content for result in group.results]

        async with Runtime() as rt:
            run = await rt.start(both, "go")
            await one.is_at_tool.wait()
            await two.is_at_model.wait()
            assert await rt.stop(run.id, "model")
            two.open()
            await trio.testing.wait_all_tasks_blocked()
            assert run.result is None
            assert two.called == []
            one.tool_goes.set()
            stopped = await run.wait()
            records = {each.agent: each.status for each in await rt.memory.runs()}  # type: ignore[attr-defined]
            assert (stopped.status, records) == ("cancelled", dict.fromkeys(("both", "one", "two"), "cancelled"))
            result = await rt.resume(run.id)

        assert result.output == ["done", "done"]
        assert (one.asked, two.asked) == ([1, 2], [1, 2])
        assert (one.called, two.called, steps) == (["one"], ["two"], ["first", "last"])

    async def test_a_step_ends_and_no_other_begins(self) -> None:
        """A stop during a step lets the step end; the resumed workflow takes the next one."""
        begun, free, steps = trio.Event(), trio.Event(), []

        @step
        async def note(name: str) -> str:
            steps.append(name)
            begun.set()
            await free.wait()
            return name

        @workflow(name="steps")
        async def in_steps(flow: Flow) -> list[str]:
            return [await note("a"), await note("b")]

        async with Runtime() as rt:
            async with rt.stream(in_steps, "go") as events:
                seen: list[Any] = []

                async def listen() -> None:
                    seen.extend([event async for event in events])

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(listen)
                    await begun.wait()
                    events.stop()
                    free.set()
            assert steps == ["a"]
            assert (await rt.resume(events.run_id)).output == ["a", "b"]

        assert steps == ["a", "b"]
        kinds = [type(event) for event in seen]
        assert kinds == [RunStarted, StepStarted, StepEnded, RunEnded]
        assert seen[-1].status == "cancelled"

    async def test_a_flow_that_waits_stops_at_once(self) -> None:
        """A workflow whose branches all wait, for a time and a signal, is at a safe point already."""

        @workflow(name="waiting")
        async def waiting(flow: Flow) -> str:
            async with flow.group("g") as group:
                group.start(flow.sleep, 86_400)
                group.start(flow.signal, "mail", timeout=86_400)
            return "never"

        async with Runtime() as rt:
            run = await rt.start(waiting, "go")
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert await rt.stop(run.id)
            assert (await run.wait()).status == "cancelled"

    @pytest.mark.parametrize("stored", [True, False])
    async def test_nested_teams(self, stored: bool) -> None:
        """A stop reaches the members of a team within, and its own team stops with it, stored or not."""
        models = [Gated(), Gated()]
        models[0].model_goes.set()
        policy = STORED if stored else MemoryPolicy()
        desk = Team(
            [each.agent(name, policy) for each, name in zip(models, "ab", strict=True)], Broadcast(), name="desk"
        )

        @workflow(name="around")
        async def around(flow: Flow) -> str:
            return (await flow.run(Team([desk], Sequence(), name="outer"), "go")).content

        runnable = around if stored else Team([desk], Sequence(), name="outer")
        async with Runtime() as rt:
            run: Run[Any] = await rt.start(runnable, "go")
            await models[0].is_at_tool.wait()
            await models[1].is_at_model.wait()
            run.stop(at="model")
            models[1].open()
            await trio.testing.wait_all_tasks_blocked()
            assert run.result is None
            models[0].tool_goes.set()
            assert (await run.wait()).status == "cancelled"
            if stored:
                assert "done" in (await rt.resume(run.id)).content
                assert [each.asked for each in models] == [[1, 2], [1, 2]]
                assert [each.called for each in models] == [["a"], ["b"]]

    async def test_a_group_with_a_limit(self) -> None:
        """A branch that waits for its turn in a group does not keep the workflow from stopping, and begins nothing."""
        gated, later = Gated(), Gated()
        gated.model_goes.set()
        later.open()

        @workflow(name="limited")
        async def limited(flow: Flow) -> list[str]:
            results = await flow.map(
                lambda agent: flow.run(agent, "go"), [gated.agent(), later.agent("later")], limit=1
            )
            return [result.content for result in results]

        async with Runtime() as rt:
            run = await rt.start(limited, "go")
            await trio.testing.wait_all_tasks_blocked()
            run.stop()
            gated.open()
            assert (await run.wait()).status == "cancelled"
            # Either branch may be the first in its group.
            assert (gated.asked, later.asked) in (([1], []), ([1], [1, 2]))
            assert (await rt.resume(run.id)).output == ["done", "done"]
        assert (len(gated.called), len(later.called)) == (1, 1)

    async def test_a_failure_beats_the_stop(self) -> None:
        """A branch that fails while another one waits for the stop ends the run as failed."""
        gated, free, begun = Gated(), trio.Event(), trio.Event()
        gated.model_goes.set()

        @step
        async def fail() -> None:
            begun.set()
            await free.wait()
            raise ValueError("broken")

        @workflow(name="failing")
        async def failing(flow: Flow) -> None:
            async with flow.group("g") as group:
                group.start(gated.agent(), "go")
                group.start(fail)

        async with Runtime() as rt:
            run = await rt.start(failing, "go")
            await gated.is_at_tool.wait()
            await begun.wait()
            run.stop()
            gated.tool_goes.set()
            await trio.testing.wait_all_tasks_blocked()
            assert run.result is None
            free.set()
            with pytest.raises(Exception, match="broken"):
                await run.wait()

    async def test_one_run_within(self) -> None:
        """A stop of a run within by its own id is an error for the workflow, as a cancellation is."""
        gated = Gated()
        gated.model_goes.set()

        @workflow(name="around")
        async def around(flow: Flow) -> str:
            try:
                await flow.run(gated.agent(), "go")
            except RunCancelled:
                return "without it"
            return "never"

        async with Runtime() as rt:
            run = await rt.start(around, "go")
            await gated.is_at_tool.wait()
            [within] = [each for each in await rt.memory.runs() if each.parent]  # type: ignore[attr-defined]
            assert await rt.stop(within.id)
            gated.tool_goes.set()
            assert (await run.wait()).content == "without it"

    async def test_a_question_and_a_stop(self) -> None:
        """A workflow that is to stop while a branch asks a person is cancelled, and asks again when resumed."""
        from agno_rt import Ask

        gated = Gated()
        gated.model_goes.set()

        @workflow(name="asking")
        async def asking(flow: Flow) -> str:
            async with flow.group("g") as group:
                group.start(flow.ask, Ask(bool, "Publish?"))
                group.start(gated.agent(), "go")
            return str(group.results[0])

        async with Runtime() as rt:
            run = await rt.start(asking, "go")
            await gated.is_at_tool.wait()
            run.stop()
            gated.tool_goes.set()
            assert (await run.wait()).status == "cancelled"
            paused = await rt.resume(run.id)
            assert paused.status == "paused"
            await rt.answer(paused.approvals[0].id, True)
            assert (await rt.run(asking, Resume(run.id))).content == "True"
        assert gated.called == ["agent"]
