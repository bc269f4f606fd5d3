"""Tells whether a JSON Schema fits OpenAI's strict mode. Pure: no I/O.

Reference: OpenAI's guide "Structured model outputs", section "Supported schemas". An unsupported schema sent as strict
fails the whole request; a supported schema not sent as strict only loses the guarantee. So words that the guide does
not name count as unsupported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["is_strict"]

_WORDS: dict[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"pattern", "format"}),
    "number": frozenset({"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "integer": frozenset({"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_ALWAYS = frozenset({"type", "description", "title", "enum", "const", "$defs"})
_BESIDE_A_UNION = frozenset({"anyOf", "description", "title", "$defs"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
# The limits in the guide.
MOST_LEVELS, MOST_PROPERTIES, MOST_CHOICES = 10, 5_000, 1_000


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Return whether the schema is an object, closed and fully required at each level, in supported words only."""
    if schema.get("type") != "object":
        return False
    definitions = schema.get("$defs", {})
    parts = [schema, *definitions.values()]
    if not all(_is_within_subset(part, level=1) for part in parts):
        return False
    objects = list(_find_objects(schema))
    properties = sum(len(each["properties"]) for each in objects if isinstance(each.get("properties"), Mapping))
    choices = sum(len(each["enum"]) for each in objects if isinstance(each.get("enum"), list))
    return properties <= MOST_PROPERTIES and choices <= MOST_CHOICES


def _is_within_subset(schema: Any, level: int) -> bool:
    if not isinstance(schema, Mapping) or level > MOST_LEVELS or not isinstance(schema.get("type", ""), str):
        return False
    # The target of a reference is checked among the definitions.
    if "$ref" in schema:
        return schema.keys() == {"$ref"}
    if "anyOf" in schema:
        return schema.keys() <= _BESIDE_A_UNION and all(_is_within_subset(part, level) for part in schema["anyOf"])
    kind = schema.get("type")
    if (
        kind not in _WORDS
        or not schema.keys() <= _ALWAYS | _WORDS[kind]
        or schema.get("format", "uuid") not in _FORMATS
    ):
        return False
    inner = [schema.get("items")] if kind == "array" else schema.get("properties", {}).values()
    return (kind != "object" or _is_closed_object(schema)) and all(_is_within_subset(part, level + 1) for part in inner)


def _is_closed_object(schema: Mapping[str, Any]) -> bool:
    names = set(schema.get("properties", {}))
    return schema.get("additionalProperties") is False and names == set(schema.get("required", ()))


def _find_objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _find_objects(part)
