"""Tools are described once, when decorated. A function that cannot be described fails at decoration."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import keyword
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt._schema.describe import type_schema
from agno_rt.errors import ToolDefinitionError
from agno_rt.tools import Tool, ToolArgumentError, Toolkit, tool


@tool
def weather(city: str, days: int = 1) -> str:
    """Current weather in a city."""
    return f"{city} {days}"


class Colour(enum.Enum):
    """A closed choice."""

    RED = "red"
    BLUE = "blue"


@attrs.define
class Point:
    """A point in the plane."""

    x: int
    y: int = 0


@dataclasses.dataclass
class Box:
    """A nested class."""

    corner: Point


class Options(TypedDict):
    """A dictionary with known keys."""

    loud: bool
    times: NotRequired[int]


@attrs.define
class Node:
    """A class with children of the same class."""

    name: str
    children: list[Node] = attrs.Factory(list)


@attrs.define
class Dangling:
    """A class with a field of an undefined type."""

    field: Missing  # type: ignore[name-defined]  # noqa: F821 - the point of the test


class TestDecorator:
    """Tools made from functions."""

    def test_takes_name_description_and_parameters(self) -> None:
        """Name, docstring and signature of the function become the tool's."""
        assert isinstance(weather, Tool)
        assert (weather.name, weather.description) == ("weather", "Current weather in a city.")
        assert weather.parameters == {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["city"],
            "additionalProperties": False,
        }

    def test_takes_what_is_said(self) -> None:
        """A given name and description override the function's."""

        @tool(name="sky", description="", inline=True)
        def function() -> None:
            """Not this."""

        assert (function.name, function.description, function.inline, function.is_async) == ("sky", "", True, False)

    def test_knows_async_functions(self) -> None:
        """Async functions and async methods make async tools."""

        class Service:
            async def method(self, x: int) -> int:
                return x

        @tool
        async def plain() -> None:
            """Do nothing."""

        assert plain.is_async
        assert tool(Service().method).is_async
        assert set(tool(Service().method).parameters["properties"]) == {"x"}

    def test_stays_callable(self) -> None:
        """A tool can be called like its function."""
        assert weather("Seoul", days=2) == "Seoul 2"

    def test_takes_a_callable_object(self) -> None:
        """An object is described by its `__call__`."""

        class Lookup:
            """Look a word up."""

            async def __call__(self, word: str) -> str:
                return word

        lookup = tool(name="lookup")(Lookup())

        assert lookup.is_async
        assert lookup.decode('{"word": "x"}') == {"word": "x"}

    def test_shows_itself_shortly(self) -> None:
        """The repr leaves out the schema."""
        assert "properties" not in repr(weather)

    def test_a_toolkit_is_a_named_group(self) -> None:
        """A toolkit holds tools under a name."""
        assert Toolkit("sky", [weather]).tools == [weather]


class Mystery:
    """A callable class with an unreadable signature."""

    __signature__ = "none"

    def __call__(self) -> None:
        """Do nothing."""


def _take_positional(x: int, /) -> None: ...
def _take_many(*xs: int) -> None: ...
def _take_keywords(**xs: int) -> None: ...
def _take_untyped(x) -> None: ...  # type: ignore[no-untyped-def]
def _take_unknown_type(x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the point of the test
def _take_broken_type(x: "list[") -> None: ...  # type: ignore[valid-type]  # noqa: F722 - the point of the test
def _take_absent_type(x: typing.Nope) -> None: ...  # type: ignore[name-defined]  # the point of the test
def _take_callback(x: Callable[[], None]) -> None: ...
def _take_custom_class(x: Mystery) -> None: ...
def _take_nested_type(x: Dangling) -> None: ...


class TestUndescribable:
    """Functions refused at decoration."""

    @pytest.mark.parametrize(
        ("function", "complaint"),
        [
            (_take_positional, "'_take_positional': parameter 'x' is positional-only"),
            (_take_many, "parameter 'xs' takes any number of arguments"),
            (_take_keywords, "parameter 'xs' takes any keyword"),
            (_take_untyped, "parameter 'x' has no type"),
            (_take_unknown_type, "annotation that cannot be read: .*Missing"),
            (_take_broken_type, "'_take_broken_type'"),
            (_take_absent_type, "'_take_absent_type'"),
            (_take_callback, "'_take_callback' cannot be described"),
            (_take_custom_class, "'_take_custom_class' cannot be described"),
            (_take_nested_type, "'_take_nested_type' .*Missing"),
            (max, "'max'"),
            (str, "'str'"),
        ],
    )
    def test_names_the_tool_and_the_parameter(self, function: Callable[..., Any], complaint: str) -> None:
        """An error names the tool and the fault, and has a hint."""
        with pytest.raises(ToolDefinitionError, match=complaint) as caught:
            tool(function)

        assert caught.value.hint

    def test_an_annotation_that_is_no_type(self) -> None:
        """A value in place of a type is refused, even with a default."""

        def function(x: Any = 1) -> None: ...

        function.__annotations__["x"] = 5
        with pytest.raises(ToolDefinitionError, match="'function'"):
            tool(function)

    def test_an_annotation_that_is_no_type_of_a_parameter(self) -> None:
        """A type for class bodies only, such as `ClassVar`, is refused."""

        def function(x: Any = 1) -> None: ...

        function.__annotations__["x"] = ClassVar[int]
        with pytest.raises(ToolDefinitionError, match="'function'"):
            tool(function)

    def test_a_tool_needs_a_name(self) -> None:
        """A lambda and an object have no name of their own; a partial has the name of its function."""

        class Caller:
            def __call__(self) -> None: ...

        for nameless, what in ((lambda: None, "a lambda"), (Caller(), "an object of Caller")):
            for function in (nameless, functools.partial(nameless)):
                with pytest.raises(ToolDefinitionError, match=f"needs a name, and {what} has none") as caught:
                    tool(function)
                assert "tool(function, name='...')" in caught.value.hint
            assert tool(nameless, name="caller").name == "caller"

    def test_something_that_cannot_be_called(self) -> None:
        """An object that cannot be called is refused with a `ToolDefinitionError`."""
        with pytest.raises(ToolDefinitionError, match="'five'"):
            tool(name="five")(5)  # type: ignore[arg-type]  # the point of the test

    def test_generators(self) -> None:
        """A generator function is refused, because the model needs a result."""

        def many() -> Iterator[int]:
            yield 1

        async def many_async() -> AsyncIterator[int]:
            yield 1

        for function in (many, many_async):
            with pytest.raises(ToolDefinitionError, match=function.__name__):
                tool(function)


class TestArguments:
    """Arguments decoded from the model's JSON."""

    def test_fit(self) -> None:
        """Valid arguments are decoded. Missing arguments are not passed, so that defaults apply."""
        assert weather.decode('{"city": "Seoul"}') == {"city": "Seoul"}
        assert weather.decode('{"city": "Seoul", "days": 3}') == {"city": "Seoul", "days": 3}

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ('{"city": 5}', r"Expected `str`, got `int` - at `\$.city`"),
            ('{"days": 1}', "missing required field `city`"),
            ('{"city": "x", "town": "y"}', "unknown field `town`"),
            ("[]", "Expected `object`, got `array`"),
            ('{"city": ', "truncated"),
            ("nonsense", "malformed"),
            ("", "missing required field `city`"),
        ],
    )
    def test_misfit(self, arguments: str, complaint: str) -> None:
        """An error for invalid arguments tells the model the tool, the place and the fault."""
        with pytest.raises(ToolArgumentError, match="arguments of weather do not fit its schema") as caught:
            weather.decode(arguments)

        assert caught.match(complaint)

    def test_no_arguments(self) -> None:
        """A tool without parameters accepts an empty object and an empty text."""

        @tool
        def now() -> str:
            """Tell the time."""
            return "noon"

        assert now.decode("") == now.decode("{}") == {}

    @pytest.mark.parametrize("arguments", ["", " ", "\n\t", "null", " null\n"])
    def test_blank_arguments(self, arguments: str) -> None:
        """Blank text and null count as an empty object. A missing required argument is named."""

        @tool
        def ping(loud: bool = False) -> str:
            """Ping."""
            return str(loud)

        assert ping.decode(arguments) == {}
        with pytest.raises(ToolArgumentError, match="missing required field `city`"):
            weather.decode(arguments)

    def test_rich_types(self) -> None:
        """Classes, enums, literals, typed dictionaries, unions and bounds are described and decoded."""

        @tool
        def paint(  # noqa: PLR0913, PLR0917 - one parameter a kind
            box: Box,
            colour: Colour,
            mode: Literal["fast", "slow"],
            options: Options,
            width: Annotated[int, msgspec.Meta(ge=1, description="In pixels.")],
            note: str | None = None,
            anything: Any = None,
        ) -> None:
            """Paint it."""

        schema = paint.parameters
        json.dumps(schema)
        assert schema["properties"]["width"] == {"type": "integer", "minimum": 1, "description": "In pixels."}
        assert set(schema["$defs"]) == {"Box", "Colour", "Options", "Point"}
        values = paint.decode(
            '{"box": {"corner": {"x": 1}}, "colour": "blue", "mode": "fast", "options": {"loud": true}, "width": 2}'
        )
        assert values == {
            "box": Box(Point(1)),
            "colour": Colour.BLUE,
            "mode": "fast",
            "options": {"loud": True},
            "width": 2,
        }
        with pytest.raises(ToolArgumentError, match=">= 1"):
            paint.decode(
                '{"box": {"corner": {"x": 1}}, "colour": "red", "mode": "fast", "options": {"loud": true}, "width": 0}'
            )

    def test_a_class_named_as_its_tool(self) -> None:
        """A tool may have the name of a class among its parameters."""

        @tool(name="Point")
        def function(point: Point) -> None:
            """Take a point."""

        assert references(function.parameters) <= definitions(function.parameters)
        assert function.decode('{"point": {"x": 3}}') == {"point": Point(3)}

    def test_an_odd_name(self) -> None:
        """A tool's name need not be an identifier."""

        @tool(name="look up-2")
        def function(word: str) -> None:
            """Look up."""

        assert function.decode('{"word": "x"}') == {"word": "x"}


def references(schema: Any) -> set[str]:
    """Return every `$ref` in a schema."""
    if isinstance(schema, dict):
        own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(references, schema.values()))
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    return set()


def definitions(schema: Mapping[str, Any]) -> set[str]:
    """Return every target of a `$ref` in a schema."""
    return {f"#/$defs/{name}" for name in schema.get("$defs", {})}


@pytest.mark.parametrize("type_", [Point, Box, Node, list[Node], Options, Colour, int, dict[str, Node], Node | None])
def test_every_reference_in_a_schema_leads_somewhere(type_: Any) -> None:
    """A schema contains all its references, also for a recursive type."""
    schema = type_schema(type_, what="x")

    assert references(schema) <= definitions(schema)
    assert "$ref" not in schema


json_types = st.recursive(
    st.sampled_from([str, int, float, bool, Point, Box, Node, Colour, Options, type(None)]),
    lambda inner: inner.map(lambda type_: list[type_]) | inner.map(lambda type_: dict[str, type_]),  # type: ignore[valid-type]
    max_leaves=3,
)


identifiers = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))


@given(st.dictionaries(identifiers, json_types, max_size=4))
def test_any_signature_of_json_types_is_described(annotations: dict[str, Any]) -> None:
    """The schema of any parameters names and requires each, and contains all references."""

    def function(**values: Any) -> None: ...

    signature = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=t) for name, t in annotations.items()]
    )
    function.__signature__ = signature  # type: ignore[attr-defined]  # a signature made up for the test
    function.__annotations__ = annotations
    schema = tool(function).parameters

    assert set(schema["properties"]) == set(schema["required"]) == set(annotations)
    assert references(schema) <= definitions(dict(schema))
    json.dumps(schema)


@given(st.text(max_size=20))
def test_any_text_is_arguments_or_a_tool_argument_error(text: str) -> None:
    """Any text from a model gives arguments or a `ToolArgumentError`."""
    try:
        arguments = weather.decode(text)
    except ToolArgumentError:
        return
    assert "city" in arguments


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
def test_arguments_come_back_as_they_went(city: str, days: int) -> None:
    """Arguments encoded as JSON are decoded to equal values."""
    assert weather.decode(json.dumps({"city": city, "days": days})) == {"city": city, "days": days}
