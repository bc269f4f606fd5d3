"""A scripted service and a tiny runtime for tests of wrappers. The service waits, emits, fails or answers in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import trio

from agno_rt.errors import ModelError
from agno_rt.events import Delta, ReasoningDelta, TextDelta, ToolCallDelta, TurnRestarted
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.models import NO_PROFILE, Emit, Model, ModelProfile, ModelRequest, ModelResponse
from agno_rt.testing.schedules import pause
from agno_rt.wrappers.base import Wrapper

Act: TypeAlias = float | str | Exception | ModelResponse

PAUSE = -1.0
"""An act: let other tasks run for a few steps, as the seeded schedule decides."""


class Service:
    """A model with acts for each call: wait for a number, emit a text, raise an error, return a response.

    Further calls repeat the acts of the last call. A call without a response answers with the emitted text. `asked_at`
    has the times of the calls, `requests` has the requests.
    """

    def __init__(
        self, *calls: Act | Sequence[Act], name: str = "service", profile: ModelProfile = NO_PROFILE, shield: float = 0
    ) -> None:
        self.name = name
        self.profile = profile
        self.calls = calls or ("Hello.",)
        self.shield = shield
        self.asked_at: list[float] = []
        self.requests: list[ModelRequest] = []
        self.cancelled = 0
        self.running = 0
        self.most = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Carry out the acts of the call."""
        call = self.calls[min(len(self.requests), len(self.calls) - 1)]
        acts = [call] if isinstance(call, float | str | Exception | ModelResponse) else call
        self.asked_at.append(round(trio.current_time(), 6))
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._act(acts, emit)
        except trio.Cancelled:
            self.cancelled += 1
            with trio.CancelScope(shield=True):
                await trio.sleep(self.shield)
            raise
        finally:
            self.running -= 1

    async def _act(self, acts: Sequence[Act], emit: Emit | None) -> ModelResponse:
        text = ""
        for act in acts:
            match act:
                case ModelResponse():
                    return act
                case Exception():
                    raise act
                case str():
                    text += act
                    if emit is not None:
                        await emit(TextDelta(act))
                case int() | float() if act == PAUSE:
                    await pause()
                case int() | float():
                    await trio.sleep(act)
        return ModelResponse(text, usage=Usage(10, 5))


class Registry:
    """A stand-in for a runtime: binds wrappers, knows models by their spec strings, and has a memory."""

    def __init__(self, memory: Any = None, **models: Model) -> None:
        self.memory = memory
        self.models = models

    def model(self, spec: str | Model) -> Model:
        """Return the model of a spec, or bind a wrapper."""
        if isinstance(spec, str):
            return self.models[spec]
        return spec.bound(self) if isinstance(spec, Wrapper) else spec


class Reader:
    """A list of the emitted deltas, copied at arrival."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    async def __call__(self, delta: Delta) -> None:
        await trio.lowlevel.checkpoint()
        self.deltas.append(msgspec.structs.replace(delta))
        delta.run_id = "stamped"

    @property
    def restarts(self) -> list[str]:
        """List the reasons of the restarts."""
        return [delta.reason for delta in self.deltas if isinstance(delta, TurnRestarted)]

    @property
    def response(self) -> ModelResponse:
        """Put together the response, as a reader does who drops the text before a restart."""
        content, reasoning, calls = "", "", []
        for delta in self.deltas:
            match delta:
                case TextDelta():
                    content += delta.text
                case ReasoningDelta():
                    reasoning += delta.text
                case ToolCallDelta():
                    calls.append(ToolCall(delta.id, delta.name, delta.arguments))
                case TurnRestarted():
                    content, reasoning, calls = "", "", []
        return ModelResponse(content, tuple(calls), reasoning)

    @property
    def text(self) -> str:
        """Return the final text."""
        return self.response.content


def busy(*, status: int = 503, retry_after: float | None = None) -> ModelError:
    """Make an error that may pass."""
    return ModelError("it is busy", hint="Wait.", status=status, retryable=True, retry_after=retry_after)


def ask(text: str = "Hi", **fields: Any) -> ModelRequest:
    """Make a request."""
    return ModelRequest((Message("user", text),), **fields)
