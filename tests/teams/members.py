"""Members of teams for tests: agents whose scripted models say what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from agno_rt import Agent, ModelRequest, ModelResponse, ToolCall, Usage, tool
from agno_rt.errors import ModelError
from agno_rt.testing import ScriptedModel


def echo(name: str, tokens: int = 1) -> Agent:
    """Return an agent that answers `name(last message)`."""

    def answer(request: ModelRequest) -> ModelResponse:
        return ModelResponse(f"{name}({request.messages[-1].text})", usage=Usage(tokens, 0))

    return Agent(ScriptedModel(answer), name)


def saying(name: str, *steps: Any) -> Agent:
    """Return an agent with a script."""
    return Agent(ScriptedModel(steps), name)


def failing(name: str) -> Agent:
    """Return an agent whose model fails."""

    def answer(request: ModelRequest) -> str:
        raise ModelError("no luck", provider=name)

    return Agent(ScriptedModel(answer), name)


def slow(name: str, seconds: float) -> Agent:
    """Return an agent that answers with its name after some seconds."""

    async def answer(request: ModelRequest) -> str:
        await trio.sleep(seconds)
        return name

    return Agent(ScriptedModel(answer), name)


def paying(name: str, log: list[str], *, when: str = "") -> Agent:
    """Return an agent that pays by a tool with an approval, if asked to; the log has the answers and the payments."""

    @tool(approve=True, inline=True)
    def pay() -> str:
        """Pay."""
        log.append(f"{name} pays")
        return "paid"

    def answer(request: ModelRequest) -> Any:
        last = request.messages[-1]
        if last.role != "tool" and when in last.text:
            return ToolCall("1", "pay")
        log.append(f"{name} answers")
        return f"{name}: {last.text}"

    return Agent(ScriptedModel(answer), name, "", [pay])


def logging(name: str, log: list[str]) -> Agent:
    """Return an agent that answers with its name, and logs it."""

    def answer(request: ModelRequest) -> str:
        log.append(f"{name} answers")
        return name

    return Agent(ScriptedModel(answer), name)


def delegate(*tasks: tuple[str, str]) -> list[ToolCall]:
    """Return a turn in which a leader gives tasks to members."""
    calls = [{"member": member, "task": task} for member, task in tasks]
    return [ToolCall(f"call{number}", "delegate", call) for number, call in enumerate(calls)]


def hand_over(*targets: str, reason: str = "") -> list[ToolCall]:
    """Return a turn in which a member hands over, to several one after another."""
    calls = [{"to": target, "reason": reason} for target in targets]
    return [ToolCall(f"call{number}", "hand_over", call) for number, call in enumerate(calls)]


def requests_of(agent: Agent) -> list[ModelRequest]:
    """Return the requests that the agent's scripted model received."""
    assert isinstance(agent.model, ScriptedModel)
    return agent.model.requests


def texts_of(messages: Sequence[Any]) -> list[str]:
    """Return the messages as `role: text`."""
    return [f"{message.role}: {message.text}" for message in messages]
