"""Models that answer at once, or wait: what is measured around them is the runtime's own cost. Knows no runtime."""

from __future__ import annotations

import attrs
import trio

from agno_rt.events import TextDelta
from agno_rt.messages import ToolCall
from agno_rt.models import NO_PROFILE, Emit, ModelProfile, ModelRequest, ModelResponse

__all__ = ["Calling", "Instant", "Parked", "Talking", "Waiting"]


class Instant:
    """Answers at once, always the same."""

    name = "instant"

    def __init__(self, answer: str = "ok", profile: ModelProfile = NO_PROFILE) -> None:
        self.profile = profile
        self._answer = ModelResponse(answer)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer."""
        return self._answer


class Calling:
    """Calls one tool, then answers: two turns."""

    name = "calling"

    def __init__(self, call: ToolCall) -> None:
        self._call = ModelResponse(tool_calls=(call,))
        self._answer = ModelResponse("ok")

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Call the tool, or answer when its result is there."""
        return self._answer if request.messages[-1].role == "tool" else self._call


@attrs.define(eq=False)
class Talking:
    """Writes a long answer, a token at a time, without waiting for anything."""

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
    """Answers after so many seconds, as one behind a network does."""

    seconds: float
    name: str = "waiting"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await trio.sleep(self.seconds)
        return ModelResponse("ok")


@attrs.define(eq=False)
class Parked:
    """Waits until it is told to go on."""

    go: trio.Event
    name: str = "parked"

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Wait, and answer."""
        await self.go.wait()
        return ModelResponse("ok")
