"""A tool is described once, when it is decorated; what cannot be described fails there and then."""

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
    """A place."""

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
    """A class that holds its own kind."""

    name: str
    children: list[Node] = attrs.Factory(list)


@attrs.define
class Dangling:
    """A class with a field of a type that is nowhere."""

    field: Missing  # type: ignore[name-defined]  # noqa: F821 - the point of the test


class TestDecorator:
    """From function to tool."""

    def test_takes_name_description_and_parameters(self) -> None:
        """Name, docstring and signature become the tool's."""
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
        """A name and a description that are given go before the function's."""

        @tool(name="sky", description="", inline=True)
        def function() -> None:
            """Not this."""

        assert (function.name, function.description, function.inline, function.is_async) == ("sky", "", True, False)

    def test_knows_async_functions(self) -> None:
        """An async function, also behind functools.partial or as a method, is known as one."""

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
        """A tool still is the function that it was made from."""
        assert weather("Seoul", days=2) == "Seoul 2"

    def test_takes_a_callable_object(self) -> None:
        """An object with `__call__` is described by it."""

        class Lookup:
            """Look a word up."""

            async def __call__(self, word: str) -> str:
                return word

        lookup = tool(name="lookup")(Lookup())

        assert lookup.is_async
        assert lookup.decode('{"word": "x"}') == {"word": "x"}

    def test_shows_itself_shortly(self) -> None:
        """The repr has no schema in it."""
        assert "properties" not in repr(weather)

    def test_a_toolkit_is_a_named_group(self) -> None:
        """A toolkit holds tools under a name."""
        assert Toolkit("sky", [weather]).tools == [weather]


class Mystery:
    """A callable that `inspect` cannot read."""

    __signature__ = "none"

    def __call__(self) -> None:
        """Do nothing."""


def _positional(x: int, /) -> None: ...
def _arguments(*xs: int) -> None: ...
def _keywords(**xs: int) -> None: ...
def _untyped(x) -> None: ...  # type: ignore[no-untyped-def]
def _unknown(x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the point of the test
def _broken(x: "list[") -> None: ...  # type: ignore[valid-type]  # noqa: F722 - the point of the test
def _absent(x: typing.Nope) -> None: ...  # type: ignore[name-defined]  # the point of the test
def _callback(x: Callable[[], None]) -> None: ...
def _custom(x: Mystery) -> None: ...
def _nested(x: Dangling) -> None: ...


class TestUndescribable:
    """What fails when it is decorated."""

    @pytest.mark.parametrize(
        ("function", "complaint"),
        [
            (_positional, "'_positional': parameter 'x' is positional-only"),
            (_arguments, "parameter 'xs' takes any number of arguments"),
            (_keywords, "parameter 'xs' takes any keyword"),
            (_untyped, "parameter 'x' has no type"),
            (_unknown, "annotation that cannot be read: .*Missing"),
            (_broken, "'_broken'"),
            (_absent, "'_absent'"),
            (_callback, "'_callback' cannot be described"),
            (_custom, "'_custom' cannot be described"),
            (_nested, "'_nested' .*Missing"),
            (max, "'max'"),
            (str, "'str'"),
        ],
    )
    def test_names_the_tool_and_the_parameter(self, function: Callable[..., Any], complaint: str) -> None:
        """The error names what cannot be described, and says what would be right."""
        with pytest.raises(ToolDefinitionError, match=complaint) as caught:
            tool(function)

        assert caught.value.hint

    def test_an_annotation_that_is_no_type(self) -> None:
        """A value in the place of a type is refused, with a default or without."""

        def function(x: Any = 1) -> None: ...

        function.__annotations__["x"] = 5
        with pytest.raises(ToolDefinitionError, match="'function'"):
            tool(function)

    def test_an_annotation_that_is_no_type_of_a_parameter(self) -> None:
        """What makes sense elsewhere makes none for a parameter."""

        def function(x: Any = 1) -> None: ...

        function.__annotations__["x"] = ClassVar[int]
        with pytest.raises(ToolDefinitionError, match="'function'"):
            tool(function)

    def test_a_tool_needs_a_name(self) -> None:
        """A lambda and an object have none of their own; a partial has that of its function."""

        class Caller:
            def __call__(self) -> None: ...

        for nameless, what in ((lambda: None, "a lambda"), (Caller(), "an object of Caller")):
            for function in (nameless, functools.partial(nameless)):
                with pytest.raises(ToolDefinitionError, match=f"needs a name, and {what} has none") as caught:
                    tool(function)
                assert "tool(function, name='...')" in caught.value.hint
            assert tool(nameless, name="caller").name == "caller"

    def test_something_that_cannot_be_called(self) -> None:
        """What is not callable is refused by our error, too."""
        with pytest.raises(ToolDefinitionError, match="'five'"):
            tool(name="five")(5)  # type: ignore[arg-type]  # the point of the test

    def test_generators(self) -> None:
        """A function that yields has no result to tell the model."""

        def many() -> Iterator[int]:
            yield 1

        async def many_async() -> AsyncIterator[int]:
            yield 1

        for function in (many, many_async):
            with pytest.raises(ToolDefinitionError, match=function.__name__):
                tool(function)


class TestArguments:
    """From the model's JSON to keyword arguments."""

    def test_fit(self) -> None:
        """Arguments that fit are decoded; what is left out is not passed, so the default applies."""
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
        """Arguments that do not fit are an error that tells the model the tool, the place and the fault."""
        with pytest.raises(ToolArgumentError, match="arguments of weather do not fit its schema") as caught:
            weather.decode(arguments)

        assert caught.match(complaint)

    def test_no_arguments(self) -> None:
        """A tool without parameters takes an empty object, and nothing at all."""

        @tool
        def now() -> str:
            """Tell the time."""
            return "noon"

        assert now.decode("") == now.decode("{}") == {}

    @pytest.mark.parametrize("arguments", ["", " ", "\n\t", "null", " null\n"])
    def test_blank_arguments(self, arguments: str) -> None:
        """Nothing, in whatever words, is an empty object; where that will not do, the fault is named."""

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
        """A tool may be called what a class among its parameters is called."""

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
    """Every `$ref` in a schema."""
    if isinstance(schema, dict):
        own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(references, schema.values()))
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    return set()


def definitions(schema: Mapping[str, Any]) -> set[str]:
    """Every place in a schema that a `$ref` may lead to."""
    return {f"#/$defs/{name}" for name in schema.get("$defs", {})}


@pytest.mark.parametrize("type_", [Point, Box, Node, list[Node], Options, Colour, int, dict[str, Node], Node | None])
def test_every_reference_in_a_schema_leads_somewhere(type_: Any) -> None:
    """A schema stands on its own, also for a type that holds its own kind."""
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
    """Whatever the parameters, the schema names each, requires each, and refers to nothing that is not in it."""

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
    """Whatever a model writes, there is one kind of error for it."""
    try:
        arguments = weather.decode(text)
    except ToolArgumentError:
        return
    assert "city" in arguments


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
def test_arguments_come_back_as_they_went(city: str, days: int) -> None:
    """What is encoded as JSON is decoded to the same values."""
    assert weather.decode(json.dumps({"city": city, "days": days})) == {"city": city, "days": days}
