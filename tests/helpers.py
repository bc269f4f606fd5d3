"""Small agents' parts that several test modules run: tools, a model that never answers, what a model was told."""

from __future__ import annotations

import trio

from agno_rt import ModelRequest, ModelResponse, RunResult, Runtime, tool
from agno_rt.limits import LimitStatistics
from agno_rt.models import Emit


@tool(inline=True)
def echo(text: str = "") -> str:
    """Say it again."""
    return text


@tool
async def forever() -> str:
    """Never come back."""
    await trio.sleep_forever()


class Hanging:
    """A model that never answers, and says whether it was cancelled."""

    name = "hanging"

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait for ever."""
        self.asked += 1
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled += 1


def told(result: RunResult) -> list[str]:
    """What the model was told of its calls."""
    return [message.text for message in result.messages if message.role == "tool"]


def places(rt: Runtime) -> list[LimitStatistics]:
    """The limits whose places runs take and give back: not what a memory keeps."""
    return [limit for limit in rt.statistics() if not limit.name.endswith("memory:")]


def name_value(value: object) -> str:
    """Name a parameter by its repr, and a bare object by its class: its address is another in each process."""
    return "an object" if type(value) is object else repr(value)
