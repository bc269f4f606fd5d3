"""The types of CEL expressions, as far as known when a workflow is declared. Pure.

A type is a name, a list or map of types, or the fields of a class, which only the state has. `dyn` is any type. The
checks are those of CEL's own checker: int and double do not mix unless one of them is `dyn`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, TypeAlias, get_args, get_origin

import attrs
import msgspec

__all__ = ["Type", "describe_class", "find_sum", "fits", "join_types", "list_fields", "show_type"]

Type: TypeAlias = "str | tuple[Any, ...] | dict[str, Any]"
"""`int`, `("list", "int")`, `("map", "string", "dyn")`, or the fields of a class with their types."""

_NAMES: dict[Any, str] = {bool: "bool", int: "int", float: "double", str: "string", type(None): "null_type"}


def fits(ours: Type, theirs: Type) -> bool:
    """Return whether values of the two types may meet: the types are equal, or one is `dyn`."""
    if isinstance(ours, dict) or isinstance(theirs, dict):
        return False
    if "dyn" in (ours, theirs):
        return True
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(fits, ours, theirs))
    return ours == theirs


def join_types(found: Sequence[Type]) -> Type:
    """Return the common type; `dyn` for unlike types, and for an empty list."""
    return found[0] if found and all(each == found[0] for each in found) else "dyn"


def find_sum(ours: Type, theirs: Type, takes: Sequence[str]) -> Type | None:
    """Return the type of an arithmetic result; `None` if CEL has no such operation on the types."""
    if not fits(ours, theirs):
        return None
    known = theirs if ours == "dyn" else ours
    kind = known[0] if isinstance(known, tuple) else known
    if kind != "dyn" and kind not in takes:
        return None
    if kind in ("dyn", "null_type"):
        return "dyn"  # null may stand for a time
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return (kind, join_types([ours[1], theirs[1]]))
    return known


def show_type(type_: Type) -> str:
    """Return the type as CEL writes it, such as `list(int)`."""
    if isinstance(type_, dict):
        return "object"
    return type_ if isinstance(type_, str) else f"{type_[0]}({', '.join(map(show_type, type_[1:]))})"


def describe_class(class_: Any, within: tuple[Any, ...] = ()) -> Type:
    """Return the type of a Python annotation. A class with fields becomes their types, and anything unclear `dyn`."""
    if get_origin(class_) is Annotated:
        return describe_class(get_args(class_)[0], within)
    if isinstance(get_origin(class_), type):
        return _describe_container(get_origin(class_), get_args(class_), within)
    if class_ in _NAMES:
        return _NAMES[class_]
    names = list_fields(class_) if isinstance(class_, type) and class_ not in within else None
    if not names:
        return "dyn"
    hints = typing.get_type_hints(class_, include_extras=True)
    return {name: describe_class(hints.get(name, Any), (*within, class_)) for name in names}


def _describe_container(origin: type, parts: tuple[Any, ...], within: tuple[Any, ...]) -> Type:
    if issubclass(origin, Mapping) and len(parts) == 2:
        key = describe_class(parts[0], within)
        return ("map", key if key in ("int", "string", "bool") else "dyn", _describe_item(parts[1], within))
    if issubclass(origin, Sequence | AbstractSet) and (len(parts) == 1 or (len(parts) == 2 and parts[1] is ...)):
        return ("list", _describe_item(parts[0], within))
    return "dyn"


def _describe_item(class_: Any, within: tuple[Any, ...]) -> Type:
    """Return the type of an item. Objects in a list are maps with unknown fields."""
    found = describe_class(class_, within)
    return ("map", "string", "dyn") if isinstance(found, dict) else found


def list_fields(class_: type) -> list[str] | None:
    """Return the names of the fields of an attrs class, a data class or a msgspec Struct; `None` for another class."""
    if attrs.has(class_):
        return [field.name for field in attrs.fields(class_)]
    if dataclasses.is_dataclass(class_):
        return [field.name for field in dataclasses.fields(class_)]
    if issubclass(class_, msgspec.Struct):
        return [field.name for field in msgspec.structs.fields(class_)]
    return None
