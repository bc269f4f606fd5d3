"""Whether a JSON Schema is within the subset that OpenAI's strict mode takes. Pure.

Reference: OpenAI's guide "Structured model outputs", section "Supported schemas". A schema beyond it that is sent as
strict costs the whole request; one within it that is not costs nothing but the guarantee, so that what the guide does
not name is taken for beyond.
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
MOST_LEVELS, MOST_PROPERTIES, MOST_CHOICES = 10, 5_000, 1_000


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether the schema may be sent as strict: an object, closed and all required at each level, of known words."""
    if schema.get("type") != "object":
        return False
    definitions = schema.get("$defs", {})
    parts = [schema, *definitions.values()]
    if not all(_fits(part, level=1) for part in parts):
        return False
    objects = list(_objects(schema))
    properties = sum(len(each["properties"]) for each in objects if isinstance(each.get("properties"), Mapping))
    choices = sum(len(each["enum"]) for each in objects if isinstance(each.get("enum"), list))
    return properties <= MOST_PROPERTIES and choices <= MOST_CHOICES


def _fits(schema: Any, level: int) -> bool:
    if not isinstance(schema, Mapping) or level > MOST_LEVELS or not isinstance(schema.get("type", ""), str):
        return False
    if "$ref" in schema:
        return schema.keys() == {"$ref"}
    if "anyOf" in schema:
        return schema.keys() <= _BESIDE_A_UNION and all(_fits(part, level) for part in schema["anyOf"])
    kind = schema.get("type")
    if (
        kind not in _WORDS
        or not schema.keys() <= _ALWAYS | _WORDS[kind]
        or schema.get("format", "uuid") not in _FORMATS
    ):
        return False
    inner = [schema.get("items")] if kind == "array" else schema.get("properties", {}).values()
    return (kind != "object" or _is_closed(schema)) and all(_fits(part, level + 1) for part in inner)


def _is_closed(schema: Mapping[str, Any]) -> bool:
    names = set(schema.get("properties", {}))
    return schema.get("additionalProperties") is False and names == set(schema.get("required", ()))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _objects(part)
