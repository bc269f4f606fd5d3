"""A request under way that several callers wait for: each of them gets the model's deltas and the answer."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import trio

from agno_rt.errors import AgnoError
from agno_rt.events import Delta
from agno_rt.failures import set_attribute
from agno_rt.wrappers.base import Teller

__all__ = ["Flight"]


@attrs.define(eq=False)
class Flight:
    """One request to a model. When `over`, it has an answer in `value`, or a `failure`, or was given up with neither.

    Followers read the deltas from a list, and the model does not wait for them, so a slow reader holds up nobody else.
    The flight keeps all deltas for followers that join late.
    """

    key: str
    response: Any = None
    value: bytes | None = None
    failure: AgnoError | None = None
    over: bool = False
    _deltas: list[Delta] = attrs.Factory(list)
    _followers: trio.lowlevel.ParkingLot = attrs.Factory(trio.lowlevel.ParkingLot)

    async def emit(self, delta: Delta) -> None:
        """Keep a delta of the model, and wake the followers."""
        self._deltas.append(delta)
        self._followers.unpark_all()
        # Lets the followers read now, and the model be cancelled, even if its own stream never waits.
        await trio.lowlevel.checkpoint()

    @property
    def joinable(self) -> bool:
        """True while the request runs, and after it if there is an answer to share."""
        return not self.over or self.value is not None

    def land(self, response: Any, value: bytes | None) -> None:
        """End with the model's response. Followers make copies of the bytes in `value`; `None` gives them nothing."""
        self.response = response
        self.value = value
        self.end()

    def fail(self, error: BaseException) -> None:
        """End with an error. An `AgnoError` goes to all followers; any other error concerns this caller alone."""
        if isinstance(error, AgnoError):
            self.failure = _copy_error(error)
        self.end()

    def end(self) -> None:
        """End the flight, unless it has ended."""
        self.over = True
        self._followers.unpark_all()

    async def follow(self, teller: Teller | None) -> None:
        """Wait until the flight is over, and pass its deltas on as they come."""
        at = 0
        while True:
            while teller is not None and at < len(self._deltas):
                at += 1
                # Each follower gets a copy, as the run stamps its id on the event.
                await teller(msgspec.structs.replace(self._deltas[at - 1]))
            if self.over:
                return
            await self._followers.park()

    def error(self) -> AgnoError | None:
        """Return a copy of the failure for one caller, or `None`."""
        return None if self.failure is None else _copy_error(self.failure)


def _copy_error(error: AgnoError) -> AgnoError:
    """Copy an error without its traceback and result, as each raise and each run writes into the object."""
    # Not by `copy.copy`: an error's `__init__` may not accept its own args.
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    if hasattr(error, "__notes__"):
        set_attribute(copied, "__notes__", list(error.__notes__))
    set_attribute(copied, "result", None)
    set_attribute(copied, "__cause__", error.__cause__)
    return copied
