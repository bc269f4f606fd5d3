"""The value of a cache: for a request that was answered before, and for many equal requests at once."""

from __future__ import annotations

import time

import trio

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime

from .common import (
    ANSWER,
    INSTANT,
    InstantModel,
    Parts,
    Times,
    checkpoints,
    exact,
    in_runtime,
    measured_in,
    measuring,
    ratio,
)

with Parts() as setup:
    from agno_rt.wrappers.cache import Cache

WAIT_SECONDS = 0.01
TOGETHER = 100


class SlowModel:
    """A model that answers after a while, and counts requests."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        self.asked += 1
        await trio.sleep(WAIT_SECONDS)
        return ANSWER


def _repeat_runs(runtime: Runtime, agent: Agent) -> Times:
    async def runs(times: int) -> None:
        for _ in range(times):
            await runtime.run(agent, "hello")

    return runs


class Hit:
    """A run whose request was answered before."""

    @measured_in("x")
    def track_ratio_to_a_model_that_answers_at_once(self) -> float:
        """Time of a run relative to a run whose model takes no time: the cost of the lookup."""

        async def body(runtime: Runtime) -> float:
            cached, plain = Agent(Cache(InstantModel()), "cached"), Agent(INSTANT, "plain")
            return await ratio(_repeat_runs(runtime, cached), _repeat_runs(runtime, plain), times=200)

        return float(in_runtime(body))

    @measured_in("checkpoints")
    def track_checkpoints_a_run(self) -> float:
        """Time of a run in bare trio checkpoints."""

        async def body(runtime: Runtime) -> float:
            return await ratio(_repeat_runs(runtime, Agent(Cache(InstantModel()), "cached")), checkpoints, times=200)

        return float(in_runtime(body))

    @exact("calls")
    def track_python_calls(self) -> int:
        """Python calls of a run."""

        async def body(runtime: Runtime) -> int:
            return await measuring.python_calls(_repeat_runs(runtime, Agent(Cache(InstantModel()), "cached")))

        return int(in_runtime(body))


class Together:
    """A hundred runs at once with the same request, whose model takes 10 ms."""

    @exact("requests")
    def track_requests(self) -> int:
        """Number of requests to the model."""
        model = SlowModel()
        in_runtime(lambda runtime: _time_together(runtime, Agent(Cache(model), "cached")))
        return model.asked

    @measured_in("x")
    def track_ratio_to_no_cache(self) -> float:
        """Time relative to a hundred runs without a cache: the best of rounds that take turns."""

        async def body(runtime: Runtime) -> float:
            best = [float("inf"), float("inf")]
            for _ in range(10):
                for at, agent in enumerate((Agent(Cache(SlowModel()), "cached"), Agent(SlowModel(), "plain"))):
                    best[at] = min(best[at], await _time_together(runtime, agent))
            return best[0] / best[1]

        return float(in_runtime(body))


async def _time_together(runtime: Runtime, agent: Agent) -> float:
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(TOGETHER):
            nursery.start_soon(runtime.run, agent, "hello")
    return time.perf_counter() - start
