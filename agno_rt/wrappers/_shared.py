"""Small things that several wrappers need: a lasting clock, a word about an error, prices and media of several."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import trio

from agno_rt.errors import AgnoError
from agno_rt.failures import add_note, set_attribute
from agno_rt.models import Model, ModelProfile, ModelResponse, profile_of

__all__ = ["LastingClock", "priced", "remark", "shared_media"]


class LastingClock:
    """trio's clock, carried on over the end of one `trio.run` into the next, where trio begins at another number.

    Within a run it is trio's own, a test's `MockClock` too; the time between two runs is real.
    """

    __slots__ = ("_ahead", "_last", "_real", "_run")

    def __init__(self) -> None:
        self._run: object = None
        self._ahead = 0.0
        self._last = 0.0
        self._real = 0.0

    def now(self) -> float:
        """Seconds since some moment. It never goes back."""
        run = trio.lowlevel.current_trio_token()
        if run is not self._run:
            between = 0.0 if self._run is None else time.monotonic() - self._real
            self._ahead = self._last + between - trio.current_time()
            self._run = run
        self._last = self._ahead + trio.current_time()
        self._real = time.monotonic()
        return self._last


def remark(exc: BaseException, text: str) -> None:
    """Say something about an error: in the hint of one of ours, which people are shown, else in a note."""
    if isinstance(exc, AgnoError):
        set_attribute(exc, "hint", f"{exc.hint} {text}".lstrip())
    else:
        add_note(exc, text)


def priced(response: ModelResponse, model: Model) -> ModelResponse:
    """The response with its cost by the price of the model that gave it, where it has none and the price is known."""
    price = profile_of(model).price
    if price is None or not isinstance(response, ModelResponse) or response.usage.cost:
        return response
    return attrs.evolve(response, usage=attrs.evolve(response.usage, cost=price.of(response.usage)))


def shared_media(profiles: Sequence[ModelProfile]) -> tuple[str, ...] | None:
    """The media types that all of the models take; `None` where that is known of none of them."""
    known = [profile.media for profile in profiles if profile.media is not None]
    if not known:
        return None
    shared, *others = known
    for other in others:
        both = [kind for kind in shared if _covered(kind, other)] + [kind for kind in other if _covered(kind, shared)]
        shared = tuple(dict.fromkeys(both))
    return shared


def _covered(kind: str, kinds: Sequence[str]) -> bool:
    return any(one in (kind, "*/*") or (one.endswith("/*") and kind.startswith(one[:-1])) for one in kinds)
