"""agno_rt itself, measured as its peers are. Run by the driver, in the environment of this repository.

The history is a session of the in-process memory; an agent sees its last hundred messages, which is the default. A run
logs nothing by default; with logging, the log observer writes a line of JSON for each run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs
import msgspec
import structlog
import trio

from agno_rt import Agent, Flow, MemoryPolicy, Message, Runtime, Team, step, workflow
from agno_rt.defaults.memory import InProcessMemory
from agno_rt.runnable import Runnable
from agno_rt.teams import Broadcast
from benchmarks.common import CALLING, INSTANT, double, sqlite_url

from .protocol import AT_ONCE, BRANCHES, HISTORY, STEPS, Row, serve, versions

TOOLS = (double,)
POLICY = MemoryPolicy(HISTORY)
PAST = [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(HISTORY)]

Body = Callable[[Runtime, int], Awaitable[None]]


def in_runtime(body: Body, **options: Any) -> Row:
    """Return the row that repeats `body` in a runtime, without the time of opening the runtime."""

    async def row(times: int) -> float:
        async with Runtime(memory=InProcessMemory(), **options) as runtime:
            await runtime.memory.append("session", PAST, version=0)
            await body(runtime, 1)
            start = time.perf_counter()
            await body(runtime, times)
            return time.perf_counter() - start

    return row


# Creating an agent takes little more than a function call, so each loop has its own call written out.


async def create(times: int) -> float:
    """Create agents with a model and a name."""
    start = time.perf_counter()
    for _ in range(times):
        Agent(INSTANT, "assistant")
    return time.perf_counter() - start


async def create_tool(times: int) -> float:
    """Create agents with a tool."""
    start = time.perf_counter()
    for _ in range(times):
        Agent(INSTANT, "assistant", "", TOOLS)
    return time.perf_counter() - start


async def create_memory(times: int) -> float:
    """Create agents with a policy of memory."""
    start = time.perf_counter()
    for _ in range(times):
        Agent(INSTANT, "assistant", "", (), None, POLICY)
    return time.perf_counter() - start


async def runs(runtime: Runtime, times: int) -> None:
    """Run a new agent each time."""
    for _ in range(times):
        await runtime.run(Agent(INSTANT, "assistant"), "hello")


async def tool_runs(runtime: Runtime, times: int) -> None:
    """Run a new agent each time, with one tool call and two turns."""
    for _ in range(times):
        await runtime.run(Agent(CALLING, "assistant", "", TOOLS), "hello")


def runs_of(agent: Runnable, session: str | None) -> Body:
    """Return a body for repeated runs of an agent."""

    async def body(runtime: Runtime, times: int) -> None:
        for _ in range(times):
            await runtime.run(agent, "hello", session=session)

    return body


async def concurrent(runtime: Runtime, times: int) -> None:
    """Run the same agent many times at once."""
    agent = Agent(INSTANT, "assistant")
    for _ in range(times):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(runtime.run, agent, "hello")


async def memory_add(times: int) -> float:
    """Add messages to a session of a hundred messages."""
    memory, message = InProcessMemory(), (Message("user", "hello"),)
    version = await memory.append("session", PAST, version=0)
    start = time.perf_counter()
    for _ in range(times):
        version = await memory.append("session", message, version=version)
    return time.perf_counter() - start


@step(idempotent=True)
async def take_step(number: int) -> int:
    """Twice the number."""
    return 2 * number


@workflow
async def take_steps(flow: Flow) -> int:
    """Take recorded steps one after another."""
    number = 0
    for _ in range(STEPS):
        number = await take_step(1)
    return number


@workflow
async def take_branches(flow: Flow) -> int:
    """Take recorded steps at once."""
    return len(await flow.map(take_step, range(BRANCHES)))


def _make_team() -> Team:
    return Team([Agent(INSTANT, f"member {at}") for at in range(BRANCHES)], Broadcast(), name="team")


def runs_in_file(runnable: Any) -> Row:
    """Return the row of runs stored in an SQLite file, each step on the disk before the next begins."""

    async def row(times: int) -> float:
        with sqlite_url() as url:
            async with Runtime(memory=url) as runtime:
                await runtime.run(runnable, "go")
                start = time.perf_counter()
                for _ in range(times):
                    await runtime.run(runnable, "go")
                return time.perf_counter() - start

    return row


def rows() -> dict[str, Row]:
    """Return every row."""
    one, caller = Agent(INSTANT, "assistant"), Agent(CALLING, "assistant", "", TOOLS)
    return {
        "create": create,
        "create_tool": create_tool,
        "create_memory": create_memory,
        "run": in_runtime(runs),
        "run_logging": in_runtime(runs, observers=["log"]),
        "run_again": in_runtime(runs_of(one, None)),
        "run_history": in_runtime(runs_of(one, "session")),
        "run_history_logging": in_runtime(runs_of(one, "session"), observers=["log"]),
        "tool": in_runtime(tool_runs),
        "tool_history": in_runtime(runs_of(caller, "session")),
        "memory_add": memory_add,
        "concurrent": in_runtime(concurrent),
        "steps_plain": in_runtime(runs_of(attrs.evolve(take_steps, memory=MemoryPolicy()), None)),
        "steps": in_runtime(runs_of(take_steps, None)),
        "branches": in_runtime(runs_of(take_branches, None)),
        "team": in_runtime(runs_of(_make_team(), None)),
        "steps_durable": runs_in_file(take_steps),
    }


def as_json(line: Any, default: Any) -> bytes:
    """Encode a line of the log."""
    return msgspec.json.encode(line, enc_hook=default)


def log_json() -> None:
    """Let structlog write lines of JSON with time and level, in the fast way of the documentation."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=as_json),
        ],
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def run_trio(row: Coroutine[Any, Any, float]) -> float:
    """Run a row under trio."""

    async def main() -> float:
        return await row

    return trio.run(main)


if __name__ == "__main__":
    log_json()
    serve(
        {"versions": versions("agno-rt", "trio"), "import": "from agno_rt import Agent, Runtime"},
        rows(),
        run=run_trio,
        make=lambda: Agent(INSTANT, "assistant"),
    )
