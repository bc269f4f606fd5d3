"""Tools as values: a callable with a name, a description and a parameter schema computed once. Knows no runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import attrs
import msgspec

from agno_rt._schema import describe
from agno_rt.errors import ToolDefinitionError

__all__ = ["Tool", "ToolArgumentError", "Toolkit", "tool"]


class ToolArgumentError(ValueError):
    """Arguments that do not fit a tool's schema; the text is meant for the model that wrote them."""


@attrs.define(eq=False)
class Tool:
    """Something that a model may call. Make one with `@tool`; every field is read-only by convention.

    `parameters` is a JSON Schema of type object. `decode` turns the JSON text that a model wrote into keyword
    arguments and raises `ToolArgumentError`. A synchronous function runs in a worker thread, unless it is `inline`:
    then it runs in place, which is quicker for something that takes microseconds and never waits.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = attrs.field(repr=False)
    function: Callable[..., Any] = attrs.field(repr=False)
    decode: Callable[[str], dict[str, Any]] = attrs.field(repr=False)
    is_async: bool = False
    inline: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as if it had never been made a tool."""
        return self.function(*args, **kwargs)


@attrs.define(eq=False)
class Toolkit:
    """A named group of tools with what they share. An agent that is given a toolkit has all its tools."""

    name: str
    tools: Sequence[Tool]


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None, inline: bool = False
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    inline: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, async or not: `@tool`, or `@tool(inline=True)`.

    Its name is the function's, its description the docstring, its parameters the annotated signature; what
    `typing.Annotated` says with `msgspec.Meta` (description, bounds, pattern) goes into the schema and is checked.
    Raises `ToolDefinitionError` for a signature that no JSON Schema describes.
    """

    def make(function: Callable[..., Any]) -> Tool:
        return _make(function, name, description, inline)

    return make if function is None else make(function)


def _make(function: Callable[..., Any], name: str | None, description: str | None, inline: bool) -> Tool:
    called = name or getattr(function, "__name__", "")
    if not called or called == "<lambda>":
        raise ToolDefinitionError("a tool needs a name", hint="Give it one: tool(name='...')(function).")
    body = function if inspect.isroutine(function) else type(function).__call__
    if inspect.isasyncgenfunction(body) or inspect.isgeneratorfunction(body):
        raise ToolDefinitionError(f"tool {called!r} yields", hint="Return the whole result instead.")
    described = describe(function, called)
    return Tool(
        name=called,
        description=description if description is not None else inspect.getdoc(function) or "",
        parameters=described.schema,
        function=function,
        decode=functools.partial(_decode, described.decode, called),
        is_async=inspect.iscoroutinefunction(body),
        inline=inline,
    )


def _decode(decode: Callable[[str], dict[str, Any]], name: str, arguments: str) -> dict[str, Any]:
    try:
        return decode(arguments or "{}")
    except msgspec.MsgspecError as exc:
        raise ToolArgumentError(f"The arguments of {name} do not fit its schema: {exc}") from exc
