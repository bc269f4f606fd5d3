"""Reads signatures and parameter types of callables: functions, methods, partials, decorated functions, objects.

Arguments bound by a partial are left out: a model must not see or change them. Knows no schemas.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection
from typing import Any

from agno_rt.errors import ToolDefinitionError

__all__ = ["UNREADABLE", "called_by", "hints_of", "parameter_names", "return_hint", "signature_of"]

UNREADABLE = (NameError, AttributeError, SyntaxError)
"""Errors of evaluating an annotation that is a string."""

_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature_of(function: Callable[..., Any], name: str) -> inspect.Signature:
    """Return the signature without arguments bound by a partial. Raises `ToolDefinitionError` if there is none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as exc:
        hint = "Wrap it in a function with plain named parameters, each with a type."
        raise ToolDefinitionError(f"tool {name!r} has no readable signature: {exc}", hint=hint) from exc
    # `inspect.signature` keeps an argument bound by name, as a parameter with a default. Remove it.
    _, bound = _find_annotated(function)
    return signature.replace(parameters=[each for each in signature.parameters.values() if each.name not in bound])


def called_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that runs first in a call: the function of a partial, or an object's `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def parameter_names(function: Callable[..., Any]) -> Collection[str]:
    """Return the names of all parameters that a docstring may describe, bound ones included."""
    return inspect.signature(_find_annotated(function)[0]).parameters


def hints_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """Return the types of the parameters. Raises `ToolDefinitionError`, naming a parameter with an unreadable type.

    The return type is not read: a model never sees it.
    """
    annotated, _ = _find_annotated(function)
    annotations = getattr(annotated, "__annotations__", {})
    return {
        parameter.name: _read_hint(annotated, parameter.name, name)
        for parameter in signature_of(function, name).parameters.values()
        if parameter.kind not in _ANY_NUMBER and parameter.name in annotations
    }


def return_hint(function: Callable[..., Any], name: str) -> Any:
    """Return the type that the function is annotated to return; `Any` without an annotation. Raises as `hints_of`."""
    annotated, _ = _find_annotated(function)
    if "return" not in getattr(annotated, "__annotations__", {}):
        return Any
    return _read_hint(annotated, "return", name)


def _find_annotated(function: Callable[..., Any]) -> tuple[Any, set[str]]:
    """Return the function with the annotations, as `inspect.signature` finds it, and the names bound by partials."""
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


def _read_hint(annotated: Any, parameter: str, name: str) -> Any:
    """Return the type of one parameter, evaluated alone: an unreadable type elsewhere does not matter."""
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
