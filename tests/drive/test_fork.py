"""Forks of a workflow's run with another input, and with another result of a step."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from agno_rt import Agent, Ask, Flow, ModelRequest, Runtime, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import JournalMismatch, NotFound, UsageError
from agno_rt.run_store import Entry, RunRecord
from agno_rt.testing import ScriptedModel


class Work:
    """A step that notes its arguments."""

    def __init__(self) -> None:
        self.done: list[str] = []

        @step
        async def work(text: str) -> str:
            self.done.append(text)
            return f"<{text}>"

        self.step = work

    def take(self) -> list[str]:
        """Return the arguments since the last call, sorted: branches go on in any order."""
        done = sorted(self.done)
        self.done.clear()
        return done


async def load(memory: InProcessMemory, run: str) -> tuple[RunRecord, list[Entry]]:
    """Return a run as stored."""
    return await memory.load_run(run)


async def test_another_input() -> None:
    """Steps with other arguments are taken again, and what follows them in their branch; the source stays as it was."""
    work, memory = Work(), InProcessMemory()

    async def branch(name: str, text: str) -> str:
        return await work.step(text) + await work.step(f"after {name}")

    @workflow
    async def flow_of(topic: str, flow: Flow) -> str:
        await work.step("first")
        async with flow.group("two") as two:
            two.start(branch, "same", "constant", key="same")
            two.start(branch, "other", topic, key="other")
        await work.step("last")
        return "".join(two.results)

    async with Runtime(memory=memory) as rt:
        run = (await rt.run(flow_of, "cats")).run_id
        assert work.take() == ["after other", "after same", "cats", "constant", "first", "last"]
        before = await load(memory, run)
        fork = await rt.fork(run, input="dogs")
        assert (await load(memory, fork))[0].input == "dogs"
        result = await rt.resume(fork)
        assert result.content == "<constant><after same><dogs><after other>"
        assert work.take() == ["after other", "dogs", "last"]
        # A fork of the fork, with the input of the first run, takes the changed steps only, too.
        again = await rt.resume(await rt.fork(fork, input="cats"))
        assert (again.content, work.take()) == (
            "<constant><after same><cats><after other>",
            ["after other", "cats", "last"],
        )
        assert await load(memory, run) == before


async def test_the_same_input_and_a_place() -> None:
    """With the same input only the step at the place is taken again, and what follows."""
    work = Work()

    @workflow
    async def flow_of(topic: str, flow: Flow) -> str:
        return await work.step(await work.step(topic))

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "a")).run_id
        work.take()
        assert (await rt.resume(await rt.fork(run, "work#2", input="a"))).content == "<<a>>"
        assert work.take() == ["<a>"]
        assert (await rt.resume(await rt.fork(run, "work#2", input="b"))).content == "<<b>>"
        assert work.take() == ["<b>", "b"]


async def test_another_way() -> None:
    """A workflow that does other steps for another input is not refused, and takes them."""
    work = Work()

    @step
    async def other(text: str) -> str:
        work.done.append(f"other {text}")
        return text

    @workflow
    async def flow_of(topic: str, flow: Flow) -> str:
        await work.step("begin")
        value = await (work.step("a") if topic == "a" else other("b"))
        await work.step("end")
        return value

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "a")).run_id
        work.take()
        assert (await rt.resume(await rt.fork(run, input="b"))).content == "b"
        assert work.take() == ["end", "other b"]


@pytest.mark.parametrize("fails_at", ["dogs", "after", "last"])
async def test_a_fork_that_fails_goes_on(fails_at: str) -> None:
    """A fork with another input that fails at a step takes no finished step of its own again, and none of its source's
    that follow a changed one."""
    done: list[str] = []
    fails: list[bool] = []

    @step
    async def work(text: str) -> str:
        if text == fails_at and fails:
            fails.pop()
            raise ValueError(text)
        done.append(text)
        return text

    @workflow
    async def flow_of(topic: str, flow: Flow) -> list[str]:
        return [await work(text) for text in ("first", topic, "after", "last")]

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "cats")).run_id
        done.clear()
        fails.append(True)
        fork = await rt.fork(run, input="dogs")
        with pytest.raises(Exception, match=fails_at):
            await rt.resume(fork)
        assert (await rt.resume(fork)).output == ["first", "dogs", "after", "last"]
        assert done == ["dogs", "after", "last"]


async def test_own_steps_are_still_compared() -> None:
    """Code that changes between two processes of the fork is a mismatch, as in any run."""
    texts = ["own"]

    @step
    async def work(text: str) -> str:
        return text

    @workflow
    async def flow_of(topic: str, flow: Flow) -> str:
        await work(topic)
        await work(texts[0])
        return str(await flow.ask(Ask(bool, "Go on?")))

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "cats")).run_id
        fork = await rt.fork(run, input="dogs")
        assert (await rt.resume(fork)).status == "paused"
        texts[0] = "changed"
        with pytest.raises(JournalMismatch, match="work#2"):
            await rt.resume(fork)


async def test_a_person_is_asked_again() -> None:
    """An answer to a question after a changed step does not count: it was given for something else."""
    work = Work()

    @workflow
    async def flow_of(topic: str, flow: Flow) -> bool:
        await work.step(topic)
        return bool(await flow.ask(Ask(bool, "Publish?")))

    async with Runtime() as rt:
        paused = await rt.run(flow_of, "cats")
        await rt.answer(paused.approvals[0].id, True)
        assert (await rt.resume(paused.run_id)).output is True
        fork = await rt.resume(await rt.fork(paused.run_id, input="dogs"))
        assert fork.status == "paused"
        await rt.answer(fork.approvals[0].id, False)
        assert (await rt.resume(fork.run_id)).output is False


async def test_another_result() -> None:
    """The step at the place has the given result without being called; what follows is taken again."""
    work, memory = Work(), InProcessMemory()

    @workflow
    async def flow_of(flow: Flow) -> str:
        return await work.step(await work.step(await work.step("a")))

    async with Runtime(memory=memory) as rt:
        run = (await rt.run(flow_of, "go")).run_id
        work.take()
        before = await load(memory, run)
        forks = [await rt.fork(run, "work#2", result="mine") for _ in range(2)]
        assert [(await rt.resume(fork)).content for fork in forks] == ["<mine>", "<mine>"]
        assert work.take() == ["mine", "mine"]
        assert await load(memory, run) == before


@pytest.mark.parametrize("result", ["short", {"title": "short"}])
async def test_another_answer_of_a_run_within(result: Any) -> None:
    """The answer of a run within is a text or an output; no model is asked for it again."""
    asked: list[str] = []

    def answer(request: ModelRequest) -> str:
        asked.append(request.messages[-1].text)
        return "long"

    writer = Agent(ScriptedModel([answer] * 9), "writer")
    typed = Agent(ScriptedModel(['{"title": "long"}'] * 9), "typed", output=dict[str, str])
    child = writer if isinstance(result, str) else typed

    @workflow
    async def flow_of(flow: Flow) -> Any:
        found = await flow.run(child, "write")
        await flow.run(writer, found.content)
        return found.output if child is typed else [found.content, found.messages[-1].text]

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "go")).run_id
        fork = await rt.resume(await rt.fork(run, f"{child.name}#1", result=result))

    assert fork.output == (["short", "short"] if child is writer else result)
    assert asked[-1] == ("short" if child is writer else '{"title":"short"}')


async def test_another_answer_of_a_person() -> None:
    """The answer to a question is changed as it would be given."""

    @workflow
    async def flow_of(flow: Flow) -> list[str]:
        names: list[str] = await flow.ask(Ask(list[str], "Whom?"))
        return names

    async with Runtime() as rt:
        paused = await rt.run(flow_of, "go")
        await rt.answer(paused.approvals[0].id, ["Ann"])
        await rt.resume(paused.run_id)
        fork = await rt.fork(paused.run_id, "ask#1", result=["Bob"])
        assert (await rt.resume(fork)).output == ["Bob"]


async def test_an_uncertain_step_gets_a_result() -> None:
    """A step that had begun and not ended has the result that a person found out."""

    @step
    async def pay() -> str:
        await trio.sleep_forever()
        return "never"

    @workflow
    async def flow_of(flow: Flow) -> str:
        return await pay()

    memory = InProcessMemory()
    async with Runtime(memory=memory) as rt:
        run = await rt.start(flow_of, "go")
        while len(await memory.runs()) == 0 or len((await memory.load_run(run.id))[1]) < 2:
            await trio.lowlevel.checkpoint()
        run.cancel()
        await run.wait()
        assert (await rt.resume(await rt.fork(run.id, "pay#1", result="paid"))).content == "paid"


async def test_an_agents_run_with_another_input() -> None:
    """An agent's run begins anew, as every answer follows from the input."""
    requests: list[str] = []

    def answer(request: ModelRequest) -> str:
        requests.append(request.messages[-1].text)
        return f"re {request.messages[-1].text}"

    agent = Agent(ScriptedModel([answer] * 9), "clerk", memory={"journal": True})
    async with Runtime() as rt:
        run = (await rt.run(agent, "cats")).run_id
        result = await rt.resume(await rt.fork(run, input="dogs"))
        assert (result.content, requests) == ("re dogs", ["cats", "dogs"])
        with pytest.raises(UsageError, match="cannot keep 1 answer of the model with another input"):
            await rt.fork(run, 2, input="dogs")


async def test_refused() -> None:
    """A result needs the path of a known step, and a value that JSON can carry."""

    @workflow
    async def flow_of(flow: Flow) -> float:
        return await flow.now()

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "go")).run_id
        with pytest.raises(UsageError, match="has a result and no step for it"):
            await rt.fork(run, result="x")
        with pytest.raises(UsageError, match="has a result and no step for it"):
            await rt.fork(run, 1, result="x")
        with pytest.raises(NotFound, match="unknown step 'other#1'"):
            await rt.fork(run, "other#1", result="x")
        with pytest.raises(UsageError, match="cannot be stored"):
            await rt.fork(run, "now#1", result=object())
        assert len(await rt.memory.runs()) == 1  # type: ignore[attr-defined]


async def test_a_signal_to_a_fork() -> None:
    """A fork receives the signals that are sent to itself, also after its source took one."""
    work = Work()

    @workflow
    async def flow_of(flow: Flow) -> list[str]:
        return [await flow.signal("mail"), await work.step("between"), await flow.signal("mail")]

    async with Runtime() as rt:
        run = (await rt.run(flow_of, "go")).run_id
        for text in ("one", "two"):
            await rt.signal(run, "mail", text)
        await rt.resume(run)
        fork = await rt.fork(run, "work#1")
        await rt.signal(fork, "mail", "new")
        assert (await rt.resume(fork)).output == ["one", "<between>", "new"]
