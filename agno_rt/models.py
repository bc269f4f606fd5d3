"""The `Model` protocol and the values that cross it. Knows nothing of agents, runs or trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from agno_rt.errors import UsageError
from agno_rt.events import Delta
from agno_rt.messages import Message, Native, ToolCall, Usage
from agno_rt.tools import Tool

__all__ = [
    "FREE",
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


def _convert_stops(stop: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the stop sequences as a tuple; a text becomes a tuple of one. Raises `UsageError` for anything else."""
    stops = (stop,) if isinstance(stop, str) or not isinstance(stop, Iterable) else tuple(stop)
    if not all(isinstance(each, str) for each in stops if each is not None):
        raise UsageError(f"stop is {stop!r}", hint="Give a text, or a tuple of texts.")
    return tuple(each for each in stops if each)


@attrs.frozen
class ModelSettings:
    """Settings of a model's answer. `None` leaves the choice to the model; `extra` goes to the provider unchanged.

    `stop` is a text at which the answer ends, or a tuple of texts. `tool_choice` is `auto`, `none`, `required` or a
    tool's name. A choice other than `auto` applies to the first turn of a run only; otherwise a run that must call a
    tool could never end. Raises `UsageError` for a `stop` that is not text.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = attrs.field(default=(), converter=_convert_stops)
    tool_choice: str = "auto"
    extra: Mapping[str, Any] = attrs.Factory(dict)


@attrs.frozen
class Price:
    """The cost of a million tokens.

    `cached_input` is for input that the provider had cached, `cache_write` for input that it wrote to its cache; `None`
    stands for the price of other input. `as_of` is the day on which the price was read, as `2026-11-30`, and `source`
    the page. A request with more than `long_from` tokens of input costs the price `long`, if given.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    as_of: str = ""
    source: str = ""
    long_from: int = 0
    long: Price | None = None

    def of(self, usage: Usage) -> float:
        """Return the cost of one request's usage."""
        if self.long is not None and usage.input_tokens > self.long_from:
            return self.long.of(usage)
        cached, written = usage.cached_tokens, usage.cache_write_tokens
        fresh = (usage.input_tokens - cached - written) * self.input
        reused = cached * (self.input if self.cached_input is None else self.cached_input)
        kept = written * (self.input if self.cache_write is None else self.cache_write)
        return (fresh + reused + kept + usage.output_tokens * self.output) / 1_000_000


FREE = Price(0.0, 0.0)
"""The price of a model that runs on a machine of the user's own."""


@attrs.frozen
class ModelProfile:
    """The facts about a model that a run needs.

    Attributes:
        output: how to tell the model of an output type: by the JSON Schema in `ModelRequest.output`, by a tool to call
            with the answer, or in words
        media: the media types that the model accepts, as in `("image/*", "application/pdf")`; `None` if unknown, to
            leave the refusal to the provider
        price: the price of the model's tokens, if known; a run then counts the cost of each turn without a cost of its
            own
        in_process: true for a model that is loaded into this process at its first call, which takes seconds
        context: the most tokens of a request, with its answer unless the provider counts otherwise; `None` if unknown
        max_output: the most tokens of an answer; `None` if unknown
    """

    output: OutputMode = "schema"
    media: tuple[str, ...] | None = None
    price: Price | None = None
    in_process: bool = False
    context: int | None = None
    max_output: int | None = None


NO_SETTINGS = ModelSettings()
NO_USAGE = Usage()
NO_PROFILE = ModelProfile()


def profile_of(model: object) -> ModelProfile:
    """Return the model's profile, or the default for a model without a profile."""
    # A model may be any object with a `respond`, so its `profile` may be anything, too.
    profile = getattr(model, "profile", NO_PROFILE)
    return profile if isinstance(profile, ModelProfile) else NO_PROFILE


@attrs.define(weakref_slot=False)
class ModelRequest:
    """The request of one turn. `output` is the JSON Schema that the answer's text must fit, or `None` for free text.

    `turn` counts the turns of the run from 1, and is 0 for a call outside the turns, such as a summary. `user` is the
    run's user, if known.
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
    """The response of one turn: text, or tool calls, or both. `reasoning` is separate from `content`.

    `native` is the response in the provider's own form, for the plugin's next request. `request_id` is the provider's
    name for the request, for questions to the provider. `raw_finish_reason` is the provider's word for the end of the
    answer, if `finish_reason` does not say the same.
    """

    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    usage: Usage = NO_USAGE
    finish_reason: FinishReason = "stop"
    native: Native | None = None
    request_id: str = ""
    raw_finish_reason: str = ""


@runtime_checkable
class Model(Protocol):
    """The protocol of a model plugin.

    With `emit`, a model also awaits `emit(delta)` as text, reasoning and pieces of tool calls arrive; the await is the
    back-pressure. Each delta is a fresh object. A model raises `ModelError` (with `provider`, `status` and `retryable`)
    if no answer can be had, lets `trio.Cancelled` pass, and stops working when cancelled.

    Optional members:

    - `async def aclose()`: closes open resources; the runtime calls it when closing
    - `async def warm()`: does ahead of the first request what the first would do, such as connecting; `Runtime.warm`
      calls it. Raises `ModelError` if the server cannot be reached
    - `statistics()`: returns a tuple of `LimitStatistics`, for a model with limits of its own
    - `profile`: a `ModelProfile`, for a model that differs from the default
    - `check_ready()`: raises the error that a run would meet, if weights or a key are missing, and contacts no other
      machine (see `readiness`)
    """

    @property
    def name(self) -> str:
        """The model's name in logs and errors, usually its spec string."""
        ...

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Answer the request."""
        ...


class Binder(Protocol):
    """A runtime, as seen by wrappers and by hooks that ask a model: it finds the model for a spec."""

    def model(self, spec: str | Model) -> Model:
        """Return the model for a spec string, a wrapper or a model."""
        ...

    @property
    def memory(self) -> Any:
        """Return the runtime's memory backend, created at first use."""
        ...
