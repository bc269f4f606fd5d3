"""Titles of sessions, made from a text."""

from __future__ import annotations

import pytest

from agno_rt import Message
from agno_rt.memory import MAX_TITLE, first_words, session_title
from agno_rt.names import UNSEEN


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("", ""),
        (" \n\u2028\t ", ""),
        ("\u202e\u200b", ""),
        ("one\n\ntwo\u2029three\tfour", "one two three four"),
        ("\x1b[31mred\x07 \ud800x", "[31mred x"),
        ("a \u200b b", "a b"),
        ("\N{FAMILY} \N{MAN}\u200d\N{WOMAN}", "\N{FAMILY} \N{MAN}\u200d\N{WOMAN}"),
        (" " * 100_000 + "late", "late"),
        ("x" * MAX_TITLE, "x" * MAX_TITLE),
        ("x" * (MAX_TITLE + 1), "x" * (MAX_TITLE - 1) + "…"),
        ("x" * (MAX_TITLE - 1) + " y", "x" * (MAX_TITLE - 1) + "…"),
        ("short " + "x" * MAX_TITLE, "short " + "x" * (MAX_TITLE - 7) + "…"),
        ("x" * 60 + " " + "y" * 60, "x" * 60 + "…"),
    ],
)
def test_a_title(text: str, title: str) -> None:
    """A title is one printable line, cut at a word near the end if possible."""
    assert session_title(text) == title
    assert len(title) <= MAX_TITLE
    assert session_title(title) == title


def test_a_title_of_any_text() -> None:
    """A title has only printable characters and can be encoded as UTF-8."""
    title = session_title(UNSEEN[:70])

    assert title.isprintable()
    title.encode()


def test_first_words() -> None:
    """First words come from the first message of a user with text."""
    said = [Message("system", "a"), Message("assistant", "b"), Message("user", " "), Message("user", "c d")]

    assert first_words(said) == "c d"
    assert first_words(said[:3]) == ""
