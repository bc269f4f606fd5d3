"""The program that forks workers: `python -m agno_rt.testing.workers.program URL MODULE...`.

Each line of the input forks a worker, so that the modules are imported once. A worker of `start` begins runs and takes
over lost runs until killed; a worker of `finish` begins nothing, and ends when no run is left. Every line of the output
begins with the process id of a worker.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import trio

from agno_rt.agent import Agent
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import ToolCall
from agno_rt.models import ModelRequest
from agno_rt.run_store import RunStore
from agno_rt.runtime import Runtime
from agno_rt.testing.scripted import ScriptedModel
from agno_rt.tools import tool

__all__ = ["STEPS"]

STEPS = 4
"""The tool calls of each run."""

UNDER_WAY = 8
"""Running runs of all workers above which no worker begins another run.

Without a bound, a worker that is killed after a dozen calls leaves more work than it has done. Soon each worker takes
over a hundred runs, and dies before one call of them is stored.
"""

LOOK_SECONDS = 0.05


def tell(*words: object) -> None:
    """Print a line about this process, in one write: lines of several processes do not mix."""
    os.write(1, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())


@tool(idempotent=True)
async def step(question: str, number: int) -> str:
    """Carry out a step."""
    # First of all: a process that is halted here loses its lease, and another process goes on meanwhile.
    tell("done", question, number)
    await trio.sleep(0.01)
    return "done"


def answer(request: ModelRequest) -> Any:
    """Call the next step, or finish."""
    question = next(message.text for message in request.messages if message.role == "user")
    number = sum(message.role == "tool" for message in request.messages)
    if number == STEPS:
        return "finished"
    return ToolCall(f"c{number}", "step", json.dumps({"question": question, "number": number}))


async def work(url: str, *, ends: bool) -> None:
    """Work on the runs of the store until killed; with `ends`, until no run is left."""
    agent = Agent(ScriptedModel(answer), "agent", tools=[step], memory=MemoryPolicy(journal=True))
    # A run that is often killed is the point here.
    async with Runtime(memory=url, limits=Limits(takeovers=None)) as rt:
        store = rt.memory
        assert isinstance(store, RunStore), "the store keeps no runs"
        rt.add(agent)
        rt.wake_runs()
        begun = 0
        while True:
            running = len(await store.runs(status="running", limit=UNDER_WAY))
            if ends and not running:
                return
            if not ends and running < UNDER_WAY:
                question, begun = f"{os.getpid()}-{begun}", begun + 1
                await rt.start(agent, question, session=question)
            else:
                await trio.sleep(LOOK_SECONDS)


def fork_worker(url: str, *, ends: bool) -> int:
    """Fork a worker, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        trio.run(lambda: work(url, ends=ends))
    except BaseException as exc:
        tell("died", repr(exc))
    os._exit(0)


def main(url: str, *modules: str) -> None:
    """Fork a worker for each line of the input."""
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        ends = line.strip() == "finish"
        child = fork_worker(url, ends=ends)
        if ends:
            os.waitpid(child, 0)
            tell("over")
        else:
            os.write(1, f"{child} forked\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
