"""Closes what a runtime has made: each thing within a bounded time, whatever is being cancelled around it."""

from __future__ import annotations

from typing import Any

import trio

from agno_rt.errors import AgnoError, BackendError
from agno_rt.failures import must_pass, named

__all__ = ["closed"]

CLOSE_SECONDS = 10.0
"""How long a model client or a memory backend may take to close."""


async def closed(thing: Any) -> AgnoError | None:
    """Close the thing, if it can be closed; returns what went wrong."""
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
