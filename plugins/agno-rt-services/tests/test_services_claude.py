"""Skills of Claude against a server on loopback that speaks the documented format.

References: Anthropic's "Using Agent Skills with the API" (`container.skills`, `container.id`, `pause_turn`, file ids in
`bash_code_execution_tool_result`), and "Errors".
"""

from __future__ import annotations

import json
from typing import Any

from agno_rt import Agent, Runtime, ToolCall
from agno_rt.testing import ScriptedModel, WireServer, open_wire_server
from tests.servers.service_formats import KEY, call_tool, render


def answer(*blocks: Any, stop: str = "end_turn") -> dict[str, Any]:
    """Return an answer of the messages format, with a container."""
    return {
        "id": "msg_1",
        "role": "assistant",
        "content": list(blocks),
        "stop_reason": stop,
        "container": {"id": "container_01", "expires_at": "2026-11-30T19:00:00Z"},
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


TEXT = {"type": "text", "text": "Here it is."}
USE = {"type": "server_tool_use", "id": "srv_1", "name": "bash_code_execution", "input": {"command": "ls"}}
MADE = {
    "type": "bash_code_execution_tool_result",
    "tool_use_id": "srv_1",
    "content": {
        "type": "bash_code_execution_result",
        "stdout": "",
        "content": [{"type": "bash_code_execution_output", "file_id": "file_01"}],
    },
}


async def call(server: WireServer, arguments: dict[str, Any], **table: Any) -> Any:
    """Call the tool at the test's server."""
    table = {"base_url": server.url, "api_key": KEY, **table}
    return await call_tool("claude", "invoke_claude_skill", arguments, **table)


async def test_a_skill_makes_a_file() -> None:
    """The skill goes into the container, and the result has the text and the ids of files."""
    async with open_wire_server(render(answer(USE, MADE, TEXT))) as server:
        told = await call(server, {"input": "Make slides.", "skill_id": "pptx"})
        [request] = server.requests
    assert told == {
        "skill_id": "pptx",
        "output": {"text": "Here it is.", "files": ["file_01"]},
        "conversation_id": "container_01",
    }
    assert request.path == "/v1/messages"
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-beta"] == "code-execution-2025-08-25,skills-2025-10-02"
    assert request.json() == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 16_000,
        "container": {"skills": [{"type": "anthropic", "skill_id": "pptx", "version": "latest"}]},
        "messages": [{"role": "user", "content": "Make slides."}],
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    }


async def test_a_paused_answer_goes_on() -> None:
    """An answer that the service pauses is sent back, in the same container, until it is complete."""
    async with open_wire_server(render(answer(USE, stop="pause_turn")), render(answer(MADE, TEXT))) as server:
        told = await call(server, {"input": "Count."}, skill="skill_01AbC", version="1759178010641129")
        first, second = server.requests
    assert told["output"] == {"text": "Here it is.", "files": ["file_01"]}
    skill = {"type": "custom", "skill_id": "skill_01AbC", "version": "1759178010641129"}
    assert first.json()["container"] == {"skills": [skill]}
    assert second.json()["container"] == {"id": "container_01", "skills": [skill]}
    assert second.json()["messages"][1] == {"role": "assistant", "content": [USE]}


async def test_a_conversation_goes_on() -> None:
    """A second call with the conversation's id has the earlier words; tokens count as the run's."""
    calls: list[ToolCall | str] = [
        ToolCall("1", "invoke_claude_skill", json.dumps({"input": "Make slides.", "skill_id": "pptx"})),
        ToolCall(
            "2",
            "invoke_claude_skill",
            json.dumps({"input": "Blue.", "skill_id": "pptx", "conversation_id": "container_01"}),
        ),
        "Done.",
    ]
    async with open_wire_server(render(answer(TEXT))) as server:
        settings = {"services": {"claude": {"base_url": server.url, "api_key": KEY, "approve": "none"}}}
        with ScriptedModel(calls) as model:
            async with Runtime(settings=settings) as rt:
                result = await rt.run(Agent(model, tools=["services:claude"]), "Go.")
        second = server.requests[1].json()
    assert [message["content"] for message in second["messages"]] == ["Make slides.", [TEXT], "Blue."]
    assert second["container"]["id"] == "container_01"
    assert result.usage.input_tokens >= 200


async def test_an_answer_without_end_is_left() -> None:
    """Pauses without end are told, with the conversation to go on with."""
    async with open_wire_server(render(answer(stop="pause_turn"))) as server:
        told = await call(server, {"input": "Count.", "skill_id": "xlsx"})
        assert len(server.requests) == 11
    assert "did not finish" in told
    assert "container_01" in told


async def test_a_skill_has_to_be_named() -> None:
    """Without a skill, nothing is sent; a refusal is told in the service's words."""
    refused = {"type": "error", "error": {"type": "invalid_request_error", "message": "container.id: expired"}}
    async with open_wire_server(render(refused, 400)) as server:
        assert "skill_id is missing" in await call(server, {"input": "Count."})
        assert server.requests == []
        assert "container.id: expired" in await call(server, {"input": "Count.", "skill_id": "xlsx"})
