"""The checkpoint that every run owes: paid by whatever in it waits, and by the run itself where nothing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from agno_rt import Agent, Emit, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import ModelError
from agno_rt.measuring import scheduler_steps

Wait = Callable[[], Awaitable[None]]


class Model:
    """Awaits what it is given, then answers, or fails with what it is given."""

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


@pytest.mark.parametrize("wait", WAITS)
async def test_every_run_is_a_checkpoint(wait: str) -> None:
    """A run notices a cancellation and lets others run, whatever its model does."""
    async with Runtime() as rt:
        with trio.testing.assert_checkpoints():
            await rt.run(Agent(Model(WAITS[wait])), "hello")


@pytest.mark.parametrize("wait", ["nothing", "a checkpoint"])
async def test_a_model_that_waits_pays_for_the_run(wait: str) -> None:
    """A run takes one step of the scheduler, whether the model waits for one or the run has to."""
    async with Runtime() as rt:
        agent = Agent(Model(WAITS[wait]))

        async def runs(times: int) -> None:
            for _ in range(times):
                await rt.run(agent, "hello")

        assert await scheduler_steps(runs) == 1


async def test_a_run_within_a_run_pays_for_both() -> None:
    """A tool that runs an agent has waited in that run, so the run around it need not."""
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

        async def runs(times: int) -> None:
            for _ in range(times):
                await rt.run(Agent(Asking(), tools=(ask,)), "hello")

        assert await scheduler_steps(runs) == 1


async def test_in_a_cancelled_scope_no_model_is_asked() -> None:
    """A cancellation that is there already is noticed before anything is done."""
    model = Model()
    async with Runtime() as rt:
        with trio.CancelScope() as scope:
            scope.cancel()
            await rt.run(Agent(model), "hello")

    assert scope.cancelled_caught
    assert model.asked == 0


async def test_an_answer_is_not_lost_to_a_cancellation_that_comes_after_it() -> None:
    """Once the model has answered without waiting, the run is completed, and says so."""
    with trio.CancelScope() as scope:

        async def answered_late() -> None:
            scope.cancel()

        async with Runtime() as rt:
            result = await rt.run(Agent(Model(answered_late)), "hello")

    assert result.content == "ok"


async def test_runs_that_fail_at_once_let_others_run() -> None:
    """Who tries again and again does not keep everybody else from running."""
    model, turns = Model(error=ModelError("down")), 0

    async def others() -> None:
        nonlocal turns
        for _ in range(3):
            turns += 1
            await trio.lowlevel.checkpoint()

    async with Runtime() as rt, trio.open_nursery() as nursery:
        nursery.start_soon(others)
        for _ in range(5):
            with pytest.raises(ModelError):
                await rt.run(Agent(model), "hello")

        assert turns == 3
