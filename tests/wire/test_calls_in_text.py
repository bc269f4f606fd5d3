"""Calls that a model wrote as text, in each form seen in practice, and texts that are not calls."""

from __future__ import annotations

import json

import pytest

from agno_rt.wire.calls_in_text import may_be_call, read_calls

TOOLS = {"weather", "add"}
ONE = '{"name": "weather", "arguments": {"city": "Paris"}}'
TWO = '{"name": "add", "parameters": {"a": 1, "b": 2}}'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ONE, ["weather"]),
        (f"\n  {ONE}\n", ["weather"]),
        (TWO, ["add"]),
        (f"```json\n{ONE}\n```", ["weather"]),
        (f"```\n{ONE}\n```", ["weather"]),
        (f"[{ONE}, {TWO}]", ["weather", "add"]),
        (f"{ONE}\n{TWO}", ["weather", "add"]),
        (f"{ONE}; {TWO}", ["weather", "add"]),
        (f"<tool_call>\n{ONE}\n</tool_call>", ["weather"]),
        (f"<tool_call>{ONE}</tool_call>\n<tool_call>{TWO}</tool_call>", ["weather", "add"]),
        (f"<tool_call>{ONE}", ["weather"]),
        (f'{{"type": "function", "function": {ONE}}}', ["weather"]),
        (f'{{"tool_calls": [{ONE}]}}', ["weather"]),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', ["weather"]),
        ('{"arguments": {"city": "Paris"}, "name": "weather"}', ["weather"]),
    ],
)
def test_forms_of_calls(text: str, names: list[str]) -> None:
    """Each form gives the calls in order, with arguments as a JSON object and ids of their own."""
    calls = read_calls(text, TOOLS)
    assert [call.name for call in calls] == names
    assert all(isinstance(json.loads(call.arguments), dict) for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    assert may_be_call(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello.",
        f"Here it is: {ONE}",
        f"{ONE} I hope this helps.",
        f"```json\n{ONE}\n```\nDone.",
        '{"name": "unknown", "arguments": {}}',
        '{"name": "Anna", "age": 3}',
        '{"name": "weather", "arguments": {"city": "Paris"}, "note": 1}',
        '{"name": "weather", "arguments": [1]}',
        '{"name": "weather", "arguments": "Paris"}',
        '{"name": "weather"}',
        '{"name": "weather", "arguments": {"city": "Par',
        "[]",
        "[1, 2]",
        "{" * 5_000,
        "[" * 100_000,
        " ".join([ONE] * 33),
    ],
)
def test_texts_that_are_not_calls(text: str) -> None:
    """Words beside a call, other JSON, unknown tools and broken values stay text."""
    assert read_calls(text, TOOLS) == []


@pytest.mark.parametrize(
    ("text", "may"), [("", True), (" {", True), ("``", True), ("<tool", True), ("<b>", False), ("H", False)]
)
def test_the_beginning_decides_what_is_held_back(text: str, may: bool) -> None:
    """A stream shows text at once, as soon as it cannot be a call."""
    assert may_be_call(text) is may
