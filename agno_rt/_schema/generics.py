"""The type variables of agents, runs and results, which a type checker follows from an agent to the answer.

Type checkers bring `typing_extensions` along. Nothing needs the package at run time, so it is not a dependency.
"""

# ruff: noqa: PLC0105 - people read these names in signatures, so they carry no `_contra` or `_co`
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
