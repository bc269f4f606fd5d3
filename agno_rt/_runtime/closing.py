"""Closes the things made by a runtime, each within a bounded time and shielded from cancellation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio

from agno_rt.errors import AgnoError, BackendError
from agno_rt.failures import add_note, must_pass, named, text_of

__all__ = ["close_all"]

CLOSE_SECONDS = 10.0
"""Seconds that a model client or a memory backend may take to close."""


async def close_all(things: Iterable[Any], error: BaseException | None) -> None:
    """Close each thing with an `aclose`. Failures become notes of `error`; without an error, the first is raised."""
    # All things are closed before a failure is raised.
    failures = [failure for thing in things if (failure := await _close_one(thing)) is not None]
    if failures and error is None:
        raise failures[0]
    for failure in failures:
        assert error is not None
        add_note(error, text_of(failure))


async def _close_one(thing: Any) -> AgnoError | None:
    """Close the thing, and return the failure, if any."""
    close = getattr(thing, "aclose", None)
    if close is None:
        return None
    name = getattr(thing, "name", type(thing).__name__)
    try:
        with trio.move_on_after(CLOSE_SECONDS, shield=True) as scope:
            await close()
    except BaseException as exc:
        if must_pass(exc):
            raise
        failure = BackendError(f"{name} could not be closed: {named(exc)}")
        failure.__cause__ = exc
        return failure
    return BackendError(f"{name} took longer than {CLOSE_SECONDS:g} s to close") if scope.cancelled_caught else None
