"""The peer pydantic-ai: agents with its FunctionModel, run under asyncio. Run by the driver, in its environment.

The history is a list of messages that the program keeps and hands in, as the documentation says. A run logs nothing by
itself.
"""

from __future__ import annotations

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from .protocol import HISTORY, Row, concurrent, made, serve, timed, versions


def _respond_with_text(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart("ok")])


def _respond_with_call(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if isinstance(messages[-1].parts[-1], ToolReturnPart):
        return _respond_with_text(messages, info)
    return ModelResponse(parts=[ToolCallPart("double", '{"number": 21}', "call")])


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


INSTANT, CALLING = FunctionModel(_respond_with_text), FunctionModel(_respond_with_call)
PAST: list[ModelMessage] = []
for _ in range(HISTORY // 2):
    PAST += [ModelRequest(parts=[UserPromptPart("hello")]), ModelResponse(parts=[TextPart("hello")])]


def simple() -> Agent[None, str]:
    """Make an agent as the first in the documentation."""
    return Agent(INSTANT, name="assistant")


def calling() -> Agent[None, str]:
    """Make the agent with a tool."""
    return Agent(CALLING, name="assistant", tools=[double])


def rows() -> dict[str, Row]:
    """Return the peer's rows."""
    one, caller = simple(), calling()
    return {
        "create": made(simple),
        "create_tool": made(calling),
        "run": timed(lambda: simple().run("hello")),
        "run_again": timed(lambda: one.run("hello")),
        "run_history": timed(lambda: one.run("hello", message_history=PAST)),
        "tool": timed(lambda: calling().run("hello")),
        "tool_history": timed(lambda: caller.run("hello", message_history=PAST)),
        "concurrent": concurrent(lambda: one.run("hello")),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": versions("pydantic-ai-slim"),
            "import": "from pydantic_ai import Agent",
            "notes": {
                "create_memory": "an agent has no memory: a program hands the messages in",
                "memory_add": "it keeps no memory: a program hands the messages in",
            },
        },
        rows(),
        make=simple,
    )
