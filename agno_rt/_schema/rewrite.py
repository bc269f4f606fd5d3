"""Rewrites types that msgspec refuses or misreads into types that msgspec accepts. Knows no tools and no JSON text.

msgspec refuses some unions (of several data classes, say), ignores notes of other packages (`Annotated[int, Ge(1)]`),
and describes dicts with keys that are dates more loosely than it reads them. A placeholder class replaces each of these
types: msgspec takes a placeholder for a custom type and calls back to decode and describe the value. A class with a
replaced type in any field is read through a Struct of the same fields.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from agno_rt._schema.fields import Fields, fields_of
from agno_rt._schema.pydantic_types import Adapter, adapter_of

__all__ = ["Rewriter", "dec_hook", "needs_rewriting"]

_UNIONS = (Union, types.UnionType)
_ALIAS = getattr(typing, "TypeAliasType", ())
_NONE = type(None)
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$"
_FORMATS: Mapping[Any, Any] = {
    dt.datetime: Annotated[dt.datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})],
    dt.time: Annotated[dt.time, msgspec.Meta(extra_json_schema={"format": "time"})],
}
"""Types that msgspec describes as plain text unless a time zone is required."""
_NUMERIC = (int, float, decimal.Decimal)
"""Types that read a JSON number. Beside one of them, msgspec takes every whole number for a value of an IntEnum."""
_WHOLE = "^(0|-?[1-9][0-9]*)$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


class _Anything(type):
    # msgspec checks the type of the value from `dec_hook`, and a placeholder stands for another type.
    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Placeholder(metaclass=_Anything):
    """A stand-in for a type: `describe` builds the schema from the schemas of `parts`; `decode` builds the value.

    `keys` are the names of the fields, for a class that is read from an object.
    """

    parts: tuple[Any, ...] = ()
    keys: frozenset[str] | None = None
    describe: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
    decode: Callable[[Any], Any]


def dec_hook(type_: Any, value: Any) -> Any:
    """Decode a rewritten type; the `dec_hook` of msgspec."""
    if isinstance(type_, _Anything):
        return type_.decode(value)  # type: ignore[attr-defined]  # each placeholder has `decode`
    raise NotImplementedError(f"{type_!r} cannot be read from JSON")


def needs_rewriting(type_: Any) -> bool:
    """Return whether msgspec refuses the type, or ignores or misreads a part of the type."""
    # In this order: msgspec must not see a union that it misreads (see `_is_misread_union`).
    return _has_foreign_part(type_, []) or _is_refused(type_)


def _is_refused(type_: Any) -> bool:
    try:
        msgspec.json.Decoder(type_)
    except TypeError:
        return True
    return False


def _has_foreign_part(type_: Any, seen: list[Any]) -> bool:
    """Return whether msgspec ignores or misreads a part of the type, or of a field of its classes."""
    origin, args = get_origin(type_), get_args(type_)
    if adapter_of(type_) is not None:
        return True
    if origin is Annotated:
        foreign = any(
            not isinstance(note, msgspec.Meta) and _convert_note(note) is not None for note in type_.__metadata__
        )
        return foreign or _has_foreign_part(type_.__origin__, seen)
    if isinstance(type_, typing.NewType):
        args = (type_.__supertype__,)
    elif isinstance(type_, _ALIAS):
        args = () if type_ in seen else (type_.__value__,)
    elif origin in _UNIONS and _is_misread_union(args):
        return True
    if isinstance(origin or type_, type) and type_ not in seen:
        fields = fields_of(type_)
        if type_ in _FORMATS or _find_key_type(type_) is not str or (fields is not None and not fields.plain):
            return True
        args = (*args, *[field.type for field in fields.fields]) if fields else args
    elif origin is Literal or isinstance(type_, type):
        return False
    seen.append(type_)
    return any(_has_foreign_part(part, seen) for part in args)


def _is_misread_union(members: Sequence[Any]) -> bool:
    """Return whether msgspec accepts the union and misreads it.

    msgspec 0.22 merges the bounds of several members, or reads past their end, and the process dies.
    """
    several = [member for member in members if member is not _NONE and member is not msgspec.UnsetType]
    if len(several) > 1 and any(_strip_notes(member) is not member for member in several):
        return True
    kinds: list[Any] = [int] if any(number in several for number in _NUMERIC) else []
    for member in several:
        kinds += () if member in _NUMERIC else _list_kinds(member)
    return any(kinds.count(kind) > 1 for kind in kinds)


def _list_kinds(type_: Any) -> Collection[Any]:
    if get_origin(type_) is not Literal and not isinstance(type_, enum.EnumMeta):
        return (type_,)
    values = [each.value if isinstance(each, enum.Enum) else each for each in get_args(type_) or type_]
    return {int if isinstance(value, float) else type(value) for value in values}


def _strip_notes(type_: Any) -> Any:
    """Return the type below annotations, NewTypes and aliases."""
    while True:
        if get_origin(type_) is Annotated:
            type_ = type_.__origin__
        elif isinstance(type_, typing.NewType):
            type_ = type_.__supertype__
        elif isinstance(type_, _ALIAS):
            type_ = type_.__value__
        else:
            return type_


def _find_key_type(type_: Any) -> Any:
    """Return the type of a mapping's keys; `str`, as in JSON, for other types."""
    origin, args = get_origin(type_), get_args(type_)
    return args[0] if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2 else str


class Rewriter:
    """Rewrites types, each class once; collects `placeholders`, and the `adapters` of pydantic's types."""

    def __init__(self) -> None:
        self.placeholders: list[type[Placeholder]] = []
        self.adapters: dict[Any, Adapter] = {}
        self._classes: dict[Any, Any] = {}

    def rewrite(self, type_: Any) -> Any:
        """Return a type that msgspec accepts and reads as the given type."""
        origin = get_origin(type_)
        if (adapter := adapter_of(type_)) is not None:
            made = self._add_placeholder("Adapted")
            made.decode = staticmethod(adapter.decode)
            self.adapters[made] = adapter
        elif origin is Annotated:
            made = self._rewrite_annotated(type_)
        elif isinstance(type_, typing.NewType):
            made = self.rewrite(type_.__supertype__)
        elif isinstance(type_, _ALIAS):
            made = self._rewrite_alias(type_)
        elif origin in _UNIONS:
            made = self._unite_types(map(self.rewrite, get_args(type_)))
        elif origin is Literal or isinstance(type_, enum.EnumMeta):
            made = self._rewrite_choice(type_) if _is_refused(type_) else type_
        elif isinstance(origin or type_, type) and needs_rewriting(type_) and fields_of(type_) is not None:
            made = self._rewrite_class(type_)
        else:
            made = self._rewrite_container(type_, origin)
        return made

    def _rewrite_annotated(self, type_: Any) -> Any:
        inner = type_.__origin__
        notes = [note for note in map(_convert_note, type_.__metadata__) if note is not None]
        if get_origin(inner) in _UNIONS and notes:
            parts, notes = _apply_bounds([self.rewrite(part) for part in get_args(inner)], notes)
            made = self._unite_types(parts)
        elif inner is dt.datetime and any(note.tz is False for note in notes):
            made = Annotated[inner, msgspec.Meta(extra_json_schema={"pattern": _LOCAL})]
        else:
            made = self.rewrite(inner)
        return Annotated[(made, *notes)] if notes else made

    def _rewrite_alias(self, alias: Any) -> Any:
        if alias not in self._classes:
            # Stored before the value is rewritten: a recursive alias must find this placeholder.
            self._classes[alias] = made = self._add_placeholder(alias.__name__)
            made.parts = (self.rewrite(alias.__value__),)
            made.describe = staticmethod(lambda schemas: schemas[0])
            made.decode = staticmethod(lambda value: _convert_value(value, made.parts[0]))
        return self._classes[alias]

    def _rewrite_container(self, type_: Any, origin: Any) -> Any:
        args = get_args(type_)
        if origin is None or not args:
            return _FORMATS.get(type_, type_) if isinstance(type_, type) else type_
        key = _find_key_type(type_)
        changed = tuple(arg if arg is ... or arg is key else self.rewrite(arg) for arg in args)
        made = type_ if changed == args else origin[changed]
        if key is not str and (words := _describe_keys(key)):
            made = Annotated[made, msgspec.Meta(extra_json_schema={"propertyNames": words})]
        return made

    def _unite_types(self, parts: Iterable[Any]) -> Any:
        """Return the union of rewritten types."""
        union, members = _flatten_union(parts)
        if not _is_misread_union(members) and not _is_refused(union):
            return union
        alone = tuple(member for member in members if member is _NONE or member is msgspec.UnsetType)
        made = self._add_placeholder("Union")
        made.parts = tuple(member for member in members if member not in alone)
        made.describe = staticmethod(_combine_schemas)
        made.decode = staticmethod(_make_first_fit_decoder(made.parts))
        return Union[(made, *alone)]

    def _rewrite_choice(self, type_: Any) -> Any:
        """Rewrite a Literal or Enum with values that msgspec refuses; values that JSON cannot carry go by name."""
        values: list[Any] = list(type_) if isinstance(type_, enum.EnumMeta) else list(get_args(type_))
        written = [value.value if isinstance(value, enum.Enum) else value for value in values]
        if not all(isinstance(value, _SCALARS) for value in written):
            written = [value.name if isinstance(value, enum.Enum) else value for value in values]
        if not written or not all(isinstance(value, _SCALARS) for value in written):
            raise TypeError(f"{type_!r} has values that JSON cannot carry, or none")
        made = self._add_placeholder("Choice")
        made.describe = staticmethod(lambda _: {"enum": list(written)})
        made.decode = staticmethod(_make_choice_decoder(list(zip(written, values, strict=True))))
        return made

    def _rewrite_class(self, type_: Any) -> Any:
        if type_ not in self._classes:
            # Stored before the fields are rewritten: a recursive class must find this placeholder.
            self._classes[type_] = made = self._add_placeholder("Class")
            fields = fields_of(type_)
            assert fields is not None
            made.keys = _list_field_keys(fields)
            struct = self._build_struct(fields)
            made.parts = (struct,)
            made.describe = staticmethod(lambda schemas: schemas[0])
            made.decode = staticmethod(lambda value: _build_instance(fields, _convert_value(value, struct)))
        return self._classes[type_]

    def _build_struct(self, fields: Fields) -> type[msgspec.Struct]:
        made: list[tuple[str, Any, Any]] = []
        for at, field in enumerate(fields.fields):
            type_ = self.rewrite(field.type)
            if field.required:
                made.append((f"f{at}", type_, msgspec.NODEFAULT))
            else:
                if field.note:
                    type_ = Annotated[type_, msgspec.Meta(extra_json_schema=dict(field.note))]
                made.append((f"f{at}", Union[type_, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
        rename = {f"f{at}": field.key for at, field in enumerate(fields.fields)}
        # The docstring becomes the schema's description.
        namespace = {"__doc__": fields.doc}
        return msgspec.defstruct(
            fields.name, made, namespace=namespace, module=fields.module, rename=rename, **fields.config
        )

    def _add_placeholder(self, name: str) -> Any:
        made = _Anything(name, (Placeholder,), {})
        self.placeholders.append(made)  # type: ignore[arg-type]  # a subclass of Placeholder
        return made


_SCALARS = (str, int, float, _NONE)


def _flatten_union(parts: Iterable[Any]) -> tuple[Any, Sequence[Any]]:
    """Return the union of the parts, and the members, with inner unions flattened."""
    union: Any = typing.cast(Any, Union)[tuple(parts)]
    return union, get_args(union) if get_origin(union) in _UNIONS else (union,)


def _apply_bounds(parts: Sequence[Any], notes: Iterable[msgspec.Meta]) -> tuple[tuple[Any, ...], list[msgspec.Meta]]:
    """Add to each part of a union the bounds for its kind of value. Return the parts and the other notes."""
    _, parts = _flatten_union(parts)
    kept: list[msgspec.Meta] = []
    for note in notes:
        rest = {name: said for name in _WORDS if (said := getattr(note, name)) is not None}
        kept += [msgspec.Meta(**rest)] if rest else []
        for name in (*_BOUNDS, "tz"):
            if (said := getattr(note, name)) is None:
                continue
            with_it = [Annotated[part, msgspec.Meta(**{name: said})] for part in parts]
            fitting = [not _is_refused(part) for part in with_it]
            if not any(fitting):
                raise TypeError(f"`{name}` bounds none of {', '.join(map(repr, parts))}")
            parts = [new if fits else part for new, fits, part in zip(with_it, fitting, parts, strict=True)]
    return tuple(parts), kept


_WORDS = ("title", "description", "examples", "extra_json_schema", "extra")


def _describe_keys(type_: Any) -> dict[str, Any]:
    """Return the schema of an object's keys as texts. Raises `TypeError` for a type that is not read from text."""
    bare = _strip_notes(type_)
    if (
        bare in (str, Any)
        or isinstance(bare, typing.TypeVar)
        or (get_origin(bare) in _UNIONS and str in get_args(bare))
    ):
        return {}
    if bare in (int, float):
        return {"pattern": _WHOLE if bare is int else _NUMBER}
    if get_origin(bare) is Literal or isinstance(bare, enum.EnumMeta):
        values = [each.value if isinstance(each, enum.Enum) else each for each in get_args(bare) or bare]
        if all(type(value) in (str, int) for value in values):
            return {"enum": [str(value) for value in values]}
    elif not _is_refused(bare) and bare is not _NONE:
        schema = msgspec.json.schema(_FORMATS.get(bare, bare))
        if schema.pop("type", None) == "string":
            return schema
    raise TypeError(f"the keys of a JSON object are text, and {type_!r} is not read from text")


def _convert_note(note: Any) -> msgspec.Meta | None:
    """Convert a note of an annotation to msgspec's form; `None` for a note that does not describe values."""
    if isinstance(note, msgspec.Meta):
        return note
    if isinstance(note, str):
        return msgspec.Meta(description=note)
    if isinstance(note, type):
        return None
    said = {name: value for name in _BOUNDS if (value := getattr(note, name, None)) is not None and not callable(value)}
    for name in ("description", "documentation"):
        if isinstance(text := getattr(note, name, None), str):
            said["description"] = text
    return msgspec.Meta(**said) if said else None


def _convert_value(value: Any, type_: Any) -> Any:
    return msgspec.convert(value, type_, dec_hook=dec_hook, str_keys=True)


def _combine_schemas(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": list(schemas)} if len(schemas) > 1 else schemas[0]


def _find_known_keys(type_: Any) -> frozenset[str] | None:
    """Return the names of a class's fields in JSON; `None` for a type that is not read from an object."""
    type_ = _strip_notes(type_)
    if isinstance(type_, _Anything):
        return type_.keys  # type: ignore[attr-defined, no-any-return]  # each placeholder has `keys`
    fields = fields_of(type_) if isinstance(get_origin(type_) or type_, type) else None
    return None if fields is None else _list_field_keys(fields)


def _list_field_keys(fields: Fields) -> frozenset[str] | None:
    if fields.config.get("array_like"):
        return None
    tag = fields.config.get("tag_field")
    return frozenset(field.key for field in fields.fields) | ({tag} if tag else set())


def _make_first_fit_decoder(parts: Sequence[Any]) -> Callable[[Any], Any]:
    """Return a decoder for the first part that fits; parts that would ignore keys of an object are tried last."""
    keys = [_find_known_keys(part) for part in parts]

    def order(value: Any) -> Iterator[Any]:
        if not isinstance(value, dict):
            yield from parts
            return
        left: list[Any] = []
        for part, known in zip(parts, keys, strict=True):
            if known is None or known.issuperset(value):
                yield part
            else:
                left.append(part)
        yield from left

    def decode(value: Any) -> Any:
        faults: list[str] = []
        for part in order(value):
            try:
                return _convert_value(value, part)
            except msgspec.ValidationError as exc:
                faults.append(str(exc))
        raise ValueError(f"fits none of the alternatives ({'; '.join(dict.fromkeys(faults))})")

    return decode


def _make_choice_decoder(choices: Sequence[tuple[Any, Any]]) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        for written, meant in choices:
            # `True == 1` in Python, but not in JSON.
            if written == value and isinstance(written, bool) == isinstance(value, bool):
                return meant
        raise ValueError(f"Invalid value {value!r}, expected one of {[written for written, _ in choices]}")

    return decode


def _build_instance(fields: Fields, struct: Any) -> Any:
    values = (getattr(struct, name) for name in struct.__struct_fields__)
    return fields.build(
        {field.name: value for field, value in zip(fields.fields, values, strict=True) if value is not msgspec.UNSET}
    )
