"""Lists all faults of a JSON value against a schema, each with its place. Knows no Python types.

A decoder stops at the first fault, and reports only that no member of a union fitted. A model should be able to correct
all faults at once. Only the words of our own schemas are checked; other words are ignored.
"""

from __future__ import annotations

import datetime as dt
import decimal
import difflib
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

__all__ = ["MOST", "explain", "faults"]

MOST = 5
"""Faults in one text; more are only counted."""

Schema = Mapping[str, Any]
Own = Mapping[str, Callable[[Any], Iterable[tuple[Sequence[str | int], str]]]]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or _is_whole(value),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _is_anything(value: Any) -> bool:
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


_SHOWN = {"boolean": "bool", "integer": "int", "number": "float", "string": "str"}
_FORMATS: dict[str, tuple[Any, str]] = {
    "date-time": (dt.datetime, "2024-01-31T12:30:00Z"),
    "date": (dt.date, "2024-01-31"),
    "time": (dt.time, "12:30:00"),
    "duration": (dt.timedelta, "P1DT2H30M"),
    "uuid": (uuid.UUID, "9f6c2c4e-3a51-4f0e-8a67-5d1c0e7b2a90"),
    "decimal": (decimal.Decimal, "12.50"),
    "base64": (bytes, "aGVsbG8="),
}
"""The Python type and an example for each format of texts."""
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def explain(value: Any, schema: Schema, own: Own = MappingProxyType({}), name: str = "") -> str:
    """Return the first `MOST` faults of the value as one text, each with its place; empty for a value that fits.

    `own` maps names of definitions to functions that check them instead; `name` is the name of the schema itself.
    """
    found = list(faults(value, schema, own, name))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def faults(value: Any, schema: Schema, own: Own = MappingProxyType({}), name: str = "") -> Iterator[str]:
    """Yield each fault of the value, as a text that ends with its place: `` - at `$.items[2].price` ``."""
    definitions = {**(schema.get("$defs") or {}), name: schema}
    for place, fault in _Checker(definitions, own).check(value, {"$ref": name}, "$"):
        yield f"{fault} - at `{place}`" if place != "$" else fault


Found = Iterator[tuple[str, str]]


class _Checker:
    def __init__(self, definitions: Mapping[str, Schema], own: Own) -> None:
        self._definitions = definitions
        self._own = own

    def check(self, value: Any, schema: Schema, place: str) -> Found:
        name = schema.get("$ref", "").rpartition("/")[2]
        if name in self._own:
            for keys, fault in self._own[name](value):
                yield place + "".join(map(_render_step, keys)), fault
            return
        schema = self._resolve(schema)
        if "anyOf" in schema:
            yield from self._check_any_of(value, schema["anyOf"], place)
        if "enum" in schema and not any(_is_same_value(value, choice) for choice in schema["enum"]):
            yield place, _describe_bad_choice(value, schema["enum"])
        elif not _TYPES.get(str(schema.get("type")), _is_anything)(value):
            yield place, f"Expected `{_SHOWN.get(schema['type'], schema['type'])}`, got `{_name_kind(value)}`"
        elif isinstance(value, dict):
            yield from self._check_object(value, schema, place)
        elif isinstance(value, list):
            yield from self._check_array(value, schema, place)
        elif isinstance(value, str):
            yield from _check_string(value, schema, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _check_number(value, schema, place)

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            beside = {word: said for word, said in schema.items() if word != "$ref"}
            schema = {**self._definitions[schema["$ref"].rpartition("/")[2]], **beside}
        return schema

    def _check_any_of(self, value: Any, schemas: Sequence[Schema], place: str) -> Found:
        tried: list[list[tuple[str, str]]] = []
        for schema in schemas:
            found = list(self.check(value, schema, place))
            if not found:
                return
            tried.append(found)
        # Report only the alternatives that the model can have meant: the same kind of value, the same tag, and
        # no fault at the value itself. All faults of all alternatives would bury the one to correct.
        near = [(s, found) for s, found in zip(schemas, tried, strict=True) if not _is_other_kind(found, place)]
        near = [(s, found) for s, found in near if not self._has_other_tag(value, s)] or near
        within = [(s, found) for s, found in near if all(at != place for at, _ in found)]
        near = within if len(within) == 1 else near
        if not near:
            kinds = " | ".join(dict.fromkeys(self._render_type(schema) for schema in schemas))
            yield place, f"Expected `{kinds}`, got `{_name_kind(value)}`"
        elif len(near) == 1:
            yield from near[0][1]
        else:
            reasons = [f"not {self._render_type(schema)}: {_join_faults(found[:2], place)}" for schema, found in near]
            yield place, f"Fits none of the alternatives ({'; '.join(dict.fromkeys(reasons))})"

    def _has_other_tag(self, value: Any, schema: Schema) -> bool:
        """Return whether the value carries the tag of another alternative."""
        properties = self._resolve(schema).get("properties", {}) if isinstance(value, dict) else {}
        tags = {key: inner["enum"] for key, inner in properties.items() if len(inner.get("enum", ())) == 1}
        return any(key in value and not _is_same_value(value[key], tag[0]) for key, tag in tags.items())

    def _render_type(self, schema: Schema) -> str:
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return f"one of {_list_choices(schema['enum'])}"
        kind = schema.get("type", "value")
        return str(_SHOWN.get(kind, kind))

    def _check_object(self, value: dict[str, Any], schema: Schema, place: str) -> Found:
        properties = schema.get("properties", {})
        for key in schema.get("required", ()):
            if key not in value:
                yield place, f"Object missing required field `{key}`{_suggest_misspelt(key, value, properties)}"
        rest = schema.get("additionalProperties", True)
        names = schema.get("propertyNames")
        for key, item in value.items():
            inner = place + _render_step(key)
            if key in properties:
                yield from self.check(item, properties[key], inner)
            elif rest is False:
                yield place, f"Object contains unknown field `{key}`{_suggest_nearest(key, properties)}"
            elif isinstance(rest, Mapping):
                yield from self.check(item, rest, inner)
            if names is not None:
                for _, fault in self.check(key, names, inner):
                    yield place, f"Key {_encode_value(key)} does not fit: {fault}"
        yield from _check_bounds(len(value), schema, place, ("minProperties", "maxProperties", "fields"))

    def _check_array(self, value: list[Any], schema: Schema, place: str) -> Found:
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        for at, item in enumerate(value):
            inner = f"{place}[{at}]"
            if at < len(first):
                yield from self.check(item, first[at], inner)
            elif isinstance(rest, Mapping):
                yield from self.check(item, rest, inner)
        bounds = {"maxItems": len(first), **schema} if rest is False else schema
        yield from _check_bounds(len(value), bounds, place, ("minItems", "maxItems", "items"))


def _render_step(key: str | int) -> str:
    return f".{key}" if isinstance(key, str) and _IDENTIFIER.fullmatch(key) else f"[{_encode_value(key)}]"


def _check_string(value: str, schema: Schema, place: str) -> Found:
    yield from _check_bounds(len(value), schema, place, ("minLength", "maxLength", "characters"))
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield place, f"Expected `str` matching regex {schema['pattern']!r}"
    name = schema.get("format", schema.get("contentEncoding"))
    if name in _FORMATS:
        type_, example = _FORMATS[name]
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError:
            yield place, f"Expected a {name} such as {example}, got {_encode_value(value)}"


_BOUNDS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("minimum", ">=", lambda value, bound: value >= bound),
    ("exclusiveMinimum", ">", lambda value, bound: value > bound),
    ("maximum", "<=", lambda value, bound: value <= bound),
    ("exclusiveMaximum", "<", lambda value, bound: value < bound),
    ("multipleOf", "that's a multiple of", lambda value, bound: value % bound == 0),
)


def _check_number(value: float, schema: Schema, place: str) -> Found:
    for word, shown, holds in _BOUNDS:
        if word in schema and not holds(value, schema[word]):
            yield place, f"Expected a number {shown} {schema[word]}, got {value}"


def _check_bounds(size: int, schema: Schema, place: str, words: tuple[str, str, str]) -> Found:
    least, most, what = words
    if size < schema.get(least, 0):
        yield place, f"Expected at least {schema[least]} {what}, got {size}"
    elif size > schema.get(most, size):
        yield place, f"Expected at most {schema[most]} {what}, got {size}"


def _name_kind(value: Any) -> str:
    for kind, fits in _TYPES.items():
        if fits(value):
            return _SHOWN.get(kind, kind)
    return type(value).__name__


def _is_same_value(value: Any, choice: Any) -> bool:
    # `True == 1` in Python, but not in JSON.
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _describe_bad_choice(value: Any, choices: Sequence[Any]) -> str:
    fault = f"Invalid value {_encode_value(value)}, expected one of {_list_choices(choices)}"
    return fault + (_suggest_nearest(value, [choice for choice in choices if isinstance(choice, str)], value=True))


def _list_choices(choices: Sequence[Any]) -> str:
    return ", ".join(map(_encode_value, choices[:20])) + (", ..." if len(choices) > 20 else "")


def _encode_value(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _suggest_nearest(name: Any, known: Any, *, value: bool = False) -> str:
    """Ask for the nearest known name; list all known names if none is near and there are at most 12."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    if close:
        return f" (did you mean `{close[0]}`?)"
    if value or not names or len(names) > 12:
        return ""
    return f" (known: {', '.join(f'`{one}`' for one in names)})"


def _suggest_misspelt(key: str, value: Mapping[str, Any], properties: Schema) -> str:
    close = difflib.get_close_matches(key, [name for name in value if name not in properties], n=1)
    return f" (`{close[0]}` is not a field of it)" if close else ""


def _is_other_kind(found: Sequence[tuple[str, str]], place: str) -> bool:
    return len(found) == 1 and found[0][0] == place and found[0][1].startswith(("Expected `", "Invalid value"))


def _join_faults(found: Sequence[tuple[str, str]], place: str) -> str:
    return " and ".join(fault if at == place else f"{fault} at `{at}`" for at, fault in found)
