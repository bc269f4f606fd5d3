"""JSON Schemas in the subset of Gemini's API: nothing that the API refuses, and no meaning lost to the model."""

from __future__ import annotations

from typing import Any

import pytest
from agno_rt_google.schemas import fit_schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, {}),
        ({"$schema": "x", "type": "string", "examples": ["a"]}, {"type": "string"}),
        ({"type": ["string", "null"], "format": "date"}, {"type": ["string", "null"], "format": "date"}),
        (
            {"oneOf": [{"type": "integer"}, {"const": None}]},
            {"anyOf": [{"type": "integer"}, {"description": "(always null)", "type": "null"}]},
        ),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"const": 3}, {"type": "integer", "enum": [3]}),
        ({"const": True}, {"type": "boolean", "description": "(always true)"}),
        ({"allOf": [{"type": "string"}], "title": "T"}, {"type": "string", "title": "T"}),
        (
            {"type": "string", "minLength": 2, "pattern": "^a"},
            {"type": "string", "description": "(at least 2 characters, matching ^a)"},
        ),
        (
            {"type": "number", "minimum": 1, "exclusiveMaximum": 9, "description": "A size."},
            {"type": "number", "minimum": 1, "description": "A size. (below 9)"},
        ),
        (
            {"type": "object", "additionalProperties": {"const": 1}},
            {"type": "object", "additionalProperties": {"type": "integer", "enum": [1]}},
        ),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
            {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        ),
    ],
)
def test_words(schema: Any, expected: dict[str, Any]) -> None:
    """Known words stay, words of the same meaning are renamed, bounds go into the description, others are left out."""
    assert fit_schema(schema) == expected


def test_references_stand_alone() -> None:
    """A reference with words beside it gets a place of its own; definitions and recursion stay."""
    node = {
        "type": "object",
        "properties": {
            "next": {"$ref": "#/$defs/Node"},
            "other": {"$ref": "#/$defs/Node", "description": "Another.", "default": None},
        },
    }
    fitted = fit_schema({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert fitted["$ref"] == "#/$defs/Node"
    properties = fitted["$defs"]["Node"]["properties"]
    assert properties["next"] == {"$ref": "#/$defs/Node"}
    assert properties["other"] == {"anyOf": [{"$ref": "#/$defs/Node"}], "description": "Another."}


def test_a_property_may_have_any_name() -> None:
    """Names of properties are not words of the schema."""
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}, "const": {"type": "integer"}}}
    assert fit_schema(schema) == schema
