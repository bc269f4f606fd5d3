"""Fits a JSON Schema into the subset that Claude and Bedrock accept for structured outputs. Pure: no I/O.

References: Anthropic's documentation, "Structured outputs", section "JSON Schema limitations"; Amazon Bedrock's user
guide, "Get validated JSON results from models". One unsupported word fails the whole request, so bounds move into the
description, where the model can read them; the run checks the answer against the whole type in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["fit_schema"]

_KEPT = frozenset({"type", "title", "enum", "const", "default", "required", "$ref", "description"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_TOLD = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "pattern": "matching {}",
    "format": "a {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "without repetition",
}
"""Words that the API refuses, and their meaning for the model."""
_IGNORED = frozenset({"$schema", "examples", "$comment", "deprecated", "readOnly", "writeOnly", "discriminator"})


class _Unfit(Exception):
    """The schema says something that the subset cannot say, not even in a description."""


def fit_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema in the API's subset, or `None` if the subset cannot express the schema.

    Recursive types and objects with any keys, such as dicts, cannot be expressed.
    """
    try:
        fitted = _fit(schema)
    except _Unfit:
        return None
    definitions = fitted.get("$defs", {})
    return None if any(_is_recursive(name, definitions, ()) for name in definitions) else fitted


def _fit(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise _Unfit
    fitted: dict[str, Any] = {}
    bounds: list[str] = []
    for word, value in schema.items():
        if word in _KEPT:
            fitted[word] = value
        elif word in ("properties", "$defs"):
            fitted[word] = {name: _fit(part) for name, part in value.items()}
        elif word in ("anyOf", "oneOf"):
            fitted["anyOf"] = [_fit(part) for part in value]
        elif word == "items":
            fitted[word] = _fit(value)
        elif (word == "format" and value in _FORMATS) or (word == "minItems" and value in (0, 1)):
            fitted[word] = value
        elif word in _TOLD:
            bounds.append(_TOLD[word].format(value))
        elif word not in ("additionalProperties", *_IGNORED):
            raise _Unfit
    return _close_object(_describe_bounds(fitted, bounds), schema)


def _describe_bounds(fitted: dict[str, Any], bounds: list[str]) -> dict[str, Any]:
    if bounds:
        said = fitted.get("description")
        fitted["description"] = f"{f'{said} ' if said else ''}({', '.join(bounds)})"
    return fitted


def _close_object(fitted: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    if fitted.get("type") != "object":
        return fitted
    # An object without declared properties may have any keys, and so may a dict.
    if schema.get("additionalProperties", False) is not False or "properties" not in fitted:
        raise _Unfit
    return {**fitted, "additionalProperties": False}


def _is_recursive(name: str, definitions: Mapping[str, Any], above: tuple[str, ...]) -> bool:
    if name in above:
        return True
    inner = definitions.get(name)
    return inner is not None and any(
        _is_recursive(other, definitions, (*above, name)) for other in _find_references(inner)
    )


def _find_references(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_find_references, value.values()))
    return set().union(*map(_find_references, value)) if isinstance(value, list) else set()
