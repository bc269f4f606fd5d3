"""JSON Schemas for grammar-constrained decoding, and the schema of a tool call. Pure: no I/O, no llama.cpp.

A grammar forces the output into the schema's shape. Without a bound, a small model may fill a string or a list for
ever, so each gets a bound. Parts beyond llama.cpp's grammars would fail the request, take minutes, or exhaust the
machine's memory, so they are left out here. The check of the answer covers the parts left out, like all others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt.tools import Tool

__all__ = ["bounded", "call_or_text", "call_schema"]

STRING_LENGTH = 400
ARRAY_LENGTH = 16
LONGEST = 1_000
"""Repetitions of an element; llama.cpp refuses grammars above about twice this number."""
MOST_CHOICES = 300
"""Alternatives in one place: each costs time at every token, and some thousands cost a minute for an answer."""
MOST_CHARACTERS = 20_000
MOST_PROPERTIES = 200
DEEPEST = 100

_TEXT_GBNF = r"""root ::= any-call | any-text
any-text ::= [^{ \t\r\n] any-piece* any-open?
any-piece ::= [^{] | any-open [^{" \t\r\n]
any-open ::= "{" [ \t\r\n]*
"""
_TEXT_LLGUIDANCE = r"""start: any_call | any_text
any_text: /[^{ \t\r\n]([^{]|\{[ \t\r\n]*[^{" \t\r\n])*(\{[ \t\r\n]*)?/
"""

_FORMATS = frozenset({"date", "time", "date-time", "uuid", *(f"uuid{version}" for version in range(1, 6))})
"""The formats in llama.cpp's grammars; other formats do not constrain a string."""
_NO_GRAMMAR = re.compile(r"^.+(?<!\[)\^|\$.|\\\$$|\\[A-Za-z0-9]|\(\?|\[\^?\]|\[\[|[*+?}][*+?{]")
"""Syntax outside llama.cpp's patterns: letter classes, groups with a question mark, possessive and lazy repetition."""
_COUNT = re.compile(r"\{(\d{0,9})(?:,(\d{0,9}))?\}")
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def bounded(schema: Mapping[str, Any], level: int = 0) -> dict[str, Any]:
    """Return the schema with a bound on each string and array, and without parts that a grammar cannot enforce."""
    if level > DEEPEST:
        return {}
    result = {key: _bound_part(key, value, level + 1) for key, value in schema.items()}
    result |= {"required": [name for name in schema.get("required", ()) if name not in _list_impossible(schema)]}
    if not result["required"]:
        del result["required"]
    _bound_choices(result)
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds or "prefixItems" in schema:
        _bound_array(result)
    if "string" in kinds and not any(key in result for key in ("enum", "const")):
        _bound_string(result)
    return result


def _list_impossible(schema: Mapping[str, Any]) -> list[str]:
    """Return the properties that may not have a value: their schema is `false`."""
    properties = schema.get("properties", {})
    return [name for name, part in properties.items() if part is False]


def _bound_choices(schema: dict[str, Any]) -> None:
    """Remove too long lists of choices, in place."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        texts = [choice for choice in choices if isinstance(choice, str)]
        if len(choices) > MOST_CHOICES or sum(map(len, texts)) > MOST_CHARACTERS:
            del schema["enum"]
            if len(texts) == len(choices):
                schema |= {"type": "string", "maxLength": max(map(len, texts))}
    for word in _LISTED:
        if isinstance(schema.get(word), list) and len(schema[word]) > MOST_CHOICES:
            del schema[word]
    if len(schema.get("properties", ())) > MOST_PROPERTIES:
        for word in ("properties", "required", "additionalProperties"):
            schema.pop(word, None)


def _bound_array(schema: dict[str, Any]) -> None:
    """Bound the length of an array, in place. An array of fixed items already has a length."""
    if not isinstance(schema.get("items"), Mapping):
        schema.pop("items", None)
    if "prefixItems" in schema:
        for word in ("items", "minItems", "maxItems"):
            schema.pop(word, None)
        return
    _bound_length(schema, "minItems", "maxItems", ARRAY_LENGTH)


def _bound_string(schema: dict[str, Any]) -> None:
    """Bound the length of a string, in place, unless a pattern or a format bounds the string."""
    if not _is_plain_pattern(schema.get("pattern", "")):
        schema.pop("pattern", None)
    if schema.get("format", "uuid") not in _FORMATS:
        del schema["format"]
    if "pattern" not in schema and "format" not in schema:
        _bound_length(schema, "minLength", "maxLength", STRING_LENGTH)


def _is_plain_pattern(pattern: str) -> bool:
    """True if llama.cpp reads the pattern as Python does, and the product of its repetition counts is small."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    if not (pattern.startswith("^") and pattern.endswith("$")) or _NO_GRAMMAR.search(pattern):
        return False
    times = math.prod(
        max(1, *(int(count) for count in counts if count)) for counts in _COUNT.findall(pattern) if any(counts)
    )
    return times <= LONGEST and len(pattern) <= LONGEST


def _bound_length(schema: dict[str, Any], least: str, most: str, default: int) -> None:
    """Set both bounds of a length, in place.

    A minimum above the countable length removes both bounds: the token limit remains. llama.cpp would turn a minimum
    above the maximum into an endless count, so such a minimum is left to the check of the answer.
    """
    low, high = _check_length(schema.pop(least, None)), _check_length(schema.pop(most, None))
    if low is not None and low > LONGEST:
        return
    high = min(LONGEST, max(default, low or 0) if high is None else high)
    schema[most] = high
    if low is not None and low <= high:
        schema[least] = low


def _check_length(bound: Any) -> int | None:
    return int(bound) if isinstance(bound, int | float) and math.isfinite(bound) and bound >= 0 else None


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """Return the schema of a call of one of the tools: `{"name": ..., "arguments": {...}}`, in this order.

    The parameters must be `bounded` already.
    """
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for at, tool in enumerate(tools):
        # Two tools may define different types with the same name, so prefix the definitions of each tool.
        parameters = _rename_references(dict(tool.parameters), f"tool{at}-")
        definitions |= {f"tool{at}-{name}": body for name, body in parameters.pop("$defs", {}).items()}
        properties = {"name": {"const": tool.name}, "arguments": parameters}
        calls.append({"type": "object", "properties": properties, "required": ["name", "arguments"]})
    schema: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


def call_or_text(grammar: str) -> str:
    """Extend a grammar of calls to allow text: the first character decides.

    An answer with `{` at the start is a call. Text starts with another character, and never contains `{"`, so no call
    can hide in text. Accepts both notations of llama.cpp builds, llama.cpp's own and llguidance's.
    """
    if grammar.startswith("%llguidance"):
        return _open_grammar(grammar, "start:", "any_call:") + _TEXT_LLGUIDANCE
    return _open_grammar(grammar, "root ::=", "any-call ::=") + _TEXT_GBNF


def _open_grammar(grammar: str, root: str, call: str) -> str:
    lines = (f"{call}{line[len(root) :]}" if line.startswith(root) else line for line in grammar.splitlines())
    return "\n".join(lines) + "\n"


def _bound_part(key: str, value: Any, level: int) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _bound_nested(part, level) for name, part in value.items() if part is not False}
    if key in _LISTED and isinstance(value, list):
        return [_bound_nested(part, level) for part in value if part is not False]
    if key in _SINGLE and isinstance(value, Mapping):
        return bounded(value, level)
    return value


def _bound_nested(part: Any, level: int) -> dict[str, Any]:
    """Bound a schema within another; `true` becomes a schema for any value."""
    return bounded(part, level) if isinstance(part, Mapping) else {}


def _rename_references(schema: Any, prefix: str) -> Any:
    """Return the schema with references to `#/$defs/NAME` changed to `#/$defs/PREFIXNAME`."""
    if isinstance(schema, Mapping):
        return {
            key: _rename_reference(value, prefix) if key == "$ref" else _rename_references(value, prefix)
            for key, value in schema.items()
        }
    return [_rename_references(part, prefix) for part in schema] if isinstance(schema, list) else schema


def _rename_reference(reference: Any, prefix: str) -> Any:
    start = "#/$defs/"
    return f"{start}{prefix}{reference.removeprefix(start)}" if isinstance(reference, str) else reference
