"""Direct calls of tools: an agent whose model makes the one call that the input asks for, and answers with the result.

A run carries the call out. So the tool's approvals, limits and toolkit, and the run's journal, hold as for any agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from agno_rt import Agent, ModelResponse, ToolCall
from agno_rt.models import FREE, Emit, ModelProfile, ModelRequest

__all__ = ["AGENT", "make_input", "make_tools_agent", "read_tool"]

AGENT = "mcp_tools"
"""The name of the agent, in lists of runs and approvals."""


def make_tools_agent(tools: Iterable[Any]) -> Agent:
    """Return the agent for direct calls of the tools."""
    return Agent(_CallOnce(), AGENT, tools=tuple(tools), description="Direct calls of tools over MCP.")


def make_input(tool: str, arguments: dict[str, Any]) -> str:
    """Return the input that makes the agent call the tool."""
    return msgspec.json.encode({"tool": tool, "arguments": arguments}).decode()


def read_tool(input: str) -> str:
    """Return the name of the tool that an input of `make_input` calls; empty for any other input."""
    try:
        return msgspec.json.decode(input, type=_Asked).tool
    except msgspec.MsgspecError:
        return ""


class _Asked(msgspec.Struct):
    tool: str


class _CallOnce:
    """The model of direct calls."""

    name = "mcp:direct"
    profile = ModelProfile(price=FREE)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask for the call at first, and then repeat the result."""
        await trio.lowlevel.checkpoint()
        last = request.messages[-1]
        if last.role == "tool":
            return ModelResponse(last.text)
        asked = msgspec.json.decode(last.text)
        arguments = msgspec.json.encode(asked["arguments"]).decode()
        return ModelResponse(tool_calls=(ToolCall("call", asked["tool"], arguments),))
