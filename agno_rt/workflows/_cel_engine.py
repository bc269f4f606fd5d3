"""CEL's own engine, `cel-expr-python`: an extra, imported only when an expression is declared. Pure.

The engine gets plain values, and answers with plain values.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from agno_rt.workflows._cel_tokens import CelFault
from agno_rt.workflows._cel_types import Type
from agno_rt.workflows._cel_values import CelError

__all__ = ["compile_text", "find_engine"]

_FAULT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


def find_engine() -> ModuleType | None:
    """Return the engine's module, or `None` without the extra."""
    try:
        return importlib.import_module("cel_expr_python.cel")
    except ImportError:
        return None


def compile_text(engine: ModuleType, text: str, names: Mapping[str, Type]) -> tuple[str, Callable[..., Any]]:
    """Return the type of the expression, and a function from the names' values to its value.

    Raises `CelFault`; the function raises `CelError`.
    """
    try:
        environment = engine.NewEnv(variables=dict(_list_variables(engine, names)))
        compiled = environment.compile(text)
    except (RuntimeError, ValueError) as exc:
        found = _FAULT.search(str(exc))
        if found is None:
            raise CelFault(str(exc), 1) from exc
        line, column, reason = int(found[1]), int(found[2]), found[3].removesuffix(" (in container '')")
        before = sum(len(each) + 1 for each in text.split("\n")[: line - 1])
        raise CelFault(reason.removesuffix(" [INVALID_ARGUMENT]"), before + column) from exc

    def evaluate(given: Mapping[str, Any]) -> Any:
        try:
            value = compiled.eval(data=dict(given))
        except (RuntimeError, ValueError, TypeError, OverflowError) as exc:
            raise CelError(str(exc)) from exc
        if value.type() == engine.Type.ERROR:
            raise CelError(str(value.plain_value()))
        return value.plain_value()

    return compiled.return_type().name().lower(), evaluate


def _list_variables(engine: ModuleType, names: Mapping[str, Type], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the variables. Fields of a class are variables with dots in their names: the engine finds the longest."""
    for name, type_ in names.items():
        if isinstance(type_, dict):
            yield from _list_variables(engine, type_, f"{before}{name}.")
        else:
            yield f"{before}{name}", _convert_type(engine, type_)


def _convert_type(engine: ModuleType, type_: Any) -> Any:
    if isinstance(type_, str):
        return getattr(engine.Type, type_.removesuffix("_type").upper())
    make = engine.Type.List if type_[0] == "list" else engine.Type.Map
    return make(*(_convert_type(engine, part) for part in type_[1:]))
