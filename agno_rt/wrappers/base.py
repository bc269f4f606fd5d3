"""What the models that stand around other models share: specs bound by a runtime, and what was told to readers.

A wrapper is a `Model` that is given models: spec strings, `Model`s or other wrappers. It knows no plugin: the runtime
that runs the agent says what a spec stands for, through `bound`.
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
    """A model around one model or several; the base of those that ship, and of your own.

    A subclass writes `respond`, and `begin` if it keeps anything. It asks `self.inner`, or each of `self.models()`.

    Every runtime calls `bound` once for each wrapper and keeps what comes of it as long as the wrapper lives, so all
    agents of a runtime that have the same wrapper object share what it keeps. A wrapper around spec strings becomes
    another in each runtime, which begins anew there; ask `runtime.model(wrapper)` for it. One around `Model` objects
    is used as it is. A wrapper owns no model: those made of specs are closed by the runtime, those given are not.

    Use one wrapper object within one `trio.run` at a time.
    """

    kind: ClassVar[str] = "wrapper"
    """What the wrapper is called in an error."""

    identity: str = ""
    """What else, besides its class and the models within, changes its answers. A `Cache` keeps them apart by it."""

    def __init__(self, *models: str | Model) -> None:
        for model in models:
            if not isinstance(model, str) and not hasattr(model, "respond"):
                hint = "Give a spec such as 'openai:gpt-5', or a Model."
                raise UsageError(f"{model!r} within a {self.kind} is no model", hint=hint)
        self._models: tuple[str | Model, ...] = models
        self.begin()

    def begin(self) -> None:
        """Begin with nothing kept: called when the wrapper is made, and for each runtime that binds it."""

    def bound(self, binder: Binder) -> Model:
        """This wrapper around what the runtime has for its models; itself, where they were models already."""
        models = tuple(binder.model(model) for model in self._models)
        if all(one is other for one, other in zip(models, self._models, strict=True)):
            return self
        return self._anew(models)

    def _anew(self, models: tuple[Model, ...]) -> Self:
        made = copy.copy(self)
        made._models = models
        made.begin()
        return made

    @property
    def inner(self) -> Model:
        """The model within, the first one of several. Raises `UsageError` while that is still a spec string."""
        model = self._models[0]
        return self._unbound(model) if isinstance(model, str) else model

    def models(self) -> tuple[Model, ...]:
        """The models within. Raises `UsageError` while one is still a spec string."""
        return tuple(self._unbound(model) if isinstance(model, str) else model for model in self._models)

    def _unbound(self, spec: str) -> Model:
        hint = "Run an agent that has it, or ask what `runtime.model(wrapper)` returns."
        raise UsageError(f"the {self.kind} of {spec!r} was asked outside of a runtime, which makes models", hint=hint)

    @property
    def names(self) -> tuple[str, ...]:
        """What each model within is called."""
        return tuple(model if isinstance(model, str) else model.name for model in self._models)

    @property
    def name(self) -> str:
        """The name of the model within; of several, all of them."""
        return " or ".join(self.names)

    @property
    def profile(self) -> ModelProfile:
        """The facts about the model within; the default, while it is a spec string."""
        model = self._models[0]
        return NO_PROFILE if isinstance(model, str) else profile_of(model)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the model within."""
        return await self.inner.respond(request, emit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._models))})"


class Teller:
    """An `emit` that passes deltas on, and knows whether readers have something of this turn."""

    __slots__ = ("_emit", "told")

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.told = False

    def __call__(self, delta: Delta) -> Awaitable[None]:
        """Pass it on."""
        self.told = not isinstance(delta, TurnRestarted)
        return self._emit(delta)

    async def restart(self, reason: str) -> None:
        """Tell the readers, if they have something, that it is void."""
        if self.told:
            await self(TurnRestarted(reason))
