"""Renders an agent's instructions as the text for one run. Knows no driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agno_rt.context import RunContext
from agno_rt.errors import AgnoError, UsageError
from agno_rt.failures import must_pass, named
from agno_rt.instructions import Instructions, Template

__all__ = ["render_instructions"]


async def render_instructions(instructions: Instructions, context: RunContext) -> str:
    """Return the instructions' text for the run. Raises `UsageError` if they fail or return no text."""
    if isinstance(instructions, str):
        return instructions
    make: Callable[[RunContext], str | Awaitable[str]]
    if isinstance(instructions, Template):
        what, make = "template", instructions.fill
    else:
        what, make = f"function {getattr(instructions, '__name__', type(instructions).__name__)}", instructions
    try:
        text = make(context)
        if isinstance(text, Awaitable):
            text = await text
    except AgnoError:
        raise
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise UsageError(f"the instructions {what} failed: {named(exc)}") from exc
    if not isinstance(text, str):
        hint = "Return the system message as text."
        raise UsageError(f"the instructions {what} returned {type(text).__name__}, not str", hint=hint)
    return text
