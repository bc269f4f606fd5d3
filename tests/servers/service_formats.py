"""Answers of services with an account, in their documented formats, and one call of a tool by an agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.testing import ScriptedModel, WireReply

KEY = "key-0123456789abcdef"


def render(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> WireReply:
    """Return the reply with a JSON body."""
    return WireReply((json.dumps(value).encode(),), status, headers=headers or {})


async def call_tool(name: str, tool: str, arguments: Mapping[str, Any], **table: Any) -> Any:
    """Let an agent call a tool of the service once; return the result for the model, read from JSON if it is JSON."""
    settings = {"services": {name: {"approve": "none", **table}}}
    with ScriptedModel([ToolCall("1", tool, json.dumps(arguments)), "Done."]) as model:
        async with Runtime(settings=settings) as rt:
            result = await rt.run(Agent(model, tools=[f"services:{name}"]), "Go.")
    assert result.content == "Done."
    told = str(model.requests[-1].messages[-1].content)
    try:
        return json.loads(told)
    except ValueError:
        return told
