"""The JSON value in an answer with words around: found if unique, refused in doubt."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt.output import find_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
words = st.text(st.characters(exclude_characters='{}[]"`'), max_size=20)


class TestFound:
    """Texts with one value."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ('{"a": 1}', '{"a": 1}'),
            (" \n[1, 2]\n", "[1, 2]"),
            ("5", "5"),
            ('"text"', '"text"'),
            ("null", "null"),
            ('Sure: {"a": {"b": [1]}}. Anything else?', '{"a": {"b": [1]}}'),
            ("```json\n[1]\n```", "[1]"),
            ("```\n5\n```", "5"),
            ("It is:\n\n   ```json\n   true\n   ```\nand that is all", "true"),
            ('```json {"a": 1} ```', '{"a": 1}'),
            ('A set {x, y} and [sic]: {"a": "}{"}', '{"a": "}{"}'),
            ('{"a": "```"}', '{"a": "```"}'),
            ("{}", "{}"),
            ("Empty: {}", "{}"),
            ("Empty: []", "[]"),
            ("Several: [true, null]", "[true, null]"),
            ("<think>no</think>[[1], []]", "[[1], []]"),
            ('```json\n"["\n```', '"["'),
            ('It is:\n```\n"[1]"\n```', '"[1]"'),
            ('It is:\n```\n"{\\"a\\": 1}"\n```\nindeed', '"{\\"a\\": 1}"'),
            ('```\n"["\n```\nor better [1]', "[1]"),
            ('```\n["[", "{"]\n```', '["[", "{"]'),
            ("```\n[not JSON]\n```\n```\n5\n```", "5"),
        ],
    )
    def test_as_it_stands(self, text: str, found: str) -> None:
        """The result is a part of the text, not written anew."""
        assert find_json(text) == found

    @given(values)
    def test_a_text_that_is_json_is_the_value(self, value: object) -> None:
        """Any JSON value is found in white space."""
        text = json.dumps(value)

        assert find_json(f" \n{text}\t") == text

    @given(st.lists(values, min_size=1) | st.dictionaries(st.text(max_size=5), values, min_size=1), words, words)
    def test_an_object_or_array_among_words(self, value: object, before: str, after: str) -> None:
        """An object or array is found among words without brackets."""
        text = json.dumps(value)

        assert json.loads(find_json(f"{before} {text} {after}")) == value

    @given(values, words)
    def test_any_value_in_a_code_fence(self, value: object, before: str) -> None:
        """Any JSON value is found in a code fence."""
        text = json.dumps(value)

        assert json.loads(find_json(f"{before}\n```json\n{text}\n```\n")) == value


class TestRefused:
    """Texts with no value or several values."""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "no JSON"),
            ("I do not know.", "no JSON"),
            ("5 or 6", "no JSON"),
            ("{x} [y]", "no JSON"),
            ("{'a': 1}", "no JSON"),
            ('{"a": 1} {"a": 1}', "2 JSON values"),
            ("```\n1\n```\n```\n2\n```", "2 JSON values"),
            ("```\n[1]\n```\nor [2]", "2 JSON values"),
            ("```\n[1]\n```\nor [2", "broken or cut off: .* at character 17"),
            ("```\n[1\n```", "broken or cut off"),
            ('{"a": 1', "broken or cut off"),
            ('{"a": {"b": 1}, "c": ', "broken or cut off"),
            ("[1, 2, ", "broken or cut off"),
            ('{"a": 1,}', "broken or cut off"),
            ('It is {"a": "tex', "broken or cut off"),
            ('{"a": 1} and then {"b": ', "broken or cut off"),
            ("[1, NaN]", "NaN is not JSON"),
            ("NaN", "no JSON"),
            ("```json\n5\n", "no JSON"),
        ],
    )
    def test_says_why(self, text: str, reason: str) -> None:
        """The error has a reason for the model."""
        with pytest.raises(ValueError, match=reason):
            find_json(text)

    def test_what_is_within_a_broken_value_is_not_taken(self) -> None:
        """An inner object of a broken value is not found: the answer may be cut off."""
        with pytest.raises(ValueError, match="broken or cut off"):
            find_json('{"all": [{"a": 1}, {"a": 2}')

    @pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 50_000, "{" * 100_000, '[{"' * 30_000, "```\n" * 50_001])
    def test_takes_its_time_by_the_length(self, text: str) -> None:
        """Deep or endless text is refused in linear time."""
        with pytest.raises(ValueError, match="JSON"):
            find_json(text)

    @given(st.text(st.sampled_from('{}[]",:1a` \n\\tfn'), max_size=40))
    def test_whatever_is_found_is_json(self, text: str) -> None:
        """Any text yields JSON or `ValueError`."""
        try:
            found = find_json(text)
        except ValueError:
            return
        json.loads(found)
        assert found in text
