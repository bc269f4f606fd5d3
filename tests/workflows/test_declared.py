"""Declared workflows: sequences, groups, loops, conditions, routers, questions and goals, over the engine of flows."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
import trio

from agno_rt import Agent, Ask, Deps, Flow, ModelRequest, Runtime, Workflow, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.errors import StepFailed, UsageError
from agno_rt.messages import Message
from agno_rt.testing import ScriptedModel, run_schedules
from agno_rt.testing.schedules import pause
from agno_rt.workflows import Condition, Goal, Judgement, Loop, Map, Parallel, Router


@attrs.define
class Draft:
    """A typed output."""

    text: str
    approved: bool = False


def agent(name: str, *answers: Any, output: Any = None) -> Agent:
    """Return an agent with scripted answers, by default its name."""
    return Agent(ScriptedModel(list(answers) or [name] * 50), name, output=output)


def split(text: str) -> list[str]:
    """Split a text into words."""
    return text.split()


def join(parts: list[str]) -> str:
    """Join words."""
    return "+".join(parts)


async def run(nodes: Any, input: str = "go", **options: Any) -> Any:
    """Run a workflow of the nodes, and return the output or the content."""
    async with Runtime() as rt:
        result = await rt.run(Workflow("test", nodes, **options), input)
        return result.content if result.output is None else result.output


async def test_each_node_gets_the_output_of_the_one_before() -> None:
    """Agents get texts, functions typed outputs; sync, async and step functions, workflows and lists are nodes."""
    seen: list[Any] = []

    async def approve(draft: Draft) -> Draft:
        seen.append(draft)
        return attrs.evolve(draft, approved=True)

    @step(retries=1, backoff=0)
    def shout(draft: Draft) -> str:
        if len(seen) < 2:
            seen.append("a failed attempt")
            raise OSError
        return draft.text.upper()

    @workflow
    async def twice(text: str, flow: Flow) -> str:
        return text * 2

    def echo(request: ModelRequest) -> str:
        return f"<{request.messages[-1].text}>"

    writer = agent("writer", '{"text": "tea"}', output=Draft)
    inner = Workflow("inner", [agent("echo", echo)])

    assert await run([writer, [approve, shout], twice, inner]) == "<TEATEA>"
    assert seen == [Draft("tea"), "a failed attempt"]


async def test_a_workflow_is_a_runnable() -> None:
    """The run is stored, described and listed with its parts; the answer has the type that the last node returns."""
    writer, judge, editor = agent("writer"), agent("judge"), agent("editor")
    made = Workflow(
        "report",
        [Goal(writer, judge), Condition(editor, Map(writer, over=split)), lambda text: Draft(str(text))],
        description="Write.",
    )

    def draft(text: str) -> Draft:
        return Draft(text)

    typed = Workflow("typed", [agent("a"), draft])
    outer = Workflow("outer", [typed, lambda draft: type(draft).__name__])
    async with Runtime() as rt:
        result = await rt.run(typed, "go")
        [record] = [run for run in await rt.memory.runs() if run.parent is None]  # type: ignore[attr-defined]
        named = await rt.run(outer, "go")

    assert (made.kind, made.name, made.description, made.parts()) == (
        "workflow",
        "report",
        "Write.",
        (writer, judge, editor),
    )
    assert (result.output, result.content) == (Draft("a"), '{"approved":false,"text":"a"}')
    assert (record.agent, record.status, record.id) == ("typed", "completed", result.run_id)
    assert named.output is None
    assert named.content == "Draft"


async def test_the_input_reaches_the_first_node() -> None:
    """A function reads JSON for another type than text; dependencies come from the caller."""

    def count(numbers: list[int], factor: Deps[int]) -> int:
        return sum(numbers) * factor

    def nothing() -> str:
        return "nothing"

    async with Runtime() as rt:
        assert (await rt.run(Workflow("count", [count]), "[1, 2]", deps=10)).output == 30
        assert (await rt.run(Workflow("none", [nothing]), "go")).content == "nothing"
        with pytest.raises(UsageError, match="the input of 'count' does not fit numbers"):
            await rt.run(Workflow("count", [count]), "x", deps=10)


def test_a_map_is_gathered_once() -> None:
    """The node after a map runs once, with the outputs of all items in their order, under 50 schedules."""
    calls: list[list[int]] = []

    async def double(number: int) -> int:
        await pause()
        return number * 2

    def collect(numbers: list[int]) -> int:
        calls.append(numbers)
        return len(numbers)

    async def scenario() -> None:
        calls.clear()
        assert await run([lambda _: [1, 2, 3], Map(double), collect]) == 3
        assert calls == [[2, 4, 6]]

    run_schedules(scenario, 50)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nested_groups_are_joined(depth: int) -> None:
    """A group joins all outputs of the groups within, however deep, under 25 schedules."""

    async def same(number: int) -> int:
        await pause()
        return number

    def flatten(parts: Any) -> list[int]:
        return [number for part in parts for number in (flatten(part) if isinstance(part, list) else [part])]

    node: Any = [lambda _: [1, 2, 3], Map(same)]
    for _ in range(depth):
        node = Parallel(node, [lambda _: 10, same])

    async def scenario() -> None:
        assert await run([node, flatten]) == [1, 2, 3] + [10] * depth

    run_schedules(scenario, 25)


async def test_the_node_after_a_group_sees_every_output() -> None:
    """A writer after three agents at once gets the three texts, in the order of declaration."""
    seen: list[str] = []

    def write(request: ModelRequest) -> str:
        seen.append(request.messages[-1].text)
        return "written"

    await run([Parallel(agent("legal"), agent("style"), agent("facts")), agent("writer", write)])

    [text] = seen
    assert text.index("legal") < text.index("style") < text.index("facts")


async def test_map_takes_items_keys_and_a_limit() -> None:
    """The items are the output, a field of the output, or a function's; the key names the branch in the journal."""
    most, now = 0, 0

    async def work(item: dict[str, str]) -> str:
        nonlocal most, now
        now += 1
        most = max(most, now)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        now -= 1
        return item["text"]

    def parts() -> dict[str, Any]:
        return {"parts": [{"slug": name, "text": name * 2} for name in "abc"]}

    made = Workflow("m", [parts, Map(work, over="output.parts", key="slug", limit=2), join])
    async with Runtime() as rt:
        result = await rt.run(made, "go")
        _, entries = await rt.memory.load_run(result.run_id)  # type: ignore[attr-defined]
        odd = await rt.run(Workflow("odd", [parts, Map(lambda item: 1, over=lambda output: output["parts"][1:])]), "go")

    assert (result.content, most, odd.output) == ("aa+bb+cc", 2, [1, 1])
    assert all(any(f"map#1/{key}/work#1" in str(entry) for entry in entries) for key in "abc")


async def test_failures_of_branches() -> None:
    """`cancel` raises the first failure, with its path; `keep` gives the failure its place among the outputs."""

    def work(text: str) -> str:
        if text == "b":
            raise ValueError("no b")
        return text

    with pytest.raises(StepFailed, match="map#1/1/work#1 failed: ValueError: no b"):
        await run([split, Map(work)], "a b c")
    kept = await run([split, Map(work, on_error="keep")], "a b c")
    assert [kept[0], kept[2]] == ["a", "c"]
    assert "no b" in kept[1]
    kept = await run([Parallel(work, agent("x"), names=["first", "second"], on_error="keep"), agent("end")], "b")
    assert kept == "end"


async def test_only_the_nearest_loop_ends() -> None:
    """A loop within a loop ends alone, and the sequence goes on."""
    log: list[str] = []

    def work(text: str) -> str:
        log.append(text)
        return text

    await run([Loop([Loop(work, at_most=5)], at_most=5), agent("summary")])
    assert len(log) == 25

    log.clear()
    assert await run([Loop(Loop(work, until="output == 'go'", at_most=5), at_most=5), agent("summary")]) == "summary"
    assert len(log) == 5


async def test_a_loop_ends_by_its_condition() -> None:
    """Each round gets the output of the last one, until the condition holds."""
    writer = agent("writer", '{"text": "a"}', '{"text": "b", "approved": true}', '{"text": "c"}', output=Draft)

    assert await run([Loop([writer], until="output.approved", at_most=5)]) == Draft("b", approved=True)
    assert await run([lambda: 1, Loop(lambda n: n * 2, until=lambda output: output > 30)]) == 32
    assert await run([lambda: 1, Loop(lambda n: n + 1, at_most=3)]) == 4


async def test_conditions() -> None:
    """A condition is an expression, a function, a step, or an agent; without another node the output passes."""

    @step
    async def is_long(text: str) -> bool:
        return len(text) > 3

    def upper(text: str) -> str:
        return text.upper()

    for when in ("size(output) > 3", lambda text: len(text) > 3, is_long):
        assert await run(Condition(when, upper), "long") == "LONG"
        assert await run(Condition(when, upper), "go") == "go"
        assert await run(Condition(when, upper, agent("other")), "go") == "other"
    for answer, end in (("true", "LONG"), ("false", "long")):
        assert await run(Condition(agent("judge", answer, output=bool), upper), "long") == end


async def test_routers() -> None:
    """A router takes the route that is named; another name takes `otherwise`, or fails with the names of the routes."""
    routes = {"bill": agent("billing"), "tech": agent("support"), "skip": None}

    assert await run(Router("output", routes), "tech") == "support"
    assert await run(Router(lambda text: text[:4], routes), "bill?") == "billing"
    assert await run(Router(agent("triage", "bill\n"), routes), "My invoice") == "billing"
    assert await run(Router("output", routes), "skip") == "skip"
    assert await run(Router("output", routes, otherwise=agent("desk")), "tea") == "desk"
    with pytest.raises(UsageError, match="router has no route 'tea'"):
        await run(Router("output", routes), "tea")


@pytest.mark.parametrize("turned", [False, True])
async def test_both_of_two_routers_go_on(turned: bool) -> None:
    """Two routers on one output, each with a router and a node behind: both chains run to their ends."""
    log: list[str] = []

    def chain(name: str) -> Router:
        def end(text: str) -> str:
            log.append(name)
            return name

        def inner(text: str) -> str:
            return text

        return Router("output", {"go": [inner, Router("output", {"go": end})]})

    chains = [chain("a"), chain("b")]
    assert await run([Parallel(*(chains[::-1] if turned else chains)), join]) == ("b+a" if turned else "a+b")
    assert sorted(log) == ["a", "b"]


async def test_questions() -> None:
    """A question pauses the run in its branch; another runtime takes the answer, and no node runs again."""
    memory, log = InProcessMemory(), list[str]()

    def note(text: str) -> str:
        log.append(text)
        return text

    route = Router(Ask(Literal["a", "b"], "Which?"), {"a": agent("first"), "b": agent("second")})
    made = Workflow(
        "ask",
        [
            note,
            Parallel(Condition(Ask(bool, "Publish?"), note), route, agent("third"), names=["one", "two", "three"]),
            Ask(str, "Title?"),
        ],
    )
    async with Runtime(memory=memory) as rt:
        result = await rt.run(made, "text")
    answers: dict[str, Any] = {"Publish?": True, "Which?": "b", "Title?": "Trio"}
    asked: list[str] = []
    while result.status == "paused":
        async with Runtime(memory=memory) as rt:
            approval = result.approvals[0]
            asked.append(f"{approval.call.id} {approval.reason}")
            await rt.answer(approval.id, answers[approval.reason])
            result = await rt.resume(result.run_id, made)

    assert sorted(asked[:2]) == ["parallel#1/one/ask#1 Publish?", "parallel#1/two/ask#1 Which?"]
    assert asked[2:] == ["ask#1 Title?"]
    assert (result.content, log) == ("Trio", ["text", "text"])


async def test_a_child_goes_on_where_it_paused() -> None:
    """A workflow within a workflow within a workflow asks: after the answer, no counted step runs again."""
    memory, log = InProcessMemory(), list[str]()

    def count(text: str) -> str:
        log.append(text)
        return text

    made = Workflow("child", [count, Ask(str, "Name?")])
    for name in ("parent", "grandparent"):
        made = Workflow(name, [count, made, count])
    async with Runtime(memory=memory) as rt:
        first = await rt.run(made, "go")
    async with Runtime(memory=memory) as rt:
        await rt.answer(first.approvals[0].id, "Ann")
        result = await rt.resume(first.run_id, made)

    assert (result.content, log) == ("Ann", ["go", "go", "go", "Ann", "Ann"])


async def test_a_goal_is_tried_again_with_the_reason() -> None:
    """The check is a function or a judge; each further attempt gets the input, the last output and the reason."""
    seen: list[str] = []

    def write(request: ModelRequest) -> str:
        seen.append(request.messages[-1].text)
        return f"draft {len(seen)}"

    def check(text: str) -> Judgement:
        return Judgement(text == "draft 2", "too short")

    assert await run(Goal(agent("writer", write, write, write), check), "Write.") == "draft 2"
    assert seen[1] == "Write.\n\nThe last attempt:\ndraft 1\n\nIt did not pass: too short"

    judge = agent("judge", '{"passed": false, "reason": "dull"}', '{"passed": true}', output=Judgement)
    again = Goal(lambda text: text, judge, again=lambda given, output, reason: f"{given} not {reason}")
    assert await run(again, "Be") == "Be not dull"

    with pytest.raises(StepFailed, match="quality was not reached in 2 attempts: never"):
        await run(Goal(agent("w"), lambda text: Judgement(passed=False, reason="never"), at_most=2, name="quality"))
    with pytest.raises(UsageError, match="the check returned a str"):
        await run(Goal(agent("w"), agent("judge", "yes")))


async def test_a_node_of_ones_own() -> None:
    """Any object with `async conduct(flow, input)` is a node."""

    class Twice:
        """Runs an agent twice."""

        async def conduct(self, flow: Flow, input: Any) -> str:
            return "".join([(await flow.run(agent("a"), input)).content for _ in range(2)])

    assert await run([agent("x"), Twice()]) == "aa"


async def test_messages_pass_to_the_first_agent() -> None:
    """An agent at the beginning sees the messages of the run as they are."""
    seen: list[int] = []

    def answer(request: ModelRequest) -> str:
        seen.append(len(request.messages))
        return "done"

    async with Runtime() as rt:
        await rt.run(Workflow("w", [agent("a", answer)]), [Message("user", "a"), Message("assistant", "b")] * 2)

    assert seen == [4]


def test_what_is_not_a_node_is_refused() -> None:
    """Errors at the declaration name the value, the place and a remedy."""

    def two(text: str, more: str) -> None: ...

    def asks(text: str, flow: Flow) -> None: ...

    def states(text: str, state: Any) -> None: ...

    def nop(text: str) -> str:
        return text

    for nodes, match in (
        ([3], "3 is not a node"),
        ([], "has no nodes"),
        ([Draft], "is not a node"),
        ([two], "parameter 'more' that nothing fills"),
        ([asks], "asks for the run"),
        ([states], "workflow 'w' has none"),
        ([Condition("state.x", nop)], "the workflow has none"),
    ):
        with pytest.raises(UsageError, match=match):
            Workflow("w", nodes)
    for make, match in (
        (lambda: Loop(nop, at_most=0), "at_most of 'loop' is 0"),
        (lambda: Map(nop, limit=0), "limit of 'map' is 0"),
        (lambda: Map(nop, on_error="stop"), "on_error of 'map' is 'stop'"),  # type: ignore[arg-type]
        (lambda: Parallel(nop, nop, names=["a", "a"]), "2 nodes and the names"),
        (lambda: Router("output", {}), "has no routes"),
        (lambda: Condition(3, nop), "when of 'condition' is 3"),
        (lambda: Loop(nop, until="output +"), "until of 'loop': cannot read the expression"),
    ):
        with pytest.raises(UsageError, match=match):
            make()


async def test_faults_of_conditions_name_the_place() -> None:
    """A failed expression, a failed function and a value without items name the node by its path."""

    def broken(output: Any) -> bool:
        raise RuntimeError("no")

    with pytest.raises(UsageError, match=r"parallel#1/part/gate: the expression 'output.approved' failed: output is a"):
        await run(Parallel([Condition("output.approved", agent("a"), name="gate")], names=["part"]))
    with pytest.raises(StepFailed, match="loop failed: RuntimeError: no"):
        await run(Loop(agent("a"), until=broken))
    with pytest.raises(UsageError, match="map has no items: it got a str"):
        await run(Map(agent("a")))
