"""The front matter of Markdown files: read as YAML reads it, with the line of each fault."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.context_providers.front_matter import FrontMatterError, Value, parse_front_matter


def parse(text: str) -> dict[str, Value]:
    """Return the values of a front matter."""
    return dict(parse_front_matter(f"---\n{text}\n---\nbody").values)


AS_YAML = [
    "name: pdf\ndescription: Reads a PDF.",
    "a: 'it''s: fine' # note\nb: \"x\\ty \\u00e9 \\\"q\\\"\"",
    "# note\na: one # note\n\nb: has#no note",
    "a: one\n  two\n  three\nb: x",
    "a:\n  one two\n  three",
    "a: |\n  one\n    two\n\n  three\nb: x",
    "a: |-\n  one\n  two\n",
    "a: >\n  one\n  two\n\n  three\nb: x",
    "a: >-\n  one\n  two",
    "a: [Read, 'Bash(git:*)', \"x, y\"]",
    "a: [Read,\n  Write,\n  ]",
    "a: []",
    "a:\n  - one\n  - 'two: 2' # note\nb: x",
    "a:\n- one\n- two\nb: x",
    "a:\n  x: one\n  y: 'two'\nb: x",
    "'a b': one\n\"c\": two",
    "a: 'one\n  two'",
    'a: "one\n  two"',
    "a: http://host.example/x:y",
]


@pytest.mark.parametrize("text", AS_YAML)
def test_values_are_those_of_yaml(text: str) -> None:
    """The reader finds the same values as a reader of all of YAML."""
    assert parse(text) == yaml.safe_load(text)


@given(st.text(alphabet="ab:- #'\"[],|>\n", max_size=30))
def test_nothing_is_read_otherwise_than_yaml(text: str) -> None:
    """A text that both can read is the same to both; every other text is a `FrontMatterError`, and nothing else."""
    try:
        found = parse(f"k: {text}")
        value = yaml.safe_load(f"k: {text}\n")["k"]
    except (FrontMatterError, yaml.YAMLError):
        return
    if isinstance(value, str):
        assert found["k"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: one: two", "one: two"),
        ("a: Use this: when b: c # note", "Use this: when b: c"),
        ("a: 1.10", "1.10"),
        ("a: true", "true"),
        ("a: 2026-01-01", "2026-01-01"),
        ("a:", ""),
    ],
)
def test_texts_need_no_quotes(text: str, value: str) -> None:
    """A colon within a text is accepted, and a number stays as the author wrote it."""
    assert parse(text) == {"a": value}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: x\nfoo", 3, "not of the form key: value"),
        ("a: x\na: y", 3, "twice"),
        ("a: x\nb: 'open", 3, "no closing quote"),
        ("a: x\n\nb: *ref", 4, "cannot begin with '\\*'"),
        ("a: {x: 1}", 2, "cannot begin with '{'"),
        ("a: [one, two", 2, "list .* cannot be read"),
        ("a: 'x' y", 2, "behind a text in quotes"),
        ('a: "\\q"', 2, "not an escape"),
        ("a:\n\tx: 1", 3, "tab"),
        ("a:\n  - one\n  two", 4, "not an item"),
        ("a:\n  x: 1\n  x: 2", 4, "twice"),
        ("a:\n  x: 1\n  y:\n    z: 1", 4, "not of the form"),
    ],
)
def test_faults_have_their_line(text: str, line: int, problem: str) -> None:
    """What cannot be read is refused with the number of its line."""
    with pytest.raises(FrontMatterError, match=problem) as caught:
        parse(text)
    assert caught.value.line == line


@pytest.mark.parametrize(("text", "problem"), [("", "missing"), ("# Title", "missing"), ("---\na: b", "no end")])
def test_a_file_without_front_matter(text: str, problem: str) -> None:
    """A missing beginning and a missing end are told apart."""
    with pytest.raises(FrontMatterError, match=problem):
        parse_front_matter(text)


def test_a_file_of_another_system() -> None:
    """A byte order mark and CRLF line ends change nothing."""
    found = parse_front_matter("\ufeff---\r\na: b\r\n---\r\n\r\nHello\r\nyou\r\n")
    assert (found.values, found.lines, found.body) == ({"a": "b"}, {"a": 2}, "Hello\nyou")
