"""Describes tools as typed Python functions, from their JSON Schemas. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agno_rt.tools import Tool

__all__ = ["describe_functions", "name_arguments"]

_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None", "object": "dict"}


def describe_functions(tools: Iterable[Tool]) -> str:
    """Return the tools as stubs: a line with the types, and the description."""
    return "\n\n".join(_describe_function(tool) for tool in tools)


def _describe_function(tool: Tool) -> str:
    needed = set(tool.parameters.get("required", ()))
    parameters = []
    for name, schema in tool.parameters.get("properties", {}).items():
        default = "" if name in needed else f" = {schema['default']!r}" if "default" in schema else " = ..."
        parameters.append(f"{name}: {_describe_type(schema)}{default}")
    lines = [line.strip() for line in tool.description.strip().splitlines()]
    text = "\n".join(f"    {line}".rstrip() for line in lines)
    marks = f'    """\n{text}\n    """' if text else "    ..."
    return f"def {tool.name}(*, {', '.join(parameters)}):\n{marks}" if parameters else f"def {tool.name}():\n{marks}"


def _describe_type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(map(_describe_type, parts)))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_TYPES.get(each, "Any") for each in kind)
    if kind == "array":
        return f"list[{_describe_type(schema['items'])}]" if isinstance(schema.get("items"), Mapping) else "list"
    return _TYPES.get(str(kind), "Any")


def name_arguments(tool: Tool | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return the arguments by name, or the fault as a text for the program."""
    if not args:
        return dict(kwargs)
    names = [] if tool is None else list(tool.parameters.get("properties", {}))
    if len(args) > len(names):
        return "give the arguments by name" if tool is None else f"{tool.name} takes {len(names)} arguments"
    positional = dict(zip(names, args, strict=False))
    if twice := sorted(positional.keys() & kwargs.keys()):
        return f"{twice[0]} is given twice"
    return {**positional, **kwargs}
