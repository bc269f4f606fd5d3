"""pydantic-ai in the trials of `trial.py`: its FunctionModel; durable through DBOS on SQLite.

As its documentation says, each tool is a `DBOS.step`, and the run is in a `DBOS.workflow`. An approval ends its run
with `DeferredToolRequests`. The program keeps the messages, here in a file.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, SetWorkflowID
from pydantic_ai import Agent, CancellationToken, DeferredToolRequests, DeferredToolResults, ModelMessagesTypeAdapter
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.tools import Tool

from benchmarks.compare.trial import FOLDER, block_for, clean_up, go, has, main, note, wait_in_asyncio

TURNS = {"cancel": [["wait", "block"]], "resume": [["first"], ["left", "right"]], "decide": [["pay"]]}
WORKFLOW = "the-run"


def _make_model(trial: str) -> FunctionModel:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        if turn == len(TURNS[trial]):
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(name, "{}", name) for name in TURNS[trial][turn]])

    return FunctionModel(respond)


async def wait() -> str:
    """Wait until cancelled, then clean up for 0.2 s."""
    await clean_up()
    return ""


def block() -> str:
    """Block in a thread, as a plain function does."""
    block_for(2, "block")
    return ""


@DBOS.step()
def first() -> str:
    """Complete a step."""
    note("first called")
    return "1"


@DBOS.step()
def left() -> str:
    """Complete a step."""
    note("left called")
    return "2"


@DBOS.step()
def right() -> str:
    """Begin a step, until the kill."""
    note("right called")
    if not has("killed"):
        block_for(60, "right")
    return "3"


def pay() -> str:
    """Do a step after approval."""
    note("pay called")
    block_for(0.5, "pay")
    return "paid"


async def _cancel_run(by_token: bool) -> None:
    agent, token = Agent(_make_model("cancel"), tools=[wait, block]), CancellationToken()
    run = asyncio.create_task(agent.run("Go.", **({"cancellation_token": token} if by_token else {})))
    await wait_in_asyncio("wait began")
    await wait_in_asyncio("block began")
    note("cancel")
    if by_token:
        token.cancel()
    else:
        run.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(run), 5)
    except TimeoutError:
        note("not back after 5 s")
    except BaseException as exc:
        note(f"the run raised {type(exc).__name__}")
    note("returned")
    await asyncio.sleep(2.5)


async def cancel() -> None:
    """Cancel the task that awaits a run with two tools in progress."""
    await _cancel_run(False)


async def cancel_by_token() -> None:
    """Cancel the run by a token."""
    await _cancel_run(True)


async def _run_durably() -> None:
    DBOS(
        config={
            "name": "trial",
            "system_database_url": f"sqlite:///{FOLDER / 'dbos.sqlite'}",
            "application_version": "1",
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    agent = Agent(_make_model("resume"), name="clerk", tools=[first, left, right], capabilities=[DBOSDurability()])

    @DBOS.workflow(name="clerk_run")
    async def workflow() -> str:
        answer: str = (await agent.run("Go.")).output
        return answer

    DBOS.launch()
    with SetWorkflowID(WORKFLOW):
        handle = await DBOS.start_workflow_async(workflow)
    note(f"answered {await handle.get_result()}")


async def begin() -> None:
    """Run until the kill."""
    await _run_durably()


async def resume() -> None:
    """Go on with the interrupted run, which DBOS recovers at launch."""
    await _run_durably()


def _make_asking_agent() -> Any:
    return Agent(
        _make_model("decide"), tools=[Tool(pay, requires_approval=True)], output_type=[str, DeferredToolRequests]
    )


async def ask() -> None:
    """Run until approval is needed."""
    done = await _make_asking_agent().run("Go.")
    (FOLDER / "messages.json").write_bytes(done.all_messages_json())
    note(f"the run is over with {type(done.output).__name__}")
    await asyncio.sleep(60)


async def decide() -> None:
    """Approve and go on."""
    messages = ModelMessagesTypeAdapter.validate_json((FOLDER / "messages.json").read_bytes())
    go()
    done = await _make_asking_agent().run(
        message_history=messages, deferred_tool_results=DeferredToolResults(approvals={"pay": True})
    )
    note(f"answered {done.output}")


if __name__ == "__main__":
    main(
        {
            "cancel": cancel,
            "cancel_by_token": cancel_by_token,
            "begin": begin,
            "resume": resume,
            "ask": ask,
            "decide": decide,
        }
    )
