"""All faults of a JSON value against its schema, with their places."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_rt._schema.faults import MOST, explain, faults
from agno_rt.tools import tool
from tests.strategies import Parameter, broken, function_of, instances, parameters

ORDER = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "minLength": 2, "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2},
        "kind": {"enum": ["small", "large", None]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "maxItems": 2},
        "when": {"type": "string", "format": "date-time"},
        "owner": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "integer"}, {"type": "null"}]},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2,
            "items": False,
        },
        "notes": {
            "type": "object",
            "additionalProperties": {"type": "boolean"},
            "propertyNames": {"pattern": "^[a-z]+$"},
            "maxProperties": 2,
        },
        "data": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["customer"],
    "additionalProperties": False,
    "$defs": {
        "Item": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "price": {"type": "number", "exclusiveMinimum": 0}},
            "required": ["name"],
        }
    },
}


def order_faults(**fields: Any) -> list[str]:
    """Return the faults of an order with the fields."""
    return list(faults({"customer": "abc", **fields}, ORDER))


class TestEach:
    """One fault at a time."""

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"customer": 1}, "Expected `str`, got `int` - at `$.customer`"),
            ({"customer": None}, "Expected `str`, got `null` - at `$.customer`"),
            ({"customer": "a"}, "Expected at least 2 characters, got 1 - at `$.customer`"),
            ({"customer": "abcdef"}, "Expected at most 5 characters, got 6 - at `$.customer`"),
            ({"count": True}, "Expected `int`, got `bool` - at `$.count`"),
            ({"count": "2"}, "Expected `int`, got `str` - at `$.count`"),
            ({"count": 2.5}, "Expected `int`, got `float` - at `$.count`"),
            ({"count": 0}, "Expected a number >= 1, got 0 - at `$.count`"),
            ({"count": 10}, "Expected a number < 10, got 10 - at `$.count`"),
            ({"count": 3}, "Expected a number that's a multiple of 2, got 3 - at `$.count`"),
            (
                {"kind": "larg"},
                'Invalid value "larg", expected one of "small", "large", null (did you mean `large`?) - at `$.kind`',
            ),
            ({"kind": False}, 'Invalid value false, expected one of "small", "large", null - at `$.kind`'),
            ({"items": {}}, "Expected `array`, got `object` - at `$.items`"),
            ({"items": [{"name": "x"}, {"name": 2}]}, "Expected `str`, got `int` - at `$.items[1].name`"),
            ({"items": [{}]}, "Object missing required field `name` - at `$.items[0]`"),
            (
                {"items": [{"nam": "x"}]},
                "Object missing required field `name` (`nam` is not a field of it) - at `$.items[0]`",
            ),
            ({"items": [{"name": "x", "price": 0}]}, "Expected a number > 0, got 0 - at `$.items[0].price`"),
            ({"items": [{"name": "x"}] * 3}, "Expected at most 2 items, got 3 - at `$.items`"),
            (
                {"when": "tomorrow"},
                'Expected a date-time such as 2024-01-31T12:30:00Z, got "tomorrow" - at `$.when`',
            ),
            ({"owner": "x"}, "Expected `Item | int | null`, got `str` - at `$.owner`"),
            ({"owner": {"price": 1}}, "Object missing required field `name` - at `$.owner`"),
            ({"pair": [1]}, "Expected at least 2 items, got 1 - at `$.pair`"),
            ({"pair": [1, 2]}, "Expected `str`, got `int` - at `$.pair[1]`"),
            ({"pair": [1, "a", 3]}, "Expected at most 2 items, got 3 - at `$.pair`"),
            ({"notes": {"a": 1}}, "Expected `bool`, got `int` - at `$.notes.a`"),
            (
                {"notes": {"a b": True}},
                "Key \"a b\" does not fit: Expected `str` matching regex '^[a-z]+$' - at `$.notes`",
            ),
            ({"notes": {"a": True, "b": True, "c": True}}, "Expected at most 2 fields, got 3 - at `$.notes`"),
            ({"data": "%"}, 'Expected a base64 such as aGVsbG8=, got "%" - at `$.data`'),
            ({"custome": 1}, "Object contains unknown field `custome` (did you mean `customer`?)"),
        ],
    )
    def test_is_told_with_its_place(self, fields: dict[str, Any], fault: str) -> None:
        """The text has the expected value, the actual value and the place."""
        assert order_faults(**fields) == [fault]

    @pytest.mark.parametrize(
        "fields",
        [
            {"count": 2.0},
            {"kind": None},
            {"owner": None},
            {"owner": {"name": "x", "more": 1}},
            {"pair": [1, "a"]},
            {"when": "2024-01-31T12:30:00+01:00"},
            {"notes": {"a": True}},
        ],
    )
    def test_what_fits_has_none(self, fields: dict[str, Any]) -> None:
        """A fitting value has no faults."""
        assert order_faults(**fields) == []

    def test_a_value_that_is_no_object(self) -> None:
        """The outermost place needs no name."""
        assert list(faults([1], ORDER)) == ["Expected `object`, got `array`"]

    def test_a_place_with_an_odd_name(self) -> None:
        """A key outside of the form of identifiers is quoted."""
        schema = {"type": "object", "additionalProperties": {"type": "integer"}}

        assert list(faults({"a b": "x"}, schema)) == ['Expected `int`, got `str` - at `$["a b"]`']

    def test_unknown_words_are_passed_over(self) -> None:
        """Unknown keywords of a foreign schema are ignored."""
        assert list(faults(1, {"type": "integer", "not": {"const": 1}})) == []


SHAPES: dict[str, Any] = {
    "anyOf": [{"$ref": "#/$defs/Circle"}, {"$ref": "#/$defs/Square"}],
    "$defs": {
        "Circle": {
            "type": "object",
            "properties": {"kind": {"enum": ["circle"]}, "radius": {"type": "number"}},
            "required": ["kind", "radius"],
        },
        "Square": {
            "type": "object",
            "properties": {"kind": {"enum": ["square"]}, "side": {"type": "number"}},
            "required": ["kind", "side"],
        },
    },
}


class TestAlternatives:
    """Values with alternatives."""

    def test_each_that_may_be_meant_has_its_reason(self) -> None:
        """The text lists the faults of each possible alternative."""
        (fault,) = faults({"radius": "big"}, SHAPES)

        assert "not Circle: Object missing required field `kind` and Expected `float`, got `str` at `$.radius`" in fault
        assert "not Square: Object missing required field `kind` and Object missing required field `side`" in fault

    def test_the_value_says_which_it_is(self) -> None:
        """With a tag for the alternative, only its faults are reported, with their own places."""
        assert list(faults({"kind": "circle", "radius": "big"}, SHAPES)) == [
            "Expected `float`, got `str` - at `$.radius`"
        ]
        assert "not Square" in next(faults({"kind": "oval"}, SHAPES))

    def test_the_one_that_is_wrong_within(self) -> None:
        """An alternative that fits except for an inner value is the intended one."""
        schema = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "maxItems": 0}]}

        assert list(faults([1, "x"], schema)) == ["Expected `int`, got `str` - at `$[1]`"]

    def test_no_alternative_is_of_its_kind(self) -> None:
        """Without an alternative of the value's type, the accepted types are listed once each."""
        assert list(faults("x", SHAPES)) == ["Expected `Circle | Square`, got `str`"]


class TestMany:
    """Values with several faults."""

    def test_all_are_told_at_once(self) -> None:
        """All faults are reported together, so that the model can mend them at once."""
        assert explain({"customer": 1, "count": 0}, ORDER) == (
            "Expected `str`, got `int` - at `$.customer`; Expected a number >= 1, got 0 - at `$.count`"
        )

    def test_not_without_end(self) -> None:
        """The first faults are listed, and the number of the rest."""
        text = explain({"customer": "abc", **{f"x{at}": 1 for at in range(MOST + 3)}}, ORDER)

        assert text.count("unknown field") == MOST
        assert text.endswith("; and 3 more")

    def test_none(self) -> None:
        """A value without faults has an empty text."""
        assert explain({"customer": "abc"}, ORDER) == ""

    def test_long_values_are_cut(self) -> None:
        """A fault with a long value is cut."""
        assert len(explain({"customer": "abc", "kind": "x" * 10_000}, ORDER)) < 300

    def test_many_choices_are_cut(self) -> None:
        """A list of many choices is cut."""
        text = explain("x", {"enum": [f"choice {at}" for at in range(1000)]})

        assert "..." in text
        assert len(text) < 400


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(made=parameters(), data=st.data())
def test_there_are_faults_where_another_sees_them(made: list[Parameter], data: st.DataObject) -> None:
    """A value has faults if and only if the jsonschema package finds errors; formats are not compared."""
    schema = tool(function_of(made)).parameters
    value = broken(data.draw, instances(data.draw, schema, schema.get("$defs", {})))
    found = [fault for fault in faults(value, schema) if "such as" not in fault]
    seen = list(jsonschema.Draft202012Validator(schema).iter_errors(value))

    assert bool(found) == bool(seen), (found, seen)
