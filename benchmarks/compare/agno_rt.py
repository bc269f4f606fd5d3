"""agno_rt in the trials of `trial.py`."""

from __future__ import annotations

import sys

import trio

from agno_rt import Agent, MemoryPolicy, ModelRequest, ModelResponse, Runtime, Tool, ToolCall, tool
from agno_rt.run_store import RunStore
from benchmarks.compare.trial import FOLDER, block_for, go, has, main, note, wait_for

TURNS = {
    "cancel": [["wait", "block"]],
    "resume": [["first"], ["left", "right"]],
    "decide": [["pay"]],
}
MEMORY = f"sqlite:///{FOLDER / 'agno_rt.db'}"


class Calling:
    """A model that calls each turn's tools in order, then answers. It reads messages only, so any process can go on."""

    name = "calling"

    def __init__(self, turns: list[list[str]]) -> None:
        self.turns = turns

    async def respond(self, request: ModelRequest, emit: object = None) -> ModelResponse:
        """Call the tools of the next turn."""
        for message in request.messages:
            if message.role == "tool" and "not known" in message.text:
                note(f"the model is told of {message.name} that its outcome is not known")
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == len(self.turns):
            return ModelResponse("done")
        return ModelResponse("", tuple(ToolCall(name, name, "{}") for name in self.turns[turn]))


@tool
async def wait() -> str:
    """Wait until cancelled, then clean up for 0.2 s."""
    note("wait began")
    try:
        await trio.sleep(60)
    except trio.Cancelled:
        note("wait cancelled")
        with trio.CancelScope(shield=True):
            await trio.sleep(0.2)
        note("wait cleaned up")
        raise
    return ""


@tool(process=True)
def block() -> str:
    """Block in a process of its own, which a cancellation kills."""
    block_for(2, "block")
    return ""


@tool
def block_in_thread() -> str:
    """Block in a thread, as a plain function does by default."""
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


@tool(approve=True)
def pay() -> str:
    """Do a step after approval."""
    note("pay called")
    block_for(0.5, "pay")
    return "paid"


def _make_agent(trial: str, *tools: Tool) -> Agent:
    return Agent(Calling(TURNS[trial]), "clerk", tools=tools, memory=MemoryPolicy(journal=True))


async def cancel(second: Tool = block) -> None:
    """Cancel a run with two tools in progress."""
    model = Calling([["wait", second.name]])
    async with Runtime() as runtime:
        run = await runtime.start(Agent(model, "clerk", tools=[wait, second]), "Go.")
        for line in ("wait began", "block began"):
            await trio.to_thread.run_sync(wait_for, line)
        note("cancel")
        run.cancel()
        try:
            done = await run.wait()
            note(f"the run is {done.status}")
        except Exception as exc:
            note(f"the run raised {type(exc).__name__}")
        note("returned")
        await trio.sleep(2.5)


async def cancel_thread() -> None:
    """Cancel a run whose blocking tool is in a thread."""
    await cancel(block_in_thread)


async def begin() -> None:
    """Run until the kill."""
    async with Runtime(memory=MEMORY) as runtime:
        await runtime.run(_make_agent("resume", first, left, right), "Go.", session="s")


async def resume() -> None:
    """Go on with the interrupted run."""
    async with Runtime(memory=MEMORY) as runtime:
        store: RunStore = runtime.memory  # type: ignore[assignment]
        for run in await store.runs(status="running"):
            result = await runtime.resume(run.id, _make_agent("resume", first, left, right))
            note(f"answered {result.content}")


async def ask() -> None:
    """Run until approval is needed."""
    async with Runtime(memory=MEMORY) as runtime:
        result = await runtime.run(_make_agent("decide", pay), "Go.", session="s")
        note(f"the run is {result.status}")
        await trio.sleep(60)


async def decide() -> None:
    """Approve and go on."""
    async with Runtime(memory=MEMORY) as runtime:
        store: RunStore = runtime.memory  # type: ignore[assignment]
        (waiting,) = await store.approvals()
        go()
        await runtime.approve(waiting.id)
        result = await runtime.resume(waiting.run, _make_agent("decide", pay))
        note(f"answered {result.content}")


if __name__ == "__main__":
    steps = {
        "cancel": cancel,
        "cancel_thread": cancel_thread,
        "begin": begin,
        "resume": resume,
        "ask": ask,
        "decide": decide,
    }
    main(steps, trio.run)
    sys.exit()
