"""Typed answers to a tool's question, read as values of its schema."""

from __future__ import annotations

from typing import Any

import pytest

from agno_rt.cli.values import answer_of, fields_of, kinds_of, value_of
from agno_rt.errors import UsageError

NULLABLE = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
SIZES = {"enum": ["small", "large"]}
STAY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "size": {"$ref": "#/$defs/Size", "description": "how large"}},
    "$defs": {"Size": SIZES},
}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("42", {"type": "string"}, "42"),
        ("42", {"type": "integer"}, 42),
        ("4", {"type": "number"}, 4),
        ("yes", {"type": "boolean"}, True),
        ("N", {"type": "boolean"}, False),
        ("true", {"type": "boolean"}, True),
        ("null", NULLABLE, None),
        ("[1, 2]", {"type": "array"}, [1, 2]),
        ("large", SIZES, "large"),
        ("12", {"anyOf": [{"type": "string"}, {"type": "null"}]}, "12"),
        ("null", {"type": ["string", "null"]}, None),
        ("12", {}, 12),
        ("twelve", {}, "twelve"),
    ],
)
def test_text_becomes_what_is_asked_for(text: str, schema: dict[str, Any], value: object) -> None:
    """Text stays text if the schema wants text, and is JSON elsewhere; without a type, valid JSON is read as JSON."""
    assert value_of(text, schema) == value


@pytest.mark.parametrize("schema", [{"type": "integer"}, {"type": "boolean"}, NULLABLE, {"enum": [1, 2]}])
def test_what_is_no_such_value(schema: dict[str, Any]) -> None:
    """An unfit text is an error that names a fit value."""
    with pytest.raises(UsageError, match=" or ".join(kinds_of(schema))):
        value_of("twelve", schema)


def test_fields_have_their_definitions() -> None:
    """References of a field are replaced by their definitions, and the field's own words stay."""
    assert fields_of(STAY) == {
        "city": {"type": "string"},
        "size": {"enum": ["small", "large"], "description": "how large"},
    }
    assert fields_of({"type": "string"}) == {}


def test_an_answer_is_an_object_or_its_only_field() -> None:
    """Several fields need a JSON object; a single field also accepts its value; without a schema anything fits."""
    one = {"type": "object", "properties": {"name": {"type": "string"}}}

    assert answer_of('{"city": "Seoul"}', STAY) == {"city": "Seoul"}
    assert answer_of("12", one) == {"name": "12"}
    assert answer_of('{"name": "Ann"}', one) == {"name": "Ann"}
    assert answer_of("12", {"type": "integer"}) == 12
    assert answer_of("a page", None) == "a page"
    with pytest.raises(UsageError, match="not a JSON object") as caught:
        answer_of("Seoul", STAY)
    assert '"city": ..., "size": ...' in caught.value.hint
