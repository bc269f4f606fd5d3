"""Types of an agent's answer. Checked, not run: `test_typing.py` asks mypy and pyright."""

from __future__ import annotations

import functools
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, assert_type

import attrs
import pydantic

from agno_rt import Agent, AgentPool, Output, Run, RunResult, RunStream, Runtime, Tool, ToolCall, run, tool
from agno_rt.errors import UsageError
from agno_rt.from_asyncio import AsyncioRun, AsyncioRuntime, AsyncioStream


@attrs.define
class Trip:
    """An attrs class."""

    city: str


@attrs.define
class City:
    """A second attrs class."""

    name: str


class Order(pydantic.BaseModel):
    """A pydantic model."""

    item: str


def an_agent_knows_what_it_answers() -> None:
    """The output follows from `output=`, by position too, and is `None` without."""
    assert_type(Agent("m:x", output=Trip), Agent[Any, Trip])
    assert_type(Agent("m:x", "name", "be brief", (), Trip), Agent[Any, Trip])
    assert_type(Agent("m:x", output=Output(Trip, mode="tool")), Agent[Any, Trip])
    assert_type(Agent("m:x", output=Order), Agent[Any, Order])
    assert_type(Agent("m:x", output=str), Agent[Any, str])
    assert_type(Agent("m:x", output=list[Trip]), Agent[Any, list[Trip]])
    assert_type(Agent("m:x", output=dict[str, int | None]), Agent[Any, dict[str, int | None]])
    assert_type(Agent("m:x", output=Trip | City), Agent[Any, Trip | City])
    assert_type(Agent("m:x", output=Trip | None), Agent[Any, Trip | None])
    assert_type(Agent("m:x", output=Output(list[Trip] | City)), Agent[Any, list[Trip] | City])
    assert_type(Agent("m:x", output=Literal["yes", "no"]), Agent[Any, Literal["yes", "no"]])
    assert_type(Agent("m:x"), Agent[Any, None])
    assert_type(Agent("m:x", output=None), Agent[Any, None])


def made_of_a_parameter(output: type[Trip] | Output[Trip]) -> Agent[Any, Trip]:
    """A function may make an agent of a parameter's type."""
    return Agent("m:x", output=output)


def a_copy_answers_the_same(agent: Agent[Any, Trip]) -> None:
    """`attrs.evolve` keeps the types."""
    assert_type(attrs.evolve(agent, name="other"), Agent[Any, Trip])


def run_knows() -> None:
    """`run` returns the result of the agent's output."""
    assert_type(run(Agent("m:x", output=Trip), "hi"), RunResult[Trip])
    assert_type(run(Agent("m:x", output=Trip), "hi").output, Trip)
    assert_type(run(Agent("m:x", output=Order), "hi", memory="memory:").output.item, str)
    assert_type(run(Agent("m:x"), "hi").output, None)


async def a_runtime_knows(rt: Runtime, agent: Agent[Any, Trip]) -> None:
    """`Runtime.run`, `start`, `stream` and `resume` return the result of the agent's output."""
    assert_type(await rt.run(agent, "hi"), RunResult[Trip])
    assert_type(await rt.start(agent, "hi"), Run[Trip])
    assert_type(await (await rt.start(agent, "hi")).wait(), RunResult[Trip])
    assert_type((await rt.start(agent, "hi")).result, RunResult[Trip] | None)
    async with rt.stream(agent, "hi") as events:
        assert_type(events, RunStream[Trip])
        assert_type(events.result, RunResult[Trip] | None)
    assert_type(await rt.resume("id", agent), RunResult[Trip])
    assert_type(await rt.resume("id"), RunResult[Any])
    assert_type(await rt.map(agent, ["hi"]), list[RunResult[Trip]])
    assert_type((await rt.run(Agent("m:x", output=Trip | City), "hi")).output, Trip | City)


async def asyncio_knows(rt: AsyncioRuntime, agent: Agent[Any, Trip]) -> None:
    """The methods of the runtime for asyncio do too."""
    assert_type(await rt.run(agent, "hi"), RunResult[Trip])
    assert_type(await rt.start(agent, "hi"), AsyncioRun[Trip])
    assert_type(await (await rt.start(agent, "hi")).wait(), RunResult[Trip])
    async with rt.stream(agent, "hi") as events:
        assert_type(events, AsyncioStream[Trip])
    assert_type(await rt.resume("id", agent), RunResult[Trip])
    assert_type(await rt.map(agent, ["hi"]), list[RunResult[Trip]])


class Database:
    """A dependency of tools."""


class Replica(Database):
    """A subclass of the dependency."""


async def dependencies_are_checked(rt: Runtime, agent: Agent[Database, Trip]) -> None:
    """An agent with a dependency type accepts a dependency of the type."""
    await rt.run(agent, "hi", deps=Database())
    await rt.run(agent, "hi", deps=Replica())
    run(agent, "hi", deps=Database())
    async with rt.stream(agent, "hi", deps=Database()):
        pass


def agents_of_all_kinds_may_be_mixed(
    trips: Agent[Database, Trip], plain: Agent, pool: AgentPool, agents: Sequence[Agent[Any, object]]
) -> None:
    """A bare `Agent` is an agent of any kind; an agent for a `Trip` is an agent for an `object`."""
    mixed: list[Agent] = [trips, plain, Agent("m:x"), Agent("m:x", output=Trip)]
    objects: Sequence[Agent[Any, object]] = [trips, Agent("m:x", output=City), *agents]
    needs_less: Agent[Replica, Trip] = trips
    declared: Agent[Database, Trip] = Agent("m:x", output=Trip)
    subscripted = Agent[Database, Trip]("m:x", output=Trip)

    assert_type(subscripted, Agent[Database, Trip])
    print(mixed, objects, needs_less, declared, pool)


def dicts_and_functions_will_do() -> None:
    """Settings, limits and the memory policy may be dicts, and tools may be functions."""

    def look(place: str) -> str:
        return place

    Agent("m:x", tools=[look, "files:read"], settings={"seed": 1}, limits={"turns": 1}, memory={"messages": 1})
    Runtime(limits={"turns": 1})


class Search:
    """A callable object with a method."""

    def __call__(self, words: str) -> str:
        """Search."""
        return words

    async def later(self, words: str, limit: int = 3) -> str:
        """Search later."""
        return words[:limit]


def tools_are_made_of_whatever_is_called() -> None:
    """Functions, methods, partials and objects, async or not, are tools as such, and by `tool`."""

    async def fetch(place: str, limit: int) -> str:
        return place[:limit]

    def fetch_soon(place: str) -> Coroutine[Any, Any, str]:
        return fetch(place, 3)

    bound = functools.partial(fetch, limit=3)
    search = Search()
    Agent("m:x", tools=[fetch, fetch_soon, bound, search, search.later, tool(search, name="search")])
    assert_type(tool(fetch), Tool)
    assert_type(tool(bound, name="fetch", description="Fetch a page."), Tool)
    assert_type(tool(search.later), Tool)

    @tool(name="look", inline=True)
    def look_around(place: str) -> str:
        return place

    @tool
    async def walk(place: str) -> str:
        return place

    assert_type(look_around, Tool)
    assert_type(walk, Tool)


def a_result_tells_more(result: RunResult[Trip]) -> None:
    """A result has the calls of tools and the run's duration."""
    assert_type(result.tool_calls, tuple[ToolCall, ...])
    assert_type(result.duration, float)
    assert_type(UsageError("no", hint="yes").full_text, str)
