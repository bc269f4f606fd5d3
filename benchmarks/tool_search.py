"""An agent that searches its tools: resolving a thousand tools, and one search among them."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import trio

from .common import Parts, measured_in

with Parts() as setup:
    from agno_rt import Agent, ModelResponse, Runtime, Tool, ToolCall, ToolSearch, tool
    from agno_rt.testing import ScriptedModel

TOOLS = 1_000
ROUNDS = 7
_NOUNS = ("invoice", "ticket", "calendar", "repository", "mailbox", "branch", "order", "customer")


def _make_tools() -> list[Tool]:
    async def work(target: str, count: int = 1) -> str:
        return f"{target} {count}"

    made = tool(work)
    return [
        attrs.evolve(
            made, name=f"{_NOUNS[at % 8]}_{at}", description=f"Change, move or read the {_NOUNS[at % 8]} {at}."
        )
        for at in range(TOOLS)
    ]


class Search:
    """A runtime with one agent of a thousand tools; each round has tools and a runtime of its own."""

    @measured_in("ms")
    def track_milliseconds_to_list(self) -> float:
        """The time from the tools to the list of a request: an agent is resolved for the first time."""
        return round(1000 * min(trio.run(_time_list) for _ in range(ROUNDS)), 2)

    @measured_in("ms")
    def track_milliseconds_of_the_first_search(self) -> float:
        """The time of a run whose model searches once: the words of all tools are read."""
        return round(1000 * min(trio.run(_time_search, 1) for _ in range(ROUNDS)), 2)

    @measured_in("ms")
    def track_milliseconds_of_a_further_search(self) -> float:
        """The time that one search more takes within a run."""
        many = min(trio.run(_time_search, 21) for _ in range(ROUNDS))
        return round(1000 * (many - min(trio.run(_time_search, 1) for _ in range(ROUNDS))) / 20, 3)


async def _time_list() -> float:
    tools = _make_tools()
    async with Runtime() as runtime:
        began = time.perf_counter()
        runtime.check(Agent(ScriptedModel(["ok"]), tools=[ToolSearch(tools)]))
        return time.perf_counter() - began


async def _time_search(times: int) -> float:
    call = ToolCall("c", "search_tools", '{"query": "move an invoice of a customer"}')
    model = ScriptedModel([ModelResponse(tool_calls=(call,))] * times + ["ok"])
    agent = Agent(model, tools=[ToolSearch(_make_tools())], limits={"turns": times + 1})
    async with Runtime() as runtime:
        runtime.check(agent)
        began = time.perf_counter()
        await runtime.run(agent, "Go.")
        return time.perf_counter() - began


def main(show: Callable[[str], None] = print) -> None:
    """Print all numbers."""
    search = Search()
    show(f"1,000 tools listed in {search.track_milliseconds_to_list()} ms")
    show(f"the first search: {search.track_milliseconds_of_the_first_search()} ms")
    show(f"a further search: {search.track_milliseconds_of_a_further_search()} ms")


if __name__ == "__main__":
    main()
