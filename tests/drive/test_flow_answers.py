"""Questions that are answered while the run is under way, before it has paused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import (
    Agent,
    Ask,
    Flow,
    Limits,
    ModelRequest,
    ModelResponse,
    Runtime,
    ToolCall,
    Usage,
    step,
    tool,
    workflow,
)
from agno_rt.context import RunContext
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import LimitExceeded, NotFound, Unanswered, UsageError
from agno_rt.events import ApprovalAsked, RunEnded
from agno_rt.run_store import Approval, ApprovalConflict, Resume
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere, run_schedules


async def wait_for_question(memory: Any, count: int = 1) -> list[Approval]:
    """Return the pending questions of all runs, when there are as many."""
    while len(found := await memory.approvals(status="pending")) < count:
        await trio.lowlevel.checkpoint()
    return list(found)


def make_asker(may_end: trio.Event) -> Any:
    """Make a workflow with a branch that asks, and a branch that is busy until the event."""

    async def ask(flow: Flow) -> Any:
        answer = await flow.ask(Ask(str, "Name?"))
        may_end.set()
        return answer

    @workflow(name="asker")
    async def asker(flow: Flow) -> list[Any]:
        async with flow.group("both") as group:
            group.start(ask, flow)
            group.start(may_end.wait)
        return [group.results[0]]

    return asker


def make_caller(runnable: Any) -> Agent:
    """Make an agent that runs the runnable in a tool, and answers with the tool's result."""

    @tool
    async def call(context: RunContext) -> Any:
        """Run it."""
        return await context.run(runnable, "go")

    def answer(request: ModelRequest) -> Any:
        last = request.messages[-1]
        return last.text if last.role == "tool" else ToolCall("1", "call")

    return Agent(ScriptedModel(answer), "caller", tools=[call], memory={"journal": True})


async def test_an_early_answer_goes_on_at_once() -> None:
    """The parked branch goes on while its sibling is busy: the run completes without a pause, with one event."""
    memory, seen = InProcessMemory(), list[Any]()
    async with Runtime(memory=memory, observers=[seen.append]) as rt:
        run = await rt.start(make_asker(trio.Event()), "go")
        [question] = await wait_for_question(memory)
        status = (await memory.load_run(run.id))[0].status
        with pytest.raises(UsageError, match="does not fit"):
            await rt.answer(question.id, {"other": 1})
        await rt.answer(question.id, "Ann")
        with pytest.raises(ApprovalConflict):
            await rt.answer(question.id, "Bob")
        with pytest.raises(NotFound):
            await rt.answer(f"{run.id}.forged", "Eve")
        result = await run.wait()

    assert (status, result.status, result.output) == ("running", "completed", ["Ann"])
    assert [each.approval for each in seen if isinstance(each, ApprovalAsked)] == [question.id]
    assert [each.status for each in seen if isinstance(each, RunEnded)] == ["completed"]


@pytest.mark.parametrize("by", ["run", "start", "tool"])
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_child_goes_on_as_soon_as_it_has_a_signal(by: str, depth: int) -> None:
    """A run within that waits for a signal goes on while the branch beside it is busy, or before the flow pauses."""
    memory, may_end = InProcessMemory(), trio.Event()

    @workflow(name="listener")
    async def listener(flow: Flow) -> str:
        return str(await flow.signal("mail"))

    @workflow(name="between")
    async def between(flow: Flow) -> str:
        return (await flow.run(listener, "go")).content

    @workflow(name="outer")
    async def outer(flow: Flow) -> list[str]:
        async def wait_for_child() -> str:
            child: Any = listener if depth == 1 else between
            child = make_caller(child) if by == "tool" else child
            result = await ((await flow.start(child, "go")).wait() if by == "start" else flow.run(child, "go"))
            may_end.set()
            return result.content

        async with flow.group("both") as group:
            group.start(wait_for_child)
            group.start(may_end.wait)
        return [group.results[0]]

    async with Runtime(memory=memory) as rt:
        run = await rt.start(outer, "go")
        while len(paused := await memory.runs(status="paused")) < depth + (by == "tool"):
            await trio.lowlevel.checkpoint()
        [child] = [each.id for each in paused if each.agent == "listener"]
        await rt.signal(child, "mail", "hello")
        with trio.fail_after(60):
            assert (await run.wait()).output == ["hello"]


async def test_a_sleep_within_a_tool_ends_while_the_run_lives() -> None:
    """A workflow in a tool asks and sleeps: the workflow around goes on with it when the sleep is over."""
    memory, slept = InProcessMemory(), trio.Event()

    @workflow(name="sleeper")
    async def sleeper(flow: Flow) -> str:
        async def nap() -> None:
            await flow.sleep(0.2)
            slept.set()

        async with flow.group("both") as group:
            group.start(flow.ask, Ask(str, "Name?"))
            group.start(nap)
        return str(group.results[0])

    @workflow(name="outer")
    async def outer(flow: Flow) -> list[str]:
        async with flow.group("both") as group:
            group.start(make_caller(sleeper), "go")
            group.start(slept.wait)
        return [group.results[0].content]

    async with Runtime(memory=memory) as rt:
        run = await rt.start(outer, "go")
        [question] = await wait_for_question(memory)
        with trio.fail_after(60):
            await slept.wait()
            await rt.answer(question.id, "Ann")
            result = await run.wait()
            result = await rt.resume(run.id, outer) if result.status == "paused" else result
        assert result.output == ["Ann"]


async def test_a_flow_that_hides_its_pause() -> None:
    """A bare `except` around a question, also in branches, does not turn the pause into an answer."""

    async def ask(flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?")))
        except:  # noqa: E722, as careless code does
            return "nobody"

    @workflow(name="careless")
    async def careless(flow: Flow) -> list[str]:
        async with flow.group("both") as group:
            group.start(ask, flow)
            group.start(ask, flow)
        return [*group.results, await ask(flow)]

    async with Runtime() as rt:
        result = await rt.run(careless, "go")
        statuses = [result.status]
        while result.approvals:
            for approval in result.approvals:
                await rt.answer(approval.id, "Ann")
            result = await rt.resume(result.run_id)
            statuses.append(result.status)

    assert (statuses, result.output) == (["paused", "paused", "completed"], ["Ann", "Ann", "Ann"])


async def test_a_question_in_a_shielded_scope() -> None:
    """A flow cannot pause while its only wait is shielded: it fails and says so, and does not hang."""

    async def ask(flow: Flow) -> Any:
        return await flow.ask(Ask(str, "Name?"))

    async def ask_shielded(flow: Flow) -> Any:
        with trio.CancelScope(shield=True):
            return await ask(flow)

    @workflow(name="shielded")
    async def shielded(count: int, flow: Flow) -> list[Any]:
        async with flow.group("all") as group:
            group.start(ask_shielded, flow)
            for _ in range(count):
                group.start(ask, flow)
        return group.results

    async with Runtime() as rt:
        with trio.fail_after(60):
            with pytest.raises(UsageError, match="waits in a shielded scope"):
                await rt.run(shielded, "0")
            result = await rt.run(shielded, "2")
        for approval in result.approvals:
            await rt.answer(approval.id, "Ann")
        assert len(result.approvals) == 3
        assert (await rt.resume(result.run_id)).output == ["Ann", "Ann", "Ann"]


async def test_an_answer_from_another_process(tmp_path: Path) -> None:
    """An answer by another runtime is found at the next look into the file."""
    one, two = SQLiteMemory(tmp_path / "a.db"), SQLiteMemory(tmp_path / "a.db")
    async with Runtime(memory=one) as rt, Runtime(memory=two) as other:
        run = await rt.start(make_asker(trio.Event()), "go")
        [question] = await wait_for_question(two)
        await other.answer(question.id, "Ann")
        with trio.fail_after(60):
            result = await run.wait()
    await one.aclose()
    await two.aclose()

    assert (result.status, result.output) == ("completed", ["Ann"])


async def test_a_question_expires_while_others_work() -> None:
    """A question whose time passes raises `Unanswered` in its branch, although the run has not paused."""
    may_end = trio.Event()

    async def ask(flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?", expires=0.05)))
        except Unanswered as exc:
            return type(exc).__name__
        finally:
            may_end.set()

    @workflow(name="asker")
    async def asker(flow: Flow) -> list[Any]:
        async with flow.group("both") as group:
            group.start(ask, flow)
            group.start(may_end.wait)
        return [group.results[0]]

    async with Runtime() as rt:
        assert (await rt.run(asker, "go")).output == ["Unanswered"]


def test_no_answer_is_lost() -> None:
    """Answered at any moment, before, during or after the pause, the run completes, and no step is done twice."""
    statuses = set()

    async def scenario() -> None:
        memory, log = InProcessMemory(), list[str]()

        @step(idempotent=True)
        async def work(name: str) -> str:
            log.append(name)
            await trio.lowlevel.checkpoint()
            return name

        async def branch(flow: Flow, name: str) -> str:
            await work(name)
            answer = await flow.ask(Ask(str, f"{name}?"))
            return await work(f"{name} {answer}")

        @workflow(name="asker")
        async def asker(flow: Flow) -> list[Any]:
            return await flow.map(lambda name: branch(flow, name), "ab", key=str)

        async with Runtime(memory=memory) as rt:
            run = await rt.start(asker, "go")
            [first] = (await wait_for_question(memory))[:1]
            await rt.answer(first.id, "yes")
            result = await run.wait()
            statuses.add(f"{len(result.approvals)} left")
            while result.status == "paused":
                # The first answer may have come after the pause, whose approvals then have the question still.
                for each in await memory.approvals(run=run.id, status="pending"):
                    await rt.answer(each.id, "yes")
                result = await rt.resume(run.id, asker)
        assert result.output == ["a yes", "b yes"]
        assert sorted(log) == ["a", "a yes", "b", "b yes"]

    run_schedules(scenario, 50)
    assert statuses == {"1 left", "2 left"}


def test_an_answer_between_the_look_and_the_pause() -> None:
    """A run that is told to pause after the answer has come does not pause."""
    paused = []

    async def scenario() -> None:
        memory = InProcessMemory()

        @workflow(name="asker")
        async def asker(flow: Flow) -> str:
            return str(await flow.ask(Ask(str, "Name?")))

        async with Runtime(memory=memory) as rt:
            run = await rt.start(asker, "go")
            [question] = await wait_for_question(memory)
            was_running = (await memory.load_run(run.id))[0].status == "running"
            await rt.answer(question.id, "Ann")
            result = await run.wait()
            paused.append(result.status == "paused")
            assert not (was_running and paused[-1]), "the answer was taken, and the run waits for it"
            if paused[-1]:
                result = await rt.resume(run.id, asker)
        assert result.content == "Ann"

    run_schedules(scenario, 50)
    assert set(paused) == {False, True}, "the schedules cover both"


async def test_a_child_goes_on_as_soon_as_it_is_answered() -> None:
    """A run within that waits for an approval goes on while the branch beside it is busy; its usage counts once."""
    may_end, sent = trio.Event(), list[str]()

    @tool(approve=True)
    async def send(text: str) -> str:
        """Send."""
        sent.append(text)
        may_end.set()
        return "sent"

    call = ModelResponse("", [ToolCall("1", "send", '{"text": "hi"}')], usage=Usage(10, 0))
    sender = Agent(ScriptedModel([call, ModelResponse("done", usage=Usage(5, 0))]), "sender", tools=[send])

    @workflow(name="around", limits=Limits(tokens=20, tool_calls=1))
    async def around(flow: Flow) -> str:
        async with flow.group("both") as group:
            group.start(sender, "go")
            group.start(may_end.wait)
        return str(group.results[0].content)

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        run = await rt.start(around, "go")
        [question] = await wait_for_question(memory)
        await rt.approve(question.id)
        result = await run.wait()

    assert (result.status, result.content, sent) == ("completed", "done", ["hi"])
    assert result.usage == Usage(15, 0)


async def test_the_usage_of_a_paused_child_counts_once_in_the_next_process() -> None:
    """The usage of a run within before the pause is in the paused result, and counts towards the budget, once."""

    @tool(approve=True)
    async def send(text: str) -> str:
        """Send."""
        return text

    call = ModelResponse("", [ToolCall("1", "send", '{"text": "hi"}')], usage=Usage(10, 0))
    answers = [call, ModelResponse("done", usage=Usage(5, 0)), call]
    sender = Agent(ScriptedModel(answers), "sender", tools=[send])

    @workflow(name="around", limits=Limits(tokens=15))
    async def around(flow: Flow) -> str:
        first = await flow.run(sender, "go")
        return (await flow.run(sender, first)).content

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(around, "go")
        await rt.approve(paused.approvals[0].id)
        with pytest.raises(LimitExceeded, match="15 of 15"):
            await rt.resume(paused.run_id, around)

    assert paused.usage == Usage(10, 0)


def test_killed_around_early_answers() -> None:
    """Killed at any write around an early answer, the run goes on with the answer, or asks the same question again."""

    async def scenario(point: KillPoint) -> None:
        memory = InProcessMemory()
        may_end = trio.Event()
        asker = make_asker(may_end)
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                run = await rt.start(asker, "go")
                [question] = await wait_for_question(point.memory(memory))
                await rt.answer(question.id, "Ann")
                await run.wait()
        may_end.set()
        async with Runtime(memory=memory) as rt:
            result = await point.finish(rt, asker, "go")
            if result.status == "paused":
                await rt.answer(result.approvals[0].id, "Ann")
                result = await rt.resume(result.run_id, asker)
        assert result.output == ["Ann"]
        assert len(await memory.approvals()) == 1

    assert kill_everywhere(scenario) >= 5


async def test_questions_that_nobody_waits_for_expire_at_the_end() -> None:
    """The question of a branch that others cancelled is gone when the run has completed."""
    memory = InProcessMemory()

    @workflow(name="racer")
    async def racer(flow: Flow) -> str:
        async with flow.group("race") as group:
            group.start(flow.ask, Ask(str, "Name?"))
            [question] = await wait_for_question(memory)
            group.cancel()  # type: ignore[attr-defined]  # as `flow.first` does
        found.append(question)
        return "done"

    found: list[Approval] = []
    async with Runtime(memory=memory) as rt:
        result = await rt.run(racer, "go")
        with pytest.raises(ApprovalConflict, match="expired"):
            await rt.answer(found[0].id, "late")

    assert result.status == "completed"
    assert await memory.approvals(status="pending") == []


async def test_a_new_process_tells_what_is_pending() -> None:
    """Whoever subscribes to a resumed run learns of the question, however early it was asked."""
    memory = InProcessMemory()

    @workflow(name="asker")
    async def asker(flow: Flow) -> str:
        return str(await flow.ask(Ask(str, "Name?")))

    async with Runtime(memory=memory) as rt:
        paused = await rt.run(asker, "go")
    async with Runtime(memory=memory) as rt:
        listed = await memory.approvals(run=paused.run_id, status="pending")
        async with rt.stream(asker, Resume(paused.run_id)) as events:
            seen = [event async for event in events]

    assert [each.approval for each in seen if isinstance(each, ApprovalAsked)] == [listed[0].id]
    assert [each.status for each in seen if isinstance(each, RunEnded)] == ["paused"]
