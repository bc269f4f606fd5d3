"""A request under way that several may wait for: what its model emits goes to all of them, and its answer too."""

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
    """It is over when it has an answer in `value`, or a `failure`; with neither, it was given up.

    Followers are behind it, never beside it: the model waits for none of them, so that one who does not read holds up
    nobody else. What was emitted is kept as long as the flight is.
    """

    key: str
    response: Any = None
    value: bytes | None = None
    failure: AgnoError | None = None
    over: bool = False
    _deltas: list[Delta] = attrs.Factory(list)
    _followers: trio.lowlevel.ParkingLot = attrs.Factory(trio.lowlevel.ParkingLot)

    async def emit(self, delta: Delta) -> None:
        """Keep a delta of the model's for those who follow."""
        self._deltas.append(delta)
        self._followers.unpark_all()
        await trio.lowlevel.checkpoint()

    @property
    def joinable(self) -> bool:
        """Whether there is something to wait for, or to be had."""
        return not self.over or self.value is not None

    def land(self, response: Any, value: bytes | None) -> None:
        """End it with what the model returned, and as the bytes that make new responses for the others, if any do."""
        self.response = response
        self.value = value
        self.end()

    def fail(self, error: BaseException) -> None:
        """End it with an error, which is for all if it is one of ours: others say something of this caller alone."""
        if isinstance(error, AgnoError):
            self.failure = _again(error)
        self.end()

    def end(self) -> None:
        """End it, unless it has ended."""
        self.over = True
        self._followers.unpark_all()

    async def follow(self, teller: Teller | None) -> None:
        """Wait until it is over, and pass on what it emits as it comes."""
        at = 0
        while True:
            while teller is not None and at < len(self._deltas):
                at += 1
                # A copy for each: an event is stamped with the run that it belongs to.
                await teller(msgspec.structs.replace(self._deltas[at - 1]))
            if self.over:
                return
            await self._followers.park()

    def error(self) -> AgnoError | None:
        """The failure, if there is one, as an error of the caller's own."""
        return None if self.failure is None else _again(self.failure)


def _again(error: AgnoError) -> AgnoError:
    """The same error as another object, without its traceback: whoever raises it writes into it."""
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    if hasattr(error, "__notes__"):
        set_attribute(made, "__notes__", list(error.__notes__))
    set_attribute(made, "result", None)
    set_attribute(made, "__cause__", error.__cause__)
    return made
