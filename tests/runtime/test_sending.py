"""Messages sent to stored runs by their ids: from any process, taken in once, also around kills and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import (
    Agent,
    Emit,
    Flow,
    Limits,
    MemoryPolicy,
    Message,
    ModelRequest,
    ModelResponse,
    Runtime,
    Team,
    ToolCall,
    tool,
    workflow,
)
from agno_rt.context import RunContext
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import Blocked, LimitExceeded, NotFound, UsageError
from agno_rt.events import MessageReceived
from agno_rt.hooks import Verdict
from agno_rt.run_store import Resume, RunChange, RunConflict
from agno_rt.steps import read_steps
from agno_rt.teams import Broadcast, Sequence
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere

ROOT = Path(__file__).parents[2]
STORED = MemoryPolicy(journal=True)


class Stepping:
    """A model that waits for the test before each answer, and gives the answers in turn."""

    name = "stepping"

    def __init__(self, *answers: str | ToolCall) -> None:
        self.answers = list(answers)
        self.requests: list[list[str]] = []
        self.asked = trio.Event()
        self.go = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.requests.append([message.text for message in request.messages if message.role == "user"])
        self.asked.set()
        await self.go.wait()
        self.asked, self.go = trio.Event(), trio.Event()
        answer = self.answers.pop(0)
        return ModelResponse(answer) if isinstance(answer, str) else ModelResponse("", (answer,))

    async def step(self) -> None:
        """Wait until the model is asked, and let it answer."""
        await self.asked.wait()
        self.go.set()
        await trio.testing.wait_all_tasks_blocked()


class Noting:
    """A model that answers at once, and notes the users' messages of each request."""

    name = "noting"

    def __init__(self, answer: str = "done") -> None:
        self.answer = answer
        self.requests: list[list[str]] = []

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.requests.append([message.text for message in request.messages if message.role == "user"])
        await trio.lowlevel.checkpoint()
        return ModelResponse(self.answer)


class Held(Noting):
    """A model that waits for the test before its first answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = trio.Event()
        self.go = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.asked.set()
        await self.go.wait()
        return await super().respond(request, emit)


def stored(model: Any, name: str = "agent", **options: Any) -> Agent:
    """Return an agent whose runs are stored."""
    return Agent(model, name, memory=STORED, **options)


def users(messages: Any) -> list[str]:
    """Return the texts of the users' messages."""
    return [message.text for message in messages if message.role == "user"]


class TestAgents:
    """A run of an agent."""

    async def test_a_run_under_way_gets_the_message_at_once(self) -> None:
        """The message is in the next request, in the journal and in an event."""
        model = Stepping("first", "second")
        async with Runtime() as rt:
            async with rt.stream(stored(model), "go") as events:
                seen: list[Any] = []

                async def listen() -> None:
                    seen.extend([event async for event in events])

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(listen)
                    await model.asked.wait()
                    assert await rt.send(events.run_id, "and hurry") == "running"
                    await model.step()
                    await model.step()
            _, entries = await rt.memory.load_run(events.run_id)  # type: ignore[attr-defined]

        assert model.requests == [["go"], ["go", "and hurry"]]
        assert [each.kind for each in entries] == ["begun", "answered", "received", "answered", "ended"]
        assert [event.text for event in seen if isinstance(event, MessageReceived)] == ["and hurry"]

    async def test_end_waits_for_the_answer(self) -> None:
        """A message for the end is in the request after the answer alone."""

        @tool(inline=True)
        def work() -> str:
            """Work."""
            return "worked"

        model = Stepping(ToolCall("1", "work", "{}"), "first", "second")
        async with Runtime() as rt:
            run = await rt.start(stored(model, tools=[work]), "go")
            await model.asked.wait()
            await rt.send(run.id, "later", when="end")
            for _ in range(3):
                await model.step()
            await run.wait()

        assert model.requests == [["go"], ["go"], ["go", "later"]]

    async def test_a_paused_run_takes_it_when_resumed(self) -> None:
        """A run that waits for a person says that it is paused, and has the message once it goes on."""

        @tool(approve=True)
        def pay() -> str:
            """Pay."""
            return "paid"

        model = ScriptedModel([ToolCall("1", "pay", "{}"), "done"])
        async with Runtime() as rt:
            paused = await rt.run(stored(model, tools=[pay]), "go")
            assert await rt.send(paused.run_id, "and hurry") == "paused"
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id)

        assert [message.role for message in result.messages] == ["user", "assistant", "tool", "user", "assistant"]
        assert users(result.messages) == ["go", "and hurry"]

    async def test_a_cancelled_run_takes_it_once(self, tmp_path: Path) -> None:
        """Two resumed runs in a row: the first takes the message, and the second finds it in the journal."""
        url, first, second, third = f"sqlite:///{tmp_path}/runs.db", Stepping("x"), Stepping("x"), Noting()
        async with Runtime(memory=url) as rt:
            run = await rt.start(stored(first), "go")
            await first.asked.wait()
            await rt.send(run.id, "and hurry")
            run.cancel()
            await run.wait()
            await rt.send(run.id, "please")
        async with Runtime(memory=url) as rt:
            again = await rt.start(stored(second), Resume(run.id))
            await second.asked.wait()
            again.cancel()
            await again.wait()
        async with Runtime(memory=url) as rt:
            result = await rt.resume(run.id, stored(third))

        assert second.requests == [["go", "and hurry", "please"]] == third.requests
        assert users(result.messages) == ["go", "and hurry", "please"]

    async def test_a_completed_run_refuses(self) -> None:
        """A completed run and an unknown one refuse, and so does anyone else's run."""
        async with Runtime() as rt:
            result = await rt.run(stored(Noting()), "go", user="ann")
            with pytest.raises(RunConflict, match="completed") as caught:
                await rt.send(result.run_id, "late")
            with pytest.raises(NotFound):
                await rt.send("unknown", "late")
            with pytest.raises(NotFound):
                await rt.send(result.run_id, "late", user="bob")
        assert caught.value.hint

    @pytest.mark.parametrize(
        ("input", "when", "said"),
        [("", "next", "the input is empty"), ("x", "now", "when is 'now'"), ([Message("system", "x")], "next", "user")],
    )
    async def test_messages_that_cannot_be_sent(self, input: Any, when: Any, said: str) -> None:
        """A message of the wrong kind is refused before anything is stored."""
        async with Runtime() as rt:
            model = Stepping("done")
            run = await rt.start(stored(model), "go")
            await model.asked.wait()
            with pytest.raises(UsageError, match=said):
                await rt.send(run.id, input, when)
            assert await rt.memory.signals(run.id) == []  # type: ignore[attr-defined]
            await model.step()

    async def test_signals_cannot_pass_for_messages(self) -> None:
        """The names of messages among signals are reserved, and a damaged one harms nobody."""
        model = Stepping("done")
        async with Runtime() as rt:
            run = await rt.start(stored(model), "go")
            await model.asked.wait()
            with pytest.raises(UsageError, match=r"begins with 'agno_rt\.'"):
                await rt.signal(run.id, "agno_rt.message", "x")
            await rt.memory.send_signal(run.id, "agno_rt.message", b"\xff")  # type: ignore[attr-defined]
            await model.step()
            assert (await run.wait()).content == "done"

            @workflow(name="listener")
            async def listen(flow: Flow) -> str:
                return str(await flow.signal("agno_rt.message"))

            with pytest.raises(UsageError, match="begins with"):
                await rt.run(listen, "go")

    async def test_a_blocked_message_blocks_once(self) -> None:
        """A message that a guardrail refuses ends the run, and the resumed run goes on without it."""

        class NoHurry:
            name = "no hurry"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                return Verdict("no hurry") if "hurry" in text else None

        model = Stepping("first", "second")
        agent = stored(model, hooks=[NoHurry()])
        async with Runtime() as rt:
            run = await rt.start(agent, "go")
            await model.asked.wait()
            await rt.send(run.id, "hurry")
            await model.step()
            with pytest.raises(Blocked):
                await run.wait()
            result = await rt.resume(run.id)

        assert (result.content, users(result.messages)) == ("first", ["go"])

    async def test_no_turn_is_left(self) -> None:
        """A message that no turn is left for ends the run with the limit's name."""
        model = Stepping("first")
        async with Runtime() as rt:
            run = await rt.start(stored(model, limits=Limits(turns=1)), "go")
            await model.asked.wait()
            await rt.send(run.id, "more")
            await model.step()
            with pytest.raises(LimitExceeded) as caught:
                await run.wait()
        assert caught.value.limit == "turns"


class Late(InProcessMemory):
    """A store in which something happens just before a run's end is stored."""

    def __init__(self, *happens: Any) -> None:
        super().__init__()
        self.happens = list(happens)

    async def change_run(self, run: str, change: RunChange, *, owner: str) -> int | None:
        if change.status == "completed" and self.happens:
            await self.happens.pop(0)(run)
        return await super().change_run(run, change, owner=owner)


class TestEnds:
    """Messages that come as the run ends."""

    async def test_a_message_before_the_end_is_stored(self) -> None:
        """The run has its answer, and its end is about to be stored: it goes on with the message, in a session too."""
        model = Noting()

        async def send(run: str) -> None:
            assert await rt.send(run, "wait") == "running"

        async def signal_anything(run: str) -> None:
            await rt.signal(run, "mail")

        async with Runtime(memory=Late(send, signal_anything)) as rt:
            result = await rt.run(stored(model), "go", session="s")
            session = await rt.memory.load("s")

        assert model.requests == [["go"], ["go", "wait"]]
        assert users(result.messages) == ["go", "wait"] == users(session.messages)

    @pytest.mark.parametrize("file", [False, True])
    async def test_acknowledged_is_received(self, file: bool, tmp_path: Path) -> None:
        """Of 200 messages sent while the run ends, the acknowledged ones are received, and the others refused."""
        acknowledged: list[str] = []
        refused: list[str] = []
        model = Held()
        async with Runtime(memory=f"sqlite:///{tmp_path}/a.db" if file else "memory:") as rt:
            run = await rt.start(stored(model, limits=Limits(turns=1000)), "go")
            await model.asked.wait()
            # The first message comes in time however slow the store is; the others race with the end.
            await rt.send(run.id, "first")
            acknowledged.append("first")
            model.go.set()

            async def send(number: int) -> None:
                for _ in range(number % 40):
                    await trio.lowlevel.checkpoint()
                try:
                    await rt.send(run.id, str(number))
                    acknowledged.append(str(number))
                except RunConflict:
                    refused.append(str(number))

            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(send, number)
                await run.wait()
                for number in range(100, 200):
                    nursery.start_soon(send, number)
            result = await run.wait()

        assert len(acknowledged) + len(refused) == 201
        assert len(refused) >= 100
        assert sorted(users(result.messages)[1:]) == sorted(acknowledged)


PROGRAM = """
import sys, trio
from agno_rt import Agent, Limits, MemoryPolicy, ModelResponse, Runtime, ToolCall, tool

class Until:
    name = "until"
    async def respond(self, request, emit=None):
        users = [message.text for message in request.messages if message.role == "user"]
        if {last!r} in users:
            return ModelResponse(" ".join(users))
        return ModelResponse("", (ToolCall(f"c{{request.turn}}", "wait"),))

@tool
async def wait() -> str:
    "Wait."
    await trio.sleep({pause})
    return "waited"

async def main():
    async with Runtime(memory=sys.argv[1]) as rt:
        agent = Agent(Until(), "agent", tools=[wait], memory=MemoryPolicy(journal=True), limits=Limits(turns=10_000))
        run = await rt.start(agent, "go")
        while not await rt.memory.runs():
            await trio.sleep(0.01)
        print(run.id, flush=True)
        print((await run.wait()).content, flush=True)

trio.run(main)
"""


def start_program(url: str, last: str, pause: float) -> tuple[subprocess.Popen[str], str]:
    """Start a process whose run goes on until it receives the message `last`; return the run's id too."""
    code = PROGRAM.format(last=last, pause=pause)
    process = subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


class TestProcesses:
    """Two processes on one SQLite file."""

    async def test_another_process_takes_the_messages(self, tmp_path: Path) -> None:
        """A run goes on in another process until a message of ours reaches it, after all earlier ones."""
        url = f"sqlite:///{tmp_path}/runs.db"
        process, run = start_program(url, "stop", 0.01)
        try:
            async with Runtime(memory=url) as rt:
                for text in ("one", "two", "stop"):
                    assert await rt.send(run, text) == "running"
                out, _ = await trio.to_thread.run_sync(process.communicate)
                with pytest.raises(RunConflict):
                    await rt.send(run, "late")
        finally:
            process.kill()
            process.wait()
        assert out.strip() == "go one two stop"

    async def test_a_kill_after_the_acknowledgement(self, tmp_path: Path) -> None:
        """A process is killed in the middle of a call, after a message was stored: the resumed run has it once."""
        url = f"sqlite:///{tmp_path}/runs.db"
        process, run = start_program(url, "stop", 3600)
        async with Runtime(memory=url) as rt:
            await rt.send(run, "one")
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            await rt.send(run, "two")
            record, _ = await rt.memory.load_run(run)  # type: ignore[attr-defined]
            assert await rt.find_stopped([record]) == {run}

            @tool(idempotent=True)
            def wait() -> str:
                """Wait."""
                return "waited"

            model = Noting()
            result = await rt.resume(run, stored(model, tools=[wait]))
        assert model.requests == [["go", "one", "two"]]
        assert users(result.messages) == ["go", "one", "two"]


class TestFlows:
    """Runs of teams and workflows hand messages on."""

    async def test_the_run_under_way_within(self) -> None:
        """The member that is at work takes the message, and the next member does not see it as a message."""
        first, second = Stepping("draft", "better"), Noting()
        team = Team([Agent(first, "a"), Agent(second, "b")], Sequence(), name="team", memory=STORED)
        async with Runtime() as rt:
            run = await rt.start(team, "go")
            await first.asked.wait()
            assert await rt.send(run.id, "shorter") == "running"
            await first.step()
            await first.step()
            result = await run.wait()
            _, entries = await rt.memory.load_run(run.id)  # type: ignore[attr-defined]

        assert first.requests == [["go"], ["go", "shorter"]]
        assert result.content == "done"
        assert not any("shorter" in request for request in second.requests)
        assert [each.kind for each in entries].count("received") == 1

    @pytest.mark.parametrize("stored", [False, True])
    async def test_all_that_are_at_work(self, stored: bool) -> None:
        """Each member of a broadcast takes the message, in a team that is stored and in one that is not."""
        models, last = [Stepping("x", "y"), Stepping("x", "y")], Noting()
        members = [Agent(models[0], "a"), Agent(models[1], "b"), Agent(last, "c")]
        async with Runtime() as rt:
            team = Team(members, Broadcast(), name="team", memory={"journal": stored})
            run = await rt.start(team, "go")
            for model in models:
                await model.asked.wait()
            await trio.testing.wait_all_tasks_blocked()
            run.send("briefly")
            for _ in range(2):
                for model in models:
                    await model.step()
            await run.wait()

        assert models[0].requests == models[1].requests == [["go"], ["go", "briefly"]]
        assert last.requests == [["go"]]

    async def test_the_next_run_within(self) -> None:
        """With no run under way, the next one takes the message; a workflow around passes it through a team."""
        model, free, waits = Noting(), trio.Event(), trio.Event()

        @workflow(name="report")
        async def report(flow: Flow) -> str:
            waits.set()
            await free.wait()
            result = await flow.run(Team([Agent(model, "a")], Sequence(), name="team"), "go")
            return result.content

        async with Runtime() as rt:
            run = await rt.start(report, "go")
            await waits.wait()
            await rt.send(run.id, "shorter")
            free.set()
            await run.wait()

        assert model.requests == [["go", "shorter"]]

    async def test_a_message_that_nobody_takes(self) -> None:
        """A message after the last run within is in the workflow's journal, as not taken in."""
        model = Noting()

        @workflow(name="report")
        async def report(flow: Flow) -> str:
            content = (await flow.run(Agent(model, "a"), "go")).content
            await rt.send(flow.run_id, "early")
            return content

        async def do_nothing(run: str) -> None:
            await trio.lowlevel.checkpoint()

        async def send(run: str) -> None:
            await rt.send(run, "late")

        # The agent's own end is stored first.
        async with Runtime(memory=Late(do_nothing, send)) as rt:
            result = await rt.run(report, "go")
            record, entries = await rt.memory.load_run(result.run_id)  # type: ignore[attr-defined]

        assert (result.content, record.status) == ("done", "completed")
        assert model.requests == [["go"]]
        assert [each.kind for each in entries].count("received") == 2
        texts = [each.text for each in read_steps(entries, result.run_id) if each.kind == "received"]
        assert texts == ["received, and not taken in: early", "received, and not taken in: late"]

    async def test_a_run_that_is_cancelled_on_the_way(self) -> None:
        """A message at a run that is cancelled while a guardrail checks the message goes to the next run."""
        checks = trio.Event()

        class Slow:
            name = "slow"

            async def check(self, context: RunContext, text: str) -> Verdict | None:
                if text == "shorter":
                    checks.set()
                    await trio.sleep_forever()
                return None

        first, after = Stepping("x"), Noting()

        @workflow(name="race")
        async def race(flow: Flow) -> str:
            async with flow.group("g") as group:
                group.start(Agent(first, "slow", hooks=[Slow()]), "go")
                await checks.wait()
                group.cancel()  # type: ignore[attr-defined]
            return (await flow.run(Agent(after, "after"), "go")).content

        async with Runtime() as rt:
            run = await rt.start(race, "go")
            await first.asked.wait()
            await rt.send(run.id, "shorter")
            await first.step()
            await run.wait()

        assert after.requests == [["go", "shorter"]]

    async def test_the_loser_of_a_race_leaves_the_message(self) -> None:
        """A message at a run that is cancelled before it looks goes to the next run."""
        slow, after = Stepping("never"), Noting()

        @workflow(name="race")
        async def race(flow: Flow) -> str:
            async with flow.group("g") as group:
                group.start(Agent(slow, "slow"), "go")
                await slow.asked.wait()
                await rt.send(flow.run_id, "shorter")
                group.cancel()  # type: ignore[attr-defined]
            return (await flow.run(Agent(after, "after"), "go")).content

        async with Runtime() as rt:
            await rt.run(race, "go")

        assert after.requests == [["go", "shorter"]]

    def test_killed_at_every_write(self) -> None:
        """Killed after any write, a workflow with messages goes on, and each message is taken in once."""

        async def scenario(point: KillPoint) -> None:
            memory, models = InProcessMemory(), [Noting(), Noting(), Noting()]

            def build(rt: Runtime) -> Any:
                class Sending:
                    """Sends a message to the workflow while it writes its first answer."""

                    name = "sending"

                    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                        models[0].requests.append(users(request.messages))
                        record = [run for run in await memory.runs() if run.parent is None][-1]
                        if not await memory.signals(record.id):
                            await rt.send(record.id, "shorter")
                        return ModelResponse("done")

                inner = Team([Agent(Sending(), "a"), Agent(models[1], "b")], Sequence(), name="team")

                @workflow(name="outer")
                async def outer(flow: Flow) -> list[str]:
                    one = await flow.run(inner, "go")
                    two = await flow.run(Agent(models[2], "c"), "go")
                    return [one.content, two.content]

                return outer

            with point:
                async with Runtime(memory=point.memory(memory)) as rt:
                    await rt.run(build(rt), "go")
            async with Runtime(memory=memory) as rt:
                result = await point.finish(rt, build(rt), "go")
            assert result.output == ["done", "done"]
            runs = [run for run in await memory.runs() if run.agent in ("a", "b", "c") and run.status == "completed"]
            received = [
                entry
                for run in runs
                for entry in (await memory.load_run(run.id))[1]
                if entry.kind == "received" and b"shorter" in entry.body
            ]
            assert len(received) == 1

        assert kill_everywhere(scenario) >= 10
