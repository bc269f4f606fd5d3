"""What an agent's answer must be: a type, and how the model is held to it. Knows nothing of how it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, get_args

import attrs

from agno_rt._generics import OutputT, TypeForm
from agno_rt._pydantic import plain_value
from agno_rt.errors import UsageError
from agno_rt.models import OutputMode

__all__ = ["Output", "plain_value"]


@attrs.frozen
class Output(Generic[OutputT]):
    """A type that an answer must fit, with the choices that a bare type leaves to the model's profile and to us.

    `Agent(output=Invoice)` is short for `Agent(output=Output(Invoice))`. Raises `UsageError` for a mode that there is
    not and for fewer attempts than one.

    Attributes:
        type: an attrs or data class, a pydantic model, a TypedDict, a NamedTuple, a msgspec Struct, an enum, a Literal,
            a union of these, a list or dict of them, or a plain type such as `int` or `datetime`; `str` is free text
        mode: how the model is told: `schema`, `tool` or `prompt`; `None` takes what suits the model
        attempts: how often the model may answer; each answer that does not fit goes back with the reason
        check: a function, async or not, that looks at an answer which fits the type, and refuses it by returning text
            or by raising `ValueError`: that goes back to the model as well. `None` and `True` let it pass, `False` does
            not. One with a second parameter is given the `RunContext`. What is not async runs in place: keep it quick
    """

    type: TypeForm[OutputT]
    mode: OutputMode | None = None
    attempts: int = 3
    check: Callable[..., Any] | None = None

    def __attrs_post_init__(self) -> None:
        modes = get_args(OutputMode)
        if self.mode is not None and self.mode not in modes:
            raise UsageError(f"there is no output mode {self.mode!r}", hint=f"Modes: {', '.join(modes)}.")
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise UsageError(f"an output cannot have {self.attempts!r} attempts", hint="Give it 1 or more.")
        if self.check is not None and not callable(self.check):
            raise UsageError(f"an output's check is {self.check!r}", hint="Give a function of the value.")
