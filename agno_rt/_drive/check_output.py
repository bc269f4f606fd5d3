"""Carries out an output's check, a function of the user's, sync or async. Knows a run by its form and context."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from agno_rt._decide.turns import Turns
from agno_rt._drive.job import Job
from agno_rt.errors import AgnoError, HookError
from agno_rt.failures import must_pass, named, text_of

__all__ = ["check_output"]


async def check_output(job: Job, turns: Turns) -> str | None:
    """Call the output's check; return why it refuses the turns' output, or `None` to accept.

    Raises `HookError` if the check raises anything but a `ValueError`, or returns anything but text, a bool or None.
    """
    form = job.resolved.form
    assert form is not None
    assert form.check is not None
    check = form.check
    name = getattr(check, "__name__", type(check).__name__)
    try:
        said = check(turns.output, job.context()) if _takes_context(check) else check(turns.output)
        if isinstance(said, Awaitable):
            said = await said
    except AgnoError:
        raise
    except ValueError as exc:
        return text_of(exc) or f"{name} refused it"
    except BaseException as exc:
        if must_pass(exc):
            raise
        raise HookError(f"the output check {name} failed: {named(exc)}", hook=name) from exc
    return _read_verdict(said, name)


def _read_verdict(said: Any, name: str) -> str | None:
    if said is None or said is True or said == "":
        return None
    if said is False:
        return f"{name} refused it"
    if isinstance(said, str):
        return said
    hint = "Return the reason to refuse a value as text, or None to accept it."
    raise HookError(f"the output check {name} returned a {type(said).__name__}", hook=name, hint=hint)


def _takes_context(check: Callable[..., Any]) -> bool:
    """Return whether the function has a second required parameter."""
    try:
        parameters = inspect.signature(check).parameters.values()
    except (TypeError, ValueError):
        return False
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in places and each.default is inspect.Parameter.empty for each in parameters) > 1
