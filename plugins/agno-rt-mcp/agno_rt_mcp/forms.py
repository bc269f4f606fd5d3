"""The forms of servers: the class of an answer, made of a flat schema of texts, numbers, flags and choices."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

__all__ = ["make_type"]

_TYPES: Mapping[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
_BOUNDS = {"minimum": "ge", "maximum": "le", "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_LENGTHS = {"minItems": "min_length", "maxItems": "max_length"}


def make_type(schema: Mapping[str, Any]) -> Any:
    """Return a class for the form, with the defaults and bounds of the schema; a dict for a form that is not flat."""
    required = schema.get("required", ())
    fields: list[Any] = []
    names: dict[str, str] = {}
    try:
        for number, (name, part) in enumerate(schema.get("properties", {}).items()):
            own = name if name.isidentifier() and not keyword.iskeyword(name) else f"field{number}"
            names[own] = name
            kind = _make_kind(part)
            if "default" in part:
                fields.append((own, kind, _make_default(part["default"])))
            else:
                fields.append((own, kind) if name in required else (own, kind | msgspec.UnsetType, msgspec.UNSET))
        fields.sort(key=len)  # required fields come first in a struct
        return msgspec.defstruct("Form", fields, rename=names, forbid_unknown_fields=True)
    except (AttributeError, TypeError, ValueError):
        return dict[str, Any]


def _make_kind(part: Mapping[str, Any]) -> Any:
    choices, titles = _list_choices(part)
    meta = {word: part[key] for key, word in _BOUNDS.items() if key in part}
    kind: Any = Literal[tuple(choices)] if choices else _TYPES.get(part.get("type", ""), Any)
    if part.get("type") == "array":
        inner, titles = _list_choices(part.get("items", {}))
        kind = list[Literal[tuple(inner)]] if inner else list[str]  # type: ignore[misc]
        meta = {word: part[key] for key, word in _LENGTHS.items() if key in part}
    said = part.get("description") or part.get("title") or ""
    if titles:
        said = f"{said} ({', '.join(titles)})".strip()
    if said:
        meta["description"] = said
    if "format" in part:
        meta["extra_json_schema"] = {"format": part["format"]}
    return Annotated[kind, msgspec.Meta(**meta)] if meta else kind


def _list_choices(part: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Return the values to choose among, and lines about values with titles."""
    if titled := part.get("oneOf") or part.get("anyOf"):
        choices = [each["const"] for each in titled if "const" in each]
        return choices, [f"{each['const']}: {each['title']}" for each in titled if "const" in each and "title" in each]
    choices = list(part.get("enum", ()))
    return choices, [f"{value}: {title}" for value, title in zip(choices, part.get("enumNames", ()), strict=False)]


def _make_default(value: Any) -> Any:
    return msgspec.field(default_factory=lambda: list(value)) if isinstance(value, list) else value
