"""Runs on a session that a run of another process has: refused, or the other run stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agno_rt import Agent, Emit, MemoryPolicy, ModelRequest, ModelResponse, Runtime, ToolCall, tool
from agno_rt.errors import RunInterrupted, RunRolledBack, SessionBusy
from agno_rt.testing import ScriptedModel

STORED = MemoryPolicy(journal=True)


class Waiting:
    """An agent that calls a tool, and then asks a model that does not answer."""

    name = "waiting"

    def __init__(self, memory: MemoryPolicy) -> None:
        self.is_at_model = trio.Event()

        @tool
        def look() -> str:
            """Look."""
            return "seen"

        self.agent = Agent(self, "waiting", tools=[look], memory=memory)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool; then wait for ever."""
        if request.turn == 1:
            return ModelResponse("", (ToolCall("l", "look"),))
        self.is_at_model.set()
        await trio.sleep_forever()
        raise AssertionError


@asynccontextmanager
async def two_runtimes(path: Path) -> AsyncIterator[tuple[Runtime, Runtime]]:
    """Open two runtimes on a file, each with a memory of its own, as two processes have."""
    url = f"sqlite:///{path / 'a.db'}?synchronous=normal"
    async with Runtime(memory=url) as one, Runtime(memory=url) as other:
        yield one, other


async def stop_elsewhere(path: Path, busy: Any, error: type[RunInterrupted]) -> list[str]:
    """Run on a session that another process has; return the texts and calls in the session afterwards."""
    waiting, model = Waiting(STORED), ScriptedModel(["answer"])
    async with two_runtimes(path) as (one, other):
        run = await one.start(waiting.agent, "first", session="s")
        await waiting.is_at_model.wait()
        with trio.fail_after(30):
            result = await other.run(Agent(model, "quick"), "second", session="s", busy=busy)
            with pytest.raises(error):
                await run.wait()
        assert result.content == "answer"
        assert run.result is not None
        assert run.result.status == "cancelled"
        session = await other.memory.load("s")
    return [message.text or message.tool_calls[0].name for message in session.messages]


async def test_interrupt(tmp_path: Path) -> None:
    """The stored run of the other process stops, and its finished steps are in the session before the new run."""
    texts = await stop_elsewhere(tmp_path, "interrupt", RunInterrupted)
    assert texts == ["first", "look", "seen", "second", "answer"]


async def test_rollback(tmp_path: Path) -> None:
    """The stored run of the other process stops, and nothing of it is in the session."""
    assert await stop_elsewhere(tmp_path, "rollback", RunRolledBack) == ["second", "answer"]


@pytest.mark.parametrize("stored", [True, False])
async def test_reject(tmp_path: Path, stored: bool) -> None:
    """The new run is refused at once; the error names the other run, if it is stored."""
    waiting = Waiting(STORED if stored else MemoryPolicy())
    async with two_runtimes(tmp_path) as (one, other):
        run = await one.start(waiting.agent, "first", session="s")
        await waiting.is_at_model.wait()
        with trio.fail_after(60), pytest.raises(SessionBusy, match="of another process") as caught:
            await other.run(Agent(ScriptedModel(["never"]), "quick"), "second", session="s", busy="reject")
        assert caught.value.run == (run.id if stored else None)
        assert run.result is None
        run.cancel()


async def test_strangers_are_not_stopped(tmp_path: Path) -> None:
    """A run for another user stops nothing, and its error does not name the other run."""
    waiting = Waiting(STORED)
    async with two_runtimes(tmp_path) as (one, other):
        run = await one.start(waiting.agent, "first", session="s", user="ann")
        await waiting.is_at_model.wait()
        agent = Agent(ScriptedModel(["never"]), "quick")
        with pytest.raises(SessionBusy) as caught:
            await other.run(agent, "second", session="s", user="bob", busy="reject")
        assert caught.value.run is None
        with trio.move_on_after(1.5) as waited:
            await other.run(agent, "second", session="s", user="bob", busy="interrupt")
        assert waited.cancelled_caught
        assert run.result is None
        run.cancel()
