"""Rewrites types that msgspec refuses into ones that it takes. Knows no tools, and nothing of JSON text.

Where msgspec would refuse a union (several data classes in it, say), would pass over what an annotation says
(`Annotated[int, Ge(1)]`), or would describe more than it reads (a dict whose keys are dates), a placeholder class
stands in its place: to msgspec that is a type of its own, which calls back to be decoded and described. A class that
holds such a thing anywhere is read by way of a Struct with its fields.
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
"""What msgspec describes as any text, unless it must have a time zone."""
_NUMERIC = (int, float, decimal.Decimal)
"""What reads a JSON number: beside one of them, msgspec takes every whole number for the value of an IntEnum."""
_WHOLE = "^(0|-?[1-9][0-9]*)$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


class _Anything(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Placeholder(metaclass=_Anything):
    """Stands for a type: `parts` are what its schema is made of, by `describe`; `decode` turns JSON into its value.

    `keys` are the names of its fields, where it stands for a class that is read from an object.
    """

    parts: tuple[Any, ...] = ()
    keys: frozenset[str] | None = None
    describe: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
    decode: Callable[[Any], Any]


def dec_hook(type_: Any, value: Any) -> Any:
    """msgspec's `dec_hook` for rewritten types."""
    if isinstance(type_, _Anything):
        return type_.decode(value)  # type: ignore[attr-defined]  # every one of them has it
    raise NotImplementedError(f"{type_!r} cannot be read from JSON")


def needs_rewriting(type_: Any) -> bool:
    """Whether msgspec refuses the type, or there is something in it that msgspec would pass over or mistake."""
    # In this order: what it mistakes, it may not be shown.
    return _foreign(type_, []) or _refused(type_)


def _refused(type_: Any) -> bool:
    try:
        msgspec.json.Decoder(type_)
    except TypeError:
        return True
    return False


def _foreign(type_: Any, seen: list[Any]) -> bool:
    """Whether there is anything in the type, its classes' fields included, that msgspec would pass over or mistake."""
    origin, args = get_origin(type_), get_args(type_)
    if adapter_of(type_) is not None:
        return True
    if origin is Annotated:
        foreign = any(not isinstance(note, msgspec.Meta) and _meta(note) is not None for note in type_.__metadata__)
        return foreign or _foreign(type_.__origin__, seen)
    if isinstance(type_, typing.NewType):
        args = (type_.__supertype__,)
    elif isinstance(type_, _ALIAS):
        args = () if type_ in seen else (type_.__value__,)
    elif origin in _UNIONS and _mistaken(args):
        return True
    if isinstance(origin or type_, type) and type_ not in seen:
        fields = fields_of(type_)
        if type_ in _FORMATS or _keys(type_) is not str or (fields is not None and not fields.plain):
            return True
        args = (*args, *[field.type for field in fields.fields]) if fields else args
    elif origin is Literal or isinstance(type_, type):
        return False
    seen.append(type_)
    return any(_foreign(part, seen) for part in args)


def _mistaken(members: Sequence[Any]) -> bool:
    """Whether the union is one that msgspec takes and gets wrong.

    Of the bounds of several members it makes one, or it reads past the end of them, and the process dies (0.22).
    """
    several = [member for member in members if member is not _NONE and member is not msgspec.UnsetType]
    if len(several) > 1 and any(_inner(member) is not member for member in several):
        return True
    kinds: list[Any] = [int] if any(number in several for number in _NUMERIC) else []
    for member in several:
        kinds += () if member in _NUMERIC else _kinds(member)
    return any(kinds.count(kind) > 1 for kind in kinds)


def _kinds(type_: Any) -> Collection[Any]:
    if get_origin(type_) is not Literal and not isinstance(type_, enum.EnumMeta):
        return (type_,)
    values = [each.value if isinstance(each, enum.Enum) else each for each in get_args(type_) or type_]
    return {int if isinstance(value, float) else type(value) for value in values}


def _inner(type_: Any) -> Any:
    """What is left of a type without its notes and its name."""
    while True:
        if get_origin(type_) is Annotated:
            type_ = type_.__origin__
        elif isinstance(type_, typing.NewType):
            type_ = type_.__supertype__
        elif isinstance(type_, _ALIAS):
            type_ = type_.__value__
        else:
            return type_


def _keys(type_: Any) -> Any:
    """The type of a mapping's keys; `str`, as in JSON itself, for anything else."""
    origin, args = get_origin(type_), get_args(type_)
    return args[0] if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2 else str


class Rewriter:
    """Rewrites types, each class once. `placeholders` are those that it made, `adapters` those of pydantic's types."""

    def __init__(self) -> None:
        self.placeholders: list[type[Placeholder]] = []
        self.adapters: dict[Any, Adapter] = {}
        self._classes: dict[Any, Any] = {}

    def rewrite(self, type_: Any) -> Any:
        """The type, as msgspec takes it."""
        origin = get_origin(type_)
        if (adapter := adapter_of(type_)) is not None:
            made = self._placeholder("Adapted")
            made.decode = staticmethod(adapter.decode)
            self.adapters[made] = adapter
        elif origin is Annotated:
            made = self._annotated(type_)
        elif isinstance(type_, typing.NewType):
            made = self.rewrite(type_.__supertype__)
        elif isinstance(type_, _ALIAS):
            made = self._alias(type_)
        elif origin in _UNIONS:
            made = self._united(map(self.rewrite, get_args(type_)))
        elif origin is Literal or isinstance(type_, enum.EnumMeta):
            made = self._choice(type_) if _refused(type_) else type_
        elif isinstance(origin or type_, type) and needs_rewriting(type_) and fields_of(type_) is not None:
            made = self._class(type_)
        else:
            made = self._container(type_, origin)
        return made

    def _annotated(self, type_: Any) -> Any:
        inner = type_.__origin__
        notes = [note for note in map(_meta, type_.__metadata__) if note is not None]
        if get_origin(inner) in _UNIONS and notes:
            parts, notes = _bounded([self.rewrite(part) for part in get_args(inner)], notes)
            made = self._united(parts)
        elif inner is dt.datetime and any(note.tz is False for note in notes):
            made = Annotated[inner, msgspec.Meta(extra_json_schema={"pattern": _LOCAL})]
        else:
            made = self.rewrite(inner)
        return Annotated[(made, *notes)] if notes else made

    def _alias(self, alias: Any) -> Any:
        if alias not in self._classes:
            # A recursive alias finds this placeholder for itself.
            self._classes[alias] = made = self._placeholder(alias.__name__)
            made.parts = (self.rewrite(alias.__value__),)
            made.describe = staticmethod(lambda schemas: schemas[0])
            made.decode = staticmethod(lambda value: _converted(value, made.parts[0]))
        return self._classes[alias]

    def _container(self, type_: Any, origin: Any) -> Any:
        args = get_args(type_)
        if origin is None or not args:
            return _FORMATS.get(type_, type_) if isinstance(type_, type) else type_
        key = _keys(type_)
        changed = tuple(arg if arg is ... or arg is key else self.rewrite(arg) for arg in args)
        made = type_ if changed == args else origin[changed]
        if key is not str and (words := _key_words(key)):
            made = Annotated[made, msgspec.Meta(extra_json_schema={"propertyNames": words})]
        return made

    def _united(self, parts: Iterable[Any]) -> Any:
        """The union of types that are rewritten already."""
        union, members = _flat(parts)
        if not _mistaken(members) and not _refused(union):
            return union
        alone = tuple(member for member in members if member is _NONE or member is msgspec.UnsetType)
        made = self._placeholder("Union")
        made.parts = tuple(member for member in members if member not in alone)
        made.describe = staticmethod(_any_of)
        made.decode = staticmethod(_first_fit(made.parts))
        return Union[(made, *alone)]

    def _choice(self, type_: Any) -> Any:
        """A Literal or an Enum with values that msgspec does not take. Those of no JSON kind go by their names."""
        values: list[Any] = list(type_) if isinstance(type_, enum.EnumMeta) else list(get_args(type_))
        written = [value.value if isinstance(value, enum.Enum) else value for value in values]
        if not all(isinstance(value, _SCALARS) for value in written):
            written = [value.name if isinstance(value, enum.Enum) else value for value in values]
        if not written or not all(isinstance(value, _SCALARS) for value in written):
            raise TypeError(f"{type_!r} has values that JSON cannot carry, or none")
        made = self._placeholder("Choice")
        made.describe = staticmethod(lambda _: {"enum": list(written)})
        made.decode = staticmethod(_one_of(list(zip(written, values, strict=True))))
        return made

    def _class(self, type_: Any) -> Any:
        if type_ not in self._classes:
            # Before its fields are looked at, so that a class which holds its own kind finds itself.
            self._classes[type_] = made = self._placeholder("Class")
            fields = fields_of(type_)
            assert fields is not None
            made.keys = _keys_of(fields)
            struct = self._struct(fields)
            made.parts = (struct,)
            made.describe = staticmethod(lambda schemas: schemas[0])
            made.decode = staticmethod(lambda value: _built(fields, _converted(value, struct)))
        return self._classes[type_]

    def _struct(self, fields: Fields) -> type[msgspec.Struct]:
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

    def _placeholder(self, name: str) -> Any:
        made = _Anything(name, (Placeholder,), {})
        self.placeholders.append(made)  # type: ignore[arg-type]  # it is a subclass
        return made


_SCALARS = (str, int, float, _NONE)


def _flat(parts: Iterable[Any]) -> tuple[Any, Sequence[Any]]:
    """The union of the parts, and its members: unions within it are taken apart."""
    union: Any = typing.cast(Any, Union)[tuple(parts)]
    return union, get_args(union) if get_origin(union) in _UNIONS else (union,)


def _bounded(parts: Sequence[Any], notes: Iterable[msgspec.Meta]) -> tuple[tuple[Any, ...], list[msgspec.Meta]]:
    """The parts of a union, each with the bounds that hold for its kind of value; and what is left of the notes."""
    _, parts = _flat(parts)
    kept: list[msgspec.Meta] = []
    for note in notes:
        rest = {name: said for name in _WORDS if (said := getattr(note, name)) is not None}
        kept += [msgspec.Meta(**rest)] if rest else []
        for name in (*_BOUNDS, "tz"):
            if (said := getattr(note, name)) is None:
                continue
            with_it = [Annotated[part, msgspec.Meta(**{name: said})] for part in parts]
            fitting = [not _refused(part) for part in with_it]
            if not any(fitting):
                raise TypeError(f"`{name}` bounds none of {', '.join(map(repr, parts))}")
            parts = [new if fits else part for new, fits, part in zip(with_it, fitting, parts, strict=True)]
    return tuple(parts), kept


_WORDS = ("title", "description", "examples", "extra_json_schema", "extra")


def _key_words(type_: Any) -> dict[str, Any]:
    """What a schema says of keys: they are text, whatever is read from them. Raises `TypeError` where nothing is."""
    bare = _inner(type_)
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
    elif not _refused(bare) and bare is not _NONE:
        schema = msgspec.json.schema(_FORMATS.get(bare, bare))
        if schema.pop("type", None) == "string":
            return schema
    raise TypeError(f"the keys of a JSON object are text, and {type_!r} is not read from text")


def _meta(note: Any) -> msgspec.Meta | None:
    """What an annotation says, as msgspec says it; `None` for one that says nothing about the values."""
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


def _converted(value: Any, type_: Any) -> Any:
    return msgspec.convert(value, type_, dec_hook=dec_hook, str_keys=True)


def _any_of(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": list(schemas)} if len(schemas) > 1 else schemas[0]


def _known_keys(type_: Any) -> frozenset[str] | None:
    """The names of a class's fields in JSON, if it is read from an object."""
    type_ = _inner(type_)
    if isinstance(type_, _Anything):
        return type_.keys  # type: ignore[attr-defined, no-any-return]  # every one of them has it
    fields = fields_of(type_) if isinstance(get_origin(type_) or type_, type) else None
    return None if fields is None else _keys_of(fields)


def _keys_of(fields: Fields) -> frozenset[str] | None:
    if fields.config.get("array_like"):
        return None
    tag = fields.config.get("tag_field")
    return frozenset(field.key for field in fields.fields) | ({tag} if tag else set())


def _first_fit(parts: Sequence[Any]) -> Callable[[Any], Any]:
    """Decodes as the first part that fits. One that would have to leave out something of an object comes later."""
    keys = [_known_keys(part) for part in parts]

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
                return _converted(value, part)
            except msgspec.ValidationError as exc:
                faults.append(str(exc))
        raise ValueError(f"fits none of the alternatives ({'; '.join(dict.fromkeys(faults))})")

    return decode


def _one_of(choices: Sequence[tuple[Any, Any]]) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        for written, meant in choices:
            if written == value and isinstance(written, bool) == isinstance(value, bool):
                return meant
        raise ValueError(f"Invalid value {value!r}, expected one of {[written for written, _ in choices]}")

    return decode


def _built(fields: Fields, struct: Any) -> Any:
    values = (getattr(struct, name) for name in struct.__struct_fields__)
    return fields.build(
        {field.name: value for field, value in zip(fields.fields, values, strict=True) if value is not msgspec.UNSET}
    )
