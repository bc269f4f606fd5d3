"""Fits a JSON Schema into the subset that Gemini's API reads. Pure: no I/O.

Reference: the Gemini API reference, `GenerationConfig.responseJsonSchema`: its list of supported words, and the rule
that a schema with `$ref` has no other words. Words beyond the subset move into the description, where the model can
read them; the run checks answers and arguments against the whole type in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["fit_schema"]

_KEPT = frozenset(
    {
        "type",
        "title",
        "description",
        "enum",
        "required",
        "format",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "propertyOrdering",
        "$id",
        "$anchor",
        "$ref",
    }
)
_INNER = {
    "items": "items",
    "prefixItems": "prefixItems",
    "additionalProperties": "additionalProperties",
    "anyOf": "anyOf",
    "oneOf": "anyOf",
}
"""Words whose value is a schema, or a list of schemas, and the word to write instead."""
_TOLD = {
    "multipleOf": "a multiple of {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "uniqueItems": "without repetition",
    "default": "{} if not given",
}
"""Words that the API does not read, and their meaning for the model."""


def fit_schema(schema: Any) -> dict[str, Any]:
    """Return the schema in the API's subset. What the subset cannot say goes into descriptions, or is left out."""
    if not isinstance(schema, Mapping):
        # `true`, the schema of any value.
        return {}
    fitted: dict[str, Any] = {}
    bounds: list[str] = []
    for word, value in schema.items():
        if word in _KEPT:
            fitted[word] = value
        elif word in _INNER:
            fitted[_INNER[word]] = _fit_inner(value)
        elif word in ("properties", "$defs"):
            fitted[word] = {name: fit_schema(part) for name, part in value.items()}
        elif word == "const":
            _fix_value(fitted, bounds, value)
        elif word == "allOf" and len(value) == 1:
            fitted |= fit_schema(value[0])
        elif word in _TOLD and value is not None:
            bounds.append(_TOLD[word].format(value))
    return _isolate_reference(_describe_bounds(fitted, bounds))


def _fit_inner(value: Any) -> Any:
    """Return a schema, or a list of schemas, in the subset; `true` and `false` stay."""
    if isinstance(value, bool):
        return value
    return fit_schema(value) if isinstance(value, Mapping) else [fit_schema(part) for part in value]


def _fix_value(fitted: dict[str, Any], bounds: list[str], value: Any) -> None:
    """Express a constant: as an enumeration of one text or number, else in words."""
    if isinstance(value, str):
        fitted |= {"type": "string", "enum": [value]}
    elif isinstance(value, int | float) and not isinstance(value, bool):
        fitted |= {"type": "integer" if isinstance(value, int) else "number", "enum": [value]}
    else:
        bounds.append(f"always {'null' if value is None else str(value).lower()}")
        if value is None or isinstance(value, bool):
            fitted["type"] = "null" if value is None else "boolean"


def _describe_bounds(fitted: dict[str, Any], bounds: list[str]) -> dict[str, Any]:
    if bounds:
        said = fitted.get("description")
        fitted["description"] = f"{f'{said} ' if said else ''}({', '.join(bounds)})"
    return fitted


def _isolate_reference(fitted: dict[str, Any]) -> dict[str, Any]:
    """Put a `$ref` with words beside it into an `anyOf` of its own: the API refuses other words beside it."""
    if "$ref" not in fitted or all(word.startswith("$") for word in fitted):
        return fitted
    reference = {"$ref": fitted.pop("$ref")}
    return {"anyOf": [reference], **fitted}
