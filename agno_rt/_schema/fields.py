"""The fields of a class that JSON objects are read into: attrs, data class, TypedDict, NamedTuple or Struct.

All five kinds get one shape, with a function that builds an instance. Only arguments of `__init__` count as fields.
Knows no schemas.
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
    """A field: `name` in Python, `key` in JSON, and the type; `note` has the words of a schema for the default."""

    name: str
    key: str
    type: Any
    required: bool
    note: Mapping[str, Any]


@attrs.frozen(eq=False)
class Fields:
    """The parts of a class. `build` makes an instance from values by name; `config` configures a Struct of the fields.

    `plain` means that msgspec builds the same instance as the class: no converters, no fields outside `__init__`.
    """

    name: str
    module: str
    doc: str | None
    fields: tuple[Field, ...]
    build: Callable[[dict[str, Any]], Any]
    config: Mapping[str, Any]
    plain: bool


def fields_of(type_: Any) -> Fields | None:
    """Return the fields of a class, generic or not; `None` for a type of another kind.

    Raises the error of looking up the annotations, `NameError` for instance.
    """
    class_ = get_origin(type_) or type_
    if not isinstance(class_, type):
        return None
    for known, taken in _KINDS:
        if known(class_):
            made = taken(class_, _read_hints(type_, class_))
            arguments = "_".join(getattr(argument, "__name__", str(argument)) for argument in get_args(type_))
            if not arguments:
                return made
            # `Box[int]` and `Box[str]` need two names: a schema tells definitions apart by name.
            return attrs.evolve(made, name=re.sub(r"\W+", "_", f"{made.name}_{arguments}"))
    return None


def default_note(default: Any) -> dict[str, Any]:
    """Return the words of a schema for a default; none for a default that JSON cannot carry."""
    if any(default is missing for missing in _MISSING):
        return {}
    try:
        return {"default": msgspec.json.decode(msgspec.json.encode(default))}
    except Exception:  # an encoder may raise anything, and a default is only a note
        return {}


def _read_hints(type_: Any, class_: type) -> dict[str, Any]:
    """Return the annotations; each type variable is replaced by its value in the class that defines the field."""
    hints = typing.get_type_hints(class_, include_extras=True)
    arguments = _find_type_arguments(type_)
    if typing.is_typeddict(class_):  # a TypedDict forgets its bases, and all fields become its own
        own: dict[Any, Any] = {}
        for found in reversed(arguments.values()):
            own |= found
        arguments[class_] = own
    return {
        name: _fill_type_variables(hint, arguments.get(_find_owner(class_, name), {})) for name, hint in hints.items()
    }


def _find_type_arguments(type_: Any) -> dict[Any, dict[Any, Any]]:
    """Return the values of the type variables of a class and of its bases, by class."""
    class_ = get_origin(type_) or type_
    own = dict(zip(getattr(class_, "__parameters__", ()), get_args(type_), strict=False))
    found: dict[Any, dict[Any, Any]] = {class_: own}
    # `__bases__` does not have the arguments of generic bases.
    for base in getattr(class_, "__orig_bases__", class_.__bases__):
        if isinstance(get_origin(base) or base, type) and get_origin(base) is not typing.Generic:
            for owner, arguments in _find_type_arguments(base).items():
                found.setdefault(
                    owner, {each: _fill_type_variables(argument, own) for each, argument in arguments.items()}
                )
    return found


def _find_owner(class_: type, name: str) -> type:
    owners = (each for each in class_.__mro__ if name in inspect.get_annotations(each))
    return next(owners, class_)


def _strip_wrappers(hint: Any) -> Any:
    while get_origin(hint) in _WRAPPERS:
        (hint,) = get_args(hint)
    return hint


def _fill_type_variables(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not variables or not arguments:
        return hint
    return hint[tuple(arguments.get(variable, variable) for variable in variables)]


def _build_fields(
    class_: type, fields: Iterator[Field], build: Callable[..., Any], *, plain: bool = True, **config: Any
) -> Fields:
    doc = class_.__doc__
    if doc and doc.startswith(f"{class_.__name__}("):
        doc = None  # the default text of a data class only repeats the signature
    config = {"kw_only": True, **config}
    return Fields(class_.__name__, class_.__module__, doc, tuple(fields), build, config, plain)


def _read_attrs_fields(class_: Any, hints: Mapping[str, Any]) -> Fields:
    taken = [field for field in attrs.fields(class_) if field.init]

    def each() -> Iterator[Field]:
        for field in taken:
            default = field.default
            required = default is attrs.NOTHING
            made = isinstance(default, attrs.Factory)  # type: ignore[arg-type]  # it is a class
            note = {} if made else default_note(default)
            yield Field(
                field.name, field.name, _strip_wrappers(hints.get(field.name, field.type or Any)), required, note
            )

    alias = {field.name: field.alias for field in taken}
    plain = len(taken) == len(attrs.fields(class_)) and all(field.converter is None for field in taken)
    return _build_fields(
        class_, each(), lambda values: class_(**{alias[name]: value for name, value in values.items()}), plain=plain
    )


def _read_dataclass_fields(class_: Any, hints: Mapping[str, Any]) -> Fields:
    taken = [field for field in dataclasses.fields(class_) if field.init]

    def each() -> Iterator[Field]:
        for field in taken:
            made = field.default_factory is not dataclasses.MISSING
            required = field.default is dataclasses.MISSING and not made
            note = {} if made else default_note(field.default)
            yield Field(field.name, field.name, _strip_wrappers(hints[field.name]), required, note)
        for name, hint in passed.items():
            default = getattr(class_, name, dataclasses.MISSING)
            yield Field(name, name, hint.type, default is dataclasses.MISSING, default_note(default))

    passed = {name: hint for name, hint in hints.items() if isinstance(hint, dataclasses.InitVar)}
    plain = len(taken) == len(dataclasses.fields(class_)) and not passed
    return _build_fields(class_, each(), lambda values: class_(**values), plain=plain)


def _read_typed_dict_fields(class_: Any, hints: Mapping[str, Any]) -> Fields:
    def required(name: str, hint: Any) -> bool:
        # `__required_keys__` does not see `NotRequired` in an annotation that is a string, so the wrappers decide.
        while (wrapper := get_origin(hint)) in _WRAPPERS:
            if wrapper in (typing.Required, typing.NotRequired):
                return wrapper is typing.Required
            (hint,) = get_args(hint)
        return name in class_.__required_keys__

    fields = (Field(name, name, _strip_wrappers(hint), required(name, hint), {}) for name, hint in hints.items())
    return _build_fields(class_, fields, dict)


def _read_named_tuple_fields(class_: Any, hints: Mapping[str, Any]) -> Fields:
    defaults = class_._field_defaults
    fields = (
        Field(
            name,
            name,
            _strip_wrappers(hints.get(name, Any)),
            name not in defaults,
            default_note(defaults.get(name, attrs.NOTHING)),
        )
        for name in class_._fields
    )
    return _build_fields(class_, fields, lambda values: class_(**values), array_like=True, forbid_unknown_fields=True)


def _read_struct_fields(class_: Any, hints: Mapping[str, Any]) -> Fields:
    fields = (
        Field(
            field.name,
            field.encode_name,
            _strip_wrappers(hints[field.name]),
            field.required,
            default_note(field.default),
        )
        for field in msgspec.structs.fields(class_)
    )
    config = class_.__struct_config__
    kept: dict[str, Any] = {"forbid_unknown_fields": config.forbid_unknown_fields}
    if config.array_like:
        kept["array_like"] = True
    if config.tag is not None:
        kept["tag"], kept["tag_field"] = config.tag, config.tag_field
    return _build_fields(class_, fields, lambda values: class_(**values), **kept)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Mapping[str, Any]], Fields]], ...] = (
    (lambda class_: issubclass(class_, msgspec.Struct), _read_struct_fields),
    (attrs.has, _read_attrs_fields),
    (dataclasses.is_dataclass, _read_dataclass_fields),
    (typing.is_typeddict, _read_typed_dict_fields),
    (lambda class_: issubclass(class_, tuple) and hasattr(class_, "_fields"), _read_named_tuple_fields),
)
