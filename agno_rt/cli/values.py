"""Values for a JSON Schema, read from text typed by a person. Knows no terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agno_rt.errors import UsageError

__all__ = ["answer_of", "fields_of", "kinds_of", "value_of"]

_KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
}
_WORDS = {"y": True, "yes": True, "n": False, "no": False}

Schema = Mapping[str, Any]


def fields_of(schema: Schema) -> dict[str, Schema]:
    """Return the schemas of an object's fields by name, with references resolved; empty if not an object."""
    found = _resolve_reference(schema, schema)
    return {name: _resolve_reference(part, schema) for name, part in found.get("properties", {}).items()}


def kinds_of(schema: Schema) -> list[str]:
    """Return the names of the allowed JSON types; empty if anything is allowed."""
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return list(dict.fromkeys(_KINDS.get(type(value), "null") for value in allowed))
    if "anyOf" in schema:
        parts = [kinds_of(part) for part in schema["anyOf"]]
        return list(dict.fromkeys(kind for part in parts for kind in part)) if all(parts) else []
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else list(named)


def value_of(text: str, schema: Schema) -> Any:
    """Return the value of the text: the text itself if a string is allowed, otherwise decoded JSON.

    Raises `UsageError` for invalid JSON. Only the type is compared with the schema.
    """
    kinds = kinds_of(schema)
    if kinds == ["string"]:
        return text
    if "boolean" in kinds and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = json.loads(text)
    except ValueError:
        if not kinds or "string" in kinds:
            return text
        raise UsageError(f"{text!r} is not of the type {' or '.join(kinds)}", hint="Write the value as JSON.") from None
    # By the exact type: True is an int in Python, but not in JSON.
    kind = _KINDS.get(type(value), "null")
    fits = not kinds or kind in kinds or (kind == "integer" and "number" in kinds)
    return text if not fits and "string" in kinds else value


def answer_of(text: str, schema: Schema | None) -> Any:
    """Return the answer of the text: a JSON object for a schema with fields, or the value of a single field."""
    if schema is None:
        return value_of(text, {})
    fields = fields_of(schema)
    if not fields:
        return value_of(text, schema)
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return value
    if len(fields) == 1:
        return {name: value_of(text, part) for name, part in fields.items()}
    names = ", ".join(f'"{name}": ...' for name in fields)
    raise UsageError("the answer is not a JSON object", hint=f"Give an object with these fields: {{{names}}}")


def _resolve_reference(part: Schema, root: Schema) -> Schema:
    """Return the schema with its `$ref` replaced by the definition in the root's `$defs`."""
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    found = root.get("$defs", {}).get(name)
    return part if found is None else {**found, **{key: value for key, value in part.items() if key != "$ref"}}
