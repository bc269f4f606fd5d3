"""The check of answers against a client's JSON Schema, judged by the library `jsonschema`; and refusals of schemas."""

from __future__ import annotations

from typing import Any

import httpx2
import jsonschema
import pytest
from agno_rt_serve.api.openai.schema_check import find_fault, find_schema_fault

from agno_rt import Agent, Output
from agno_rt.testing import ScriptedModel

TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
    "required": ["value", "children"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Any] = {
    "types": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 2, "maxLength": 3},
            "number": {"type": "number", "minimum": 1, "maximum": 2.5},
            "whole": {"type": "integer"},
            "flag": {"type": "boolean"},
            "nothing": {"type": "null"},
            "maybe": {"type": ["string", "null"]},
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            "choice": {"enum": ["a", 1, None]},
            "fixed": {"const": "x"},
        },
        "additionalProperties": {"type": "string"},
    },
    "tree": {"type": "object", "properties": {"root": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": TREE}},
    "unions": {
        "type": "object",
        "properties": {
            "any": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]},
            "all": {"allOf": [{"type": "integer"}, {"minimum": 3}]},
            "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        },
        "additionalProperties": False,
    },
}
VALUES: dict[str, list[Any]] = {
    "types": [
        *({"text": each} for each in ("a", "ab", "abcd", 1)),
        *({"number": each} for each in (1, 2.5, 0.5, 3, True, "1")),
        *({"whole": each} for each in (1, 1.0, 1.5, True)),
        *({"flag": each} for each in (True, 0, "true")),
        *({"nothing": each} for each in (None, 0)),
        *({"maybe": each} for each in (None, "x", 1)),
        {"list": [1]},
        {"list": [1, 2, 3]},
        {"list": []},
        {"list": ["a"]},
        {"list": [1.0]},
        {"list": {}},
        *({"choice": each} for each in ("a", 1, None, "b", 2)),
        *({"fixed": each} for each in ("x", "y")),
        *({"more": each} for each in ("x", 1)),
        [],
        {},
    ],
    "tree": [
        {"root": {"value": 1, "children": [{"value": 2, "children": []}]}},
        {"root": {"value": 1, "children": [{"value": "2", "children": []}]}},
        {"root": {"value": 1}},
        {"root": {"value": 1, "children": [], "more": 1}},
        {},
    ],
    "unions": [
        {"any": "x"},
        {"any": {"a": 1}},
        {"any": {"b": 1}},
        {"any": 5},
        {"all": 3},
        {"all": 2},
        {"all": "3"},
        {"one": 1},
        {"one": []},
        {"other": 1},
    ],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_as_the_library_says(name: str) -> None:
    """A value has a fault exactly if the library finds one, and the fault names a place."""
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    for value in VALUES[name]:
        fault = find_fault(value, SCHEMAS[name])
        assert (fault == "") == validator.is_valid(value), (value, fault)
        assert fault == "" or fault.startswith("$")


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array"}, "object"),
        ({}, "object"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}, "no definition"),
        ({"type": "object", "properties": {"a": {"$ref": "https://host/schema"}}}, "no definition"),
        ({"type": "object", "a": [{"b": [{}]}] * 2}, ""),
    ],
)
def test_schemas(schema: dict[str, Any], told: str) -> None:
    """A schema of another type, or with a reference to elsewhere, is refused with the reason."""
    assert told in find_schema_fault(schema)
    assert (find_schema_fault(schema) == "") == (told == "")


def test_depth() -> None:
    """Deep schemas are refused, and circular references and deep values end with a fault."""
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"items": deep}
    circle = {"type": "object", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
    value: Any = 1
    for _ in range(3000):
        value = [value]

    assert "deep" in find_schema_fault({"type": "object", "properties": deep})
    assert find_schema_fault(circle) == ""
    assert find_fault({}, circle) == ""
    assert "deep" in find_fault(
        value, {"items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}}
    )


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_with_a_type(serve_agents: Any, path: str, stream: bool) -> None:
    """An agent with an output type refuses another form, and answers in its own, without answers that did not fit."""
    agent = Agent(ScriptedModel(["no number", '{"value": 1}']), "a", output=Output(int))
    served = await serve_agents(agent)
    form: dict[str, Any] = {"type": "json_object"}
    async with httpx2.AsyncClient(base_url=f"{served.url}/v1", timeout=30) as http:
        said = {"messages": [{"role": "user", "content": "1?"}]} if path != "responses" else {"input": "1?"}
        extra = {"response_format": form} if path != "responses" else {"text": {"format": form}}
        refused = await http.post(f"/{path}", json={"model": "a", **said, **extra})
        answered = await http.post(f"/{path}", json={"model": "a", "stream": stream, **said})

    param = "text.format" if path == "responses" else "response_format"
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert answered.status_code == 200
    assert '"1"' in answered.text
    assert "no number" not in answered.text
    assert "value" not in answered.text
