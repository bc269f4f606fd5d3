"""Workflows: recorded steps, resumed runs, questions to people, durable waits, and changes of the code."""

from __future__ import annotations

import enum
import threading
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from agno_rt import (
    Agent,
    Ask,
    Flow,
    Limits,
    ModelRequest,
    ModelResponse,
    Runnable,
    Runtime,
    ToolCall,
    Usage,
    step,
    tool,
    workflow,
)
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import (
    DeadlineExceeded,
    JournalMismatch,
    ModelError,
    NotFound,
    StepFailed,
    StepUncertain,
    Unanswered,
    UsageError,
)
from agno_rt.events import ApprovalAsked, RunEnded, RunStarted, StepEnded, StepStarted
from agno_rt.run_store import ApprovalConflict, Resume, RunConflict
from agno_rt.testing import Pauses, ScriptedModel, pause, run_schedules


def agent(name: str, *answers: Any) -> Agent:
    """Return an agent with scripted answers."""
    return Agent(ScriptedModel(list(answers) or [name] * 20), name)


class Fault(Exception):
    """A failure of a step."""


async def test_a_workflow_is_a_runnable() -> None:
    """The function gets the input's text and the flow; the answer is typed, stored, and described by the docstring."""

    @step
    async def count(text: str) -> int:
        return len(text)

    @workflow
    async def report(topic: str, flow: Flow) -> dict[str, int]:
        """Count letters.

        More about it.
        """
        return {topic: await count(topic)}

    async with Runtime() as rt:
        result = await rt.run(report, "trio")
        [record] = await rt.memory.runs()  # type: ignore[attr-defined]

    assert (result.content, result.output) == ('{"trio":4}', {"trio": 4})
    assert (report.name, report.description, report.kind) == ("report", "Count letters.", "workflow")
    assert (record.agent, record.status, record.id) == ("report", "completed", result.run_id)
    assert await count("four") == 4, "outside of a workflow, a step is the plain function"


async def test_typed_inputs() -> None:
    """Parameters of other types than text are read from JSON; an input that does not fit is refused by name."""

    @attrs.define
    class Order:
        item: str
        count: int = 1

    globals()["Order"] = Order

    @workflow
    async def one(order: Order, flow: Flow) -> str:
        return f"{order.count} {order.item}"

    @workflow
    async def two(item: str, count: int, flow: Flow) -> str:
        return item * count

    @workflow
    async def none(flow: Flow) -> str:
        return "nothing"

    async with Runtime() as rt:
        assert (await rt.run(one, '{"item": "tea"}')).content == "1 tea"
        assert (await rt.run(two, '{"item": "ab", "count": 2}')).content == "abab"
        assert (await rt.run(none, "go")).content == "nothing"
        with pytest.raises(UsageError, match="input of workflow 'two' does not fit"):
            await rt.run(two, '{"item": "ab"}')


def test_a_workflow_needs_a_flow() -> None:
    """A function without a flow, a sync function, and a result that JSON cannot carry are refused when declared."""

    async def without(topic: str) -> None: ...

    def sync(flow: Flow) -> None: ...

    async def lock(flow: Flow) -> threading.Thread:
        raise NotImplementedError

    with pytest.raises(UsageError, match="0 parameters of type Flow"):
        workflow(without)
    with pytest.raises(UsageError, match="is not an async function"):
        workflow(sync)
    with pytest.raises(UsageError, match="Thread"):
        workflow(lock)
    with pytest.raises(UsageError, match="Thread"):
        step(lock)
    with pytest.raises(UsageError, match="retries of a step"):
        step(retries=-1)


async def test_a_failed_run_resumes_without_repeating_steps() -> None:
    """A resumed run takes finished steps and runs from the journal, and tries the failed step again."""
    done: list[str] = []

    @step
    async def buy(what: str) -> str:
        done.append(what)
        if len(done) == 2:
            raise Fault("sold out")
        return f"bought {what}"

    planner = agent("planner", "plan")

    @workflow
    async def shop(flow: Flow) -> list[str]:
        plan = await flow.run(planner, "go")
        return [plan.content, await buy("tea"), await buy("milk")]

    async with Runtime() as rt:
        with pytest.raises(StepFailed, match="buy#2 failed: Fault: sold out") as caught:
            await rt.run(shop, "go")
        assert caught.value.path == "buy#2"
        result = await rt.resume(caught.value.result.run_id)

    assert result.output == ["plan", "bought tea", "bought milk"]
    assert done == ["tea", "milk", "milk"]


async def test_a_caught_failure_is_replayed() -> None:
    """A failure that the workflow went on after is the same in a resumed run, of the same class."""
    calls = [0, 0]

    @step
    async def shaky() -> str:
        calls[0] += 1
        raise Fault("no")

    @step
    async def later() -> str:
        calls[1] += 1
        if calls[1] == 1:
            raise Fault("not yet")
        return "done"

    broken = agent("broken", ModelError("gone", provider="x", status=503), "never asked")

    @workflow
    async def careful(flow: Flow) -> list[Any]:
        found: list[Any] = []
        try:
            await shaky()
        except StepFailed as exc:
            found.append(str(exc))
        try:
            await flow.run(broken, "go")
        except ModelError as exc:
            found += [str(exc), exc.status, exc.provider]
        return [*found, await later()]

    async with Runtime() as rt:
        with pytest.raises(StepFailed, match="not yet") as caught:
            await rt.run(careful, "go")
        result = await rt.resume(caught.value.result.run_id)

    assert result.output == ["shaky#1 failed: Fault: no", "gone", 503, "x", "done"]
    assert calls == [1, 2]


async def test_retries_and_timeout() -> None:
    """A step is tried again as often as it allows, and each attempt has its time."""
    tries: list[int] = []

    @step(retries=2, backoff=0)
    async def third() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise Fault("again")
        return len(tries)

    @step(timeout=0.01)
    async def slow() -> None:
        await trio.sleep_forever()

    @workflow
    async def flow_of(flow: Flow) -> int:
        count = await third()
        await slow()
        return count

    async with Runtime() as rt:
        with pytest.raises(DeadlineExceeded, match=r"slow#1 took longer than 0\.01 s"):
            await rt.run(flow_of, "go")
    assert len(tries) == 3


async def test_a_sync_step_runs_in_a_thread() -> None:
    """A call of a sync step in a workflow is awaited, and does not block other tasks."""
    threads: list[str] = []

    @step
    def slow(value: int) -> int:
        threads.append(threading.current_thread().name)
        return value + 1

    @workflow
    async def flow_of(flow: Flow) -> int:
        return int(await slow(1))

    async with Runtime() as rt:
        assert (await rt.run(flow_of, "go")).output == 2
    assert slow(1) == 2
    assert threads[0] != threads[1] == threading.current_thread().name


class Color(enum.Enum):
    """A value that JSON carries as a text."""

    RED = "red"


@attrs.define
class Price:
    """A typed result."""

    amount: float
    color: Color
    tags: tuple[str, ...] = ()


async def test_values_are_the_same_before_and_after() -> None:
    """A workflow gets equal values of equal types from a step and from the journal."""
    seen: list[Any] = []
    fails = [True]

    @step
    async def price() -> Price:
        return Price(1.5, Color.RED, ("a",))

    @step
    async def loose():  # type: ignore[no-untyped-def]
        return {"a": (1, 2)}

    typed = Agent(ScriptedModel(['{"amount": 2, "color": "red"}'] * 2), "typed", output=Price)

    @workflow
    async def flow_of(flow: Flow) -> None:
        seen.append([await price(), await loose(), (await flow.run(typed, "go")).output])
        if fails.pop():
            raise Fault

    async with Runtime() as rt:
        fails.insert(0, False)
        with pytest.raises(Exception, match="Fault") as caught:
            await rt.run(flow_of, "go")
        await rt.resume(caught.value.result.run_id)  # type: ignore[attr-defined]

    assert seen[0] == seen[1] == [Price(1.5, Color.RED, ("a",)), {"a": [1, 2]}, Price(2.0, Color.RED)]


async def test_a_result_that_json_cannot_carry() -> None:
    """A step without an annotation whose value cannot be stored fails by name, with the remedy."""

    @step
    async def bad() -> Any:
        return object()

    @workflow
    async def flow_of(flow: Flow) -> None:
        await bad()

    async with Runtime() as rt:
        with pytest.raises(UsageError, match="step 'bad' returned what cannot be stored"):
            await rt.run(flow_of, "go")


async def test_changed_code_is_found() -> None:
    """Another step, or other arguments, at a recorded place raise an error that shows both."""
    name = ["one"]
    argument = [1]
    fails = [True]

    @step
    async def one(value: int) -> int:
        return value

    @step
    async def two(value: int) -> int:
        return value

    @step
    async def last() -> int:
        if fails[0]:
            raise Fault
        return 0

    @workflow
    async def flow_of(flow: Flow) -> list[int]:
        found = [await (one if name[0] == "one" else two)(argument[0])]
        if name[0] == "changed" and await flow.changed("more"):
            found.append(await one(7))
        return [*found, await last()]

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        run = caught.value.result.run_id
        name[0] = "two"
        with pytest.raises(JournalMismatch, match="does two#1, and its journal has one#1") as mismatch:
            await rt.resume(run)
        assert "flow.changed" in mismatch.value.hint
        name[0], argument[0] = "one", 2
        with pytest.raises(JournalMismatch, match="one#1 gets other arguments"):
            await rt.resume(run)
        argument[0], fails[0] = 1, False
        assert (await rt.resume(run)).output == [1, 0]


@pytest.mark.parametrize("first", ["step", "group"])
async def test_a_step_is_not_a_group(first: str) -> None:
    """A step that became a group of the same name, or a group that became a step, is found, and not done again."""
    kind, fails, log = [first], [True], list[str]()

    @step(name="work")
    async def work() -> str:
        log.append(kind[0])
        return "done"

    @step
    async def last() -> None:
        if fails[0]:
            raise Fault

    @workflow
    async def flow_of(flow: Flow) -> None:
        if kind[0] == "step":
            await work()
        else:
            async with flow.group("work") as group:
                group.start(work)
        await last()

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        run, fails[0] = caught.value.result.run_id, False
        kind[0] = {"step": "group", "group": "step"}[first]
        with pytest.raises(JournalMismatch, match=f"work#1 is a {kind[0]} now, and a {first} in its journal"):
            await rt.resume(run)
        assert log == [first]
        fork = await rt.fork(run, input="go on")
        await rt.resume(fork)
        assert log == [first, kind[0]]


async def test_changed_guards_new_code() -> None:
    """A run that passed the place keeps to the old code, and a new run takes the new code, now and when resumed."""
    new, fails = [False], [True]

    @step
    async def work(value: int) -> int:
        if value == 9 and fails[0]:
            raise Fault
        return value

    @workflow
    async def flow_of(flow: Flow) -> list[int]:
        found = []
        if new[0] and await flow.changed("extra"):
            found.append(await work(5))
        return [*found, await work(1), await work(9)]

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as old:
            await rt.run(flow_of, "go")
        new[0] = True
        with pytest.raises(StepFailed) as fresh:
            await rt.run(flow_of, "go")
        fails[0] = False
        outputs = [(await rt.resume(each.value.result.run_id)).output for each in (old, fresh)]

    assert outputs == [[1, 9], [5, 1, 9]]


async def test_time_chance_and_ids_are_recorded() -> None:
    """A resumed run has the same time, number and id, and the version under which it began."""
    seen: list[Any] = []
    fails = [True]

    @step
    async def work() -> None:
        if fails[0]:
            raise Fault

    @workflow(version=3)
    async def flow_of(flow: Flow) -> None:
        seen.append((await flow.now(), await flow.random(), await flow.id(), flow.version))
        await work()

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        flow_of.version, fails[0] = 4, False
        await rt.resume(caught.value.result.run_id)

    assert seen[0] == seen[1]
    assert seen[0][3] == 3


async def test_a_question_pauses_the_run() -> None:
    """The run pauses with an approval; a new runtime finds the question, and the answer is a typed value."""
    memory = InProcessMemory()
    seen: list[Any] = []
    calls: list[int] = []

    @step
    async def work() -> None:
        calls.append(1)

    @workflow
    async def publish(topic: str, flow: Flow) -> str:
        await work()
        if not await flow.ask(Ask(bool, "Publish?")):
            return flow.stop("declined")
        return "published"

    async with Runtime(memory=memory, observers=[seen.append]) as rt:
        first = await rt.run(publish, "x")
    [approval] = first.approvals
    assert (first.status, approval.kind, approval.reason, approval.call.id) == ("paused", "input", "Publish?", "ask#1")
    kinds = [RunStarted, StepStarted, StepEnded, StepStarted, ApprovalAsked, StepEnded, RunEnded]
    assert [type(event) for event in seen] == kinds
    assert [(each.path, each.status) for each in seen if isinstance(each, StepEnded)] == [
        ("work#1", "completed"),
        ("ask#1", "paused"),
    ]

    async with Runtime(memory=memory) as rt:
        assert await memory.approvals(run=first.run_id, status="pending") == [approval]
        again = await rt.resume(first.run_id, publish)
        assert (again.status, again.approvals) == ("paused", (approval,))
        async with rt.stream(publish, Resume(first.run_id)) as events:
            asked = [event.approval async for event in events if isinstance(event, ApprovalAsked)]
        assert asked == [approval.id]
        with pytest.raises(UsageError, match="does not fit"):
            await rt.answer(approval.id, {"answer": "perhaps"})
        await rt.answer(approval.id, {"answer": False})
        with pytest.raises(ApprovalConflict):
            await rt.answer(approval.id, {"answer": True})
        result = await rt.resume(first.run_id, publish)

    assert (result.status, result.content, calls) == ("completed", "declined", [1])


async def test_a_plain_answer_fits_too() -> None:
    """The answer may be given without the form's field around it."""

    @workflow
    async def flow_of(flow: Flow) -> str:
        return str(await flow.ask(Ask(str, "Name?")))

    async with Runtime() as rt:
        first = await rt.run(flow_of, "x")
        await rt.answer(first.approvals[0].id, "Ann")
        assert (await rt.resume(first.run_id)).content == "Ann"


async def test_nobody_answers() -> None:
    """A refused question raises `Unanswered` with the reason, again in each resumed run; so does a late answer."""

    @workflow
    async def flow_of(flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?")))
        except Unanswered as exc:
            return exc.reason or str(exc)

    async with Runtime() as rt:
        first = await rt.run(flow_of, "x")
        await rt.deny(first.approvals[0].id, "no names")
        assert (await rt.resume(first.run_id)).content == "no names"

        @workflow
        async def late(flow: Flow) -> str:
            return str(await flow.ask(Ask(str, "Name?"), expires=1e-9))

        with pytest.raises(Unanswered, match="ask#1 was not answered in time"):
            await rt.run(late, "x")


async def test_two_of_three_branches_wait() -> None:
    """A waiting branch does not stop its siblings; the run resumes with one answer, and then with the other."""
    done: list[str] = []

    @step
    async def work(name: str) -> str:
        done.append(name)
        await trio.sleep(0.01)
        return name

    async def branch(flow: Flow, name: str) -> str:
        await work(name)
        answer = "" if name == "b" else await flow.ask(Ask(str, f"{name}?"))
        return f"{await work(name + '2')} {answer}".strip()

    @workflow
    async def flow_of(flow: Flow) -> list[str]:
        async with flow.group("three", limit=1) as group:
            for name in "abc":
                group.start(branch, flow, name, key=name)
        return group.results

    async with Runtime() as rt:
        result = await rt.run(flow_of, "go")
        assert sorted(done) == ["a", "b", "b2", "c"]
        assert sorted(each.call.id for each in result.approvals) == ["three#1/a/ask#1", "three#1/c/ask#1"]
        pending = {each.call.id[8]: each.id for each in result.approvals}
        await rt.answer(pending["c"], "yes")
        result = await rt.resume(result.run_id)
        assert [each.id for each in result.approvals] == [pending["a"]]
        await rt.answer(pending["a"], "no")
        result = await rt.resume(result.run_id)

    assert result.output == ["a2 no", "b2", "c2 yes"]
    assert sorted(done) == ["a", "a2", "b", "b2", "c", "c2"]


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_child_that_waits_goes_on_behind_its_question(depth: int) -> None:
    """A workflow within a workflow does not begin again after the answer, at any depth."""
    done: list[str] = []

    @step
    async def work() -> None:
        done.append("step")

    @workflow(name="level0")
    async def inner(flow: Flow) -> str:
        await work()
        return str(await flow.ask(Ask(str, "Go?")))

    def around(within: Any, level: int) -> Any:
        @workflow(name=f"level{level + 1}")
        async def outer(flow: Flow) -> str:
            return (await flow.run(within, "go")).content

        return outer

    whole: Any = inner
    for level in range(depth):
        whole = around(whole, level)

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(whole, "go")
    async with Runtime(memory=memory) as rt:
        await rt.answer(paused.approvals[0].id, "yes")
        result = await rt.resume(paused.run_id, whole)

    assert (result.content, done) == ("yes", ["step"])


async def test_an_agent_that_waits_parks_its_branch() -> None:
    """A tool that needs an approval pauses the whole; after the approval the tool runs once, and nothing else again."""
    sent: list[str] = []

    @tool(approve=True)
    async def send(text: str) -> str:
        """Send."""
        sent.append(text)
        return "sent"

    model = ScriptedModel([ToolCall("1", "send", '{"text": "hi"}'), "all done"])
    sender = Agent(model, "sender", tools=[send])

    @workflow
    async def flow_of(flow: Flow) -> list[str]:
        return [(await flow.run(agent("before", "a"), "go")).content, (await flow.run(sender, "go")).content]

    async with Runtime() as rt:
        paused = await rt.run(flow_of, "go")
        assert (paused.status, sent) == ("paused", [])
        await rt.approve(paused.approvals[0].id)
        result = await rt.resume(paused.run_id)

    assert (result.output, sent, len(model.requests)) == (["a", "all done"], ["hi"], 2)


async def test_a_pause_belongs_to_its_run() -> None:
    """A paused run of a workflow does not pause other runs of the same workflow."""

    @workflow
    async def flow_of(text: str, flow: Flow) -> str:
        return "done" if text == "plain" else str(await flow.ask(Ask(str, "Go?")))

    async with Runtime() as rt:
        paused = await rt.run(flow_of, "ask", session="one")
        assert (await rt.run(flow_of, "plain", session="two")).status == "completed"
        assert paused.status == "paused"


async def test_a_failure_is_not_taken_for_a_pause() -> None:
    """A branch that fails while its siblings wait for people fails the run, under both kinds of groups."""

    async def fail() -> None:
        await trio.sleep(0.01)
        raise Fault("broken")

    @workflow
    async def flow_of(flow: Flow) -> None:
        async with flow.group() as outer, flow.group() as inner:
            outer.start(flow.ask, Ask(str, "A?"))
            inner.start(fail)
            inner.start(flow.ask, Ask(str, "B?"))

    async with Runtime() as rt:
        with pytest.raises(Exception, match="Fault: broken"):
            await rt.run(flow_of, "go")


async def test_a_group_that_ends_is_not_taken_for_a_pause() -> None:
    """When a nested group ends while another branch waits, the branch with the group goes on before the run pauses."""
    done: list[str] = []

    @step
    async def work() -> None:
        done.append("work")

    async def nested(flow: Flow) -> None:
        async with flow.group("inner") as inner:
            inner.start(trio.sleep, 0.01)
        await work()

    @workflow
    async def flow_of(flow: Flow) -> None:
        async with flow.group("outer") as outer:
            outer.start(flow.ask, Ask(str, "A?"))
            outer.start(nested, flow)

    async with Runtime() as rt:
        assert (await rt.run(flow_of, "go")).status == "paused"
    assert done == ["work"]


async def test_sleep_is_durable(autojump_clock: Any) -> None:
    """A sleep waits for its time once; a resumed run waits for the rest, and not again for a sleep that is over."""
    fails = [True]

    @step
    async def work() -> None:
        if fails[0]:
            raise Fault

    @workflow
    async def flow_of(flow: Flow) -> float:
        began = trio.current_time()
        await flow.sleep(3600)
        await work()
        return trio.current_time() - began

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        assert trio.current_time() >= 3599
        result = await rt.resume(caught.value.result.run_id)

    assert result.output < 1


async def test_a_step_that_had_begun_is_uncertain() -> None:
    """A step under way at the end of the program is not done again, unless it is idempotent; a fork does it again."""
    memory = InProcessMemory()
    done: list[str] = []
    dies = [True]

    async def die(name: str) -> None:
        done.append(name)
        if dies[0]:
            raise KeyboardInterrupt

    @step
    async def pay() -> None:
        await die("pay")

    @step(idempotent=True)
    async def look() -> None:
        await die("look")

    @workflow
    async def paying(flow: Flow) -> str:
        await pay()
        return "paid"

    @workflow
    async def looking(flow: Flow) -> str:
        await look()
        return "looked"

    runs = {}
    for each in (paying, looking):
        with pytest.raises(KeyboardInterrupt):
            async with Runtime(memory=memory) as rt:
                await rt.run(each, "go")
        runs[each.name] = (await memory.runs())[0].id
    dies[0] = False
    async with Runtime(memory=memory) as rt:
        assert (await rt.resume(runs["looking"], looking)).content == "looked"
        with pytest.raises(StepUncertain, match=r"pay#1 of run .* had begun") as caught:
            await rt.resume(runs["paying"], paying)
        assert caught.value.path == "pay#1"
        fork = await rt.fork(runs["paying"], 1)
        assert (await rt.resume(fork, paying)).content == "paid"

    assert done == ["pay", "look", "look", "pay"]


async def test_a_stored_run_within_is_found_again() -> None:
    """A run within has an id that follows from its place, and events with the path."""
    seen: list[Any] = []
    planner = agent("planner", "plan")

    @workflow
    async def flow_of(flow: Flow) -> str:
        async with flow.group("parts") as parts:
            parts.start(planner, "go", key="intro")
        return str(parts.results[0].run_id)

    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(flow_of, "go")
        record, _ = await rt.memory.load_run(result.content)  # type: ignore[attr-defined]

    assert (record.agent, record.parent, record.status) == ("planner", result.run_id, "completed")
    assert [event.path for event in seen if isinstance(event, RunStarted)] == ["", "parts#1/intro/planner#1"]


async def test_usage_and_budgets_survive() -> None:
    """The usage of runs from the journal counts in a resumed run, also for its budgets."""
    fails = [True]

    @step
    async def work() -> None:
        if fails[0]:
            raise Fault

    spender = Agent(ScriptedModel([ModelResponse("x", usage=Usage(60, 0))] * 9), "spender")

    @workflow(limits=Limits(tokens=100))
    async def flow_of(flow: Flow) -> list[str]:
        await flow.run(spender, "one")
        await work()
        found = [str((await flow.run(spender, "two")).content)]
        try:
            await flow.run(spender, "three")
        except Exception as exc:
            found.append(type(exc).__name__)
        return found

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        result = await rt.resume(caught.value.result.run_id)

    assert (result.output, result.usage.input_tokens) == (["x", "LimitExceeded"], 120)


async def test_a_fork_leaves_its_source_alone() -> None:
    """Two forks of one run, and at once, have equal results; the journal of the source is as before."""
    memory = InProcessMemory()

    @step
    async def work(value: int) -> int:
        return value + 1

    @workflow
    async def flow_of(flow: Flow) -> int:
        value = await work(await work(0))
        return value + len((await flow.run(agent("child", "abc", "abc", "abc", "abc"), "go")).content)

    async with Runtime(memory=memory) as rt:
        source = await rt.run(flow_of, "go")
        before = await memory.load_run(source.run_id)
        forks = [await rt.fork(source.run_id, 3) for _ in range(4)]
        results = [await rt.resume(forks[0], flow_of), await rt.resume(forks[1], flow_of)]
        async with trio.open_nursery() as nursery:
            for fork in forks[2:]:

                async def go(fork: str = fork) -> None:
                    results.append(await rt.resume(fork, flow_of))

                nursery.start_soon(go)
        assert await memory.load_run(source.run_id) == before

    assert [each.output for each in results] == [source.output] * 4


@pytest.mark.parametrize("number", range(2))
async def test_first_tries_each_failure_again(number: int) -> None:
    """If every run fails, a resumed run tries all of them again: the one that has recovered may be any."""
    recovered = [-1]

    def racer(own: int) -> Agent:
        def answer(request: ModelRequest) -> str:
            if recovered[0] != own:
                raise ModelError(f"{own} is down", provider="x")
            return f"{own} answers"

        return Agent(ScriptedModel(answer), f"racer {own}")

    @workflow
    async def flow_of(flow: Flow) -> str:
        return (await flow.first(racer(0), racer(1), input="go")).content

    async with Runtime() as rt:
        with pytest.raises(ModelError, match="1 is down") as caught:
            await rt.run(flow_of, "go")
        recovered[0] = number
        assert (await rt.resume(caught.value.result.run_id)).content == f"{number} answers"


async def test_first_keeps_its_winner() -> None:
    """A resumed run has the same winner, and runs no loser again."""
    fails = [True]
    asked: list[str] = []

    def racer(name: str, seconds: float) -> Agent:
        async def answer(request: ModelRequest) -> str:
            asked.append(name)
            await trio.sleep(seconds)
            return name

        return Agent(ScriptedModel([answer] * 9), name)

    @step
    async def work() -> None:
        if fails[0]:
            raise Fault

    @workflow
    async def flow_of(flow: Flow) -> str:
        result = await flow.first(racer("slow", 60), racer("fast", 0.01), input="go")
        await work()
        return result.content

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        assert (await rt.resume(caught.value.result.run_id)).content == "fast"

    assert sorted(asked) == ["fast", "slow"]


async def test_steps_within_steps_and_tools_are_plain() -> None:
    """Inside a step, and in the tools of a run within, other steps are the plain functions."""
    plain: list[str] = []

    @step
    async def inner(name: str) -> str:
        plain.append(name)
        return name

    @step
    async def outer() -> str:
        return await inner("in step")

    @tool
    async def use() -> str:
        """Use."""
        return await inner("in tool")

    user = Agent(ScriptedModel([ToolCall("1", "use", "{}"), "used"]), "user", tools=[use])

    @workflow
    async def flow_of(flow: Flow) -> str:
        await outer()
        return (await flow.run(user, "go")).content

    async with Runtime() as rt:
        result = await rt.run(flow_of, "go")
        _, entries = await rt.memory.load_run(result.run_id)  # type: ignore[attr-defined]

    assert plain == ["in step", "in tool"]
    assert [entry.kind for entry in entries] == ["begun", "step_begun", "step_ended", "step_ended", "ended"]


async def test_a_workflow_without_a_journal() -> None:
    """With `memory={"journal": False}` nothing is stored, steps just run, and a question is refused."""

    @step
    async def work() -> str:
        return "worked"

    @workflow(memory={"journal": False})
    async def flow_of(text: str, flow: Flow) -> str:
        if text == "ask":
            await flow.ask(Ask(str, "Go?"))
        return await work()

    async with Runtime() as rt:
        assert (await rt.run(flow_of, "go")).content == "worked"
        assert await rt.memory.runs() == []  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match="ask#1 needs a stored run"):
            await rt.run(flow_of, "ask")


async def test_a_fork_takes_a_failed_step_again() -> None:
    """A fork of a whole failed run takes the failed step again, as a resumed run does."""
    fails = [True]

    @step
    async def work() -> str:
        if fails[0]:
            raise Fault
        return "done"

    @workflow
    async def flow_of(flow: Flow) -> str:
        return await work()

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        assert (await rt.resume(await rt.fork(caught.value.result.run_id))).content == "done"


async def test_two_resume_the_same_runs() -> None:
    """Of two runtimes that resume the same orphans, each run is carried out by one: a failed claim does nothing."""
    memory, done = InProcessMemory(), list[str]()

    @step
    async def work(name: str) -> None:
        done.append(name)
        await trio.lowlevel.checkpoint()

    @workflow
    async def flow_of(name: str, flow: Flow) -> str:
        await flow.ask(Ask(str, "Go?"))
        await work(name)
        return name

    refused: list[str] = []
    async with Runtime(memory=memory) as one, Runtime(memory=memory) as two:
        runs = [(await one.run(flow_of, f"run{number}")).run_id for number in range(20)]
        for approval in await memory.approvals():
            await one.answer(approval.id, "yes")

        async def resume_all(rt: Runtime) -> None:
            for run in runs:
                try:
                    await rt.resume(run, flow_of)
                except RunConflict:
                    refused.append(run)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(resume_all, one)
            nursery.start_soon(resume_all, two)

    assert sorted(done) == sorted(f"run{number}" for number in range(20))
    assert sorted(refused) == sorted(runs)


async def test_a_run_within_has_a_session() -> None:
    """A run within may have a session; a resumed workflow adds nothing to the session again."""
    memory = InProcessMemory()
    fails = [True]

    @step
    async def work() -> None:
        if fails[0]:
            raise Fault

    @workflow
    async def flow_of(flow: Flow) -> str:
        await flow.run(agent("talker", "hello", "never"), "hi", session="talk")
        await work()
        return flow.session or ""

    async with Runtime(memory=memory) as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go", session="whole", user="ann")
        fails[0] = False
        assert (await rt.resume(caught.value.result.run_id)).content == "whole"

    assert [message.text for message in (await memory.load("talk")).messages] == ["hi", "hello"]
    assert [message.text for message in (await memory.load("whole")).messages] == ["go", "whole"]
    assert (await memory.load("talk")).user == "ann"


async def test_a_class_of_runnables_is_stored_when_asked() -> None:
    """A class with `conduct` is durable too: with `memory={"journal": True}`, or if an agent within needs a person."""

    @tool(approve=True)
    async def send() -> str:
        """Send."""
        return "sent"

    sender = Agent(ScriptedModel([ToolCall("1", "send", "{}"), "all done"]), "sender", tools=[send])

    @attrs.define(eq=False)
    class Pair(Runnable[Any, Any]):
        members: list[Agent]
        name: str = "pair"

        def parts(self) -> list[Agent]:
            return self.members

        async def conduct(self, flow: Flow, input: Any) -> list[str]:
            return [(await flow.run(member, input)).content for member in self.members]

    first = agent("first", "one")
    pair = Pair([first, sender])
    async with Runtime() as rt:
        paused = await rt.run(pair, "go")
        assert paused.status == "paused"
        await rt.approve(paused.approvals[0].id)
        assert (await rt.resume(paused.run_id)).output == ["one", "all done"]
    assert len(first.model.requests) == 1  # type: ignore[union-attr]


async def test_cancelled_by_its_id() -> None:
    """A workflow is cancelled by its id, its runs within end with it, and it can be resumed."""
    waits = [True]

    async def answer(request: ModelRequest) -> str:
        if waits[0]:
            started.set()
            await trio.sleep_forever()
        return "answer"

    started = trio.Event()
    slow = Agent(ScriptedModel([answer] * 3), "slow")

    @workflow
    async def flow_of(flow: Flow) -> str:
        return (await flow.run(slow, "go")).content

    async with Runtime() as rt:
        run = await rt.start(flow_of, "go")
        await started.wait()
        assert await rt.cancel(run.id)
        assert (await run.wait()).status == "cancelled"
        assert {each.status for each in await rt.memory.runs()} == {"cancelled"}  # type: ignore[attr-defined]
        waits[0] = False
        assert (await rt.resume(run.id)).content == "answer"


async def test_the_end_of_a_block_is_replayed(autojump_clock: Any) -> None:
    """A block that a deadline ended is ended in a resumed run too, where the journal stops, without waiting again."""
    done, fails = list[str](), [True]

    @step(idempotent=True)
    async def work(name: str) -> str:
        done.append(name)
        if name == "slow":
            await trio.sleep(100)
        if name == "after" and fails[0]:
            raise Fault
        return name

    @workflow
    async def flow_of(flow: Flow) -> list[str]:
        found: list[str] = []
        try:
            with flow.limits(Limits(run_timeout=10)):
                found.append(await work("quick"))
                async with flow.group() as group:
                    group.start(work, "slow")
        except DeadlineExceeded as exc:
            found.append(exc.limit)
        return [*found, await work("between"), await work("after")]

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        result = await rt.resume(caught.value.result.run_id)

    assert result.output == ["quick", "run_timeout", "between", "after"]
    assert done == ["quick", "slow", "between", "after", "after"]


async def test_a_signal_from_elsewhere() -> None:
    """A run that waits for a signal pauses; a signal by any runtime is received once, with its value."""
    memory = InProcessMemory()

    @workflow
    async def flow_of(flow: Flow) -> list[Any]:
        return [await flow.signal("mail"), await flow.signal("mail")]

    async with Runtime(memory=memory) as rt:
        paused = await rt.run(flow_of, "go", user="ann")
        assert (paused.status, paused.approvals) == ("paused", ())
    async with Runtime(memory=memory) as rt:
        assert await rt.signal(paused.run_id, "post", "ignored") == "paused"
        assert await rt.signal(paused.run_id, "mail", {"n": 1}, user="ann") == "paused"
        assert (await rt.resume(paused.run_id, flow_of)).status == "paused"
        await rt.signal(paused.run_id, "mail", [2])
        assert (await rt.resume(paused.run_id, flow_of)).output == [{"n": 1}, [2]]
        with pytest.raises(RunConflict, match="takes no signal"):
            await rt.signal(paused.run_id, "mail")
        with pytest.raises(NotFound):
            await rt.signal(paused.run_id, "mail", user="bob")
        with pytest.raises(UsageError, match="cannot be stored"):
            await rt.signal(paused.run_id, "mail", object())


async def test_a_signal_with_a_timeout(autojump_clock: Any) -> None:
    """With a timeout the run stays, receives a signal that comes in time, and fails by name afterwards."""

    @workflow
    async def flow_of(flow: Flow) -> list[Any]:
        first = await flow.signal("mail", timeout=100)
        try:
            await flow.signal("mail", timeout=0.01)
        except DeadlineExceeded as exc:
            return [first, str(exc)]
        return []

    async with Runtime() as rt:
        run = await rt.start(flow_of, "go")
        await trio.sleep(10)
        assert await rt.signal(run.id, "mail", "hi") == "running"
        assert (await run.wait()).output == ["hi", "signal#2 waited for the signal 'mail' for longer than 0.01 s"]


def test_no_signal_is_lost() -> None:
    """Signals that come at any moment, also between the last look and the pause, are received once and in order."""

    async def scenario() -> None:
        memory = Pauses().memory(InProcessMemory())

        @step(idempotent=True)
        async def work(number: int) -> int:
            return number

        @workflow
        async def flow_of(flow: Flow) -> list[Any]:
            return [await work(await flow.signal("mail")) for _ in range(5)]

        async with Runtime(memory=memory) as rt:
            run = await rt.start(flow_of, "go")

            async def send() -> None:
                for number in range(5):
                    await pause()
                    while True:
                        try:
                            await rt.signal(run.id, "mail", number)
                            break
                        except NotFound:  # the run has not been stored yet
                            await trio.sleep(0.1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
            result = await run.wait()
            while result.status == "paused":
                result = await rt.resume(run.id, flow_of)
            assert result.output == [0, 1, 2, 3, 4]

    run_schedules(scenario, 100)


async def test_a_fork_before_a_step() -> None:
    """A fork at a path takes the step again, and what follows from it; other branches keep their results."""
    done: list[str] = []

    @step
    async def work(name: str) -> str:
        done.append(name)
        return name

    async def branch(name: str) -> None:
        await work(f"{name}1")
        await work(f"{name}2")

    @workflow
    async def flow_of(flow: Flow) -> None:
        await work("before")
        async with flow.group("two") as two:
            two.start(branch, "a", key="a")
            two.start(branch, "b", key="b")
        await work("after")

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "go")).run_id
        done.clear()
        fork = await rt.fork(run, "two#1/a/work#2")
        assert (await rt.resume(fork)).status == "completed"
        assert done == ["a2", "after"]
        done.clear()
        await rt.resume(await rt.fork(run, "work#1"))
        assert sorted(done) == ["a1", "a2", "after", "b1", "b2", "before"]
        with pytest.raises(NotFound, match="unknown step 'two#1/c/work#1'"):
            await rt.fork(run, "two#1/c/work#1")


def test_all_failures_of_a_group_are_tried_again() -> None:
    """When several branches have failed before the group ended, one resumed run tries all of them again."""

    async def scenario() -> None:
        fails, both, begun = [True], trio.Event(), list[str]()

        @step(idempotent=True)
        async def work(name: str) -> str:
            begun.append(name)
            if len(begun) == 2:
                both.set()
            await both.wait()
            if fails[0]:
                raise Fault(name)
            return name

        @workflow
        async def flow_of(flow: Flow) -> list[str]:
            return await flow.map(work, "ab")

        async with Runtime() as rt:
            with pytest.raises(StepFailed) as caught:
                await rt.run(flow_of, "go")
            fails[0] = False
            assert (await rt.resume(caught.value.result.run_id)).output == ["a", "b"]

    run_schedules(scenario, 30)


async def test_a_failure_in_a_nursery_of_the_users_own_is_tried_again() -> None:
    """A failure that a nursery has put into a group counts as the end of the run too."""
    fails = [True]

    @step
    async def work() -> str:
        if fails[0]:
            raise Fault
        return "done"

    @workflow
    async def flow_of(flow: Flow) -> str:
        async with trio.open_nursery():
            return await work()

    async with Runtime() as rt:
        with pytest.raises(StepFailed) as caught:
            await rt.run(flow_of, "go")
        fails[0] = False
        assert (await rt.resume(caught.value.result.run_id)).content == "done"


async def test_a_sync_step_that_hangs_is_not_called_again(mock_clock: trio.testing.MockClock) -> None:
    """A thread cannot be stopped: an attempt beyond its time is the last one."""
    calls: list[int] = []
    release = threading.Event()

    @step(timeout=0.5, retries=3, backoff=0)
    def hang() -> None:
        calls.append(1)
        release.wait(60)

    @workflow
    async def flow_of(flow: Flow) -> None:
        await hang()

    async def let_time_pass() -> None:
        while not calls:
            await trio.lowlevel.checkpoint()
        mock_clock.jump(0.5)

    async with Runtime() as rt, trio.open_nursery() as nursery:
        nursery.start_soon(let_time_pass)
        try:
            with pytest.raises(DeadlineExceeded, match="hang#1"):
                await rt.run(flow_of, "go")
        finally:
            release.set()
    assert calls == [1]
