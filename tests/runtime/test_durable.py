"""Runs stored step by step: resumed, forked, cancelled by id. Finished work is never repeated."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agno_rt import Agent, Event, Limits, Message, Model, ModelResponse, Output, Runtime, State, ToolCall, Usage, tool
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import (
    AgnoError,
    DeadlineExceeded,
    ModelError,
    NotFound,
    RunCancelled,
    SessionConflict,
    UsageError,
)
from agno_rt.events import RunEnded, RunStarted
from agno_rt.memory import MemoryPolicy, Session
from agno_rt.run_store import Resume, RunConflict
from agno_rt.testing import Faults, Pauses, ScriptedModel, cancel_everywhere, fail_everywhere, run_schedules
from agno_rt.testing.cancelling import CancelPoint
from tests.helpers import Hanging, echo, told


@attrs.define
class Tally:
    """A session's state."""

    count: int = 0


JOURNAL = MemoryPolicy(journal=True)
SCHEDULES = 1_000 if os.environ.get("CI") else 100


def calls(*names: str) -> list[ToolCall]:
    """Make a call of each tool."""
    return [ToolCall(f"c{at}", name, "{}") for at, name in enumerate(names)]


class TestResume:
    """Resuming a run in another runtime on the same store."""

    async def test_after_a_failure(self) -> None:
        """Stored answers and tool results are not requested again."""
        made: list[str] = []

        @tool
        async def note() -> str:
            """Record the call."""
            made.append("note")
            return "noted"

        memory = InProcessMemory()
        agent = Agent(ScriptedModel([calls("note"), ModelError("down")]), "clerk", tools=[note], memory=JOURNAL)
        async with Runtime(memory=memory) as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go", session="s", user="ann")
            run_id = caught.value.result.run_id
            assert [run.status for run in await memory.runs()] == ["failed"]
        with ScriptedModel(["done"]) as model:
            async with Runtime(memory=memory) as rt:
                result = await rt.resume(run_id, attrs.evolve(agent, model=model))
                stored = await memory.load("s")

        assert (result.run_id, result.content, made) == (run_id, "done", ["note"])
        assert [message.text for message in stored.messages] == ["go", "", "noted", "done"]
        assert stored.user == "ann"
        assert [(run.status, run.content, run.owner) for run in await memory.runs()] == [("completed", "done", None)]

    async def test_it_is_shown_what_it_was_shown(self) -> None:
        """A resumed run sees its first system message and history, despite other runs in between."""
        memory = InProcessMemory()
        first = Agent(ScriptedModel(["one"]), "clerk", "Be.", memory=MemoryPolicy(2, journal=True))
        failing = attrs.evolve(first, model=ScriptedModel([calls("echo"), ModelError("down")]), tools=[echo])
        async with Runtime(memory=memory) as rt:
            await rt.run(first, "a", session="s")
            with pytest.raises(ModelError) as caught:
                await rt.run(failing, "b", session="s")
            await rt.run(attrs.evolve(first, model=ScriptedModel(["between"])), "c", session="s")
            with ScriptedModel(["done"]) as model:
                changed = attrs.evolve(failing, model=model, instructions="Be other.")
                await rt.resume(caught.value.result.run_id, changed)
            texts = [message.text for message in (await memory.load("s")).messages]

        assert [message.text for message in model.requests[0].messages] == ["Be.", "a", "one", "b", "", ""]
        assert texts == ["a", "one", "c", "between", "b", "", "", "done"]

    async def test_usage_and_budgets_go_on(self) -> None:
        """A budget spent in an earlier process stays spent."""
        response = ModelResponse(tool_calls=calls("echo"), usage=Usage(50, 10))
        agent = Agent(
            ScriptedModel([response, ModelError("down")]), "a", tools=[echo], memory=JOURNAL, limits=Limits(tokens=100)
        )
        memory = InProcessMemory()
        async with Runtime(memory=memory) as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go")
            again = attrs.evolve(agent, model=ScriptedModel([attrs.evolve(response, usage=Usage(40, 5))]))
            with pytest.raises(AgnoError, match="105 of 100") as spent:
                await rt.resume(caught.value.result.run_id, again)

        assert spent.value.result.usage == Usage(90, 15)

    async def test_the_state_goes_on(self) -> None:
        """Changes of the session's state by tools are restored, and stored at the end."""

        @tool
        async def add(tally: State[Tally]) -> str:
            """Count."""
            tally.count += 1
            return str(tally.count)

        policy = MemoryPolicy(journal=True, state=Tally)
        agent = Agent(ScriptedModel([calls("add"), ModelError("down")]), "a", tools=[add], memory=policy)
        async with Runtime() as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go", session="s")
            result = await rt.resume(
                caught.value.result.run_id, attrs.evolve(agent, model=ScriptedModel([calls("add"), "done"]))
            )
            after = await rt.run(attrs.evolve(agent, model=ScriptedModel(["x"])), "more", session="s")

        assert told(result) == ["1", "2"]
        assert result.state == after.state == Tally(2)

    async def test_a_state_that_was_changed_meanwhile_is_a_conflict(self) -> None:
        """A state changed by another run makes the resumed run a conflict, and nothing is stored."""
        policy = MemoryPolicy(journal=True, state=dict)
        agent = Agent(ScriptedModel([ModelError("down")]), "a", memory=policy)
        async with Runtime() as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go", session="s")
            await rt.run(attrs.evolve(agent, model=ScriptedModel(["x"])), "other", session="s")
            with pytest.raises(SessionConflict, match="changed by another run"):
                await rt.resume(caught.value.result.run_id, attrs.evolve(agent, model=ScriptedModel([])))

    async def test_a_deadline(self, autojump_clock: trio.testing.MockClock) -> None:
        """A run stopped by a deadline can be resumed."""
        agent = Agent(Hanging(), "a", memory=JOURNAL, limits=Limits(run_timeout=5))
        async with Runtime() as rt:
            with pytest.raises(DeadlineExceeded) as caught:
                await rt.run(agent, "go")
            run_id = caught.value.result.run_id
            assert (await rt.memory.load_run(run_id))[0].status == "limited"  # type: ignore[attr-defined]
            result = await rt.resume(run_id, attrs.evolve(agent, model=ScriptedModel(["done"])))

        assert result.content == "done"

    async def test_output_and_its_check(self) -> None:
        """Earlier invalid attempts count, and a checked answer is not checked again."""
        checked: list[int] = []

        def check(value: int) -> str | None:
            checked.append(value)
            return None if value > 1 else "too small"

        output = Output(int, check=check)
        agent = Agent(ScriptedModel(["no", "1", ModelError("down")]), "a", output=output, memory=JOURNAL)
        async with Runtime() as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go")
            result = await rt.resume(caught.value.result.run_id, attrs.evolve(agent, model=ScriptedModel(["2"])))

        assert (result.output, checked) == (2, [1, 2])

    async def test_streamed_and_in_the_background(self) -> None:
        """Events of a resumed run begin with a `RunStarted` marked as resumed, and end once."""
        agent = Agent(ScriptedModel([ModelError("down")]), "a", memory=JOURNAL)
        async with Runtime() as rt:
            ids = []
            for _ in range(2):
                with pytest.raises(ModelError) as caught:
                    await rt.run(attrs.evolve(agent, model=ScriptedModel([ModelError("down")])), "go", session="s")
                ids.append(caught.value.result.run_id)
            async with rt.stream(attrs.evolve(agent, model=ScriptedModel(["done"])), Resume(ids[0])) as stream:
                events = [event async for event in stream]
            run = await rt.start(attrs.evolve(agent, model=ScriptedModel(["done"])), Resume(ids[1]))
            result = await run.wait()

        assert (stream.run_id, result.run_id) == tuple(ids)
        assert {event.run_id for event in events} == {ids[0]}
        assert isinstance(events[0], RunStarted)
        assert events[0].resumed
        assert events[0].input == "go"
        assert isinstance(events[-1], RunEnded)

    async def test_what_cannot_be_resumed(self) -> None:
        """An unknown run, a completed run, an unknown agent and an extra session are errors."""
        agent = Agent(ScriptedModel(["done"]), "a", memory=JOURNAL)
        async with Runtime() as rt:
            run_id = (await rt.run(agent, "go")).run_id
            with pytest.raises(NotFound, match="nope"):
                await rt.resume("nope", agent)
            with pytest.raises(RunConflict, match="completed"):
                await rt.resume(run_id, agent)
            with pytest.raises(UsageError, match="a session of its own"):
                await rt.run(agent, Resume(run_id), session="s")
            memory = rt.memory
            async with Runtime(memory=memory) as other:
                with pytest.raises(NotFound, match="unknown agent 'a'"):
                    await other.resume(run_id)
                other.add(agent)
                with pytest.raises(RunConflict, match="completed"):
                    await other.resume(run_id)

    async def test_an_agent_that_cannot_run_takes_nothing(self) -> None:
        """A wrong agent is an error that leaves the run free, so that a later resume goes on."""
        agent = Agent(ScriptedModel([ModelError("down")]), "a", memory=JOURNAL)
        async with Runtime() as rt:
            with pytest.raises(ModelError) as caught:
                await rt.run(agent, "go", session="s")
            run_id = caught.value.result.run_id
            for wrong in (attrs.evolve(agent, model="nope:x"), attrs.evolve(agent, tools="echo")):
                with pytest.raises(UsageError):
                    await rt.resume(run_id, wrong)
                assert [(run.status, run.owner) for run in await rt.memory.runs()] == [("failed", None)]  # type: ignore[attr-defined]

            @tool
            async def again() -> str:
                """Resume a run whose session is in use here."""
                with pytest.raises(UsageError, match="in use"):
                    await rt.run(attrs.evolve(agent, model=ScriptedModel([])), Resume(run_id))
                return "in use"

            outer = Agent(ScriptedModel([calls("again"), "ok"]), "b", tools=[again])
            assert told(await rt.run(outer, "go", session="s")) == ["in use"]
            result = await rt.resume(run_id, attrs.evolve(agent, model=ScriptedModel(["done"])))

        assert result.content == "done"

    async def test_two_at_once(self) -> None:
        """Two concurrent resumes give one result at most, and a conflict."""
        memory = InProcessMemory()
        agent = Agent(ScriptedModel([ModelError("down")]), "a", memory=JOURNAL)
        async with Runtime(memory=memory) as one, Runtime(memory=memory) as two:
            with pytest.raises(ModelError) as caught:
                await one.run(agent, "go")
            run_id = caught.value.result.run_id
            outcomes: list[str] = []

            async def resume(rt: Runtime) -> None:
                try:
                    result = await rt.resume(run_id, attrs.evolve(agent, model=ScriptedModel(["done"])))
                    outcomes.append(result.content)
                except RunConflict:
                    outcomes.append("told")

            for pair in ((one, two), (one, one)):
                outcomes.clear()
                async with trio.open_nursery() as nursery:
                    for rt in pair:
                        nursery.start_soon(resume, rt)
                assert sorted(outcomes) in (["done", "told"], ["told", "told"])

    async def test_a_backend_that_stores_no_runs(self) -> None:
        """A backend without runs is named before anything starts."""

        class Plain:
            async def load(self, session: str, last: int | None = None) -> Any:
                return Session(session)

            async def append(self, session: str, messages: Any, **more: Any) -> int:
                return 1

            async def sessions(self, **more: Any) -> list[Any]:
                return []

            async def session_info(self, session: str) -> None:
                return None

            async def rename(self, session: str, title: str) -> bool:
                return False

            async def delete(self, session: str) -> bool:
                return False

            async def aclose(self) -> None:
                return None

        async with Runtime(memory=Plain()) as rt:
            with pytest.raises(UsageError, match="Plain stores no runs"):
                await rt.run(Agent(ScriptedModel([]), memory=JOURNAL), "go")


class TestUnderWay:
    """Calls cut off by the end of the process."""

    @pytest.mark.parametrize("idempotent", [True, False])
    async def test_only_what_is_idempotent_is_made_again(self, idempotent: bool) -> None:
        """An idempotent call is repeated. The model is told of any other unfinished call; a finished call is never
        repeated."""
        made: Counter[str] = Counter()
        go = trio.Event()

        @tool(idempotent=idempotent)
        async def slow() -> str:
            """Take long."""
            made["slow"] += 1
            await go.wait()
            return "slow"

        @tool
        async def quick() -> str:
            """Be quick."""
            made["quick"] += 1
            return "quick"

        memory = InProcessMemory()
        agent = Agent(ScriptedModel([calls("slow", "quick")]), "a", tools=[slow, quick], memory=JOURNAL)
        async with Runtime(memory=memory) as rt:
            run = await rt.start(agent, "go")
            await wait_all_tasks_blocked()
            run.cancel()
            await run.wait()
            go.set()
            result = await rt.resume(run.id, attrs.evolve(agent, model=ScriptedModel(["done"])))

        assert made == {"slow": 2 if idempotent else 1, "quick": 1}
        first, second = told(result)
        assert second == "quick"
        assert first == "slow" if idempotent else "not known" in first


class TestCancel:
    """Cancelling runs by id."""

    async def test_here(self) -> None:
        """A cancelled run in the caller's task ends with `RunCancelled`, and can be resumed."""
        async with Runtime() as rt:
            agent = Agent(Hanging(), "a", memory=JOURNAL)
            caught: list[RunCancelled] = []

            async def ask() -> None:
                with pytest.raises(RunCancelled) as error:
                    await rt.run(agent, "go")
                caught.append(error.value)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await wait_all_tasks_blocked()
                [record] = await rt.memory.runs()  # type: ignore[attr-defined]
                assert await rt.cancel(record.id)
            assert caught[0].result.status == "cancelled"
            assert not (await rt.memory.load_run(record.id))[0].owner  # type: ignore[attr-defined]
            result = await rt.resume(record.id, attrs.evolve(agent, model=ScriptedModel(["done"])))
            assert result.content == "done"
            assert not await rt.cancel(record.id)

    async def test_from_elsewhere(self, autojump_clock: trio.testing.MockClock) -> None:
        """A runtime cancels a run of another one through the store, checked every second."""
        memory = InProcessMemory()
        async with Runtime(memory=memory) as one, Runtime(memory=memory) as two:
            run = await one.start(Agent(Hanging(), "a", memory=JOURNAL), "go")
            await wait_all_tasks_blocked()
            assert await two.cancel(run.id)
            assert (await run.wait()).status == "cancelled"
            with pytest.raises(NotFound):
                await two.cancel("nope")

    async def test_of_a_run_that_begins_as_the_last_one_is_forgotten(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A run that begins in the moment in which the runtime stops looking into the store is found there, too."""

        class Telling(InProcessMemory):
            """A memory that tells of a look for requests to no run: the last one of a runtime without runs."""

            lease_seconds = 60.0

            def __init__(self) -> None:
                super().__init__()
                self.last_look = trio.Event()

            async def count_signals(self, runs: Sequence[str]) -> dict[str, int]:
                counts = await super().count_signals(runs)
                if not runs:
                    self.last_look.set()
                return counts

        async def be_slow(_: object) -> str:
            await trio.sleep(0.5)
            return "done"

        for _ in range(10):
            memory = Telling()
            async with Runtime(memory=memory) as one, Runtime(memory=memory) as two, trio.open_nursery() as nursery:

                async def run_next(one: Runtime = one, memory: Telling = memory) -> None:
                    await memory.last_look.wait()
                    with trio.fail_after(60), pytest.raises(RunCancelled):
                        await one.run(Agent(Hanging(), "b", memory=JOURNAL), "go")

                nursery.start_soon(run_next)
                await one.run(Agent(ScriptedModel([be_slow]), "a", memory=JOURNAL), "go")
                await memory.last_look.wait()
                await wait_all_tasks_blocked()
                [record] = await memory.runs(status="running")
                assert await two.cancel(record.id)


class TestFork:
    """Forks of stored runs."""

    async def test_from_any_step(self) -> None:
        """A fork has the steps up to the given one, and the first run stays unchanged."""
        script: Sequence[Any] = [calls("echo"), calls("echo"), "done"]
        agent = Agent(ScriptedModel(script), "a", tools=[echo], memory=JOURNAL)
        async with Runtime() as rt:
            first = await rt.run(agent, "go", session="s")
            _, entries = await rt.memory.load_run(first.run_id)  # type: ignore[attr-defined]
            for at in range(1, len(entries) + 1):
                fork = await rt.fork(first.run_id, at)
                seen = sum(entry.kind == "answered" for entry in entries[:at])
                model = ScriptedModel(script[seen:])
                result = await rt.resume(fork, attrs.evolve(agent, model=model))
                model.check()
                assert result.content == "done"
                assert (await rt.memory.load_run(fork))[0].origin == first.run_id  # type: ignore[attr-defined]
            for nowhere in (0, -1, len(entries) + 1):
                with pytest.raises(UsageError, match="cannot be forked"):
                    await rt.fork(first.run_id, nowhere)


@attrs.define
class Seen:
    """A record of tool calls over all processes."""

    finished: Counter[str] = attrs.Factory(Counter)


def scenario_agent(model: Model, seen: Seen, wrap: Faults | Pauses | None = None) -> Agent:
    """Make an agent with counting parallel tools, a state and a journal."""

    @tool
    async def one() -> str:
        """Count the call after a checkpoint."""
        await trio.lowlevel.checkpoint()
        seen.finished["one"] += 1
        return "one"

    @tool
    async def two() -> str:
        """Count the call before a checkpoint."""
        seen.finished["two"] += 1
        await trio.lowlevel.checkpoint()
        return "two"

    tools = [one, two]
    if wrap is not None:
        model, tools = wrap.model(model), [*map(wrap.tool, tools)]
    return Agent(model, "everything", "Be.", tools, None, MemoryPolicy(journal=True, state=dict))


def answers(request: Any) -> Any:
    """Return two calls, then an answer, for any number of requests."""
    return "done" if request.messages[-1].role == "tool" else calls("one", "two")


async def goes_on(memory: InProcessMemory, seen: Seen, run_id: str | None = None) -> None:
    """Check that the stored run is readable and resumable, and that no finished call is repeated."""
    records = await memory.runs()
    if not records:
        return
    [record] = records
    recorded = [entry for entry in (await memory.load_run(record.id))[1] if entry.kind == "called"]
    before = dict(seen.finished)
    async with Runtime(memory=memory) as rt:
        if record.status != "completed":
            result = await rt.resume(record.id, scenario_agent(ScriptedModel(answers), seen))
            assert result.content == "done"
            assert len(told(result)) == 2
        again = {name: seen.finished[name] - before.get(name, 0) for name in ("one", "two")}
        assert sum(again.values()) <= 2 - len(recorded), (again, recorded)
        assert all(count <= 1 for count in seen.finished.values()), seen.finished
        messages = (await memory.load("s")).messages
        assert [message.role for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]


def test_cancelled_at_every_step() -> None:
    """A run with a journal, cancelled at any step, leaves a readable and resumable state."""

    async def scenario(point: CancelPoint) -> None:
        seen, memory, pauses = Seen(), InProcessMemory(), Pauses()
        events: list[Event] = []
        async with Runtime(memory=pauses.memory(memory), observers=[events.append]) as rt:
            with point:
                await rt.run(scenario_agent(ScriptedModel(answers), seen, pauses), "go", session="s")
            assert sum(isinstance(event, RunEnded) for event in events) == sum(
                isinstance(event, RunStarted) for event in events
            )
        await goes_on(memory, seen)

    cancel_everywhere(scenario, at_least=30, virtual=True)


def test_failing_at_every_call() -> None:
    """A failure of model, tool or store, before or after the work, leaves a readable and resumable state."""

    async def scenario(faults: Faults) -> None:
        seen, memory = Seen(), InProcessMemory()
        async with Runtime(memory=faults.memory(memory)) as rt:
            try:
                result = await rt.run(scenario_agent(ScriptedModel(answers), seen, faults), "go", session="s")
                assert result.content == "done"
            except AgnoError:
                pass
        await goes_on(memory, seen)

    fail_everywhere(scenario, at_least=15, virtual=True)


def test_two_resumes_under_many_schedules() -> None:
    """Exactly one of two concurrent resumes carries out the run, in any order of tasks."""

    async def scenario() -> None:
        seen, memory, pauses = Seen(), InProcessMemory(), Pauses()
        store = pauses.memory(memory)
        async with Runtime(memory=store) as one, Runtime(memory=store) as two:
            run = await one.start(scenario_agent(Hanging(), seen), "go", session="s")
            while not await memory.runs():
                await trio.lowlevel.checkpoint()
            run.cancel()
            await run.wait()
            outcomes: list[str] = []

            async def resume(rt: Runtime) -> None:
                try:
                    agent = scenario_agent(ScriptedModel(answers), seen, pauses)
                    outcomes.append((await rt.resume(run.id, agent)).content)
                except RunConflict:
                    outcomes.append("told")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(resume, one)
                nursery.start_soon(resume, two)
            assert sorted(outcomes) == ["done", "told"]
        assert seen.finished == {"one": 1, "two": 1}

    assert run_schedules(scenario, SCHEDULES) == SCHEDULES


async def test_on_a_file(tmp_path: Path) -> None:
    """A run stored in SQLite is resumed from the file by another runtime."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    agent = Agent(ScriptedModel([calls("echo"), ModelError("down")]), "a", tools=[echo], memory=JOURNAL)
    async with Runtime(memory=url) as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(agent, "go", session="s")
    async with Runtime(memory=url) as rt:
        result = await rt.resume(caught.value.result.run_id, attrs.evolve(agent, model=ScriptedModel(["done"])))
        messages = (await rt.memory.load("s")).messages

    assert result.content == "done"
    assert messages == [Message("user", "go"), *result.messages[1:]]
