"""Helpers of several wrappers: a lasting clock, remarks on errors, the price and the media of several models."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import trio

from agno_rt.errors import AgnoError
from agno_rt.failures import add_note, set_attribute
from agno_rt.models import Model, ModelProfile, ModelResponse, profile_of

__all__ = ["LastingClock", "add_cost", "remark", "shared_media"]


class LastingClock:
    """trio's clock, continued from one `trio.run` to the next, as trio's own starts each run at another number.

    Within a run, the clock is trio's own, including a test's `MockClock`. Between two runs, real time counts.
    """

    __slots__ = ("_ahead", "_last", "_real", "_run")

    def __init__(self) -> None:
        self._run: object = None
        self._ahead = 0.0
        self._last = 0.0
        self._real = 0.0

    def now(self) -> float:
        """Return the seconds since an arbitrary moment; the value never decreases."""
        run = trio.lowlevel.current_trio_token()
        if run is not self._run:
            between = 0.0 if self._run is None else time.monotonic() - self._real
            self._ahead = self._last + between - trio.current_time()
            self._run = run
        self._last = self._ahead + trio.current_time()
        self._real = time.monotonic()
        return self._last


def remark(exc: BaseException, text: str) -> None:
    """Add a text to an error: to the hint of an `AgnoError`, which is shown to people, else as a note."""
    if isinstance(exc, AgnoError):
        set_attribute(exc, "hint", f"{exc.hint} {text}".lstrip())
    else:
        add_note(exc, text)


def add_cost(response: ModelResponse, model: Model) -> ModelResponse:
    """Return the response with its cost by the model's price, if it has no cost yet and the price is known."""
    price = profile_of(model).price
    if price is None or not isinstance(response, ModelResponse) or response.usage.cost:
        return response
    return attrs.evolve(response, usage=attrs.evolve(response.usage, cost=price.of(response.usage)))


def shared_media(profiles: Sequence[ModelProfile]) -> tuple[str, ...] | None:
    """Return the media types that all of the models accept; `None` if no model's types are known."""
    known = [profile.media for profile in profiles if profile.media is not None]
    if not known:
        return None
    shared, *others = known
    for other in others:
        # Both ways, as "image/*" of one model and "image/png" of another share "image/png".
        both = [each for each in shared if _is_covered(each, other)]
        both += [each for each in other if _is_covered(each, shared)]
        shared = tuple(dict.fromkeys(both))
    return shared


def _is_covered(kind: str, kinds: Sequence[str]) -> bool:
    return any(one in (kind, "*/*") or (one.endswith("/*") and kind.startswith(one[:-1])) for one in kinds)
