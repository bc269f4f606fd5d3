"""Checkpoints in runs: a task whose runs never wait yields after a share of runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.testing import run_schedules
from agno_rt.testing.measuring import scheduler_steps

Wait = Callable[[], Awaitable[None]]


class Model:
    """A model that awaits a function, then answers or fails."""

    name = "model"

    def __init__(self, wait: Wait | None = None, error: Exception | None = None) -> None:
        self.wait = wait
        self.error = error
        self.asked = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.asked += 1
        if self.wait is not None:
            await self.wait()
        if self.error is not None:
            raise self.error
        return ModelResponse("ok")


WAITS: dict[str, Wait | None] = {
    "nothing": None,
    "a checkpoint": trio.lowlevel.checkpoint,
    "a shielded checkpoint": trio.lowlevel.cancel_shielded_checkpoint,
    "a sleep": partial(trio.sleep, 0.001),
}


SHARE = 32
"""The number of runs after which a task must yield."""


@pytest.mark.parametrize("wait", [wait for wait in WAITS if wait != "nothing"])
async def test_a_run_whose_model_waits_is_a_checkpoint(wait: str) -> None:
    """A run with a waiting model is a checkpoint."""
    async with Runtime() as rt:
        with trio.testing.assert_checkpoints():
            await rt.run(Agent(Model(WAITS[wait])), "hello")


@pytest.mark.parametrize(("wait", "steps"), [("nothing", 0), ("a checkpoint", 1)])
async def test_a_run_takes_no_step_of_its_own(wait: str, steps: int) -> None:
    """A run takes only the scheduler steps of its model."""
    async with Runtime() as rt:
        agent = Agent(Model(WAITS[wait]))

        async def runs(times: int) -> None:
            for _ in range(times):
                await rt.run(agent, "hello")

        assert await scheduler_steps(runs) == steps


SHARES = 10
RUNS = SHARES * SHARE


async def turns_of_another(one: Callable[[], Awaitable[object]]) -> int:
    """Make many runs in a task, and count the turns of another task. The last turn may be missing."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        for _ in range(RUNS):
            await one()
        nursery.cancel_scope.cancel()
    return turns


async def test_runs_in_a_row_let_others_run_within_a_share() -> None:
    """A task with instant models yields within its share."""
    async with Runtime() as rt:
        agent = Agent(Model())

        assert await turns_of_another(lambda: rt.run(agent, "hello")) >= SHARES - 1


async def test_runs_that_fail_at_once_let_others_run_within_a_share() -> None:
    """A retry loop of runs that fail at once yields within its share."""
    async with Runtime() as rt:
        agent = Agent(Model(error=ModelError("down")))

        async def fail() -> None:
            with pytest.raises(ModelError):
                await rt.run(agent, "hello")

        assert await turns_of_another(fail) >= SHARES - 1


async def test_runtimes_in_turns_have_one_share_in_a_task() -> None:
    """Several runtimes in one task have one share together."""
    async with Runtime() as one, Runtime() as other:

        async def both() -> None:
            await one.run(Agent(Model()), "hello")
            await other.run(Agent(Model()), "hello")

        assert await turns_of_another(both) >= SHARES - 1


async def test_streams_let_others_run_within_a_share() -> None:
    """A stream yields on every run, because the reader waits for the stream's task."""
    async with Runtime() as rt:

        async def stream() -> None:
            async with rt.stream(Agent(Model()), "hello") as events:
                async for _ in events:
                    pass

        assert await turns_of_another(stream) >= RUNS - 1


async def test_runs_that_take_long_let_others_run_each_time() -> None:
    """A share is bounded in time too: a model with a long computation uses up the share in one run."""

    async def compute() -> None:
        until = trio.current_time() + 0.0005
        while trio.current_time() < until:
            pass

    async with Runtime() as rt:
        agent = Agent(Model(compute))

        assert await turns_of_another(lambda: rt.run(agent, "hello")) >= RUNS - 1


async def test_a_deadline_ends_a_loop_of_runs_that_wait_for_nothing() -> None:
    """A deadline ends a loop of runs with instant models."""
    model = Model()
    async with Runtime() as rt:
        with trio.move_on_after(0) as scope:
            for _ in range(RUNS):
                await rt.run(Agent(model), "hello")

    assert scope.cancelled_caught
    assert model.asked <= SHARE


def test_under_a_schedule_each_run_lets_others_run() -> None:
    """Each run under a schedule of the testing kit is a checkpoint, even with an instant model."""

    async def scenario() -> None:
        async with Runtime() as rt:
            for _ in range(3):
                with trio.testing.assert_checkpoints():
                    await rt.run(Agent(Model()), "hello")

    assert run_schedules(scenario, 10) == 10


async def test_a_run_within_a_run_counts_for_both() -> None:
    """Nested runs and outer runs yield within one share."""
    async with Runtime() as rt:

        @tool
        async def ask() -> str:
            """Ask another agent."""
            return (await rt.run(Agent(Model()), "hello")).content

        class Asking(Model):
            async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
                if request.messages[-1].role == "tool":
                    return ModelResponse("done")
                return ModelResponse(tool_calls=(ToolCall("1", "ask"),))

        agent = Agent(Asking(), tools=(ask,))

        assert await turns_of_another(lambda: rt.run(agent, "hello")) >= SHARES - 1


async def test_in_a_cancelled_scope_no_model_is_asked() -> None:
    """A run in a cancelled scope ends before the model is asked."""
    model = Model()
    async with Runtime() as rt:
        with trio.CancelScope() as scope:
            scope.cancel()
            await rt.run(Agent(model), "hello")

    assert scope.cancelled_caught
    assert model.asked == 0


async def test_an_answer_is_not_lost_to_a_cancellation_that_comes_after_it() -> None:
    """A cancellation after the answer leaves the run completed."""
    with trio.CancelScope() as scope:

        async def answered_late() -> None:
            scope.cancel()

        async with Runtime() as rt:
            result = await rt.run(Agent(Model(answered_late)), "hello")

    assert result.content == "ok"
