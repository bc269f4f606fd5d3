"""Workflows that go on with a new journal: `flow.again`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Ask, Flow, ModelRequest, ModelResponse, Runtime, Usage, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.defaults.sqlite import SQLiteMemory
from agno_rt.errors import LimitExceeded, NotFound, UsageError
from agno_rt.run_store import Renewal, RunConflict
from agno_rt.steps import read_steps
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere, run_schedules


def make_counter(log: list[int]) -> Any:
    """Make a workflow that counts down, one journal for each number."""

    @step(idempotent=True)
    async def note(number: int) -> int:
        log.append(number)
        return number

    @workflow(name="counter")
    async def counter(number: int, flow: Flow) -> str:
        await note(number)
        if number:
            return flow.again(number - 1)
        return f"done after {await note(-1)}"

    return counter


async def list_chain(store: Any, run: str) -> list[str]:
    """Return the ids of the runs with the earlier journals of a run, the last one first."""
    found = []
    record = (await store.load_run(run))[0]
    while record.continues is not None:
        found.append(record.continues)
        record = (await store.load_run(record.continues))[0]
    return found


async def test_a_run_goes_on_with_a_new_journal() -> None:
    """The caller gets the last result; the run keeps its id; each journal has its own steps, and names the next."""
    log: list[int] = []
    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        result = await rt.run(make_counter(log), "3")
        record, entries = await memory.load_run(result.run_id)
        chain = await list_chain(memory, result.run_id)
        archives = [await memory.load_run(each) for each in chain]

    assert (result.status, result.content) == ("completed", "done after -1")
    assert log == [3, 2, 1, 0, -1]
    assert (record.status, record.input, record.content) == ("completed", "0", "done after -1")
    assert [each.name for each in read_steps(entries) if each.kind == "step_ended"] == ["note#1", "note#2"]
    assert chain == [f"{result.run_id}~{number}" for number in (3, 2, 1)]
    assert [archive.input for archive, _ in archives] == ["1", "2", "3"]
    assert [archive.continued_by for archive, _ in archives] == [result.run_id, *chain[:2]]
    assert [[each.kind for each in steps] for _, steps in archives] == [["begun", "step_ended", "ended"]] * 3


async def test_a_journal_stays_short() -> None:
    """The journal of a run that begins again 200 times has the entries of one round, whatever came before."""
    log: list[int] = []
    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        result = await rt.run(make_counter(log), "200")
        lengths = {each.entries for each in await memory.runs(limit=1000)}

    assert log == [*range(200, -1, -1), -1]
    assert result.status == "completed"
    assert lengths == {3, 4}


def test_killed_at_every_write() -> None:
    """Killed at each write and resumed, the run gives the same result, and no finished step is done again."""

    async def scenario(point: KillPoint) -> None:
        log: list[int] = []
        counter = make_counter(log)
        backend = InProcessMemory()
        with point:
            async with Runtime(memory=point.memory(backend)) as rt:
                await rt.run(counter, "3")
        async with Runtime(memory=backend) as rt:
            result = await point.finish(rt, counter, "3")
        assert result.content == "done after -1"
        # A step whose result was not stored yet is done once more, and no other.
        assert list(dict.fromkeys(log)) == [3, 2, 1, 0, -1]
        assert len(log) <= 6

    assert kill_everywhere(scenario) == 10


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_acknowledged_signals_are_received(kind: str, tmp_path: Path) -> None:
    """Of 200 signals sent while the run begins again after each, every acknowledged one is received, once, in order."""
    backend: Any = InProcessMemory() if kind == "memory" else SQLiteMemory(tmp_path / "a.db", synchronous="normal")
    received: list[int] = []

    @workflow(name="inbox")
    async def inbox(left: int, flow: Flow) -> str:
        received.append(await flow.signal("mail"))
        return flow.again(left - 1) if left > 1 else "full"

    async with Runtime(memory=backend) as rt:
        run = await rt.start(inbox, "200")
        acknowledged: list[int] = []

        async def send() -> None:
            at = 0
            while len(acknowledged) < 200:
                try:
                    await rt.signal(run.id, "mail", at)
                except NotFound:
                    await trio.lowlevel.checkpoint()  # the run is not stored yet
                    continue
                acknowledged.append(at)
                at += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            result = await run.wait()
            while result.status == "paused":
                result = await rt.resume(run.id, inbox)
        with pytest.raises(RunConflict):
            await rt.signal(run.id, "mail", 200)
    if kind == "sqlite":
        await backend.aclose()

    assert result.content == "full"
    assert received == acknowledged == list(range(200))


async def test_other_signals_are_carried_over() -> None:
    """Signals that a journal did not receive are left for the next ones, through a restart as well."""
    memory = InProcessMemory()

    @workflow(name="sorter")
    async def sorter(round: int, flow: Flow) -> Any:
        if round == 1:
            await flow.signal("a")
            return flow.again(2)
        return [await flow.signal("b"), await flow.signal("c")]

    async with Runtime(memory=memory) as rt:
        run = (await rt.run(sorter, "1")).run_id
        for name, value in (("b", 1), ("a", 2), ("b", 3)):
            await rt.signal(run, name, value)
        paused = await rt.resume(run, sorter)
        await rt.signal(run, "c", 4)
    async with Runtime(memory=memory) as rt:
        result = await rt.resume(run, sorter)

    assert paused.status == "paused"
    assert result.output == [1, 4]


async def test_questions_and_children_belong_to_their_journal() -> None:
    """A question at the same place of the next journal is a new question, and a run within it a new run."""
    memory = InProcessMemory()

    @workflow(name="helper")
    async def helper(text: str, flow: Flow) -> str:
        return f"{text} {await flow.ask(Ask(str, f'what about {text}?'))}"

    @workflow(name="asker")
    async def asker(text: str, flow: Flow) -> str:
        result = await flow.run(helper, text)
        return result.content if text == "two" else flow.again("two")

    async with Runtime(memory=memory) as rt:
        first = await rt.run(asker, "one")
        await rt.answer(first.approvals[0].id, "yes")
        second = await rt.resume(first.run_id, asker)
        with pytest.raises(UsageError):
            await rt.answer(first.approvals[0].id, "late")
        await rt.answer(second.approvals[0].id, "no")
        third = await rt.resume(first.run_id, asker)
        children = [each for each in await memory.runs() if each.agent == "helper"]

    assert first.approvals[0].id != second.approvals[0].id
    assert [each.reason for each in (*first.approvals, *second.approvals)] == [
        "what about one?",
        "what about two?",
    ]
    assert third.content == "two no"
    assert {each.parent for each in children} == {first.run_id, f"{first.run_id}~1"}


async def test_usage_and_budgets_are_the_runs() -> None:
    """The usage of all journals is the run's, and counts towards its budget, also after a restart."""
    memory = InProcessMemory()
    echo = Agent(ScriptedModel([ModelResponse("ok", usage=Usage(10, 0))] * 9), name="echo")

    @workflow(name="spender", limits={"tokens": 45})
    async def spender(left: int, flow: Flow) -> str:
        await flow.run(echo, "hi")
        if left == 3 and not await flow.ask(Ask(bool, "go on?")):
            return "no"
        return flow.again(left - 1) if left else "done"

    async with Runtime(memory=memory) as rt:
        paused = await rt.run(spender, "5")
        await rt.answer(paused.approvals[0].id, True)
    async with Runtime(memory=memory) as rt:
        with pytest.raises(LimitExceeded) as caught:
            await rt.resume(paused.run_id, spender)

    assert paused.usage.total_tokens == 30
    assert caught.value.result is not None
    assert caught.value.result.usage.total_tokens == 50


async def test_a_run_within_begins_again() -> None:
    """A run within a workflow begins again by itself; the workflow gets its last result."""
    log: list[int] = []
    counter = make_counter(log)

    @workflow(name="around")
    async def around(text: str, flow: Flow) -> str:
        return (await flow.run(counter, 2)).content

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        result = await rt.run(around, "go")
        deleted = await memory.delete_run(result.run_id)
        left = await memory.runs()

    assert result.content == "done after -1"
    assert log == [2, 1, 0, -1]
    assert deleted
    assert left == []


async def test_again_without_a_journal() -> None:
    """A run that is not stored begins again as well."""

    @workflow(name="plain", memory={})
    async def plain(left: int, flow: Flow) -> str:
        return flow.again(left - 1) if left else "done"

    async with Runtime() as rt:
        assert (await rt.run(plain, "100")).content == "done"


def test_any_schedule_gives_the_same() -> None:
    """Branches, signals and rounds in any order of tasks: each signal is received once."""

    async def scenario() -> None:
        @workflow(name="both")
        async def both(left: int, flow: Flow) -> Any:
            async with flow.group("two") as group:
                for _ in range(2):
                    group.start(flow.signal, "mail")
            got.extend(group.results)
            return flow.again(left - 1) if left > 1 else "full"

        got: list[int] = []
        memory = InProcessMemory()
        async with Runtime(memory=memory) as rt:
            run = await rt.start(both, "3")

            async def send(first: int) -> None:
                for at in range(first, first + 3):
                    while True:
                        try:
                            await rt.signal(run.id, "mail", at)
                            break
                        except NotFound:
                            await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, 0)
                nursery.start_soon(send, 3)
            result = await run.wait()
            while result.status == "paused":
                result = await rt.resume(run.id, both)
        assert sorted(got) == list(range(6))

    run_schedules(scenario, 20)


class Renewing(InProcessMemory):
    """A memory that calls the test just before and just after each new journal."""

    def __init__(self, call: Callable[[str, str], Awaitable[None]]) -> None:
        super().__init__()
        self.call = call

    async def renew_run(self, run: str, renewal: Renewal, *, owner: str) -> None:
        await self.call(run, "before")
        await super().renew_run(run, renewal, owner=owner)
        await self.call(run, "after")


@pytest.mark.parametrize("times", [("before",), ("after",), ("before", "after")])
async def test_a_message_around_a_new_journal_is_received_once(times: tuple[str, ...]) -> None:
    """A message that comes as the flow goes on with a new journal reaches the next run within, and no later one."""
    requests: list[list[str]] = []
    sent: list[str] = []

    def answer(request: ModelRequest) -> str:
        requests.append([message.text for message in request.messages if message.role == "user"])
        return "done"

    child = Agent(ScriptedModel([answer] * 20), "child", memory={"journal": True})

    @workflow(name="rounds")
    async def rounds(left: int, flow: Flow) -> str:
        await flow.run(child, f"round {left}")
        return flow.again(left - 1) if left else "over"

    async def send(run: str, time: str) -> None:
        if time in times and len(sent) < len(times):
            sent.append(f"sent {time}")
            assert await rt.send(run, sent[-1]) == "running"

    async with Runtime(memory=Renewing(send)) as rt:
        result = await rt.run(rounds, "3")

    assert result.content == "over"
    assert sent == [f"sent {time}" for time in times]
    received = [text for request in requests for text in request if text.startswith("sent")]
    assert received == sent
    assert requests == [["round 3"], ["round 2", *sent], ["round 1"], ["round 0"]]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_acknowledged_messages_are_received(kind: str, tmp_path: Path) -> None:
    """Of the messages sent while the run begins again and again, every acknowledged one is in a request, once."""
    backend: Any = InProcessMemory() if kind == "memory" else SQLiteMemory(tmp_path / "a.db", synchronous="normal")
    received: list[str] = []
    requests: list[list[str]] = []
    acknowledged: list[str] = []
    is_last = trio.Event()

    def answer(request: ModelRequest) -> str:
        texts = [message.text for message in request.messages if message.role == "user"]
        received.extend(text for text in texts if text not in received and text.startswith("sent"))
        requests.append(texts)
        return "done"

    child = Agent(ScriptedModel([answer] * 1000), "child")

    @workflow(name="rounds")
    async def rounds(left: int, flow: Flow) -> str:
        if not left:
            await is_last.wait()
        await flow.run(child, f"round {left}")
        return flow.again(left - 1) if left else "over"

    async with Runtime(memory=backend) as rt:
        run = await rt.start(rounds, "20")

        async def send() -> None:
            while len(acknowledged) < 40:
                try:
                    await rt.send(run.id, f"sent {len(acknowledged)}")
                except NotFound:  # the run has not been stored yet
                    await trio.lowlevel.checkpoint()
                    continue
                acknowledged.append(f"sent {len(acknowledged)}")
            is_last.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
        assert (await run.wait()).content == "over"

    assert received == acknowledged
    # A message stays in the later requests of its run within, and is in no other run.
    rounds_of = [{request[0] for request in requests if text in request} for text in acknowledged]
    assert [len(each) for each in rounds_of] == [1] * 40
