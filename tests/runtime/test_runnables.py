"""Runnables other than agents: a class with `conduct` runs, streams, nests and is stored like an agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio

from agno_rt import (
    Agent,
    Flow,
    Limits,
    Message,
    ModelRequest,
    ModelResponse,
    RunContext,
    Runnable,
    RunResult,
    Runtime,
    ToolCall,
    Usage,
    tool,
)
from agno_rt.errors import HookError, LimitExceeded, ModelError, UsageError
from agno_rt.events import RunEnded, RunStarted
from agno_rt.runnable import list_parts
from agno_rt.testing import ScriptedModel


@attrs.define(eq=False)
class Chain(Runnable[Any, Any]):
    """Runs its steps one after another, each on the answer of the step before."""

    name: str
    steps: Sequence[Runnable]
    description: str = ""
    limits: Limits | None = None

    kind = "chain"

    def parts(self) -> Sequence[Runnable]:
        return self.steps

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> RunResult:
        given: Any = input
        for step in self.steps:
            result = await flow.run(step, given)
            given = result.content
        return result


@attrs.define(eq=False)
class Answering(Runnable[Any, Any]):
    """Answers with a value, or with what a function makes of the flow."""

    answer: Any
    name: str = "answering"
    description: str = ""

    async def conduct(self, flow: Flow, input: tuple[Message, ...]) -> Any:
        return await self.answer(flow) if callable(self.answer) else self.answer


def echo(name: str, tokens: int = 1) -> Agent:
    """Return an agent that puts its name behind its input, and uses `tokens` tokens."""

    def answer(request: ModelRequest) -> ModelResponse:
        return ModelResponse(f"{request.messages[-1].text} {name}", usage=Usage(tokens, 0))

    return Agent(ScriptedModel([answer] * 20), name)


async def test_steps_run_one_after_another() -> None:
    """A chain hands each answer to the next step, and its own answer is the last one; the usage is the sum."""
    async with Runtime() as rt:
        result = await rt.run(Chain("chain", [echo("one", 2), echo("two", 3)]), "zero")

    assert (result.status, result.content) == ("completed", "zero one two")
    assert [message.content for message in result.messages] == ["zero", "zero one two"]
    assert result.usage.input_tokens == 5


async def test_events_name_the_run_around() -> None:
    """Listeners see the chain and each step, each run started and ended once, with the chain as the parent."""
    seen: list[Any] = []
    async with Runtime(observers=[seen.append]) as rt:
        result = await rt.run(Chain("chain", [echo("one"), echo("two")]), "zero")

    started = [event for event in seen if isinstance(event, RunStarted)]
    ended = [event for event in seen if isinstance(event, RunEnded)]
    assert [(event.agent, event.parent) for event in started] == [
        ("chain", None),
        ("one", result.run_id),
        ("two", result.run_id),
    ]
    assert sorted(event.run_id for event in ended) == sorted(event.run_id for event in started)
    assert ended[-1].content == "zero one two"


async def test_chains_nest() -> None:
    """A chain is a step of another chain, and the task tree shows runs within runs."""
    inner = Chain("inner", [echo("one"), echo("two")])
    trees: list[Any] = []

    async def look(flow: Flow) -> str:
        trees.append(rt.tasks())
        return "looked"

    async with Runtime() as rt:
        result = await rt.run(Chain("outer", [inner, Answering(look)]), "zero")

    assert result.content == "looked"
    [outer] = trees[0].runs
    assert (outer.agent, [run.agent for run in outer.runs]) == ("outer", ["answering"])


async def test_a_stream_and_a_background_run() -> None:
    """`stream`, `start` and `map` take any runnable."""
    chain = Chain("chain", [echo("one")])
    async with Runtime() as rt:
        async with rt.stream(chain, "a") as events:
            names = [type(event).__name__ async for event in events]
        run = await rt.start(chain, "b")
        background = await run.wait()
        mapped = await rt.map(chain, ["c", "d"])

    assert names == ["RunStarted", "RunEnded"]
    assert events.result is not None
    assert (events.result.content, background.content) == ("a one", "b one")
    assert [result.content for result in mapped] == ["c one", "d one"]


@pytest.mark.parametrize(
    ("answer", "content", "output"),
    [("text", "text", None), (None, "", None), ({"a": [1]}, '{"a":[1]}', {"a": [1]}), (7, "7", 7)],
)
async def test_answers(answer: Any, content: str, output: Any) -> None:
    """A text is the content; any other value is the output, with its JSON as the content."""
    async with Runtime() as rt:
        result = await rt.run(Answering(answer), "go")

    assert (result.content, result.output) == (content, output)


async def test_an_answer_that_json_cannot_carry() -> None:
    """A value that JSON cannot carry fails the run with the runnable's name and the remedy."""
    async with Runtime() as rt:
        with pytest.raises(HookError, match="answering returned TypeError") as caught:
            await rt.run(Answering(object()), "go")

    assert "Let its conduct return" in caught.value.hint


async def test_sessions() -> None:
    """A session keeps the input and the answer of the whole, and the next run sees them as the history."""
    seen: list[list[str]] = []

    async def answer(flow: Flow) -> str:
        seen.append([message.text for message in flow.history])
        return f"answer {len(seen)}"

    async with Runtime() as rt:
        await rt.run(Answering(answer), "first", session="s", user="u")
        await rt.run(Answering(answer), "second", session="s", user="u")
        stored = await rt.memory.load("s")

    assert seen == [[], ["first", "answer 1"]]
    assert [message.text for message in stored.messages] == ["first", "answer 1", "second", "answer 2"]


async def test_user_and_deps_reach_the_runs_within() -> None:
    """The runs within belong to the same user, and their tools get the same dependencies."""
    seen: list[Any] = []

    class Database:
        pass

    @tool
    async def look(context: RunContext) -> str:
        """Look."""
        seen.append((context.user, type(context.deps)))
        return "seen"

    agent = Agent(ScriptedModel([ToolCall("1", "look", "{}"), "done"]), "agent", tools=[look])
    async with Runtime() as rt:
        await rt.run(Chain("chain", [agent]), "go", user="anna", deps=Database())

    assert seen == [("anna", Database)]


async def test_budgets_hold_for_the_whole() -> None:
    """The limits of a chain bound all of its runs together."""
    chain = Chain("chain", [echo("one", 60), echo("two", 60), echo("three", 60)], limits=Limits(tokens=100))
    async with Runtime() as rt:
        with pytest.raises(LimitExceeded) as caught:
            await rt.run(chain, "go")

    assert caught.value.limit == "tokens"
    assert caught.value.result.usage.total_tokens == 120


async def test_a_failing_step_is_the_error_of_the_whole() -> None:
    """The error of a step arrives bare, with the result of the whole and what was spent."""
    failing = Agent(ScriptedModel([ModelError("no", provider="x")]), "failing")
    async with Runtime() as rt:
        with pytest.raises(ModelError) as caught:
            await rt.run(Chain("chain", [echo("one", 5), failing]), "go")

    assert (caught.value.result.status, caught.value.result.usage.input_tokens) == ("failed", 5)


async def test_a_bug_in_conduct() -> None:
    """An exception of the runnable's own code becomes a HookError that names the runnable."""

    async def fail(flow: Flow) -> str:
        raise ValueError("oh")

    async with Runtime() as rt:
        with pytest.raises(HookError, match="answering failed: ValueError: oh"):
            await rt.run(Answering(fail), "go")


async def test_cancelling_the_whole_ends_the_runs_within() -> None:
    """Cancelling a chain cancels the step under way, and each run ends once."""
    seen: list[Any] = []
    waiting = trio.Event()

    async def wait(request: ModelRequest) -> str:
        waiting.set()
        await trio.sleep_forever()
        return ""

    @attrs.define
    class Waiting:
        name: str = "waiting"

        async def respond(self, request: ModelRequest, emit: Any = None) -> ModelResponse:
            return ModelResponse(await wait(request))

    async with Runtime(observers=[seen.append]) as rt:
        run = await rt.start(Chain("chain", [Agent(Waiting(), "slow")]), "go")
        await waiting.wait()
        run.cancel()
        result = await run.wait()

    assert result.status == "cancelled"
    assert [event.status for event in seen if isinstance(event, RunEnded)] == ["cancelled", "cancelled"]


async def test_a_runnable_without_conduct() -> None:
    """A subclass without `conduct` is refused before anything starts, and the error says what to write."""

    @attrs.define(eq=False)
    class Empty(Runnable[Any, Any]):
        name: str = "empty"
        description: str = ""

    async with Runtime() as rt:
        with pytest.raises(UsageError, match="cannot run") as caught:
            await rt.run(Empty(), "go")

    assert "async def conduct" in caught.value.hint


async def test_check_looks_at_every_part() -> None:
    """`Runtime.check` finds a wrong name in any part, and names the part."""
    chain = Chain("chain", [echo("one"), Agent("nosuch:model", "broken")])
    async with Runtime() as rt:
        with pytest.raises(UsageError) as caught:
            rt.check(chain)
        assert rt.tools(chain) == {}

    assert "broken" in str(caught.value)


def test_parts_are_listed_once() -> None:
    """Each part comes once, the whole first, even where runnables contain each other."""
    one, two = echo("one"), echo("two")
    inner = Chain("inner", [one, two])
    outer = Chain("outer", [inner, one])
    inner.steps = [one, two, outer]

    assert [part.name for part in list_parts(outer)] == ["outer", "inner", "one", "two"]
