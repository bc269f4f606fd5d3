"""The fields of a class that JSON objects are read into: attrs, data class, TypedDict, NamedTuple or Struct.

One shape for the five kinds, with what it takes to build an instance. Only what a class is made with counts: a field
that its `__init__` does not take is none here. Knows no schemas.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

import attrs
import msgspec

__all__ = ["Field", "Fields", "default_note", "fields_of"]

_MISSING = (attrs.NOTHING, dataclasses.MISSING, msgspec.NODEFAULT)
_WRAPPERS = tuple(
    wrapper
    for name in ("Required", "NotRequired", "ReadOnly", "Final")
    if (wrapper := getattr(typing, name, None)) is not None
)


@attrs.frozen
class Field:
    """A field: its `name` in Python, its `key` in JSON, its type; `note` is what a schema says of its default."""

    name: str
    key: str
    type: Any
    required: bool
    note: Mapping[str, Any]


@attrs.frozen(eq=False)
class Fields:
    """A class, taken apart. `build` makes an instance of values by name; `config` is for a Struct with its fields.

    `plain` says that msgspec alone makes what the class itself would make of the same values.
    """

    name: str
    module: str
    doc: str | None
    fields: tuple[Field, ...]
    build: Callable[[dict[str, Any]], Any]
    config: Mapping[str, Any]
    plain: bool


def fields_of(type_: Any) -> Fields | None:
    """The fields of a class, which may be generic and given its arguments; `None` for what is no such class.

    Raises what looking up its annotations raises.
    """
    class_ = get_origin(type_) or type_
    if not isinstance(class_, type):
        return None
    for known, taken in _KINDS:
        if known(class_):
            made = taken(class_, _hints(type_, class_))
            arguments = "_".join(getattr(argument, "__name__", str(argument)) for argument in get_args(type_))
            if not arguments:
                return made
            # Each set of arguments makes another class, and a schema must tell them apart.
            return attrs.evolve(made, name=re.sub(r"\W+", "_", f"{made.name}_{arguments}"))
    return None


def default_note(default: Any) -> dict[str, Any]:
    """What a schema says of a default: nothing, for one that JSON cannot carry."""
    if any(default is missing for missing in _MISSING):
        return {}
    try:
        return {"default": msgspec.json.decode(msgspec.json.encode(default))}
    except Exception:  # whatever an encoder raises, it is only a note
        return {}


def _hints(type_: Any, class_: type) -> dict[str, Any]:
    """The annotations, with each type variable replaced by what it stands for in the class that has the field."""
    hints = typing.get_type_hints(class_, include_extras=True)
    arguments = _arguments(type_)
    if typing.is_typeddict(class_):  # which forgets its bases: their fields are its own
        own: dict[Any, Any] = {}
        for found in reversed(arguments.values()):
            own |= found
        arguments[class_] = own
    return {name: _filled(hint, arguments.get(_owner(class_, name), {})) for name, hint in hints.items()}


def _arguments(type_: Any) -> dict[Any, dict[Any, Any]]:
    """What the type variables of a class and its bases stand for, by class."""
    class_ = get_origin(type_) or type_
    own = dict(zip(getattr(class_, "__parameters__", ()), get_args(type_), strict=False))
    found: dict[Any, dict[Any, Any]] = {class_: own}
    for base in getattr(class_, "__orig_bases__", class_.__bases__):
        if isinstance(get_origin(base) or base, type) and get_origin(base) is not typing.Generic:
            for owner, arguments in _arguments(base).items():
                found.setdefault(owner, {each: _filled(argument, own) for each, argument in arguments.items()})
    return found


def _owner(class_: type, name: str) -> type:
    owners = (each for each in class_.__mro__ if name in inspect.get_annotations(each))
    return next(owners, class_)


def _bare(hint: Any) -> Any:
    while get_origin(hint) in _WRAPPERS:
        (hint,) = get_args(hint)
    return hint


def _filled(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not variables or not arguments:
        return hint
    return hint[tuple(arguments.get(variable, variable) for variable in variables)]


def _made(
    class_: type, fields: Iterator[Field], build: Callable[..., Any], *, plain: bool = True, **config: Any
) -> Fields:
    doc = class_.__doc__
    if doc and doc.startswith(f"{class_.__name__}("):
        doc = None  # what dataclasses write themselves
    config = {"kw_only": True, **config}
    return Fields(class_.__name__, class_.__module__, doc, tuple(fields), build, config, plain)


def _attrs(class_: Any, hints: Mapping[str, Any]) -> Fields:
    taken = [field for field in attrs.fields(class_) if field.init]

    def each() -> Iterator[Field]:
        for field in taken:
            default = field.default
            required = default is attrs.NOTHING
            made = isinstance(default, attrs.Factory)  # type: ignore[arg-type]  # it is a class
            note = {} if made else default_note(default)
            yield Field(field.name, field.name, _bare(hints.get(field.name, field.type or Any)), required, note)

    alias = {field.name: field.alias for field in taken}
    plain = len(taken) == len(attrs.fields(class_)) and all(field.converter is None for field in taken)
    return _made(
        class_, each(), lambda values: class_(**{alias[name]: value for name, value in values.items()}), plain=plain
    )


def _dataclass(class_: Any, hints: Mapping[str, Any]) -> Fields:
    taken = [field for field in dataclasses.fields(class_) if field.init]

    def each() -> Iterator[Field]:
        for field in taken:
            made = field.default_factory is not dataclasses.MISSING
            required = field.default is dataclasses.MISSING and not made
            note = {} if made else default_note(field.default)
            yield Field(field.name, field.name, _bare(hints[field.name]), required, note)
        for name, hint in passed.items():
            default = getattr(class_, name, dataclasses.MISSING)
            yield Field(name, name, hint.type, default is dataclasses.MISSING, default_note(default))

    passed = {name: hint for name, hint in hints.items() if isinstance(hint, dataclasses.InitVar)}
    plain = len(taken) == len(dataclasses.fields(class_)) and not passed
    return _made(class_, each(), lambda values: class_(**values), plain=plain)


def _typed_dict(class_: Any, hints: Mapping[str, Any]) -> Fields:
    def required(name: str, hint: Any) -> bool:
        # An annotation that is a string is looked into only now: the class itself did not see what it says.
        while (wrapper := get_origin(hint)) in _WRAPPERS:
            if wrapper in (typing.Required, typing.NotRequired):
                return wrapper is typing.Required
            (hint,) = get_args(hint)
        return name in class_.__required_keys__

    fields = (Field(name, name, _bare(hint), required(name, hint), {}) for name, hint in hints.items())
    return _made(class_, fields, dict)


def _named_tuple(class_: Any, hints: Mapping[str, Any]) -> Fields:
    defaults = class_._field_defaults
    fields = (
        Field(
            name,
            name,
            _bare(hints.get(name, Any)),
            name not in defaults,
            default_note(defaults.get(name, attrs.NOTHING)),
        )
        for name in class_._fields
    )
    return _made(class_, fields, lambda values: class_(**values), array_like=True, forbid_unknown_fields=True)


def _struct(class_: Any, hints: Mapping[str, Any]) -> Fields:
    fields = (
        Field(field.name, field.encode_name, _bare(hints[field.name]), field.required, default_note(field.default))
        for field in msgspec.structs.fields(class_)
    )
    config = class_.__struct_config__
    kept: dict[str, Any] = {"forbid_unknown_fields": config.forbid_unknown_fields}
    if config.array_like:
        kept["array_like"] = True
    if config.tag is not None:
        kept["tag"], kept["tag_field"] = config.tag, config.tag_field
    return _made(class_, fields, lambda values: class_(**values), **kept)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Mapping[str, Any]], Fields]], ...] = (
    (lambda class_: issubclass(class_, msgspec.Struct), _struct),
    (attrs.has, _attrs),
    (dataclasses.is_dataclass, _dataclass),
    (typing.is_typeddict, _typed_dict),
    (lambda class_: issubclass(class_, tuple) and hasattr(class_, "_fields"), _named_tuple),
)
