"""Many runs at once, whose models all wait: against as many bare trio tasks that wait as long."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from agno_rt import Agent, Emit, Limits, ModelRequest, ModelResponse, Runtime

from .common import ANSWER, in_runtime

WAIT_SECONDS = 0.1
MANY = Limits(runs=100_000, queue=0, model_calls=100_000)


class WaitingModel:
    """Answers after a while, as one behind a network does."""

    name = "waiting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await trio.sleep(WAIT_SECONDS)
        return ANSWER


class ParkedModel:
    """Waits until it is told to go on."""

    name = "parked"

    def __init__(self) -> None:
        self.go = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await self.go.wait()
        return ANSWER


async def _at_once(one: Callable[[], Awaitable[object]], count: int) -> float:
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return time.perf_counter() - start


async def _bare() -> None:
    await trio.sleep(WAIT_SECONDS)


class Concurrent:
    """So many runs at once, each of which waits a tenth of a second for its model."""

    params = (1_000, 10_000, 50_000)
    param_names = ("runs",)
    timeout = 300

    def track_ratio_to_bare_tasks(self, runs: int) -> float:
        """How many times as long they take as bare tasks: the best of rounds in which the two take turns."""

        async def body(runtime: Runtime) -> float:
            agent, best = Agent(WaitingModel(), "waiting"), [float("inf"), float("inf")]
            bodies = (lambda: runtime.run(agent, "hello"), _bare)
            for _ in range(3 if runs > 10_000 else 5):
                for at, one in enumerate(bodies):
                    best[at] = min(best[at], await _at_once(one, runs))
            return best[0] / best[1]

        return float(in_runtime(body, limits=MANY))

    def track_microseconds_a_run(self, runs: int) -> float:
        """The time of all by their number, less the wait itself; the best of several."""

        async def body(runtime: Runtime) -> float:
            agent = Agent(WaitingModel(), "waiting")
            times = [await _at_once(lambda: runtime.run(agent, "hello"), runs) for _ in range(3)]
            return (min(times) - WAIT_SECONDS) / runs * 1e6

        return float(in_runtime(body, limits=MANY))


class Waiting:
    """Runs that wait for their model."""

    def track_bytes_a_waiting_run(self) -> float:
        """The memory of one: what a thousand of them hold, task and all."""

        async def body(runtime: Runtime) -> float:
            model, count = ParkedModel(), 1_000
            agent = Agent(model, "parked")
            async with trio.open_nursery() as nursery:
                tracemalloc.start()
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(count):
                    nursery.start_soon(runtime.run, agent, "hello")
                await trio.testing.wait_all_tasks_blocked()
                held, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                model.go.set()
            return (held - before) / count

        return float(in_runtime(body, limits=MANY))
