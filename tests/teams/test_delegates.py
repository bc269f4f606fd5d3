"""Tasks that an agent gives to others: within the call, and in the background."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import Agent, Limits, MemoryPolicy, Message, ModelRequest, Runtime, ToolCall, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import LimitExceeded, ModelError, RunCancelled, UsageError
from agno_rt.events import RunEnded, RunStarted
from agno_rt.run_store import Resume
from agno_rt.teams import Delegates
from agno_rt.testing import (
    CancelPoint,
    Faults,
    KillPoint,
    Pauses,
    ScriptedModel,
    cancel_everywhere,
    fail_everywhere,
    kill_everywhere,
    pause,
    run_schedules,
)

STORED = MemoryPolicy(journal=True)


def start(id: str, task: str, agent: str = "helper") -> ToolCall:
    """Return the call that starts a task."""
    return ToolCall(id, "start_task", {"agent": agent, "task": task})


def collect(id: str, task: str) -> ToolCall:
    """Return the call that collects a task."""
    return ToolCall(id, "collect_task", {"task": task})


class Helper:
    """An agent that answers each task when the test lets it, and counts the tasks by text."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self.asked, self.go = trio.Event(), trio.Event()
        if is_open:
            self.go.set()

    async def answer(self, request: ModelRequest) -> str:
        word = request.messages[-1].text
        self.counts[word] += 1
        self.asked.set()
        await self.go.wait()
        return f"found {word}"

    def agent(self, **options: Any) -> Agent:
        return Agent(ScriptedModel(self.answer), "helper", description="Finds things.", **options)


def told(messages: Sequence[Message], name: str) -> list[Any]:
    """Return the decoded results of the tool."""
    return [json.loads(message.text) for message in messages if message.role == "tool" and message.name == name]


def boss(script: Sequence[Any], *helpers: Any, memory: MemoryPolicy | None = None, **options: Any) -> Agent:
    """Return an agent that follows the script, with the helpers in the background."""
    limits = options.pop("limits", None)
    tools = [Delegates(helpers, background=True, **options)]
    return Agent(ScriptedModel(script), "boss", tools=tools, memory=memory or MemoryPolicy(), limits=limits)


class TestWithinTheCall:
    """`background=False`."""

    async def test_returns_the_answer(self) -> None:
        """The tool runs the agent, which sees its task alone; calls of one turn run together."""
        helper = Helper()
        seen: list[Any] = []
        agent = Agent(
            ScriptedModel(
                [[ToolCall(word, "run_task", {"agent": "helper", "task": word}) for word in "ab"], "done"],
            ),
            "boss",
            tools=[Delegates([helper.agent()])],
        )
        async with Runtime(observers=[seen.append]) as rt:
            result = await rt.run(agent, "go")
        assert [message.text for message in result.messages if message.role == "tool"] == ["found a", "found b"]
        parents = [event.parent for event in seen if isinstance(event, RunStarted)]
        assert parents == [None, result.run_id, result.run_id]

    async def test_a_failure_is_told(self) -> None:
        """The model is told why the agent failed, and goes on."""
        broken = Agent(ScriptedModel([ModelError("no power", provider="x")]), "helper")
        model = ScriptedModel([ToolCall("1", "run_task", {"agent": "helper", "task": "a"}), "done"])
        async with Runtime() as rt:
            result = await rt.run(Agent(model, tools=[Delegates([broken])]), "go")
        assert "no power" in result.messages[2].text
        assert result.content == "done"

    async def test_a_stored_run_waits_with_the_agent(self) -> None:
        """A stored run pauses with an agent that waits for a person, and goes on with the agent's answer."""
        asked: list[str] = []

        def answer(request: ModelRequest) -> Any:
            asked.append(request.messages[-1].text)
            return "all paid" if request.messages[-1].role == "tool" else ToolCall("p", "pay", {"amount": 7})

        payer = Agent(ScriptedModel(answer), "payer", tools=[pay])
        model = ScriptedModel([ToolCall("1", "run_task", {"agent": "payer", "task": "bill"}), "done"])
        boss_agent = Agent(model, "boss", tools=[Delegates([payer])], memory=STORED)
        async with Runtime() as rt:
            paused = await rt.run(boss_agent, "go")
            assert (paused.status, [each.call.name for each in paused.approvals]) == ("paused", ["pay"])
            await rt.approve(paused.approvals[0].id)
            result = await rt.resume(paused.run_id)

        assert [message.text for message in result.messages if message.role == "tool"] == ["all paid"]
        assert result.content == "done"
        assert len(asked) == 2, "the answer before the pause is not asked for again"


class TestMistakes:
    """Values that cannot work."""

    @pytest.mark.parametrize(
        ("make", "problem"),
        [
            (lambda: Delegates([]), "agents of Delegates are"),
            (lambda: Delegates([Agent("x:y")]), "not a runnable with a name"),
            (lambda: Delegates([Agent("x:y", "a"), Agent("x:y", "a")]), "are called 'a'"),
            (lambda: Delegates([Agent("x:y", "a")], on_end="stop"), "on_end of Delegates is 'stop'"),  # type: ignore[arg-type]
            (lambda: Delegates([Agent("x:y", "a")], at_once=0), "at_once of Delegates is 0"),
        ],
    )
    def test_are_refused(self, make: Callable[[], Any], problem: str) -> None:
        """Each mistake is named when the value is made."""
        with pytest.raises(UsageError, match=problem):
            make()

    async def test_unknown_tasks_and_agents(self) -> None:
        """The model is told of the known tasks, and of the agents by the tool's schema."""
        model = [start("1", "a"), collect("2", "helpr-1"), start("3", "b", "nobody"), collect("4", "helper-1"), "done"]
        async with Runtime() as rt:
            result = await rt.run(boss(model, Helper().agent()), "go")
        texts = [message.text for message in result.messages if message.role == "tool"]
        assert "unknown task 'helpr-1'" in texts[1]
        assert "helper-1" in texts[1]
        assert '"nobody", expected one of "helper"' in texts[2]


class TestBackground:
    """`background=True`."""

    async def test_start_check_collect(self) -> None:
        """The run goes on while the tasks do; each answer is collected once, in any order."""
        helper = Helper(is_open=False)

        def let_go(request: ModelRequest) -> list[ToolCall]:
            helper.go.set()
            return [collect("4", "helper-2"), collect("5", "helper-1")]

        script = [
            [start("1", "a"), start("2", "b")],
            ToolCall("3", "check_tasks"),
            let_go,
            collect("6", "helper-1"),
            "x",
        ]
        async with Runtime() as rt:
            result = await rt.run(boss(script, helper.agent()), "go")
        started = told(result.messages, "start_task")
        assert [each["status"] for each in started] == ["running"] * 2
        assert {each["task"] for each in started} == {"helper-1", "helper-2"}
        [checked] = told(result.messages, "check_tasks")
        assert [each["status"] for each in checked] == ["running"] * 2
        answers = told(result.messages, "collect_task")
        assert {each.get("answer") for each in answers[:2]} == {"found a", "found b"}
        assert "collected before" in answers[2]["error"]
        assert result.content == "x"

    async def test_the_children_are_runs_of_their_own(self) -> None:
        """Each has an id, its name as the path, the parent's id, and an end; usage and steps count for the parent."""
        seen: list[Any] = []
        async with Runtime(observers=[seen.append]) as rt:
            result = await rt.run(
                boss([start("1", "a"), collect("2", "helper-1"), "x"], Helper().agent()), "go", user="ann"
            )
        [begun] = [event for event in seen if isinstance(event, RunStarted) and event.parent]
        assert (begun.path, begun.parent, begun.user) == ("helper-1", result.run_id, "ann")
        assert begun.run_id == told(result.messages, "start_task")[0]["run"]
        ends = [event for event in seen if isinstance(event, RunEnded) and event.run_id == begun.run_id]
        assert [end.status for end in ends] == ["completed"]
        own = sum(event.usage.output_tokens for event in seen if type(event).__name__ == "ModelEnded")
        assert result.usage.output_tokens == own

    async def test_an_uncollected_answer_is_told(self) -> None:
        """By default the answer waits for the tasks, and the model answers again with what they have found."""
        helper = Helper(is_open=False)
        seen: list[str] = []

        def answer(request: ModelRequest) -> str:
            seen.append(request.messages[-1].text)
            return "second"

        async with Runtime() as rt:
            run = await rt.start(boss([start("1", "a"), "first", answer], helper.agent()), "go")
            await trio.testing.wait_all_tasks_blocked()
            assert run.result is None
            helper.go.set()
            result = await run.wait()
        assert result.content == "second"
        assert "found a" in seen[0]

    async def test_without_a_turn_left_the_answer_stays(self) -> None:
        """A run that has taken all of its turns waits for its tasks, and keeps its answer."""
        helper = Helper()
        async with Runtime() as rt:
            result = await rt.run(boss([start("1", "a"), "first"], helper.agent(), limits=Limits(turns=2)), "go")
        assert result.content == "first"
        assert helper.counts == {"a": 1}

    async def test_steer(self) -> None:
        """A message reaches the task under way; a task that is over takes none."""
        helper = Helper(is_open=False)
        inbox: list[str] = []

        async def answer(request: ModelRequest) -> str:
            inbox[:] = [message.text for message in request.messages if message.role == "user"]
            await helper.answer(request)
            return "done"

        async def send(request: ModelRequest) -> ToolCall:
            await helper.asked.wait()
            return ToolCall("2", "message_task", {"task": "helper-1", "message": "hurry"})

        def let_go(request: ModelRequest) -> ToolCall:
            helper.go.set()
            return collect("3", "helper-1")

        again = ToolCall("4", "message_task", {"task": "helper-1", "message": "late"})
        async with Runtime() as rt:
            result = await rt.run(
                boss([start("1", "a"), send, let_go, again, "x"], Agent(ScriptedModel(answer), "helper")), "go"
            )
        assert inbox == ["a", "hurry"]
        assert "is completed, and takes no message" in result.messages[-2].text

    async def test_cancel(self) -> None:
        """A cancelled task ends at once, and says so."""
        helper = Helper(is_open=False)

        async def cancel(request: ModelRequest) -> ToolCall:
            await helper.asked.wait()
            return ToolCall("2", "cancel_task", {"task": "helper-1"})

        async with Runtime() as rt:
            result = await rt.run(boss([start("1", "a"), cancel, "x"], helper.agent()), "go")
        assert [each["status"] for each in told(result.messages, "cancel_task")] == ["cancelled"]
        assert result.content == "x"

    async def test_a_failed_task(self) -> None:
        """Collecting a failed task tells the error; the run goes on."""
        broken = Agent(ScriptedModel([ModelError("no power", provider="x")]), "helper")
        async with Runtime() as rt:
            result = await rt.run(boss([start("1", "a"), collect("2", "helper-1"), "x"], broken), "go")
        [state] = told(result.messages, "collect_task")
        assert state["status"] == "failed"
        assert "no power" in state["error"]

    async def test_at_once(self) -> None:
        """A task too many is refused, with the names of those under way."""
        helper = Helper(is_open=False)

        async def let_go(request: ModelRequest) -> str:
            helper.go.set()
            return "x"

        script = [[start("1", "a"), start("2", "b"), start("3", "c")], let_go, "x"]
        async with Runtime() as rt:
            result = await rt.run(boss(script, helper.agent(), at_once=2), "go")
        refused = [message.text for message in result.messages if "under way" in message.text]
        assert len(refused) == 1
        assert "helper-1" in refused[0]

    async def test_the_budget_of_the_parent_holds(self) -> None:
        """A task spends from the parent's budget: it is limited, and the parent is, too."""
        spender = Agent(ScriptedModel(lambda _: "word " * 50), "helper")
        async with Runtime() as rt:
            agent = boss([start("1", "a"), collect("2", "helper-1"), "x"], spender, limits=Limits(output_tokens=30))
            with pytest.raises(LimitExceeded) as caught:
                await rt.run(agent, "go")
        assert caught.value.limit == "output_tokens"

    @pytest.mark.parametrize(("on_end", "status"), [("cancel", "cancelled"), ("keep", "completed")])
    async def test_the_end_of_the_parent(self, on_end: Any, status: str) -> None:
        """Tasks under way are cancelled with the answer, or go on; the answer does not wait."""
        helper, seen = Helper(is_open=False), list[Any]()

        async def answer(request: ModelRequest) -> str:
            await helper.asked.wait()
            return "x"

        async with Runtime(observers=[seen.append]) as rt:
            result = await rt.run(boss([start("1", "a"), answer], helper.agent(), on_end=on_end), "go")
            child = told(result.messages, "start_task")[0]["run"]
            helper.go.set()
        assert [event.status for event in seen if isinstance(event, RunEnded) and event.run_id == child] == [status]

    @pytest.mark.parametrize("on_end", ["wait", "cancel"])
    async def test_a_failing_parent_cancels_its_tasks(self, on_end: Any) -> None:
        """An error of the parent waits for no task: they are cancelled, and have ended before the error is raised."""
        helper, seen = Helper(is_open=False), list[Any]()

        async def fail(request: ModelRequest) -> str:
            await helper.asked.wait()
            raise ModelError("broken", provider="x")

        async with Runtime(observers=[seen.append]) as rt:
            with pytest.raises(ModelError):
                await rt.run(boss([start("1", "a"), fail], helper.agent(), on_end=on_end), "go")
            ends = [event.status for event in seen if isinstance(event, RunEnded)]
            assert ends == ["cancelled", "failed"]

    async def test_a_kept_task_ends_with_the_runtime(self) -> None:
        """An error that leaves the runtime's block cancels a kept task."""
        helper, seen = Helper(is_open=False), list[Any]()

        async def main() -> None:
            async with Runtime(observers=[seen.append]) as rt:
                await rt.run(boss([start("1", "a"), "x"], helper.agent(), on_end="keep"), "go")
                await helper.asked.wait()
                raise ValueError("the program fails")

        with pytest.raises(ValueError, match="the program fails"):
            await main()
        assert [event.status for event in seen if isinstance(event, RunEnded)] == ["completed", "cancelled"]

    async def test_messages_while_the_answer_waits(self) -> None:
        """A run whose answer waits for tasks still takes messages."""
        helper = Helper(is_open=False)

        def last(request: ModelRequest) -> str:
            return " | ".join(message.text.splitlines()[-1] for message in request.messages if message.role == "user")

        async with Runtime() as rt:
            run = await rt.start(boss([start("1", "a"), "first", last], helper.agent()), "go")
            await trio.testing.wait_all_tasks_blocked()
            run.send("and hurry")
            helper.go.set()
            result = await run.wait()
        assert result.content == "go | and hurry | found a"


@tool(approve=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


class TestApprovals:
    """Tasks that wait for a person."""

    async def test_check_shows_the_approval_and_collect_goes_on(self) -> None:
        """The task is shown with what it waits for; after the decision its answer can be collected."""
        payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])
        asked: list[Any] = []

        async def check(request: ModelRequest) -> ToolCall:
            await trio.testing.wait_all_tasks_blocked()
            return ToolCall("2", "check_tasks")

        async def decide(request: ModelRequest) -> ToolCall:
            asked.extend(json.loads(request.messages[-1].text))
            await rt.approve(asked[0]["waits_for"][0]["approval"])
            return collect("3", "payer-1")

        async with Runtime() as rt:
            result = await rt.run(boss([start("1", "pay", "payer"), check, decide, "x"], payer), "go")
        assert asked[0]["status"] == "paused"
        [waits] = asked[0]["waits_for"]
        assert (waits["tool"], json.loads(waits["arguments"])) == ("pay", {"amount": 7})
        assert told(result.messages, "collect_task")[0]["answer"] == "all paid"

    async def test_an_undecided_task_does_not_hold_the_answer_up(self) -> None:
        """A task that waits for a person is not waited for: the parent ends, and the task can be resumed by its id."""
        payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])
        async with Runtime() as rt:
            result = await rt.run(boss([start("1", "pay", "payer"), collect("2", "payer-1"), "x"], payer), "go")
            [state] = told(result.messages, "collect_task")
            assert state["status"] == "paused"
            await rt.approve(state["waits_for"][0]["approval"])
            assert (await rt.resume(state["run"], payer)).content == "all paid"


class TestEvents:
    """The stream of the run that gives the tasks."""

    async def test_events_of_tasks_are_in_the_stream(self) -> None:
        """`within` gives the events of a task in the background, each run begun and ended once."""
        helper = Helper()
        agent = boss([start("1", "a"), collect("2", "helper-1"), "done"], helper.agent())
        async with Runtime() as rt, rt.stream(agent, "go") as events:
            seen = [(path, event) async for path, event in events.within()]

        begun = [(path, event.run_id) for path, event in seen if isinstance(event, RunStarted)]
        ended = [(path, event.run_id) for path, event in seen if isinstance(event, RunEnded)]
        assert [path for path, _ in begun] == ["", "helper-1"]
        assert sorted(begun) == sorted(ended)


class TestDurable:
    """Stored runs."""

    def test_killed_everywhere(self) -> None:
        """After a crash at any write the result is the same, and no finished task is done again."""

        async def scenario(point: KillPoint) -> None:
            helper, memory = Helper(), InProcessMemory()

            def final(request: ModelRequest) -> str:
                found = {
                    word for message in request.messages for word in ("found a", "found b") if word in message.text
                }
                return ", ".join(sorted(found))

            def script(request: ModelRequest) -> Any:
                done = sum(message.role == "assistant" for message in request.messages)
                return [[start("1", "a"), start("2", "b")], collect("1", "helper-1"), "first", final][done]

            def agent() -> Agent:
                def answer(request: ModelRequest) -> Any:
                    step = script(request)
                    return step(request) if callable(step) else step

                return boss(answer, helper.agent(memory=STORED), memory=STORED)  # type: ignore[arg-type]

            with point:
                async with Runtime(memory=point.memory(memory)) as rt:
                    await rt.run(agent(), "go")
            finished = {run.input for run in await memory.runs(status="completed") if run.parent}
            before = Counter(helper.counts)
            async with Runtime(memory=memory) as rt:
                result = await point.finish(rt, agent(), "go")
            assert result.content == "found a, found b"
            for word in finished:
                assert helper.counts[word] == before[word]

        assert kill_everywhere(scenario, at_least=8) >= 8

    async def test_a_parent_that_paused(self) -> None:
        """Tasks of a paused run are stopped, and go on when the run is resumed; a finished one is not run again."""
        helper, slow, memory = Helper(), Helper(is_open=False), InProcessMemory()
        slow_agent = Agent(ScriptedModel(slow.answer), "slow")

        async def ask(request: ModelRequest) -> ToolCall:
            await slow.asked.wait()
            while not await memory.runs(status="completed"):
                await trio.lowlevel.checkpoint()
            return ToolCall("3", "pay", {"amount": 1})

        script = [
            [start("1", "a"), start("2", "b", "slow")],
            ask,
            collect("4", "slow-1"),
            collect("5", "helper-1"),
            "x",
        ]
        agent = boss(script, helper.agent(), slow_agent, memory=STORED)
        agent.tools = [*agent.tools, pay]
        async with Runtime(memory=memory) as rt:
            paused = await rt.run(agent, "go")
            assert paused.status == "paused"
            statuses = sorted(run.status for run in await memory.runs() if run.parent)
            assert statuses == ["cancelled", "completed"]
            await rt.approve(paused.approvals[0].id)
            slow.go.set()
            result = await rt.resume(paused.run_id)
        assert [each["answer"] for each in told(result.messages, "collect_task")] == ["found b", "found a"]
        assert helper.counts == {"a": 1}

    async def test_a_cancelled_task_is_not_taken_up_again(self) -> None:
        """A task that the model cancelled before the run was interrupted stays cancelled."""
        helper = Helper(is_open=False)

        async def cancel(request: ModelRequest) -> ToolCall:
            await helper.asked.wait()
            return ToolCall("2", "cancel_task", {"task": "helper-1"})

        stopped = trio.Event()

        async def hang(request: ModelRequest) -> str:
            stopped.set()
            await trio.sleep_forever()
            raise AssertionError

        agent = boss([start("1", "a"), cancel, hang, "x"], helper.agent(), memory=STORED)
        async with Runtime() as rt:
            run = await rt.start(agent, "go")
            await stopped.wait()
            run.cancel()
            await run.wait()
            helper.go.set()
            assert (await rt.run(agent, Resume(run.id))).content == "x"
        assert helper.counts == {"a": 1}


class TestEverywhere:
    """Races."""

    def test_schedules(self) -> None:
        """Tasks started, checked and collected at once under many schedules: each is run once, and ends once."""

        async def scenario() -> None:
            ends: list[str] = []

            def note(event: Any) -> None:
                if isinstance(event, RunEnded):
                    ends.append(event.run_id)

            pauses, helper = Pauses(), Helper()
            agent = boss(
                [
                    [start(word, word) for word in "abc"],
                    [ToolCall("4", "check_tasks"), collect("5", "helper-1"), collect("6", "helper-2")],
                    "first",
                    "second",
                ],
                Agent(pauses.model(ScriptedModel(helper.answer)), "helper"),
            )
            async with Runtime(observers=[note]) as rt:
                result = await rt.run(agent, "go")
            assert helper.counts == {"a": 1, "b": 1, "c": 1}
            assert len(ends) == len(set(ends)) == 4
            assert result.content == "second"

        run_schedules(scenario, 100)

    @pytest.mark.parametrize("on_end", ["wait", "cancel", "keep"])
    def test_cancelled_everywhere(self, on_end: Any) -> None:
        """The parent is cancelled at any step: every run ends, and nothing is left over."""

        async def scenario(point: CancelPoint) -> None:
            seen: list[Any] = []

            async def answer(request: ModelRequest) -> str:
                await pause()
                return "found"

            agent = boss(
                [[start("1", "a"), start("2", "b")], collect("3", "helper-1"), "first", "second"],
                Agent(ScriptedModel(answer), "helper"),
                on_end=on_end,
            )
            async with Runtime(observers=[seen.append]) as rt:
                with point:
                    await rt.run(agent, "go")
            begun = [event.run_id for event in seen if isinstance(event, RunStarted)]
            ended = [event.run_id for event in seen if isinstance(event, RunEnded)]
            assert sorted(begun) == sorted(ended)

        cancel_everywhere(scenario)

    def test_failing_everywhere(self) -> None:
        """Any call of a model or of the memory fails: the run answers, or raises; every run ends."""

        async def scenario(faults: Faults) -> None:
            seen: list[Any] = []
            helper = Helper()
            agent = Agent(
                faults.model(ScriptedModel([start("1", "a"), collect("2", "helper-1"), "x"])),
                "boss",
                tools=[Delegates([Agent(faults.model(ScriptedModel(helper.answer)), "helper")], background=True)],
                memory=STORED,
            )
            async with Runtime(memory=faults.memory(InProcessMemory()), observers=[seen.append]) as rt:
                try:
                    await rt.run(agent, "go")
                except (ModelError, RunCancelled):
                    pass
                except Exception as exc:
                    if faults.fired == "":
                        raise exc
            begun = [event.run_id for event in seen if isinstance(event, RunStarted)]
            ended = [event.run_id for event in seen if isinstance(event, RunEnded)]
            assert sorted(begun) == sorted(ended)

        fail_everywhere(scenario)
