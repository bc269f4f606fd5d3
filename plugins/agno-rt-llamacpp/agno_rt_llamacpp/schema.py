"""JSON Schemas made fit for grammar-constrained decoding, and the schema of a tool call. Pure: no I/O, no llama.cpp.

A grammar holds a model to a schema's shape, but where the schema sets no bounds, a small model may fill a string or a
list for ever; so what is unbounded gets a bound. And what llama.cpp's grammars cannot count, or do not know, would cost
the request, minutes, or all of the machine's memory; so it is left out here. What is left out is checked in the answer,
as everything is.
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
"""llama.cpp refuses grammars that repeat an element more often than about twice this."""
MOST_CHOICES = 300
"""Alternatives of one place: each costs time at every token, a minute for an answer at some thousands."""
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
"""The formats that llama.cpp's grammars know; a string of any other is held to nothing."""
_NO_GRAMMAR = re.compile(r"^.+(?<!\[)\^|\$.|\\\$$|\\[A-Za-z0-9]|\(\?|\[\^?\]|\[\[|[*+?}][*+?{]")
"""What llama.cpp's patterns lack: classes by a letter, groups with a question mark, possessive and lazy repetition."""
_COUNT = re.compile(r"\{(\d{0,9})(?:,(\d{0,9}))?\}")
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def bounded(schema: Mapping[str, Any], level: int = 0) -> dict[str, Any]:
    """The schema with a bound on each string and array, and without what no grammar can hold a model to."""
    if level > DEEPEST:
        return {}
    result = {key: _bounded_part(key, value, level + 1) for key, value in schema.items()}
    result |= {"required": [name for name in schema.get("required", ()) if name not in _impossible(schema)]}
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


def _impossible(schema: Mapping[str, Any]) -> list[str]:
    """The properties that may have no value, as `false` says in the place of a schema."""
    properties = schema.get("properties", {})
    return [name for name, part in properties.items() if part is False]


def _bound_choices(schema: dict[str, Any]) -> None:
    """Leave out choices that are too many, in place."""
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
    """Bound the length of an array, in place. One of fixed items has its length by itself."""
    if not isinstance(schema.get("items"), Mapping):
        schema.pop("items", None)
    if "prefixItems" in schema:
        for word in ("items", "minItems", "maxItems"):
            schema.pop(word, None)
        return
    _bound_length(schema, "minItems", "maxItems", ARRAY_LENGTH)


def _bound_string(schema: dict[str, Any]) -> None:
    """Bound the length of a string, in place, unless a pattern or a format does."""
    if not _is_plain_pattern(schema.get("pattern", "")):
        schema.pop("pattern", None)
    if schema.get("format", "uuid") not in _FORMATS:
        del schema["format"]
    if "pattern" not in schema and "format" not in schema:
        _bound_length(schema, "minLength", "maxLength", STRING_LENGTH)


def _is_plain_pattern(pattern: str) -> bool:
    """Whether llama.cpp reads the pattern as Python does, and its repetitions, within one another too, are not many."""
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

    Where at least more is asked for than a grammar can count, it holds to neither: the limit of tokens is there. A
    least above the most, of which llama.cpp makes a count without end, is left to the check of the answer.
    """
    low, high = _length(schema.pop(least, None)), _length(schema.pop(most, None))
    if low is not None and low > LONGEST:
        return
    high = min(LONGEST, max(default, low or 0) if high is None else high)
    schema[most] = high
    if low is not None and low <= high:
        schema[least] = low


def _length(bound: Any) -> int | None:
    return int(bound) if isinstance(bound, int | float) and math.isfinite(bound) and bound >= 0 else None


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The schema of a call of one of the tools: `{"name": ..., "arguments": {...}}`, in this order.

    Their parameters are `bounded` already.
    """
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for at, tool in enumerate(tools):
        # Two tools may define different types by one name, so each tool's definitions get names of their own.
        parameters = _renamed(dict(tool.parameters), f"tool{at}-")
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


def _bounded_part(key: str, value: Any, level: int) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _of(part, level) for name, part in value.items() if part is not False}
    if key in _LISTED and isinstance(value, list):
        return [_of(part, level) for part in value if part is not False]
    if key in _SINGLE and isinstance(value, Mapping):
        return bounded(value, level)
    return value


def _of(part: Any, level: int) -> dict[str, Any]:
    """A schema within another; `true` is one that holds for anything."""
    return bounded(part, level) if isinstance(part, Mapping) else {}


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
