"""The peer openai-agents: agents with a model of our own, run by its Runner under asyncio. Run by the driver.

The history is its SQLiteSession, which is in memory unless a file is named. Tracing, which would send to its maker, is
off; a run logs nothing by default.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, ModelResponse, Runner, SQLiteSession, Usage, function_tool, set_tracing_disabled
from agents.memory import SessionSettings
from agents.models.interface import Model
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from .protocol import HISTORY, Row, concurrent, made, serve, timed, versions


class InstantModel(Model):
    """A model with an immediate answer."""

    def _respond(self, given: Any) -> Any:
        text = ResponseOutputText(text="ok", type="output_text", annotations=[], logprobs=[])
        return ResponseOutputMessage(id="message", type="message", role="assistant", status="completed", content=[text])

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer."""
        return ModelResponse(output=[self._respond(input)], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Fail, since no row streams."""
        raise NotImplementedError


class CallingModel(InstantModel):
    """A model with a tool call before its answer."""

    def __init__(self) -> None:
        self.calls = 0

    def _respond(self, given: Any) -> Any:
        if given[-1].get("type") == "function_call_output":
            return super()._respond(given)
        self.calls += 1  # ids of calls must be unique in a conversation
        return ResponseFunctionToolCall(
            call_id=f"call-{self.calls}", name="double", arguments='{"number": 21}', type="function_call"
        )


@function_tool
async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


INSTANT, CALLING = InstantModel(), CallingModel()
TOOLS = [double]


def simple() -> Agent[None]:
    """Make an agent as the first in the documentation."""
    return Agent(name="assistant", model=INSTANT)


def calling() -> Agent[None]:
    """Make the agent with a tool."""
    return Agent(name="assistant", model=CALLING, tools=TOOLS)


async def _open_session() -> SQLiteSession:
    session = SQLiteSession("session", session_settings=SessionSettings(limit=HISTORY))
    past: list[Any] = [{"role": role, "content": "hello"} for role in ("user", "assistant")]
    await session.add_items(past * (HISTORY // 2))
    return session


def in_session(agent: Agent[None]) -> Row:
    """Return the row of runs in a session that begins with a hundred messages, and shows the last hundred."""

    async def row(times: int) -> float:
        session = await _open_session()
        try:
            return await timed(lambda: Runner.run(agent, "hello", session=session))(times)
        finally:
            session.close()

    return row


async def memory_add(times: int) -> float:
    """Add messages to a session of a hundred messages."""
    session = await _open_session()
    try:
        return await timed(lambda: session.add_items([{"role": "user", "content": "hello"}]))(times)
    finally:
        session.close()


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    one = simple()
    return {
        "create": made(simple),
        "create_tool": made(calling),
        "run": timed(lambda: Runner.run(simple(), "hello")),
        "run_again": timed(lambda: Runner.run(one, "hello")),
        "run_history": in_session(one),
        "tool": timed(lambda: Runner.run(calling(), "hello")),
        "tool_history": in_session(calling()),
        "memory_add": memory_add,
        "concurrent": concurrent(lambda: Runner.run(one, "hello")),
    }


if __name__ == "__main__":
    set_tracing_disabled(True)
    serve(
        {
            "versions": versions("openai-agents"),
            "import": "from agents import Agent, Runner",
            "notes": {
                "create_memory": "an agent has no memory: a session is handed to a run",
                "memory_add": "its SQLiteSession, in memory, whose calls go through a thread",
            },
        },
        rows(),
        make=simple,
    )
