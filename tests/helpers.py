"""Parts shared by several test modules: tools, a model that never answers, readers of results, a time of day."""

from __future__ import annotations

import time
from collections.abc import Callable

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
    """A model that never answers. Counts calls and cancellations."""

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
    """Return the texts of the tool messages in a result."""
    return [message.text for message in result.messages if message.role == "tool"]


def places(rt: Runtime) -> list[LimitStatistics]:
    """List the limits with places for runs. The limits of a memory are left out."""
    return [limit for limit in rt.statistics() if not limit.name.endswith("memory:")]


def name_value(value: object) -> str:
    """Name a parameter by its repr, and a bare object by its class: the address differs between processes."""
    return "an object" if type(value) is object else repr(value)


class TimeOfDay:
    """The time of day, which a test puts forward: a run pauses before its wait is over, however slow the machine is."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._read = time.time

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self._read() + self.ahead


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for another process, which tells nobody when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)
