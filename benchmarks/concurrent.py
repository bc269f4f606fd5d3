"""Many runs at once, whose models all wait, against as many bare trio tasks with the same wait."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from agno_rt import Agent, Emit, Limits, ModelRequest, ModelResponse, Runtime

from .common import ANSWER, ParkedModel, few, in_runtime, measured_in, sizes

WAIT_SECONDS = 0.1
MANY = Limits(runs=100_000, queue=0, model_calls=100_000)


class WaitingModel:
    """A model that answers after a while, as a model behind a network does."""

    name = "waiting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await trio.sleep(WAIT_SECONDS)
        return ANSWER


async def _time_together(one: Callable[[], Awaitable[object]], count: int) -> float:
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return time.perf_counter() - start


async def _wait_bare() -> None:
    await trio.sleep(WAIT_SECONDS)


class Concurrent:
    """Many runs at once, with models that take a tenth of a second."""

    params = sizes(1, 100, 1_000, 10_000, 50_000)
    param_names = ("runs",)
    timeout = 300

    def setup(self, runs: int) -> None:
        """Choose fewer rounds if a round takes seconds."""
        self.rounds = few(5 if runs <= 1_000 else 2)

    @measured_in("x")
    def track_ratio_to_bare_tasks(self, runs: int) -> float:
        """Time relative to bare tasks: the best of rounds that take turns."""

        async def body(runtime: Runtime) -> float:
            agent, best = Agent(WaitingModel(), "waiting"), [float("inf"), float("inf")]
            bodies = (lambda: runtime.run(agent, "hello"), _wait_bare)
            for _ in range(self.rounds):
                for at, one in enumerate(bodies):
                    best[at] = min(best[at], await _time_together(one, runs))
            return best[0] / best[1]

        return float(in_runtime(body, limits=MANY))

    @measured_in("µs")
    def track_microseconds_a_run(self, runs: int) -> float:
        """Time of all runs by their number, without the wait; the best of several rounds."""

        async def body(runtime: Runtime) -> float:
            agent = Agent(WaitingModel(), "waiting")
            times = [await _time_together(lambda: runtime.run(agent, "hello"), runs) for _ in range(self.rounds)]
            return (min(times) - WAIT_SECONDS) / runs * 1e6

        return float(in_runtime(body, limits=MANY))


class Cost:
    """Cost of a run among very many runs, relative to the cost among fewer."""

    timeout = 300

    @measured_in("x")
    def track_ratio_50000_to_1000(self) -> float:
        """Cost of a run among 50,000 relative to a run among 1,000: the best of rounds that take turns."""
        return _measure_ratio_50000_to_1000()


class CostServed:
    """Cost of a run among very many runs, with the garbage collector's settings of `agno-rt serve`."""

    timeout = 300

    def setup(self) -> None:
        """Change the settings. The process is the benchmark's own, so asv's other benchmarks keep theirs."""
        try:
            from agno_rt_serve.process import tune_collector
        except ImportError as exc:
            raise NotImplementedError(f"not here: {exc}") from exc
        self._thresholds = gc.get_threshold()
        tune_collector()

    def teardown(self) -> None:
        """Restore the settings."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    @measured_in("x")
    def track_ratio_50000_to_1000(self) -> float:
        """Cost of a run among 50,000 relative to a run among 1,000: the best of rounds that take turns."""
        return _measure_ratio_50000_to_1000()


def _measure_ratio_50000_to_1000() -> float:
    async def body(runtime: Runtime) -> float:
        many = few(50_000, 2_000)
        agent, best = Agent(WaitingModel(), "waiting"), {many: float("inf"), 1_000: float("inf")}
        for _ in range(few(2)):
            for count in (1_000, many, 1_000):
                taken = await _time_together(lambda: runtime.run(agent, "hello"), count) - WAIT_SECONDS
                best[count] = min(best[count], taken / count)
        return best[many] / best[1_000]

    return float(in_runtime(body, limits=MANY))


class Waiting:
    """Runs that wait for their model."""

    params = sizes(1_000, 10_000)
    param_names = ("runs",)

    @measured_in("bytes")
    def track_bytes_a_waiting_run(self, runs: int) -> float:
        """The memory of one: what so many of them hold, task and all."""

        async def body(runtime: Runtime) -> float:
            model = ParkedModel()
            agent = Agent(model, "parked")
            async with trio.open_nursery() as nursery:
                tracemalloc.start()
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(runs):
                    nursery.start_soon(runtime.run, agent, "hello")
                await trio.testing.wait_all_tasks_blocked()
                held, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                model.go.set()
            return round((held - before) / runs)

        return float(in_runtime(body, limits=MANY))
