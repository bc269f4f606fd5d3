"""JSON Schemas within the subset of Anthropic's "Structured outputs", section "JSON Schema limitations"."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest

from agno_rt import Agent, Runtime
from agno_rt.testing import ScriptedModel
from agno_rt.wire.schema_subset import fit_schema

WORDS = frozenset(
    {
        *("type", "title", "description", "enum", "const", "default", "properties", "required", "items", "anyOf"),
        *("$ref", "$defs", "format", "minItems", "additionalProperties"),
    }
)


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


@attrs.define
class River:
    """A river."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern="^[A-Z]")]
    length: Annotated[float, msgspec.Meta(gt=0, le=7_000)]
    colour: Colour = Colour.BLUE
    towns: Annotated[list[str], msgspec.Meta(max_length=3)] = attrs.field(factory=list)
    mouth: Literal["sea", "lake"] | None = None


@attrs.define
class Country:
    """A country."""

    rivers: list[River]
    largest: River | None = None


def words(value: Any) -> set[str]:
    """Return all words of a schema, without the names of properties and definitions."""
    found: set[str] = set(value)
    inner = [*value.get("properties", {}).values(), *value.get("$defs", {}).values(), *value.get("anyOf", ())]
    inner += [value["items"]] if "items" in value else []
    return found.union(*map(words, inner))


async def test_types_of_users() -> None:
    """A type with bounds, an enumeration and references fits, in allowed words only, closed at each level."""
    asked: list[Any] = []

    def answer(request: Any) -> str:
        asked.append(request.output)
        return '{"rivers": []}'

    async with Runtime() as runtime:
        await runtime.run(Agent(ScriptedModel([answer]), output=Country), "?")
    fitted = fit_schema(asked[0])
    assert fitted is not None
    assert words(fitted) <= WORDS
    definition = fitted["$defs"]["River"]
    assert definition["additionalProperties"] is False
    assert definition["properties"]["length"]["description"] == "(above 0, at most 7000)"


TREE = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"not": {}}}},
        {"type": "object", "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": TREE}},
    ],
)
def test_beyond_the_subset(schema: dict[str, Any]) -> None:
    """Open objects, recursion, and words without a meaning in the subset have no equivalent."""
    assert fit_schema(schema) is None


def test_the_original_stays() -> None:
    """The schema that was given is not changed."""
    count = {"type": "integer", "minimum": 1, "description": "Count."}
    fitted = fit_schema({"type": "object", "properties": {"n": count}})
    assert fitted is not None
    assert fitted["properties"]["n"]["description"] == "Count. (at least 1)"
    assert count == {"type": "integer", "minimum": 1, "description": "Count."}


def test_formats_and_least_counts() -> None:
    """Known formats and a least count of 0 or 1 stay words of the schema; others become words for the model."""
    array = {"type": "array", "items": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "path": {"type": "string", "format": "json-pointer"},
            "some": {**array, "minItems": 1},
            "many": {**array, "minItems": 4},
        },
    }
    fitted = fit_schema(schema)
    assert fitted is not None
    properties = fitted["properties"]
    assert properties["day"] == {"type": "string", "format": "date"}
    assert properties["path"]["description"] == "(a json-pointer)"
    assert properties["some"]["minItems"] == 1
    assert properties["many"]["description"] == "(at least 4 items)"
