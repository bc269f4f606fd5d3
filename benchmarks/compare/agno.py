"""Agno in the trials of `trial.py`: `checkpoint="tool-batch"`, the finest of version 3.1, and its SQLite database."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.response import ModelResponse
from agno.tools import tool

from benchmarks.compare.trial import FOLDER, block_for, clean_up, go, has, main, note, wait_in_asyncio
from benchmarks.peers.agno import InstantModel

TURNS = {"cancel": [["wait", "block"]], "resume": [["first"], ["left", "right"]], "decide": [["pay"]]}
RUN = "11111111-1111-4111-8111-111111111111"


class Calling(InstantModel):
    """A model that calls the tools of each turn in order, and then answers."""

    turns: list[list[str]]

    def _respond(self, messages: list[Any]) -> ModelResponse:
        turn = sum(message.role == "assistant" for message in messages)
        if turn == len(self.turns):
            return ModelResponse(role="assistant", content="done")
        calls = [
            {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in self.turns[turn]
        ]
        return ModelResponse(role="assistant", tool_calls=calls)


async def wait() -> str:
    """Wait until cancelled, then clean up for 0.2 s."""
    await clean_up()
    return ""


def block() -> str:
    """Block in a thread, as a plain function does."""
    block_for(2, "block")
    return ""


def first() -> str:
    """Complete a step."""
    note("first called")
    return "1"


def left() -> str:
    """Complete a step."""
    note("left called")
    return "2"


def right() -> str:
    """Begin a step, until the kill."""
    note("right called")
    if not has("killed"):
        block_for(60, "right")
    return "3"


@tool(requires_confirmation=True)
def pay() -> str:
    """Do a step after approval."""
    note("pay called")
    block_for(0.5, "pay")
    return "paid"


def _make_agent(trial: str, *tools: Any) -> Agent:
    model = Calling(id="calling")
    model.turns = TURNS[trial]
    database = SqliteDb(db_file=str(FOLDER / "agno.db"))
    return Agent(model=model, name="clerk", tools=list(tools), db=database, checkpoint="tool-batch", telemetry=False)


async def _cancel_run(by_id: bool) -> None:
    agent, run_id = _make_agent("cancel", wait, block), str(uuid.uuid4())
    run = asyncio.create_task(agent.arun("Go.", session_id="s", run_id=run_id))
    await wait_in_asyncio("wait began")
    await wait_in_asyncio("block began")
    note("cancel")
    if by_id:
        await agent.acancel_run(run_id)
    else:
        run.cancel()
    try:
        done = await asyncio.wait_for(asyncio.shield(run), 5)
        note(f"the run is {done.status.value}")
    except TimeoutError:
        note("not back after 5 s")
    except BaseException as exc:
        note(f"the run raised {type(exc).__name__}")
    note("returned")
    await asyncio.sleep(2.5)


async def cancel() -> None:
    """Cancel the task that awaits a run with two tools in progress."""
    await _cancel_run(False)


async def cancel_by_id() -> None:
    """Cancel the same run by its id, as Agno documents."""
    await _cancel_run(True)


async def begin() -> None:
    """Run until the kill."""
    await _make_agent("resume", first, left, right).arun("Go.", session_id="s", run_id=RUN)


async def resume() -> None:
    """Go on with the interrupted run."""
    done = await _make_agent("resume", first, left, right).acontinue_run(run_id=RUN, session_id="s")
    note(f"answered {done.content}")


async def ask() -> None:
    """Run until approval is needed."""
    done = await _make_agent("decide", pay).arun("Go.", session_id="s", run_id=RUN)
    note(f"the run is {done.status.value.lower()}")
    await asyncio.sleep(60)


async def decide() -> None:
    """Approve and go on."""
    agent = _make_agent("decide", pay)
    paused = agent.get_run_output(run_id=RUN, session_id="s")
    go()
    for requirement in paused.requirements:
        requirement.confirm()
    done = await agent.acontinue_run(run_id=RUN, requirements=paused.requirements, session_id="s")
    note(f"answered {done.content}")


if __name__ == "__main__":
    main(
        {
            "cancel": cancel,
            "cancel_by_id": cancel_by_id,
            "begin": begin,
            "resume": resume,
            "ask": ask,
            "decide": decide,
        }
    )
