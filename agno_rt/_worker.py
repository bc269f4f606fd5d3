"""What the worker process of a process tool does. It imports as little as can be: a process should start quickly.

What is sent is the function's name, not the function: under it the module has the tool, which is unwrapped here. What
goes back is what the model is to be told, so that a result need not be pickled, and no exception either.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from agno_rt._results import Told, content_of, contents_of, failure
from agno_rt.failures import text_of
from agno_rt.messages import Content
from agno_rt.tools import Tool, ToolArgumentError

__all__ = ["Answer", "find", "work"]

Answer: TypeAlias = tuple[Literal["done"], Content | list[Told]] | tuple[Literal["failed", "refused"], str]


def work(module: str, qualname: str, name: str, arguments: dict[str, Any], count: int | None) -> Answer:
    """Call the function that goes by that name; `count` is how many results a batch must have."""
    try:
        function = find(module, qualname)
        if function is None:
            return "failed", f"{name} failed: its process finds no function {module}.{qualname}"
        value = function(**arguments)
        return "done", content_of(value) if count is None else contents_of(value, count, name)
    except ToolArgumentError as exc:
        return "refused", text_of(exc)
    except BaseException as exc:
        # An exit too: it is this process that would end, and not the one that hears of it.
        return "failed", failure(name, exc)


def find(module: str, qualname: str) -> Callable[..., Any] | None:
    """The function that goes by the name in the module, unwrapped if it is a tool."""
    try:
        found: Any = operator.attrgetter(qualname)(importlib.import_module(module))
    except AttributeError:
        return None
    function = found.function if isinstance(found, Tool) else found
    return function if callable(function) else None
