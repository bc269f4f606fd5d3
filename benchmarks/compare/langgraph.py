"""LangGraph in the trials of `trial.py`: `create_agent` of LangChain with the SQLite checkpointer."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, interrupt

from benchmarks.compare.trial import FOLDER, block_for, clean_up, go, has, main, note, wait_in_asyncio
from benchmarks.peers.langgraph import InstantModel

TURNS = {"cancel": [["wait", "block"]], "resume": [["first"], ["left", "right"]], "decide": [["pay"]]}
THREAD: Any = {"configurable": {"thread_id": "t"}}
GO: Any = {"messages": [{"role": "user", "content": "Go."}]}


class Calling(InstantModel):
    """A model that calls the tools of each turn in order, and then answers."""

    turns: list[list[str]]

    def _respond(self, messages: list[BaseMessage]) -> AIMessage:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        if turn == len(self.turns):
            return AIMessage("done")
        return AIMessage("", tool_calls=[ToolCall(id=name, name=name, args={}) for name in self.turns[turn]])


@tool
async def wait() -> str:
    """Wait until cancelled, then clean up for 0.2 s."""
    await clean_up()
    return ""


@tool
def block() -> str:
    """Block in a thread, as a plain function does."""
    block_for(2, "block")
    return ""


@tool
def first() -> str:
    """Complete a step."""
    note("first called")
    return "1"


@tool
def left() -> str:
    """Complete a step."""
    note("left called")
    return "2"


@tool
def right() -> str:
    """Begin a step, until the kill."""
    note("right called")
    if not has("killed"):
        block_for(60, "right")
    return "3"


@tool
def pay() -> str:
    """Do a step after approval."""
    if not interrupt("pay?"):
        return "denied"
    note("pay called")
    block_for(0.5, "pay")
    return "paid"


def _make_agent(trial: str, saver: AsyncSqliteSaver | None, *tools: Any) -> Any:
    return create_agent(Calling(turns=TURNS[trial]), list(tools), checkpointer=saver)


def _open_saver() -> Any:
    return AsyncSqliteSaver.from_conn_string(str(FOLDER / "langgraph.db"))


async def cancel() -> None:
    """Cancel the task that awaits a run with two tools in progress."""
    run = asyncio.create_task(_make_agent("cancel", None, wait, block).ainvoke(GO))
    await wait_in_asyncio("wait began")
    await wait_in_asyncio("block began")
    note("cancel")
    run.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(run), 5)
    except TimeoutError:
        note("not back after 5 s")
    except BaseException as exc:
        note(f"the run raised {type(exc).__name__}")
    note("returned")
    await asyncio.sleep(2.5)


async def begin() -> None:
    """Run until the kill."""
    async with _open_saver() as saver:
        await _make_agent("resume", saver, first, left, right).ainvoke(GO, THREAD, durability="sync")


async def resume() -> None:
    """Go on with the interrupted run."""
    async with _open_saver() as saver:
        done = await _make_agent("resume", saver, first, left, right).ainvoke(None, THREAD, durability="sync")
        note(f"answered {done['messages'][-1].content}")


async def ask() -> None:
    """Run until approval is needed."""
    async with _open_saver() as saver:
        done = await _make_agent("decide", saver, pay).ainvoke(GO, THREAD, durability="sync")
        note(f"the run is {'interrupted' if '__interrupt__' in done else 'over'}")
        await asyncio.sleep(60)


async def decide() -> None:
    """Approve and go on."""
    async with _open_saver() as saver:
        agent = _make_agent("decide", saver, pay)
        go()
        done = await agent.ainvoke(Command(resume=True), THREAD, durability="sync")
        note(f"answered {done['messages'][-1].content}")


if __name__ == "__main__":
    main({"cancel": cancel, "begin": begin, "resume": resume, "ask": ask, "decide": decide})
