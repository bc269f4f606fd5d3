"""The peer LangGraph: the agent that its makers build on it (create_agent), under asyncio. Run by the driver.

The history is its InMemorySaver, the checkpointer for one process. The history grows with each run, so a row with a
history uses a new saver for each measurement. LangSmith's tracing is off; a run logs nothing by default.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task

from .protocol import BRANCHES, HISTORY, STEPS, Row, concurrent, made, serve, timed, versions


class InstantModel(BaseChatModel):
    """A model with an immediate answer."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _respond(self, messages: list[BaseMessage]) -> AIMessage:
        return AIMessage("ok")

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._respond(messages))])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Return the model itself, which answers the same with any tools."""
        return self


class CallingModel(InstantModel):
    """A model with a tool call before its answer."""

    def _respond(self, messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return super()._respond(messages)
        return AIMessage("", tool_calls=[ToolCall(id="call", name="double", args={"number": 21})])


@tool
async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@task
async def take_step(number: int) -> int:
    """Twice the number."""
    return 2 * number


INSTANT, CALLING = InstantModel(), CallingModel()
IN_THREAD: Any = {"configurable": {"thread_id": "thread"}}


def simple() -> Any:
    """Make an agent as the first in LangGraph's documentation."""
    return create_agent(INSTANT, name="assistant")


def calling() -> Any:
    """Make the agent with a tool."""
    return create_agent(CALLING, tools=[double], name="assistant")


def remembering() -> Any:
    """Make an agent with a memory of threads."""
    return create_agent(INSTANT, name="assistant", checkpointer=InMemorySaver())


def said(text: str) -> Any:
    """Return the input of a run."""
    return {"messages": [HumanMessage(text)]}


async def _open_thread(**options: Any) -> Any:
    agent = create_agent(name="assistant", checkpointer=InMemorySaver(), **options)
    past: list[AnyMessage] = []
    for _ in range(HISTORY // 2):
        past += [HumanMessage("hello"), AIMessage("hello")]
    await agent.aupdate_state(IN_THREAD, {"messages": past})
    return agent


def in_thread(**options: Any) -> Row:
    """Return the row of runs in a thread that begins with a hundred messages."""

    async def row(times: int) -> float:
        agent = await _open_thread(**options)
        return await timed(lambda: agent.ainvoke(said("hello"), IN_THREAD))(times)

    return row


async def memory_add(times: int) -> float:
    """Add messages to a thread of a hundred messages."""
    agent = await _open_thread(model=INSTANT)
    return await timed(lambda: agent.aupdate_state(IN_THREAD, said("hello")))(times)


def in_new_threads(work: Any) -> Row:
    """Return the row of runs of a function with recorded tasks, each in a thread of its own, all in one saver."""
    threads = itertools.count()
    flow = entrypoint(checkpointer=InMemorySaver())(work)
    return timed(lambda: flow.ainvoke(1, {"configurable": {"thread_id": f"thread {next(threads)}"}}))


async def take_steps(number: int) -> int:
    """Take steps one after another."""
    for _ in range(STEPS):
        number = await take_step(1)
    return number


async def take_branches(number: int) -> int:
    """Take steps at once."""
    return len(await asyncio.gather(*(take_step(at) for at in range(BRANCHES))))


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    one = simple()
    return {
        "create": made(simple),
        "create_tool": made(calling),
        "create_memory": made(remembering),
        "run": timed(lambda: simple().ainvoke(said("hello"))),
        "run_again": timed(lambda: one.ainvoke(said("hello"))),
        "run_history": in_thread(model=INSTANT),
        "tool": timed(lambda: calling().ainvoke(said("hello"))),
        "tool_history": in_thread(model=CALLING, tools=[double]),
        "memory_add": memory_add,
        "concurrent": concurrent(lambda: one.ainvoke(said("hello"))),
        "steps": in_new_threads(take_steps),
        "branches": in_new_threads(take_branches),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": versions("langgraph", "langchain"),
            "import": "from langchain.agents import create_agent",
            # The history grows with each run, so only few runs stay near a hundred messages.
            "most": dict.fromkeys(("run_history", "tool_history", "memory_add"), 10),
            "notes": {"memory_add": "`aupdate_state` with its InMemorySaver, which keeps every state"},
        },
        rows(),
        make=simple,
    )
