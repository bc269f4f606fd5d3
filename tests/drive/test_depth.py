"""Nested runs: the depth limit, errors told to the model, and the end of endless recursion."""

from __future__ import annotations

import pytest

from agno_rt import Agent, AgnoError, Limits, ModelRequest, Runtime, Tool, ToolCall, run, tool
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.testing import ScriptedModel
from tests.helpers import told

DELEGATE = ToolCall("1", "delegate")
WAYS = ("run", "stream", "thread")


def delegating(rt: Runtime, agents: list[Agent], way: str = "run", *, forgiving: bool = False) -> Tool:
    """Make a tool that runs the agent. A forgiving tool hides the agent's failure from the model."""

    def ask() -> str:
        return run(agents[0], "Do it.", limits=rt.limits).content

    async def ask_later() -> str:
        try:
            if way == "run":
                return (await rt.run(agents[0], "Do it.")).content
            async with rt.stream(agents[0], "Do it.") as events:
                async for _ in events:
                    pass
            assert events.result is not None
            return events.result.content
        except AgnoError:
            if forgiving:
                return "Nobody was there."
            raise

    return tool(name="delegate")(ask if way == "thread" else ask_later)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("forgiving", [False, True])
async def test_an_agent_that_calls_itself_ends(way: str, forgiving: bool) -> None:
    """A model that always delegates is asked a few times only, even if the tool hides the refusal."""
    model = ScriptedModel(lambda request: DELEGATE)
    agents: list[Agent] = []

    async with Runtime() as rt:
        agents.append(Agent(model, tools=[delegating(rt, agents, way, forgiving=forgiving)]))
        with pytest.raises(LimitExceeded, match=r"depth \(8\)") as caught:
            await rt.run(agents[0], "Go.")

    assert caught.value.limit == "depth"
    assert "Limits(depth=...)" in caught.value.hint
    assert caught.value.result.status == "limited"
    assert 8 < len(model.requests) < 40


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_the_model_is_told_and_may_go_on(depth: int) -> None:
    """A run beyond the depth fails its tool by the limit's name. The outer runs get their answers."""
    refused: list[str] = []

    def answer(request: ModelRequest) -> ToolCall | str:
        last = request.messages[-1]
        if last.role != "tool":
            return DELEGATE
        refused.extend([last.text] if "failed" in last.text else [])
        return "I did it myself."

    agents: list[Agent] = []
    model = ScriptedModel(answer)
    async with Runtime(limits=Limits(depth=depth)) as rt:
        agents.append(Agent(model, tools=[delegating(rt, agents)]))
        result = await rt.run(agents[0], "Go.")

    assert result.content == "I did it myself."
    assert len(model.requests) == 2 * depth
    [text] = refused
    assert text.startswith("delegate failed: LimitExceeded: ")
    assert f"depth ({depth})" in text
    assert "Limits(depth=...)" in text


async def test_many_at_once_are_one_refusal() -> None:
    """The model is told of each of many nested runs that are too deep, and may still answer."""
    calls = [ToolCall(str(at), "delegate") for at in range(30)]
    agents: list[Agent] = []
    async with Runtime(limits=Limits(depth=1)) as rt:
        agents.append(Agent(ScriptedModel([calls, "Then I do it."]), tools=[delegating(rt, agents)]))
        result = await rt.run(agents[0], "Go.")

    assert result.content == "Then I do it."
    assert sum("depth" in text for text in told(result)) == 30


async def test_as_many_beside_one_another_as_you_like() -> None:
    """The limit bounds nesting, not the number of runs in sequence or in parallel."""
    calls = [[ToolCall(str(at), "delegate") for at in range(20)] for _ in range(3)]
    inner = Agent(ScriptedModel(lambda request: "Done."))
    async with Runtime(limits=Limits(depth=2)) as rt:
        result = await rt.run(Agent(ScriptedModel([*calls, "All done."]), tools=[delegating(rt, [inner])]), "Go.")

    assert told(result) == ["Done."] * 60


async def test_it_is_a_limit_of_the_runtime() -> None:
    """The depth is a limit of the runtime only, and is refused among an agent's limits."""
    async with Runtime() as rt:
        with pytest.raises(UsageError, match="limit depth holds for a whole runtime"):
            await rt.run(Agent(ScriptedModel([]), limits=Limits(depth=3)), "Go.")
