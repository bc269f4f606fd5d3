"""Promises of workflows as a whole: long journals, events in pairs, errors with paths, answers that nobody forges."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_rt import Agent, Ask, Flow, ModelRequest, Runtime, Team, ToolCall, Workflow, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import AgnoError, NotFound, StepFailed, UsageError
from agno_rt.events import RunEnded, RunStarted, StepEnded, StepStarted
from agno_rt.run_store import ApprovalConflict
from agno_rt.teams import Broadcast, Leader
from agno_rt.testing import KillPoint, ScriptedModel, kill_everywhere, run_schedules
from agno_rt.workflows import Parallel


async def test_a_thousand_steps_in_a_file(tmp_path: Path) -> None:
    """After a thousand steps a failed run goes on in a new runtime with the failed step, and entries do not grow."""
    taken: Counter[int] = Counter()
    stock = 0

    @step
    async def work(number: int) -> int:
        taken[number] += 1
        if number == 1_000 and not stock:
            raise LookupError("out of stock")
        return number

    @workflow
    async def thousand(flow: Flow) -> int:
        return sum([await work(number) for number in range(1_001)])

    url = f"sqlite:///{tmp_path / 'runs.db'}?synchronous=normal"
    async with Runtime(memory=url) as rt:
        with pytest.raises(StepFailed, match="work#1001 failed") as failed:
            await rt.run(thousand, "go")
        _, entries = await rt.memory.load_run(failed.value.result.run_id)  # type: ignore[attr-defined]
    stock = 1
    async with Runtime(memory=url) as rt:
        result = await rt.resume(failed.value.result.run_id, thousand)

    assert result.output == 500_500
    assert taken == Counter(range(1_001)) + Counter([1_000])
    sizes = [len(entry.body) for entry in entries if entry.kind == "step_ended"]
    # The numbers in an entry become longer, by a digit each; nothing else does.
    assert len(sizes) == 1_001
    assert max(sizes[100:1_000]) - min(sizes[100:1_000]) <= 8


async def test_drawn_values_let_others_run() -> None:
    """A workflow that draws one value after another does not keep other tasks waiting."""
    turns = 0

    @workflow
    async def draws(flow: Flow) -> int:
        for _ in range(100):
            await flow.random()
        return turns

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with Runtime() as rt, trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        assert (await rt.run(draws, "go")).output > 50
        nursery.cancel_scope.cancel()


Leaf: TypeAlias = str
Branches: TypeAlias = tuple[str, list["Leaf | Branches"]]
TREES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(("work", "fail", "ask", "agent")),
    lambda trees: st.tuples(st.sampled_from(("cancel", "keep")), st.lists(trees, min_size=1, max_size=4)),
    max_leaves=12,
)


def build_flow(tree: Any) -> Any:
    """Return the workflow that carries out the tree: a leaf, or branches that carry out trees."""
    agent = Agent(ScriptedModel(lambda request: "yes"), "agent")

    @step(idempotent=True)
    async def work() -> str:
        await trio.lowlevel.checkpoint()
        return "yes"

    @step(idempotent=True)
    async def fail() -> str:
        await trio.lowlevel.checkpoint()
        raise ValueError("broken")

    async def carry_out(flow: Flow, tree: Any) -> Any:
        match tree:
            case "work":
                return await work()
            case "fail":
                return await fail()
            case "ask":
                return await flow.ask(Ask(str, "Well?"))
            case "agent":
                return (await flow.run(agent, "go")).content
        on_error, trees = tree
        async with flow.group(on_error=on_error) as group:
            for each in trees:
                group.start(carry_out, flow, each)
        return [each.message if isinstance(each, AgnoError) else each for each in group.results]

    @workflow
    async def flow_of(flow: Flow) -> Any:
        return await carry_out(flow, tree)

    return flow_of


@settings(deadline=None, max_examples=60)
@given(TREES, st.integers(0, 1_000))
def test_whatever_starts_ends(tree: Any, seed: int) -> None:
    """Each run and step that starts ends once, in each process; an error has the path of the step that failed."""

    async def scenario() -> None:
        runnable, seen = build_flow(tree), list[Any]()
        async with Runtime(observers=[seen.append]) as rt:
            failures: list[StepFailed] = []
            try:
                result = await rt.run(runnable, "go")
                while result.status == "paused":
                    check_pairs(seen)
                    await rt.answer(result.approvals[0].id, "yes")
                    result = await rt.resume(result.run_id, runnable)
            except StepFailed as error:
                failures.append(error)
        check_pairs(seen)
        for failure in failures:
            assert failure.path.rpartition("/")[2] == "fail#1"
            assert failure.message == f"{failure.path} failed: ValueError: broken"

    run_schedules(scenario, 1, first=seed)


def check_pairs(seen: list[Any]) -> None:
    """Check that each run and each step that started has ended as often."""
    runs = Counter(event.run_id for event in seen if isinstance(event, RunStarted))
    assert runs == Counter(event.run_id for event in seen if isinstance(event, RunEnded))
    steps = Counter((event.run_id, event.path) for event in seen if isinstance(event, StepStarted))
    assert steps == Counter((event.run_id, event.path) for event in seen if isinstance(event, StepEnded))


async def test_declared_branches_wait_for_two_people() -> None:
    """Two of three declared branches wait while the third ends; each answer lets its own branch go on, once."""
    done: list[str] = []

    def write(name: str) -> str:
        done.append(name)
        return name

    pipeline = Workflow(
        "release",
        [
            Parallel(
                [Ask(str, "Legal?"), lambda answer: write(f"legal {answer}")],
                lambda: write("built"),
                [Ask(str, "Style?"), lambda answer: write(f"style {answer}")],
            )
        ],
    )
    async with Runtime() as rt:
        paused = await rt.run(pipeline, "go")
        assert (paused.status, done) == ("paused", ["built"])
        asked = {each.reason: each.id for each in paused.approvals}
        await rt.answer(asked["Style?"], "good")
        paused = await rt.resume(paused.run_id, pipeline)
        assert (paused.status, done) == ("paused", ["built", "style good"])
        assert [each.id for each in paused.approvals] == [asked["Legal?"]]
        await rt.answer(asked["Legal?"], "fine")
        result = await rt.resume(paused.run_id, pipeline)

    assert (result.status, done) == ("completed", ["built", "style good", "legal fine"])
    assert result.output == ["legal fine", "built", "style good"]


async def test_answers_cannot_be_forged() -> None:
    """Answers of others, to questions that nobody asked, of another kind or for the second time are refused."""

    @workflow
    async def transfer(flow: Flow) -> bool:
        return bool(await flow.ask(Ask(bool, "Send it?")))

    async with Runtime() as rt:
        first, second = [await rt.run(transfer, "go", user=user) for user in ("ann", "bob")]
        [question], [other] = first.approvals, second.approvals
        for wrong in (f"{first.run_id}.00000000", question.id + "0", f"nobody.{question.id.partition('.')[2]}"):
            with pytest.raises(NotFound):
                await rt.answer(wrong, True)
        with pytest.raises(NotFound):
            await rt.answer(question.id, True, user="bob")
        with pytest.raises(UsageError):
            await rt.approve(question.id)
        with pytest.raises(UsageError, match="does not fit"):
            await rt.answer(question.id, "yes")
        # None of them counts: the run still waits, and so does the other's.
        assert (await rt.resume(first.run_id, transfer)).approvals == (question,)
        await rt.answer(question.id, False, user="ann")
        with pytest.raises(ApprovalConflict):
            await rt.answer(question.id, True, user="ann")
        assert (await rt.resume(first.run_id, transfer)).output is False
        with pytest.raises(ApprovalConflict):
            await rt.answer(question.id, True, user="ann")
        assert (await rt.resume(second.run_id, transfer)).approvals == (other,)


def test_teams_killed_at_every_write() -> None:
    """Killed after any write, a stored workflow of teams ends with the same answer; no finished member works again."""
    asked: Counter[str] = Counter()

    def build() -> Workflow:
        def answer(request: ModelRequest) -> str:
            asked[request.messages[-1].text] += 1
            return f"<{request.messages[-1].text}>"

        def lead(request: ModelRequest) -> Any:
            if request.messages[-1].role == "tool":
                return " and ".join(each.text for each in request.messages if each.role == "tool")
            return [ToolCall(name, "delegate", {"member": name, "task": f"for {name}"}) for name in ("a", "b")]

        members = [Agent(ScriptedModel(answer), name) for name in ("a", "b")]
        leader = Agent(ScriptedModel(lead), "leader")
        teams = Team(members, Broadcast(), name="all"), Team(members, Leader(leader), name="led")
        return Workflow("work", list(teams))

    async def scenario(point: KillPoint) -> None:
        asked.clear()
        memory = InProcessMemory()
        with point:
            async with Runtime(memory=point.memory(memory)) as rt:
                await rt.run(build(), "go")
        async with Runtime(memory=memory) as rt:
            result = await point.finish(rt, build(), "go")
        assert result.content == "<for a> and <for b>"
        # The answer that was on its way when the program ended may be asked for again, in both branches of a group.
        assert sum(asked.values()) <= 4 + 2

    assert kill_everywhere(scenario) >= 15
