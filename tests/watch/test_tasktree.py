"""The task tree of a running runtime: runs that wait for all possible reasons."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agno_rt import Agent, Limits, ModelRequest, ModelResponse, RateLimit, Retry, Runtime, ToolCall, tool
from agno_rt import Hook as AgentHook
from agno_rt._watch.snapshot import task_tree
from agno_rt.errors import ModelError
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit
from agno_rt.tasktree import CallTask, Deadline, RunTask, TaskTree
from agno_rt.testing import ScriptedModel
from tests.helpers import Hanging, forever


def take_tree(rt: Runtime) -> TaskTree:
    """Return the tree, after a check of its JSON form."""
    tree = task_tree(rt._model_calls, rt.statistics())
    assert msgspec.json.decode(msgspec.json.encode(tree), type=TaskTree) == tree
    return tree


async def only_run(rt: Runtime) -> RunTask:
    """Return the single run, once all tasks are blocked."""
    await wait_all_tasks_blocked()
    (run,) = take_tree(rt).runs
    return run


def calling_model(*names: str) -> ScriptedModel:
    """Make a model with calls of the tools, then an answer."""
    return ScriptedModel([[ToolCall(str(at), name) for at, name in enumerate(names, 1)], "done"])


class TestRuns:
    """Runs in the tree."""

    async def test_nothing(self) -> None:
        """An idle runtime has an empty tree."""
        async with Runtime() as rt:
            await rt.run(Agent(ScriptedModel(["ok"])), "x")

            assert take_tree(rt).runs == ()
            assert str(take_tree(rt)) == "nothing under way"

    async def test_asking(self) -> None:
        """A run that waits for its model has agent, session, user, turn, and a place in the model's code."""
        async with Runtime() as rt:
            started = await rt.start(Agent(Hanging(), "assistant"), "x", session="s", user="ann")
            run = await only_run(rt)
            started.cancel()

        assert (run.id, run.agent, run.session, run.user) == (started.id, "assistant", "s", "ann")
        assert (run.turn, run.doing, run.waits, run.calls) == (1, "asking hanging", None, ())
        assert run.place is not None
        assert run.place.function == "Hanging.respond"
        assert run.budgets == (LimitStatistics("turns", 16, 1, 0),)
        line = str(TaskTree((run,)))
        assert f"run {started.id} assistant · session 's' · user 'ann' · turn 1/16 · for " in line
        assert " · asking hanging at Hanging.respond" in line

    async def test_not_begun(self) -> None:
        """A started run is in the tree before its first turn."""
        async with Runtime() as rt:
            started = await rt.start(Agent(ScriptedModel(["ok"])), "x")
            (run,) = take_tree(rt).runs

        assert (run.id, run.doing, run.turn) == (started.id, "starting", 0)

    async def test_in_the_foreground(self) -> None:
        """Runs in the program's own tasks are included; runs of another runtime are not."""
        async with Runtime() as rt, Runtime() as other, trio.open_nursery() as nursery:
            nursery.start_soon(rt.run, Agent(Hanging(), "mine"), "x")
            nursery.start_soon(other.run, Agent(Hanging(), "other"), "x")
            run = await only_run(rt)
            nursery.cancel_scope.cancel()

        assert run.agent == "mine"

    async def test_queued(self) -> None:
        """A queued run names the limit, with the numbers of running and waiting runs."""
        async with Runtime(limits=Limits(runs=1)) as rt:
            first = await rt.start(Agent(Hanging()), "x")
            await wait_all_tasks_blocked()
            second = await rt.start(Agent(Hanging()), "x")
            await wait_all_tasks_blocked()
            tree = take_tree(rt)
            first.cancel()
            second.cancel()

        run = tree.run(second.id)
        assert run is not None
        assert (run.doing, run.turn) == ("queued for a place (runs)", 0)
        assert run.waits == LimitStatistics("runs", 1, 1, 1)
        assert "limits: runs 1/1, 1 waiting, model_calls 1/1000" in str(tree)
        assert tree.run("another") is None

    async def test_waiting_for_a_place_to_ask(self) -> None:
        """A run in the queue for model calls names the limit."""
        async with Runtime(limits=Limits(model_calls=1)) as rt:
            runs = []
            for _ in range(2):
                runs.append(await rt.start(Agent(Hanging()), "x"))
                await wait_all_tasks_blocked()
            waiting = take_tree(rt).run(runs[1].id)
            for run in runs:
                run.cancel()

        assert waiting is not None
        assert (waiting.doing, waiting.waits) == (
            "waiting for a place (model_calls)",
            LimitStatistics("model_calls", 1, 1, 1),
        )

    async def test_waiting_for_a_session(self) -> None:
        """The second of two runs on a session names the first."""
        async with Runtime() as rt:
            first = await rt.start(Agent(Hanging()), "x", session="s")
            await wait_all_tasks_blocked()
            second = await rt.start(Agent(Hanging()), "x", session="s")
            await wait_all_tasks_blocked()
            tree = take_tree(rt)
            first.cancel()
            second.cancel()

        one, two = tree.run(first.id), tree.run(second.id)
        assert one is not None
        assert two is not None
        assert (one.doing, one.held_by) == ("asking hanging", ())
        assert (two.doing, two.held_by) == ("waiting for session 's'", (first.id,))
        assert two.waits == LimitStatistics("session 's'", 1, 1, 1)
        assert f"held by run {first.id}" in str(tree)

    async def test_the_reader_of_a_stream(self) -> None:
        """A run with unread events waits for its reader."""

        class Flood:
            name = "flood"

            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                """Emit for ever."""
                from agno_rt.events import TextDelta

                assert emit is not None
                while True:
                    await emit(TextDelta("more"))

        async with Runtime() as rt, rt.stream(Agent(Flood()), "x"):
            run = await only_run(rt)

        assert run.doing == "waiting for the reader of its stream"
        assert run.waits is not None
        assert (run.waits.name, run.waits.waiting) == ("stream_buffer", 1)

    async def test_wrappers(self, autojump_clock: MockClock) -> None:
        """A wait in a wrapper is distinguished from a wait for the model."""
        limited = RateLimit(ScriptedModel(["ok"], name="small"), requests=1, per=100)
        failing = ScriptedModel([ModelError("down", retryable=True)], name="down")
        again = Retry(failing, wait=50, jitter=lambda: 1.0)
        async with Runtime() as rt:
            await rt.run(Agent(limited), "x")
            runs = [await rt.start(Agent(limited), "x"), await rt.start(Agent(again), "x")]
            await wait_all_tasks_blocked()
            tree = take_tree(rt)
            for started in runs:
                started.cancel()

        waiting, retrying = tree.run(runs[0].id), tree.run(runs[1].id)
        assert waiting is not None
        assert retrying is not None
        assert waiting.doing == f"waiting for its turn ({limited.name})"
        assert waiting.waits is not None
        assert waiting.waits.name.startswith("requests of ")
        assert retrying.doing == f"waiting to ask again ({again.name})"

    async def test_hooks(self) -> None:
        """A hanging hook is named."""

        class Slow(AgentHook):
            async def before_run(self, context: Any, input: Any) -> None:
                """Wait for ever."""
                await trio.sleep_forever()

        async with Runtime() as rt:
            started = await rt.start(Agent(ScriptedModel([]), hooks=[Slow()]), "x")
            run = await only_run(rt)
            started.cancel()

        assert run.doing == "in the hook Slow"

    async def test_storage(self) -> None:
        """A hanging memory backend is visible."""
        from agno_rt.defaults.memory import InProcessMemory

        class Slow(InProcessMemory):
            async def load(self, id: str, last: int | None = None) -> Any:
                """Wait for ever."""
                await trio.sleep_forever()

        async with Runtime(memory=Slow()) as rt:
            started = await rt.start(Agent(ScriptedModel([])), "x", session="s")
            run = await only_run(rt)
            started.cancel()

        assert run.doing == "reading its session"

    async def test_keeps_nothing(self) -> None:
        """A snapshot keeps no references: after the run its model is freed."""
        async with Runtime() as rt:
            model = Hanging()
            alive = weakref.ref(model)
            started = await rt.start(Agent(model), "x")
            await only_run(rt)
            started.cancel()
            await wait_all_tasks_blocked()
            assert take_tree(rt).runs == ()
            del started, model
        gc.collect()

        assert alive() is None


class TestCalls:
    """Tool calls and nested runs in the tree."""

    async def test_parallel(self) -> None:
        """The calls of a turn are children of the run, in the model's order; finished calls are counted."""

        @tool
        async def quick() -> str:
            """Return at once."""
            return "ok"

        async with Runtime(limits=Limits(tools=2)) as rt:
            started = await rt.start(
                Agent(calling_model("quick", "forever", "forever", "forever"), tools=[quick, forever]), "x"
            )
            run = await only_run(rt)
            started.cancel()

        assert (run.doing, run.turn) == ("calling quick, forever (1 of 4 done)", 1)
        assert [(call.name, call.ids, call.doing) for call in run.calls] == [
            ("forever", ("2",), "running"),
            ("forever", ("3",), "running"),
        ]
        assert run.calls[0].place is not None
        assert run.calls[0].place.function == "forever"
        assert run.calls[0].place.file.endswith("helpers.py")

    async def test_in_a_thread(self) -> None:
        """A sync tool is shown in a thread, with its place."""
        begun, end = threading.Event(), threading.Event()

        @tool
        def stuck() -> str:
            """Wait in a thread."""
            begun.set()
            end.wait()
            return "ok"

        async with Runtime() as rt:
            await rt.start(Agent(calling_model("stuck"), tools=[stuck]), "x")
            await trio.to_thread.run_sync(begun.wait)
            (run,) = take_tree(rt).runs
            end.set()

        (call,) = run.calls
        assert (call.name, call.doing) == ("stuck", "in a thread")
        assert call.place is not None
        assert call.place.file == threading.__file__ or call.place.function.endswith("stuck")

    async def test_waiting_for_a_place(self) -> None:
        """A call in the queue of its tool's limit names the limit."""

        @tool(concurrency=1)
        async def narrow() -> str:
            """Wait for ever, one call at a time."""
            await trio.sleep_forever()
            return ""

        async with Runtime() as rt:
            started = await rt.start(Agent(calling_model("narrow", "narrow"), tools=[narrow]), "x")
            run = await only_run(rt)
            started.cancel()

        doing = {call.doing: call.waits for call in run.calls}
        waiting = "waiting for a place (tool 'narrow')"
        assert doing.keys() == {"running", waiting}
        assert doing[waiting] == LimitStatistics("tool 'narrow'", 1, 1, 1)

    async def test_batch(self) -> None:
        """The calls of a batch are one node."""

        @tool(batch=True)
        async def look(places: list[str]) -> list[str]:
            """Look at a place."""
            await trio.sleep_forever()
            return places

        calls = [ToolCall("a", "look", '{"item": "x"}'), ToolCall("b", "look", '{"item": "y"}')]
        async with Runtime() as rt:
            started = await rt.start(Agent(ScriptedModel([calls]), tools=[look]), "x")
            run = await only_run(rt)
            started.cancel()

        assert [(call.name, call.ids) for call in run.calls] == [("look", ("a", "b"))]

    async def test_runs_within(self) -> None:
        """Nested runs are children of their calls, at any depth and by any method."""
        async with Runtime() as rt:
            leaf = Agent(Hanging(), "leaf")

            @tool
            async def plain() -> str:
                """Run the agent in the tool's task."""
                return (await rt.run(leaf, "x")).content

            @tool
            async def several() -> str:
                """Run the agent in tasks of the tool's own."""
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rt.run, leaf, "x")
                    nursery.start_soon(rt.run, leaf, "x")
                return ""

            middle = Agent(calling_model("plain", "several"), "middle", tools=[plain, several])

            @tool
            async def streamed() -> str:
                """Stream the agent."""
                async with rt.stream(middle, "x") as events:
                    async for _ in events:
                        pass
                return ""

            started = await rt.start(Agent(calling_model("streamed"), "top", tools=[streamed]), "x")
            run = await only_run(rt)
            lines = str(take_tree(rt)).splitlines()[1:]
            started.cancel()

        (call,) = run.calls
        (middle_run,) = call.runs
        assert middle_run.parent == started.id
        assert [(call.name, len(call.runs)) for call in middle_run.calls] == [("plain", 1), ("several", 2)]
        assert {leaf.parent for call in middle_run.calls for leaf in call.runs} == {middle_run.id}
        first, second, third = (leaf.id for call in middle_run.calls for leaf in call.runs)
        assert [line.partition(" · ")[0] for line in lines] == [
            f"run {run.id} top",
            "└─ streamed 1",
            f"   └─ run {middle_run.id} middle",
            "      ├─ plain 1",
            f"      │  └─ run {first} leaf",
            "      └─ several 2",
            f"         ├─ run {second} leaf",
            f"         └─ run {third} leaf",
        ]

    async def test_from_a_thread(self) -> None:
        """A run started from a tool's thread is a child of the call."""
        async with Runtime() as rt:
            leaf = Agent(Hanging(), "leaf")

            @tool
            def threaded() -> str:
                """Run the agent from a thread."""
                return trio.from_thread.run(rt.run, leaf, "x").content

            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rt.run, Agent(calling_model("threaded"), "top", tools=[threaded]), "x")
                    while not (within := [run for run in take_tree(rt).all_runs() if run.doing == "asking hanging"]):
                        await trio.lowlevel.checkpoint()
                    (run,) = take_tree(rt).runs
                    scope.cancel()
        assert [leaf.id for call in run.calls for leaf in call.runs] == [within[0].id]

    async def test_asked_from_within(self) -> None:
        """A tool that takes the tree is in the tree."""
        async with Runtime() as rt:
            trees: list[TaskTree] = []

            @tool
            async def look() -> str:
                """Take the tree."""
                trees.append(take_tree(rt))
                return "ok"

            await rt.run(Agent(calling_model("look"), "top", tools=[look]), "x")

        (run,) = trees[0].runs
        assert [(call.name, call.ids) for call in run.calls] == [("look", ("1",))]

    async def test_changed_by_a_hook(self) -> None:
        """A call changed by a hook is shown as changed."""

        class Renaming(AgentHook):
            async def before_tool(self, context: Any, call: ToolCall) -> ToolCall:
                """Call another tool."""
                return ToolCall(call.id, "forever")

        async with Runtime() as rt:
            started = await rt.start(Agent(calling_model("other"), tools=[forever], hooks=[Renaming()]), "x")
            run = await only_run(rt)
            started.cancel()

        assert [call.name for call in run.calls] == ["forever"]


class TestDeadlines:
    """Deadlines in the tree."""

    async def test_each_has_its_own(self, autojump_clock: MockClock) -> None:
        """Deadlines have names and belong to their nodes; each node has its age."""
        limits = Limits(run_timeout=100, turn_timeout=50, tool_timeout=20, model_timeout=10)
        async with Runtime(limits=limits) as rt:
            leaf = Agent(Hanging(), "leaf", limits=Limits(run_timeout=15, model_timeout=12))

            @tool
            async def deeper() -> str:
                """Run another agent."""
                return (await rt.run(leaf, "x")).content

            started = await rt.start(Agent(calling_model("deeper"), tools=[deeper]), "x")
            await trio.sleep(5)
            (run,) = take_tree(rt).runs
            started.cancel()

        (call,) = run.calls
        (within,) = call.runs
        assert run.deadlines == (Deadline("run_timeout", 95), Deadline("turn_timeout", 45))
        assert call.deadlines == (Deadline("tool_timeout", 15),)
        assert within.deadlines == (Deadline("run_timeout", 10), Deadline("model_timeout", 7))
        # `since` is measured by the machine's clock, unaffected by the virtual one.
        assert all(since is not None and 0 <= since < 60 for since in (run.since, call.since, within.since))
        assert "tool_timeout in 15.0 s" in str(TaskTree((run,)))

    async def test_of_parallel_calls(self, autojump_clock: MockClock) -> None:
        """Each parallel call has its own deadline, without the run's."""

        @tool(timeout=3)
        async def hasty() -> str:
            """Wait for ever."""
            await trio.sleep_forever()
            return ""

        async with Runtime(limits=Limits(run_timeout=100, tool_timeout=20)) as rt:
            started = await rt.start(Agent(calling_model("hasty", "forever"), tools=[hasty, forever]), "x")
            await trio.sleep(1)
            (run,) = take_tree(rt).runs
            started.cancel()

        assert run.deadlines == (Deadline("run_timeout", 99),)
        assert [call.deadlines for call in run.calls] == [
            (Deadline("tool_timeout", 2),),
            (Deadline("tool_timeout", 19),),
        ]

    async def test_in_a_queue(self, autojump_clock: MockClock) -> None:
        """A queued run has the deadline of the queue."""
        async with Runtime(limits=Limits(runs=1, queue_timeout=30)) as rt:
            first = await rt.start(Agent(Hanging()), "x")
            await wait_all_tasks_blocked()
            second = await rt.start(Agent(Hanging()), "x")
            await trio.sleep(10)
            queued = take_tree(rt).run(second.id)
            first.cancel()
            second.cancel()

        assert queued is not None
        assert queued.deadlines == (Deadline("queue_timeout", 20),)

    async def test_of_the_program(self, autojump_clock: MockClock) -> None:
        """The deadline of a scope around the run counts, without a name; a shield hides outer deadlines."""
        async with Runtime() as rt:

            async def shielded() -> None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 8):
                    await rt.run(Agent(Hanging(), "shielded"), "x")

            with trio.move_on_after(9):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rt.run, Agent(Hanging(), "plain"), "x")
                    nursery.start_soon(shielded)
                    await trio.sleep(1)
                    runs = {run.agent: run for run in take_tree(rt).runs}
                    nursery.cancel_scope.cancel()

        assert runs["plain"].deadlines == (Deadline("", 8),)
        assert runs["shielded"].deadlines == (Deadline("", 7),)
        assert "a deadline in 8.0 s" in str(TaskTree((runs["plain"],)))

    async def test_budgets(self) -> None:
        """A run has the used and total amounts of its budgets."""
        agent = Agent(calling_model("forever"), tools=[forever], limits=Limits(tokens=100, tool_calls=5))
        async with Runtime() as rt:
            started = await rt.start(agent, "x")
            run = await only_run(rt)
            started.cancel()

        assert {each.name: (each.in_use, each.total) for each in run.budgets} == {
            "turns": (1, 16),
            "tool_calls": (1, 5),
            "tokens": (2, 100),
        }
        assert "tool_calls 4 of 5 left · tokens 98 of 100 left" in str(TaskTree((run,)))


class TestText:
    """The text form for people."""

    def test_times(self) -> None:
        """Times are readable, and a passed deadline is marked as over."""
        run = RunTask("r", since=3_725.0, deadlines=(Deadline("run_timeout", 125.0), Deadline("", -0.5)))

        assert str(TaskTree((run,))) == "run r · for 1 h 2 min · run_timeout in 2 min 5 s · a deadline is over"

    def test_calls_and_runs(self) -> None:
        """Nested runs without a known call come after the calls."""
        run = RunTask("r", calls=(CallTask("a", ("1",)),), runs=(RunTask("q"),))

        assert str(TaskTree((run,))).splitlines() == ["run r", "├─ a 1 · running", "└─ run q"]
