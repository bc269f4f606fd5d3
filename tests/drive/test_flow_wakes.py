"""Paused runs that go on by themselves when their time has come."""

from __future__ import annotations

import os
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from agno_rt import Agent, Ask, Flow, RunContext, RunResult, Runtime, Team, ToolCall, step, tool, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import BackendError, DeadlineExceeded, Unanswered, UsageError
from agno_rt.events import RunEnded
from agno_rt.run_store import RunRecord
from agno_rt.teams import Delegates, Leader
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere
from tests.helpers import TimeOfDay

T = TypeVar("T")


@pytest.fixture
def time_of_day(monkeypatch: pytest.MonkeyPatch) -> TimeOfDay:
    """Make a time of day for this process."""
    made = TimeOfDay()
    monkeypatch.setattr("time.time", made)
    return made


async def until(is_true: Callable[[], Awaitable[object]]) -> None:
    """Wait until the condition holds: the store is looked into again and again, as another process would."""
    with trio.fail_after(60):
        while not await is_true():
            await trio.testing.wait_all_tasks_blocked(0.01)  # nothing here hears of the end


async def wait_for_end(memory: Any, run: str) -> RunRecord:
    """Return the record of the run when it is over."""

    async def is_over() -> bool:
        return (await memory.load_run(run))[0].status not in ("paused", "running")

    await until(is_over)
    record: RunRecord = (await memory.load_run(run))[0]
    return record


async def test_an_expired_question_wakes_its_run(time_of_day: TimeOfDay) -> None:
    """A run that waits for a person goes on by itself when the question expires, in another runtime."""
    memory, seen = InProcessMemory(time_of_day), list[Any]()

    @workflow(name="asker")
    async def asker(flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?"), expires=3600))
        except Unanswered:
            return "nobody"

    async with Runtime(memory=memory) as rt:
        paused = await rt.run(asker, "go")
        record = (await memory.load_run(paused.run_id))[0]
    time_of_day.ahead += 3600
    async with Runtime(memory=memory, observers=[seen.append]) as rt:
        rt.add(asker)
        rt.wake_runs()
        ended = await wait_for_end(memory, paused.run_id)

    assert (paused.status, record.wakes_at) == ("paused", paused.approvals[0].expires_at)
    assert (ended.status, ended.content, ended.wakes_at) == ("completed", "nobody", None)
    assert [each.status for each in seen if isinstance(each, RunEnded)] == ["completed"]


async def test_the_end_of_a_woken_run_is_told(time_of_day: TimeOfDay) -> None:
    """`on_end` gets the record from before and the result, of a run that ends well and of one that fails."""
    memory, told = InProcessMemory(time_of_day), dict[str, tuple[str, str, str]]()

    @workflow(name="asker")
    async def asker(text: str, flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?"), expires=3600))
        except Unanswered:
            if text == "fail":
                raise
            return "nobody"

    async def tell(record: RunRecord, result: RunResult) -> None:
        told[result.run_id] = (record.status, result.status, result.content)

    async def are_told() -> bool:
        return len(told) == 2

    async with Runtime(memory=memory) as rt:
        well, badly = [await rt.run(asker, text) for text in ("go", "fail")]
        time_of_day.ahead += 3600
        rt.wake_runs(on_end=tell)
        await until(are_told)

    assert told == {well.run_id: ("paused", "completed", "nobody"), badly.run_id: ("paused", "failed", "")}


async def test_a_failing_listener_ends_nothing(time_of_day: TimeOfDay) -> None:
    """An `on_end` that fails is warned of; the runtime lives on, and wakes the next run."""
    memory, told = InProcessMemory(time_of_day), list[str]()

    @workflow(name="asker")
    async def asker(text: str, flow: Flow) -> str:
        try:
            return str(await flow.ask(Ask(str, "Name?"), expires=3600))
        except Unanswered:
            return "nobody"

    async def tell(record: RunRecord, result: RunResult) -> None:
        told.append(result.run_id)
        raise BackendError("the memory is away")

    async def is_told() -> bool:
        return bool(told)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("ignore")  # others' garbage may be collected now
        warnings.simplefilter("always", RuntimeWarning)
        async with Runtime(memory=memory) as rt:
            first = await rt.run(asker, "go")
            time_of_day.ahead += 3600
            rt.wake_runs(on_end=tell)
            await until(is_told)
            second = await rt.run(asker, "go")
            time_of_day.ahead += 3600
            ended = await wait_for_end(memory, second.run_id)

    assert (told[0], ended.status) == (first.run_id, "completed")
    assert f"the end of run '{first.run_id}' of 'asker' was not told" in str(warned[0].message)


async def test_an_expired_approval_of_an_agent_wakes_its_run(time_of_day: TimeOfDay) -> None:
    """An agent's tool call that nobody approved in time is denied, and the model is told so."""
    memory = InProcessMemory(time_of_day)

    @tool(approve=True, expires=3600)
    async def send(text: str) -> str:
        """Send."""
        return "sent"

    model = ScriptedModel([ToolCall("1", "send", '{"text": "hi"}'), "nobody approved"])
    sender = Agent(model, "sender", tools=[send])
    async with Runtime(memory=memory) as rt:
        rt.wake_runs()
        paused = await rt.run(sender, "go")
        time_of_day.ahead += 3600
        ended = await wait_for_end(memory, paused.run_id)

    assert (paused.status, ended.status, ended.content) == ("paused", "completed", "nobody approved")


async def test_a_sleeping_run_is_woken_within_other_waits(time_of_day: TimeOfDay) -> None:
    """A branch that sleeps, and one that waits for a signal for so long, wake the run while others wait for people."""
    memory, done = InProcessMemory(time_of_day), list[str]()

    @step
    async def note(text: str) -> str:
        done.append(text)
        return text

    async def sleeper(flow: Flow) -> str:
        await flow.sleep(3600)
        return await note("slept")

    async def listener(flow: Flow) -> str:
        try:
            return str(await flow.signal("mail", timeout=4000))
        except DeadlineExceeded:
            return await note("no mail")

    @workflow(name="waiter")
    async def waiter(flow: Flow) -> list[Any]:
        async with flow.group("three") as group:
            group.start(flow.ask, Ask(str, "Name?"))
            group.start(sleeper, flow)
            group.start(listener, flow)
        return group.results

    async with Runtime(memory=memory) as rt:
        first = await rt.run(waiter, "go")
        assert (first.status, done) == ("paused", [])
        time_of_day.ahead += 4000
        rt.wake_runs()

        async def has_paused_again() -> bool:
            return len(done) == 2 and (await memory.load_run(first.run_id))[0].status == "paused"

        await until(has_paused_again)
        record = (await memory.load_run(first.run_id))[0]
        await rt.answer(first.approvals[0].id, "Ann")
        result = await rt.resume(first.run_id, waiter)

    assert sorted(done) == ["no mail", "slept"]
    assert record.wakes_at is None
    assert result.output == ["Ann", "slept", "no mail"]


def make_sleeper(seconds: float) -> Any:
    """Make a workflow that sleeps within a workflow."""

    @workflow(name="inner")
    async def inner(flow: Flow) -> str:
        await flow.sleep(seconds)
        return "rested"

    @workflow(name="outer")
    async def outer(flow: Flow) -> str:
        return (await flow.run(inner, "go")).content

    return outer


async def test_a_long_sleep_leaves_memory() -> None:
    """In a runtime that wakes runs, a long sleep pauses the run, and the run around; both are woken once."""
    memory = InProcessMemory()
    outer = make_sleeper(3600)
    async with Runtime(memory=memory) as rt:
        rt.wake_runs()
        paused = await rt.run(outer, "go")
        tasks = rt.tasks()
        records = {each.agent: each for each in await memory.runs()}
        now = records["outer"].updated_at
        due = await memory.find_due(["inner", "outer"], before=now + 3601)

    assert paused.status == "paused"
    assert not tasks.runs
    assert {name: each.status for name, each in records.items()} == {"inner": "paused", "outer": "paused"}
    assert records["outer"].wakes_at == pytest.approx(now + 3600, abs=60)
    assert [each.agent for each in due] == ["outer"], "the run around wakes the run within"


async def test_a_sleep_stays_where_nobody_wakes(autojump_clock: Any) -> None:
    """Without `wake_runs` the caller of a sleeping run gets the result, as if it had not slept."""
    async with Runtime() as rt:
        assert (await rt.run(make_sleeper(3600), "go")).content == "rested"


@step
def note_rest(log: str) -> str:
    """Write a line for each rest."""
    with open(log, "a") as file:
        file.write("rested\n")
    return "rested"


def make_callers() -> list[Any]:
    """Make the callers that do not pause with a sleeping workflow: tools, tasks, and background runs."""

    @workflow(name="sleeper")
    async def sleeper(task: str, flow: Flow) -> str:
        await flow.sleep(3600)
        return str(await note_rest(task))

    @workflow(name="starter")
    async def starter(task: str, flow: Flow) -> str:
        run = await flow.start(sleeper, task)
        await flow.sleep(7200)  # the run in the background ends meanwhile
        return str((await run.wait()).content)

    @tool
    async def rest(task: str, context: RunContext) -> str:
        return str((await context.run(sleeper, task)).content)

    def ask(name: str, **arguments: str) -> Callable[[Any], ToolCall]:
        return lambda request: ToolCall("1", name, {**arguments, "task": request.messages[0].text})

    def repeat(request: Any) -> str:
        return str(request.messages[-1].text)

    def agent(name: str, *script: Any, **more: Any) -> Agent:
        return Agent(ScriptedModel([*script, repeat]), name, **more)

    start, collect = ask("start_task", agent="sleeper"), ToolCall("2", "collect_task", {"task": "sleeper-1"})
    delegate, run_task = ask("delegate", member="sleeper"), ask("run_task", agent="sleeper")
    return [
        starter,
        agent("tool", ask("rest"), tools=[rest]),
        agent("stored", ask("rest"), tools=[rest], memory={"journal": True}),
        Team([sleeper], Leader(agent("lead", delegate)), name="team"),
        agent("runner", run_task, tools=[Delegates([sleeper])]),
        agent("planner", start, collect, tools=[Delegates([sleeper], background=True)], memory={"journal": True}),
        agent("ender", start, "ended", tools=[Delegates([sleeper], background=True)], memory={"journal": True}),
    ]


@pytest.mark.parametrize("number", range(7))
async def test_who_cannot_pause_waits_for_a_sleep(number: int, tmp_path: Path, autojump_clock: Any) -> None:
    """Tools and background runs have the result of a sleeping workflow also where runs are woken."""
    memory, caller = InProcessMemory(), make_callers()[number]
    log = tmp_path / "log"
    async with Runtime(memory=memory) as rt:
        rt.wake_runs()
        result = await rt.run(caller, str(log))
        statuses = {each.agent: each.status for each in await memory.runs()}

    assert result.status == "completed"
    assert "rested" in result.content
    assert set(statuses.values()) == {"completed"}
    assert log.read_text() == "rested\n"


async def test_a_short_sleep_stays() -> None:
    """A sleep of a moment does not pause the run."""
    async with Runtime() as rt:
        rt.wake_runs()
        assert (await rt.run(make_sleeper(0.01), "go")).content == "rested"


async def test_a_signal_ends_a_long_wait_at_once() -> None:
    """A wait for a signal with a timeout stays in memory, also where runs are woken: the signal must reach it."""
    memory = InProcessMemory()

    @workflow(name="listener")
    async def listener(flow: Flow) -> str:
        return str(await flow.signal("mail", timeout=3600))

    async with Runtime(memory=memory) as rt:
        rt.wake_runs()
        run = await rt.start(listener, "go")
        await until(memory.runs)
        await rt.signal(run.id, "mail", "hello")
        result = await run.wait()

    assert (result.status, result.content) == ("completed", "hello")


async def test_who_can_wake() -> None:
    """A runtime wakes once, while it is open, and only runnables that it knows."""
    memory = InProcessMemory()
    rt = Runtime(memory=memory)
    with pytest.raises(UsageError, match="not open"):
        rt.wake_runs()
    async with rt:
        rt.wake_runs()
        with pytest.raises(UsageError, match="wakes runs already"):
            rt.wake_runs()


async def test_a_run_that_cannot_go_on_is_told(time_of_day: TimeOfDay) -> None:
    """A due run whose runnable is unusable here is left alone, with one warning."""
    memory = InProcessMemory(time_of_day)

    @workflow(name="asker")
    async def asker(flow: Flow) -> str:
        return str(await flow.ask(Ask(str, "Name?"), expires=3600))

    broken = Agent("no-such-plugin:model", "asker")
    async with Runtime(memory=memory) as rt:
        paused = await rt.run(asker, "go")
    time_of_day.ahead += 3600
    async with Runtime(memory=memory) as rt:
        rt.add(broken)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("ignore")  # others' garbage may be collected now
            warnings.simplefilter("always", RuntimeWarning)
            rt.wake_runs()
            await until(lambda: _as_coroutine(told))
            await trio.testing.wait_all_tasks_blocked()
        record = (await memory.load_run(paused.run_id))[0]

    [warning] = told
    assert f"run '{paused.run_id}' of 'asker' cannot go on by itself" in str(warning.message)
    assert record.status == "paused"


async def _as_coroutine(value: T) -> T:
    return value


WAKER = """
import sys, time
import trio
from agno_rt import Ask, Flow, Runtime, step, workflow
from agno_rt.errors import Unanswered

@step(idempotent=False)
async def note(text: str) -> None:
    with open(sys.argv[2], "a") as log:
        log.write(text + "\\n")

@workflow(name="asker")
async def asker(text: str, flow: Flow) -> str:
    try:
        return await flow.ask(Ask(str, "Name?"), expires=2)
    except Unanswered:
        await note(text)
        return "nobody"

async def main():
    async with Runtime(memory=f"sqlite:///{sys.argv[1]}") as rt:
        rt.add(asker)
        if sys.argv[3] == "begin":
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(rt.run, asker, str(number))
            return
        rt.wake_runs()
        print("ready", flush=True)
        with trio.fail_after(120):
            while await rt.memory.runs(status="paused") or await rt.memory.runs(status="running"):
                await trio.sleep(0.05)

trio.run(main)
"""


async def test_several_processes_wake_each_run_once(tmp_path: Path) -> None:
    """Three processes try to wake the same twenty runs: each run goes on in one of them."""
    program, database, log = tmp_path / "waker.py", tmp_path / "a.db", tmp_path / "log"
    program.write_text(WAKER)
    begin = [sys.executable, str(program), str(database), str(log)]
    await trio.run_process([*begin, "begin"], env=dict(os.environ))
    ended = []

    async def wake() -> None:
        ended.append((await trio.run_process([*begin, "wake"], check=False)).returncode)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wake)
    memory = SQLiteMemory(database)
    records = await memory.runs()
    await memory.aclose()

    assert ended == [0, 0, 0]
    assert Counter(log.read_text().split()) == Counter(str(number) for number in range(20))
    assert {(each.status, each.content) for each in records} == {("completed", "nobody")}


def test_killed_around_a_wake() -> None:
    """Killed at any write of a run that is woken, another runtime wakes or resumes it to the same end."""

    async def scenario(point: KillPoint) -> None:
        memory = InProcessMemory()

        @workflow(name="asker")
        async def asker(flow: Flow) -> str:
            try:
                return str(await flow.ask(Ask(str, "Name?"), expires=0.01))
            except Unanswered:
                return "nobody"

        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                paused = await rt.run(asker, "go")
                rt.wake_runs()
                await wait_for_end(point.memory(memory), paused.run_id)
        async with Runtime(memory=memory) as rt:
            result = await point.finish(rt, asker, "go")
            rt.wake_runs()
            ended = await wait_for_end(memory, result.run_id)
        assert ended.content == "nobody"

    assert kill_everywhere(scenario) >= 3
