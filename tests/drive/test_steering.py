"""Messages sent to a run under way: when the model sees them, and where they are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from agno_rt import (
    Agent,
    Emit,
    Event,
    Limits,
    MemoryPolicy,
    Message,
    ModelRequest,
    ModelResponse,
    Run,
    Runtime,
    ToolCall,
    tool,
)
from agno_rt.context import RunContext
from agno_rt.errors import Blocked, LimitExceeded, UsageError
from agno_rt.events import MessageReceived, ModelStarted
from agno_rt.hooks import Verdict
from agno_rt.run_store import Resume, RunConflict
from agno_rt.testing import ScriptedModel

CALL = ToolCall("1", "work", "{}")


class Stepping:
    """A model that waits for the test before each answer, and gives the answers in turn."""

    name = "stepping"

    def __init__(self, *answers: str | ToolCall) -> None:
        self.answers = list(answers)
        self.requests: list[list[str]] = []
        self.asked = trio.Event()
        self.go = trio.Event()

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        self.requests.append([message.text for message in request.messages if message.role == "user"])
        self.asked.set()
        await self.go.wait()
        self.asked, self.go = trio.Event(), trio.Event()
        answer = self.answers.pop(0)
        return ModelResponse(answer) if isinstance(answer, str) else ModelResponse("", (answer,))

    async def step(self) -> None:
        """Wait until the model is asked, and let it answer."""
        await self.asked.wait()
        self.go.set()
        await trio.testing.wait_all_tasks_blocked()


@tool(inline=True)
def work() -> str:
    """Work."""
    return "worked"


async def test_next_is_the_turn_after_the_tools() -> None:
    """A message sent while the model writes a tool call is in the next request, behind the tool's result."""
    model = Stepping(CALL, "done")
    async with Runtime() as rt:
        run = await rt.start(Agent(model, tools=[work]), "go")
        await model.asked.wait()
        run.send("and hurry")
        await model.step()
        await model.step()
        result = await run.wait()

    assert model.requests == [["go"], ["go", "and hurry"]]
    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "user", "assistant"]
    assert result.content == "done"


async def test_a_message_during_the_last_answer_is_not_lost() -> None:
    """A run goes on for a message that came while its answer was written."""
    model = Stepping("first", "second")
    async with Runtime() as rt:
        run = await rt.start(Agent(model), "go")
        await model.asked.wait()
        run.send("wait")
        await model.step()
        await model.step()
        result = await run.wait()

    assert model.requests == [["go"], ["go", "wait"]]
    assert [message.text for message in result.messages] == ["go", "first", "wait", "second"]


async def test_end_waits_for_the_answer() -> None:
    """A message for the end is not in the turns before the answer."""
    model = Stepping(CALL, "first", "second")
    async with Runtime() as rt:
        run = await rt.start(Agent(model, tools=[work]), "go")
        await model.asked.wait()
        run.send("thanks; one more", when="end")
        for _ in range(3):
            await model.step()
        result = await run.wait()

    assert model.requests == [["go"], ["go"], ["go", "thanks; one more"]]
    assert result.content == "second"


async def test_a_message_before_the_first_turn() -> None:
    """A message sent before the model is asked is in the first request."""
    model = Stepping("done")
    async with Runtime() as rt:
        run = await rt.start(Agent(model), "go")
        run.send(["more"])
        await model.step()
        await run.wait()

    assert model.requests == [["go", "more"]]


async def test_listeners_and_sessions_see_the_message() -> None:
    """An event tells of the message before the turn that answers it, and the session keeps it in its place."""
    model = Stepping("first", "second")
    async with Runtime() as rt:
        async with rt.stream(Agent(model), "go", session="s") as events:
            seen: list[Event] = []

            async def listen() -> None:
                seen.extend([event async for event in events])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                await model.asked.wait()
                events.send("wait")
                await model.step()
                await model.step()
        stored = await rt.memory.load("s")

    kinds = [type(event).__name__ for event in seen if isinstance(event, ModelStarted | MessageReceived)]
    assert kinds == ["ModelStarted", "MessageReceived", "ModelStarted"]
    assert [event for event in seen if isinstance(event, MessageReceived)] == [
        MessageReceived(run_id=events.run_id, text="wait", turn=2)
    ]
    assert [message.text for message in stored.messages] == ["go", "first", "wait", "second"]


async def test_a_stored_run_keeps_its_messages(tmp_path: Any) -> None:
    """A run that is stopped after a message goes on with the message, in another runtime."""
    url = f"sqlite:///{tmp_path}/runs.db"
    policy = MemoryPolicy(journal=True)
    first = Stepping(CALL, "never")
    async with Runtime(memory=url) as rt:
        run = await rt.start(Agent(first, "agent", tools=[work], memory=policy), "go")
        await first.asked.wait()
        run.send("and hurry")
        await first.step()
        await first.asked.wait()
        run.cancel()
        await run.wait()

    second = Stepping("done")
    async with Runtime(memory=url) as rt:
        resumed = await rt.start(Agent(second, "agent", tools=[work], memory=policy), Resume(run.id))
        await second.step()
        result = await resumed.wait()

    assert second.requests == [["go", "and hurry"]]
    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "user", "assistant"]


async def test_guardrails_check_messages_too() -> None:
    """A guardrail of the input blocks a message to a run under way."""

    class NoHurry:
        name = "no hurry"

        async def check(self, context: RunContext, text: str) -> Verdict | None:
            return Verdict("no hurry") if "hurry" in text else None

    model = Stepping("first")
    async with Runtime() as rt:
        run = await rt.start(Agent(model, hooks=[NoHurry()]), "go")
        await model.asked.wait()
        run.send("hurry")
        await model.step()
        with pytest.raises(Blocked):
            await run.wait()


async def test_no_turn_is_left() -> None:
    """A message that no turn is left for ends the run with the limit's name, and the answer so far is kept."""
    model = Stepping("first")
    async with Runtime() as rt:
        run = await rt.start(Agent(model, limits=Limits(turns=1)), "go")
        await model.asked.wait()
        run.send("more")
        await model.step()
        with pytest.raises(LimitExceeded, match="a message was sent to the run") as caught:
            await run.wait()

    assert caught.value.limit == "turns"
    assert caught.value.result.content == "first"


async def test_a_run_that_is_over() -> None:
    """A finished run refuses messages, with the remedy."""
    async with Runtime() as rt:
        run = await rt.start(Agent(ScriptedModel(["done"])), "go")
        await run.wait()
        with pytest.raises(RunConflict, match="is over") as caught:
            run.send("late")

    assert "same session" in caught.value.hint


@pytest.mark.parametrize(
    ("send", "said"),
    [
        (lambda run: run.send(""), "the input is empty"),
        (lambda run: run.send("x", when="now"), "when is 'now'"),
        (lambda run: run.send([Message("system", "x")]), "is not a user's"),
    ],
)
async def test_messages_that_cannot_be_sent(send: Callable[[Run], Awaitable[None]], said: str) -> None:
    """A message of the wrong kind is refused, and the run goes on without it."""
    model = Stepping("done")
    async with Runtime() as rt:
        run = await rt.start(Agent(model), "go")
        await model.asked.wait()
        with pytest.raises(UsageError, match=said):
            send(run)
        await model.step()
        assert (await run.wait()).content == "done"
