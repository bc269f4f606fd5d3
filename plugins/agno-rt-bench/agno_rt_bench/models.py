"""Models that answer at once, or wait: the rest of a run's cost is the runtime's own. Knows no runtime."""

from __future__ import annotations

import attrs
import trio

from agno_rt.events import TextDelta
from agno_rt.messages import ToolCall
from agno_rt.models import NO_PROFILE, Emit, ModelProfile, ModelRequest, ModelResponse

__all__ = ["Calling", "Instant", "Parked", "Talking", "Waiting"]


class Instant:
    """A model that gives the same answer at once."""

    name = "instant"

    def __init__(self, answer: str = "ok", profile: ModelProfile = NO_PROFILE) -> None:
        self.profile = profile
        self._answer = ModelResponse(answer)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return self._answer


class Calling:
    """A model that calls one tool, then answers: two turns."""

    name = "calling"

    def __init__(self, call: ToolCall) -> None:
        self._call = ModelResponse(tool_calls=(call,))
        self._answer = ModelResponse("ok")

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool; answer after the tool's result."""
        return self._answer if request.messages[-1].role == "tool" else self._call


@attrs.define(eq=False)
class Talking:
    """A model that streams a long answer, token by token, without waiting."""

    tokens: int
    name: str = "talking"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        if emit is not None:
            for _ in range(self.tokens):
                await emit(TextDelta("token "))
        return ModelResponse("token " * self.tokens)


@attrs.define(eq=False)
class Waiting:
    """A model that answers after some seconds, like a remote model."""

    seconds: float
    name: str = "waiting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await trio.sleep(self.seconds)
        return ModelResponse("ok")


@attrs.define(eq=False)
class Parked:
    """A model that waits for an event."""

    go: trio.Event
    name: str = "parked"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await self.go.wait()
        return ModelResponse("ok")
