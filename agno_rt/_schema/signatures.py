"""Reads signatures and types of parameters of whatever can be called: functions, methods, partials, objects, decorated.

What a partial has bound is left out: it is neither the model's to see nor to change. Knows no schemas.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection
from typing import Any

from agno_rt.errors import ToolDefinitionError

__all__ = ["UNREADABLE", "called_by", "hints_of", "parameter_names", "signature_of"]

UNREADABLE = (NameError, AttributeError, SyntaxError)
"""What an annotation that is a string raises when it is looked up."""

_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature_of(function: Callable[..., Any], name: str) -> inspect.Signature:
    """The function's signature, without what a partial has bound. Raises `ToolDefinitionError` for what has none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as exc:
        hint = "Wrap it in a function with plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r} has no signature that can be read: {exc}", hint=hint) from exc
    # What was bound by its name stays in the signature, with a default that is no business of the model's.
    _, bound = _annotated(function)
    return signature.replace(parameters=[each for each in signature.parameters.values() if each.name not in bound])


def called_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that is run first when this is called: that of a partial, or the method of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def parameter_names(function: Callable[..., Any]) -> Collection[str]:
    """The names of all parameters that the docstring may speak of, those that a partial has bound too."""
    return inspect.signature(_annotated(function)[0]).parameters


def hints_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The types of the function's parameters. Raises `ToolDefinitionError` that names one which cannot be read.

    What the function returns is not looked at: no model hears of its type.
    """
    annotated, _ = _annotated(function)
    annotations = getattr(annotated, "__annotations__", {})
    return {
        parameter.name: _hint(annotated, parameter.name, name)
        for parameter in signature_of(function, name).parameters.values()
        if parameter.kind not in _ANY_NUMBER and parameter.name in annotations
    }


def _annotated(function: Callable[..., Any]) -> tuple[Any, set[str]]:
    """The function that the signature is of, as `inspect.signature` finds it, and the names that partials bind."""
    bound: set[str] = set()
    while True:
        if isinstance(function, functools.partial):
            bound |= function.keywords.keys()
            function = function.func
        elif hasattr(function, "__wrapped__") and not hasattr(function, "__signature__"):
            function = function.__wrapped__
        elif inspect.isroutine(function):
            return function, bound
        else:
            function = type(function).__call__


def _hint(annotated: Any, parameter: str, name: str) -> Any:
    """The type of one parameter. Each is read by itself, so that one which nobody needs does no harm."""
    one = types.SimpleNamespace(
        __annotations__={parameter: annotated.__annotations__[parameter]},
        __type_params__=getattr(annotated, "__type_params__", ()),
    )
    try:
        return typing.get_type_hints(one, getattr(annotated, "__globals__", {}), include_extras=True)[parameter]
    except (TypeError, *UNREADABLE) as exc:
        hint = (
            "Import the type at run time, not under `if TYPE_CHECKING:`; or define it at the top level of the module."
        )
        problem = f"tool {name!r}: parameter {parameter!r} has an annotation that cannot be read: {exc}"
        raise ToolDefinitionError(problem, hint=hint) from exc
