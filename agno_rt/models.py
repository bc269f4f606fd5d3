"""How a model is asked: the `Model` protocol and the values that cross it. Knows nothing of agents, runs or trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.events import Delta
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.tools import Tool

__all__ = ["Emit", "FinishReason", "Model", "ModelRequest", "ModelResponse", "ModelSettings"]

Emit: TypeAlias = Callable[[Delta], Awaitable[None]]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@attrs.frozen
class ModelSettings:
    """How a model is to answer. `None` leaves the choice to the model; `extra` goes to the provider as it is.

    `tool_choice` is `auto`, `none`, `required` or a tool's name; anything but `auto` holds for the first turn of a run
    alone, so that a run which must call a tool can also end.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tool_choice: str = "auto"
    extra: Mapping[str, Any] = attrs.Factory(dict)


NO_SETTINGS = ModelSettings()
NO_USAGE = Usage()


@attrs.define
class ModelRequest:
    """One turn's question. `output` is the JSON Schema that the answer's text must fit, or `None` for free text.

    `turn` counts the turns of the run from 1.
    """

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    output: Mapping[str, Any] | None = None
    settings: ModelSettings = NO_SETTINGS
    turn: int = 1


@attrs.define
class ModelResponse:
    """One turn's answer: text, or tool calls, or both. `reasoning` is kept apart from `content`."""

    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    usage: Usage = NO_USAGE
    finish_reason: FinishReason = "stop"


@runtime_checkable
class Model(Protocol):
    """What a model plugin implements.

    Given `emit`, a model also awaits `emit(delta)` as text, reasoning and pieces of tool calls arrive; the await is
    the back-pressure. It emits a fresh delta each time. It raises `ModelError` (with `provider`, `status` and
    `retryable`) when no answer can be had, lets `trio.Cancelled` through, and stops working when it is cancelled.
    A model that holds something open has an `async def aclose()`, which the runtime calls when it closes; one that
    has limits of its own may have a `statistics()` that returns a tuple of `LimitStatistics`.
    """

    @property
    def name(self) -> str:
        """What logs and errors call the model, usually its spec string."""
        ...

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request."""
        ...
