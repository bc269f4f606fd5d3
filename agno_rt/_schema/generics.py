"""The type variables of agents, runs and their results: what a type checker follows from an agent to its answer.

A checker finds `typing_extensions` by itself. At run time nothing of it is needed, so that it is not a dependency.
"""

# ruff: noqa: PLC0105 - their names are in signatures that people read
from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ContextDepsT", "DepsT", "OutputT", "TypeForm"]

if TYPE_CHECKING:
    # A bare `Agent` is `Agent[Any, Any]`, which `typing.TypeVar` cannot say before Python 3.13.
    from typing_extensions import TypeForm, TypeVar

    DepsT = TypeVar("DepsT", contravariant=True, default=Any)
    ContextDepsT = TypeVar("ContextDepsT", covariant=True, default=Any)
    OutputT = TypeVar("OutputT", covariant=True, default=Any)
else:
    from typing import TypeVar

    DepsT = TypeVar("DepsT", contravariant=True)
    ContextDepsT = TypeVar("ContextDepsT", covariant=True)
    OutputT = TypeVar("OutputT", covariant=True)
    TypeForm = type
