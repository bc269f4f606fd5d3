"""The rows of the kernel: the cost of making an agent, of a run, of memory, of a stream, of waiting."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import trio
import trio.testing

from agno_rt.agent import Agent
from agno_rt.limits import Limits
from agno_rt.memory import MemoryPolicy
from agno_rt.messages import Message, ToolCall
from agno_rt.runtime import Runtime
from agno_rt.testing.measuring import Times, bytes_held, checkpoints, python_calls, ratio, scheduler_steps, seconds
from agno_rt.tools import tool
from agno_rt_bench.models import Calling, Instant, Parked, Talking, Waiting
from agno_rt_bench.rows import Case, Effort, Figure, Measured, measure_in_batches, take_middle

__all__ = ["kernel_cases"]

GROUP = "kernel"
MANY = Limits(runs=100_000, queue=0, model_calls=100_000)
WAIT_SECONDS = 0.1
AGENTS, TOKENS, PARKED, TIMES = 10_000, 1_000, 1_000, 50
HISTORY = [Message("user" if at % 2 == 0 else "assistant", "hello") for at in range(100)]


@tool(inline=True)
def double(number: int) -> int:
    """Double the number."""
    return 2 * number


INSTANT = Instant()
CALLING = Calling(ToolCall("call", "double", '{"number": 21}'))
TOOLS = (double,)
POLICY = MemoryPolicy(20)

# The lower bound for making an agent: a slotted object with as many fields, and values for two of them.
_names = [field.name for field in attrs.fields(Agent)]
_fields: dict[str, Any] = {_names[0]: attrs.field(), **{name: attrs.field(default=None) for name in _names[1:]}}
Bare: Any = attrs.make_class("Bare", _fields, eq=False, weakref_slot=False)


def kernel_cases() -> list[Case]:
    """Return the rows of the kernel."""
    bare, tasks = "against a bare object", "against bare tasks"
    return [
        Case("create-simple", GROUP, f"make an agent, {bare}", partial(_measure_creation, _make_simple)),
        Case("create-tools", GROUP, f"make an agent with tools, {bare}", partial(_measure_creation, _make_with_tools)),
        Case(
            "create-memory",
            GROUP,
            f"make an agent with a memory policy, {bare}",
            partial(_measure_creation, _make_with_memory),
        ),
        Case("agent-bytes", GROUP, "the memory that an agent takes", _measure_agent_bytes),
        Case("run-simple", GROUP, "a run with one answer", partial(_measure_runs, _simple_runs)),
        Case("run-tool", GROUP, "a run with one tool call, two turns", partial(_measure_runs, _tool_runs)),
        Case("run-session", GROUP, "a run in a session of 100 messages", _measure_session_runs),
        Case("append-10", GROUP, "add a message to a session of 10, in process", partial(_measure_append, 10)),
        Case("append-100000", GROUP, "the same, to a session of 100,000", partial(_measure_append, 100_000)),
        Case("token", GROUP, "a token on its way to the reader of a stream", _measure_token),
        Case("waiting-1000", GROUP, f"1,000 runs that wait 100 ms, {tasks}", partial(_measure_at_once, 1_000)),
        Case("waiting-10000", GROUP, f"10,000 runs that wait 100 ms, {tasks}", partial(_measure_at_once, 10_000)),
        Case("waiting-bytes", GROUP, "the memory of a run that waits for its model", _measure_waiting_bytes),
        Case("counts-simple", GROUP, "the work of a run with one answer, counted", partial(_count_runs, _simple_runs)),
        Case("counts-tool", GROUP, "the work of a run with one tool call, counted", partial(_count_runs, _tool_runs)),
    ]


async def _make_bare(times: int) -> None:
    for _ in range(times):
        Bare(INSTANT, "assistant")


async def _make_simple(times: int) -> None:
    for _ in range(times):
        Agent(INSTANT, "assistant")


async def _make_with_tools(times: int) -> None:
    for _ in range(times):
        Agent(INSTANT, "assistant", "", TOOLS)


async def _make_with_memory(times: int) -> None:
    for _ in range(times):
        Agent(INSTANT, "assistant", "", (), None, POLICY)


async def _measure_creation(make: Times, effort: Effort) -> Measured:
    return await measure_in_batches(effort, lambda: ratio(make, _make_bare, TIMES, 20 * effort.rounds), "x")


async def _measure_agent_bytes(effort: Effort) -> Measured:
    kept: list[object] = [None] * AGENTS

    async def make(times: int) -> None:
        for _ in range(times):
            for at in range(AGENTS):
                kept[at] = Agent(INSTANT, "assistant")
            for at in range(AGENTS):
                kept[at] = None

    return Measured.exact(round(await bytes_held(make, 3) / AGENTS), "bytes")


def _simple_runs(runtime: Runtime) -> Times:
    """Return a body that makes an agent and runs it, with one turn."""

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(Agent(INSTANT, "assistant"), "hello")

    return runs


def _tool_runs(runtime: Runtime) -> Times:
    """Return a body that makes an agent and runs it, with one tool call and two turns."""

    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(Agent(CALLING, "assistant", "", TOOLS), "hello")

    return runs


async def _measure_runs(body: Callable[[Runtime], Times], effort: Effort) -> Measured:
    async with Runtime() as runtime:
        return await _measure_in_checkpoints(body(runtime), effort)


async def _measure_in_checkpoints(runs: Times, effort: Effort) -> Measured:
    # Many short rounds: other work on the machine disturbs some rounds, and the best rounds count.
    rounds = 5 * effort.rounds
    microseconds = Figure(1e6 * await seconds(runs, TIMES, rounds), "µs")
    return await measure_in_batches(
        effort, lambda: ratio(runs, checkpoints, TIMES, rounds), "checkpoints", (microseconds,)
    )


async def _measure_session_runs(effort: Effort) -> Measured:
    async with Runtime() as runtime:
        await runtime.memory.append("session", HISTORY, version=0)
        agent = Agent(INSTANT, "assistant")

        async def runs(times: int) -> None:
            for _ in range(times):
                await runtime.run(agent, "hello", session="session")

        return await _measure_in_checkpoints(runs, effort)


async def _measure_append(filled: int, effort: Effort) -> Measured:
    message = HISTORY[:1]
    async with Runtime() as runtime:
        memory, session, version = runtime.memory, "session", 0

        async def append(times: int) -> None:
            nonlocal version
            for _ in range(times):
                version = await memory.append(session, message, version=version)

        async def once() -> float:
            nonlocal version
            # Each batch starts with a new session, so that the size stays close to the size in the row's name.
            await memory.delete(session)
            version = await memory.append(session, message * filled, version=0)
            return 1e6 * await seconds(append, TIMES, 5 * effort.rounds)

        return await measure_in_batches(effort, once, "µs")


async def _measure_token(effort: Effort) -> Measured:
    agent = Agent(Talking(TOKENS), "talker")
    async with Runtime() as runtime:

        async def stream(times: int) -> None:
            for _ in range(times):
                async with runtime.stream(agent, "go") as events:
                    async for _ in events:
                        pass

        async def once() -> float:
            return 1e6 * await seconds(stream, 1, 5 * effort.rounds) / TOKENS

        return await measure_in_batches(effort, once, "µs")


async def _measure_at_once(count: int, effort: Effort) -> Measured:
    agent = Agent(Waiting(WAIT_SECONDS), "waiting")
    async with Runtime(limits=MANY) as runtime:
        runs = _start_together(lambda: runtime.run(agent, "hello"))
        return await measure_in_batches(
            effort, lambda: ratio(runs, _start_together(_sleep_alone), count, max(1, effort.rounds // 5)), "x"
        )


async def _sleep_alone() -> None:
    await trio.sleep(WAIT_SECONDS)


def _start_together(one: Callable[[], Awaitable[object]]) -> Times:
    """Return a body that starts `times` tasks at once and waits for the last one."""

    async def body(times: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(one)

    return body


async def _measure_waiting_bytes(effort: Effort) -> Measured:
    go = trio.Event()
    agent = Agent(Parked(go), "parked")
    async with Runtime(limits=MANY) as runtime, trio.open_nursery() as nursery:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(PARKED):
                nursery.start_soon(runtime.run, agent, "hello")
            await trio.testing.wait_all_tasks_blocked()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            go.set()
    return Measured.exact(round((held - before) / PARKED), "bytes")


async def _count_runs(body: Callable[[Runtime], Times], effort: Effort) -> Measured:
    async with Runtime() as runtime:
        runs = body(runtime)
        calls, steps, held = (
            await take_middle(lambda: python_calls(runs)),
            await scheduler_steps(runs),
            await bytes_held(runs, 5),
        )
    return Measured.exact(calls, "Python calls", (Figure(steps, "scheduler steps"), Figure(held, "bytes held")))
