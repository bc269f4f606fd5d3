"""Strategies for tools: annotations, functions with parameters, JSON values that fit a schema or break one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import itertools
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Required, TypedDict, Union, get_args, get_origin

import attrs
import msgspec
from hypothesis import strategies as st

__all__ = [
    "Parameter",
    "broken",
    "fits",
    "function_of",
    "instances",
    "parameter_types",
    "parameters",
]

Draw = Callable[..., Any]
Inner = st.SearchStrategy[Any]


class Colour(enum.Enum):
    """A closed choice of texts."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """A closed choice of numbers."""

    LOW = 1
    HIGH = 10


class Mixed(enum.Enum):
    """A choice of values unknown to msgspec."""

    ONE = 1
    HALF = 0.5
    TEXT = "text"


class Corner(enum.Enum):
    """A choice of values that JSON cannot carry: the members go by name."""

    TOP = (0, 1)
    BOTTOM = (0, 0)


@attrs.define
class Node:
    """A class with children of the same class."""

    name: str
    children: list[Node] = attrs.Factory(list)


@dataclasses.dataclass
class Branch:
    """A class with parts of the same class in a union."""

    parts: list[Branch | Leaf]
    label: str | None = None


@dataclasses.dataclass
class Leaf:
    """The end of a branch."""

    size: int


@attrs.frozen
class AtLeast:
    """A bound in the manner of the annotated-types package."""

    ge: int


@attrs.frozen
class Sized:
    """Bounds of a length in the manner of the annotated-types package."""

    min_length: int
    max_length: int


class Parameter(NamedTuple):
    """A parameter of a generated tool; `default` is `...` for a parameter without a default."""

    name: str
    annotation: Any
    default: Any


_PLAIN: tuple[Any, ...] = (
    str,
    int,
    float,
    bool,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    decimal.Decimal,
    bytes,
    Colour,
    Level,
    Mixed,
    Corner,
    Literal["a", "b"],
    Literal[1, 2, "three"],
    Literal["on", True, None],  # noqa: PYI061 - the point of it
    typing.NewType("UserId", int),
)
_BOUNDED: tuple[Any, ...] = (
    Annotated[int, msgspec.Meta(ge=0, le=10)],
    Annotated[int, msgspec.Meta(gt=-5, lt=5, description="A small number")],
    Annotated[int, msgspec.Meta(multiple_of=3)],
    Annotated[float, msgspec.Meta(gt=0.5, le=2.5)],
    Annotated[str, msgspec.Meta(min_length=2, max_length=5)],
    Annotated[str, msgspec.Meta(pattern="^[a-f]{1,3}$")],
    Annotated[int, AtLeast(3)],
    Annotated[str, Sized(1, 3), "A short text"],
    Annotated[int | None, AtLeast(3)],
    Annotated[int | str, msgspec.Meta(ge=1), msgspec.Meta(min_length=1)],
    Annotated[dt.datetime, msgspec.Meta(tz=True)],
    Annotated[dt.datetime, msgspec.Meta(tz=False)],
)
_KEYS: tuple[Any, ...] = (str, int, dt.date, uuid.UUID, Literal["x", "y"], Colour, Level)
_HASHABLE: tuple[Any, ...] = (str, int, dt.date, Colour, Annotated[int, msgspec.Meta(ge=0, le=10)])
_NAMES = ("a", "b", "city", "first_name", "class_", "id", "données", "_private", "__x")
_LEAVES = _PLAIN + _BOUNDED
_KINDS = ("attrs", "dataclass", "typeddict", "namedtuple", "struct")


_YES = st.booleans()


@functools.cache
def _integers_below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def _draw_one(draw: Draw, choices: Sequence[Any]) -> Any:
    """Draw one of the choices. Strategies are costly to make, so one is cached for each number of choices."""
    return choices[draw(_integers_below(len(choices)))]


@functools.cache
def parameter_types(depth: int = 2) -> Inner:
    """Draw types for a tool's parameter, nested up to `depth`."""

    @st.composite
    def types_(draw: Draw) -> Any:
        if not depth or draw(_YES):
            return _draw_one(draw, _LEAVES)
        return _draw_one(draw, _MAKERS)(draw, parameter_types(depth - 1))

    return types_()


def _draw_tuple_type(draw: Draw, inner: Inner) -> Any:
    return tuple.__class_getitem__((draw(inner), ... if draw(_YES) else draw(inner)))


def _draw_union(draw: Draw, inner: Inner) -> Any:
    members = [None if draw(_integers_below(4)) == 0 else draw(inner) for _ in range(2 + draw(_YES))]
    return functools.reduce(lambda one, other: typing.Union[one, other], members)  # noqa: UP007


_FIELDS = st.lists(st.sampled_from(("x", "y", "label", "kind")), min_size=1, max_size=3, unique=True)
_NUMBERS = itertools.count(1)
"""Each class gets a number: a schema cannot tell apart two classes of one name."""


def _draw_class(draw: Draw, inner: Inner) -> Any:
    kind, name = _draw_one(draw, _KINDS), f"Made{next(_NUMBERS)}"
    names = draw(_FIELDS)
    fields = [(field, draw(inner), draw(_YES)) for field in names]
    # Optional fields come last, as in a signature.
    fields.sort(key=lambda field: field[2])
    match kind:
        case "attrs":
            late = {field: attrs.field(type=type_, default=None) for field, type_, late in fields if late}
            return attrs.make_class(name, {field: attrs.field(type=type_) for field, type_, _ in fields} | late)
        case "dataclass":
            return dataclasses.make_dataclass(
                name,
                [
                    (field, type_, dataclasses.field(default=None)) if late else (field, type_)
                    for field, type_, late in fields
                ],
            )
        case "typeddict":
            hints = {field: NotRequired[type_] if late else Required[type_] for field, type_, late in fields}
            return TypedDict(name, hints)  # type: ignore[operator]
        case "namedtuple":
            return NamedTuple(name, [(field, type_) for field, type_, _ in fields])
        case _:
            return msgspec.defstruct(
                name,
                [(field, type_, None) if late else (field, type_) for field, type_, late in fields],
                forbid_unknown_fields=draw(_YES),
                rename=_draw_one(draw, (None, "upper")),
            )


_MAKERS: tuple[Callable[[Draw, Inner], Any], ...] = (
    lambda draw, inner: list.__class_getitem__(draw(inner)),
    lambda draw, inner: Sequence[draw(inner)],  # type: ignore[misc]  # made at run time
    lambda draw, inner: Annotated[list.__class_getitem__(draw(inner)), msgspec.Meta(min_length=1, max_length=3)],
    lambda draw, inner: _draw_one(draw, (set, frozenset))[_draw_one(draw, _HASHABLE)],
    lambda draw, inner: _draw_one(draw, (dict, Mapping))[_draw_one(draw, _KEYS), draw(inner)],
    lambda draw, inner: _draw_one(draw, (Node, Branch)),
    _draw_tuple_type,
    _draw_union,
    _draw_union,
    _draw_class,
    _draw_class,
    _draw_class,
)


_SOME_NAMES = st.lists(st.sampled_from(_NAMES), max_size=3, unique=True)


@st.composite
def parameters(draw: Draw) -> list[Parameter]:
    """Draw the parameters of a tool."""
    names = draw(_SOME_NAMES)
    made = [Parameter(name, draw(parameter_types()), _draw_one(draw, (..., ..., None, 0, "x"))) for name in names]
    return sorted(made, key=lambda parameter: parameter.default is not ...)


def function_of(made: Sequence[Parameter]) -> Callable[..., dict[str, Any]]:
    """Make a function with these parameters. The function returns the arguments."""
    written = ", ".join(each.name if each.default is ... else f"{each.name}=None" for each in made)
    given = ", ".join(f"{each.name!r}: {each.name}" for each in made)
    namespace: dict[str, Any] = {}
    exec(f"def made({written}):\n    return {{{given}}}", namespace)
    function: Any = namespace["made"]
    function.__annotations__ = {each.name: each.annotation for each in made}
    function.__defaults__ = tuple(each.default for each in made if each.default is not ...)
    return typing.cast(Callable[..., dict[str, Any]], function)


# JSON values that fit a schema

_TEXTS = ("", "a", "ab", "zz zz", "ÄÖ", "null", "😀")
_FORMATS: dict[str, tuple[str, ...]] = {
    "date-time": ("2024-02-29T23:59:59Z", "1999-12-31T00:00:00.125+05:30"),
    "date": ("2024-02-29", "0001-01-01"),
    "time": ("00:00:00Z", "23:59:59.5+01:00"),
    "duration": ("P1D", "PT1H30M", "P2DT3S"),
    "uuid": ("9f6c2c4e-3a51-4f0e-8a67-5d1c0e7b2a90",),
    "decimal": ("1.50", "-3", "0"),
    "base64": ("", "aGVsbG8="),
}
_PATTERNS = {
    "^[a-f]{1,3}$": ("a", "fed"),
    "^(0|-?[1-9][0-9]*)$": ("0", "-7", "120"),
}


def instances(draw: Draw, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 6) -> Any:
    """Draw a JSON value that the schema allows."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        choices = schema["anyOf"] if depth > 0 else [min(schema["anyOf"], key=lambda each: "$ref" in each)]
        made = instances(draw, _draw_one(draw, choices), definitions, depth - 1)
    elif "enum" in schema:
        made = _draw_one(draw, schema["enum"])
    elif schema.get("type") == "array":
        made = _draw_array(draw, schema, definitions, depth)
    elif schema.get("type") == "object":
        made = _draw_object(draw, schema, definitions, depth)
    else:
        made = _SCALARS[schema["type"]](draw, schema) if schema else _draw_one(draw, _ANYTHING)
    return made


def _draw_text(draw: Draw, schema: Mapping[str, Any]) -> str:
    name = schema.get("format", schema.get("contentEncoding"))
    if name is not None:
        choices = _FORMATS[name]
    elif "pattern" in schema:
        choices = _PATTERNS.get(schema["pattern"], ("2024-02-29T23:59:59", "1999-12-31 00:00:00.125"))
    else:
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10)
        choices = tuple(text for text in (*_TEXTS, "x" * least, "x" * most) if least <= len(text) <= most)
    return str(_draw_one(draw, choices))


def _draw_integer(draw: Draw, schema: Mapping[str, Any]) -> float:
    step = schema.get("multipleOf", 1)
    least = max(schema.get("minimum", -(10**20)), schema.get("exclusiveMinimum", -(10**20) - 1) + 1)
    most = min(schema.get("maximum", 10**20), schema.get("exclusiveMaximum", 10**20 + 1) - 1)
    number = draw(st.integers(-(-least // step), most // step)) * step
    # JSON Schema counts 2.0 as an integer, and some models write integers so.
    return float(number) if abs(number) < 2**53 and draw(_integers_below(10)) == 0 else number


def _draw_number(draw: Draw, schema: Mapping[str, Any]) -> float:
    least = max(schema.get("minimum", -1e9), schema.get("exclusiveMinimum", -1e9))
    most = min(schema.get("maximum", 1e9), schema.get("exclusiveMaximum", 1e9))
    bounds = st.floats(least, most, exclude_min="exclusiveMinimum" in schema, exclude_max="exclusiveMaximum" in schema)
    return float(draw(bounds))


_SCALARS: dict[str, Callable[[Draw, Mapping[str, Any]], Any]] = {
    "string": _draw_text,
    "integer": _draw_integer,
    "number": _draw_number,
    "boolean": lambda draw, schema: draw(_YES),
    "null": lambda draw, schema: None,
}


def _draw_array(draw: Draw, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> list[Any]:
    first = schema.get("prefixItems", ())
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", max(least, 2 if depth > 0 else 0))
    size = draw(st.integers(least, most))
    items = [*first, *[schema.get("items") or {}] * (size - len(first))][:size]
    return [instances(draw, item, definitions, depth - 1) for item in items]


def _draw_object(draw: Draw, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    made = {
        name: instances(draw, inner, definitions, depth - 1)
        for name, inner in schema.get("properties", {}).items()
        if name in required or (depth > 0 and draw(_YES))
    }
    rest = schema.get("additionalProperties", True)
    if isinstance(rest, Mapping) and depth > 0:
        names = {"type": "string", **schema.get("propertyNames", {})}
        for _ in range(draw(_integers_below(3))):
            made[instances(draw, names, definitions, 0)] = instances(draw, rest, definitions, depth - 1)
    elif rest is True and draw(_integers_below(10)) == 0:
        made["more"] = _draw_one(draw, _ANYTHING)
    return made


# JSON values that break a schema

_ANYTHING: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    10**6,
    0.25,
    3.0,
    "",
    "zz zz",
    "abcdefghijkl",
    [],
    ["zz"],
    {},
    {"zz": 1},
)


def broken(draw: Draw, value: Any) -> Any:
    """Change one thing in the value. The schema forbids nearly all such changes."""
    if isinstance(value, dict) and value and draw(_integers_below(4)):
        key = _draw_one(draw, sorted(value))
        return {**value, key: broken(draw, value[key])}
    if isinstance(value, list) and value and draw(_integers_below(4)):
        at = draw(_integers_below(len(value)))
        return [*value[:at], broken(draw, value[at]), *value[at + 1 :]]
    return _draw_one(draw, _list_changes(value, _draw_one(draw, _ANYTHING)))


def _list_changes(value: Any, anything: Any) -> list[Any]:
    made = [anything]
    if isinstance(value, dict):
        made.append({**value, "nowhere": anything})
        made += [{key: part for key, part in value.items() if key != gone} for gone in value]
    elif isinstance(value, list):
        made += [[*value, anything], value[:-1]]
    return made


# Values that were decoded


def fits(value: Any, annotation: Any) -> bool:
    """Return True if a Python value is of the annotation. Bounds are not checked."""
    while get_origin(annotation) in (Annotated, Required, NotRequired) or isinstance(annotation, typing.NewType):
        annotation = get_args(annotation)[0] if get_args(annotation) else annotation.__supertype__
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in args)
    if origin is Literal:
        return any(type(each) is type(value) and each == value for each in args)
    if origin is not None:
        return isinstance(value, origin) and _items_fit(value, origin, args)
    if typing.is_typeddict(annotation):
        return type(value) is dict and _fields_fit(value.get, annotation)
    if annotation is None or not _has_fields(annotation):
        return type(value) is (annotation or types.NoneType)
    return type(value) is annotation and _fields_fit(functools.partial(getattr, value), annotation)


def _items_fit(value: Any, origin: Any, args: tuple[Any, ...]) -> bool:
    if issubclass(origin, Mapping):
        return all(fits(key, args[0]) and fits(each, args[1]) for key, each in value.items())
    if origin is tuple and args[-1] is not ...:
        return len(value) == len(args) and all(map(fits, value, args))
    return all(fits(each, args[0]) for each in value)


def _fields_fit(get: Callable[[str], Any], class_: Any) -> bool:
    """Return True if each field fits its hint; `None` may also be a default."""
    hints = typing.get_type_hints(class_, include_extras=True)
    return all(get(name) is None or fits(get(name), hint) for name, hint in hints.items())


def _has_fields(type_: Any) -> bool:
    return attrs.has(type_) or dataclasses.is_dataclass(type_) or issubclass(type_, tuple | msgspec.Struct)
