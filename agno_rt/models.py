"""How a model is asked: the `Model` protocol and the values that cross it. Knows nothing of agents, runs or trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import UsageError
from agno_rt.events import Delta
from agno_rt.messages import Message, ToolCall, Usage
from agno_rt.tools import Tool

__all__ = [
    "NO_PROFILE",
    "NO_SETTINGS",
    "NO_USAGE",
    "Binder",
    "Emit",
    "FinishReason",
    "Model",
    "ModelProfile",
    "ModelRequest",
    "ModelResponse",
    "ModelSettings",
    "OutputMode",
    "Price",
    "profile_of",
]

Emit: TypeAlias = Callable[[Delta], Awaitable[None]]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
OutputMode = Literal["schema", "tool", "prompt"]


def _stops(stop: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the stop sequences as a tuple; one text is one of them. Raises `UsageError` for anything else."""
    stops = (stop,) if isinstance(stop, str) or not isinstance(stop, Iterable) else tuple(stop)
    if not all(isinstance(each, str) for each in stops if each is not None):
        raise UsageError(f"stop is {stop!r}", hint="Give a text, or a tuple of texts.")
    return tuple(each for each in stops if each)


@attrs.frozen
class ModelSettings:
    """How a model is to answer. `None` leaves the choice to the model; `extra` goes to the provider as it is.

    `stop` is a text at which the answer ends, or a tuple of several. `tool_choice` is `auto`, `none`, `required` or a
    tool's name; anything but `auto` holds for the first turn of a run alone, so that a run which must call a tool can
    also end. Raises `UsageError` for a `stop` that is no text.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = attrs.field(default=(), converter=_stops)
    tool_choice: str = "auto"
    extra: Mapping[str, Any] = attrs.Factory(dict)


@attrs.frozen
class Price:
    """What a million tokens cost; `cached_input` is for input that the provider had cached (`None`: as other input)."""

    input: float
    output: float
    cached_input: float | None = None

    def of(self, usage: Usage) -> float:
        """What the usage costs."""
        cached = usage.cached_tokens
        fresh = (usage.input_tokens - cached) * self.input
        reused = cached * (self.input if self.cached_input is None else self.cached_input)
        return (fresh + reused + usage.output_tokens * self.output) / 1_000_000


@attrs.frozen
class ModelProfile:
    """The facts about a model that a run needs to know.

    Attributes:
        output: how it is told of an output type: by the JSON Schema in `ModelRequest.output`, by a tool that it must
            call with the answer, or in words
        media: the media types that it takes, as in `("image/*", "application/pdf")`; `None` where that is not known,
            and the provider is left to refuse
        price: what its tokens cost, where that is known; a run then counts the cost of each turn that has none yet
    """

    output: OutputMode = "schema"
    media: tuple[str, ...] | None = None
    price: Price | None = None


NO_SETTINGS = ModelSettings()
NO_USAGE = Usage()
NO_PROFILE = ModelProfile()


def profile_of(model: object) -> ModelProfile:
    """The model's profile; a model without one has the default."""
    profile = getattr(model, "profile", NO_PROFILE)
    return profile if isinstance(profile, ModelProfile) else NO_PROFILE


@attrs.define(weakref_slot=False)
class ModelRequest:
    """One turn's question. `output` is the JSON Schema that the answer's text must fit, or `None` for free text.

    `turn` counts the turns of the run from 1, and is 0 for a call beside them, such as for a summary; `user` is whom
    the run is for, where that was said.
    """

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    output: Mapping[str, Any] | None = None
    settings: ModelSettings = NO_SETTINGS
    turn: int = 1
    user: str | None = None


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
    has limits of its own may have a `statistics()` that returns a tuple of `LimitStatistics`; one whose facts differ
    from the default has a `profile`, a `ModelProfile`; one that may lack something, weights or a key, has a
    `check_ready()` that raises the error which a run would meet, and asks no other machine (see `readiness`).
    """

    @property
    def name(self) -> str:
        """What logs and errors call the model, usually its spec string."""
        ...

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request."""
        ...


class Binder(Protocol):
    """What says which model a spec stands for: a runtime. It binds wrappers, and hooks that ask a model."""

    def model(self, spec: str | Model) -> Model:
        """The model that a spec, a wrapper or a model stands for here."""
        ...

    @property
    def memory(self) -> Any:
        """The runtime's memory backend, made at its first use."""
        ...
