"""Tools of an MCP server over stdio: a call beside the SDK's own client, and a thousand tools listed and searched."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from .common import Parts, few, measured_in

with Parts() as setup:
    from agno_rt_mcp import make_toolkit
    from agno_rt_mcp.connection import open_connection
    from agno_rt_mcp.results import make_tools
    from agno_rt_mcp.settings import ServerSettings
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters

    from agno_rt import Agent, ModelResponse, RunContext, Runtime, ToolCall, ToolSearch
    from agno_rt.testing import ScriptedModel

CALLS = 300
ROUNDS = few(7)
TOOLS = 1_000


class Calls:
    """One server with a thousand tools and the handshake of 2025, which answers at once."""

    @measured_in("x")
    def track_ratio_to_the_sdk(self) -> float:
        """A call of a run's tool over a call of the SDK's client, in turns within one process: the best of each."""
        return round(trio.run(_compare), 2)

    @measured_in("ms")
    def track_milliseconds_of_a_call(self) -> float:
        """A call of a run's tool."""
        return round(1000 * trio.run(_time_our_calls), 3)


class Lists:
    """A thousand tools of one server."""

    @measured_in("ms")
    def track_milliseconds_to_list(self) -> float:
        """The time from an open connection to a thousand tools, asked for, read and made."""
        return round(1000 * trio.run(_time_list), 1)

    @measured_in("ms")
    def track_milliseconds_to_search(self) -> float:
        """The time of a run whose model searches the thousand tools once."""
        return round(1000 * trio.run(_time_search), 1)

    def track_bytes_of_the_tools_in_a_request(self) -> int:
        """The tools of each request of a searching run, as JSON: the same in all requests, else -1."""
        return trio.run(_measure_prefix)

    track_bytes_of_the_tools_in_a_request.unit = "bytes"  # type: ignore[attr-defined]


def _settings() -> ServerSettings:
    return ServerSettings("many", command=sys.executable, args=(str(Path(__file__).with_name("mcp_server.py")),))


@asynccontextmanager
async def _open_ours() -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    kit: Any = make_toolkit(_settings())
    context: RunContext[Any] = RunContext("run")
    async with kit.open() as lists:
        tools = {tool.name: tool for tool in await anext(aiter(lists))}
        function = tools["tool0000"].function

        async def call(number: int) -> Any:
            return await function(n=number, agno_rt_context=context)

        yield call


@asynccontextmanager
async def _open_the_sdk() -> AsyncIterator[Callable[[int], Awaitable[Any]]]:
    settings = _settings()
    parameters = StdioServerParameters(command=settings.command, args=list(settings.args))
    async with Client(parameters) as client:
        await client.list_tools()

        async def call(number: int) -> Any:
            return await client.call_tool("tool0000", {"n": number})

        yield call


async def _time_calls(call: Callable[[int], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    for number in range(CALLS):
        await call(number)
    return (time.perf_counter() - began) / CALLS


async def _compare() -> float:
    async with _open_ours() as ours, _open_the_sdk() as theirs:
        own, other = [], []
        for _ in range(ROUNDS):
            own.append(await _time_calls(ours))
            other.append(await _time_calls(theirs))
        return min(own) / min(other)


async def _time_our_calls() -> float:
    async with _open_ours() as ours:
        return min([await _time_calls(ours) for _ in range(ROUNDS)])


async def _time_list() -> float:
    async with open_connection(_settings()) as (connection, lists):
        await anext(aiter(lists))
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            async with connection.using("the tools") as (client, kept):
                entries, _ = await kept.list_pages("tools", client.list_tools)
            assert len(make_tools(connection.settings, entries, connection.call)) == TOOLS
            times.append(time.perf_counter() - began)
        return min(times)


def _make_searcher(turns: int = 1) -> tuple[Agent, ScriptedModel]:
    call = ToolCall("c", "search_tools", '{"query": "tool0777"}')
    model = ScriptedModel([ModelResponse(tool_calls=(call,))] * turns + ["ok"])
    return Agent(model, tools=[ToolSearch((make_toolkit(_settings()),))]), model


async def _time_search() -> float:
    times = []
    for _ in range(3):
        agent, _ = _make_searcher()
        async with Runtime() as runtime:
            await runtime.open_tools(agent)
            began = time.perf_counter()
            await runtime.run(agent, "Go.")
            times.append(time.perf_counter() - began)
    return min(times)


async def _measure_prefix() -> int:
    agent, model = _make_searcher(turns=3)
    async with Runtime() as runtime:
        await runtime.run(agent, "Go.")
    shown = {
        json.dumps([[each.name, each.description, each.parameters] for each in request.tools])
        for request in model.requests
    }
    return len(shown.pop()) if len(shown) == 1 else -1


def main(show: Callable[[str], None] = print) -> None:
    """Print all numbers."""
    show(f"a call: {Calls().track_ratio_to_the_sdk()} x the SDK's client, {Calls().track_milliseconds_of_a_call()} ms")
    lists = Lists()
    show(f"1,000 tools listed in {lists.track_milliseconds_to_list()} ms")
    show(f"searched in {lists.track_milliseconds_to_search()} ms")
    show(f"{lists.track_bytes_of_the_tools_in_a_request()} bytes of tools in each request")


if __name__ == "__main__":
    main()
