"""Wrappers of several models: `Fallback` asks the next model when one fails, `Hedge` lets models race.

Both return the response of one model, and count each model's answers in `answered`. `Fallback` names both models in the
reason of its `TurnRestarted`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

import attrs
import trio

from agno_rt._drive.scopes import cause, raise_cause
from agno_rt.errors import AgnoError, ModelError, OutputError, Overloaded, UsageError
from agno_rt.events import Delta
from agno_rt.failures import add_note, named, text_of
from agno_rt.models import NO_PROFILE, Emit, Model, ModelProfile, ModelRequest, ModelResponse, profile_of
from agno_rt.wrappers._shared import add_cost, remark, shared_media
from agno_rt.wrappers.base import Teller, Wrapper

__all__ = ["Fallback", "Hedge", "another_may"]


def another_may(exc: Exception) -> bool:
    """Tell whether another model may succeed: after any `ModelError` but `OutputError`, and after `Overloaded`.

    Errors of the caller count too: if one provider refuses the key, lacks the model or finds the conversation too long,
    the next may still answer.
    """
    return isinstance(exc, ModelError | Overloaded) and not isinstance(exc, OutputError)


class _Several(Wrapper):
    """A wrapper of several models, in the order of preference."""

    least: ClassVar[int] = 1

    def __init__(self, *models: str | Model) -> None:
        if len(models) < self.least:
            hint = f"Give at least {self.least}."
            raise UsageError(f"a {self.kind} of {len(models)} models has too few", hint=hint)
        super().__init__(*models)

    def begin(self) -> None:
        """Count from nothing."""
        self.answered: dict[str, int] = dict.fromkeys(self.names, 0)

    @property
    def profile(self) -> ModelProfile:
        """The output mode and the place of the first model, the media types and the context of all, and no price.

        A response has its cost already, by the price of the model that answered.
        """
        profiles = [NO_PROFILE if isinstance(model, str) else profile_of(model) for model in self._models]
        contexts = [profile.context for profile in profiles if profile.context is not None]
        return ModelProfile(
            profiles[0].output,
            shared_media(profiles),
            in_process=profiles[0].in_process,
            context=min(contexts, default=None),
        )

    def _count_answer(self, model: Model, response: ModelResponse) -> ModelResponse:
        """Count the model's answer, and return the response with its cost."""
        self.answered[model.name] = self.answered.get(model.name, 0) + 1
        return add_cost(response, model)


class Fallback(_Several):
    """Asks the first model, and the next model whenever one fails.

    A `TurnRestarted` takes back the deltas of a failed model. When all models have failed, the last error is raised,
    with the first line of each other error in its hint, and the whole of each in its notes.

    Args:
        models: spec strings, models or other wrappers, in the order of asking
        on: returns true for an error after which the next model is asked; `another_may` by default

    Attributes:
        answered: the number of answers of each model, by its name
    """

    kind = "fallback"

    def __init__(self, *models: str | Model, on: Callable[[Exception], bool] = another_may) -> None:
        self._on = on
        super().__init__(*models)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the models in turn until one answers. Raises the last error, and at once an error that `on` refuses."""
        teller = None if emit is None else Teller(emit)
        failures: list[tuple[Model, Exception]] = []
        models = self.models()
        for at, model in enumerate(models, 1):
            try:
                response = await model.respond(request, teller)
            except Exception as exc:
                failure = cause(exc)
                assert isinstance(failure, Exception)
                if at == len(models) or not self._on(failure):
                    _add_failures(failure, failures)
                    try:
                        raise failure from failure.__cause__
                    finally:
                        # The errors' tracebacks hold this frame, so holding the errors here would make a cycle.
                        del failure, failures
                failures.append((model, failure))
            else:
                return self._count_answer(model, response)
            if teller is not None:
                await teller.restart(f"{model.name} failed, and {models[at].name} is asked: {_first_line(failure)}")
        raise AssertionError("a fallback has models")


def _add_failures(failure: Exception, others: Sequence[tuple[Model, Exception]]) -> None:
    """Add the errors of the other models to the notes and the hint of an error."""
    for model, other in others:
        add_note(failure, f"{model.name} failed too: {named(other)}")
        if isinstance(failure, AgnoError):
            remark(failure, f"{model.name} failed too: {_first_line(other)}")


def _first_line(exc: Exception) -> str:
    text = (exc.message if isinstance(exc, AgnoError) else text_of(exc)).partition("\n")[0]
    text = text if len(text) <= _SHORT else f"{text[:_SHORT]}..."
    return text if text.endswith(".") else f"{text}."


_SHORT = 200
"""The most characters of another model's error in a hint."""


class Hedge(_Several):
    """Asks the first model, and also the next when the first is slow to begin; the first to answer wins.

    A model wins by its first delta or by its response. Only the winner's deltas are passed on, as they come. The losers
    are cancelled and have ended when the response is returned; their usage is unknown and not counted. When a model
    fails, the next is asked at once. When all have failed, the first model's error is raised, with the errors of the
    others in its hint and its notes. If a winner fails after its first delta, its error is raised.

    Args:
        models: two or more spec strings, models or wrappers, in the order of asking
        after: seconds to wait for a delta or a response before the next model is asked too

    Attributes:
        answered: the number of answers of each model, by its name
        hedged: the number of requests that went to a second model
    """

    kind = "hedge"
    least = 2

    def __init__(self, *models: str | Model, after: float = 2.0) -> None:
        if not isinstance(after, int | float) or isinstance(after, bool) or not 0 <= after < float("inf"):
            raise UsageError(f"after is {after!r}", hint="Give seconds, 0 or more.")
        self.after = after
        super().__init__(*models)

    def begin(self) -> None:
        """Count from nothing."""
        super().begin()
        self.hedged = 0

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Race the models. Raises a single error, as the class describes, and never an `ExceptionGroup` around it."""
        race = _Race(request, emit, self.models())
        try:
            await race.run(self.after)
        except BaseExceptionGroup as group:
            raise_cause(group)
        finally:
            self.hedged += len(race.scopes) > 1
        return self._count_answer(*race.outcome())


@attrs.define(eq=False)
class _Race:
    request: ModelRequest
    emit: Emit | None
    models: tuple[Model, ...]
    scopes: list[trio.CancelScope] = attrs.Factory(list)
    changed: trio.Event = attrs.Factory(trio.Event)
    winner: int | None = None
    response: ModelResponse | None = None
    failures: dict[int, Exception] = attrs.Factory(dict)
    fatal: Exception | None = None

    async def run(self, after: float) -> None:
        """Start one model after another until there is a winner, and wait until all have ended."""
        async with trio.open_nursery() as nursery:
            for at, model in enumerate(self.models):
                self.scopes.append(trio.CancelScope())
                nursery.start_soon(self._ask, at, name=f"hedge: {model.name}")
                with trio.move_on_after(after):
                    await self.changed.wait()
                if self.winner is not None or self.fatal is not None:
                    break
                # The wait is over or a model has failed, so the next model is due.
                self.changed = trio.Event()

    async def _ask(self, at: int) -> None:
        emit = None if self.emit is None else functools.partial(self._pass_on, at)
        with self.scopes[at]:
            try:
                response = await self.models[at].respond(self.request, emit)
            except Exception as exc:
                self._note_failure(at, exc)
            else:
                if self._wins(at):
                    self.response = response

    async def _pass_on(self, at: int, delta: Delta) -> None:
        if self._wins(at):
            assert self.emit is not None
            await self.emit(delta)
        else:
            # A loser that is shielded from cancellation goes on for a while: drop its deltas, and let it reach its end.
            await trio.lowlevel.checkpoint()

    def _wins(self, at: int) -> bool:
        if self.winner is None and self.fatal is None:
            self.winner = at
            self._stop_all_but(at)
        return self.winner == at

    def _note_failure(self, at: int, exc: Exception) -> None:
        failure = cause(exc)
        assert isinstance(failure, Exception)
        # An error of a loser does not matter any more.
        if self.winner not in (None, at):
            return
        if another_may(failure):
            self.failures[at] = failure
            self.changed.set()
        elif self.fatal is None:
            self.fatal = failure
            self._stop_all_but(at)

    def _stop_all_but(self, at: int) -> None:
        self.changed.set()
        for other, scope in enumerate(self.scopes):
            if other != at:
                scope.cancel()

    def outcome(self) -> tuple[Model, ModelResponse]:
        """Return the winner and its response. Raises the race's error if no model has answered."""
        if self.winner is not None and self.response is not None:
            return self.models[self.winner], self.response
        failures, self.failures, first = self.failures, {}, self.fatal
        if first is None:
            first = failures.pop(0 if self.winner is None else self.winner)
        _add_failures(first, [(self.models[at], failures[at]) for at in sorted(failures)])
        try:
            raise first
        finally:
            # The error's traceback holds this frame and the race, so neither may keep the error.
            del first, failures
            self.fatal = None
