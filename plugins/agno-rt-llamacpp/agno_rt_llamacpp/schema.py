"""JSON Schemas made fit for grammar-constrained decoding, and the schema of a tool call. Pure: no I/O, no llama.cpp.

A grammar holds a model to a schema's shape, but where the schema sets no bounds, a small model may fill a string or a
list for ever. So what is unbounded gets a bound, and what is bound beyond what llama.cpp's grammars can count is
bounded there: every value that fits the result fits the schema as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.tools import Tool

__all__ = ["bounded", "call_or_text", "call_schema"]

STRING_LENGTH = 400
ARRAY_LENGTH = 16
LONGEST = 1_000
"""llama.cpp refuses grammars that repeat an element more often than about twice this."""

_TEXT_GBNF = r"""root ::= any-call | any-text
any-text ::= [^{ \t\r\n] any-piece* any-open?
any-piece ::= [^{] | any-open [^{" \t\r\n]
any-open ::= "{" [ \t\r\n]*
"""
_TEXT_LLGUIDANCE = r"""start: any_call | any_text
any_text: /[^{ \t\r\n]([^{]|\{[ \t\r\n]*[^{" \t\r\n])*(\{[ \t\r\n]*)?/
"""

_FIXED = ("enum", "const", "pattern", "format", "$ref")
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with a bound on each string and array."""
    result = {key: _bounded_part(key, value) for key, value in schema.items()}
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not any(key in schema for key in _FIXED):
        result["maxLength"] = _bound(schema, "maxLength", "minLength", STRING_LENGTH)
    if "array" in kinds and "prefixItems" not in schema:
        result["maxItems"] = _bound(schema, "maxItems", "minItems", ARRAY_LENGTH)
    return result


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The schema of a call of one of the tools: `{"name": ..., "arguments": {...}}`, in this order."""
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for at, tool in enumerate(tools):
        # Two tools may define different types by one name, so each tool's definitions get names of their own.
        parameters = _renamed(bounded(tool.parameters), f"tool{at}-")
        definitions |= {f"tool{at}-{name}": body for name, body in parameters.pop("$defs", {}).items()}
        properties = {"name": {"const": tool.name}, "arguments": parameters}
        calls.append({"type": "object", "properties": properties, "required": ["name", "arguments"]})
    schema: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


def call_or_text(grammar: str) -> str:
    """The grammar, which describes calls, opened to text: whichever the model begins with.

    An answer that begins with `{` is a call. Text begins otherwise, and never has `{"`, so no call can hide in it.
    Takes both notations that builds of llama.cpp make of a schema, its own and llguidance's.
    """
    if grammar.startswith("%llguidance"):
        return _opened(grammar, "start:", "any_call:") + _TEXT_LLGUIDANCE
    return _opened(grammar, "root ::=", "any-call ::=") + _TEXT_GBNF


def _opened(grammar: str, root: str, call: str) -> str:
    lines = (f"{call}{line[len(root) :]}" if line.startswith(root) else line for line in grammar.splitlines())
    return "\n".join(lines) + "\n"


def _bound(schema: Mapping[str, Any], most: str, least: str, default: int) -> int:
    asked = schema.get(most, max(default, schema.get(least, 0)))
    return min(int(asked), LONGEST)


def _bounded_part(key: str, value: Any) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: bounded(part) if isinstance(part, Mapping) else part for name, part in value.items()}
    if key in _LISTED and isinstance(value, list):
        return [bounded(part) if isinstance(part, Mapping) else part for part in value]
    if key in _SINGLE and isinstance(value, Mapping):
        return bounded(value)
    return value


def _renamed(schema: Any, prefix: str) -> Any:
    """The schema with its references to `#/$defs/NAME` led to `#/$defs/PREFIXNAME`."""
    if isinstance(schema, Mapping):
        return {
            key: _reference(value, prefix) if key == "$ref" else _renamed(value, prefix)
            for key, value in schema.items()
        }
    return [_renamed(part, prefix) for part in schema] if isinstance(schema, list) else schema


def _reference(reference: Any, prefix: str) -> Any:
    start = "#/$defs/"
    return f"{start}{prefix}{reference.removeprefix(start)}" if isinstance(reference, str) else reference
