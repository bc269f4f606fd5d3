"""JSON Schemas and decoders of types: types for msgspec as such, and rewritten ones."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import gc
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from agno_rt._schema.describe import convert, describe, type_decoder, type_schema
from agno_rt.errors import ToolDefinitionError
from tests.strategies import Parameter, function_of

T = TypeVar("T")
K = TypeVar("K")
UserId = NewType("UserId", Annotated[int, msgspec.Meta(ge=1)])


@attrs.frozen
class Ge:
    """A bound in the form of annotated-types."""

    ge: int


@attrs.frozen
class Len:
    """Bounds of a length in the form of annotated-types."""

    min_length: int
    max_length: int | None = None


@attrs.frozen
class Doc:
    """A description in the form of typing_extensions."""

    documentation: str


class Mixed(enum.Enum):
    """An enum with values of several types."""

    ONE = 1
    TEXT = "text"
    HALF = 0.5


class Corner(enum.Enum):
    """An enum with values outside of JSON."""

    TOP = (0, 1)
    LOW = (0, 0)


@attrs.define
class Base(Generic[T]):
    """A generic class."""

    value: T


@attrs.define
class Child(Base[int | Mixed]):
    """A subclass with an argument for the type variable."""

    name: str = ""


@attrs.define
class Two(Generic[T, K]):
    """A generic class with two variables, one of them in a nested class."""

    first: list[T]
    second: Base[K]


@attrs.define
class Converted:
    """A class with a converter and other options of attrs."""

    tags: frozenset[str] = attrs.field(converter=frozenset)
    _secret: int = 0
    count: int = attrs.field(init=False, default=7)
    other: str = attrs.field(default="", alias="another")


@dataclasses.dataclass
class Late:
    """A class with a computed field and an init-only field."""

    width: int
    scale: dataclasses.InitVar[int]
    area: int = dataclasses.field(init=False)

    def __post_init__(self, scale: int) -> None:
        self.area = self.width * scale


class Options(TypedDict):
    """Optional keys, and a rewritten type."""

    corner: Corner
    when: NotRequired[dt.datetime]


class Pair(NamedTuple):
    """An array with a rewritten type."""

    corner: Corner
    size: int = 1


class Tagged(msgspec.Struct, tag="tagged", rename="camel", forbid_unknown_fields=True):
    """A Struct with many options, and a rewritten type."""

    my_corner: Corner
    my_number: Annotated[int, Ge(3)] = 5


class Rows(msgspec.Struct, array_like=True):
    """A Struct in the form of an array."""

    corner: Corner
    count: int = 2


@attrs.define
class Tree:
    """A recursive class, by a union."""

    parts: list[Tree | Leaf]


@attrs.define
class Leaf:
    """The end of a tree."""

    name: str


def schema_of(type_: Any) -> dict[str, Any]:
    """Return the schema of a type."""
    return type_schema(type_, what="it")


def read_json(type_: Any, text: str) -> Any:
    """Read a value of the type from JSON."""
    return type_decoder(type_)(text)


class TestConstraints:
    """Constraints in annotations."""

    @pytest.mark.parametrize(
        ("type_", "schema", "fits", "fault"),
        [
            (Annotated[int, Ge(3)], {"type": "integer", "minimum": 3}, "3", ("2", ">= 3")),
            (Annotated[str, Len(2)], {"type": "string", "minLength": 2}, '"ab"', ('"a"', "at least 2")),
            (
                Annotated[list[int], Len(1, 2)],
                {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
                "[1]",
                ("[]", "at least 1"),
            ),
            (
                Annotated[int | None, Ge(3)],
                {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
                "null",
                ("2", ">= 3"),
            ),
            (
                Annotated[int | str, msgspec.Meta(ge=1), msgspec.Meta(min_length=2), msgspec.Meta(description="x")],
                {
                    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "minLength": 2}],
                    "description": "x",
                },
                '"ab"',
                ("0", ">= 1"),
            ),
            (UserId, {"type": "integer", "minimum": 1}, "1", ("0", ">= 1")),
            (
                list[Annotated[int, Ge(3)]],
                {"type": "array", "items": {"type": "integer", "minimum": 3}},
                "[3]",
                ("[2]", "[0]"),
            ),
        ],
    )
    def test_is_described_and_held(self, type_: Any, schema: Any, fits: str, fault: tuple[str, str]) -> None:
        """A bound is in the schema, and a value beyond the bound is refused."""
        assert schema_of(type_) == schema
        read_json(type_, fits)
        with pytest.raises(msgspec.ValidationError, match=re.escape(fault[1])):
            read_json(type_, fault[0])

    @pytest.mark.parametrize("type_", [Annotated[int, "How many."], Annotated[int, Doc("How many.")]])
    def test_a_description(self, type_: Any) -> None:
        """A text in an annotation is the description."""
        assert schema_of(type_) == {"type": "integer", "description": "How many."}

    @pytest.mark.parametrize("note", [object(), int, len, None, 5, Ge])
    def test_a_note_that_says_nothing(self, note: Any) -> None:
        """Other objects in an annotation are ignored."""
        assert schema_of(Annotated[int | Corner, note]) == schema_of(int | Corner)

    def test_a_bound_of_nothing(self) -> None:
        """A bound that fits no alternative raises an error."""
        with pytest.raises(ToolDefinitionError, match="`min_length` bounds none of"):
            schema_of(Annotated[int | None, Len(2)])


class Size(enum.IntEnum):
    """An enum with a single number."""

    SMALL = 1


class TestUnions:
    """Unions that msgspec refuses or reads wrongly."""

    @pytest.mark.parametrize(
        ("type_", "values"),
        [
            (list[int] | list[str], {"[1]": [1], '["a"]': ["a"]}),
            (dt.date | str, {'"2024-01-31"': dt.date(2024, 1, 31), '"x"': "x"}),
            (Leaf | Tree, {'{"name": "x"}': Leaf("x"), '{"parts": []}': Tree([])}),
            (Literal[1] | Annotated[int, Ge(3)], {"1": 1, "4": 4}),
            (Literal["a"] | Annotated[str, msgspec.Meta(pattern="^b")], {'"a"': "a", '"bc"': "bc"}),
            (Annotated[int, Ge(3)] | float, {"4": 4, "1": 1.0}),
            (Annotated[int, Ge(9)] | Annotated[int, msgspec.Meta(le=1)], {"9": 9, "0": 0}),
            (
                decimal.Decimal | Size,
                {"1": decimal.Decimal(1), "2": decimal.Decimal(2), '"0.5"': decimal.Decimal("0.5")},
            ),
            (Size | decimal.Decimal, {"1": Size.SMALL, "2": decimal.Decimal(2)}),
            (tuple[int, str] | Annotated[int, Ge(3)], {'[1, "a"]': (1, "a"), "3": 3}),
            (tuple[int, str] | UserId | None, {'[1, "a"]': (1, "a"), "1": 1, "null": None}),
            (
                Annotated[dt.datetime, msgspec.Meta(tz=True)] | Annotated[dt.datetime, msgspec.Meta(tz=False)],
                {
                    '"2024-01-31T00:00:00Z"': dt.datetime(2024, 1, 31, tzinfo=dt.UTC),
                    '"2024-01-31T00:00:00"': dt.datetime(2024, 1, 31),
                },
            ),
        ],
    )
    def test_each_alternative_is_read(self, type_: Any, values: dict[str, Any]) -> None:
        """A value of one alternative is read, whatever the bounds of the others."""
        for text, value in values.items():
            assert read_json(type_, text) == value
            assert type(read_json(type_, text)) is type(value)
        with pytest.raises(msgspec.ValidationError):
            read_json(type_, "false")

    def test_a_tuple_beside_a_bound_does_not_kill_the_process(self) -> None:
        """msgspec 0.22 reads beyond the end of a buffer for such a union, so the kernel never passes one to msgspec."""
        union: Any = tuple[int, str] | Annotated[int, msgspec.Meta(ge=0, le=10)]
        wrapped = attrs.make_class("Wrapped", {"value": attrs.field(type=union)})
        for at in range(300):
            for type_ in (union, wrapped, list[union | None]):
                describe(_make_function(type_), f"tool{at}")
        gc.collect()

        assert read_json(wrapped, '{"value": 3}').value == 3

    def test_places_within_alternatives(self) -> None:
        """A fault found by the class has a single place, from the outermost to the innermost."""

        @attrs.define
        class Strict:
            day: dt.date = attrs.field(validator=attrs.validators.ge(dt.date(2000, 1, 1)))

        with pytest.raises(msgspec.ValidationError, match=r"day.* must be >= .*`\$\.parts\[1\]`") as caught:
            read_json(
                attrs.make_class("Holder", {"parts": attrs.field(type=list[Annotated[Strict | Corner, "x"]])}),
                '{"parts": ["TOP", {"day": "1999-01-01"}]}',
            )
        assert str(caught.value).count("- at `") == 1


class TestChoices:
    """Enums and Literals."""

    @pytest.mark.parametrize(
        ("type_", "choices", "text", "value"),
        [
            (Mixed, [1, "text", 0.5], "0.5", Mixed.HALF),
            (Mixed, [1, "text", 0.5], "1.0", Mixed.ONE),
            (Corner, ["TOP", "LOW"], '"LOW"', Corner.LOW),
            (Literal[Corner.TOP], ["TOP"], '"TOP"', Corner.TOP),
        ],
    )
    def test_what_msgspec_refuses(self, type_: Any, choices: list[Any], text: str, value: Any) -> None:
        """JSON values are written as such, other values by their names."""
        assert schema_of(type_)["enum"] == choices
        assert read_json(type_, text) is value
        with pytest.raises(msgspec.ValidationError, match=r"^Invalid value true, expected one of"):
            read_json(type_, "true")

    @pytest.mark.parametrize(
        ("type_", "schema"),
        [
            (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
            (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
            (Literal[True], {"type": "boolean", "enum": [True]}),
            (Literal["a"] | None, {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}),
            (enum.Enum("Speed", {"FAST": "fast"}), {"type": "string", "enum": ["fast"]}),
            (enum.Enum("Part", {"HALF": 0.5, "ONE": 1}), {"type": "number", "enum": [0.5, 1]}),
        ],
    )
    def test_choices_have_a_type(self, type_: Any, schema: dict[str, Any]) -> None:
        """Choices have a `type`, because some providers require the keyword."""
        assert schema_of(type_) == schema

    def test_nothing_to_choose_from(self) -> None:
        """Enums without members, and literals outside of JSON, are refused."""
        for type_ in (enum.Enum("Empty", []), Literal[b"x"]):
            with pytest.raises(ToolDefinitionError, match="cannot be described"):
                schema_of(type_)


class TestPlainTypes:
    """Types without a JSON type."""

    def test_times_say_their_format(self) -> None:
        """Dates and times have a `format`, so that a model writes them right the first time."""
        assert schema_of(dt.datetime) == {"type": "string", "format": "date-time"}
        assert schema_of(list[dt.time]) == {"type": "array", "items": {"type": "string", "format": "time"}}
        assert "pattern" in schema_of(Annotated[dt.datetime, msgspec.Meta(tz=False)])

    def test_a_decimal_is_a_number_or_a_text(self) -> None:
        """A decimal is read from numbers and texts, with each digit."""
        assert schema_of(Annotated[decimal.Decimal, "A price."]) == {
            "anyOf": [{"type": "number"}, {"type": "string", "format": "decimal"}],
            "description": "A price.",
        }
        assert read_json(decimal.Decimal, "1.10") == read_json(decimal.Decimal, '"1.10"') == decimal.Decimal("1.10")

    @pytest.mark.parametrize(("text", "value"), [("2.0", 2), ("1e3", 1000), ("-0.0", 0)])
    def test_an_integer_with_a_fraction_of_nothing(self, text: str, value: int) -> None:
        """`2.0` is an integer, as in JSON Schema, at any depth; `2.5` is not."""
        assert read_json(int, text) == value
        assert type(read_json(int, text)) is int
        assert read_json(list[dict[str, int | Corner]], f'[{{"a": {text}}}]') == [{"a": value}]
        with pytest.raises(msgspec.ValidationError, match="Expected `int`, got `float`"):
            read_json(int, "2.5")

    def test_large_numbers_are_kept(self) -> None:
        """Large integers keep each digit, even beside a whole float."""
        assert read_json(list[int], "[123456789012345678901, 2.0]") == [123456789012345678901, 2]

    @pytest.mark.parametrize(
        ("key", "words", "good", "bad"),
        [
            (int, {"pattern": "^(0|-?[1-9][0-9]*)$"}, "-5", "x"),
            (dt.date, {"format": "date"}, "2024-01-31", "x"),
            (uuid.UUID, {"format": "uuid"}, "9f6c2c4e-3a51-4f0e-8a67-5d1c0e7b2a90", "x"),
            (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "c"),
            (UserId, {"pattern": "^(0|-?[1-9][0-9]*)$"}, "5", "5x"),
            (Annotated[str, msgspec.Meta(min_length=2)], {"minLength": 2}, "ab", "a"),
        ],
    )
    def test_keys_that_are_not_any_text(self, key: Any, words: dict[str, Any], good: str, bad: str) -> None:
        """A schema describes the types of keys, and keys are checked."""
        for type_ in (dict[key, bool], Mapping[key, bool]):
            assert schema_of(type_) == {
                "type": "object",
                "additionalProperties": {"type": "boolean"},
                "propertyNames": words,
            }
            assert len(read_json(type_, json.dumps({good: True}))) == 1
            with pytest.raises(msgspec.ValidationError, match=f'Key "{bad}" does not fit'):
                read_json(type_, json.dumps({bad: True}))

    @pytest.mark.parametrize("key", [bool, None, tuple[int, int], Corner, Leaf])
    def test_keys_that_are_never_text(self, key: Any) -> None:
        """A dict with keys that cannot be read from text is refused."""
        with pytest.raises(ToolDefinitionError, match="keys of a JSON object are text"):
            schema_of(dict[key, int])

    @pytest.mark.parametrize("type_", [complex, object, type, re.Pattern, Sequence[range]])
    def test_what_json_cannot_carry(self, type_: Any) -> None:
        """The error names the type in one line, and has a hint."""
        with pytest.raises(ToolDefinitionError, match="JSON cannot carry") as caught:
            schema_of(type_)

        assert "\n" not in caught.value.message
        assert caught.value.hint


class TestClasses:
    """Classes that are read through a Struct with the same fields."""

    def test_generic_in_what_a_subclass_says(self) -> None:
        """A type variable of a base class has the subclass's argument."""
        assert schema_of(Child)["properties"]["value"] == {"anyOf": [{"type": "integer"}, {"enum": [1, "text", 0.5]}]}
        assert read_json(Child, '{"value": "text", "name": "x"}') == Child(Mixed.TEXT, "x")
        with pytest.raises(msgspec.ValidationError, match=r"`\$\.value`"):
            read_json(Child, '{"value": "other"}')

    def test_generic_in_two(self) -> None:
        """Arguments reach their fields, and the classes within."""
        type_ = Two[Corner, Annotated[int, Ge(3)]]

        assert read_json(type_, '{"first": ["TOP"], "second": {"value": 3}}') == Two([Corner.TOP], Base(3))
        with pytest.raises(msgspec.ValidationError, match=r">= 3.*`\$\.second\.value`"):
            read_json(type_, '{"first": ["TOP"], "second": {"value": 2}}')

    def test_one_generic_class_with_several_arguments(self) -> None:
        """A generic class with several arguments has a definition for each."""
        schema = schema_of(tuple[Base[Corner], Base[Mixed]])

        assert len(schema["$defs"]) == 2
        assert read_json(tuple[Base[Corner], Base[Mixed]], '[{"value": "TOP"}, {"value": 1}]') == (
            Base(Corner.TOP),
            Base(Mixed.ONE),
        )

    def test_an_attrs_class_makes_itself(self) -> None:
        """Converters run, private fields keep their names, and fields outside of `__init__` are left out."""
        assert schema_of(Converted)["properties"].keys() == {"tags", "_secret", "other"}

        made = read_json(Converted, '{"tags": ["a", "a"], "_secret": 3, "other": "x"}')
        assert (made.tags, made._secret, made.count, made.other) == (frozenset("a"), 3, 7, "x")

    def test_a_data_class_makes_itself(self) -> None:
        """Init-only fields are in the schema, and computed fields are not."""
        assert schema_of(Late)["required"] == ["width", "scale"]
        assert read_json(Late, '{"width": 3, "scale": 4}').area == 12

    def test_a_typed_dict(self) -> None:
        """Keys marked as `NotRequired` are optional, although the annotations are texts."""
        assert schema_of(Options)["required"] == ["corner"]
        assert read_json(Options, '{"corner": "TOP"}') == {"corner": Corner.TOP}
        with pytest.raises(msgspec.ValidationError, match="required field `corner`"):
            read_json(Options, "{}")

    def test_a_named_tuple(self) -> None:
        """A named tuple is an array of bounded length; items with defaults are optional."""
        assert read_json(Pair, '["TOP"]') == Pair(Corner.TOP)
        for text, fault in (("[]", "at least 1"), ('["TOP", 1, 2]', "at most 2")):
            with pytest.raises(msgspec.ValidationError, match=fault):
                read_json(Pair, text)

    def test_a_struct(self) -> None:
        """A Struct keeps its names, tag, defaults and strictness."""
        schema = schema_of(Tagged)
        assert schema["properties"].keys() == {"type", "myCorner", "myNumber"}
        assert schema["properties"]["myNumber"] == {"type": "integer", "minimum": 3, "default": 5}
        assert schema["additionalProperties"] is False

        assert read_json(Tagged, '{"type": "tagged", "myCorner": "LOW"}') == Tagged(Corner.LOW)
        for text in ('{"type": "x", "myCorner": "LOW"}', '{"type": "tagged", "myCorner": "LOW", "more": 1}'):
            with pytest.raises(msgspec.ValidationError):
                read_json(Tagged, text)

    def test_a_struct_that_is_an_array(self) -> None:
        """An array-like Struct stays an array."""
        assert read_json(Rows, '["TOP", 3]') == Rows(Corner.TOP, 3)

    def test_descriptions_and_defaults(self) -> None:
        """A rewritten class has the same schema as an ordinary class."""

        @attrs.define
        class Plain:
            """A thing."""

            number: int = 3
            names: list[str] = attrs.Factory(list)
            code: decimal.Decimal = decimal.Decimal("1.5")

        @attrs.define
        class Rewritten:
            """A thing."""

            number: int = 3
            names: list[str] = attrs.Factory(list)
            code: decimal.Decimal = decimal.Decimal("1.5")
            corner: Corner = Corner.TOP

        rewritten = schema_of(Rewritten)
        del rewritten["properties"]["corner"]
        assert rewritten == schema_of(Plain)

    def test_holding_its_own_kind(self) -> None:
        """A class may contain itself in a union."""
        assert read_json(Tree, '{"parts": [{"name": "x"}, {"parts": []}]}') == Tree([Leaf("x"), Tree([])])
        with pytest.raises(msgspec.ValidationError, match=r"`\$\.parts\[0\]\.parts\[0\]`"):
            read_json(Tree, '{"parts": [{"parts": [5]}]}')

    def test_two_of_one_name(self) -> None:
        """Two classes of one name in a schema are refused, with the name."""
        first, second = (attrs.make_class("Same", {"x": attrs.field(type=type_)}) for type_ in (int, str))
        with pytest.raises(ToolDefinitionError, match=r"two classes called .*Same") as caught:
            schema_of(tuple.__class_getitem__((first, second)))

        assert "Rename one" in caught.value.hint

    def test_a_union_of_tagged_structs_needs_no_more_words(self) -> None:
        """Keywords unknown to some services are left out."""

        class Cat(msgspec.Struct, tag=True):
            lives: int

        class Dog(msgspec.Struct, tag=True):
            tricks: set[str]

        text = json.dumps(schema_of(list[Cat | Dog]))
        assert "discriminator" not in text
        assert "uniqueItems" not in text


def _make_function(type_: Any, default: Any = ...) -> Any:
    def function(value: Any = default) -> Any:
        """Return the value."""
        return value

    function.__annotations__ = {"value": type_}
    function.__defaults__ = None if default is ... else (default,)
    return function


class TestDescribe:
    """A function's parameters."""

    @pytest.mark.parametrize(
        ("type_", "default", "noted"),
        [
            (int, 3, 3),
            (int | None, None, None),
            (Corner | None, None, None),
            (Mixed, Mixed.HALF, 0.5),
            (list[Leaf], [Leaf("x")], [{"name": "x"}]),
            (dt.date, dt.date(2024, 1, 31), "2024-01-31"),
        ],
    )
    def test_a_default_is_noted(self, type_: Any, default: Any, noted: Any) -> None:
        """The schema has the default for the model; the function's own default applies."""
        described = describe(_make_function(type_, default), "take")

        assert described.schema["properties"]["value"]["default"] == noted
        assert described.schema["required"] == []
        assert described.decode("{}") == {}

    @pytest.mark.parametrize(("type_", "default"), [(int, None), (Corner, Corner.TOP), (str, object()), (int, "x")])
    def test_a_default_that_does_not_fit_is_not_noted(self, type_: Any, default: Any) -> None:
        """A default outside of the type is left out of the schema, since the decoder would refuse the value."""
        described = describe(_make_function(type_, default), "take")

        assert "default" not in described.schema["properties"]["value"]
        assert described.decode("{}") == {}

    def test_hidden_parameters(self) -> None:
        """A hidden parameter is neither in the schema nor an argument."""

        def function(context: complex, word: str) -> None: ...

        described = describe(function, "f", hidden={"context"})
        assert described.schema["properties"].keys() == {"word"}
        assert described.decode('{"word": "x"}') == {"word": "x"}
        with pytest.raises(msgspec.ValidationError, match="unknown field `context`"):
            described.decode('{"word": "x", "context": 1}')

    def test_what_is_said_of_them(self) -> None:
        """Other descriptions apply where the annotation has none, beside a reference too."""

        def function(word: str, leaf: Leaf, count: Annotated[int, "How many."] = 1) -> None: ...

        described = describe(function, "f", said={"word": "A word.", "leaf": "A leaf.", "count": "Not this.", "x": ""})
        assert described.schema["properties"] == {
            "word": {"type": "string", "description": "A word."},
            "leaf": {"anyOf": [{"$ref": "#/$defs/Leaf"}], "description": "A leaf."},
            "count": {"type": "integer", "description": "How many.", "default": 1},
        }

    def test_any_name_will_do(self) -> None:
        """A parameter may have a name that a Struct's field may not have."""

        names = ["__x", "__init__", "p0", "f0", "class_", "données"]
        described = describe(function_of([Parameter(name, int, ...) for name in names]), "f")
        assert described.schema["required"] == names
        assert described.decode(json.dumps(dict.fromkeys(names, 1))) == dict.fromkeys(names, 1)

    def test_a_plain_function_is_one_decode(self) -> None:
        """The arguments of a plain function are read by msgspec alone: no hook, no conversion."""

        def function(city: str, days: int = 1, tags: list[str] | None = None, where: Leaf | None = None) -> None: ...

        described = describe(function, "f")
        assert described.decode('{"city": "x", "tags": ["a"], "where": {"name": "y"}}') == {
            "city": "x",
            "tags": ["a"],
            "where": Leaf("y"),
        }

    def test_what_is_nested_too_deeply(self) -> None:
        """Endlessly nested arguments are refused with an error."""
        decode = describe(_make_function(Any), "f").decode
        with pytest.raises(msgspec.DecodeError, match="nested too deeply"):
            decode('{"value": ' + "[" * 100_000)

    @pytest.mark.parametrize("text", ["", "{", "nonsense", '{"value": "\ud800"}'])
    def test_no_json(self, text: str) -> None:
        """Malformed JSON raises another error than a misfit."""
        with pytest.raises(msgspec.DecodeError) as caught:
            describe(_make_function(Any), "f").decode(text)

        assert not isinstance(caught.value, msgspec.ValidationError)


class TestConvert:
    """Conversion of values already read from JSON."""

    def test_reads_as_the_decoder_does(self) -> None:
        """`convert` reads rewritten types, text keys and whole floats like the decoder."""
        assert convert({"parts": [{"name": "x"}]}, Tree) == Tree([Leaf("x")])
        assert convert({"2024-01-31": 2.0}, dict[dt.date, int]) == {dt.date(2024, 1, 31): 2}

    def test_names_every_fault(self) -> None:
        """The error has every fault."""
        with pytest.raises(msgspec.ValidationError, match=r"`\$\.a`; .*`\$\.b`"):
            convert({"a": "x", "b": "y"}, dict[str, int])

    def test_a_type_that_cannot_be_hashed(self) -> None:
        """A type without a hash is converted too, but not cached."""
        assert convert(3, Annotated[int, [1, 2], Ge(3)]) == 3


def test_a_schema_of_its_own_in_a_note() -> None:
    """A note may bring a whole schema with definitions, which lead nowhere else and stay as they are."""
    city = {"type": "string", "description": "A city's name"}
    own = {"properties": {"city": {"$ref": "#/$defs/City"}}, "required": ["city"], "$defs": {"City": city}}
    type_ = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=own)]

    assert type_schema(type_, what="it") == {"type": "object", **own}
    assert type_decoder(type_)('{"city": "Seoul"}') == {"city": "Seoul"}
