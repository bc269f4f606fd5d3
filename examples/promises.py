"""Three promises, kept: see the children of a run, stop all of them, resume a killed run without repeating work.

The models are a few lines that call tools in order: you see the runtime alone. It takes two seconds.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import trio
import trio.testing

from agno_rt import Agent, Deps, MemoryPolicy, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.models import Emit

HERE = Path(tempfile.mkdtemp()) if len(sys.argv) == 1 else Path(sys.argv[1])
MEMORY = f"sqlite:///{HERE / 'runs.db'}"


class Calls:
    """A model that calls the tools, one a turn, and then answers."""

    name = "calls"

    def __init__(self, *tools: str) -> None:
        self.tools = tools

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Count the turns so far, and call the next tool."""
        turn = sum(message.role == "assistant" for message in request.messages)
        if turn == len(self.tools):
            return ModelResponse(f"Done. {request.messages[-1].text}")
        return ModelResponse("", (ToolCall(f"call-{turn}", self.tools[turn], "{}"),))


@tool
async def read_archive() -> None:
    """Wait for ever, and clean up when stopped."""
    try:
        await trio.sleep_forever()
    finally:
        print("   the archive was closed")


@tool
async def research(rt: Deps[Runtime]) -> str:
    """Let another agent look: the inner run is a child of this run."""
    return (await rt.run(Agent(Calls("read_archive"), "researcher", tools=[read_archive]), "Look.")).content


@tool
def charge() -> str:
    """Charge the card, which must not happen twice."""
    with open(HERE / "card.txt", "a") as card:
        card.write("charged\n")
    return "The card was charged."


@tool(idempotent=True)
def send_receipt() -> str:
    """Hang in the first process, until the kill; work in the second. Sending twice would do no harm."""
    if len(sys.argv) > 1:
        print("under way", flush=True)
        signal.pause()
    return "The receipt is sent."


editor = Agent(Calls("research"), "editor", tools=[research])
shop = Agent(Calls("charge", "send_receipt"), "shop", tools=[charge, send_receipt], memory=MemoryPolicy(journal=True))


async def buy() -> None:
    """Run the shop, in the process to be killed."""
    async with Runtime(memory=MEMORY) as rt:
        await rt.run(shop, "Buy it.", session="ann")


def buy_and_kill() -> None:
    """Start a process that buys, and kill it in the middle."""
    with subprocess.Popen([sys.executable, __file__, str(HERE)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    print("   kill -9, in the middle of send_receipt")


async def main() -> None:
    """See, stop, resume."""
    async with Runtime() as rt:
        run = await rt.start(editor, "Write about Ada.", deps=rt)
        await trio.testing.wait_all_tasks_blocked()
        print(f"See what the children do:\n{rt.tasks()}\n")
        print("Stop it:")
        run.cancel()
        result = await run.wait()
        print(f"   the run is {result.status}; what is left: {len(list(rt.tasks().all_runs()))} runs\n")

    print("Resume it without doing it again:")
    await trio.to_thread.run_sync(buy_and_kill)
    async with Runtime(memory=MEMORY) as rt:
        (record,) = await rt.memory.runs(status="running")  # type: ignore[attr-defined]
        result = await rt.resume(record.id, shop)
    print(f"   {result.content}")
    print(f"   charge was called {len((HERE / 'card.txt').read_text().splitlines())} time")
    shutil.rmtree(HERE)


if __name__ == "__main__":
    trio.run(buy if len(sys.argv) > 1 else main)
