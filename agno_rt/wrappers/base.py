"""The base of models around other models, and a `Teller` that tracks whether readers have seen deltas.

A wrapper is a `Model` around models: spec strings, `Model`s or other wrappers. It knows no plugins: the runtime that
runs the agent replaces spec strings with models, through `bound`.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable
from typing import ClassVar, Self

from agno_rt.errors import UsageError
from agno_rt.events import Delta, TurnRestarted
from agno_rt.models import NO_PROFILE, Binder, Emit, Model, ModelProfile, ModelRequest, ModelResponse, profile_of

__all__ = ["Teller", "Wrapper"]


class Wrapper:
    """A model around one model or several; the base of the wrappers here, and of your own.

    A subclass writes `respond`, which asks `self.inner` or each of `self.models()`, and `begin` to reset its state.

    Every runtime calls `bound` once for each wrapper and keeps the result as long as the wrapper lives, so all agents
    of a runtime with the same wrapper object share its state. A wrapper around spec strings is copied for each runtime,
    and the copy begins anew; `runtime.model(wrapper)` returns the copy. A wrapper around `Model` objects is used
    directly. A runtime closes the models made of specs, and leaves your own models open.

    Use one wrapper object within one `trio.run` at a time.
    """

    kind: ClassVar[str] = "wrapper"
    """The name of the wrapper in errors."""

    identity: str = ""
    """Settings that change the wrapper's answers, as text. A `Cache` tells wrappers apart by it, class and models."""

    def __init__(self, *models: str | Model) -> None:
        for model in models:
            if not isinstance(model, str) and not hasattr(model, "respond"):
                hint = "Give a spec such as 'openai:gpt-5', or a Model."
                raise UsageError(f"{model!r} within a {self.kind} is not a model", hint=hint)
        self._models: tuple[str | Model, ...] = models
        self.begin()

    def begin(self) -> None:
        """Reset the state: called when the wrapper is made, and for each copy that a runtime makes."""

    def bound(self, binder: Binder) -> Model:
        """Return a copy of this wrapper around the runtime's models; the wrapper itself if it has no spec strings."""
        models = tuple(binder.model(model) for model in self._models)
        # By identity: models may define `==`, and equal models are still two models.
        if all(bound is given for bound, given in zip(models, self._models, strict=True)):
            return self
        return self._copy_with(models)

    def _copy_with(self, models: tuple[Model, ...]) -> Self:
        copied = copy.copy(self)
        copied._models = models
        copied.begin()
        return copied

    @property
    def inner(self) -> Model:
        """The inner model, the first of several. Raises `UsageError` while it is still a spec string."""
        model = self._models[0]
        return self._refuse_spec(model) if isinstance(model, str) else model

    def models(self) -> tuple[Model, ...]:
        """Return the inner models. Raises `UsageError` while one is still a spec string."""
        return tuple(self._refuse_spec(model) if isinstance(model, str) else model for model in self._models)

    def _refuse_spec(self, spec: str) -> Model:
        hint = "Run an agent with the wrapper, or ask the model that `runtime.model(wrapper)` returns."
        raise UsageError(f"the {self.kind} of {spec!r} was asked outside of a runtime, which makes models", hint=hint)

    @property
    def names(self) -> tuple[str, ...]:
        """The name or the spec of each inner model."""
        return tuple(model if isinstance(model, str) else model.name for model in self._models)

    @property
    def name(self) -> str:
        """The name of the inner model, or the names of several joined by "or"."""
        return " or ".join(self.names)

    @property
    def profile(self) -> ModelProfile:
        """The profile of the inner model; the default profile while the model is a spec string."""
        model = self._models[0]
        return NO_PROFILE if isinstance(model, str) else profile_of(model)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the inner model."""
        return await self.inner.respond(request, emit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._models))})"


class Teller:
    """An `emit` that passes deltas on. `told` is true while readers have seen a delta of this turn."""

    __slots__ = ("_emit", "told")

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.told = False

    def __call__(self, delta: Delta) -> Awaitable[None]:
        """Pass a delta on."""
        self.told = not isinstance(delta, TurnRestarted)
        return self._emit(delta)

    async def restart(self, reason: str) -> None:
        """Tell the readers that the deltas so far are void, if they have seen any."""
        if self.told:
            await self(TurnRestarted(reason))
