"""Says what is wrong with a JSON value, by its schema: every fault with its place. Knows nothing of Python types.

A decoder stops at the first fault, and says of a union only that nothing fitted. What a model is told should let it put
all of it right at once. Only the words that our own schemas are made of are known here; others are passed over.
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
"""How many faults are told at once."""

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
"""What texts of a format are read as, and one of them."""
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


def explain(value: Any, schema: Schema, own: Own = MappingProxyType({}), name: str = "") -> str:
    """What is wrong with the value, by the schema: its first faults, each with its place; empty where nothing is.

    `own` has, by name, functions that say it of the schema's definitions themselves; `name` is that of the schema.
    """
    found = list(faults(value, schema, own, name))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def faults(value: Any, schema: Schema, own: Own = MappingProxyType({}), name: str = "") -> Iterator[str]:
    """Each fault of the value, as a text that ends with its place: `` - at `$.items[2].price` ``."""
    definitions = {**(schema.get("$defs") or {}), name: schema}
    for place, fault in _Check(definitions, own).check(value, {"$ref": name}, "$"):
        yield f"{fault} - at `{place}`" if place != "$" else fault


Found = Iterator[tuple[str, str]]


class _Check:
    def __init__(self, definitions: Mapping[str, Schema], own: Own) -> None:
        self._definitions = definitions
        self._own = own

    def check(self, value: Any, schema: Schema, place: str) -> Found:
        name = schema.get("$ref", "").rpartition("/")[2]
        if name in self._own:
            for keys, fault in self._own[name](value):
                yield place + "".join(map(_step, keys)), fault
            return
        schema = self._resolved(schema)
        if "anyOf" in schema:
            yield from self._any_of(value, schema["anyOf"], place)
        if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
            yield place, _bad_choice(value, schema["enum"])
        elif not _TYPES.get(str(schema.get("type")), _is_anything)(value):
            yield place, f"Expected `{_SHOWN.get(schema['type'], schema['type'])}`, got `{_kind(value)}`"
        elif isinstance(value, dict):
            yield from self._object(value, schema, place)
        elif isinstance(value, list):
            yield from self._array(value, schema, place)
        elif isinstance(value, str):
            yield from _string(value, schema, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _number(value, schema, place)

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            beside = {word: said for word, said in schema.items() if word != "$ref"}
            schema = {**self._definitions[schema["$ref"].rpartition("/")[2]], **beside}
        return schema

    def _any_of(self, value: Any, schemas: Sequence[Schema], place: str) -> Found:
        tried: list[list[tuple[str, str]]] = []
        for schema in schemas:
            found = list(self.check(value, schema, place))
            if not found:
                return
            tried.append(found)
        # Where some alternatives are of the value's own kind, the others are not what the model had in mind.
        near = [(s, found) for s, found in zip(schemas, tried, strict=True) if not _other_kind(found, place)]
        near = [(s, found) for s, found in near if not self._other_tag(value, s)] or near
        within = [(s, found) for s, found in near if all(at != place for at, _ in found)]
        near = within if len(within) == 1 else near
        if not near:
            kinds = " | ".join(dict.fromkeys(self._shown(schema) for schema in schemas))
            yield place, f"Expected `{kinds}`, got `{_kind(value)}`"
        elif len(near) == 1:
            yield from near[0][1]
        else:
            reasons = [
                f"not {self._shown(schema)}: {' and '.join(_placed(fault, at, place) for at, fault in found[:2])}"
                for schema, found in near
            ]
            yield place, f"Fits none of the alternatives ({'; '.join(dict.fromkeys(reasons))})"

    def _other_tag(self, value: Any, schema: Schema) -> bool:
        """Whether the value says itself that it is another alternative."""
        properties = self._resolved(schema).get("properties", {}) if isinstance(value, dict) else {}
        tags = {key: inner["enum"] for key, inner in properties.items() if len(inner.get("enum", ())) == 1}
        return any(key in value and not _same(value[key], tag[0]) for key, tag in tags.items())

    def _shown(self, schema: Schema) -> str:
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return f"one of {_listed(schema['enum'])}"
        kind = schema.get("type", "value")
        return str(_SHOWN.get(kind, kind))

    def _object(self, value: dict[str, Any], schema: Schema, place: str) -> Found:
        properties = schema.get("properties", {})
        for key in schema.get("required", ()):
            if key not in value:
                yield place, f"Object missing required field `{key}`{_misspelt(key, value, properties)}"
        rest = schema.get("additionalProperties", True)
        names = schema.get("propertyNames")
        for key, item in value.items():
            inner = place + _step(key)
            if key in properties:
                yield from self.check(item, properties[key], inner)
            elif rest is False:
                yield place, f"Object contains unknown field `{key}`{_nearest(key, properties)}"
            elif isinstance(rest, Mapping):
                yield from self.check(item, rest, inner)
            if names is not None:
                for _, fault in self.check(key, names, inner):
                    yield place, f"Key {_encoded(key)} does not fit: {fault}"
        yield from _size(len(value), schema, place, ("minProperties", "maxProperties", "fields"))

    def _array(self, value: list[Any], schema: Schema, place: str) -> Found:
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        for at, item in enumerate(value):
            inner = f"{place}[{at}]"
            if at < len(first):
                yield from self.check(item, first[at], inner)
            elif isinstance(rest, Mapping):
                yield from self.check(item, rest, inner)
        bounds = {"maxItems": len(first), **schema} if rest is False else schema
        yield from _size(len(value), bounds, place, ("minItems", "maxItems", "items"))


def _step(key: str | int) -> str:
    return f".{key}" if isinstance(key, str) and _IDENTIFIER.fullmatch(key) else f"[{_encoded(key)}]"


def _string(value: str, schema: Schema, place: str) -> Found:
    yield from _size(len(value), schema, place, ("minLength", "maxLength", "characters"))
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield place, f"Expected `str` matching regex {schema['pattern']!r}"
    name = schema.get("format", schema.get("contentEncoding"))
    if name in _FORMATS:
        type_, example = _FORMATS[name]
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError:
            yield place, f"Expected a {name} such as {example}, got {_encoded(value)}"


_BOUNDS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("minimum", ">=", lambda value, bound: value >= bound),
    ("exclusiveMinimum", ">", lambda value, bound: value > bound),
    ("maximum", "<=", lambda value, bound: value <= bound),
    ("exclusiveMaximum", "<", lambda value, bound: value < bound),
    ("multipleOf", "that's a multiple of", lambda value, bound: value % bound == 0),
)


def _number(value: float, schema: Schema, place: str) -> Found:
    for word, shown, holds in _BOUNDS:
        if word in schema and not holds(value, schema[word]):
            yield place, f"Expected a number {shown} {schema[word]}, got {value}"


def _size(size: int, schema: Schema, place: str, words: tuple[str, str, str]) -> Found:
    least, most, what = words
    if size < schema.get(least, 0):
        yield place, f"Expected at least {schema[least]} {what}, got {size}"
    elif size > schema.get(most, size):
        yield place, f"Expected at most {schema[most]} {what}, got {size}"


def _kind(value: Any) -> str:
    for kind, fits in _TYPES.items():
        if fits(value):
            return _SHOWN.get(kind, kind)
    return type(value).__name__


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _bad_choice(value: Any, choices: Sequence[Any]) -> str:
    fault = f"Invalid value {_encoded(value)}, expected one of {_listed(choices)}"
    return fault + (_nearest(value, [choice for choice in choices if isinstance(choice, str)], value=True))


def _listed(choices: Sequence[Any]) -> str:
    return ", ".join(map(_encoded, choices[:20])) + (", ..." if len(choices) > 20 else "")


def _encoded(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(name: Any, known: Any, *, value: bool = False) -> str:
    """The nearest of the known names, as a question; all of them where none is near and they are few."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    if close:
        return f" (did you mean `{close[0]}`?)"
    if value or not names or len(names) > 12:
        return ""
    return f" (known: {', '.join(f'`{one}`' for one in names)})"


def _misspelt(key: str, value: Mapping[str, Any], properties: Schema) -> str:
    close = difflib.get_close_matches(key, [name for name in value if name not in properties], n=1)
    return f" (`{close[0]}` is no field of it)" if close else ""


def _other_kind(found: Sequence[tuple[str, str]], place: str) -> bool:
    return len(found) == 1 and found[0][0] == place and found[0][1].startswith(("Expected `", "Invalid value"))


def _placed(fault: str, at: str, place: str) -> str:
    return fault if at == place else f"{fault} at `{at}`"
