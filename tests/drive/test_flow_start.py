"""Runs in the background of a workflow, by `flow.start`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import Agent, Ask, Flow, Message, ModelRequest, Runtime, ToolCall, tool, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import JournalMismatch, ModelError, RunCancelled, UsageError
from agno_rt.events import RunEnded, RunStarted
from agno_rt.run_store import RunConflict
from agno_rt.runnable import BackgroundRun, Runnable
from agno_rt.testing import (
    CancelPoint,
    KillPoint,
    Pauses,
    ScriptedModel,
    cancel_everywhere,
    kill_everywhere,
    pause,
    run_schedules,
)


class Finder:
    """An agent that answers when the test lets it, and counts its inputs."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self.asked, self.go = trio.Event(), trio.Event()
        if is_open:
            self.go.set()
        self.agent = Agent(ScriptedModel(self.answer), "finder")

    async def answer(self, request: ModelRequest) -> str:
        word = request.messages[-1].text
        self.counts[word] += 1
        self.asked.set()
        await self.go.wait()
        return f"found {word}"


async def test_start_wait_and_status() -> None:
    """The workflow goes on while the run does; the result is the run's, and its usage counts once."""
    finder, seen = Finder(is_open=False), list[Any]()

    @workflow(name="w")
    async def search(topic: str, flow: Flow) -> str:
        run = await flow.start(finder.agent, topic)
        await finder.asked.wait()
        assert run.status == "running"
        finder.go.set()
        first, second = await run.wait(), await run.wait()
        assert first is second
        assert (run.status, run.id) == ("completed", first.run_id)
        return first.content

    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(search, "a")
    assert result.content == "found a"
    [begun] = [event for event in seen if isinstance(event, RunStarted) and event.parent]
    assert (begun.parent, begun.path) == (result.run_id, "finder#1")
    assert result.usage.output_tokens == sum(
        event.usage.output_tokens for event in seen if type(event).__name__ == "ModelEnded"
    )


async def test_runs_not_waited_for_are_joined() -> None:
    """At the end the flow waits, and a failure that nobody looked at fails the flow."""
    broken = Agent(ScriptedModel([ModelError("no power", provider="x")]), "broken")

    @workflow(name="w")
    async def careless(topic: str, flow: Flow) -> str:
        await flow.start(broken, topic)
        return "done"

    async with Runtime() as rt:
        with pytest.raises(ModelError, match="no power"):
            await rt.run(careless, "a")


@pytest.mark.parametrize(("on_end", "status"), [("cancel", "cancelled"), ("keep", "completed")])
async def test_the_end_of_the_flow(on_end: Any, status: str) -> None:
    """Background runs are cancelled with the flow's answer, or go on with the runtime."""
    finder, seen = Finder(is_open=False), list[Any]()

    @workflow(name="w")
    async def quick(topic: str, flow: Flow) -> str:
        await flow.start(finder.agent, topic, on_end=on_end)
        await finder.asked.wait()
        return "done"

    async with Runtime(observers=[seen.append]) as rt:
        assert (await rt.run(quick, "a")).content == "done"
        finder.go.set()
    ends = {event.content: event.status for event in seen if isinstance(event, RunEnded)}
    assert ends == {"done": "completed", "found a" if status == "completed" else "": status}


async def test_cancel_and_send() -> None:
    """A cancelled run raises `RunCancelled` where it is waited for; a run that is over takes no message."""
    finder = Finder(is_open=False)

    @workflow(name="w")
    async def cancelling(topic: str, flow: Flow) -> str:
        run = await flow.start(finder.agent, topic)
        await finder.asked.wait()
        run.send("hurry")
        await run.cancel()
        with pytest.raises(RunConflict, match="is cancelled"):
            run.send("late")
        with pytest.raises(RunCancelled):
            await run.wait()
        return run.status

    async with Runtime() as rt:
        assert (await rt.run(cancelling, "a")).content == "cancelled"


async def test_mistakes() -> None:
    """An unknown policy is refused."""
    finder = Finder()

    @workflow(name="w")
    async def wrong(topic: str, flow: Flow) -> str:
        await flow.start(finder.agent, topic, on_end="stop")  # type: ignore[arg-type]
        return ""

    async with Runtime() as rt:
        with pytest.raises(UsageError, match="on_end of finder#1 is 'stop'"):
            await rt.run(wrong, "a")


async def test_without_a_journal() -> None:
    """A runnable that is not stored starts runs in the background, too."""
    finder = Finder()

    class Both(Runnable):
        name = "both"

        async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
            runs = [await flow.start(finder.agent, word) for word in "ab"]
            return ", ".join([(await run.wait()).content for run in runs])

    async with Runtime() as rt:
        assert (await rt.run(Both(), "go")).content == "found a, found b"


@tool(approve=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@pytest.mark.parametrize("stored", [True, False])
async def test_a_run_that_begins_again_starts_others(stored: bool) -> None:
    """After `flow.again`, a background run at the same place is another run."""
    finder, runs = Finder(), set[str]()

    @workflow(name="w", memory={"journal": stored})
    async def counting(count: int, flow: Flow) -> str:
        run = await flow.start(finder.agent, f"number {count}")
        runs.add((await run.wait()).run_id)
        return flow.again(count - 1) if count else "done"

    async with Runtime() as rt:
        assert (await rt.run(counting, "2")).content == "done"
    assert finder.counts == {"number 2": 1, "number 1": 1, "number 0": 1}
    assert len(runs) == 3


async def test_a_background_run_that_waits_for_a_person() -> None:
    """The flow pauses where it waits for the run, and both go on after the decision; a finished run stays finished."""
    finder = Finder()
    payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])

    @workflow(name="w")
    async def both(topic: str, flow: Flow) -> str:
        other = await flow.start(finder.agent, topic)
        paid = await flow.start(payer, "pay")
        return f"{(await other.wait()).content}, {(await paid.wait()).content}"

    async with Runtime() as rt:
        paused = await rt.run(both, "a")
        assert paused.status == "paused"
        await rt.approve(paused.approvals[0].id)
        assert (await rt.resume(paused.run_id)).content == "found a, all paid"
    assert finder.counts == {"a": 1}


async def test_a_question_does_not_cut_background_runs_off() -> None:
    """The flow pauses for a person once its background runs have ended or paused, with the questions of all."""
    finder, memory = Finder(is_open=False), InProcessMemory()
    payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])

    @workflow(name="w")
    async def both(topic: str, flow: Flow) -> str:
        runs = [await flow.start(finder.agent, topic), await flow.start(payer, "pay")]
        sure = await flow.ask(Ask(bool, "Sure?"))
        return f"{sure}: {', '.join([(await run.wait()).content for run in runs])}"

    async with Runtime(memory=memory) as rt:
        run = await rt.start(both, "a")
        with trio.fail_after(60):
            await finder.asked.wait()
            while len(await memory.approvals(status="pending")) < 2:
                await trio.lowlevel.checkpoint()
            is_cut_off = run.result is not None
            finder.go.set()
            paused = await run.wait()
        for approval in paused.approvals:
            await (rt.answer(approval.id, True) if approval.kind == "input" else rt.approve(approval.id))
        result = await rt.resume(run.id)

    assert not is_cut_off
    assert sorted(approval.agent for approval in paused.approvals) == ["payer", "w"]
    assert result.content == "True: found a, all paid"
    assert finder.counts == {"a": 1}


async def test_a_background_run_that_is_answered_early() -> None:
    """The run goes on after a decision that comes while another branch works: the flow need not pause."""
    memory, paid = InProcessMemory(), trio.Event()
    payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])

    @workflow(name="w")
    async def both(topic: str, flow: Flow) -> list[str]:
        async def wait_for_payer() -> str:
            result = await (await flow.start(payer, "pay")).wait()
            paid.set()
            return result.content

        async with flow.group("both") as group:
            group.start(wait_for_payer)
            group.start(paid.wait)
        return [group.results[0]]

    async with Runtime(memory=memory) as rt:
        run = await rt.start(both, "a")
        while (await memory.runs(status="paused")) == []:
            await trio.lowlevel.checkpoint()
        [approval] = await memory.approvals(status="pending")
        await rt.approve(approval.id)
        with trio.fail_after(60):
            assert (await run.wait()).output == ["all paid"]


def test_two_branches_wait_for_one_run() -> None:
    """A run that goes on after an early decision goes on once, although two branches wait for it."""

    async def scenario() -> None:
        memory, paid = InProcessMemory(), trio.Event()
        payer = Agent(ScriptedModel([ToolCall("p", "pay", {"amount": 7}), "all paid"]), "payer", tools=[pay])

        @workflow(name="w")
        async def both(topic: str, flow: Flow) -> list[str]:
            run = await flow.start(payer, "pay")

            async def wait_for_payer() -> str:
                content = (await run.wait()).content
                paid.set()
                return str(content)

            async with flow.group("both") as group:
                group.start(wait_for_payer)
                group.start(wait_for_payer)
                group.start(paid.wait)
            return group.results[:2]

        async with Runtime(memory=Pauses().memory(memory)) as rt:
            run = await rt.start(both, "a")
            while not await memory.runs(status="paused"):
                await trio.lowlevel.checkpoint()
            [approval] = await memory.approvals(status="pending")
            await rt.approve(approval.id)
            assert (await run.wait()).output == ["all paid", "all paid"]

    run_schedules(scenario, 20)


async def test_another_input_than_the_journals() -> None:
    """A resumed flow that starts the run with another input is told so."""
    finder, inputs = Finder(), iter("ab")

    @workflow(name="w")
    async def changing(topic: str, flow: Flow) -> str:
        run = await flow.start(finder.agent, next(inputs))
        await run.wait()
        raise ModelError("broken", provider="x")

    async with Runtime() as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(changing, "go")
        with pytest.raises(JournalMismatch):
            await rt.resume(caught.value.result.run_id)


def build(finder: Finder, wrap: Any = lambda model: model) -> Any:
    """Return a workflow with two background runs, one of which nobody waits for."""
    agent = Agent(wrap(ScriptedModel(finder.answer)), "finder")

    @workflow(name="w")
    async def search(topic: str, flow: Flow) -> str:
        runs: list[BackgroundRun[Any]] = [await flow.start(agent, word) for word in "abc"]
        await pause()
        return ", ".join([(await run.wait()).content for run in runs[:2]])

    return search


def test_killed_everywhere() -> None:
    """After a crash at any write the result is the same, and no finished run is carried out again."""

    async def scenario(point: KillPoint) -> None:
        finder, memory = Finder(), InProcessMemory()
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(build(finder), "go")
        finished = {run.input for run in await memory.runs(status="completed") if run.parent}
        is_over = not point.killed or any(run.parent is None for run in await memory.runs(status="completed"))
        before = Counter(finder.counts)
        async with Runtime(memory=memory) as rt:
            assert (await point.finish(rt, build(finder), "go")).content == "found a, found b"
        for word in finished if not is_over else ():
            assert finder.counts[word] == before[word]

    assert kill_everywhere(scenario, at_least=8) >= 8


def test_schedules() -> None:
    """Under many schedules each run is carried out once, and ends before the flow."""

    async def scenario() -> None:
        ends, finder = list[str](), Finder()

        def note(event: Any) -> None:
            if isinstance(event, RunEnded):
                ends.append(event.run_id)

        async with Runtime(observers=[note]) as rt:
            result = await rt.run(build(finder, Pauses().model), "go")
        assert result.content == "found a, found b"
        assert finder.counts == {"a": 1, "b": 1, "c": 1}
        assert len(ends) == len(set(ends)) == 4
        assert ends[-1] == result.run_id

    run_schedules(scenario, 100)


@pytest.mark.parametrize("stored", [False, True])
def test_cancelled_everywhere(stored: bool) -> None:
    """A flow cancelled at any step leaves no run behind; a stored one gives the undisturbed answer when resumed."""

    async def scenario(point: CancelPoint) -> None:
        seen, finder = list[Any](), Finder()
        flow = build(finder, Pauses().model)
        async with Runtime(observers=[seen.append]) as rt:
            with point:
                await rt.run(flow, "go")
            begun = [event.run_id for event in seen if isinstance(event, RunStarted)]
            assert sorted(begun) == sorted(event.run_id for event in seen if isinstance(event, RunEnded))
            runs = [run for run in await rt.memory.runs() if run.parent is None]  # type: ignore[attr-defined]
            if stored and runs and runs[0].status != "completed":
                assert (await rt.resume(runs[0].id, flow)).content == "found a, found b"

    cancel_everywhere(scenario)
