"""Models around several models: a chain of which the next is asked when one fails, and a race of which the first wins.

Both answer with one model's response and say whose it was: in `answered`, and in the reason of a `TurnRestarted`.
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
from agno_rt.wrappers._shared import priced, remark, shared_media
from agno_rt.wrappers.base import Teller, Wrapper

__all__ = ["Fallback", "Hedge", "another_may"]


def another_may(exc: Exception) -> bool:
    """Whether another model may do better: after any `ModelError` but `OutputError`, and after `Overloaded`.

    A `ModelError` that is the caller's own fault is no exception: a key that one provider refuses, a model that it does
    not have or a conversation too long for it says nothing of the next.
    """
    return isinstance(exc, ModelError | Overloaded) and not isinstance(exc, OutputError)


class _Several(Wrapper):
    """A wrapper of several models, in the order in which they are preferred."""

    least: ClassVar[int] = 1

    def __init__(self, *models: str | Model) -> None:
        if len(models) < self.least:
            raise UsageError(f"a {self.kind} of {len(models)} models", hint=f"Give it at least {self.least}.")
        super().__init__(*models)

    def begin(self) -> None:
        """Count from nothing."""
        self.answered: dict[str, int] = dict.fromkeys(self.names, 0)

    @property
    def profile(self) -> ModelProfile:
        """The first model's way to give an output type, the media that all take, and no price.

        There is no one price: the response comes with its cost already, by the price of the model that gave it.
        """
        profiles = [NO_PROFILE if isinstance(model, str) else profile_of(model) for model in self._models]
        return ModelProfile(profiles[0].output, shared_media(profiles))

    def _answered(self, model: Model, response: ModelResponse) -> ModelResponse:
        self.answered[model.name] = self.answered.get(model.name, 0) + 1
        return priced(response, model)


class Fallback(_Several):
    """Asks the first model, and the next one whenever one fails.

    What a failed model has emitted is taken back by a `TurnRestarted`. When all have failed, the last one's error is
    raised: its hint tells in a line of each what the others said, its notes in full.

    Args:
        models: spec strings, models or other wrappers, in the order in which they are asked
        on: whether an error is reason to ask the next; `another_may` by default

    Attributes:
        answered: how many answers each model has given, by its name
    """

    kind = "fallback"

    def __init__(self, *models: str | Model, on: Callable[[Exception], bool] = another_may) -> None:
        self._on = on
        super().__init__(*models)

    async def respond(self, request: ModelRequest, emit: Emit | None = None) -> ModelResponse:
        """Ask the models in turn until one answers. Raises the last one's error, and at once one that `on` refuses."""
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
                    _tell_of(failure, failures)
                    try:
                        raise failure from failure.__cause__
                    finally:
                        # Else the errors would hold the frame that holds them, until the collector comes by.
                        del failure, failures
                failures.append((model, failure))
            else:
                return self._answered(model, response)
            if teller is not None:
                await teller.restart(f"{model.name} failed, and {models[at].name} is asked: {_short(failure)}")
        raise AssertionError("a fallback has models")


def _tell_of(failure: Exception, others: Sequence[tuple[Model, Exception]]) -> None:
    """Say in an error what else failed."""
    for model, other in others:
        add_note(failure, f"{model.name} failed too: {named(other)}")
        if isinstance(failure, AgnoError):
            remark(failure, f"{model.name} failed too: {_short(other)}")


def _short(exc: Exception) -> str:
    text = (exc.message if isinstance(exc, AgnoError) else text_of(exc)).partition("\n")[0]
    text = text if len(text) <= _SHORT else f"{text[:_SHORT]}..."
    return text if text.endswith(".") else f"{text}."


_SHORT = 200
"""The characters of another model's error that a hint tells."""


class Hedge(_Several):
    """Asks the first model, and the next one too when the first is slow to begin; the first to answer wins.

    To answer is to return a response, or to emit something: the winner's deltas are passed on as they come, and the
    others' never are. The losers are cancelled, and have ended when the response is returned; what they have used is
    not known, and not counted. A model that fails leaves the race, and the next is asked at once. When all have failed,
    the first model's error is raised, with the others' in its hint and its notes; a winner that fails after it has
    begun to emit has failed for all.

    Args:
        models: two or more spec strings, models or wrappers, in the order in which they are asked
        after: how long to wait for a sign of one before the next is asked too, in seconds

    Attributes:
        answered: how many answers each model has given, by its name
        hedged: how many requests were put to a second model
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
        """Race the models. Raises as the class says; never an `ExceptionGroup` for what one model raised."""
        race = _Race(request, emit, self.models())
        try:
            await race.run(self.after)
        except BaseExceptionGroup as group:
            raise_cause(group)
        finally:
            self.hedged += len(race.scopes) > 1
        return self._answered(*race.outcome())


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
        """Start one model after the other until there is a winner, and wait until all have ended."""
        async with trio.open_nursery() as nursery:
            for at, model in enumerate(self.models):
                self.scopes.append(trio.CancelScope())
                nursery.start_soon(self._ask, at, name=f"hedge: {model.name}")
                with trio.move_on_after(after):
                    await self.changed.wait()
                if self.winner is not None or self.fatal is not None:
                    break
                self.changed = trio.Event()

    async def _ask(self, at: int) -> None:
        emit = None if self.emit is None else functools.partial(self._told, at)
        with self.scopes[at]:
            try:
                response = await self.models[at].respond(self.request, emit)
            except Exception as exc:
                self._failed(at, exc)
            else:
                if self._wins(at):
                    self.response = response

    async def _told(self, at: int, delta: Delta) -> None:
        if self._wins(at):
            assert self.emit is not None
            await self.emit(delta)
        else:
            # A loser is cancelled; one that shields itself from that must not be held up, nor heard.
            await trio.lowlevel.checkpoint()

    def _wins(self, at: int) -> bool:
        if self.winner is None and self.fatal is None:
            self.winner = at
            self._stop_all_but(at)
        return self.winner == at

    def _failed(self, at: int, exc: Exception) -> None:
        failure = cause(exc)
        assert isinstance(failure, Exception)
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
        """The winner and its response. Raises the error that stands for the race where there is none."""
        if self.winner is not None and self.response is not None:
            return self.models[self.winner], self.response
        failures, self.failures, first = self.failures, {}, self.fatal
        if first is None:
            first = failures.pop(0 if self.winner is None else self.winner)
        _tell_of(first, [(self.models[at], failures[at]) for at in sorted(failures)])
        try:
            raise first
        finally:
            # Else the error would hold the frame that holds the error, until the collector comes by.
            del first, failures
            self.fatal = None
