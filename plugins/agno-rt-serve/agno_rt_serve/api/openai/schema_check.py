"""Checks a JSON value against a client's JSON Schema, as far as models keep schemas, for an answer asked for again.

Known words: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `anyOf`, `oneOf`,
`allOf`, `$ref` within the schema, and the bounds of numbers, texts and arrays. Other words, such as `pattern`, are left
to the model: a client's regular expression could keep the server busy for ever. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["find_fault", "find_schema_fault"]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int, float),
}
_DEEPEST = 100
"""The most levels of a schema, and of references one after another: each level is a call, and Python limits calls."""


def find_fault(value: Any, schema: Any, root: Mapping[str, Any] | None = None) -> str:
    """Return the first fault of the value, with its place; empty for a value that fits."""
    root = schema if root is None else root
    try:
        return next(_find_faults(value, schema, root, "$"), "")
    except RecursionError:
        return "it is nested too deep"


def find_schema_fault(schema: Mapping[str, Any]) -> str:
    """Return the reason why a schema cannot be kept; empty for a usable schema."""
    if schema.get("type") != "object":
        return 'must be of type "object" at its root'
    level: list[Any] = [schema]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                reference = each.get("$ref")
                if isinstance(reference, str) and _resolve(reference, schema) is None:
                    return f"has the reference {reference!r}, which leads to no definition in its $defs"
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = inner
        if not level:
            return ""
    return f"is nested more than {_DEEPEST} deep"


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    name = reference.removeprefix("#/$defs/")
    definitions = root.get("$defs")
    if name == reference or not isinstance(definitions, dict):
        return None
    return definitions.get(name)


def _find_faults(value: Any, schema: Any, root: Mapping[str, Any], place: str) -> Iterator[str]:
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            break
        schema = _resolve(schema["$ref"], root)
    if not isinstance(schema, dict):
        if schema is False:
            yield f"{place} is not allowed"
        return
    yield from _find_type_faults(value, schema, place)
    if isinstance(value, dict):
        yield from _find_object_faults(value, schema, root, place)
    elif isinstance(value, list):
        yield from _find_bound_faults(len(value), schema, ("minItems", "maxItems"), place, "items")
        for at, item in enumerate(value):
            yield from _find_faults(item, schema.get("items", True), root, f"{place}[{at}]")
    elif isinstance(value, str):
        yield from _find_bound_faults(len(value), schema, ("minLength", "maxLength"), place, "characters")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _find_bound_faults(value, schema, ("minimum", "maximum"), place, "")
    yield from _find_choice_faults(value, schema, root, place)


def _find_type_faults(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    if kinds and not any(_is_of_type(value, kind) for kind in kinds):
        yield f"{place} is not of type {' or '.join(map(str, kinds))}"
    if isinstance(schema.get("enum"), list) and not any(_is_same(value, each) for each in schema["enum"]):
        yield f"{place} is not one of the values of its enum"
    if "const" in schema and not _is_same(value, schema["const"]):
        yield f"{place} is not the constant of its schema"


def _is_of_type(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES.get(kind, (object,)))


def _is_same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _find_object_faults(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], place: str
) -> Iterator[str]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in value:
            yield f"{place} lacks {name!r}"
    for name, item in value.items():
        inner = properties.get(name, schema.get("additionalProperties", True))
        if name not in properties and inner is False:
            yield f"{place} has {name!r}, which its schema does not have"
            return
        yield from _find_faults(item, inner, root, f"{place}.{name}")


def _find_bound_faults(
    size: float, schema: Mapping[str, Any], words: tuple[str, str], place: str, unit: str
) -> Iterator[str]:
    least, most = (schema.get(word) for word in words)
    if isinstance(least, int | float) and size < least:
        yield f"{place} has fewer than {least} {unit}" if unit else f"{place} is less than {least}"
    if isinstance(most, int | float) and size > most:
        yield f"{place} has more than {most} {unit}" if unit else f"{place} is more than {most}"


def _find_choice_faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[str]:
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word)
        if isinstance(choices, list) and choices:
            faults = [next(_find_faults(value, each, root, place), "") for each in choices]
            if all(faults):
                yield faults[0] if len(faults) == 1 else f"{place} fits none of its alternatives: {'; '.join(faults)}"
    every = schema.get("allOf")
    for each in every if isinstance(every, list) else ():
        yield from _find_faults(value, each, root, place)
