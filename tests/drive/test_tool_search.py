"""`ToolSearch`: a short, unchanging list of tools in each request, and found tools called like any other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from agno_rt import Agent, Hook, MemoryPolicy, Runtime, Tool, Toolkit, ToolSearch, tool
from agno_rt.errors import ConfigError, ToolDefinitionError, UsageError
from agno_rt.events import ToolEnded, ToolStarted
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest, ModelResponse, ModelSettings
from agno_rt.readiness import check_ready
from agno_rt.testing import ScriptedModel


def call_found(name: str, arguments: Any, id_: str = "c1") -> ToolCall:
    """Return a call of `call_tool` for a found tool."""
    return ToolCall(id_, "call_tool", json.dumps({"name": name, "arguments": arguments}))


@tool
async def refund_order(order: str, amount: int = 1) -> str:
    """Give a customer the money for an order back."""
    return f"{amount} for {order}"


@tool
async def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"{city}: sunny"


def make_many(count: int) -> list[Tool]:
    """Return tools with names and descriptions like those of large servers."""

    async def work(target: str) -> str:
        return target

    return [tool(name=f"{noun}_{at}", description=f"Change the {noun} {at}.")(work) for at, noun in _list_nouns(count)]


def _list_nouns(count: int) -> list[tuple[int, str]]:
    nouns = ("invoice", "ticket", "calendar", "repository", "mailbox")
    return [(at, nouns[at % len(nouns)]) for at in range(count)]


async def run_agent(
    tools: Sequence[Any], *answers: ModelResponse | str, **options: Any
) -> tuple[Any, list[ModelRequest]]:
    """Run an agent with a model of these answers; return the result and the requests."""
    model = ScriptedModel(answers)
    async with Runtime() as runtime:
        result = await runtime.run(Agent(model, tools=tools, **options), "Go.")
    return result, list(model.requests)


async def test_the_list_of_tools_stays_the_same() -> None:
    """However many tools there are, each request has the two tools of the search and the tools beside it."""
    calls = (ToolCall("c0", "search_tools", '{"query": "money back"}'),), (call_found("refund_order", {"order": "A1"}),)
    result, requests = await run_agent(
        [get_weather, ToolSearch([refund_order, *make_many(300)])],
        *(ModelResponse(tool_calls=each) for each in calls),
        "Done.",
    )
    assert [[each.name for each in request.tools] for request in requests] == [
        ["get_weather", "search_tools", "call_tool"]
    ] * 3
    told = [message for message in result.messages if message.role == "tool"]
    first = json.loads(told[0].text.splitlines()[1])
    assert (first["name"], first["parameters"]["required"]) == ("refund_order", ["order"])
    # The provider matches a result with its call by name and id, so both stay the model's.
    assert (told[1].text, told[1].name, told[1].tool_call_id) == ("1 for A1", "call_tool", "c1")


@pytest.mark.parametrize(
    "arguments",
    [
        '{"name": "refund_order", "arguments": {"order": "A1", "amount": 2}}',
        '{"name": "refund_order", "arguments": "{\\"order\\": \\"A1\\", \\"amount\\": 2}"}',
        '{"name": "refund_order", "order": "A1", "amount": 2}',
    ],
)
async def test_arguments_in_the_forms_that_models_write(arguments: str) -> None:
    """The arguments are an object, a text with JSON, or beside the name; a found tool may be called by name, too."""
    for call in (
        ToolCall("c1", "call_tool", arguments),
        ToolCall("c1", "refund_order", '{"order": "A1", "amount": 2}'),
    ):
        result, _ = await run_agent([ToolSearch([refund_order])], ModelResponse(tool_calls=(call,)), "Done.")
        assert [message.text for message in result.messages if message.role == "tool"] == ["2 for A1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"name": "refund_ordr", "arguments": {}}', "Did you mean 'refund_order'?"),
        ('{"name": "refund_order", "arguments": [1]}', "arguments"),
        ('{"name": "refund_order", "arguments": {"order": 5}}', "order"),
        ('{"name": "call_tool", "arguments": {}}', "There is no tool 'call_tool'"),
        ("{", "do not fit its schema"),
    ],
)
async def test_wrong_calls_are_told_to_the_model(arguments: str, said: str) -> None:
    """An unknown name, unreadable arguments and arguments that do not fit are results, and the run goes on."""
    call = ToolCall("c1", "call_tool", arguments)
    result, _ = await run_agent([ToolSearch([refund_order])], ModelResponse(tool_calls=(call,)), "Done.")
    (told,) = [message.text for message in result.messages if message.role == "tool"]
    assert said in told
    assert result.content == "Done."


async def test_events_hooks_and_limits_have_the_found_name() -> None:
    """Watchers see the tool that ran, and the tool's own limit of calls counts."""
    once = tool(calls=1)(refund_order.function)
    seen: list[tuple[str, str]] = []

    class Watch(Hook):
        """Notes the calls."""

        async def before_tool(self, context: Any, call: ToolCall) -> None:
            seen.append((call.name, call.arguments))

    calls = (call_found("refund_order", {"order": "A1"}),), (call_found("refund_order", {"order": "A2"}, "c2"),)
    model = ScriptedModel([*(ModelResponse(tool_calls=each) for each in calls), "Done."])
    agent = Agent(model, tools=[ToolSearch([once])], hooks=[Watch()])
    async with Runtime() as runtime, runtime.stream(agent, "Go.") as stream:
        events = [event async for event in stream]
    assert [event.call.name for event in events if isinstance(event, ToolStarted | ToolEnded)] == ["refund_order"] * 4
    assert seen == [("refund_order", '{"order": "A1"}'), ("refund_order", '{"order": "A2"}')]
    told = [event.content for event in events if isinstance(event, ToolEnded)]
    assert told[0] == "1 for A1"
    assert "may be called once" in told[1]


async def test_a_found_tool_waits_for_its_approval() -> None:
    """The person sees the found tool's name and arguments, and the resumed run calls the tool once."""
    done: list[str] = []

    @tool(approve=True)
    async def delete_order(order: str) -> str:
        """Delete an order."""
        done.append(order)
        return "deleted"

    model = ScriptedModel([ModelResponse(tool_calls=(call_found("delete_order", {"order": "A1"}),)), "Done."])
    agent = Agent(model, tools=[ToolSearch([delete_order])], memory=MemoryPolicy(journal=True))
    async with Runtime(memory="memory:") as runtime:
        paused = await runtime.run(agent, "Go.")
        (approval,) = paused.approvals
        assert (approval.call.name, json.loads(approval.call.arguments)) == ("delete_order", {"order": "A1"})
        assert not done
        await runtime.approve(approval.id)
        result = await runtime.resume(paused.run_id, agent)
    assert (done, result.content) == (["A1"], "Done.")
    assert [message.name for message in model.requests[-1].messages if message.role == "tool"] == ["call_tool"]


async def test_toolkits_that_have_to_be_opened_are_searched() -> None:
    """A toolkit within the search is opened for the run, as one beside the search is."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Sequence[Tool]]:
        yield [get_weather]

    kit = Toolkit("far", open=connect)
    result, requests = await run_agent(
        [ToolSearch([kit, refund_order])],
        ModelResponse(tool_calls=(ToolCall("c0", "search_tools", '{"query": "weather in a city"}'),)),
        ModelResponse(tool_calls=(call_found("get_weather", {"city": "Oslo"}),)),
        "Done.",
    )
    told = [message.text for message in result.messages if message.role == "tool"]
    assert '"get_weather"' in told[0]
    assert told[1] == "Oslo: sunny"
    assert len(requests[0].tools) == 2


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("refund_order", "refund_order"),
        ("refund an order", "refund_order"),
        ("customer wants money", "refund_order"),
        ("how is the WEATHER?", "get_weather"),
        ("orders", "refund_order"),
        ("ticket 41", "ticket_41"),
    ],
)
async def test_the_best_tool_is_found(query: str, best: str) -> None:
    """Names count more than descriptions, rare words more than usual words, and other forms of a word count, too."""
    tools = [*make_many(100), refund_order, get_weather]
    call = ToolCall("c0", "search_tools", json.dumps({"query": query}))
    result, _ = await run_agent([ToolSearch(tools)], ModelResponse(tool_calls=(call,)), "Done.")
    (told,) = [message.text for message in result.messages if message.role == "tool"]
    assert json.loads(told.splitlines()[1])["name"] == best


async def test_nothing_is_found() -> None:
    """Words that fit no tool are told so; nothing is guessed."""
    call = ToolCall("c0", "search_tools", '{"query": "zzz"}')
    result, _ = await run_agent([ToolSearch([refund_order])], ModelResponse(tool_calls=(call,)), "Done.")
    assert "No tool fits" in next(message.text for message in result.messages if message.role == "tool")


async def test_mistakes_in_an_agent() -> None:
    """Two tools of a name, a forced tool that has to be found, and a bare text are errors with a remedy."""
    with pytest.raises(UsageError, match="two tools of the agent are called 'get_weather'"):
        await run_agent([get_weather, ToolSearch([tool(name="get_weather")(refund_order.function)])], "x")
    with pytest.raises(UsageError, match="has to search for") as caught:
        await run_agent([ToolSearch([refund_order])], "x", settings=ModelSettings(tool_choice="refund_order"))
    assert "beside" in caught.value.hint
    with pytest.raises(ToolDefinitionError, match="tools of a ToolSearch"):
        ToolSearch("files:search")


async def test_an_agent_without_a_search_is_as_before() -> None:
    """`call_tool` is then a name like any other."""
    result, requests = await run_agent(
        [get_weather], ModelResponse(tool_calls=(call_found("get_weather", {"city": "x"}),)), "Done."
    )
    assert "There is no tool 'call_tool'" in next(each.text for each in result.messages if each.role == "tool")
    assert len(requests[0].tools) == 1


async def test_a_closed_toolkit_in_a_search_does_not_hide_other_faults() -> None:
    """The check before the first run passes over toolkits that are not open, within a search as beside it."""

    def refuse() -> None:
        raise ConfigError("the tool lacks its key")

    @asynccontextmanager
    async def connect() -> AsyncIterator[Sequence[Tool]]:
        yield [get_weather]

    lacking = attrs.evolve(refund_order, check_ready=refuse)
    agent = Agent(ScriptedModel(["x"]), tools=[ToolSearch([Toolkit("far", open=connect), lacking])])
    async with Runtime() as runtime:
        found = await check_ready(runtime, agent)
    assert [finding.message for finding in found] == ["the tool lacks its key"]
